/* SPDX-License-Identifier: Apache-2.0
 * One function a type. The message of a wrong value says what would be right; it shows the value
 * unless that could be a secret. */
#include "config/parse.h"

#include "base/buf.h"

#include <inttypes.h>

typedef enum fault parse_fn(
	struct scope *s, const struct config_field *field, struct str value, void *member);

static parse_fn parse_text, parse_texts, parse_list, parse_int, parse_duration, parse_bool,
	parse_port, parse_choice, parse_url, parse_urls;

static parse_fn *const parsers[] = {
	[CONFIG_TEXT] = parse_text,
	[CONFIG_SECRET] = parse_text,
	[CONFIG_TEXTS] = parse_texts,
	[CONFIG_LIST] = parse_list,
	[CONFIG_INT] = parse_int,
	[CONFIG_DURATION] = parse_duration,
	[CONFIG_BOOL] = parse_bool,
	[CONFIG_PORT] = parse_port,
	[CONFIG_CHOICE] = parse_choice,
	[CONFIG_URL] = parse_url,
	[CONFIG_URLS] = parse_urls,
};

static const struct unit {
	struct str name;
	int64_t us;
} units[] = {
	{{"d", 1}, INT64_C(86400000000)},
	{{"h", 1}, INT64_C(3600000000)},
	{{"m", 1}, 60000000},
	{{"s", 1}, 1000000},
	{{"ms", 2}, 1000},
	{{"us", 2}, 1},
};
enum { UNITS = sizeof units / sizeof units[0] };

static enum fault split(struct scope *s, const struct config_field *field, struct str value,
	bool (*good)(const struct config_field *field, struct str piece), const char *wanted,
	struct texts *texts);
static bool is_not_empty(const struct config_field *field, struct str piece);
static bool is_url(const struct config_field *field, struct str url);
static bool is_within(const struct config_field *field, int64_t value);
static bool to_duration(struct str value, int64_t *us);
static struct str duration_text(struct scope *s, int64_t us);
static enum fault reject(struct scope *s, const struct config_field *field, struct str value,
	const char *format, ...) PRINTF_LIKE(4, 5);
static struct str listed(struct scope *s, const char *choices, struct str suffix);

enum fault config_parse(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	return parsers[field->type](s, field, value, member);
}

static enum fault parse_text(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	if (memchr(value.at, '\0', value.len) != NULL)
		return reject(s, field, STR_NONE, "must be text without NUL bytes");
	*(struct str *)member = scope_dup(s, value);
	return OK;
}

static enum fault parse_texts(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	return split(s, field, value, is_not_empty, "texts with commas between them", member);
}

static enum fault parse_list(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	struct texts *const texts = scope_alloc(s, sizeof *texts);

	TRY(parse_texts(s, field, value, texts));
	*(const struct texts **)member = texts;
	return OK;
}

static enum fault parse_int(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	int64_t number;

	if (str_to_int64(value, &number) && is_within(field, number)) {
		*(int64_t *)member = number;
		return OK;
	}
	if (field->max == 0)
		return reject(
			s, field, value, "must be a whole number from %" PRId64 " up", field->min);
	return reject(s, field, value, "must be a whole number from %" PRId64 " to %" PRId64,
		field->min, field->max);
}

static enum fault parse_duration(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	const struct str min = duration_text(s, field->min);
	const struct str max = duration_text(s, field->max);
	int64_t us;

	if (to_duration(value, &us) && is_within(field, us)) {
		*(int64_t *)member = us;
		return OK;
	}
	if (field->max == 0)
		return reject(s, field, value,
			"must be a duration like 30m, 10s or 500ms, from %.*s up", STR_ARG(min));
	return reject(s, field, value,
		"must be a duration like 30m, 10s or 500ms, from %.*s to %.*s", STR_ARG(min),
		STR_ARG(max));
}

static enum fault parse_bool(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	const bool yes = str_eq(value, STR("true"));

	if (!yes && !str_eq(value, STR("false")))
		return reject(s, field, value, "must be true or false");
	*(bool *)member = yes;
	return OK;
}

static enum fault parse_port(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	int64_t port;

	if (!str_to_int64(value, &port) || port < 0 || port > UINT16_MAX)
		return reject(s, field, value, "must be a port from 1 to 65535, or 0 for none");
	*(uint16_t *)member = (uint16_t)port;
	return OK;
}

