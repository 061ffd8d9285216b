/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "json/field.h"

/* Where a value stands: a name of an object, or (no name) an element of an array. */
struct path {
	const struct path *parent; /* NULL: of the whole */
	struct str name;
	size_t index;
};

/* What is wrong with the fields, as it is found. */
struct report {
	struct scope *s;
	bool open; /* unknown names are ignored */
	bool lenient; /* what our own side wrote: bounds are not looked at, and the first mistake
	                 becomes FAULT_BAD_GATEWAY's detail */
	unsigned count;
};

void report_field(struct report *r, const struct path *path, const char *code, const char *format,
	...) PRINTF_LIKE(4, 5);

/* Reports that the field must be what its table says: "must be a whole number from 1 to 10",
 * followed by `why`. */
void report_wrong(struct report *r, const struct path *path, const struct field *field,
	const char *code, const char *why);

/* So much is wrong that no more needs to be looked at. */
bool report_is_full(const struct report *r);

/* OK, or what the reports add up to. */
enum fault report_end(struct report *r) MUST_CHECK;

/* Checks a scalar and stores it: the text of a TEXT, UUID, TIME or ENUM (living in the scope), the
 * digits of a whole number, "true" or "false". */
void value_set(struct report *r, const struct path *path, const struct field *field,
	struct str text, void *member);

/* The same for a MONEY that may have come as x, as x_minor, or as both; STR_NONE when it did not.
 * `path` is that of x. */
void value_set_money(struct report *r, const struct path *path, const struct field *field,
	struct str amount, struct str minor, int64_t *member);

/* How many elements a TEXTS, UUIDS or ARRAY may have: reports and returns false if it is not so. */
bool value_check_count(
	struct report *r, const struct path *path, const struct field *field, size_t count);

/* What each element of a TEXTS or UUIDS is. */
struct field value_element(const struct field *field);
