/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "auth/cursor.h"
#include "handlers.h"
#include "keys.h"
#include "orders.h"
#include "upstream/testing.h"

#define PASSWORD "correct horse"
#define EMAIL "ada@example.com"

static const struct str secret = STR("0123456789abcdef0123456789abcdef");
static const struct str other_secret = STR("another one, of 32 bytes as well");
static const struct token_rules rules = {STR("bodega"), STR("bodega")};

/* ---- orders, played by a thread ---- */

static struct {
	struct raw_server server;
	const char *answer; /* NULL: the connection is closed instead */
	char asked[64];
} orders;

static const char closed[] = "HTTP/1.1 204 No Content\r\n\r\n";

static void serve(struct raw_connection *c)
{
	char request[RAW_REQUEST_MAX];

	while (raw_read(c)) {
		raw_last(c->server, request);
		snprintf(orders.asked, sizeof orders.asked, "%.63s", request);
		if (orders.answer == NULL)
			return;
		raw_write(c, str_from(orders.answer));
	}
}

static struct upstream *upstream;

static void start_orders(void)
{
	raw_server_start(&orders.server, serve, NULL);
	const struct str address = str_from(orders.server.address);
	upstream = upstream_new(world.loop, &(struct upstream_config){.name = "orders",
						    .addresses = &address,
						    .address_count = 1,
						    .connections_max = 1,
						    .queue_max = 16,
						    .body_bytes_max = 1 << 20});
	orders_use(upstream);
}

static void stop_orders(void)
{
	upstream_free(upstream);
	raw_server_stop(&orders.server);
}

/* ---- calls of handlers ---- */

struct call {
	handler_fn *handler;
	const char *body;
	const char *query;
	const char *id; /* of the path */
	const char *if_match;
	const char *key; /* Idempotency-Key */
	struct caller caller;
	/* the answer */
	int status;
	char json[2048];
	char field[64]; /* the first bad one */
	struct job job;
};

static enum fault handle(struct task *t, struct job *job)
{
	struct call *c = CONTAINER_OF(job, struct call, job);
	const struct header headers[] = {
		{c->if_match != NULL ? STR("if-match") : STR("x-none"), str_from(c->if_match)},
		{c->key != NULL ? STR("idempotency-key") : STR("x-none"), str_from(c->key)},
	};
	const struct request request = {
		.body = str_from(c->body),
		.query = str_from(c->query),
		.params = {str_from(c->id)},
		.headers = headers,
		.header_count = COUNT(headers),
		.caller = c->caller,
	};
	struct reply reply = {.arena = t->scope.arena};
	const enum fault fault = c->handler(t, &request, &reply);

	c->status = reply.status;
	snprintf(c->json, sizeof c->json, "%.*s", STR_ARG(reply.body));
	snprintf(c->field, sizeof c->field, "%.*s",
		STR_ARG(t->scope.errors != NULL ? t->scope.errors->field : STR_NONE));
	return fault;
}

static enum fault call(struct call *c)
{
	c->job.work = handle;
	job_finish(&c->job);
	return c->job.fault;
}

/* A member of an answer that is a text. */
static const char *member(const struct call *c, const char *name)
{
	static char texts[4][1024];
	static unsigned next;
	char mark[64];
	char *text = texts[next++ % 4];

	snprintf(mark, sizeof mark, "\"%s\":\"", name);
	const char *at = strstr(c->json, mark);
	if (at == NULL)
		return "";
	at += strlen(mark);
	snprintf(text, sizeof texts[0], "%.*s", (int)strcspn(at, "\""), at);
	return text;
}

/* ---- what people do ---- */

static struct call ada; /* her registration */

static enum fault register_ada(struct call *c)
{
	*c = (struct call){.handler = session_register,
		.body = "{\"email\":\"" EMAIL "\",\"username\":\"ada\",\"password\":\"" PASSWORD
			"\"}"};
	return call(c);
}

static enum fault log_in(struct call *c, const char *password)
{
	static char body[256];

	snprintf(body, sizeof body, "{\"email\":\"" EMAIL "\",\"password\":\"%s\"}", password);
	*c = (struct call){.handler = session_login, .body = body};
	return call(c);
}

static struct call refreshing(const char *token)
{
	static char body[256];

	snprintf(body, sizeof body, "{\"refresh_token\":\"%s\"}", token);
	return (struct call){.handler = session_refresh, .body = body};
}

