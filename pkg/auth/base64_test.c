/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "auth/base64.h"

static void known_texts(void **state)
{
	static const struct {
		const char *bytes;
		const char *base64;
		const char *base64url;
	} rows[] = {
		{"", "", ""},
		{"f", "Zg==", "Zg"},
		{"fo", "Zm8=", "Zm8"},
		{"foo", "Zm9v", "Zm9v"},
		{"foob", "Zm9vYg==", "Zm9vYg"},
		{"\xfb\xff\xbe", "+/++", "-_--"},
	};
	struct arena *const arena = arena_new();

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct str bytes = str_from(rows[i].bytes);
		struct str back;

		assert_str_equal(base64_encode(arena, BASE64, bytes), str_from(rows[i].base64));
		assert_str_equal(
			base64_encode(arena, BASE64URL, bytes), str_from(rows[i].base64url));
		assert_true(base64_decode(arena, BASE64, str_from(rows[i].base64), &back));
		assert_true(str_eq(back, bytes));
		assert_true(base64_decode(arena, BASE64URL, str_from(rows[i].base64url), &back));
		assert_true(str_eq(back, bytes));
	}
	arena_unref(arena);
}

static void one_spelling_only(void **state)
{
	static const struct {
		enum base64_kind kind;
		const char *text;
	} rows[] = {
		{BASE64, "Zg"}, /* no padding */
		{BASE64, "Zg="},
		{BASE64, "Zg==="},
		{BASE64, "===="},
		{BASE64, "=Zg="},
		{BASE64, "Zh=="}, /* bits left over */
		{BASE64, "Zm9="},
		{BASE64, "-_--"}, /* the other alphabet */
		{BASE64, "Zm 9"},
		{BASE64, "Zm9v\n"},
		{BASE64URL, "Zg=="},
		{BASE64URL, "Zh"},
		{BASE64URL, "Z"},
		{BASE64URL, "Zm9vY"},
		{BASE64URL, "A"}, /* six bits are no byte */
		{BASE64URL, "Zm9vA"},
		{BASE64URL, "+/++"},
		{BASE64URL, "Zm\xc3\xa4"},
	};
	struct arena *const arena = arena_new();

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct str bytes;

		if (base64_decode(arena, rows[i].kind, str_from(rows[i].text), &bytes))
			fail_row(i, "%s was taken", rows[i].text);
	}
	arena_unref(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_texts),
		cmocka_unit_test(one_spelling_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
