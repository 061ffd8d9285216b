/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/buf.h"
#include "json/sample.h"

#include <stdlib.h>

#define SOME_ID "0190a5c8-7b1c-7000-8000-0123456789ab"

static enum fault read_exact(struct scope *s, const char *text, struct sample_filter *v)
{
	const size_t len = strlen(text);
	char *exact = malloc(len + (len == 0));

	memcpy(exact, text, len);
	const enum fault fault = query_read(s, str_of(exact, len), &sample_filter_table, v);
	free(exact);
	return fault;
}

static void every_type_is_read(void **state)
{
	struct sample_filter v = {.limit = 20, .version = 3};
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(read_exact(&s,
				 "q=a+b%26%C3%a9&in_stock=true&min_price=10.5&seller=" SOME_ID
				 "&ids=" SOME_ID "," SOME_ID "&tags=red%2Cblue&sort=-price&&"
				 "since=2026-11-21T06:25:22Z&version=9&utm_source=a&utm_source=b",
				 &v),
		FAULT_INVALID);
	assert_str_equal(s.errors->field, STR("utm_source"));
	scope_forgive(&s);
	assert_int_equal(read_exact(&s,
				 "q=a+b%26%C3%a9&in_stock=true&min_price=10.5&seller=" SOME_ID
				 "&ids=" SOME_ID "," SOME_ID "&tags=red%2Cblue&sort=-price&&"
				 "since=2026-11-21T06:25:22Z&version=9&utm_source=a",
				 &v),
		OK);
	assert_str_equal(v.q, STR("a b&\xc3\xa9"));
	assert_int_equal(v.limit, 20);
	assert_true(v.in_stock);
	assert_int_equal(v.min_price, 1050);
	assert_int_equal(v.seller.bytes[15], 0xab);
	assert_int_equal(v.ids.count, 2);
	assert_int_equal(v.tags.count, 2);
	assert_str_equal(v.tags.at[1], STR("blue"));
	assert_int_equal(v.sort, 2);
	assert_true(v.since > 0);
	assert_int_equal(v.version, 3);
	scope_end(&s);
}

