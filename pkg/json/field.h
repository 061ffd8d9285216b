/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/money.h"
#include "base/scope.h"
#include "base/uuid.h"

/* A struct described by a table of fields, one line each: the same table reads it from JSON or a
 * query string, checks it and writes it as JSON. */

enum field_type {
	FIELD_TEXT, /* struct str; length in code points min..max; no NUL and no control characters
	               but \n and \t */
	FIELD_INT64, /* int64_t, min..max */
	FIELD_INT32, /* int32_t, min..max */
	FIELD_BOOL, /* bool */
	FIELD_UUID, /* struct uuid */
	FIELD_TIME, /* int64_t, microseconds since 1970 */
	FIELD_MONEY, /* int64_t minor units, min..max; read from `x` or `x_minor`, written as both
	              */
	FIELD_ENUM, /* int, an index into names */
	FIELD_TEXTS, /* struct texts: array of texts, at most max of them, each at most `of_max`
	                long */
	FIELD_UUIDS, /* struct uuids: at most max */
	FIELD_OBJECT, /* a struct described by `of`, in place */
	FIELD_ARRAY, /* struct items: min..max structs described by `of` */
	FIELD_RAW, /* struct str: any JSON object as it came, compacted, at most max bytes */
};

enum field_kind {
	FIELD_REQUIRED,
	FIELD_OPTIONAL, /* when absent the member keeps what it held; null clears it */
	FIELD_IGNORED, /* accepted and not looked at: what older clients send and we have no use for
	                */
	FIELD_OUTPUT, /* written only; in input as FIELD_IGNORED, so that what was read can be sent
	                 back */
};

enum {
	FIELD_SECRET = 1,
	/* read only: never written (passwords) */ FIELD_OMIT_EMPTY = 2 /* not written when empty */
};

struct items {
	void *at; /* an array of the table's struct */
	size_t count;
};

struct field_table;

struct field {
	const char *name;
	const char
		*alias; /* a name that older clients use, or NULL; both at once are a duplicate */
	enum field_type type;
	enum field_kind kind;
	unsigned flags;
	size_t offset;
	int64_t min;
	int64_t max;
	int64_t of_max;
	const struct field_table *of;
	const char *const *names; /* of an enum, NULL at the end */
};

struct field_table {
	const struct field *fields;
	size_t count; /* at most 64 */
	size_t size; /* of the struct */
};

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

enum { JSON_BYTES_MAX = 256 << 10, JSON_TOKENS_MAX = 4096, JSON_DEPTH_MAX = 32 };

/* Reads a JSON object into *value, which holds the defaults. Strict RFC 8259 in UTF-8; every bad
 * field is recorded with its path. FAULT_BAD_JSON (not JSON, too deep, too many tokens),
 * FAULT_INVALID (fields). Texts live in s. */
enum fault json_read(
	struct scope *s, struct str text, const struct field_table *table, void *value) MUST_CHECK;

/* The same for RFC 7396 merge patches over *value as it is: nothing is required, absent fields
 * stay, null clears (a required one may not be cleared). Objects merge, arrays replace. */
enum fault json_merge(
	struct scope *s, struct str text, const struct field_table *table, void *value) MUST_CHECK;

/* The same as json_read for answers of other services, events, cached and stored JSON: unknown
 * fields are ignored, and what is wrong is FAULT_BAD_GATEWAY. */
enum fault json_read_lenient(
	struct scope *s, struct str text, const struct field_table *table, void *value) MUST_CHECK;

/* Reads a query string ("a=1&b=x%20y", '+' is a space); TEXTS and UUIDS are split at commas.
 * Unknown and repeated names, bad escapes: FAULT_INVALID. */
enum fault query_read(
	struct scope *s, struct str query, const struct field_table *table, void *value) MUST_CHECK;
