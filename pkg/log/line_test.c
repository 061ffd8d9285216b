/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "log/line.h"

static struct line line;

/* What follows the message of a line with these pairs; the end too. */
static struct str made(const struct log_context *context, const struct log_pair *pairs)
{
	struct str rest;
	const char *message;

	line_make(&line, "orders", context, LEVEL_WARN, "m", pairs);
	rest = str_of(line.at, line.len);
	assert_true(str_starts(rest, STR("{\"time\":\"20")));
	message = memmem(rest.at, rest.len, "\"message\":\"m\"", 13);
	assert_non_null(message);
	assert_true(str_ends(rest, STR("}\n")));
	rest = str_skip(rest, (size_t)(message - rest.at) + 13);
	rest.len -= 2;
	return rest;
}

#define MADE(...) made(NULL, (const struct log_pair[]){__VA_ARGS__, {0}})

static void a_line_has_its_parts(void **state)
{
	(void)state;
	line_make(
		&line, "orders", NULL, LEVEL_ERROR, "it \"broke\"", (const struct log_pair[]){{0}});
	/* {"time":"2026-11-21T06:25:22.123Z" */
	assert_str_equal(str_of(line.at, 9), STR("{\"time\":\""));
	assert_str_equal(str_skip(str_of(line.at, line.len), 33),
		STR("\",\"level\":\"error\",\"service\":\"orders\",\"message\":\"it "
		    "\\\"broke\\\"\"}\n"));
}

static void pairs_are_written_by_type(void **state)
{
	(void)state;
	assert_str_equal(
		MADE(LOG_STR("a", STR("x")), LOG_TEXT("b", "y")), STR(",\"a\":\"x\",\"b\":\"y\""));
	assert_str_equal(
		MADE(LOG_STR("a", STR_NONE), LOG_TEXT("b", NULL)), STR(",\"a\":null,\"b\":null"));
	assert_str_equal(MADE(LOG_INT("n", INT64_MIN), LOG_INT("p", 8080)),
		STR(",\"n\":-9223372036854775808,\"p\":8080"));
	assert_str_equal(MADE(LOG_MS("ms", 1234567), LOG_MS("us", 7), LOG_MS("minus", -1500)),
		STR(",\"ms\":1234.567,\"us\":0.007,\"minus\":-1.500"));
	assert_str_equal(MADE(LOG_BOOL("yes", true), LOG_BOOL("no", false)),
		STR(",\"yes\":true,\"no\":false"));
	assert_str_equal(
		MADE(LOG_FAULT("fault", FAULT_DEADLINE)), STR(",\"fault\":\"deadline_passed\""));
}

static void the_request_is_named(void **state)
{
	static const struct {
		const char *traceparent;
		const char *shown;
	} rows[] = {
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			",\"request_id\":\"r1\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
			"\"span_id\":\"00f067aa0ba902b7\""},
		{"00-4bf92f", ",\"request_id\":\"r1\""},
		{NULL, ",\"request_id\":\"r1\""},
	};
	const struct log_context unknown = {STR_NONE, STR_NONE};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct log_context context = {STR("r1"), str_from(rows[i].traceparent)};

		assert_str_equal(
			made(&context, (const struct log_pair[]){{0}}), str_from(rows[i].shown));
	}
	assert_str_equal(made(&unknown, (const struct log_pair[]){{0}}), STR(""));
}