static void good_and_bad_queries(void **state)
{
#define MAY_BE                                                                      \
	" unknown is not known; what may be given: q, limit, in_stock, min_price, " \
	"min_price_minor, seller, ids, tags, sort, since"
	static const struct {
		const char *text;
		const char *complaint; /* of the first bad field; NULL: good */
	} rows[] = {
		{"", NULL},
		{"&&", NULL},
		{"limit=100", NULL},
		{"query=x", NULL},
		{"l%69mit=1", NULL},
		{"tags=", NULL},
		{"in_stock=false", NULL},
		{"min_price=0", NULL},
		{"min_price=1.5&min_price_minor=150", NULL},
		{"limit=0", "limit range must be a whole number from 1 to 100"},
		{"limit=101", "limit range must be a whole number from 1 to 100"},
		{"limit=-1", "limit range must be a whole number from 1 to 100"},
		{"limit=", "limit type must be a whole number from 1 to 100 in plain digits"},
		{"limit", "limit type must be a whole number from 1 to 100 in plain digits"},
		{"limit=-", "limit type must be a whole number from 1 to 100 in plain digits"},
		{"limit=ten", "limit type must be a whole number from 1 to 100 in plain digits"},
		{"limit=1e1", "limit type must be a whole number from 1 to 100 in plain digits"},
		{"limit=+1", "limit type must be a whole number from 1 to 100 in plain digits"},
		{"limit=99999999999999999999", "limit range must be a whole number from 1 to 100"},
		{"limit=1&limit=1", "limit duplicate is given more than once"},
		{"q=x&query=x", "query duplicate is given more than once"},
		{"q=", "q length must be a text of 1 to 10 characters, not of 0"},
		{"q=01234567890", "q length must be a text of 1 to 10 characters, not of 11"},
		{"q=%00", "q format must be a text of 1 to 10 characters without control "
			  "characters"},
		{"q=a%0d%0ab", "q format must be a text of 1 to 10 characters without control "
			       "characters"},
		{"q=%ff", "q format must be a text of 1 to 10 characters in UTF-8"},
		{"q=%C3", "q format must be a text of 1 to 10 characters in UTF-8"},
		{"q=%zz", "q format must have two hexadecimal digits after each %"},
		{"q=%4", "q format must have two hexadecimal digits after each %"},
		{"q=%", "q format must have two hexadecimal digits after each %"},
		{"%q=1", "%q format must have two hexadecimal digits after each %"},
		{"in_stock=1", "in_stock type must be true or false"},
		{"min_price=-1", "min_price range must be an amount from 0.00 to 10000.00"},
		{"min_price=1.005", "min_price format must be an amount from 0.00 to 10000.00 "
				    "with at most 2 decimals"},
		{"min_price=1e3", "min_price type must be an amount from 0.00 to 10000.00 in "
				  "plain digits"},
		{"min_price=1&min_price_minor=101",
			"min_price_minor value must be the same amount as min_price"},
		{"seller=1", "seller format must be a UUID"},
		{"ids=" SOME_ID ",x", "ids[1] format must be a UUID"},
		{"ids=1,2,3", "ids length must be an array of at most 2 UUIDs, not of 3"},
		{"tags=a,,", "tags length must be an array of at most 2 texts, not of 3"},
		{"tags=,a", "tags[0] length must be a text of 1 to 5 characters, not of 0"},
		{"tags=scarlet", "tags[0] length must be a text of 1 to 5 characters, not of 7"},
		{"sort=cheapest", "sort value must be one of newest, price, -price"},
		{"since=today", "since format must be a time such as 2026-11-21T06:25:22.123Z"},
		{"lmit=1", "lmit" MAY_BE},
		{"=1", MAY_BE},
		{"limit%00=1", "limit" MAY_BE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct sample_filter v = {0};
		struct scope s;

		scope_begin(&s);
		const enum fault fault = read_exact(&s, rows[i].text, &v);
		struct buf b = buf_new(s.arena);
		if (s.errors != NULL)
			buf_format(&b, "%.*s %s %.*s", STR_ARG(s.errors->field), s.errors->code,
				STR_ARG(s.errors->message));
		if (fault != (rows[i].complaint == NULL ? OK : FAULT_INVALID) ||
			!str_eq(buf_str(&b), str_from(rows[i].complaint)))
			fail_row(i, "%s: %s %.*s", rows[i].text, fault_info(fault)->name,
				STR_ARG(buf_str(&b)));
		scope_end(&s);
	}
}

static void required_fields(void **state)
{
	static const struct field fields[] = {
		FIELD(struct sample_filter, q, TEXT, REQUIRED, .min = 1)};
	static const struct field_table table = FIELD_TABLE(struct sample_filter, fields);
	struct sample_filter v = {0};
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(query_read(&s, STR(""), &table, &v), FAULT_INVALID);
	assert_str_equal(s.errors->field, STR("q"));
	assert_str_equal(s.errors->message, STR("must be a text of at least 1 characters"));
	scope_end(&s);
}

static void reading_what_a_later_release_asks(void **state)
{
	struct sample_filter v = {0};
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(query_read_internal(&s, STR("limit=5&new_in_v2=%zz&new_in_v2"),
				 &sample_filter_table, &v),
		OK);
	assert_int_equal(v.limit, 5);
	assert_int_equal(
		query_read_internal(&s, STR("limit=101"), &sample_filter_table, &v), FAULT_INVALID);
	scope_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(good_and_bad_queries),
		cmocka_unit_test(required_fields),
		cmocka_unit_test(reading_what_a_later_release_asks),
	};

	return cmocka_run_group_tests_name("json_query", tests, NULL, NULL);
}
