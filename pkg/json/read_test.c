/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/buf.h"
#include "base/money.h"
#include "json/sample.h"

#include <stdlib.h>

#define SOME_ID "0190a5c8-7b1c-7000-8000-0123456789ab"

typedef enum fault read_fn(
	struct scope *s, struct str text, const struct field_table *table, void *value);

/* "field code message" of each bad field, a line each; the detail when there is none. */
static struct str complaints(struct scope *s)
{
	struct buf b = buf_new(s->arena);

	for (const struct field_error *e = s->errors; e != NULL; e = e->next)
		buf_format(&b, "%s%.*s %s %.*s", b.len > 0 ? "\n" : "", STR_ARG(e->field), e->code,
			STR_ARG(e->message));
	if (s->errors == NULL)
		buf_add(&b, s->detail);
	return buf_str(&b);
}

/* Reads a copy of exact size, which is gone before the result is looked at. */
static enum fault read_exact(read_fn *read, struct scope *s, struct str text, void *value)
{
	char *exact = malloc(text.len + (text.len == 0));
	memcpy(exact, text.at, text.len);
	const enum fault fault = read(s, str_of(exact, text.len), &sample_table, value);
	free(exact);
	return fault;
}

struct row {
	const char *text;
	const char *complaints; /* NULL: it is good */
};

static void check_rows(read_fn *read, enum fault bad, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct sample sample = {.name = STR("old"), .price = 100};
		struct scope s;

		scope_begin(&s);
		const enum fault fault = read_exact(read, &s, str_from(rows[i].text), &sample);
		const struct str got = complaints(&s);
		if (fault != (rows[i].complaints == NULL ? OK : bad) ||
			!str_eq(got, str_from(rows[i].complaints)))
			fail_row(i, "%s\n%s\n%.*s", rows[i].text, fault_info(fault)->name,
				STR_ARG(got));
		scope_end(&s);
	}
}

#define CHECK_ROWS(read, bad, rows) check_rows(read, bad, rows, sizeof(rows) / sizeof(rows)[0])

static void every_type_is_read(void **state)
{
	struct sample v = {.version = 7, .description = STR("a default")};
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(read_exact(json_read, &s,
				 STR("{\"name\":\"\\u20ac Caf\\u00e9 "
				     "\\ud83d\\ude00\\n\",\"count\":-9223372036854775808,"
				     "\"quantity\":10000,\"active\":true,\"owner\":\"" SOME_ID "\","
				     "\"at\":\"1970-01-01T00:00:01.5+00:00\",\"price\":29.99,"
				     "\"discount_minor\":-5,\"state\":\"shipped\",\"tags\":[\"a\","
				     "\"b\\\"c\"],"
				     "\"ids\":[\"" SOME_ID "\"],\"place\":{\"city\":\"Riga\"},"
				     "\"items\":[{\"product_id\":\"" SOME_ID
				     "\",\"quantity\":2,\"price\":1},"
				     "{\"product_id\":\"" SOME_ID "\",\"quantity\":3}],"
				     "\"metadata\":{ \"a\" : [1, {\"b c\": \" \\\" \"}] "
				     "},\"password\":\"p\","
				     "\"note\":\"\",\"version\":9,\"id\":5,\"legacy\":[{}]}"),
				 &v),
		OK);
	assert_str_equal(v.name, STR("\xe2\x82\xac Caf\xc3\xa9 \xf0\x9f\x98\x80\n"));
	assert_str_equal(v.description, STR("a default"));
	assert_int_equal(v.count, INT64_MIN);
	assert_int_equal(v.quantity, 10000);
	assert_true(v.active);
	assert_int_equal(v.owner.bytes[15], 0xab);
	assert_int_equal(v.at, 1500000);
	assert_int_equal(v.price, 2999);
	assert_int_equal(v.discount, -5);
	assert_int_equal(v.state, 2);
	assert_int_equal(v.tags.count, 2);
	assert_str_equal(v.tags.at[1], STR("b\"c"));
	assert_int_equal(v.ids.count, 1);
	assert_true(uuid_eq(&v.ids.at[0], &v.owner));
	assert_str_equal(v.place.city, STR("Riga"));
	assert_str_equal(v.place.country, STR_NONE);
	assert_int_equal(v.items.count, 2);
	const struct sample_line *lines = v.items.at;
	assert_int_equal(lines[1].quantity, 3);
	assert_str_equal(v.metadata, STR("{\"a\":[1,{\"b c\":\" \\\" \"}]}"));
	assert_str_equal(v.password, STR("p"));
	assert_str_equal(v.note, STR(""));
	assert_int_equal(v.version, 7); /* FIELD_OUTPUT is not believed */
	scope_end(&s);
}

