/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/money.h"
#include "base/scope.h"
#include "base/uuid.h"

/* A struct described by a table of fields, one line each: the same table reads it from JSON or a
 * query string, checks it and writes it as JSON. */

enum field_type {
	FIELD_TEXT, /* struct str; length in code points min..max; no control characters (NUL among
	               them) but \n and \t */
	FIELD_INT64, /* int64_t, min..max */
	FIELD_INT32, /* int32_t, min..max */
	FIELD_BOOL, /* bool */
	FIELD_UUID, /* struct uuid */
	FIELD_TIME, /* int64_t, microseconds since 1970 */
	FIELD_MONEY, /* int64_t minor units, min..max; read from `x` or `x_minor` (both only when
	                equal), written as both */
	FIELD_ENUM, /* int, an index into names */
	FIELD_TEXTS, /* struct texts: array of texts, at most max of them, each of 1..of_max code
	                points */
	FIELD_UUIDS, /* struct uuids: at most max */
	FIELD_OBJECT, /* a struct described by `of`, in place */
	FIELD_ARRAY, /* struct items: min..max structs described by `of` */
	FIELD_RAW, /* struct str: any JSON object as it came, compacted, at most max bytes; of a
	              kind that PostgreSQL's jsonb can hold */
	FIELD_TYPE_COUNT
};

enum field_kind {
	FIELD_REQUIRED,
	FIELD_OPTIONAL, /* when absent the member keeps what it held; null sets it to all zero */
	FIELD_IGNORED, /* accepted and not looked at: what older clients send and we have no use for
	                */
	FIELD_OUTPUT, /* written only; in requests as FIELD_IGNORED, so that what was read can be
	                 sent back; json_read_lenient reads it as FIELD_OPTIONAL */
};

enum field_flag {
	FIELD_SECRET = 1, /* read only: never written (passwords) */
	FIELD_OMIT_EMPTY = 2, /* not written when empty: no text, 0, false, nil, no elements */
};

struct items {
	void *at; /* an array of the table's struct */
	size_t count;
};

struct field_table;

struct field {
	const char *name;
	const char *alias; /* what older clients call it, or NULL; both at once are a duplicate */
	enum field_type type;
	enum field_kind kind;
	unsigned flags;
	size_t offset;
	int64_t min; /* 0 and no max: any value of the type */
	int64_t max; /* 0 and a min >= 0: no upper bound */
	int64_t of_max;
	const struct field_table *of;
	const char *const *names; /* of an enum, NULL at the end */
};

struct field_table {
	const struct field *fields;
	size_t count; /* at most FIELDS_MAX */
	size_t size; /* of the struct */
};

enum { FIELDS_MAX = 64 };

#define FIELD_TABLE(type, array)                                                                   \
	{                                                                                          \
		.fields = (array), .count = sizeof(array) / sizeof(array)[0], .size = sizeof(type) \
	}

/* One line of a table: FIELD(struct product, name, TEXT, REQUIRED, .min = 1, .max = 200) */
#define FIELD(owner, member, field_type_, field_kind_, ...)                                \
	{                                                                                  \
		.name = #member, .type = FIELD_##field_type_, .kind = FIELD_##field_kind_, \
		.offset = offsetof(owner, member), __VA_ARGS__                             \
	}

/* A name that is accepted and not looked at. */
#define FIELD_IGNORE(name_)                            \
	{                                              \
		.name = (name_), .kind = FIELD_IGNORED \
	}

/* How long a text may be is kept by http. Answers of our own services may hold a page of 100
 * resources. */
enum { JSON_TOKENS_MAX = 4096, JSON_LENIENT_TOKENS_MAX = 64 << 10, JSON_DEPTH_MAX = 32 };

/* Reads a JSON object into *value, which holds the defaults. Strict RFC 8259 in UTF-8, without lone
 * surrogates; every bad field is recorded with its path. FAULT_BAD_JSON (not JSON, too deep, too
 * many tokens), FAULT_INVALID (fields); then *value is half read. Texts live in s. */
enum fault json_read(
	struct scope *s, struct str text, const struct field_table *table, void *value) MUST_CHECK;

/* The same for what another service of ours asks, which may be a release ahead: unknown fields are
 * ignored. */
enum fault json_read_internal(
	struct scope *s, struct str text, const struct field_table *table, void *value) MUST_CHECK;

/* The same as json_read for RFC 7396 merge patches over *value as it is: nothing is required,
 * absent fields stay, null clears (a required one may not be cleared). Objects merge (into an empty
 * one: must be complete), arrays and FIELD_RAW are replaced. */
enum fault json_merge(
	struct scope *s, struct str text, const struct field_table *table, void *value) MUST_CHECK;

/* The same as json_read for what our own side wrote (answers of other services, events, cached and
 * stored JSON): unknown fields are ignored, min and max are not looked at (what is absent was
 * written as 0), and what is wrong is FAULT_BAD_GATEWAY. */
enum fault json_read_lenient(
	struct scope *s, struct str text, const struct field_table *table, void *value) MUST_CHECK;

/* Reads a query string ("a=1&b=x%20y", '+' is a space) into scalar fields; TEXTS and UUIDS are
 * split at commas. Unknown and repeated names, bad escapes: FAULT_INVALID. */
enum fault query_read(
	struct scope *s, struct str query, const struct field_table *table, void *value) MUST_CHECK;

/* The same, but unknown names are ignored: as json_read_internal. */
enum fault query_read_internal(
	struct scope *s, struct str query, const struct field_table *table, void *value) MUST_CHECK;
