/* SPDX-License-Identifier: Apache-2.0
 * Base64 in one spelling only: a decoder that took two texts for the same bytes would let anyone
 * change a token or a cursor without changing what it says. */
#include "auth/base64.h"

static const char *alphabet_of(enum base64_kind kind);
static int value_of(enum base64_kind kind, char c);

struct str base64_encode(struct arena *arena, enum base64_kind kind, struct str bytes)
{
	const char *const alphabet = alphabet_of(kind);
	char *const out = arena_bytes(arena, (bytes.len + 2) / 3 * 4 + 1);
	size_t len = 0;

	for (size_t i = 0; i < bytes.len; i += 3) {
		const size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
		uint32_t group = 0;

		for (size_t k = 0; k < 3; k++)
			group = group << 8 | (k < have ? (uint8_t)bytes.at[i + k] : 0);
		for (size_t k = 0; k <= have; k++)
			out[len++] = alphabet[group >> (18 - 6 * k) & 63];
		for (size_t k = have; k < 3 && kind == BASE64; k++)
			out[len++] = '=';
	}
	out[len] = '\0';
	return str_of(out, len);
}

bool base64_decode(struct arena *arena, enum base64_kind kind, struct str text, struct str *bytes)
{
	char *out;
	size_t len = 0;
	uint32_t bits = 0;
	unsigned held = 0;

	if (kind == BASE64) {
		if (text.len % 4 != 0)
			return false;
		for (int i = 0; i < 2 && text.len > 0 && text.at[text.len - 1] == '='; i++)
			text.len--;
	}
	if (text.len % 4 == 1)
		return false;
	out = arena_bytes(arena, text.len / 4 * 3 + 3);
	for (size_t i = 0; i < text.len; i++) {
		const int value = value_of(kind, text.at[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[len++] = (char)(bits >> held & 0xff);
		}
	}
	*bytes = str_of(out, len);
	return (bits & ((1u << held) - 1)) == 0;
}

static const char *alphabet_of(enum base64_kind kind)
{
	return kind == BASE64 ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	                      : "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
}

static int value_of(enum base64_kind kind, char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (kind == BASE64 ? '+' : '-'))
		return 62;
	if (c == (kind == BASE64 ? '/' : '_'))
		return 63;
	return -1;
}