static void good_bodies(void **state)
{
	static const struct row rows[] = {
		{"{\"name\":\"x\",\"price\":1}", NULL},
		{"{\"title\":\"x\",\"price\":0.01}", NULL},
		{"{\"na\\u006de\":\"x\",\"price\":10000.000}", NULL},
		{"{\"name\":\"0123456789\",\"price\":1}", NULL},
		{"{\"name\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3"
		 "\xa9\xc3\xa9\",\"price\":1}",
			NULL},
		{"{\"name\":\"x\",\"price\":1,\"price_minor\":100}", NULL},
		{"{\"name\":\"x\",\"price\":1.10,\"price_minor\":110}", NULL},
		{"{\"name\":\"x\",\"price_minor\":100}", NULL},
		{"{\"name\":\"x\",\"price\":1,\"rebate_minor\":100,\"rebate\":1.0}", NULL},
		{"{\"name\":\"x\",\"price\":1,\"discount\":null,\"rebate_minor\":null}", NULL},
		{"{\"name\":\"x\",\"price\":1,\"discount\":10000000000.00}", NULL},
		{"{\"name\":\"x\",\"price\":1,\"count\":9223372036854775807,\"quantity\":1}", NULL},
		{"{\"name\":\"x\",\"price\":1,\"tags\":[],\"ids\":[]}", NULL},
		{"{\"name\":\"x\",\"price\":1,\"legacy\":{\"a\":1,\"a\":2}}", NULL},
		{"{\"name\":\"x\",\"price\":1,\"metadata\":{\"a\":1e300,\"b\":\"\\\\u0000\"}}",
			NULL},
	};

	(void)state;
	CHECK_ROWS(json_read, FAULT_INVALID, rows);
}

