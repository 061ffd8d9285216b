/* SPDX-License-Identifier: Apache-2.0
 * Every type goes to a real server and comes back: as a parameter in binary, and as a column. */
#include "base/testing.h"

#include "pg/libpq.h"
#include "pg/wire.h"

#include <stdlib.h>

static PGconn *server;
static struct scope scope;
static struct pg_rows rows;

/* Runs one SELECT and gives its first row. */
static struct pg_row ask(const char *sql, const struct pg_value *values, size_t count)
{
	struct pg_params params;

	pg_params_set(&params, values, count);
	PQclear(rows.result);
	rows.result = PQexecParams(
		server, sql, (int)count, NULL, params.at, params.len, params.format, 1);
	if (PQresultStatus(rows.result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(server));
	rows.count = (size_t)PQntuples(rows.result);
	return pg_row(&rows, 0);
}

static void texts_come_back(void **state)
{
	static const struct {
		const char *sql;
		struct str text;
	} cases[] = {
		{"SELECT $1::text", STR("caf\xc3\xa9 'quoted' \\ \n")},
		{"SELECT $1::text", STR("")},
		{"SELECT $1::text", {NULL, 0}},
		{"SELECT $1::varchar(20)", STR("short")},
		{"SELECT $1::char(4)", STR("EUR ")},
		{"SELECT $1::name", STR("products")},
		{"SELECT $1::text::json", STR("{\"a\": 1}")},
		{"SELECT $1::text::jsonb", STR("{\"a\": [1, null]}")},
		{"SELECT $1::text::jsonb", {NULL, 0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pg_row row = ask(cases[i].sql, PG_VALUES(pg_text(cases[i].text)));

		assert_int_equal(pg_next_is_null(&row), cases[i].text.at == NULL);
		assert_str_equal(pg_take_text(&row), cases[i].text);
	}
}

static void bytes_come_back(void **state)
{
	char all[256];

	(void)state;
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (char)i;

	struct pg_row row = ask("SELECT $1::bytea, $2::bytea, length($1::bytea)",
		PG_VALUES(pg_bytes(str_of(all, sizeof all)), pg_bytes(STR_NONE)));

	assert_str_equal(pg_take_bytes(&row), str_of(all, sizeof all));
	assert_str_equal(pg_take_bytes(&row), STR_NONE);
	assert_int_equal(pg_take_int32(&row), 256);
}

static void whole_numbers_come_back(void **state)
{
	static const int64_t longs[] = {0, 1, -1, INT64_MAX, INT64_MIN, 1LL << 32};
	static const int32_t ints[] = {0, 1, -1, INT32_MAX, INT32_MIN};

	(void)state;
	for (size_t i = 0; i < sizeof longs / sizeof longs[0]; i++) {
		struct pg_row row =
			ask("SELECT $1::bigint, ($1::bigint)::text", PG_VALUES(pg_int64(longs[i])));
		int64_t as_text = 1;

		assert_true(pg_take_int64(&row) == longs[i]);
		assert_true(str_to_int64(pg_take_text(&row), &as_text) && as_text == longs[i]);
	}
	for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
		struct pg_row row =
			ask("SELECT $1::integer, $1::integer", PG_VALUES(pg_int32(ints[i])));

		assert_int_equal(pg_take_int32(&row), ints[i]);
		assert_int_equal(pg_take_int64(&row), ints[i]);
	}

	struct pg_row row = ask("SELECT (-7)::smallint, 8::smallint, count(*)", PG_NO_VALUES);

	assert_int_equal(pg_take_int64(&row), -7);
	assert_int_equal(pg_take_int32(&row), 8);
	assert_int_equal(pg_take_int64(&row), 1);
}

static void other_scalars_come_back(void **state)
{
	const struct uuid id = uuid_new();
	char text[UUID_TEXT_LEN + 1];
	struct pg_row row = ask("SELECT $1::boolean, $2::boolean, $3::uuid, ($3::uuid)::text",
		PG_VALUES(pg_bool(true), pg_bool(false), pg_uuid(&id)));

	(void)state;
	assert_true(pg_take_bool(&row));
	assert_false(pg_take_bool(&row));

	struct uuid back = pg_take_uuid(&row);

	assert_memory_equal(&back, &id, sizeof id);
	assert_str_equal(pg_take_text(&row), uuid_format(&id, text));
}

static void times_come_back(void **state)
{
	static const struct {
		const char *text;
		int64_t wall_us;
	} cases[] = {
		{"1970-01-01 00:00:00.000001+00", 1},
		{"1999-12-31 23:59:59.999999+00", PG_EPOCH_US - 1},
		{"2000-01-01 00:00:00+00", PG_EPOCH_US},
		{"2026-11-21 06:25:22.123456+00", INT64_C(1795242322123456)},
		{"1815-06-18 11:30:00+00", INT64_C(-4876806600000000)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pg_row row = ask("SELECT $1::timestamptz, $1 = $2::text::timestamptz",
			PG_VALUES(pg_time(cases[i].wall_us), pg_text(str_from(cases[i].text))));

		assert_true(pg_take_time(&row) == cases[i].wall_us);
		if (!pg_take_bool(&row))
			fail_row(i, "%s", cases[i].text);
	}
}

static void nulls_are_zero(void **state)
{
	const struct uuid nil = {0};
	struct pg_row row =
		ask("SELECT $1::bigint, $2::uuid, $3::timestamptz, NULL::integer, NULL::boolean,"
		    " NULL::text[], NULL::bytea",
			PG_VALUES(pg_null(), pg_uuid(&nil), pg_time(0)));

	(void)state;
	for (int column = 0; column < 7; column++) {
		const struct pg_row one = {.rows = row.rows, .row = row.row, .column = column};

		assert_true(pg_next_is_null(&one));
	}
	assert_int_equal(pg_take_int64(&row), 0);

	const struct uuid none = pg_take_uuid(&row);

	assert_true(uuid_is_nil(&none));
	assert_int_equal(pg_take_time(&row), 0);
	assert_int_equal(pg_take_int32(&row), 0);
	assert_false(pg_take_bool(&row));
	assert_int_equal(pg_take_texts(&scope, &row).count, 0);
	assert_str_equal(pg_take_bytes(&row), STR_NONE);
}

static void arrays_come_back(void **state)
{
	const struct str words[] = {STR("a"), STR(""), STR_NONE, STR("{\"b\",c}")};
	const struct uuid ids[] = {uuid_new(), uuid_new()};
	const int64_t longs[] = {1, INT64_MIN, 1LL << 40};
	const int32_t ints[] = {7, -7};
	struct pg_row row = ask("SELECT $1::text[], ($2::uuid[])[2], ($3::bigint[])::text,"
				" ($4::integer[])::text, ARRAY['x', NULL]::varchar[]",
		PG_VALUES(pg_texts(&scope, words, 4), pg_uuids(&scope, ids, 2),
			pg_int64s(&scope, longs, 3), pg_int32s(&scope, ints, 2)));
	const struct texts texts = pg_take_texts(&scope, &row);
	const struct uuid second = pg_take_uuid(&row);

	(void)state;
	assert_int_equal(texts.count, 4);
	for (size_t i = 0; i < texts.count; i++)
		assert_str_equal(texts.at[i], words[i]);
	assert_memory_equal(&second, &ids[1], sizeof second);
	assert_str_equal(pg_take_text(&row), STR("{1,-9223372036854775808,1099511627776}"));
	assert_str_equal(pg_take_text(&row), STR("{7,-7}"));

	const struct texts letters = pg_take_texts(&scope, &row);

	assert_int_equal(letters.count, 2);
	assert_str_equal(letters.at[0], STR("x"));
	assert_str_equal(letters.at[1], STR_NONE);
}

static void empty_arrays_are_arrays(void **state)
{
	struct pg_row row = ask("SELECT $1::text[] = '{}', $2::uuid[] = '{}', $3::bigint[] = '{}',"
				" $4::integer[] = '{}', $1::text[]",
		PG_VALUES(pg_texts(&scope, NULL, 0), pg_uuids(&scope, NULL, 0),
			pg_int64s(&scope, NULL, 0), pg_int32s(&scope, NULL, 0)));

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(pg_take_bool(&row));
	assert_false(pg_next_is_null(&row));
	assert_int_equal(pg_take_texts(&scope, &row).count, 0);
}

static int connect_and_begin(void **state)
{
	const char *url = getenv("TEST_DATABASE_URL");

	(void)state;
	if (url == NULL) {
		print_error("TEST_DATABASE_URL is not set: run this under tools/with-servers\n");
		return -1;
	}
	server = PQconnectdb(url);
	if (PQstatus(server) != CONNECTION_OK) {
		print_error("%s", PQerrorMessage(server));
		return -1;
	}
	scope_begin(&scope);
	return 0;
}

static int end_and_disconnect(void **state)
{
	(void)state;
	PQclear(rows.result);
	PQfinish(server);
	scope_end(&scope);
	arena_trim();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_come_back),
		cmocka_unit_test(bytes_come_back),
		cmocka_unit_test(whole_numbers_come_back),
		cmocka_unit_test(other_scalars_come_back),
		cmocka_unit_test(times_come_back),
		cmocka_unit_test(nulls_are_zero),
		cmocka_unit_test(arrays_come_back),
		cmocka_unit_test(empty_arrays_are_arrays),
	};

	return cmocka_run_group_tests(tests, connect_and_begin, end_and_disconnect);
}