static struct caller caller_of(const struct call *session, enum role role)
{
	struct caller caller = {.role = role};

	CHECK(uuid_parse(str_from(member(session, "id")), &caller.user_id));
	CHECK(uuid_parse(str_from(observe("SELECT id FROM sessions ORDER BY created_at LIMIT 1")),
		&caller.session_id));
	return caller;
}

static struct call as_ada(handler_fn *handler, const char *body)
{
	return (struct call){
		.handler = handler, .body = body, .caller = caller_of(&ada, ROLE_CUSTOMER)};
}

static long long count(const char *what)
{
	char sql[256];

	snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", what);
	return observe_number(sql);
}

static long long live_tokens(void)
{
	return count("refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON"
		     " u.id = s.user_id WHERE t.used_at IS NULL AND t.revoked_at IS NULL AND"
		     " s.revoked_at IS NULL AND s.epoch = u.session_epoch");
}

static int nobody(void **state)
{
	(void)state;
	forget_users();
	orders.answer = closed;
	passwords.cost = 4;
	return 0;
}

static int somebody(void **state)
{
	nobody(state);
	assert_int_equal(register_ada(&ada), OK);
	return 0;
}

/* ---- sessions ---- */

static enum fault document(struct task *t, struct job *job)
{
	struct verifier *v = verifier_new(&rules);
	struct caller caller;
	struct str jwks;
	enum fault fault = keys_document(t, &jwks);

	if (fault == OK && !verifier_set_keys(v, &t->scope, jwks))
		fault = FAULT_INTERNAL;
	if (fault == OK)
		fault = verifier_check(v, &t->scope, str_from(member(&ada, "access_token")),
			clock_wall_us() / 1000000, &caller);
	verifier_free(v);
	if (fault == OK)
		uuid_format(&caller.user_id, job->text);
	return fault;
}

static void registration_logs_in(void **state)
{
	struct call login, next;
	struct job look = {.work = document};

	(void)state;
	assert_int_equal(register_ada(&ada), OK);
	assert_int_equal(ada.status, 201);
	assert_string_equal(member(&ada, "role"), "customer");
	job_finish(&look);
	assert_int_equal(look.fault, OK);
	assert_string_equal(look.text, member(&ada, "id"));
	assert_int_equal(log_in(&login, PASSWORD), OK);
	assert_string_not_equal(member(&login, "refresh_token"), member(&ada, "refresh_token"));
	next = refreshing(member(&login, "refresh_token"));
	assert_int_equal(call(&next), OK);
	assert_int_equal(count("sessions"), 2);
	assert_int_equal(live_tokens(), 2);
}

#define KEYED(more) "{\"email\":\"k@example.com\",\"password\":\"" PASSWORD "\"" more "}"

static void a_repeated_registration_gets_new_tokens(void **state)
{
	static const struct {
		const char *key;
		const char *body;
		enum fault fault;
	} rows[] = {
		{"one", KEYED(",\"phone\":\"1\""), OK},
		{"one", KEYED(",\"phone\":\"1\""), OK},
		{"one", KEYED(", \"phone\" : \"1\""), OK}, /* the same but for blanks */
		{"one", KEYED(",\"phone\":\"2\""), FAULT_KEY_REUSED},
		{"one",
			"{\"email\":\"k@example.com\",\"password\":\"" PASSWORD
			"!\",\"phone\":\"1\"}",
			FAULT_KEY_REUSED},
		{"two", KEYED(",\"phone\":\"1\""), FAULT_EMAIL_TAKEN},
		{NULL, KEYED(",\"phone\":\"1\""), FAULT_EMAIL_TAKEN},
		{"a b", KEYED(",\"phone\":\"1\""), FAULT_INVALID},
		{"one", "{\"email\":\"" EMAIL "\",\"password\":\"" PASSWORD "\"}", OK},
	};
	char id[UUID_TEXT_LEN + 1] = "";

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct call c = {
			.handler = session_register, .body = rows[i].body, .key = rows[i].key};
		if (call(&c) != rows[i].fault)
			fail_row(i, "%s: %s", rows[i].body, fault_info(c.job.fault)->name);
		if (i == 0)
			snprintf(id, sizeof id, "%s", member(&c, "id"));
		if (i == 1) {
			struct call next = refreshing(member(&c, "refresh_token"));
			assert_int_equal(c.status, 201);
			assert_string_equal(member(&c, "id"), id);
			assert_int_equal(call(&next), OK);
		}
	}
	assert_int_equal(count("users"), 2);
	assert_int_equal(live_tokens(), 4);
	observe("UPDATE users SET created_at = created_at - interval '25 hours'");
	struct call late = {.handler = session_register, .body = rows[0].body, .key = "one"};
	assert_int_equal(call(&late), FAULT_EMAIL_TAKEN);
}