static void bad_fields_are_named(void **state)
{
	static const struct row rows[] = {
		{"[]", "the JSON must be an object, not an array"},
		{"\"x\"", "the JSON must be an object, not a single value"},
		{" 7", "the JSON must be an object, not a single value"},
		{"{}", "name required must be a text of 1 to 10 characters\n"
		       "price required must be an amount from 0.01 to 10000.00"},
		{"{\"name\":\"x\",\"price\":1,\"nmae\":1}",
			"nmae unknown is not known; what may be given: name, description, count, "
			"quantity, active, owner, at, price, price_minor, discount, "
			"discount_minor, state, tags, ids, place, items, metadata, password, note"},
		{"{\"name\":\"x\",\"price\":1,\"place\":{\"city\":\"x\",\"zip\":1}}",
			"place.zip unknown is not known; what may be given: city, country"},
		{"{\"name\":\"x\",\"price\":1,\"place\":{\"city\":\"x\",\"\\u0000\":1}}",
			"place. unknown is not known; what may be given: city, country"},
		{"{\"name\":\"x\",\"price\":1,\"name\":\"y\"}",
			"name duplicate is given more than once"},
		{"{\"name\":\"x\",\"price\":1,\"n\\u0061me\":\"y\"}",
			"name duplicate is given more than once"},
		{"{\"name\":\"x\",\"price\":1,\"title\":\"x\"}",
			"title duplicate means the same as name: only one of them may be given"},
		{"{\"name\":\"x\",\"price\":1,\"legacy\":1,\"legacy\":1}",
			"legacy duplicate is given more than once"},
		{"{\"name\":\"x\",\"price\":1,\"price\":1}",
			"price duplicate is given more than once"},
		{"{\"name\":\"x\",\"price_minor\":100,\"price_minor\":100}",
			"price_minor duplicate is given more than once"},

		{"{\"name\":\"\",\"price\":1}",
			"name length must be a text of 1 to 10 characters, not of 0"},
		{"{\"name\":\"01234567890\",\"price\":1}",
			"name length must be a text of 1 to 10 characters, not of 11"},
		{"{\"name\":7,\"price\":1}",
			"name type must be a text of 1 to 10 characters, not a number"},
		{"{\"name\":null,\"price\":1}",
			"name type must be a text of 1 to 10 characters, not null"},
		{"{\"title\":true,\"price\":1}",
			"title type must be a text of 1 to 10 characters, not true or false"},
		{"{\"name\":[],\"price\":1}",
			"name type must be a text of 1 to 10 characters, not an array"},
		{"{\"name\":{},\"price\":1}",
			"name type must be a text of 1 to 10 characters, not an object"},
		{"{\"name\":\"a\\u0000b\",\"price\":1}",
			"name format must be a text of 1 to 10 characters without control "
			"characters"},
		{"{\"name\":\"a\\rb\",\"price\":1}",
			"name format must be a text of 1 to 10 characters without control "
			"characters"},
		{"{\"name\":\"a\x7f\",\"price\":1}",
			"name format must be a text of 1 to 10 characters without control "
			"characters"},
		{"{\"name\":\"a\\u0085\",\"price\":1}",
			"name format must be a text of 1 to 10 characters without control "
			"characters"},
		{"{\"name\":\"x\",\"price\":1,\"description\":\"0123456789 0123456789\"}",
			"description length must be a text of at most 20 characters, not of 21"},

		{"{\"name\":\"x\",\"price\":1,\"quantity\":0}",
			"quantity range must be a whole number from 1 to 10000"},
		{"{\"name\":\"x\",\"price\":1,\"quantity\":-1}",
			"quantity range must be a whole number from 1 to 10000"},
		{"{\"name\":\"x\",\"price\":1,\"stock\":10001}",
			"stock range must be a whole number from 1 to 10000"},
		{"{\"name\":\"x\",\"price\":1,\"quantity\":4294967297}",
			"quantity range must be a whole number from 1 to 10000"},
		{"{\"name\":\"x\",\"price\":1,\"quantity\":1.0}",
			"quantity type must be a whole number from 1 to 10000 in plain digits"},
		{"{\"name\":\"x\",\"price\":1,\"quantity\":1e2}",
			"quantity type must be a whole number from 1 to 10000 in plain digits"},
		{"{\"name\":\"x\",\"price\":1,\"quantity\":\"1\"}",
			"quantity type must be a whole number from 1 to 10000, not a text"},
		{"{\"name\":\"x\",\"price\":1,\"count\":9223372036854775808}",
			"count range must be a whole number from -9223372036854775808 to "
			"9223372036854775807"},
		{"{\"name\":\"x\",\"price\":1,\"active\":1}",
			"active type must be true or false, not a number"},
		{"{\"name\":\"x\",\"price\":1,\"owner\":\"7\"}", "owner format must be a UUID"},
		{"{\"name\":\"x\",\"price\":1,\"owner\":\"00000000-0000-0000-0000-000000000000\"}",
			"owner format must be a UUID"},
		{"{\"name\":\"x\",\"price\":1,\"at\":\"yesterday\"}",
			"at format must be a time such as 2026-11-21T06:25:22.123Z"},
		{"{\"name\":\"x\",\"price\":1,\"at\":5}",
			"at type must be a time such as 2026-11-21T06:25:22.123Z, not a number"},
		{"{\"name\":\"x\",\"price\":1,\"state\":\"lost\"}",
			"state value must be one of pending, paid, shipped"},
		{"{\"name\":\"x\",\"price\":1,\"state\":0}",
			"state type must be one of pending, paid, shipped, not a number"},

		{"{\"name\":\"x\",\"price\":0}",
			"price range must be an amount from 0.01 to 10000.00"},
		{"{\"name\":\"x\",\"price\":-1}",
			"price range must be an amount from 0.01 to 10000.00"},
		{"{\"name\":\"x\",\"price\":10000.01}",
			"price range must be an amount from 0.01 to 10000.00"},
		{"{\"name\":\"x\",\"price\":99999999999999999999}",
			"price range must be an amount from 0.01 to 10000.00"},
		{"{\"name\":\"x\",\"price\":1.001}",
			"price format must be an amount from 0.01 to 10000.00 with at most 2 "
			"decimals"},
		{"{\"name\":\"x\",\"price\":1e2}",
			"price type must be an amount from 0.01 to 10000.00 in plain digits"},
		{"{\"name\":\"x\",\"price\":\"1\"}",
			"price type must be an amount from 0.01 to 10000.00, not a text"},
		{"{\"name\":\"x\",\"price\":null}",
			"price type must be an amount from 0.01 to 10000.00, not null"},
		{"{\"name\":\"x\",\"price_minor\":null}",
			"price_minor type must be an amount from 0.01 to 10000.00, not null"},
		{"{\"name\":\"x\",\"price_minor\":0}",
			"price_minor range must be a whole number from 1 to 1000000"},
		{"{\"name\":\"x\",\"price_minor\":1.5}",
			"price_minor type must be a whole number from 1 to 1000000 in plain "
			"digits"},
		{"{\"name\":\"x\",\"price\":1,\"price_minor\":101}",
			"price_minor value must be the same amount as price"},
		{"{\"name\":\"x\",\"price\":1,\"discount\":10000000000.01}",
			"discount range must be an amount from -10000000000.00 to 10000000000.00"},
		{"{\"name\":\"x\",\"price\":1,\"discount_minor\":1000000000001}",
			"discount_minor range must be a whole number from -1000000000000 to "
			"1000000000000"},

		{"{\"name\":\"x\",\"price\":1,\"tags\":\"a\"}",
			"tags type must be an array of at most 3 texts, not a text"},
		{"{\"name\":\"x\",\"price\":1,\"tags\":[\"a\",\"b\",\"c\",\"d\"]}",
			"tags length must be an array of at most 3 texts, not of 4"},
		{"{\"name\":\"x\",\"price\":1,\"tags\":[\"a\",5,\"\"]}",
			"tags[1] type must be a text of 1 to 5 characters, not a number\n"
			"tags[2] length must be a text of 1 to 5 characters, not of 0"},
		{"{\"name\":\"x\",\"price\":1,\"tags\":[null,\"sixsix\"]}",
			"tags[0] type must be a text of 1 to 5 characters, not null\n"
			"tags[1] length must be a text of 1 to 5 characters, not of 6"},
		{"{\"name\":\"x\",\"price\":1,\"ids\":[\"" SOME_ID "\",\"x\"]}",
			"ids[1] format must be a UUID"},
		{"{\"name\":\"x\",\"price\":1,\"ids\":[\"\",\"\",\"\"]}",
			"ids length must be an array of at most 2 UUIDs, not of 3"},

		{"{\"name\":\"x\",\"price\":1,\"place\":[]}",
			"place type must be an object, not an array"},
		{"{\"name\":\"x\",\"price\":1,\"place\":{}}",
			"place.city required must be a text of 1 to 50 characters"},
		{"{\"name\":\"x\",\"price\":1,\"place\":{\"city\":\"\",\"country\":\"LVA\"}}",
			"place.city length must be a text of 1 to 50 characters, not of 0\n"
			"place.country length must be a text of at most 2 characters, not of 3"},
		{"{\"name\":\"x\",\"price\":1,\"items\":[]}",
			"items length must be an array of 1 to 3 objects, not of 0"},
		{"{\"name\":\"x\",\"price\":1,\"items\":[{},{},{},{}]}",
			"items length must be an array of 1 to 3 objects, not of 4"},
		{"{\"name\":\"x\",\"price\":1,\"items\":[{\"product_id\":\"" SOME_ID
		 "\",\"quantity\":1},"
		 "{\"quantity\":1},{\"product_id\":\"" SOME_ID "\",\"quantity\":-2}]}",
			"items[1].product_id required must be a UUID\n"
			"items[2].quantity range must be a whole number from 1 to 10000"},
		{"{\"name\":\"x\",\"price\":1,\"items\":[7,null]}",
			"items[0] type must be an object, not a number\n"
			"items[1] type must be an object, not null"},

		{"{\"name\":\"x\",\"price\":1,\"metadata\":[]}",
			"metadata type must be an object of at most 64 bytes, not an array"},
		{"{\"name\":\"x\",\"price\":1,\"metadata\":{\"a\":\"0123456789012345678901234567890"
		 "123456789012345678901234567\"}}",
			"metadata length must be an object of at most 64 bytes, not of 66"},
		{"{\"name\":\"x\",\"price\":1,\"metadata\":{\"a\":[{\"b\":1,\"c\":2,\"\\u0062\":3}]"
		 "}}",
			"metadata value must be an object of at most 64 bytes without a name that "
			"is given more than once"},
		{"{\"name\":\"x\",\"price\":1,\"metadata\":{\"a\":\"\\\\\\u0000\"}}",
			"metadata value must be an object of at most 64 bytes without U+0000"},
		{"{\"name\":\"x\",\"price\":1,\"metadata\":{\"\\u0000\":1}}",
			"metadata value must be an object of at most 64 bytes without U+0000"},
		{"{\"name\":\"x\",\"price\":1,\"metadata\":{\"a\":1E+301}}",
			"metadata value must be an object of at most 64 bytes whose numbers have "
			"at most 64 characters and exponents from -300 to 300"},
		{"{\"name\":\"x\",\"price\":1,\"metadata\":{\"a\":1e-99999999999999999999}}",
			"metadata value must be an object of at most 64 bytes whose numbers have "
			"at most 64 characters and exponents from -300 to 300"},
		{"{\"name\":\"x\",\"price\":1,\"metadata\":{\"a\":"
		 "11111111111111111111111111111111111"
		 "11111111111111111111111111111111}}",
			"metadata value must be an object of at most 64 bytes whose numbers have "
			"at most 64 characters and exponents from -300 to 300"},

		{"{\"quantity\":0,\"x\":1,\"active\":\"no\",\"price\":1.234}",
			"x unknown is not known; what may be given: name, description, count, "
			"quantity, active, owner, at, price, price_minor, discount, "
			"discount_minor, state, tags, ids, place, items, metadata, password, note\n"
			"name required must be a text of 1 to 10 characters\n"
			"quantity range must be a whole number from 1 to 10000\n"
			"active type must be true or false, not a text\n"
			"price format must be an amount from 0.01 to 10000.00 with at most 2 "
			"decimals"},
	};

	(void)state;
	CHECK_ROWS(json_read, FAULT_INVALID, rows);
}

