/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/buf.h"
#include "json/field.h"
#include "json/scan.h"
#include "json/span.h"

#include <stdlib.h>

/* What RFC 8259 allows: text, how many tokens. */
static void good_json_is_taken(void **state)
{
	static const struct {
		struct str text;
		size_t tokens;
	} rows[] = {
		{STR("{}"), 1}, {STR("[]"), 1}, {STR("[[],[[]]]"), 4}, {STR("{\"a\":1}"), 3},
		{STR("{\"\":0}"), 3}, {STR("{\"a\":{\"b\":[]},\"c\":[1,2]}"), 9},
		{STR(" \t\r\n{ \"a\" : 1 , \"b\" : 2 } \t\r\n"), 5}, {STR("null"), 1},
		{STR("true"), 1}, {STR("false"), 1}, {STR("\"\""), 1}, {STR("0"), 1},
		{STR("-0"), 1}, {STR("42"), 1}, {STR("-1.5"), 1}, {STR("0.5"), 1}, {STR("1e5"), 1},
		{STR("1E5"), 1}, {STR("1e+5"), 1}, {STR("1e-5"), 1}, {STR("1.25E-07"), 1},
		{STR("0e0"), 1}, {STR("123456789012345678901234567890"), 1},
		{STR("[true,false,null]"), 4}, {STR("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"), 2},
		{STR("[\"\\u0041\\u00e9\\u20ac\\uABCD\\u0000\"]"), 2},
		{STR("[\"\\ud83d\\ude00\"]"), 2}, {STR("[\"\\uDBFF\\uDFFF\"]"), 2},
		{STR("[\"\\uD7FF\\uE000\"]"), 2}, {STR("[\"\x7f\"]"), 2},
		{STR("[\"\xc2\x80\xdf\xbf\"]"), 2},
		{STR("[\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"]"), 2},
		{STR("[\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"]"), 2},
		{STR("[\"a long text of letters, then \xc3\xa9 and more letters\"]"), 2},
		{STR("{\"a\":1,\"a\":2}"), 5}, /* names that repeat are for the reader to refuse */
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scope s;
		size_t tokens = 0;

		scope_begin(&s);
		const enum fault fault = json_scan(&s, rows[i].text, JSON_TOKENS_MAX, &tokens);
		if (fault != OK || tokens != rows[i].tokens)
			fail_row(i, "%s: %s, %zu tokens: %.*s", rows[i].text.at,
				fault_info(fault)->name, tokens, STR_ARG(s.detail));
		scope_end(&s);
	}
}

static void bad_json_is_refused_with_its_place(void **state)
{
	static const struct {
		struct str text;
		const char *detail;
	} rows[] = {
		{STR(""), "line 1, column 1: expected a value, but it ends here"},
		{STR(" "), "line 1, column 2: expected a value, but it ends here"},
		{STR("{"), "line 1, column 2: expected a name in double quotes or '}', but it ends "
			   "here"},
		{STR("["), "line 1, column 2: expected a value or ']', but it ends here"},
		{STR("{\"a\":1,}"), "line 1, column 8: expected a name in double quotes"},
		{STR("[1,]"), "line 1, column 4: expected a value"},
		{STR("[1,,2]"), "line 1, column 4: expected a value"},
		{STR("[,1]"), "line 1, column 2: expected a value or ']'"},
		{STR("{,}"), "line 1, column 2: expected a name in double quotes or '}'"},
		{STR("{\"a\"}"), "line 1, column 5: expected ':'"},
		{STR("{\"a\" 1}"), "line 1, column 6: expected ':'"},
		{STR("{\"a\":}"), "line 1, column 6: expected a value"},
		{STR("{\"a\"::1}"), "line 1, column 6: expected a value"},
		{STR("{\"a\",1}"), "line 1, column 5: expected ':'"},
		{STR("{\"a\":1 \"b\":2}"), "line 1, column 8: expected ',' or '}'"},
		{STR("{a:1}"), "line 1, column 2: expected a name in double quotes or '}'"},
		{STR("{'a':1}"), "line 1, column 2: expected a name in double quotes or '}'"},
		{STR("{1:1}"), "line 1, column 2: expected a name in double quotes or '}'"},
		{STR("{null:1}"), "line 1, column 2: expected a name in double quotes or '}'"},
		{STR("{\"a\":1,2}"), "line 1, column 8: expected a name in double quotes"},
		{STR("[1 2]"), "line 1, column 4: expected ',' or ']'"},
		{STR("[1:2]"), "line 1, column 3: expected ',' or ']'"},
		{STR("[\"a\":1]"), "line 1, column 5: expected ',' or ']'"},
		{STR("[1}"), "line 1, column 3: expected ',' or ']'"},
		{STR("{\"a\":1]"), "line 1, column 7: expected ',' or '}'"},
		{STR("]"), "line 1, column 1: expected a value"},
		{STR("{}}"), "line 1, column 3: expected nothing more after the first value"},
		{STR("{}{}"), "line 1, column 3: expected nothing more after the first value"},
		{STR("1 2"), "line 1, column 3: expected nothing more after the first value"},
		{STR("{} x"), "line 1, column 4: expected nothing more after the first value"},
		{STR("{}\0"), "line 1, column 3: expected nothing more after the first value"},
		{STR("{}// comment"),
			"line 1, column 3: expected nothing more after the first value"},
		{STR("[1,\n 2,\n  x]"), "line 3, column 3: expected a value"},
		{STR("[tru]"), "line 1, column 2: expected a value or ']'"},
		{STR("[True]"), "line 1, column 2: expected a value or ']'"},
		{STR("[nul"), "line 1, column 2: expected a value or ']'"},
		{STR("[truefalse]"), "line 1, column 6: expected ',' or ']'"},
		{STR("[NaN]"), "line 1, column 2: expected a value or ']'"},
		{STR("[Infinity]"), "line 1, column 2: expected a value or ']'"},
		{STR("[+1]"), "line 1, column 2: expected a value or ']'"},
		{STR("[.5]"), "line 1, column 2: expected a value or ']'"},
		{STR("[-]"), "line 1, column 3: a number needs a digit here"},
		{STR("[-Infinity]"), "line 1, column 3: a number needs a digit here"},
		{STR("[--1]"), "line 1, column 3: a number needs a digit here"},
		{STR("[01]"), "line 1, column 4: a number has a zero too many at its start"},
		{STR("[-00]"), "line 1, column 5: a number has a zero too many at its start"},
		{STR("[1.]"), "line 1, column 4: a number needs a digit after its point"},
		{STR("[1.e1]"), "line 1, column 4: a number needs a digit after its point"},
		{STR("[1e]"), "line 1, column 4: a number needs a digit in its exponent"},
		{STR("[1e+]"), "line 1, column 5: a number needs a digit in its exponent"},
		{STR("1e"), "line 1, column 3: a number needs a digit in its exponent"},
		{STR("[1e1.5]"), "line 1, column 5: expected ',' or ']'"},
		{STR("[0x10]"), "line 1, column 3: expected ',' or ']'"},
		{STR("[1_000]"), "line 1, column 3: expected ',' or ']'"},
		{STR("[\xef\xbc\x91]"), "line 1, column 2: expected a value or ']'"},
		{STR("[\"a"), "line 1, column 4: a string has no end"},
		{STR("[\"a\\\"]"), "line 1, column 7: a string has no end"},
		{STR("[\"a\nb\"]"),
			"line 1, column 4: a control character must be escaped, as \\n or \\u000a"},
		{STR("[\"a\tb\"]"),
			"line 1, column 4: a control character must be escaped, as \\n or \\u000a"},
		{STR("[\"\0\"]"),
			"line 1, column 3: a control character must be escaped, as \\n or \\u000a"},
		{STR("[\"\x1f\"]"),
			"line 1, column 3: a control character must be escaped, as \\n or \\u000a"},
		{STR("[\"\\x41\"]"),
			"line 1, column 3: an escape must be one of \\\" \\\\ \\/ \\b \\f \\n \\r "
			"\\t or \\uXXXX"},
		{STR("[\"\\"),
			"line 1, column 3: an escape must be one of \\\" \\\\ \\/ \\b \\f \\n \\r "
			"\\t or \\uXXXX"},
		{STR("[\"\\\0\"]"),
			"line 1, column 3: an escape must be one of \\\" \\\\ \\/ \\b \\f \\n \\r "
			"\\t or \\uXXXX"},
		{STR("[\"\\u12\"]"), "line 1, column 3: \\u needs four hexadecimal digits"},
		{STR("[\"\\u12g4\"]"), "line 1, column 3: \\u needs four hexadecimal digits"},
		{STR("[\"\\u"), "line 1, column 3: \\u needs four hexadecimal digits"},
		{STR("[\"\\ud800\"]"), "line 1, column 9: half of a surrogate pair is missing"},
		{STR("[\"\\udc00\"]"), "line 1, column 9: half of a surrogate pair is missing"},
		{STR("[\"\\ud800x\"]"), "line 1, column 9: half of a surrogate pair is missing"},
		{STR("[\"\\ud800\\n\"]"), "line 1, column 9: half of a surrogate pair is missing"},
		{STR("[\"\\ud800\\ud800\"]"),
			"line 1, column 15: half of a surrogate pair is missing"},
		{STR("[\"\\udc00\\udc00\"]"),
			"line 1, column 9: half of a surrogate pair is missing"},
		{STR("[\"\\ud800\\ue000\"]"),
			"line 1, column 15: half of a surrogate pair is missing"},
		{STR("[\"\\ud800\\u0041\"]"),
			"line 1, column 15: half of a surrogate pair is missing"},
		{STR("[\"\xff\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\x80\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\xc3\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\xc0\xaf\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\xe0\x80\xaf\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\xf0\x80\x80\xaf\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\xed\xa0\x80\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\xf4\x90\x80\x80\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\xf5\x80\x80\x80\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\xe2\x82\"]"), "line 1, column 3: this is not UTF-8"},
		{STR("[\"\xf0\x9f\x98"), "line 1, column 3: this is not UTF-8"},
		{STR("{\"\xff\":1}"), "line 1, column 3: this is not UTF-8"},
		{STR("\xff"), "line 1, column 1: expected a value"},
		{STR("\xef\xbb\xbf{}"), "JSON must not begin with a byte order mark"},
		{STR("\xc2\xa0{}"), "line 1, column 1: expected a value"},
		{STR("\f{}"), "line 1, column 1: expected a value"},
		{STR("<html>"), "line 1, column 1: expected a value"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scope s;
		size_t tokens = 0;

		scope_begin(&s);
		/* in a block of its exact size, so that a sanitizer sees a byte read too many */
		char *exact = malloc(rows[i].text.len + (rows[i].text.len == 0));
		memcpy(exact, rows[i].text.at, rows[i].text.len);
		const enum fault fault =
			json_scan(&s, str_of(exact, rows[i].text.len), JSON_TOKENS_MAX, &tokens);
		if (fault != FAULT_BAD_JSON || !str_eq(s.detail, str_from(rows[i].detail)))
			fail_row(i, "%s: %s %.*s", rows[i].text.at, fault_info(fault)->name,
				STR_ARG(s.detail));
		free(exact);
		scope_end(&s);
	}
}

static struct str nested(struct scope *s, size_t depth, const char *open, const char *close)
{
	struct buf b = buf_new(s->arena);

	for (size_t i = 0; i < depth; i++)
		buf_add(&b, str_from(open));
	buf_char(&b, '0');
	for (size_t i = 0; i < depth; i++)
		buf_add(&b, str_from(close));
	return buf_str(&b);
}

static void depth_has_a_bound(void **state)
{
	static const char *const pairs[][2] = {{"[", "]"}, {"{\"a\":", "}"}, {"[{\"a\":", "}]"}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const size_t depth = i == 2 ? JSON_DEPTH_MAX / 2 : JSON_DEPTH_MAX;
		struct scope s;
		size_t tokens;

		scope_begin(&s);
		struct str text = nested(&s, depth, pairs[i][0], pairs[i][1]);
		if (json_scan(&s, text, JSON_TOKENS_MAX, &tokens) != OK)
			fail_row(i, "32 levels: %.*s", STR_ARG(s.detail));
		text = nested(&s, depth + 1, pairs[i][0], pairs[i][1]);
		if (json_scan(&s, text, JSON_TOKENS_MAX, &tokens) != FAULT_BAD_JSON)
			fail_row(i, "%s", "33 levels were taken");
		scope_end(&s);
	}
}

static void tokens_have_a_bound(void **state)
{
	struct scope s;
	size_t tokens;

	(void)state;
	scope_begin(&s);
	assert_int_equal(json_scan(&s, STR("[1,2,3]"), 4, &tokens), OK);
	assert_int_equal(json_scan(&s, STR("[1,2,3]"), 3, &tokens), FAULT_BAD_JSON);
	assert_str_equal(s.detail, STR("more than 3 names and values in the JSON"));
	scope_end(&s);
}

/* Every byte at every place of a word: the eight at once must judge as one by one do. */
static void plain_bytes(void **state)
{
	char text[24];

	(void)state;
	for (unsigned byte = 0; byte < 256; byte++) {
		const bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
		for (size_t at = 0; at < sizeof text; at++) {
			memset(text, 'a', sizeof text);
			text[at] = (char)byte;
			const size_t span = json_plain_span(str_of(text, sizeof text));
			if (span != (plain ? sizeof text : at))
				fail_msg("byte %u at %zu: %zu", byte, at, span);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_json_is_taken),
		cmocka_unit_test(bad_json_is_refused_with_its_place),
		cmocka_unit_test(depth_has_a_bound),
		cmocka_unit_test(tokens_have_a_bound),
		cmocka_unit_test(plain_bytes),
	};

	return cmocka_run_group_tests_name("json_scan", tests, NULL, NULL);
}
