/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "auth/webhook.h"

#define SECRET_A "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SECRET_B "whsec_YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="

/* The example of the specification's own libraries: a secret, a message, its signature. */
#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define BODY "{\"test\": 2432232314}"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
enum { SENT_S = 1614265330 };

static struct scope s;
static struct texts secrets;
static struct header headers[3];
static struct request request;

static void sent(const char *id, const char *timestamp, const char *signature, const char *body)
{
	headers[0] = (struct header){STR("webhook-id"), str_from(id)};
	headers[1] = (struct header){STR("webhook-timestamp"), str_from(timestamp)};
	headers[2] = (struct header){STR("webhook-signature"), str_from(signature)};
	request = (struct request){.headers = headers, .header_count = 3, .body = str_from(body)};
}

static enum fault check(int64_t now_s)
{
	struct str id = STR_NONE;
	enum fault fault;

	scope_forgive(&s);
	fault = webhook_check(&s, &secrets, &request, now_s, &id);
	assert_int_equal(id.at != NULL, fault == OK);
	return fault;
}

static int set_up(void **state)
{
	(void)state;
	scope_begin(&s);
	assert_int_equal(webhook_secrets_read(&s, STR(SECRET_A "\n"), &secrets), OK);
	sent(ID, "1614265330", SIGNATURE, BODY);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scope_end(&s);
	return 0;
}

static void it_signs_as_the_specification_does(void **state)
{
	(void)state;
	assert_str_equal(webhook_sign(&s, &secrets, STR(ID), SENT_S, STR(BODY)), STR(SIGNATURE));
	assert_int_equal(check(SENT_S), OK);
}

static void only_just_signed_ones_count(void **state)
{
	(void)state;
	assert_int_equal(check(SENT_S + WEBHOOK_SKEW_S), OK);
	assert_int_equal(check(SENT_S - WEBHOOK_SKEW_S), OK);
	assert_int_equal(check(SENT_S + WEBHOOK_SKEW_S + 1), FAULT_UNAUTHORIZED);
	assert_int_equal(check(SENT_S - WEBHOOK_SKEW_S - 1), FAULT_UNAUTHORIZED);
}

static void whatever_was_changed_is_refused(void **state)
{
	static const struct {
		const char *id, *timestamp, *signature, *body;
	} rows[] = {
		{"msg_other", "1614265330", SIGNATURE, BODY},
		{ID, "1614265331", SIGNATURE, BODY},
		{ID, "+1614265330", SIGNATURE, BODY},
		{ID, "01614265330", SIGNATURE, BODY},
		{ID, "soon", SIGNATURE, BODY},
		{ID, "", SIGNATURE, BODY},
		{"", "1614265330", SIGNATURE, BODY},
		{ID, "1614265330", "", BODY},
		{ID, "1614265330", SIGNATURE, "{\"test\": 2432232315}"},
		{ID, "1614265330", SIGNATURE, ""},
		{ID, "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=", BODY},
		{ID, "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1O", BODY},
		{ID, "1614265330", "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY},
		{ID, "1614265330", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		sent(rows[i].id, rows[i].timestamp, rows[i].signature, rows[i].body);
		if (check(SENT_S) != FAULT_UNAUTHORIZED)
			fail_row(i, "%s", "was taken");
	}
}

static void a_header_that_is_missing_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		sent(ID, "1614265330", SIGNATURE, BODY);
		headers[i].name = STR("x-other");
		assert_int_equal(check(SENT_S), FAULT_UNAUTHORIZED);
		assert_true(str_starts(s.detail, STR("the webhook needs")));
	}
}

static void another_secret_does_not_fit(void **state)
{
	(void)state;
	assert_int_equal(webhook_secrets_read(&s, STR(SECRET_B), &secrets), OK);
	assert_int_equal(check(SENT_S), FAULT_UNAUTHORIZED);
}

static void the_first_signs_and_all_verify(void **state)
{
	(void)state;
	assert_int_equal(webhook_secrets_read(&s, STR(SECRET_B ", " SECRET_A), &secrets), OK);
	assert_int_equal(secrets.count, 2);
	assert_int_equal(check(SENT_S), OK);

	const struct str by_b = webhook_sign(&s, &secrets, STR(ID), SENT_S, STR(BODY));
	assert_false(str_eq(by_b, STR(SIGNATURE)));
	sent(ID, "1614265330", by_b.at, BODY);
	assert_int_equal(check(SENT_S), OK);
}

static void any_of_several_signatures_may_fit(void **state)
{
	(void)state;
	sent(ID, "1614265330", "v1,b3RoZXI= v1a,eA==  " SIGNATURE " v2,eQ==", BODY);
	assert_int_equal(check(SENT_S), OK);
	sent(ID, "1614265330", "v1,b3RoZXI= v2,eQ==", BODY);
	assert_int_equal(check(SENT_S), FAULT_UNAUTHORIZED);
}

static void bad_secrets_are_counted_not_shown(void **state)
{
	static const struct {
		const char *text;
		const char *why;
	} rows[] = {
		{"", "must have a secret"},
		{" ,\n", "must have a secret"},
		{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "number 1 is not"},
		{SECRET_A " whsec_c2hvcnQ=", "number 2 is not"},
		{SECRET_A "\nwhsec_not*base64", "number 2 is not"},
		{"whsec_", "number 1 is not"},
		{SECRET_A " " SECRET_A " " SECRET_A " " SECRET_A " " SECRET_A " " SECRET_A
			  " " SECRET_A " " SECRET_A " " SECRET_A,
			"must be 8 secrets at most"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		scope_forgive(&s);
		assert_int_equal(
			webhook_secrets_read(&s, str_from(rows[i].text), &secrets), FAULT_INVALID);
		assert_int_equal(s.error_count, 1);
		assert_str_equal(s.errors->field, STR("WEBHOOK_SECRETS"));
		if (!str_ends(s.errors->message, str_from(rows[i].why)))
			fail_row(i, "%.*s", STR_ARG(s.errors->message));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(it_signs_as_the_specification_does),
		TEST(only_just_signed_ones_count),
		TEST(whatever_was_changed_is_refused),
		TEST(a_header_that_is_missing_is_named),
		TEST(another_secret_does_not_fit),
		TEST(the_first_signs_and_all_verify),
		TEST(any_of_several_signatures_may_fit),
		TEST(bad_secrets_are_counted_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