static void what_is_not_json_is_another_fault(void **state)
{
	static const struct row rows[] = {
		{"", "line 1, column 1: expected a value, but it ends here"},
		{"{\"name\":\"x\",}", "line 1, column 13: expected a name in double quotes"},
		{"{\"name\":\"\\ud800\"}",
			"line 1, column 16: half of a surrogate pair is missing"},
	};

	(void)state;
	CHECK_ROWS(json_read, FAULT_BAD_JSON, rows);
	CHECK_ROWS(json_merge, FAULT_BAD_JSON, rows);
	CHECK_ROWS(json_read_lenient, FAULT_BAD_GATEWAY, rows);
}

static void null_sets_optional_members_to_zero(void **state)
{
	struct sample v = {.description = STR("x"),
		.count = 5,
		.active = true,
		.discount = 5,
		.place = {.city = STR("x")},
		.state = 1};
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(
		json_read(&s,
			STR("{\"name\":\"x\",\"price\":1,\"description\":null,\"count\":null,"
			    "\"active\":null,\"discount\":null,\"place\":null,\"state\":null,"
			    "\"items\":null,\"tags\":null,\"metadata\":null}"),
			&sample_table, &v),
		OK);
	assert_str_equal(v.description, STR_NONE);
	assert_int_equal(v.count, 0);
	assert_false(v.active);
	assert_int_equal(v.discount, 0);
	assert_str_equal(v.place.city, STR_NONE);
	assert_int_equal(v.state, 0);
	assert_int_equal(v.items.count, 0);
	scope_end(&s);
}

