/* SPDX-License-Identifier: Apache-2.0
 * JSON into a struct. An object is read in two passes: names are matched to fields (which finds the
 * unknown and the repeated ones), then the fields are read in the table's order (which finds the
 * missing ones). Nothing stops at the first mistake. */
#include "json/field.h"

#include "base/check.h"
#include "json/raw.h"
#include "json/table.h"
#include "json/token.h"
#include "json/value.h"

enum mode { MODE_READ, MODE_MERGE };

/* The tokens of a field's values; 0, the whole text's own token, stands for none. */
struct found {
	int value;
	int minor;
};

struct reader {
	struct report report;
	struct json_doc doc;
};

static enum fault read_text(struct reader *r, struct str text, size_t tokens_max, enum mode mode,
	const struct field_table *table, void *value);
static void read_object(struct reader *r, const struct path *path, int object, enum mode mode,
	const struct field_table *table, void *value);
static void match_names(struct reader *r, const struct path *path, int object,
	const struct field_table *table, struct found *found);
static void match_name(struct reader *r, const struct path *path, int name,
	const struct field_table *table, size_t first, struct found *found, size_t *next);
static void read_field(struct reader *r, const struct path *path, enum mode mode,
	const struct field *field, struct found found, void *value);
static void read_money(struct reader *r, const struct path *parent, const struct field *field,
	struct found found, int64_t *member);
static bool amount_token(struct reader *r, const struct path *path, const struct field *field,
	int token, struct str *digits);
static void read_value(struct reader *r, const struct path *path, enum mode mode,
	const struct field *field, int token, void *member);
static void read_elements(struct reader *r, const struct path *path, const struct field *field,
	int array, void *member);
static void read_items(struct reader *r, const struct path *path, const struct field *field,
	int array, struct items *items);
static void read_raw(struct reader *r, const struct path *path, const struct field *field,
	int token, struct str *member);
static bool is_of_kind(
	struct reader *r, const struct path *path, const struct field *field, int token);
static bool is_read(const struct reader *r, const struct field *field);
static struct path path_of(struct reader *r, const struct path *parent, int value);

enum fault json_read(struct scope *s, struct str text, const struct field_table *table, void *value)
{
	struct reader r = {.report = {.s = s}};

	return read_text(&r, text, JSON_TOKENS_MAX, MODE_READ, table, value);
}

enum fault json_read_internal(
	struct scope *s, struct str text, const struct field_table *table, void *value)
{
	struct reader r = {.report = {.s = s, .open = true}};

	return read_text(&r, text, JSON_TOKENS_MAX, MODE_READ, table, value);
}

enum fault json_merge(
	struct scope *s, struct str text, const struct field_table *table, void *value)
{
	struct reader r = {.report = {.s = s}};

	return read_text(&r, text, JSON_TOKENS_MAX, MODE_MERGE, table, value);
}

enum fault json_read_lenient(
	struct scope *s, struct str text, const struct field_table *table, void *value)
{
	struct reader r = {.report = {.s = s, .open = true, .lenient = true}};
	const enum fault fault =
		read_text(&r, text, JSON_LENIENT_TOKENS_MAX, MODE_READ, table, value);

	return fault == OK ? OK : FAULT_BAD_GATEWAY;
}

static enum fault read_text(struct reader *r, struct str text, size_t tokens_max, enum mode mode,
	const struct field_table *table, void *value)
{
	TRY(json_tokens(r->report.s, text, tokens_max, &r->doc));
	read_object(r, NULL, 0, mode, table, value);
	return report_end(&r->report);
}

static void read_object(struct reader *r, const struct path *path, int object, enum mode mode,
	const struct field_table *table, void *value)
{
	struct found found[FIELDS_MAX];

	CHECK(table->count <= FIELDS_MAX);
	memset(found, 0, table->count * sizeof *found);
	match_names(r, path, object, table, found);
	for (size_t i = 0; i < table->count && !report_is_full(&r->report); i++)
		read_field(r, path, mode, &table->fields[i], found[i], value);
}

