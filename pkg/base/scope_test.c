/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/scope.h"

static char order[16];

static void note(void *arg)
{
	strncat(order, arg, sizeof order - strlen(order) - 1);
}

static void clean_ups_run_newest_first(void **state)
{
	struct scope s;
	struct deferred *taken_back;

	(void)state;
	order[0] = '\0';
	scope_begin(&s);
	scope_defer(&s, note, "a");
	taken_back = scope_defer(&s, note, "x");
	scope_defer(&s, note, "b");
	scope_undefer(&s, &taken_back);
	assert_null(taken_back);
	scope_undefer(&s, &taken_back);
	scope_defer(&s, note, "c");
	assert_string_equal(order, "");
	scope_end(&s);
	assert_string_equal(order, "cba");
}

static void the_newest_and_the_oldest_can_be_taken_back(void **state)
{
	struct scope s;
	struct deferred *oldest, *newest;

	(void)state;
	order[0] = '\0';
	scope_begin(&s);
	oldest = scope_defer(&s, note, "x");
	scope_defer(&s, note, "a");
	newest = scope_defer(&s, note, "y");
	scope_undefer(&s, &newest);
	scope_undefer(&s, &oldest);
	scope_end(&s);
	assert_string_equal(order, "a");
}

static void defer_again(void *arg)
{
	note("1");
	scope_defer(arg, note, "2");
}

static void a_clean_up_may_defer(void **state)
{
	struct scope s;

	(void)state;
	order[0] = '\0';
	scope_begin(&s);
	scope_defer(&s, defer_again, &s);
	scope_end(&s);
	assert_string_equal(order, "12");
}

static enum fault inner(struct scope *s)
{
	return fail(s, FAULT_CONFLICT, "product %s is out of stock", "p1");
}

static enum fault outer(struct scope *s)
{
	TRY(inner(s));
	assert_true(false); /* TRY returned */
	return OK;
}

static void the_first_detail_stays_until_forgiven(void **state)
{
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_str_equal(s.detail, STR_NONE);
	assert_int_equal(outer(&s), FAULT_CONFLICT);
	assert_int_equal(fail(&s, FAULT_INTERNAL, "echo"), FAULT_INTERNAL);
	assert_str_equal(s.detail, STR("product p1 is out of stock"));
	scope_forgive(&s);
	assert_str_equal(s.detail, STR_NONE);
	assert_int_equal(fail(&s, FAULT_DEADLINE, "%s", "later"), FAULT_DEADLINE);
	assert_str_equal(s.detail, STR("later"));
	scope_end(&s);
}

static void bad_fields_are_kept_in_order_up_to_64(void **state)
{
	struct scope s;
	unsigned count = 0;

	(void)state;
	scope_begin(&s);
	for (unsigned i = 0; i < 70; i++) {
		char field[16];
		int len = snprintf(field, sizeof field, "items[%u]", i);

		assert_int_equal(fail_field(&s, str_of(field, (size_t)len), "range", "row %u", i),
			FAULT_INVALID);
	}
	assert_int_equal(s.error_count, 64);
	for (struct field_error *e = s.errors; e != NULL; e = e->next, count++)
		if (count == 63) {
			assert_str_equal(e->field, STR("items[63]"));
			assert_str_equal(e->message, STR("row 63"));
			assert_string_equal(e->code, "range");
		}
	assert_int_equal(count, 64);
	scope_forgive(&s);
	assert_null(s.errors);
	assert_int_equal(fail_field(&s, STR("a"), "type", "b"), FAULT_INVALID);
	assert_str_equal(s.errors->field, STR("a"));
	scope_end(&s);
}

static void long_text_is_whole(void **state)
{
	struct scope s;

	(void)state;
	scope_begin(&s);
	for (int len = 250; len < 260; len++) {
		struct str text = scope_format(&s, "%0*d", len, 5);

		assert_int_equal(text.len, len);
		assert_int_equal(text.at[len - 1], '5');
		assert_int_equal(text.at[len], '\0');
	}
	scope_end(&s);
}

static void every_fault_has_its_row(void **state)
{
	(void)state;
	assert_string_equal(fault_info(OK)->name, "OK");
	for (int f = OK + 1; f < FAULT_COUNT; f++) {
		const struct fault_info *info = fault_info((enum fault)f);

		assert_non_null(info->name);
		assert_in_range(info->status, 400, 599);
		assert_true(strlen(info->code) > 0 && strlen(info->title) > 0);
		for (int other = OK; other < f; other++)
			assert_string_not_equal(info->code, fault_info((enum fault)other)->code);
	}
	assert_int_equal(fault_info(FAULT_OVERLOADED)->status, 503);
	assert_true(fault_info(FAULT_OVERLOADED)->retry);
	assert_int_equal(fault_info(FAULT_INTERNAL)->level, LEVEL_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_ups_run_newest_first),
		cmocka_unit_test(the_newest_and_the_oldest_can_be_taken_back),
		cmocka_unit_test(a_clean_up_may_defer),
		cmocka_unit_test(the_first_detail_stays_until_forgiven),
		cmocka_unit_test(bad_fields_are_kept_in_order_up_to_64),
		cmocka_unit_test(long_text_is_whole),
		cmocka_unit_test(every_fault_has_its_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