static void merge_patches(void **state)
{
	struct sample v = {.name = STR("old"),
		.description = STR("text"),
		.price = 100,
		.place = {STR("Riga"), STR("LV")},
		.tags = {(struct str[]){STR("a"), STR("b")}, 2}};
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(json_merge(&s,
				 STR("{\"description\":null,\"price_minor\":250,\"tags\":[\"c\"],"
				     "\"place\":{\"country\":\"LT\"}}"),
				 &sample_table, &v),
		OK);
	assert_str_equal(v.name, STR("old"));
	assert_str_equal(v.description, STR_NONE);
	assert_int_equal(v.price, 250);
	assert_int_equal(v.tags.count, 1);
	assert_str_equal(v.place.city, STR("Riga"));
	assert_str_equal(v.place.country, STR("LT"));
	assert_int_equal(json_merge(&s, STR("{}"), &sample_table, &v), OK);
	assert_int_equal(json_merge(&s, STR("{\"place\":null}"), &sample_table, &v), OK);
	assert_str_equal(v.place.city, STR_NONE);
	scope_end(&s);
}

static void bad_merge_patches(void **state)
{
	static const struct row rows[] = {
		{"{}", NULL},
		{"{\"name\":null}", "name type must be a text of 1 to 10 characters, not null"},
		{"{\"price\":null}",
			"price type must be an amount from 0.01 to 10000.00, not null"},
		{"{\"place\":{\"country\":\"LV\"}}",
			"place.city required must be a text of 1 to 50 characters"},
		{"{\"items\":[{\"quantity\":1}]}", "items[0].product_id required must be a UUID"},
		{"{\"quantity\":0}", "quantity range must be a whole number from 1 to 10000"},
	};

	(void)state;
	CHECK_ROWS(json_merge, FAULT_INVALID, rows);
}