static void match_names(struct reader *r, const struct path *path, int object,
	const struct field_table *table, struct found *found)
{
	const size_t count = json_size(&r->doc, object);
	int name = object + 1;
	size_t next = 0;

	for (size_t i = 0; i < count && !report_is_full(&r->report); i++) {
		match_name(r, path, name, table, next, found, &next);
		name = json_next(&r->doc, name + 1);
	}
}

static void match_name(struct reader *r, const struct path *path, int name,
	const struct field_table *table, size_t first, struct found *found, size_t *next)
{
	struct scope *s = r->report.s;
	bool minor;
	const int index = table_find(table, first, json_text_borrowed(s, &r->doc, name), &minor);

	if (index == NOT_A_FIELD) {
		const struct path unknown = path_of(r, path, name + 1);
		if (!r->report.open)
			report_field(&r->report, &unknown, "unknown",
				"is not known; what may be given: %.*s",
				STR_ARG(table_names(s, table)));
		return;
	}

	int *value = minor ? &found[index].minor : &found[index].value;
	if (*value != 0) {
		const struct path again = path_of(r, path, name + 1);
		const struct path before = path_of(r, path, *value);
		if (str_eq(again.name, before.name))
			report_field(&r->report, &again, "duplicate", "is given more than once");
		else
			report_field(&r->report, &again, "duplicate",
				"means the same as %.*s: only one of them may be given",
				STR_ARG(before.name));
	}
	*value = name + 1;
	*next = (size_t)index + 1;
}

static void read_field(struct reader *r, const struct path *parent, enum mode mode,
	const struct field *field, struct found found, void *value)
{
	void *member = (char *)value + field->offset;
	const int token = found.value != 0 ? found.value : found.minor;

	if (!is_read(r, field))
		return;
	if (token == 0) {
		const struct path missing = {.parent = parent, .name = str_from(field->name)};
		if (field->kind == FIELD_REQUIRED && mode == MODE_READ)
			report_wrong(&r->report, &missing, field, "required", "");
		return;
	}
	if (field->type == FIELD_MONEY) {
		read_money(r, parent, field, found, member);
		return;
	}

	const struct path path = path_of(r, parent, token);
	if (json_kind(&r->doc, token) == JSON_NULL && field->kind != FIELD_REQUIRED)
		memset(member, 0, field_size(field));
	else
		read_value(r, &path, mode, field, token, member);
}

/* null in one of x and x_minor counts as not given beside a number in the other. */
static void read_money(struct reader *r, const struct path *parent, const struct field *field,
	struct found found, int64_t *member)
{
	struct str amount = STR_NONE, minor = STR_NONE;
	struct path path = {.parent = parent, .name = str_from(field->name)};

	if (found.value != 0) {
		path = path_of(r, parent, found.value);
		if (!amount_token(r, &path, field, found.value, &amount))
			return;
	}
	if (found.minor != 0) {
		const struct path minor_path = path_of(r, parent, found.minor);
		if (!amount_token(r, &minor_path, field, found.minor, &minor))
			return;
	}
	if (amount.at == NULL && minor.at == NULL)
		*member = 0;
	else
		value_set_money(&r->report, &path, field, amount, minor, member);
}

static bool amount_token(struct reader *r, const struct path *path, const struct field *field,
	int token, struct str *digits)
{
	if (json_kind(&r->doc, token) == JSON_NULL && field->kind != FIELD_REQUIRED)
		return true;
	if (!is_of_kind(r, path, field, token))
		return false;
	*digits = json_raw(&r->doc, token);
	return true;
}

static void read_value(struct reader *r, const struct path *path, enum mode mode,
	const struct field *field, int token, void *member)
{
	if (!is_of_kind(r, path, field, token))
		return;
	switch (field->type) {
	case FIELD_TEXT:
		value_set(&r->report, path, field, json_text(r->report.s, &r->doc, token), member);
		return;
	case FIELD_TEXTS:
	case FIELD_UUIDS:
		read_elements(r, path, field, token, member);
		return;
	case FIELD_OBJECT:
		read_object(r, path, token, table_is_empty(field->of, member) ? MODE_READ : mode,
			field->of, member);
		return;
	case FIELD_ARRAY:
		read_items(r, path, field, token, member);
		return;
	case FIELD_RAW:
		read_raw(r, path, field, token, member);
		return;
	default:
		value_set(&r->report, path, field, json_text_borrowed(r->report.s, &r->doc, token),
			member);
	}
}