static void logins_by_either_name(void **state)
{
	static const struct {
		const char *body;
		enum fault fault;
	} rows[] = {
		{"{\"email\":\"ADA@example.com\",\"password\":\"" PASSWORD "\"}", OK},
		{"{\"username\":\"Ada\",\"password\":\"" PASSWORD "\"}", OK},
		{"{\"username\":\"ada@example.com\",\"password\":\"" PASSWORD "\"}", OK},
		{"{\"email\":\"ada\",\"password\":\"" PASSWORD "\"}", OK},
		{"{\"email\":\"ada\",\"password\":\"" PASSWORD "!\"}", FAULT_BAD_CREDENTIALS},
		{"{\"email\":\"nobody\",\"password\":\"" PASSWORD "\"}", FAULT_BAD_CREDENTIALS},
		{"{\"email\":\"ada\",\"username\":\"ada\",\"password\":\"" PASSWORD "\"}",
			FAULT_INVALID},
		{"{\"password\":\"" PASSWORD "\"}", FAULT_INVALID},
		{"{\"email\":\"ada\"}", FAULT_INVALID},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct call c = {.handler = session_login, .body = rows[i].body};
		if (call(&c) != rows[i].fault)
			fail_row(i, "%s: %s", rows[i].body, fault_info(c.job.fault)->name);
	}
	assert_int_equal(count("sessions"), 5);
}

static uint64_t rounds_of(const char *body)
{
	const uint64_t before = password_rounds();
	struct call c = {.handler = session_login, .body = body};

	assert_int_equal(call(&c), FAULT_BAD_CREDENTIALS);
	return password_rounds() - before;
}

/* Whatever account costs the most sets the work of all. */
static void unknown_accounts_take_the_same_work(void **state)
{
	static const char known[] = "{\"email\":\"" EMAIL "\",\"password\":\"x\"}";
	static const char unknown[] = "{\"email\":\"no@example.com\",\"password\":\"x\"}";
	struct call costly = {.handler = session_register,
		.body = "{\"email\":\"b@example.com\",\"password\":\"" PASSWORD "\"}"};

	(void)state;
	assert_int_equal(rounds_of(known), 16);
	assert_int_equal(rounds_of(unknown), 16);
	passwords.cost = 7;
	assert_int_equal(call(&costly), OK);
	passwords.cost = 5;
	assert_int_equal(rounds_of(known), 128);
	assert_int_equal(rounds_of(unknown), 128);
}

static void a_raised_cost_is_taken_over(void **state)
{
	struct call c;

	(void)state;
	passwords.cost = 5;
	assert_int_equal(log_in(&c, PASSWORD), OK);
	assert_int_equal(observe_number("SELECT password_cost FROM users"), 5);
	assert_int_equal(live_tokens(), 2);
	assert_int_equal(log_in(&c, PASSWORD), OK);
	passwords.cost = 4;
	assert_int_equal(log_in(&c, PASSWORD), OK);
	assert_int_equal(observe_number("SELECT password_cost FROM users"), 5);
}

static void passwords_change(void **state)
{
	struct call c = as_ada(user_change_password,
		"{\"old_password\":\"wrong\",\"new_password\":\"something new\"}");
	struct call other;

	(void)state;
	assert_int_equal(log_in(&other, PASSWORD), OK);
	assert_int_equal(call(&c), FAULT_INVALID);
	assert_string_equal(c.field, "old_password");
	c = as_ada(user_change_password,
		"{\"old_password\":\"" PASSWORD "\",\"new_password\":\"password123\"}");
	assert_int_equal(call(&c), FAULT_INVALID);
	assert_string_equal(c.field, "new_password");
	c = as_ada(user_change_password,
		"{\"old_password\":\"" PASSWORD "\",\"new_password\":\"something new\"}");
	assert_int_equal(call(&c), OK);
	assert_int_equal(live_tokens(), 1);
	assert_int_equal(log_in(&c, PASSWORD), FAULT_BAD_CREDENTIALS);
	assert_int_equal(log_in(&c, "something new"), OK);
	c = refreshing(member(&ada, "refresh_token"));
	assert_int_equal(call(&c), OK);
}

