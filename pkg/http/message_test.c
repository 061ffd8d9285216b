/* SPDX-License-Identifier: Apache-2.0
 * The parts of messages that need no server: entity tags, trace contexts, problem documents, what
 * handlers ask of a request and put into a reply. */
#include "base/testing.h"

#include "http/accept_encoding.h"
#include "http/etag.h"
#include "http/problem.h"
#include "http/reply.h"
#include "http/trace_context.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void test_etag_lists(void **state)
{
	static const struct {
		const char *list;
		bool has; /* "3" */
	} rows[] = {
		{"\"3\"", true},
		{"W/\"3\"", true},
		{"*", true},
		{" * ", true},
		{"3", true},
		{"\"1\", \"3\"", true},
		{"\"1\",W/\"3\" , \"5\"", true},
		{"\"a,b\", \"3\"", true},
		{"\"1\" \"3\"", false},
		{"\"33\"", false},
		{"\"3", false},
		{"3\"", false},
		{"", false},
		{",", false},
		{"\"\"", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (etag_list_has(str_from(rows[i].list), STR("3")) != rows[i].has)
			fail_row(i, "%s", rows[i].list);
}

/* If-Match may name the body in gzip: it is the resource that is meant. */
static void test_etag_lists_of_resources(void **state)
{
	static const struct {
		const char *list;
		bool has;
	} rows[] = {
		{"\"3\"", true},
		{"\"3-gz\"", true},
		{"3-gz", true},
		{"*", true},
		{"\"2-gz\", W/\"3-gz\"", true},
		{"\"3-g\"", false},
		{"\"-gz\"", false},
		{"\"3-gz-gz\"", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (etag_list_has_resource(str_from(rows[i].list), STR("3")) != rows[i].has)
			fail_row(i, "%s", rows[i].list);
}

static void test_accept_encoding(void **state)
{
	static const struct {
		const char *value; /* NULL: not given */
		bool gzip;
	} rows[] = {
		{NULL, false},
		{"", false},
		{"gzip", true},
		{"deflate, gzip;q=0.5, br", true},
		{"GZip", true},
		{"x-gzip", true},
		{"*", true},
		{"identity, *;q=0.1", true},
		{"gzip;q=0", false},
		{"gzip; Q=0.000", false},
		{"gzip;q=0.001", true},
		{"*, gzip;q=0", false},
		{"gzip;q=0, *", false},
		{"*;q=0", false},
		{"identity", false},
		{"br", false},
		{"gzipped", false},
		{",;,", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (accepts_gzip(str_from(rows[i].value)) != rows[i].gzip)
			fail_row(i, "%s", rows[i].value != NULL ? rows[i].value : "(none)");
}

static void test_etag_lists_by_version(void **state)
{
	static const struct {
		const char *list;
		bool has; /* version 3, whatever the second */
	} rows[] = {
		{"\"3.17\"", true},
		{"W/\"3.17\"", true},
		{"\"3\"", true},
		{"3.17", true},
		{"*", true},
		{"\"2.9\", \"3.1\"", true},
		{"\"2.3\"", false},
		{"\"33.1\"", false},
		{"2.3", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (etag_list_has_version(str_from(rows[i].list), STR("3")) != rows[i].has)
			fail_row(i, "%s", rows[i].list);
}

static void test_precondition(void **state)
{
	const struct header header = {STR("if-match"), STR("\"3.17\"")};
	const struct request with = {.headers = &header, .header_count = 1};
	const struct request without = {0};
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(request_precondition(&s, &without, STR("4")), OK);
	assert_int_equal(request_precondition(&s, &with, STR("3.17")), OK);
	assert_int_equal(request_precondition(&s, &with, STR("3.18")), FAULT_PRECONDITION_FAILED);
	assert_int_equal(request_precondition_version(&s, &without, 4), OK);
	assert_int_equal(request_precondition_version(&s, &with, 3), OK);
	assert_int_equal(request_precondition_version(&s, &with, 4), FAULT_PRECONDITION_FAILED);
	scope_end(&s);
}

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static void test_traceparents(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} rows[] = {
		{"00-" TRACE "-" SPAN "-01", true},
		{"00-" TRACE "-" SPAN "-00", true},
		{"cc-" TRACE "-" SPAN "-01", true},
		{"ff-" TRACE "-" SPAN "-01", false},
		{"00-" TRACE "-" SPAN "-01-more", false},
		{"00-" TRACE "-" SPAN "-0", false},
		{"00-00000000000000000000000000000000-" SPAN "-01", false},
		{"00-" TRACE "-0000000000000000-01", false},
		{"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false},
		{"00_" TRACE "-" SPAN "-01", false},
		{"00-" TRACE "x" SPAN "-01", false},
		{"00-" TRACE "-" SPAN "-0g", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (traceparent_is_valid(str_from(rows[i].text)) != rows[i].valid)
			fail_row(i, "%s", rows[i].text);
}

static void test_next_span(void **state)
{
	const struct str incoming = STR("00-" TRACE "-" SPAN "-00");
	struct arena *arena = arena_new();
	struct str next = traceparent_next(arena, incoming);
	struct str fresh = traceparent_next(arena, STR("nonsense"));

	(void)state;
	assert_true(traceparent_is_valid(next));
	assert_str_equal(traceparent_trace_id(next), STR(TRACE));
	assert_memory_equal(next.at + 53, "00", 2);
	assert_memory_not_equal(next.at + 36, SPAN, 16);
	assert_true(traceparent_is_valid(fresh));
	assert_false(str_eq(traceparent_trace_id(fresh), STR(TRACE)));
	assert_false(str_eq(traceparent_next(arena, STR_NONE), fresh));
	assert_int_equal(request_id_new(arena).len, 32);
	arena_unref(arena);
}

static enum fault short_stock(struct scope *s)
{
	s->extra = STR("\"lines\":[{\"available\":1}]");
	return fail(s, FAULT_INSUFFICIENT_STOCK, "product \"%s\" is short", "lamp");
}

static void test_problem(void **state)
{
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_str_equal(
		problem_write(&s, short_stock(&s), STR("/orders"), STR("00-" TRACE "-" SPAN "-01")),
		STR("{\"type\":\"https://bodega.example/problems/insufficient_stock\","
		    "\"title\":\"There is not enough stock\",\"status\":409,"
		    "\"code\":\"insufficient_stock\",\"detail\":\"product \\\"lamp\\\" is short\","
		    "\"instance\":\"/orders\",\"trace_id\":\"" TRACE "\","
		    "\"lines\":[{\"available\":1}]}"));
	scope_end(&s);
}

static void test_problem_names_each_field(void **state)
{
	struct scope s;
	enum fault fault;

	(void)state;
	scope_begin(&s);
	fault = fail_field(&s, STR("name"), "required", "must be given");
	fault = fail_field(&s, STR("items[0].x"), "type", "must be \"a\" number");
	assert_str_equal(problem_write(&s, fault, STR_NONE, STR_NONE),
		STR("{\"type\":\"https://bodega.example/problems/invalid\","
		    "\"title\":\"Some fields are not valid\",\"status\":422,\"code\":\"invalid\","
		    "\"errors\":[{\"field\":\"name\",\"code\":\"required\","
		    "\"message\":\"must be given\"},{\"field\":\"items[0].x\",\"code\":\"type\","
		    "\"message\":\"must be \\\"a\\\" number\"}]}"));
	scope_end(&s);
}

static void test_problem_keeps_our_bugs_inside(void **state)
{
	struct scope s;
	struct str text;

	(void)state;
	scope_begin(&s);
	text = problem_write(
		&s, fail(&s, FAULT_INTERNAL, "column secret does not exist"), STR_NONE, STR_NONE);
	assert_null(memmem(text.at, text.len, "secret", 6));
	scope_end(&s);
}

static void test_reply_headers(void **state)
{
	struct arena *arena = arena_new();
	struct reply reply = {.arena = arena};
	struct request request = {
		.target = STR("/a%20b/?q=x%20y&cursor=old&limit=2"),
		.path = STR("/a b"),
		.query = STR("q=x%20y&cursor=old&limit=2"),
	};

	(void)state;
	reply_location(&reply, "/orders/%d", 7);
	reply_next_page(&reply, &request, STR("new"));
	reply_header(&reply, "x-bad", STR("a\r\nset-cookie: b"));
	reply_versions(&reply, 3, 17);
	assert_int_equal(reply.header_count, 2);
	assert_str_equal(reply.headers[0].value, STR("/orders/7"));
	assert_str_equal(
		reply.headers[1].value, STR("</a%20b/?q=x%20y&limit=2&cursor=new>; rel=\"next\""));
	assert_str_equal(reply.etag, STR("3.17"));
	for (size_t i = 0; i < REPLY_HEADERS_MAX; i++)
		reply_header(&reply, "x", STR("y"));
	assert_int_equal(reply.header_count, REPLY_HEADERS_MAX);
	arena_unref(arena);
}

static void test_request(void **state)
{
	static const struct header headers[] = {
		{{"accept", 6}, {"a", 1}}, {{"x", 1}, {"first", 5}}, {{"x", 1}, {"second", 6}}};
	struct request request = {.headers = headers, .header_count = COUNT(headers)};
	struct uuid id;
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_str_equal(request_header(&request, STR("x")), STR("first"));
	assert_null(request_header(&request, STR("y")).at);
	request.params[0] = STR("018f6a1e-0000-7000-8000-000000000001");
	assert_int_equal(request_uuid(&s, &request, 0, &id), OK);
	request.params[0] = STR("7");
	assert_int_equal(request_uuid(&s, &request, 0, &id), FAULT_NOT_FOUND);
	scope_end(&s);
}

struct note {
	struct str text;
};

static const struct field note_fields[] = {
	FIELD(struct note, text, TEXT, REQUIRED, .min = 1, .max = 10),
};
static const struct field_table note_table = FIELD_TABLE(struct note, note_fields);

static void test_request_json(void **state)
{
	static const struct {
		const char *type;
		const char *body;
		enum fault json;
		enum fault merge;
	} rows[] = {
		{"application/json", "{\"text\":\"a\"}", OK, OK},
		{"Application/JSON; charset=utf-8", "{\"text\":\"a\"}", OK, OK},
		{NULL, "{\"text\":\"a\"}", OK, OK},
		{"application/merge-patch+json", "{\"text\":\"a\"}", FAULT_UNSUPPORTED_MEDIA_TYPE,
			OK},
		{"text/plain", "{\"text\":\"a\"}", FAULT_UNSUPPORTED_MEDIA_TYPE,
			FAULT_UNSUPPORTED_MEDIA_TYPE},
		{"application/jsonx", "{}", FAULT_UNSUPPORTED_MEDIA_TYPE,
			FAULT_UNSUPPORTED_MEDIA_TYPE},
		{"application/json", "", FAULT_BAD_JSON, FAULT_BAD_JSON},
		{"application/json", "{}", FAULT_INVALID, OK},
		{"application/json", "nonsense", FAULT_BAD_JSON, FAULT_BAD_JSON},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct header header = {STR("content-type"), str_from(rows[i].type)};
		const struct request request = {.headers = &header,
			.header_count = rows[i].type != NULL,
			.body = str_from(rows[i].body)};
		struct note note = {0};
		struct scope s;

		scope_begin(&s);
		if (request_json(&s, &request, &note_table, &note) != rows[i].json)
			fail_row(i, "json %s", rows[i].body);
		scope_end(&s);
		scope_begin(&s);
		if (request_merge(&s, &request, &note_table, &note) != rows[i].merge)
			fail_row(i, "merge %s", rows[i].body);
		scope_end(&s);
	}
}

static void test_reply_list(void **state)
{
	struct arena *arena = arena_new();
	struct reply reply = {.arena = arena};
	const struct request request = {.target = STR("/notes"), .path = STR("/notes")};
	const struct note notes[] = {{STR("a")}, {STR("b")}};

	(void)state;
	assert_int_equal(reply_list(&reply, &request, &note_table, notes, 2, STR("next")), OK);
	assert_int_equal(reply.status, 200);
	assert_str_equal(reply.body,
		STR("{\"data\":[{\"text\":\"a\"},{\"text\":\"b\"}],\"next_cursor\":\"next\","
		    "\"has_more\":true}"));
	assert_str_equal(reply.headers[0].value, STR("</notes?cursor=next>; rel=\"next\""));
	arena_unref(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_etag_lists),
		cmocka_unit_test(test_etag_lists_by_version),
		cmocka_unit_test(test_etag_lists_of_resources),
		cmocka_unit_test(test_accept_encoding),
		cmocka_unit_test(test_precondition),
		cmocka_unit_test(test_traceparents),
		cmocka_unit_test(test_next_span),
		cmocka_unit_test(test_problem),
		cmocka_unit_test(test_problem_names_each_field),
		cmocka_unit_test(test_problem_keeps_our_bugs_inside),
		cmocka_unit_test(test_reply_headers),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_request_json),
		cmocka_unit_test(test_reply_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
