/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "json/sample.h"
#include "json/write.h"

static const struct uuid some_id = {{0x01, 0x90, 0xa5, 0xc8, 0x7b, 0x1c, 0x70, 0x00, 0x80, 0x00,
	0x01, 0x23, 0x45, 0x67, 0x89, 0xab}};

static void every_type_is_written(void **state)
{
	const struct sample v = {
		.id = some_id,
		.name = STR("Caf\xc3\xa9 \"x\""),
		.count = INT64_MIN,
		.quantity = -7,
		.active = true,
		.at = 1500000,
		.price = 2999,
		.discount = -5,
		.state = 1,
		.tags = {(struct str[]){STR("a"), STR("b\\c")}, 2},
		.ids = {(struct uuid[]){some_id, some_id}, 2},
		.place = {STR("Riga"), STR_NONE},
		.items = {(struct sample_line[]){{some_id, 1}, {{{0}}, 2}}, 2},
		.metadata = STR("{\"a\":[1]}"),
		.password = STR("secret"),
		.note = STR("n"),
		.version = 3,
	};
	struct arena *a = arena_new();
	struct buf b = buf_new(a);

	(void)state;
	json_write(&b, &sample_table, &v);
	assert_str_equal(buf_str(&b),
		STR("{\"id\":\"0190a5c8-7b1c-7000-8000-0123456789ab\",\"name\":\"Caf\xc3\xa9 "
		    "\\\"x\\\"\",\"description\":null,\"count\":-9223372036854775808,"
		    "\"quantity\":-7,\"active\":true,\"owner\":null,"
		    "\"at\":\"1970-01-01T00:00:01.500Z\",\"price\":29.99,\"price_minor\":2999,"
		    "\"discount\":-0.05,\"discount_minor\":-5,\"state\":\"paid\","
		    "\"tags\":[\"a\",\"b\\\\c\"],\"ids\":[\"0190a5c8-7b1c-7000-8000-0123456789ab\","
		    "\"0190a5c8-7b1c-7000-8000-0123456789ab\"],\"place\":{\"city\":\"Riga\","
		    "\"country\":null},\"items\":[{\"product_id\":"
		    "\"0190a5c8-7b1c-7000-8000-0123456789ab\",\"quantity\":1},"
		    "{\"product_id\":null,\"quantity\":2}],\"metadata\":{\"a\":[1]},"
		    "\"note\":\"n\",\"version\":3}"));
	arena_unref(a);
}

static void empty_members(void **state)
{
	const struct sample v = {0};
	struct arena *a = arena_new();
	struct buf b = buf_new(a);

	(void)state;
	json_write(&b, &sample_table, &v);
	assert_str_equal(buf_str(&b),
		STR("{\"id\":null,\"name\":null,\"description\":null,\"count\":0,\"quantity\":0,"
		    "\"active\":false,\"owner\":null,\"at\":null,\"price\":0.00,\"price_minor\":0,"
		    "\"discount\":0.00,\"discount_minor\":0,\"state\":\"pending\",\"tags\":[],"
		    "\"ids\":[],\"place\":null,\"items\":[],\"metadata\":null,\"version\":0}"));
	arena_unref(a);
}

struct sparse {
	struct str text;
	int64_t number;
	bool flag;
	struct uuid id;
	struct texts texts;
	struct uuids ids;
	struct items items;
	struct sample_place place;
};

static const struct field sparse_fields[] = {
	FIELD(struct sparse, text, TEXT, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct sparse, number, INT64, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct sparse, flag, BOOL, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct sparse, id, UUID, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct sparse, texts, TEXTS, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct sparse, ids, UUIDS, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct sparse, items, ARRAY, OPTIONAL, .flags = FIELD_OMIT_EMPTY,
		.of = &sample_line_table),
	FIELD(struct sparse, place, OBJECT, OUTPUT, .flags = FIELD_OMIT_EMPTY,
		.of = &sample_place_table),
};
static const struct field_table sparse_table = FIELD_TABLE(struct sparse, sparse_fields);