/* ---- accounts ---- */

static void accounts_of_others_do_not_exist(void **state)
{
	struct call c = as_ada(user_read, NULL);
	char id[UUID_TEXT_LEN + 1];
	const struct uuid stranger = uuid_new();

	(void)state;
	assert_int_equal(call(&c), OK);
	c.id = member(&ada, "id");
	assert_int_equal(call(&c), OK);
	c.caller.user_id = stranger;
	assert_int_equal(call(&c), FAULT_NOT_FOUND);
	c.caller.role = ROLE_SUPPORT;
	assert_int_equal(call(&c), FAULT_NOT_FOUND);
	c.caller.role = ROLE_ADMIN;
	assert_int_equal(call(&c), OK);
	c.id = uuid_format(&stranger, id).at;
	assert_int_equal(call(&c), FAULT_NOT_FOUND);
	c.id = "7";
	assert_int_equal(call(&c), FAULT_NOT_FOUND);
}

static void a_named_version_must_be_the_one(void **state)
{
	struct call c = as_ada(user_change, "{\"phone\":\"1\"}");

	(void)state;
	c.if_match = "\"1\"";
	assert_int_equal(call(&c), OK);
	assert_int_equal(call(&c), FAULT_PRECONDITION_FAILED);
	c.handler = user_replace;
	c.body = "{\"email\":\"" EMAIL "\"}";
	assert_int_equal(call(&c), FAULT_PRECONDITION_FAILED);
	c.handler = user_delete;
	assert_int_equal(call(&c), FAULT_PRECONDITION_FAILED);
	c.if_match = "\"2\"";
	assert_int_equal(call(&c), OK);
}

/* Both are done, although each read the account before the other one wrote. */
static void changes_at_once_are_both_done(void **state)
{
	struct call calls[] = {
		as_ada(user_change, "{\"phone\":\"1\"}"),
		as_ada(user_change, "{\"full_name\":\"Ada\"}"),
		as_ada(user_change, "{\"phone\":\"2\"}"),
	};

	(void)state;
	calls[2].if_match = "\"1\"";
	for (size_t i = 0; i < COUNT(calls); i++) {
		calls[i].job.work = handle;
		job_start(&calls[i].job);
	}
	for (size_t i = 0; i < COUNT(calls); i++)
		turn_until(calls[i].job.task == NULL);
	assert_int_equal(calls[0].job.fault, OK);
	assert_int_equal(calls[1].job.fault, OK);
	assert_true(calls[2].job.fault == OK || calls[2].job.fault == FAULT_PRECONDITION_FAILED);
	assert_int_equal(
		observe_number("SELECT version FROM users"), calls[2].job.fault == OK ? 4 : 3);
	assert_string_equal(observe("SELECT concat_ws(' ', phone, full_name) FROM users"), "1 Ada");
}

static void replacing_clears_and_merging_keeps(void **state)
{
	struct call c = as_ada(user_change, "{\"address\":{\"city\":\"Graz\"},\"phone\":\"1\"}");

	(void)state;
	assert_int_equal(call(&c), OK);
	assert_string_equal(member(&c, "username"), "ada");
	c = as_ada(user_change, "{\"address\":{\"country\":\"AT\"},\"phone\":null}");
	assert_int_equal(call(&c), OK);
	assert_non_null(strstr(c.json, "{\"city\":\"Graz\",\"country\":\"AT\"}"));
	assert_non_null(strstr(c.json, "\"phone\":null"));
	c = as_ada(user_replace, "{\"email\":\"b@example.com\",\"role\":\"admin\"}");
	assert_int_equal(call(&c), OK);
	assert_string_equal(observe("SELECT concat_ws(' ', email, username, address, role)"
				    " FROM users"),
		"b@example.com customer");
	c = as_ada(user_change, "{\"email\":null}");
	assert_int_equal(call(&c), FAULT_INVALID);
	c = as_ada(user_change, "{\"username\":\"a b\"}");
	assert_int_equal(call(&c), FAULT_INVALID);
	assert_string_equal(c.field, "username");
}

