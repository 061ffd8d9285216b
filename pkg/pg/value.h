/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"
#include "base/uuid.h"

/* What goes to PostgreSQL and what comes back, in its binary formats. */

/* ---- values ---- */

/* One parameter in binary; made by the functions below, text and arrays borrow their bytes until
 * the call returns. */
struct pg_value {
	const char *at; /* NULL: SQL null */
	int len;
	char small[16];
	bool is_small;
};

struct pg_value pg_null(void);
struct pg_value pg_text(
	struct str text); /* STR_NONE is null; also for jsonb by `$1::text::jsonb` */
struct pg_value pg_bytes(struct str bytes); /* bytea */
struct pg_value pg_int64(int64_t value); /* bigint */
struct pg_value pg_int32(int32_t value); /* integer */
struct pg_value pg_bool(bool value);
struct pg_value pg_uuid(const struct uuid *id); /* nil is null */
struct pg_value pg_time(int64_t wall_us); /* timestamptz; 0 is null */
struct pg_value pg_texts(struct scope *s, const struct str *at, size_t count); /* text[] */
struct pg_value pg_byteas(struct scope *s, const struct str *at, size_t count); /* bytea[] */
struct pg_value pg_uuids(struct scope *s, const struct uuid *at, size_t count); /* uuid[] */
struct pg_value pg_int64s(struct scope *s, const int64_t *at, size_t count); /* bigint[] */
struct pg_value pg_int32s(struct scope *s, const int32_t *at, size_t count); /* integer[] */

enum { PG_VALUES_MAX = 32 };

/* The parameters of a call: PG_VALUES(pg_uuid(&id), pg_int64(n)); PG_NO_VALUES for none. */
#define PG_VALUES(...)                            \
	((const struct pg_value[]){__VA_ARGS__}), \
		(sizeof((const struct pg_value[]){__VA_ARGS__}) / sizeof(struct pg_value))
#define PG_NO_VALUES NULL, 0

/* ---- rows ---- */

/* A statement's result. Lives in the task's scope. */
struct pg_rows {
	size_t count; /* of rows returned */
	size_t affected; /* by INSERT, UPDATE, DELETE */
	void *result; /* PGresult */
};

/* Reads a row's columns in the order of the SELECT; each call takes the next one and checks its
 * type (a mismatch is our bug). Null gives STR_NONE, 0, false, nil. Texts are borrowed from the
 * rows. */
struct pg_row {
	const struct pg_rows *rows;
	int row;
	int column;
};

struct pg_row pg_row(const struct pg_rows *rows, size_t index);
struct str pg_take_text(struct pg_row *row); /* text, varchar, jsonb, json, name */
struct str pg_take_bytes(struct pg_row *row);
int64_t pg_take_int64(struct pg_row *row); /* bigint, integer, smallint */
int32_t pg_take_int32(struct pg_row *row); /* integer, smallint */
bool pg_take_bool(struct pg_row *row);
struct uuid pg_take_uuid(struct pg_row *row);
int64_t pg_take_time(struct pg_row *row); /* microseconds since 1970 */
struct texts pg_take_texts(struct scope *s, struct pg_row *row); /* null elements: STR_NONE */
bool pg_next_is_null(const struct pg_row *row);
