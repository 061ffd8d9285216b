/* SPDX-License-Identifier: Apache-2.0
 * Questions about field tables that do not depend on what is read or written. */
#include "json/table.h"

#include "base/buf.h"
#include "base/check.h"

static bool is_named(const struct field *field, struct str name);
static bool name_eq(const char *a, struct str b);

static const struct str minor_suffix = {"_minor", 6};

int table_find(const struct field_table *table, size_t first, struct str name, bool *minor)
{
	*minor = false;
	for (size_t i = 0; i < table->count; i++) {
		const size_t at = (first + i) % table->count;
		if (is_named(&table->fields[at], name))
			return (int)at;
	}
	if (!str_ends(name, minor_suffix))
		return NOT_A_FIELD;
	*minor = true;
	const struct str amount = str_of(name.at, name.len - minor_suffix.len);
	for (size_t i = 0; i < table->count; i++) {
		if (table->fields[i].type == FIELD_MONEY && is_named(&table->fields[i], amount))
			return (int)i;
	}
	return NOT_A_FIELD;
}

struct str table_names(struct scope *s, const struct field_table *table)
{
	struct buf b = buf_new(s->arena);

	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];
		if (field->kind == FIELD_IGNORED || field->kind == FIELD_OUTPUT)
			continue;
		if (b.len > 0)
			buf_add(&b, STR(", "));
		buf_add(&b, str_from(field->name));
		if (field->type == FIELD_MONEY)
			buf_format(&b, ", %s_minor", field->name);
	}
	return buf_str(&b);
}

size_t field_size(const struct field *field)
{
	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_RAW:
		return sizeof(struct str);
	case FIELD_INT64:
	case FIELD_TIME:
	case FIELD_MONEY:
		return sizeof(int64_t);
	case FIELD_INT32:
		return sizeof(int32_t);
	case FIELD_BOOL:
		return sizeof(bool);
	case FIELD_UUID:
		return sizeof(struct uuid);
	case FIELD_ENUM:
		return sizeof(int);
	case FIELD_TEXTS:
		return sizeof(struct texts);
	case FIELD_UUIDS:
		return sizeof(struct uuids);
	case FIELD_ARRAY:
		return sizeof(struct items);
	case FIELD_OBJECT:
		return field->of->size;
	case FIELD_TYPE_COUNT:
		break;
	}
	CHECK(!"a type of field");
	return 0;
}

bool field_is_empty(const struct field *field, const void *member)
{
	static const char zero[sizeof(struct str)];

	switch (field->type) {
	case FIELD_TEXT:
	case FIELD_RAW:
		return ((const struct str *)member)->len == 0;
	case FIELD_TEXTS:
		return ((const struct texts *)member)->count == 0;
	case FIELD_UUIDS:
		return ((const struct uuids *)member)->count == 0;
	case FIELD_ARRAY:
		return ((const struct items *)member)->count == 0;
	case FIELD_OBJECT:
		return table_is_empty(field->of, member);
	default:
		return memcmp(member, zero, field_size(field)) == 0;
	}
}

bool table_is_empty(const struct field_table *table, const void *value)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];
		if (field->kind != FIELD_IGNORED &&
			!field_is_empty(field, (const char *)value + field->offset))
			return false;
	}
	return true;
}

static bool is_named(const struct field *field, struct str name)
{
	return name_eq(field->name, name) || (field->alias != NULL && name_eq(field->alias, name));
}

/* The name that came may hold NULs. */
static bool name_eq(const char *a, struct str b)
{
	for (size_t i = 0; i < b.len; i++) {
		if (a[i] != b.at[i] || a[i] == '\0')
			return false;
	}
	return a[b.len] == '\0';
}