#define ANSWER(status, body) "HTTP/1.1 " status "\r\ncontent-length: " body

static void orders_is_asked_before_an_account_goes(void **state)
{
	static const struct {
		const char *answer;
		enum fault fault;
	} rows[] = {
		{ANSWER("409 Conflict", "22\r\n\r\n{\"code\":\"open_orders\"}"), FAULT_OPEN_ORDERS},
		{ANSWER("409 Conflict", "21\r\n\r\n{\"code\":\"order_busy\"}"), FAULT_ORDER_BUSY},
		{ANSWER("403 Forbidden", "20\r\n\r\n{\"code\":\"forbidden\"}"), FAULT_BAD_GATEWAY},
		{ANSWER("503 Service Unavailable", "22\r\n\r\n{\"code\":\"unavailable\"}"),
			FAULT_UNAVAILABLE},
		{NULL, FAULT_UNAVAILABLE},
		{closed, OK},
	};
	struct call c = as_ada(user_delete, NULL);
	char line[64];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		orders.answer = rows[i].answer;
		assert_int_equal(count("users WHERE deleted_at IS NULL"), 1);
		if (call(&c) != rows[i].fault)
			fail_row(i, "%s", fault_info(c.job.fault)->name);
	}
	snprintf(line, sizeof line, "GET /internal/users/%s", member(&ada, "id"));
	assert_int_equal(strncmp(orders.asked, line, strlen(line)), 0);
	assert_int_equal(count("users WHERE deleted_at IS NULL"), 0);
	assert_int_equal(live_tokens(), 1); /* of the tables; a refresh is refused all the same */
	c = refreshing(member(&ada, "refresh_token"));
	assert_int_equal(call(&c), FAULT_BAD_REFRESH_TOKEN);
}

static void lists_go_on_by_cursors(void **state)
{
	static char query[1024];
	struct call c = {.handler = user_list, .query = "limit=1"};

	(void)state;
	observe("INSERT INTO users (id, email, full_name, password_hash, password_cost)"
		" SELECT gen_random_uuid(), n || '@example.com', 'Bob', 'x', 4"
		" FROM generate_series(1, 2) n");
	assert_int_equal(call(&c), OK);
	snprintf(query, sizeof query, "limit=2&cursor=%s", member(&c, "next_cursor"));
	c.query = query;
	assert_int_equal(call(&c), OK);
	assert_non_null(strstr(c.json, "\"next_cursor\":null,\"has_more\":false"));
	c.handler = user_search;
	snprintf(query, sizeof query, "q=a&cursor=%s", strrchr(query, '=') + 1);
	assert_int_equal(call(&c), FAULT_BAD_CURSOR); /* of another list */

	c.query = "q=bob&limit=1";
	assert_int_equal(call(&c), OK);
	assert_null(strstr(c.json, "email"));
	c.caller.role = ROLE_ADMIN;
	assert_int_equal(call(&c), OK);
	assert_non_null(strstr(c.json, "email"));
	snprintf(query, sizeof query, "q=bob&limit=1&cursor=%s", member(&c, "next_cursor"));
	c.query = query;
	assert_int_equal(call(&c), OK);
	assert_non_null(strstr(c.json, "\"next_cursor\":null,\"has_more\":false"));
	query[2] = 'c';
	assert_int_equal(call(&c), FAULT_BAD_CURSOR); /* of another search */
}

/* ---- keys ---- */

static enum fault load(struct task *t, struct job *job)
{
	(void)job;
	return keys_load(t);
}

static enum fault publish(struct task *t, struct job *job)
{
	struct str jwks;

	(void)job;
	return keys_document(t, &jwks);
}

static void take_keys_secret(struct str first, struct str second)
{
	static struct secret with;

	with = (struct secret){first, second};
	keys_set_secret(&with);
}

static void begin_keys(struct str with)
{
	take_keys_secret(with, STR_NONE);
	keys_use(blocking_pool_new("sign", 1, 64, 0), &rules);
}