static void any_bytes_become_json(void **state)
{
	static const struct {
		struct str bytes;
		const char *shown;
	} rows[] = {
		{{"a\"b\\c", 5}, "a\\\"b\\\\c"},
		{{"1\n2\r3\t4", 7}, "1\\n2\\r3\\t4"},
		{{"\0\x01\x1f\x7f", 4}, "\\u0000\\u0001\\u001f\\u007f"},
		{{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9},
			"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{{"a\xff\xc3", 3}, "a\xef\xbf\xbd\xef\xbf\xbd"},
		{{"\xed\xa0\x80", 3}, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{{"\xe2\x82", 2}, "\xef\xbf\xbd\xef\xbf\xbd"},
		{{"</script>", 9}, "</script>"},
	};
	char expected[128];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		snprintf(expected, sizeof expected, ",\"a\":\"%s\"", rows[i].shown);
		assert_str_equal(MADE(LOG_STR("a", rows[i].bytes)), str_from(expected));
	}
}

static void secrets_are_not_written(void **state)
{
	static const struct {
		const char *key;
		const char *value;
		const char *shown;
	} rows[] = {
		{"password", "hunter2", "[redacted]"},
		{"new_password", "hunter2", "[redacted]"},
		{"Authorization", "Bearer hunter2", "[redacted]"},
		{"refresh_token", "hunter2", "[redacted]"},
		{"set-cookie", "hunter2", "[redacted]"},
		{"client_secret", "hunter2", "[redacted]"},
		{"api_key", "hunter2", "[redacted]"},
		{"user", "hunter2", "hunter2"},
		{"url", "postgresql://me:hunter2@db/x", "postgresql://me:[redacted]@db/x"},
		{"url", "redis://:hunter2@cache:6379", "redis://:[redacted]@cache:6379"},
		{"url", "http://me:hunt@er2@h/p@q", "http://me:[redacted]@h/p@q"},
		{"url", "cannot reach amqp://u:p@h now", "cannot reach amqp://u:[redacted]@h now"},
		{"url", "http://host:8080/a@b", "http://host:8080/a@b"},
		{"url", "http://me@host:80/", "http://me@host:80/"},
		{"urls", "http://h:80/,http://me:hunter2@i,amqp://u:p@j",
			"http://h:80/,http://me:[redacted]@i,amqp://u:[redacted]@j"},
		{"email", "a:b@c", "a:b@c"},
	};
	char expected[128];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		snprintf(expected, sizeof expected, ",\"%s\":\"%s\"", rows[i].key, rows[i].shown);
		assert_str_equal(MADE(LOG_TEXT(rows[i].key, rows[i].value)), str_from(expected));
	}
	assert_str_equal(MADE(LOG_INT("token_count", 5)), STR(",\"token_count\":5"));
}

static void long_values_are_cut(void **state)
{
	static char value[LOG_VALUE_MAX + 2];
	struct str shown;

	(void)state;
	memset(value, 'x', sizeof value);
	shown = MADE(LOG_STR("a", str_of(value, LOG_VALUE_MAX)));
	assert_int_equal(shown.len, LOG_VALUE_MAX + 7);
	shown = MADE(LOG_STR("a", str_of(value, LOG_VALUE_MAX + 1)));
	assert_int_equal(shown.len, LOG_VALUE_MAX + 7 + 3);
	assert_true(str_ends(shown, STR("x…\"")));
}

/* Every length around the line's end: whole members only, and it says that it was cut. */
static void a_line_that_does_not_fit_is_json_still(void **state)
{
	static char value[LOG_VALUE_MAX];
	unsigned cut = 0, whole = 0;

	(void)state;
	memset(value, 'x', sizeof value);
	for (size_t last = 1900; last < LOG_VALUE_MAX; last++) {
		const struct str full = str_of(value, LOG_VALUE_MAX);
		const struct str shown = MADE(LOG_STR("a", full), LOG_STR("b", full),
			LOG_STR("c", full), LOG_STR("d", str_of(value, last)), LOG_INT("e", 1));

		assert_true(line.len <= LOG_LINE_MAX);
		if (line.cut) {
			cut++;
			assert_true(str_ends(shown, STR(",\"cut\":true")));
		} else {
			whole++;
			assert_true(str_ends(shown, STR("x\",\"e\":1")));
		}
	}
	assert_true(cut > 0 && whole > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_its_parts),
		cmocka_unit_test(pairs_are_written_by_type),
		cmocka_unit_test(the_request_is_named),
		cmocka_unit_test(any_bytes_become_json),
		cmocka_unit_test(secrets_are_not_written),
		cmocka_unit_test(long_values_are_cut),
		cmocka_unit_test(a_line_that_does_not_fit_is_json_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
