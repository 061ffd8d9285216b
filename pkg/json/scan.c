/* SPDX-License-Identifier: Apache-2.0
 * Everything that jsmn lets through is refused here, before jsmn sees it: this decides what JSON
 * is, jsmn only says where the tokens are. The stack of open brackets is a word with a bit a level,
 * so nothing recurses and nothing is allocated. */
#include "json/scan.h"

#include "json/field.h"
#include "json/span.h"

_Static_assert(JSON_DEPTH_MAX <= 32, "a bit a level");

/* What may come next. */
enum expect {
	EXPECT_VALUE,
	EXPECT_VALUE_OR_END, /* just after '[' */
	EXPECT_NAME,
	EXPECT_NAME_OR_END, /* just after '{' */
	EXPECT_COLON,
	EXPECT_COMMA_OR_END,
	EXPECT_NOTHING
};

struct scan {
	struct str text;
	size_t at;
	size_t tokens;
	unsigned depth;
	uint32_t objects; /* bit d - 1: what is open at depth d is an object */
	enum expect expect;
	const char *wrong; /* a sentence; NULL: what came is not what was expected */
};

static bool scan_step(struct scan *n);
static bool scan_value(struct scan *n);
static bool scan_name(struct scan *n);
static bool scan_comma_or_end(struct scan *n);
static bool open_bracket(struct scan *n, bool object);
static bool close_bracket(struct scan *n);
static bool scan_literal(struct scan *n);
static bool scan_number(struct scan *n);
static bool scan_digits(struct scan *n);
static bool scan_string(struct scan *n);
static bool scan_escape(struct scan *n);
static bool scan_code_unit(struct scan *n, int *unit);
static void skip_space(struct scan *n);
static bool wrong(struct scan *n, const char *sentence);
static enum fault scan_fail(struct scope *s, const struct scan *n);

enum fault json_scan(struct scope *s, struct str text, size_t tokens_max, size_t *tokens)
{
	struct scan n = {.text = text, .expect = EXPECT_VALUE};

	if (text.len > INT32_MAX)
		return fail(s, FAULT_BAD_JSON, "the JSON is longer than 2 GB");
	if (str_starts(text, STR("\xef\xbb\xbf")))
		return fail(s, FAULT_BAD_JSON, "JSON must not begin with a byte order mark");
	for (skip_space(&n); n.at < text.len; skip_space(&n)) {
		if (!scan_step(&n))
			return scan_fail(s, &n);
		if (n.tokens > tokens_max)
			return fail(s, FAULT_BAD_JSON, "more than %zu names and values in the JSON",
				tokens_max);
	}
	if (n.expect != EXPECT_NOTHING)
		return scan_fail(s, &n);
	*tokens = n.tokens;
	return OK;
}

static bool scan_step(struct scan *n)
{
	const char c = n->text.at[n->at];

	switch (n->expect) {
	case EXPECT_VALUE_OR_END:
		if (c == ']')
			return close_bracket(n);
		return scan_value(n);
	case EXPECT_VALUE:
		return scan_value(n);
	case EXPECT_NAME_OR_END:
		if (c == '}')
			return close_bracket(n);
		return scan_name(n);
	case EXPECT_NAME:
		return scan_name(n);
	case EXPECT_COLON:
		if (c != ':')
			return false;
		n->at++;
		n->expect = EXPECT_VALUE;
		return true;
	case EXPECT_COMMA_OR_END:
		return scan_comma_or_end(n);
	case EXPECT_NOTHING:
		break;
	}
	return false;
}

static bool scan_value(struct scan *n)
{
	const char c = n->text.at[n->at];

	if (c == '{' || c == '[')
		return open_bracket(n, c == '{');
	if (c == '"'                                 ? !scan_string(n)
		: c == '-' || (c >= '0' && c <= '9') ? !scan_number(n)
						     : !scan_literal(n))
		return false;
	n->tokens++;
	n->expect = n->depth > 0 ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
	return true;
}

static bool scan_name(struct scan *n)
{
	if (n->text.at[n->at] != '"')
		return false;
	n->tokens++;
	n->expect = EXPECT_COLON;
	return scan_string(n);
}

static bool scan_comma_or_end(struct scan *n)
{
	const bool object = (n->objects >> (n->depth - 1) & 1) != 0;
	const char c = n->text.at[n->at];

	if (c == (object ? '}' : ']'))
		return close_bracket(n);
	if (c != ',')
		return false;
	n->at++;
	n->expect = object ? EXPECT_NAME : EXPECT_VALUE;
	return true;
}

static bool open_bracket(struct scan *n, bool object)
{
	if (n->depth == JSON_DEPTH_MAX)
		return wrong(n, "objects and arrays may be nested 32 deep at most");
	const uint32_t bit = UINT32_C(1) << n->depth++;
	n->objects = object ? n->objects | bit : n->objects & ~bit;
	n->expect = object ? EXPECT_NAME_OR_END : EXPECT_VALUE_OR_END;
	n->tokens++;
	n->at++;
	return true;
}

static bool close_bracket(struct scan *n)
{
	n->depth--;
	n->expect = n->depth > 0 ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
	n->at++;
	return true;
}

