/* SPDX-License-Identifier: Apache-2.0
 * JSON that is kept as it came. It will be cast to jsonb, so what that cannot hold is refused here
 * by name instead of failing there. */
#include "json/raw.h"

#include "json/span.h"

#include <stdlib.h>

enum { DIGITS_MAX = 64, EXPONENT_MAX = 300 };

static bool has_twice(struct scope *s, const struct json_doc *doc, int object);
static bool has_nul(struct str raw);
static bool is_too_big(struct str number);
static int compare_names(const void *a, const void *b);
static size_t token_bytes(struct str raw);

const char *raw_refused(struct scope *s, const struct json_doc *doc, int token)
{
	const int end = json_next(doc, token);

	for (int at = token; at < end; at++) {
		switch (json_kind(doc, at)) {
		case JSON_OBJECT:
			if (has_twice(s, doc, at))
				return " without a name that is given more than once";
			break;
		case JSON_TEXT:
			if (has_nul(json_raw(doc, at)))
				return " without U+0000";
			break;
		case JSON_NUMBER:
			if (is_too_big(json_raw(doc, at)))
				return " whose numbers have at most 64 characters and exponents "
				       "from -300 to 300";
			break;
		default:
			break;
		}
	}
	return NULL;
}

struct str raw_compact(struct scope *s, struct str raw)
{
	char *out = arena_bytes(s->arena, raw.len);
	size_t len = 0;

	while (raw.len > 0) {
		const size_t taken = token_bytes(raw);
		memcpy(out + len, raw.at, taken);
		len += taken;
		raw = str_skip(raw, taken > 0 ? taken : 1);
	}
	return str_of(out, len);
}

static bool has_twice(struct scope *s, const struct json_doc *doc, int object)
{
	const size_t count = json_size(doc, object);
	struct str *names = arena_alloc_array(s->arena, count, sizeof *names);
	int at = object + 1;

	for (size_t i = 0; i < count; i++) {
		names[i] = json_text_borrowed(s, doc, at);
		at = json_next(doc, at + 1);
	}
	qsort(names, count, sizeof *names, compare_names);
	for (size_t i = 1; i < count; i++) {
		if (str_eq(names[i - 1], names[i]))
			return true;
	}
	return false;
}

/* \u0000; what follows another backslash is none. */
static bool has_nul(struct str raw)
{
	const char *escape;

	while ((escape = memchr(raw.at, '\\', raw.len)) != NULL) {
		raw = str_skip(raw, (size_t)(escape - raw.at));
		if (str_starts(raw, STR("\\u0000")))
			return true;
		raw = str_skip(raw, 2);
	}
	return false;
}

static bool is_too_big(struct str number)
{
	int64_t exponent = 0;

	if (number.len > DIGITS_MAX)
		return true;
	for (size_t i = 0; i < number.len; i++) {
		if ((number.at[i] | 0x20) != 'e')
			continue;
		const size_t sign = number.at[i + 1] == '+' ? 1 : 0;
		if (!str_to_int64(str_skip(number, i + 1 + sign), &exponent))
			return true;
	}
	return exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX;
}

static int compare_names(const void *a, const void *b)
{
	const struct str *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->len > 0 ? memcmp(x->at, y->at, x->len) : 0;
}

/* How many bytes at the front to keep: a string with its quotes, or one other character; 0 before
 * white space. */
static size_t token_bytes(struct str raw)
{
	size_t at = 1;

	if (memchr(" \t\r\n", *raw.at, 4) != NULL)
		return 0;
	if (*raw.at != '"')
		return 1;
	for (;;) {
		at += json_plain_span(str_skip(raw, at));
		if (raw.at[at] == '"')
			return at + 1;
		at += 2; /* a backslash and what it escapes */
	}
}