static void omit_empty(void **state)
{
	struct sparse v = {.text = STR("")};
	struct arena *a = arena_new();
	struct buf b = buf_new(a);

	(void)state;
	json_write(&b, &sparse_table, &v);
	assert_str_equal(buf_str(&b), STR("{}"));
	v = (struct sparse){.flag = true, .place = {STR_NONE, STR("LV")}};
	b.len = 0;
	json_write(&b, &sparse_table, &v);
	assert_str_equal(
		buf_str(&b), STR("{\"flag\":true,\"place\":{\"city\":null,\"country\":\"LV\"}}"));
	arena_unref(a);
}

static void texts_are_escaped(void **state)
{
	static const struct {
		struct str text;
		struct str written;
	} rows[] = {
		{STR(""), STR("\"\"")},
		{STR("plain text of some length"), STR("\"plain text of some length\"")},
		{STR("\"\\/\b\f\n\r\t"), STR("\"\\\"\\\\/\\b\\f\\n\\r\\t\"")},
		{STR("\0\x01\x1f\x7f"), STR("\"\\u0000\\u0001\\u001f\x7f\"")},
		{STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
			STR("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"")},
		{STR("a\xff"
		     "b"),
			STR("\"a\xef\xbf\xbd"
			    "b\"")},
		{STR("\xc3"), STR("\"\xef\xbf\xbd\"")},
		{STR("\xe2\x82"), STR("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
		{STR("\xed\xa0\x80"), STR("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
		{STR("\xc0\xaf"), STR("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
		{STR("0123456\n"), STR("\"0123456\\n\"")},
		{STR("01234567\n"), STR("\"01234567\\n\"")},
		{STR("012345678\n0123456789"), STR("\"012345678\\n0123456789\"")},
	};
	struct arena *a = arena_new();

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf b = buf_new(a);
		json_write_text(&b, rows[i].text);
		assert_str_equal(buf_str(&b), rows[i].written);
	}
	struct buf b = buf_new(a);
	json_write_text(&b, STR_NONE);
	assert_str_equal(buf_str(&b), STR("\"\""));
	arena_unref(a);
}

static void lists(void **state)
{
	static const struct sample_place places[] = {{{"a", 1}, {"b", 1}}, {{"c", 1}, {"d", 1}}};
	struct arena *a = arena_new();
	struct buf b = buf_new(a);

	(void)state;
	json_write_list(&b, &sample_place_table, NULL, 0, STR_NONE);
	assert_str_equal(buf_str(&b), STR("{\"data\":[],\"next_cursor\":null,\"has_more\":false}"));
	b.len = 0;
	json_write_list(&b, &sample_place_table, places, 2, STR("n=x"));
	assert_str_equal(buf_str(&b),
		STR("{\"data\":[{\"city\":\"a\",\"country\":\"b\"},{\"city\":\"c\",\"country\":"
		    "\"d\"}],\"next_cursor\":\"n=x\",\"has_more\":true}"));
	arena_unref(a);
}

/* What was written reads back, and is then written the same. */
static void round_trip(void **state)
{
	struct sample_line lines[] = {{some_id, 1}, {some_id, 10000}};
	const struct sample v = {
		.id = some_id,
		.name = STR("\"\\\n\t\xc3\xa9"),
		.quantity = 1,
		.price = 1,
		.discount = -MONEY_MINOR_MAX,
		.items = {lines, 2},
		.metadata = STR("{}"),
		.version = INT64_MAX,
	};
	struct sample again = {0};
	struct scope s;

	(void)state;
	scope_begin(&s);
	struct buf first = buf_new(s.arena), second = buf_new(s.arena);
	json_write(&first, &sample_table, &v);
	assert_int_equal(json_read_lenient(&s, buf_str(&first), &sample_table, &again), OK);
	json_write(&second, &sample_table, &again);
	assert_str_equal(buf_str(&second), buf_str(&first));
	scope_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_written),
		cmocka_unit_test(empty_members),
		cmocka_unit_test(omit_empty),
		cmocka_unit_test(texts_are_escaped),
		cmocka_unit_test(lists),
		cmocka_unit_test(round_trip),
	};

	return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
