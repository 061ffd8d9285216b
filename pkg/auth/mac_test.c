/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "auth/mac.h"
#include "base/clock.h"

#define KEY_A "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
#define KEY_B "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="
#define KEY_C "Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2M="

/* A call that orders has signed, and products' verifier. */
struct fixture {
	struct task task;
	struct mac_secrets secrets;
	struct mac_ring ring;
	struct mac_verifier *verifier;
	struct upstream_request sent;
	struct request got;
	int64_t now_s;
};

static void send(struct fixture *f, const struct mac_secret *secret)
{
	const struct mac_secrets one = {(struct mac_secret *)(uintptr_t)secret, 1};
	const struct mac_ring ring = {&one};
	struct mac_pair pair = {&ring, secret->caller, secret->callee};
	const struct upstream_config config = {.name = "products", .sign_key = &pair};

	f->sent = (struct upstream_request){
		.method = STR("POST"),
		.target = STR("/internal/reservations/1?x=2"),
		.body = STR("{\"revision\":1}"),
	};
	upstream_header(&f->sent, STR("bodega-deadline-ms"), STR("9800"));
	mac_sign(&f->task, &config, &f->sent);
	f->got = (struct request){
		.method = f->sent.method,
		.target = f->sent.target,
		.body = f->sent.body,
		.headers = f->sent.headers,
		.header_count = f->sent.header_count,
	};
	f->now_s = clock_wall_us() / 1000000;
}

static enum fault check(struct fixture *f, struct caller *caller)
{
	*caller = (struct caller){0};
	scope_forgive(&f->task.scope);
	return mac_check(f->verifier, &f->task.scope, &f->got, f->now_s, caller);
}

static int set_up(void **state)
{
	struct fixture *const f = test_calloc(1, sizeof *f);
	struct scope *const s = &f->task.scope;

	scope_begin(s);
	f->task.actor = STR("user:1");
	assert_int_equal(mac_secrets_read(s,
				 STR("# who may call whom\n\n"
				     "orders products " KEY_A "\t" KEY_B "\r\n"
				     "gateway  products " KEY_C "\n"
				     "orders users " KEY_C),
				 &f->secrets),
		OK);
	assert_int_equal(f->secrets.count, 3);
	f->ring.secrets = &f->secrets;
	f->verifier = mac_verifier_new(STR("products"), &f->ring);
	send(f, &f->secrets.at[0]);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *const f = *state;

	mac_verifier_free(f->verifier);
	scope_end(&f->task.scope);
	test_free(f);
	return 0;
}

static void a_signed_call_is_taken(void **state)
{
	struct fixture *const f = *state;
	struct caller caller;

	assert_int_equal(check(f, &caller), OK);
	assert_str_equal(caller.service, STR("orders"));
	assert_str_equal(caller.actor, STR("user:1"));
	assert_int_equal(caller.role, ROLE_NONE);
}

static void without_an_actor_it_is_the_system(void **state)
{
	struct fixture *const f = *state;
	struct caller caller;

	f->task.actor = STR_NONE;
	send(f, &f->secrets.at[0]);
	assert_int_equal(check(f, &caller), OK);
	assert_str_equal(caller.actor, STR("system"));
}

static void used_twice_it_is_refused(void **state)
{
	struct fixture *const f = *state;
	struct caller caller;

	assert_int_equal(check(f, &caller), OK);
	for (int64_t later = 0; later <= 60; later += 20) {
		f->now_s += later == 0 ? 0 : 20;
		assert_int_equal(check(f, &caller), FAULT_UNAUTHORIZED);
		assert_true(str_ends(f->task.scope.detail, STR("used before")));
		assert_null(caller.service.at);
	}
}

static void only_this_minute_counts(void **state)
{
	struct fixture *const f = *state;
	const int64_t sent_s = f->now_s;
	struct caller caller;

	f->now_s = sent_s - 61;
	assert_int_equal(check(f, &caller), FAULT_UNAUTHORIZED);
	f->now_s = sent_s + 61;
	assert_int_equal(check(f, &caller), FAULT_UNAUTHORIZED);
	f->now_s = sent_s + 59;
	assert_int_equal(check(f, &caller), OK);
	send(f, &f->secrets.at[0]);
	f->now_s -= 59;
	assert_int_equal(check(f, &caller), OK);
}

