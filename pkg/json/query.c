/* SPDX-License-Identifier: Apache-2.0
 * A query string into a struct, in the same two passes as JSON. */
#include "json/field.h"

#include "base/check.h"
#include "json/scan.h"
#include "json/table.h"
#include "json/value.h"

/* The decoded values of a field; STR_NONE for none. */
struct found {
	struct str value;
	struct str minor;
	struct str name; /* under which it came */
};

static enum fault read_query(
	struct report *r, struct str query, const struct field_table *table, void *value);
static void match_pair(
	struct report *r, struct str pair, const struct field_table *table, struct found *found);
static bool decode(struct scope *s, struct str text, struct str *decoded);
static void read_field(
	struct report *r, const struct field *field, const struct found *found, void *value);
static void read_list(struct report *r, const struct path *path, const struct field *field,
	struct str text, void *member);

enum fault query_read(
	struct scope *s, struct str query, const struct field_table *table, void *value)
{
	struct report r = {.s = s};

	return read_query(&r, query, table, value);
}

enum fault query_read_internal(
	struct scope *s, struct str query, const struct field_table *table, void *value)
{
	struct report r = {.s = s, .open = true};

	return read_query(&r, query, table, value);
}

static enum fault read_query(
	struct report *r, struct str query, const struct field_table *table, void *value)
{
	struct found found[FIELDS_MAX];
	struct str pair;

	CHECK(table->count <= FIELDS_MAX);
	memset(found, 0, table->count * sizeof *found);
	while (str_cut(&query, '&', &pair) && !report_is_full(r)) {
		if (pair.len > 0)
			match_pair(r, pair, table, found);
	}
	for (size_t i = 0; i < table->count && !report_is_full(r); i++)
		read_field(r, &table->fields[i], &found[i], value);
	return report_end(r);
}

static void match_pair(
	struct report *r, struct str pair, const struct field_table *table, struct found *found)
{
	struct str raw_name, name, value;
	bool minor;

	str_cut(&pair, '=', &raw_name);
	if (!decode(r->s, raw_name, &name)) {
		const struct path path = {.name = raw_name};
		report_field(r, &path, "format", "must have two hexadecimal digits after each %%");
		return;
	}
	const struct path path = {.name = name};
	const int index = table_find(table, 0, name, &minor);
	if (index == NOT_A_FIELD && r->open)
		return;
	if (index == NOT_A_FIELD) {
		report_field(r, &path, "unknown", "is not known; what may be given: %.*s",
			STR_ARG(table_names(r->s, table)));
		return;
	}
	if (!decode(r->s, pair, &value)) {
		report_field(r, &path, "format", "must have two hexadecimal digits after each %%");
		return;
	}

	struct str *at = minor ? &found[index].minor : &found[index].value;
	if (at->at != NULL)
		report_field(r, &path, "duplicate", "is given more than once");
	*at = value;
	if (!minor)
		found[index].name = name;
}

static bool decode(struct scope *s, struct str text, struct str *decoded)
{
	char *out = arena_bytes(s->arena, text.len);
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		if (c == '+')
			c = ' ';
		if (c == '%') {
			char digits[] = {'0', '0', '0', '0'};
			if (text.len - i < 3)
				return false;
			memcpy(digits + 2, text.at + i + 1, 2);
			const int byte = json_hex4(str_of(digits, sizeof digits));
			if (byte < 0)
				return false;
			c = (char)byte;
			i += 2;
		}
		out[len++] = c;
	}
	*decoded = str_of(out, len);
	return true;
}

static void read_field(
	struct report *r, const struct field *field, const struct found *found, void *value)
{
	const bool is_given = found->value.at != NULL || found->minor.at != NULL;
	const struct path path = {
		.name = found->name.at != NULL ? found->name : str_from(field->name)};
	void *member = (char *)value + field->offset;

	if (field->kind == FIELD_IGNORED || field->kind == FIELD_OUTPUT)
		return;
	if (!is_given) {
		if (field->kind == FIELD_REQUIRED)
			report_wrong(r, &path, field, "required", "");
		return;
	}
	if (field->type == FIELD_MONEY)
		value_set_money(r, &path, field, found->value, found->minor, member);
	else if (field->type == FIELD_TEXTS || field->type == FIELD_UUIDS)
		read_list(r, &path, field, found->value, member);
	else
		value_set(r, &path, field, found->value, member);
}

static void read_list(struct report *r, const struct path *path, const struct field *field,
	struct str text, void *member)
{
	const struct field element = value_element(field);
	const size_t size = field_size(&element);
	struct str rest, piece;
	size_t count = 0;

	if (text.len == 0)
		text = STR_NONE; /* "tags=": none, not one that is empty */
	rest = text;
	while (str_cut(&rest, ',', &piece))
		count++;
	if (!value_check_count(r, path, field, count))
		return;

	char *at = arena_alloc_array(r->s->arena, count, size);
	for (size_t i = 0; str_cut(&text, ',', &piece) && !report_is_full(r); i++) {
		const struct path element_path = {.parent = path, .index = i};
		value_set(r, &element_path, &element, piece, at + i * size);
	}
	if (field->type == FIELD_TEXTS)
		*(struct texts *)member = (struct texts){(struct str *)(void *)at, count};
	else
		*(struct uuids *)member = (struct uuids){(struct uuid *)(void *)at, count};
}
