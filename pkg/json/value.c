/* SPDX-License-Identifier: Apache-2.0
 * What a field's table line says about a value, whether it came in JSON or in a query string. Each
 * message says what would be right; none repeats the value, which may be a secret. */
#include "json/value.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/money.h"

#include <inttypes.h>
#include <stdarg.h>

enum { NAME_SHOWN_MAX = 64 }; /* bytes of a name in a path: clients may send any */

static struct path path_minor(struct scope *s, const struct path *path);
static void set_text(struct report *r, const struct path *path, const struct field *field,
	struct str text, struct str *member);
static void set_enum(struct report *r, const struct path *path, const struct field *field,
	struct str text, int *member);
static void set_integer(struct report *r, const struct path *path, const struct field *field,
	struct str digits, void *member);
static bool is_whole(struct str digits);
static bool parse_minor(struct report *r, const struct path *path, const struct field *field,
	struct str digits, int64_t *minor);
static bool parse_amount(struct report *r, const struct path *path, const struct field *field,
	struct str digits, int64_t *minor);
static bool is_control(struct str character);
static bool has_min(const struct field *field);
static bool has_max(const struct field *field);
static bool in_bounds(const struct report *r, const struct field *field, int64_t value);
static void add_path(struct buf *b, const struct path *path);
static void add_wanted(struct buf *b, const struct field *field);
static void add_count(struct buf *b, int64_t min, int64_t max, const char *unit);
static void add_bounds(struct buf *b, const struct field *field);
static void add_amounts(struct buf *b, const struct field *field);

void report_field(
	struct report *r, const struct path *path, const char *code, const char *format, ...)
{
	struct buf field = buf_new(r->s->arena);
	struct str message;
	va_list args;
	enum fault fault;

	r->count++;
	va_start(args, format);
	message = scope_vformat(r->s, format, args);
	va_end(args);
	add_path(&field, path);
	if (r->lenient)
		fault = fail(r->s, FAULT_BAD_GATEWAY, "%.*s %.*s", STR_ARG(buf_str(&field)),
			STR_ARG(message));
	else
		fault = fail_field(r->s, buf_str(&field), code, "%.*s", STR_ARG(message));
	CHECK(fault != OK);
}

void report_wrong(struct report *r, const struct path *path, const struct field *field,
	const char *code, const char *why)
{
	struct buf wanted = buf_new(r->s->arena);

	add_wanted(&wanted, field);
	report_field(r, path, code, "must be %.*s%s", STR_ARG(buf_str(&wanted)), why);
}

bool report_is_full(const struct report *r)
{
	return r->count >= FIELD_ERRORS_MAX;
}

enum fault report_end(struct report *r)
{
	if (r->count == 0)
		return OK;
	return r->lenient ? FAULT_BAD_GATEWAY : FAULT_INVALID;
}

void value_set(struct report *r, const struct path *path, const struct field *field,
	struct str text, void *member)
{
	switch (field->type) {
	case FIELD_TEXT:
		set_text(r, path, field, text, member);
		return;
	case FIELD_INT64:
	case FIELD_INT32:
		set_integer(r, path, field, text, member);
		return;
	case FIELD_BOOL:
		*(bool *)member = str_eq(text, STR("true"));
		if (!*(bool *)member && !str_eq(text, STR("false")))
			report_wrong(r, path, field, "type", "");
		return;
	case FIELD_UUID:
		if (!uuid_parse(text, member) || uuid_is_nil(member))
			report_wrong(r, path, field, "format", "");
		return;
	case FIELD_TIME:
		if (!time_parse(text, member))
			report_wrong(r, path, field, "format", "");
		return;
	case FIELD_ENUM:
		set_enum(r, path, field, text, member);
		return;
	default:
		CHECK(!"a scalar");
	}
}

void value_set_money(struct report *r, const struct path *path, const struct field *field,
	struct str amount, struct str minor, int64_t *member)
{
	const unsigned before = r->count;
	int64_t from_amount = 0, from_minor = 0;

	if (amount.at != NULL && !parse_amount(r, path, field, amount, &from_amount))
		return;
	if (minor.at != NULL) {
		const struct path minor_path = path_minor(r->s, path);
		if (!parse_minor(r, &minor_path, field, minor, &from_minor))
			return;
		if (amount.at != NULL && from_amount != from_minor)
			report_field(r, &minor_path, "value", "must be the same amount as %.*s",
				STR_ARG(path->name));
	}
	if (r->count == before)
		*member = amount.at != NULL ? from_amount : from_minor;
}