static bool scan_literal(struct scan *n)
{
	static const struct str literals[] = {{"true", 4}, {"false", 5}, {"null", 4}};
	const struct str rest = str_skip(n->text, n->at);

	for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
		if (str_starts(rest, literals[i])) {
			n->at += literals[i].len;
			return true;
		}
	}
	return false;
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool scan_number(struct scan *n)
{
	const size_t len = n->text.len;
	const char *text = n->text.at;

	if (text[n->at] == '-')
		n->at++;
	const size_t first = n->at;
	if (!scan_digits(n))
		return wrong(n, "a number needs a digit here");
	if (text[first] == '0' && n->at - first > 1)
		return wrong(n, "a number has a zero too many at its start");
	if (n->at < len && text[n->at] == '.') {
		n->at++;
		if (!scan_digits(n))
			return wrong(n, "a number needs a digit after its point");
	}
	if (n->at < len && (text[n->at] == 'e' || text[n->at] == 'E')) {
		n->at++;
		if (n->at < len && (text[n->at] == '+' || text[n->at] == '-'))
			n->at++;
		if (!scan_digits(n))
			return wrong(n, "a number needs a digit in its exponent");
	}
	return true;
}

static bool scan_digits(struct scan *n)
{
	const size_t first = n->at;

	while (n->at < n->text.len && n->text.at[n->at] >= '0' && n->text.at[n->at] <= '9')
		n->at++;
	return n->at > first;
}

static bool scan_string(struct scan *n)
{
	n->at++;
	for (;;) {
		n->at += json_plain_span(str_skip(n->text, n->at));
		if (n->at == n->text.len)
			return wrong(n, "a string has no end");
		const unsigned char c = (unsigned char)n->text.at[n->at];
		if (c == '"') {
			n->at++;
			return true;
		}
		if (c >= 0x80)
			return wrong(n, "this is not UTF-8");
		if (c != '\\')
			return wrong(n, "a control character must be escaped, as \\n or \\u000a");
		if (!scan_escape(n))
			return false;
	}
}

/* \uD800–\uDBFF and \uDC00–\uDFFF make a character in pairs only. */
static bool scan_escape(struct scan *n)
{
	const struct str rest = str_skip(n->text, n->at);

	if (rest.len < 2 || rest.at[1] == '\0' || strchr("\"\\/bfnrtu", rest.at[1]) == NULL)
		return wrong(
			n, "an escape must be one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\uXXXX");
	if (rest.at[1] != 'u') {
		n->at += 2;
		return true;
	}

	int unit, second;
	if (!scan_code_unit(n, &unit))
		return wrong(n, "\\u needs four hexadecimal digits");
	if (unit < 0xd800 || unit > 0xdfff)
		return true;
	if (unit > 0xdbff || !scan_code_unit(n, &second) || second < 0xdc00 || second > 0xdfff)
		return wrong(n, "half of a surrogate pair is missing");
	return true;
}

static bool scan_code_unit(struct scan *n, int *unit)
{
	const struct str rest = str_skip(n->text, n->at);

	if (!str_starts(rest, STR("\\u")))
		return false;
	*unit = json_hex4(str_skip(rest, 2));
	if (*unit < 0)
		return false;
	n->at += 6;
	return true;
}

int json_hex4(struct str digits)
{
	int value = 0;

	if (digits.len < 4)
		return -1;
	for (size_t i = 0; i < 4; i++) {
		const int digit = str_hex_value(digits.at[i]);
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static void skip_space(struct scan *n)
{
	while (n->at < n->text.len) {
		const char c = n->text.at[n->at];
		if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
			return;
		n->at++;
	}
}

static bool wrong(struct scan *n, const char *sentence)
{
	n->wrong = sentence;
	return false;
}

static const char *expected(const struct scan *n)
{
	switch (n->expect) {
	case EXPECT_VALUE:
		return "a value";
	case EXPECT_VALUE_OR_END:
		return "a value or ']'";
	case EXPECT_NAME:
		return "a name in double quotes";
	case EXPECT_NAME_OR_END:
		return "a name in double quotes or '}'";
	case EXPECT_COLON:
		return "':'";
	case EXPECT_COMMA_OR_END:
		return (n->objects >> (n->depth - 1) & 1) != 0 ? "',' or '}'" : "',' or ']'";
	case EXPECT_NOTHING:
		break;
	}
	return "nothing more after the first value";
}

/* Columns are counted in bytes: what is wrong may be the encoding. */
static enum fault scan_fail(struct scope *s, const struct scan *n)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < n->at; i++) {
		column++;
		if (n->text.at[i] == '\n') {
			line++;
			column = 1;
		}
	}
	if (n->wrong != NULL)
		return fail(s, FAULT_BAD_JSON, "line %zu, column %zu: %s", line, column, n->wrong);
	if (n->at == n->text.len)
		return fail(s, FAULT_BAD_JSON,
			"line %zu, column %zu: expected %s, but it ends here", line, column,
			expected(n));
	return fail(
		s, FAULT_BAD_JSON, "line %zu, column %zu: expected %s", line, column, expected(n));
}