/* Tokens can be verified, none can be made, and it says why. */
static void with_another_secret_it_is_not_ready(void **state)
{
	struct job loading = {.work = load};
	struct str why;
	struct call c;

	(void)state;
	assert_true(keys_ready(&why));
	keys_free();
	begin_keys(other_secret);
	assert_false(keys_ready(&why));
	job_finish(&loading);
	assert_int_equal(loading.fault, FAULT_INTERNAL);
	assert_non_null(strstr(loading.detail, "KEYS_SECRET"));
	assert_false(keys_ready(&why));
	assert_non_null(memmem(why.at, why.len, "KEYS_SECRET", 11));
	assert_int_equal(run(publish), OK);
	assert_int_equal(register_ada(&c), FAULT_UNAVAILABLE);
	assert_int_equal(count("users"), 0);
	keys_free();
	begin_keys(secret);
	assert_int_equal(run(load), OK);
	assert_true(keys_ready(&why));
	assert_int_equal(count("signing_keys"), 1);
}

/* Both are given, the next one first: the key is sealed anew, and the one before can go. */
static void the_secret_may_change(void **state)
{
	struct job loading = {.work = load};
	struct str why;

	(void)state;
	keys_free();
	begin_keys(secret);
	take_keys_secret(other_secret, secret);
	assert_int_equal(run(load), OK);
	assert_true(keys_ready(&why));
	keys_free();
	begin_keys(secret);
	job_finish(&loading);
	assert_int_equal(loading.fault, FAULT_INTERNAL);
	keys_free();
	begin_keys(other_secret);
	assert_int_equal(run(load), OK);
	assert_true(keys_ready(&why));
	take_keys_secret(secret, other_secret);
	assert_int_equal(run(load), OK);
	take_keys_secret(secret, STR_NONE);
	assert_int_equal(count("signing_keys"), 1);
}

/* ---- every wait fails once ---- */

static const enum fault faults[] = {FAULT_UNAVAILABLE, FAULT_CANCELED, FAULT_DEADLINE};

/* `make` prepares a call; `check` looks at what a fault left behind, and repeats the call. */
static void at_every_wait(const char *what, struct call (*make)(void),
	void (*check)(const char *what, const struct call *c))
{
	for (size_t i = 0; i < COUNT(faults); i++) {
		for (unsigned n = 1;; n++) {
			stop_orders(); /* its connections are counted */
			start_orders();
			struct call c = make();
			c.job.inject_at = n;
			c.job.inject_fault = faults[i];
			(void)call(&c);
			assert_whole();
			if (c.job.waits < n) {
				assert_int_equal(c.job.fault, OK);
				assert_true(n > 1);
				break;
			}
			check(what, &c);
			assert_whole();
		}
	}
}

static struct call make_registration(void)
{
	nobody(NULL);
	return (struct call){.handler = session_register,
		.key = "k",
		.body = "{\"email\":\"" EMAIL "\",\"password\":\"" PASSWORD "\"}"};
}

/* An account only if it may be there, and then a whole one; the repeat gets it in any case. */
static void check_registration(const char *what, const struct call *c)
{
	struct call again = {.handler = c->handler, .body = c->body, .key = c->key};
	const long long made = count("users");

	(void)what;
	if (c->job.fault != FAULT_UNKNOWN && c->job.fault != OK)
		assert_int_equal(made, 0);
	assert_int_equal(live_tokens(), made);
	assert_int_equal(call(&again), OK);
	assert_int_equal(count("users"), 1);
	assert_int_equal(log_in(&again, PASSWORD), OK);
}

static struct call make_login(void)
{
	somebody(NULL);
	passwords.cost = 5; /* with a rehash */
	return (struct call){.handler = session_login,
		.body = "{\"email\":\"" EMAIL "\",\"password\":\"" PASSWORD "\"}"};
}

static void check_login(const char *what, const struct call *c)
{
	struct call again;

	(void)what;
	if (c->job.fault != FAULT_UNKNOWN && c->job.fault != OK)
		assert_int_equal(count("sessions"), 1);
	assert_int_equal(log_in(&again, PASSWORD), OK);
	assert_int_equal(observe_number("SELECT password_cost FROM users"), 5);
}

static struct call make_refresh(void)
{
	somebody(NULL);
	return refreshing(member(&ada, "refresh_token"));
}

/* The client still has the old token, and it still helps. */
static void check_refresh(const char *what, const struct call *c)
{
	struct call again = refreshing(member(&ada, "refresh_token"));

	(void)c;
	if (call(&again) != OK)
		fail_msg("%s: %s", what, fault_info(again.job.fault)->name);
	assert_int_equal(live_tokens(), 1);
	again = refreshing(member(&again, "refresh_token"));
	assert_int_equal(call(&again), OK);
}

