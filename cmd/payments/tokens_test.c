/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "model.h"
#include "tokens.h"

enum { DELAY_US = 1000000, KEYS = 400 };

static const char *const names[] = {"tok_ok", "tok_declined", "tok_insufficient_funds", "tok_slow",
	"tok_timeout", "tok_error", "tok_async", "tok_async_declined", "tok_async_twice",
	"tok_async_reordered"};
enum { NAMES = sizeof names / sizeof *names };

static void each_is_found_and_nothing_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		const struct token *token = token_find(str_from(names[i]));
		if (token == NULL || strcmp(token->name, names[i]) != 0)
			fail_row(i, "%s", names[i]);
	}
	assert_null(token_find(STR("tok_o")));
	assert_null(token_find(STR("tok_ok ")));
	assert_null(token_find(STR("TOK_OK")));
	assert_null(token_find(STR_NONE));
}

static void an_unknown_one_is_told_which_there_are(void **state)
{
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(token_unknown(&s), FAULT_INVALID);
	assert_str_equal(s.errors->field, STR("token"));
	assert_string_equal(s.errors->code, "invalid_token");
	for (size_t i = 0; i < NAMES; i++)
		if (strstr(s.errors->message.at, names[i]) == NULL)
			fail_row(i, "%s is not named", names[i]);
	scope_end(&s);
}

static void the_table_is_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		const struct token *token = token_find(str_from(names[i]));
		const char *last = token->settles_as != NULL ? token->settles_as : token->status;

		assert_int_equal(
			token->settles_as != NULL, strcmp(token->status, "processing") == 0);
		assert_int_equal(token->decline_code != NULL, strcmp(last, "declined") == 0);
		assert_int_equal(token->decline_message != NULL, token->decline_code != NULL);
	}
}

static struct str key_of(struct scope *s, size_t i)
{
	return scope_format(s, "0190f0a2-0000-7000-8000-%012zx-1", i);
}

static bool same(struct settlement a, struct settlement b)
{
	return a.after_us == b.after_us && a.webhook_delay_us == b.webhook_delay_us &&
	       strcmp(a.webhooks, b.webhooks) == 0;
}

static void seed_and_key_decide(void **state)
{
	const struct token *token = token_find(STR("tok_async"));
	size_t differ = 0;
	struct scope s;

	(void)state;
	scope_begin(&s);
	for (size_t i = 0; i < KEYS; i++) {
		const struct settlement a = token_settlement(token, key_of(&s, i), 1, DELAY_US);

		assert_true(same(a, token_settlement(token, key_of(&s, i), 1, DELAY_US)));
		differ += !same(a, token_settlement(token, key_of(&s, i), 2, DELAY_US));
		differ += !same(a, token_settlement(token, key_of(&s, i + 1), 1, DELAY_US));
	}
	assert_true(differ > 2 * KEYS * 9 / 10);
	scope_end(&s);
}

/* So that a change of the drawing, which would make old seeds worthless, does not go unseen. */
static void seed_1_is_as_it_was(void **state)
{
	const struct settlement settlement = token_settlement(token_find(STR("tok_async")),
		STR("0190f0a2-0000-7000-8000-000000000000-1"), 1, DELAY_US);

	(void)state;
	assert_int_equal(settlement.after_us, 930000);
	assert_int_equal(settlement.webhook_delay_us, 80000);
	assert_string_equal(settlement.webhooks, "twice");
}

static void all_ways_are_taken_within_their_bounds(void **state)
{
	const struct token *token = token_find(STR("tok_async"));
	size_t once = 0, twice = 0, reordered = 0;
	struct scope s;

	(void)state;
	scope_begin(&s);
	for (size_t i = 0; i < KEYS; i++) {
		const struct settlement one = token_settlement(token, key_of(&s, i), 7, DELAY_US);

		once += strcmp(one.webhooks, "once") == 0;
		twice += strcmp(one.webhooks, "twice") == 0;
		reordered += strcmp(one.webhooks, "reordered") == 0;
		assert_in_range(one.after_us, DELAY_US / 2, DELAY_US * 3 / 2);
		assert_in_range(one.webhook_delay_us, 0, DELAY_US / 2);
	}
	assert_int_equal(once + twice + reordered, KEYS);
	assert_in_range(once, KEYS * 2 / 5, KEYS * 3 / 5);
	assert_in_range(twice, KEYS / 6, KEYS / 3);
	assert_in_range(reordered, KEYS / 6, KEYS / 3);
	scope_end(&s);
}

static void who_asks_for_a_way_gets_it(void **state)
{
	(void)state;
	assert_string_equal(
		token_settlement(token_find(STR("tok_async_twice")), STR("k"), 1, 1).webhooks,
		"twice");
	assert_string_equal(
		token_settlement(token_find(STR("tok_async_reordered")), STR("k"), 1, 1).webhooks,
		"reordered");
	assert_null(token_settlement(token_find(STR("tok_ok")), STR("k"), 1, 1).webhooks);
}

static void keys_have_one_form(void **state)
{
	static const struct {
		const char *key;
		bool is_valid;
	} rows[] = {
		{"a", true},
		{"AZaz09._-", true},
		{"0190f0a2-0000-7000-8000-000000000000-1", true},
		{"0123456789012345678901234567890123456789012345678901234567890123", true},
		{"01234567890123456789012345678901234567890123456789012345678901234", false},
		{"", false},
		{"a b", false},
		{"a/b", false},
		{"\xc3\xa4", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (payment_key_valid(str_from(rows[i].key)) != rows[i].is_valid)
			fail_row(i, "%s", rows[i].key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_found_and_nothing_else),
		cmocka_unit_test(an_unknown_one_is_told_which_there_are),
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(seed_and_key_decide),
		cmocka_unit_test(seed_1_is_as_it_was),
		cmocka_unit_test(all_ways_are_taken_within_their_bounds),
		cmocka_unit_test(who_asks_for_a_way_gets_it),
		cmocka_unit_test(keys_have_one_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