bool value_check_count(
	struct report *r, const struct path *path, const struct field *field, size_t count)
{
	const bool enough = field->type != FIELD_ARRAY || count >= (size_t)field->min;

	if (r->lenient || (enough && (field->max == 0 || count <= (size_t)field->max)))
		return true;
	report_wrong(r, path, field, "length", scope_format(r->s, ", not of %zu", count).at);
	return false;
}

struct field value_element(const struct field *field)
{
	if (field->type == FIELD_UUIDS)
		return (struct field){.type = FIELD_UUID};
	return (struct field){.type = FIELD_TEXT, .min = 1, .max = field->of_max};
}

/* The path of x_minor beside x. */
static struct path path_minor(struct scope *s, const struct path *path)
{
	return (struct path){
		.parent = path->parent,
		.name = scope_format(s, "%.*s_minor", STR_ARG(path->name)),
	};
}

static void set_text(struct report *r, const struct path *path, const struct field *field,
	struct str text, struct str *member)
{
	struct str rest = text;
	int64_t length = 0;

	while (rest.len > 0) {
		const struct str character = str_of(rest.at, str_utf8_sequence(rest));
		if (character.len == 0) {
			report_wrong(r, path, field, "format", " in UTF-8");
			return;
		}
		if (is_control(character)) {
			report_wrong(r, path, field, "format", " without control characters");
			return;
		}
		rest = str_skip(rest, character.len);
		length++;
	}
	if (!r->lenient && (length < field->min || (field->max != 0 && length > field->max))) {
		report_wrong(r, path, field, "length",
			scope_format(r->s, ", not of %" PRId64, length).at);
		return;
	}
	*member = text;
}

static void set_enum(struct report *r, const struct path *path, const struct field *field,
	struct str text, int *member)
{
	for (int i = 0; field->names[i] != NULL; i++) {
		if (str_eq(text, str_from(field->names[i]))) {
			*member = i;
			return;
		}
	}
	report_wrong(r, path, field, "value", "");
}

static void set_integer(struct report *r, const struct path *path, const struct field *field,
	struct str digits, void *member)
{
	int64_t value;

	if (!is_whole(digits)) {
		report_wrong(r, path, field, "type", " in plain digits");
		return;
	}
	if (!str_to_int64(digits, &value) || !in_bounds(r, field, value)) {
		report_wrong(r, path, field, "range", "");
		return;
	}
	if (field->type == FIELD_INT64)
		*(int64_t *)member = value;
	else
		*(int32_t *)member = (int32_t)value;
}

static bool is_whole(struct str digits)
{
	const struct str unsigned_digits = str_skip(digits, str_starts(digits, STR("-")) ? 1 : 0);

	for (size_t i = 0; i < unsigned_digits.len; i++) {
		if (unsigned_digits.at[i] < '0' || unsigned_digits.at[i] > '9')
			return false;
	}
	return unsigned_digits.len > 0;
}

static bool parse_minor(struct report *r, const struct path *path, const struct field *field,
	struct str digits, int64_t *minor)
{
	struct field whole = *field;

	whole.type = FIELD_INT64;
	if (!has_max(field))
		whole.max = MONEY_MINOR_MAX;
	if (!has_min(field))
		whole.min = -MONEY_MINOR_MAX;
	const unsigned before = r->count;
	set_integer(r, path, &whole, digits, minor);
	if (r->count > before)
		return false;
	if (*minor >= -MONEY_MINOR_MAX && *minor <= MONEY_MINOR_MAX)
		return true;
	report_wrong(r, path, &whole, "range", "");
	return false;
}

static bool parse_amount(struct report *r, const struct path *path, const struct field *field,
	struct str digits, int64_t *minor)
{
	const unsigned decimals = currency_of_shop()->decimals;

	switch (money_parse(digits, decimals, minor)) {
	case MONEY_NOT_A_NUMBER:
		report_wrong(r, path, field, "type", " in plain digits");
		return false;
	case MONEY_TOO_MANY_DECIMALS:
		report_wrong(r, path, field, "format",
			scope_format(r->s, " with at most %u decimals", decimals).at);
		return false;
	case MONEY_OK:
		if (in_bounds(r, field, *minor))
			return true;
		break;
	case MONEY_TOO_LARGE:
		break;
	}
	report_wrong(r, path, field, "range", "");
	return false;
}