static struct call make_password(void)
{
	somebody(NULL);
	return as_ada(user_change_password,
		"{\"old_password\":\"" PASSWORD "\",\"new_password\":\"something new\"}");
}

static void check_password(const char *what, const struct call *c)
{
	struct call login;
	const bool is_new = log_in(&login, "something new") == OK;

	(void)what;
	if (c->job.fault != FAULT_UNKNOWN && c->job.fault != OK)
		assert_false(is_new);
	assert_int_equal(log_in(&login, PASSWORD), is_new ? FAULT_BAD_CREDENTIALS : OK);
}

static struct call make_change(void)
{
	somebody(NULL);
	return as_ada(user_change, "{\"phone\":\"1\"}");
}

static void check_change(const char *what, const struct call *c)
{
	(void)what;
	assert_int_equal(
		count("users WHERE phone = '1'"), observe_number("SELECT version - 1 FROM users"));
	if (c->job.fault != FAULT_UNKNOWN && c->job.fault != OK)
		assert_int_equal(count("users WHERE phone = '1'"), 0);
}

static struct call make_deletion(void)
{
	somebody(NULL);
	return as_ada(user_delete, NULL);
}

static void check_deletion(const char *what, const struct call *c)
{
	struct call again = as_ada(user_delete, NULL);
	const bool is_there = count("users WHERE deleted_at IS NULL") > 0;

	(void)what;
	if (c->job.fault != FAULT_UNKNOWN && c->job.fault != OK)
		assert_true(is_there);
	assert_int_equal(call(&again), is_there ? OK : FAULT_NOT_FOUND);
}

static void nothing_is_half_done_at_any_wait(void **state)
{
	(void)state;
	at_every_wait("register", make_registration, check_registration);
	at_every_wait("login", make_login, check_login);
	at_every_wait("refresh", make_refresh, check_refresh);
	at_every_wait("password", make_password, check_password);
	at_every_wait("change", make_change, check_change);
	at_every_wait("delete", make_deletion, check_deletion);
}

/* ---- begin and end ---- */

static void ended_sessions_are_the_gateways_business(void **state)
{
	struct call c = {.handler = sessions_ended, .caller.service = STR("orders")};

	(void)state;
	assert_int_equal(call(&c), FAULT_FORBIDDEN);
	c.caller.service = STR("gateway");
	assert_int_equal(call(&c), OK);
	assert_string_equal(c.json, "{\"sessions\":[]}");
}

static int setup(void **state)
{
	static struct secret cursors; /* borrowed for good */

	(void)state;
	if (users_world_begin("users_session_test") != 0)
		return -1;
	cursors.current = secret;
	cursor_set_secret(&cursors);
	passwords = (struct password_config){
		.pepper = secret, .cost = 4, .threads = blocking_pool_new("hash", 2, 64, 0)};
	begin_keys(secret);
	start_orders();
	return run(load) == OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	stop_orders();
	pg_free(world.pg);
	PQfinish(world.observer);
	loop_free(world.loop);
	blocking_pool_free(passwords.threads);
	keys_free();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registration_logs_in, nobody),
		cmocka_unit_test_setup(a_repeated_registration_gets_new_tokens, nobody),
		cmocka_unit_test_setup(logins_by_either_name, somebody),
		cmocka_unit_test_setup(unknown_accounts_take_the_same_work, somebody),
		cmocka_unit_test_setup(a_raised_cost_is_taken_over, somebody),
		cmocka_unit_test_setup(passwords_change, somebody),
		cmocka_unit_test_setup(accounts_of_others_do_not_exist, somebody),
		cmocka_unit_test_setup(a_named_version_must_be_the_one, somebody),
		cmocka_unit_test_setup(changes_at_once_are_both_done, somebody),
		cmocka_unit_test_setup(replacing_clears_and_merging_keeps, somebody),
		cmocka_unit_test_setup(orders_is_asked_before_an_account_goes, somebody),
		cmocka_unit_test_setup(lists_go_on_by_cursors, somebody),
		cmocka_unit_test_setup(ended_sessions_are_the_gateways_business, nobody),
		cmocka_unit_test_setup(with_another_secret_it_is_not_ready, nobody),
		cmocka_unit_test_setup(the_secret_may_change, nobody),
		cmocka_unit_test_setup(nothing_is_half_done_at_any_wait, nobody),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