static void each_part_is_covered(void **state)
{
	struct fixture *const f = *state;
	struct caller caller;
	char changed[512];

	for (int part = 0; part < 5; part++) {
		send(f, &f->secrets.at[0]);
		if (part == 0)
			f->got.method = STR("PUT");
		if (part == 1)
			f->got.target = STR("/internal/reservations/1?x=3");
		if (part == 2)
			f->got.body = STR("{\"revision\":2}");
		if (part == 3)
			f->sent.headers[0].value = STR("99800"); /* the deadline */
		if (part == 4)
			f->got.header_count = 1;
		if (check(f, &caller) != FAULT_UNAUTHORIZED)
			fail_row(part, "%s", "was taken");
	}
	/* each byte of the header: version, caller, actor, time, nonce, MAC */
	send(f, &f->secrets.at[0]);
	for (size_t i = 0; i < f->sent.headers[1].value.len; i++) {
		struct header headers[2] = {f->sent.headers[0], f->sent.headers[1]};

		memcpy(changed, headers[1].value.at, headers[1].value.len);
		changed[i] = changed[i] == '1' ? '2' : '1';
		headers[1].value.at = changed;
		f->got.headers = headers;
		if (check(f, &caller) == OK)
			fail_row(i, "%.*s was taken", STR_ARG(headers[1].value));
	}
	f->got.headers = f->sent.headers;
	assert_int_equal(check(f, &caller), OK);
}

static void only_the_pair_s_secrets_verify(void **state)
{
	struct fixture *const f = *state;
	struct mac_secret forged = f->secrets.at[0];
	struct caller caller;

	forged.current = f->secrets.at[0].previous;
	send(f, &forged);
	assert_int_equal(check(f, &caller), OK);
	forged.current = f->secrets.at[1].current; /* of another caller */
	send(f, &forged);
	assert_int_equal(check(f, &caller), FAULT_UNAUTHORIZED);
	send(f, &f->secrets.at[2]); /* for another callee */
	assert_int_equal(check(f, &caller), FAULT_UNAUTHORIZED);
	mac_verifier_free(f->verifier);
	f->verifier = mac_verifier_new(STR("users"), &f->ring);
	assert_int_equal(check(f, &caller), OK);
	forged = f->secrets.at[2];
	forged.caller = STR("payments");
	send(f, &forged);
	assert_int_equal(check(f, &caller), FAULT_UNAUTHORIZED);
}

/* While calls are made: as a file of secrets is changed. */
static void secrets_may_be_replaced(void **state)
{
	struct fixture *const f = *state;
	struct mac_secrets both, next;
	struct mac_pair pair = {&f->ring, STR("orders"), STR("products")};
	const struct upstream_config config = {.name = "products", .sign_key = &pair};
	struct scope *const s = &f->task.scope;
	struct caller caller;

	assert_int_equal(mac_secrets_read(s, STR("orders products " KEY_C " " KEY_A), &both), OK);
	assert_int_equal(mac_secrets_read(s, STR("orders products " KEY_C), &next), OK);
	f->ring.secrets = &both;
	assert_int_equal(check(f, &caller), OK); /* signed by the one before */
	send(f, &f->secrets.at[0]);
	f->ring.secrets = &next;
	assert_int_equal(check(f, &caller), FAULT_UNAUTHORIZED);
	f->sent.header_count = 0;
	mac_sign(&f->task, &config, &f->sent); /* by the next one */
	f->got.header_count = f->sent.header_count;
	assert_int_equal(check(f, &caller), OK);
}

static void garbage_is_refused(void **state)
{
	struct fixture *const f = *state;
	static const char *const texts[] = {"", "v1", "v1 orders user:1 1 nonce", "a b c d e f g",
		"v2 orders user:1 1 nonce mac", "v1 orders user:1 soon nonce mac",
		"v1 orders user:1 99999999999999999999 nonce mac"};
	struct caller caller;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		const struct header header = {STR("bodega-mac"), str_from(texts[i])};

		f->got.headers = &header;
		f->got.header_count = 1;
		if (check(f, &caller) != FAULT_UNAUTHORIZED)
			fail_row(i, "%s", texts[i]);
	}
}

static void bad_secrets_are_named(void **state)
{
	struct fixture *const f = *state;
	static const struct {
		const char *text;
		const char *what;
	} rows[] = {
		{"orders products", "line 1"},
		{"\n\norders products c2hvcnQ=", "line 3"},
		{"orders products " KEY_A " short", "line 1: the previous"},
		{"orders products " KEY_A " " KEY_B " " KEY_C, "line 1: has more"},
		{"orders products not-base64-but-long-enough-to-be-one", "line 1"},
	};
	struct mac_secrets secrets;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scope *const s = &f->task.scope;

		scope_forgive(s);
		assert_int_equal(
			mac_secrets_read(s, str_from(rows[i].text), &secrets), FAULT_INVALID);
		if (!str_starts(s->detail, str_from(rows[i].what)))
			fail_row(i, "%.*s", STR_ARG(s->detail));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_signed_call_is_taken),
		TEST(without_an_actor_it_is_the_system),
		TEST(used_twice_it_is_refused),
		TEST(only_this_minute_counts),
		TEST(each_part_is_covered),
		TEST(only_the_pair_s_secrets_verify),
		TEST(secrets_may_be_replaced),
		TEST(garbage_is_refused),
		TEST(bad_secrets_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
