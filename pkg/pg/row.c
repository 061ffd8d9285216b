/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a result's columns in the order of the SELECT. The statements are ours, so a column of
 * another type, or one too many, is our bug and ends the process with the column's name. */
#include "pg/wire.h"

#include "base/check.h"
#include "pg/libpq.h"

#include <stdio.h>

/* One column's bytes; `at` is NULL for null. */
struct cell {
	const char *at;
	size_t len;
	Oid type;
};

static struct cell take(struct pg_row *row, const char *wanted, const Oid *types, size_t count);
static _Noreturn void mismatch(const struct pg_row *row, const char *wanted, const char *problem);
static size_t array_count(const struct cell *cell);

/* The types that a function reads, for take(). */
#define TYPES(...) (const Oid[]){__VA_ARGS__}, sizeof((const Oid[]){__VA_ARGS__}) / sizeof(Oid)

struct pg_row pg_row(const struct pg_rows *rows, size_t index)
{
	CHECK(index < rows->count);
	return (struct pg_row){.rows = rows, .row = (int)index};
}

struct str pg_take_text(struct pg_row *row)
{
	const struct cell cell = take(row, "text",
		TYPES(OID_TEXT, OID_VARCHAR, OID_JSONB, OID_JSON, OID_NAME, OID_BPCHAR));

	if (cell.at == NULL)
		return STR_NONE;
	if (cell.type != OID_JSONB)
		return str_of(cell.at, cell.len);
	/* jsonb is sent as a version byte, 1 since ever, and the text */
	CHECK(cell.len > 0 && cell.at[0] == 1);
	return str_of(cell.at + 1, cell.len - 1);
}

struct str pg_take_bytes(struct pg_row *row)
{
	const struct cell cell = take(row, "bytea", TYPES(OID_BYTEA));

	return cell.at != NULL ? str_of(cell.at, cell.len) : STR_NONE;
}

int64_t pg_take_int64(struct pg_row *row)
{
	const struct cell cell = take(row, "a whole number", TYPES(OID_INT8, OID_INT4, OID_INT2));

	if (cell.at == NULL)
		return 0;
	if (cell.type == OID_INT8)
		return (int64_t)get_64(cell.at);
	return cell.type == OID_INT4 ? (int32_t)get_32(cell.at) : (int16_t)get_16(cell.at);
}

int32_t pg_take_int32(struct pg_row *row)
{
	const struct cell cell = take(row, "an integer", TYPES(OID_INT4, OID_INT2));

	if (cell.at == NULL)
		return 0;
	return cell.type == OID_INT4 ? (int32_t)get_32(cell.at) : (int16_t)get_16(cell.at);
}

bool pg_take_bool(struct pg_row *row)
{
	const struct cell cell = take(row, "boolean", TYPES(OID_BOOL));

	return cell.at != NULL && cell.at[0] != 0;
}

struct uuid pg_take_uuid(struct pg_row *row)
{
	const struct cell cell = take(row, "uuid", TYPES(OID_UUID));
	struct uuid id = {0};

	if (cell.at != NULL)
		memcpy(id.bytes, cell.at, sizeof id.bytes);
	return id;
}

int64_t pg_take_time(struct pg_row *row)
{
	const struct cell cell = take(row, "timestamptz", TYPES(OID_TIMESTAMPTZ));

	return cell.at != NULL ? (int64_t)get_64(cell.at) + PG_EPOCH_US : 0;
}

struct texts pg_take_texts(struct scope *s, struct pg_row *row)
{
	const struct cell cell = take(row, "text[]", TYPES(OID_TEXT_ARRAY, OID_VARCHAR_ARRAY));
	struct texts texts = {.count = array_count(&cell)};

	if (texts.count == 0)
		return texts;
	texts.at = arena_alloc_array(s->arena, texts.count, sizeof *texts.at);

	const char *at = cell.at + ARRAY_HEAD;

	for (size_t i = 0; i < texts.count; i++) {
		const int32_t len = (int32_t)get_32(at);

		at += 4;
		if (len < 0)
			continue;
		texts.at[i] = str_of(at, (size_t)len);
		at += len;
	}
	return texts;
}

bool pg_next_is_null(const struct pg_row *row)
{
	const PGresult *result = row->rows->result;

	if (row->column >= PQnfields(result))
		mismatch(row, "a column", "there are no more columns");
	return PQgetisnull(result, row->row, row->column) != 0;
}

static struct cell take(struct pg_row *row, const char *wanted, const Oid *types, size_t count)
{
	const PGresult *result = row->rows->result;
	const bool is_null = pg_next_is_null(row);
	struct cell cell = {.type = PQftype(result, row->column)};
	size_t i = 0;

	while (i < count && types[i] != cell.type)
		i++;
	if (i == count)
		mismatch(row, wanted, "it is of another type");
	if (!is_null) {
		cell.at = PQgetvalue(result, row->row, row->column);
		cell.len = (size_t)PQgetlength(result, row->row, row->column);
	}
	row->column++;
	return cell;
}

static void mismatch(const struct pg_row *row, const char *wanted, const char *problem)
{
	const PGresult *result = row->rows->result;
	const char *name = PQfname(result, row->column);
	char text[256];

	snprintf(text, sizeof text, "column %d (%s, type %u) was read as %s: %s", row->column + 1,
		name != NULL ? name : "none", PQftype(result, row->column), wanted, problem);
	check_failed(text, __FILE__, __LINE__);
}

/* Of arrays with one dimension; 0 for null and for empty ones. */
static size_t array_count(const struct cell *cell)
{
	if (cell->at == NULL || get_32(cell->at) == 0)
		return 0;
	CHECK(get_32(cell->at) == 1);
	return get_32(cell->at + ARRAY_HEAD_EMPTY);
}