static void lenient_reading(void **state)
{
	static const struct row rows[] = {
		{"{\"name\":\"x\",\"price\":1,\"new_in_v2\":{\"a\":[]}}", NULL},
		{"{\"name\":\"much longer than allowed\",\"price\":0,\"price_minor\":0,"
		 "\"quantity\":0,\"items\":[],\"tags\":[\"\"],\"place\":null}",
			NULL},
		{"{\"name\":\"x\",\"price\":1,\"quantity\":2147483648}",
			"quantity must be a whole number from 1 to 10000"},
		{"{\"name\":\"x\",\"price\":1,\"quantity\":-2147483649}",
			"quantity must be a whole number from 1 to 10000"},
		{"{\"name\":\"x\",\"price_minor\":1000000000001}",
			"price_minor must be a whole number from 1 to 1000000"},
		{"{\"price\":1,\"quantity\":0}", "name must be a text of 1 to 10 characters"},
		{"{\"name\":\"x\",\"price\":1,\"version\":\"7\"}",
			"version must be a whole number from -9223372036854775808 to "
			"9223372036854775807, not a text"},
		{"[]", "the JSON must be an object, not an array"},
	};
	struct sample v = {0};
	struct scope s;

	(void)state;
	CHECK_ROWS(json_read_lenient, FAULT_BAD_GATEWAY, rows);
	scope_begin(&s);
	assert_int_equal(
		json_read_lenient(&s,
			STR("{\"id\":\"" SOME_ID "\",\"name\":\"x\",\"price\":1,\"version\":7}"),
			&sample_table, &v),
		OK);
	assert_int_equal(v.version, 7); /* FIELD_OUTPUT: ours wrote it */
	assert_int_equal(v.id.bytes[0], 0x01);
	scope_end(&s);
}

/* As strict as for people but for names that we do not know, at any depth. */
static void reading_what_a_later_release_asks(void **state)
{
	static const struct row rows[] = {
		{"{\"name\":\"x\",\"price\":1,\"new_in_v2\":{\"a\":[]}}", NULL},
		{"{\"name\":\"x\",\"price\":1,\"place\":{\"city\":\"y\",\"planet\":3}}", NULL},
		{"{\"name\":\"x\",\"price\":1,\"quantity\":0,\"new_in_v2\":1}",
			"quantity range must be a whole number from 1 to 10000"},
	};

	(void)state;
	CHECK_ROWS(json_read_internal, FAULT_INVALID, rows);
}