/* struct texts and struct uuids differ in what they point to only. */
static void read_elements(struct reader *r, const struct path *path, const struct field *field,
	int array, void *member)
{
	const struct field element = value_element(field);
	const size_t count = json_size(&r->doc, array);

	if (!value_check_count(&r->report, path, field, count))
		return;

	char *at = arena_alloc_array(r->report.s->arena, count, field_size(&element));
	int token = array + 1;
	for (size_t i = 0; i < count && !report_is_full(&r->report); i++) {
		const struct path element_path = {.parent = path, .index = i};
		read_value(r, &element_path, MODE_READ, &element, token,
			at + i * field_size(&element));
		token = json_next(&r->doc, token);
	}
	if (field->type == FIELD_TEXTS)
		*(struct texts *)member = (struct texts){(struct str *)(void *)at, count};
	else
		*(struct uuids *)member = (struct uuids){(struct uuid *)(void *)at, count};
}

static void read_items(struct reader *r, const struct path *path, const struct field *field,
	int array, struct items *items)
{
	const struct field element = {.type = FIELD_OBJECT, .of = field->of};
	const size_t count = json_size(&r->doc, array);

	if (!value_check_count(&r->report, path, field, count))
		return;

	char *at = arena_alloc_array(r->report.s->arena, count, field->of->size);
	int token = array + 1;
	for (size_t i = 0; i < count && !report_is_full(&r->report); i++) {
		const struct path element_path = {.parent = path, .index = i};
		read_value(r, &element_path, MODE_READ, &element, token, at + i * field->of->size);
		token = json_next(&r->doc, token);
	}
	*items = (struct items){at, count};
}

static void read_raw(struct reader *r, const struct path *path, const struct field *field,
	int token, struct str *member)
{
	struct scope *s = r->report.s;
	const struct str raw = raw_compact(s, json_raw(&r->doc, token));
	const char *refused = raw_refused(s, &r->doc, token);

	if (refused != NULL)
		report_wrong(&r->report, path, field, "value", refused);
	else if (!r->report.lenient && field->max > 0 && raw.len > (size_t)field->max)
		report_wrong(&r->report, path, field, "length",
			scope_format(s, ", not of %zu", raw.len).at);
	else
		*member = raw;
}

static bool is_of_kind(
	struct reader *r, const struct path *path, const struct field *field, int token)
{
	static const enum json_kind kinds[FIELD_TYPE_COUNT] = {
		[FIELD_TEXT] = JSON_TEXT,
		[FIELD_INT64] = JSON_NUMBER,
		[FIELD_INT32] = JSON_NUMBER,
		[FIELD_BOOL] = JSON_BOOL,
		[FIELD_UUID] = JSON_TEXT,
		[FIELD_TIME] = JSON_TEXT,
		[FIELD_MONEY] = JSON_NUMBER,
		[FIELD_ENUM] = JSON_TEXT,
		[FIELD_TEXTS] = JSON_ARRAY,
		[FIELD_UUIDS] = JSON_ARRAY,
		[FIELD_OBJECT] = JSON_OBJECT,
		[FIELD_ARRAY] = JSON_ARRAY,
		[FIELD_RAW] = JSON_OBJECT,
	};
	const enum json_kind kind = json_kind(&r->doc, token);

	if (kind == kinds[field->type])
		return true;
	report_wrong(&r->report, path, field, "type",
		scope_format(r->report.s, ", not %s", json_kind_name(kind)).at);
	return false;
}

static bool is_read(const struct reader *r, const struct field *field)
{
	switch (field->kind) {
	case FIELD_REQUIRED:
	case FIELD_OPTIONAL:
		return true;
	case FIELD_OUTPUT:
		return r->report.lenient;
	case FIELD_IGNORED:
		break;
	}
	return false;
}

/* Under the name that was sent: a name's token stands before its value's. */
static struct path path_of(struct reader *r, const struct path *parent, int value)
{
	return (struct path){
		.parent = parent,
		.name = json_text_borrowed(r->report.s, &r->doc, value - 1),
	};
}