/* Unicode's category Cc (C0, DEL, C1) but line feed and tab. */
static bool is_control(struct str character)
{
	const unsigned char first = (unsigned char)character.at[0];

	if (character.len == 1)
		return (first < 0x20 && first != '\n' && first != '\t') || first == 0x7f;
	return first == 0xc2 && (unsigned char)character.at[1] < 0xa0;
}

static bool has_min(const struct field *field)
{
	return field->min != 0 || field->max != 0;
}

static bool has_max(const struct field *field)
{
	return field->max != 0 || field->min < 0;
}

static bool in_bounds(const struct report *r, const struct field *field, int64_t value)
{
	if (field->type == FIELD_INT32 && (value < INT32_MIN || value > INT32_MAX))
		return false;
	if (r->lenient)
		return true;
	return (!has_min(field) || value >= field->min) && (!has_max(field) || value <= field->max);
}

static void add_path(struct buf *b, const struct path *path)
{
	struct str name = path->name;
	size_t shown = 0;

	if (path->parent != NULL)
		add_path(b, path->parent);
	if (name.at == NULL) {
		buf_format(b, "[%zu]", path->index);
		return;
	}
	if (path->parent != NULL)
		buf_char(b, '.');
	while (shown < name.len && shown < NAME_SHOWN_MAX) {
		const size_t step = str_utf8_sequence(str_skip(name, shown));
		shown += step > 0 ? step : 1;
	}
	buf_add(b, str_of(name.at, shown));
	if (shown < name.len)
		buf_add(b, STR("…"));
}

static void add_wanted(struct buf *b, const struct field *field)
{
	switch (field->type) {
	case FIELD_TEXT:
		buf_add(b, STR("a text"));
		add_count(b, field->min, field->max, "characters");
		return;
	case FIELD_INT64:
	case FIELD_INT32:
		buf_add(b, STR("a whole number"));
		add_bounds(b, field);
		return;
	case FIELD_BOOL:
		buf_add(b, STR("true or false"));
		return;
	case FIELD_UUID:
		buf_add(b, STR("a UUID"));
		return;
	case FIELD_TIME:
		buf_add(b, STR("a time such as 2026-11-21T06:25:22.123Z"));
		return;
	case FIELD_MONEY:
		buf_add(b, STR("an amount"));
		add_amounts(b, field);
		return;
	case FIELD_ENUM:
		buf_add(b, STR("one of"));
		for (size_t i = 0; field->names[i] != NULL; i++)
			buf_format(b, i == 0 ? " %s" : ", %s", field->names[i]);
		return;
	case FIELD_TEXTS:
		buf_add(b, STR("an array"));
		add_count(b, 0, field->max, "texts");
		return;
	case FIELD_UUIDS:
		buf_add(b, STR("an array"));
		add_count(b, 0, field->max, "UUIDs");
		return;
	case FIELD_ARRAY:
		buf_add(b, STR("an array"));
		add_count(b, field->min, field->max, "objects");
		return;
	case FIELD_OBJECT:
	case FIELD_RAW:
		buf_add(b, STR("an object"));
		add_count(b, 0, field->type == FIELD_RAW ? field->max : 0, "bytes");
		return;
	case FIELD_TYPE_COUNT:
		break;
	}
	CHECK(!"a type of field");
}

static void add_count(struct buf *b, int64_t min, int64_t max, const char *unit)
{
	if (min > 0 && max > 0)
		buf_format(b, " of %" PRId64 " to %" PRId64 " %s", min, max, unit);
	else if (min > 0)
		buf_format(b, " of at least %" PRId64 " %s", min, unit);
	else if (max > 0)
		buf_format(b, " of at most %" PRId64 " %s", max, unit);
}

static void add_bounds(struct buf *b, const struct field *field)
{
	const bool small = field->type == FIELD_INT32;

	buf_format(b, " from %" PRId64 " to %" PRId64,
		has_min(field) ? field->min : (small ? INT32_MIN : INT64_MIN),
		has_max(field) ? field->max : (small ? INT32_MAX : INT64_MAX));
}

static void add_amounts(struct buf *b, const struct field *field)
{
	const unsigned decimals = currency_of_shop()->decimals;
	char min[MONEY_TEXT_MAX], max[MONEY_TEXT_MAX];

	money_format(has_min(field) ? field->min : -MONEY_MINOR_MAX, decimals, min);
	money_format(has_max(field) ? field->max : MONEY_MINOR_MAX, decimals, max);
	buf_format(b, " from %s to %s", min, max);
}