static void reports_have_a_bound(void **state)
{
	struct scope s;
	struct sample v = {0};

	(void)state;
	scope_begin(&s);
	struct buf b = buf_new(s.arena);
	buf_char(&b, '{');
	for (int i = 0; i < 1000; i++)
		buf_format(&b, "\"x%d\":%d,", i, i);
	buf_char(&b, '"');
	for (int i = 0; i < 1000; i++)
		buf_add(&b, STR("\xc3\xa9"));
	buf_add(&b, STR("\":1}"));
	assert_int_equal(json_read(&s, buf_str(&b), &sample_table, &v), FAULT_INVALID);
	assert_int_equal(s.error_count, FIELD_ERRORS_MAX);
	assert_true(arena_size(s.arena) < 512 << 10);
	scope_forgive(&s);
	/* a long name is cut where a character ends */
	assert_int_equal(json_read(&s, str_skip(buf_str(&b), b.len - 2007), &sample_table, &v),
		FAULT_BAD_JSON);
	scope_forgive(&s);
	b.len = 0;
	buf_add(&b, STR("{\"x"));
	for (int i = 0; i < 100; i++)
		buf_add(&b, STR("\xc3\xa9"));
	buf_add(&b, STR("\":1}"));
	assert_int_equal(json_read(&s, buf_str(&b), &sample_table, &v), FAULT_INVALID);
	assert_int_equal(s.errors->field.len, 1 + 2 * 32 + strlen("…"));
	assert_true(str_is_utf8(s.errors->field));
	scope_end(&s);
}

/* 4,096 tokens are read by clients' bodies, a page of resources by our own. */
static void token_bounds(void **state)
{
	struct scope s;
	struct sample v = {0};

	(void)state;
	scope_begin(&s);
	struct buf b = buf_new(s.arena);
	buf_add(&b, STR("{\"name\":\"x\",\"price\":1,\"legacy\":[0"));
	for (int i = 1; i < JSON_TOKENS_MAX - 7; i++)
		buf_add(&b, STR(",0"));
	const size_t fits = b.len;
	buf_add(&b, STR("]}"));
	assert_int_equal(json_read(&s, buf_str(&b), &sample_table, &v), OK);
	b.len = fits;
	buf_add(&b, STR(",0]}"));
	assert_int_equal(json_read(&s, buf_str(&b), &sample_table, &v), FAULT_BAD_JSON);
	assert_int_equal(json_read_lenient(&s, buf_str(&b), &sample_table, &v), OK);
	scope_end(&s);
}

static void decimals_are_the_currency_s(void **state)
{
	const struct currency usd = *currency_of_shop();
	struct currency yen;
	struct scope s;
	struct sample v = {0};

	(void)state;
	assert_true(currency_find(STR("JPY"), &yen));
	currency_set_shop(yen);
	scope_begin(&s);
	const enum fault whole =
		json_read(&s, STR("{\"name\":\"x\",\"price\":150}"), &sample_table, &v);
	const enum fault decimals =
		json_read(&s, STR("{\"name\":\"x\",\"price\":1.5}"), &sample_table, &v);
	currency_set_shop(usd);
	assert_int_equal(whole, OK);
	assert_int_equal(v.price, 150);
	assert_int_equal(decimals, FAULT_INVALID);
	assert_str_equal(s.errors->message,
		STR("must be an amount from 1 to 1000000 with at most 0 decimals"));
	scope_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(good_bodies),
		cmocka_unit_test(bad_fields_are_named),
		cmocka_unit_test(what_is_not_json_is_another_fault),
		cmocka_unit_test(null_sets_optional_members_to_zero),
		cmocka_unit_test(merge_patches),
		cmocka_unit_test(bad_merge_patches),
		cmocka_unit_test(lenient_reading),
		cmocka_unit_test(reading_what_a_later_release_asks),
		cmocka_unit_test(reports_have_a_bound),
		cmocka_unit_test(token_bounds),
		cmocka_unit_test(decimals_are_the_currency_s),
	};

	return cmocka_run_group_tests_name("json_read", tests, NULL, NULL);
}