static enum fault parse_choice(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	const struct str wanted = listed(s, field->choices, STR(""));
	struct str rest = str_from(field->choices);
	struct str choice;

	for (int i = 0; str_cut(&rest, ' ', &choice); i++) {
		if (!str_eq(choice, value))
			continue;
		*(int *)member = i;
		return OK;
	}
	return reject(s, field, value, "must be one of %.*s", STR_ARG(wanted));
}

static enum fault parse_url(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	const struct str wanted = listed(s, field->choices, STR("://"));

	if (!is_url(field, value))
		return reject(
			s, field, STR_NONE, "must be a URL that begins with %.*s", STR_ARG(wanted));
	*(struct str *)member = scope_dup(s, value);
	return OK;
}

static enum fault parse_urls(
	struct scope *s, const struct config_field *field, struct str value, void *member)
{
	const struct str schemes = listed(s, field->choices, STR("://"));
	const struct str wanted = scope_format(
		s, "URLs that begin with %.*s, with commas between them", STR_ARG(schemes));

	return split(s, field, value, is_url, wanted.at, member);
}

static enum fault split(struct scope *s, const struct config_field *field, struct str value,
	bool (*good)(const struct config_field *field, struct str piece), const char *wanted,
	struct texts *texts)
{
	struct str rest = value, piece;
	size_t count = 1;
	struct texts found = {0};

	for (size_t i = 0; i < value.len; i++)
		count += value.at[i] == ',';
	found.at = arena_alloc_array(s->arena, count, sizeof *found.at);
	while (str_cut(&rest, ',', &piece)) {
		piece = str_trim(piece);
		if (!good(field, piece))
			return reject(
				s, field, good == is_url ? STR_NONE : value, "must be %s", wanted);
		found.at[found.count++] = scope_dup(s, piece);
	}
	*texts = found;
	return OK;
}

static bool is_not_empty(const struct config_field *field, struct str piece)
{
	(void)field;
	return piece.len > 0 && memchr(piece.at, '\0', piece.len) == NULL;
}

/* One of the schemes, "://", and something behind it that has no blanks. */
static bool is_url(const struct config_field *field, struct str url)
{
	struct str schemes = str_from(field->choices), scheme;

	for (size_t i = 0; i < url.len; i++)
		if ((unsigned char)url.at[i] <= ' ' || url.at[i] == 0x7f)
			return false;
	while (str_cut(&schemes, ' ', &scheme)) {
		const struct str rest = str_skip(url, scheme.len);

		if (str_starts(url, scheme) && str_starts(rest, STR("://")) &&
			rest.len > strlen("://"))
			return true;
	}
	return false;
}

static bool is_within(const struct config_field *field, int64_t value)
{
	return value >= field->min && (field->max == 0 || value <= field->max);
}

static bool to_duration(struct str value, int64_t *us)
{
	for (size_t i = 0; i < UNITS; i++) {
		struct str number = value;
		int64_t count;

		if (!str_ends(value, units[i].name))
			continue;
		number.len -= units[i].name.len;
		if (str_to_int64(number, &count) && count >= 0 &&
			!__builtin_mul_overflow(count, units[i].us, us))
			return true;
	}
	return false;
}

/* "500ms", "30m": the largest unit that fits without a rest. */
static struct str duration_text(struct scope *s, int64_t us)
{
	const struct unit *unit = units;

	while (us % unit->us != 0)
		unit++;
	if (us == 0)
		return STR("0s");
	return scope_format(s, "%" PRId64 "%s", us / unit->us, unit->name.at);
}

static enum fault reject(struct scope *s, const struct config_field *field, struct str value,
	const char *format, ...)
{
	struct str wanted;
	va_list args;

	va_start(args, format);
	wanted = scope_vformat(s, format, args);
	va_end(args);
	if (value.at == NULL)
		return fail_field(s, str_from(field->name), "value", "%.*s", STR_ARG(wanted));
	return fail_field(s, str_from(field->name), "value", "%.*s; it is \"%.*s\"",
		STR_ARG(wanted), STR_ARG(value));
}

/* "a b c" as "a, b or c", each with the suffix */
static struct str listed(struct scope *s, const char *choices, struct str suffix)
{
	struct buf text = buf_new(s->arena);
	struct str rest = str_from(choices), choice;

	for (bool first = true; str_cut(&rest, ' ', &choice); first = false) {
		if (!first)
			buf_add(&text, rest.at != NULL ? STR(", ") : STR(" or "));
		buf_add(&text, choice);
		buf_add(&text, suffix);
	}
	return buf_str(&text);
}
