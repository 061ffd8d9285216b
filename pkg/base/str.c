/* SPDX-License-Identifier: Apache-2.0
 * The parts of str that are more than a line. Nothing here depends on the locale. */
#include "base/str.h"

static unsigned char lower(char c);
static bool is_space(char c);
static bool begins_with_eight_ascii(struct str s);

bool str_eq_fold(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.at[i]) != lower(b.at[i]))
			return false;
	return true;
}

bool str_eq_secret(struct str a, struct str b)
{
	volatile unsigned char difference = 0;

	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		difference = (unsigned char)(difference | (a.at[i] ^ b.at[i]));
	return difference == 0;
}

bool str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_eq(str_skip(s, s.len - suffix.len), suffix);
}

struct str str_skip(struct str s, size_t n)
{
	if (s.at == NULL)
		return s;
	return n < s.len ? str_of(s.at + n, s.len - n) : str_of(s.at + s.len, 0);
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && is_space(s.at[s.len - 1]))
		s.len--;
	while (s.len > 0 && is_space(*s.at))
		s = str_skip(s, 1);
	return s;
}

bool str_cut(struct str *rest, char separator, struct str *piece)
{
	const char *found;

	if (rest->at == NULL)
		return false;
	found = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;
	if (found == NULL) {
		*piece = *rest;
		*rest = STR_NONE;
		return true;
	}
	*piece = str_of(rest->at, (size_t)(found - rest->at));
	*rest = str_skip(*rest, piece->len + 1);
	return true;
}

bool str_to_int64(struct str s, int64_t *value)
{
	const bool negative = s.len > 0 && *s.at == '-';
	int64_t n = 0;

	if (s.len == (size_t)negative)
		return false;
	for (size_t i = negative; i < s.len; i++) {
		const int digit = s.at[i] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
			__builtin_sub_overflow(n, digit, &n))
			return false;
	}
	if (!negative && n == INT64_MIN)
		return false;
	*value = negative ? n : -n;
	return true;
}

bool str_is_utf8(struct str s)
{
	while (s.len > 0) {
		const size_t step = begins_with_eight_ascii(s) ? 8 : str_utf8_sequence(s);

		if (step == 0)
			return false;
		s = str_skip(s, step);
	}
	return true;
}

/* RFC 3629, section 4: the second byte's range depends on the first; it is there that overlong
 * forms, surrogates and what lies past U+10FFFF fall out. */
size_t str_utf8_sequence(struct str s)
{
	if (s.len == 0)
		return 0;

	const unsigned char *at = (const unsigned char *)s.at;
	const unsigned char first = at[0];
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;

	const size_t len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	const unsigned char lowest = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	const unsigned char highest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (s.len < len || at[1] < lowest || at[1] > highest)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

size_t str_utf8_length(struct str s)
{
	size_t length = 0;

	for (size_t i = 0; i < s.len; i++)
		length += ((unsigned char)s.at[i] & 0xc0) != 0x80;
	return length;
}

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool begins_with_eight_ascii(struct str s)
{
	uint64_t eight;

	if (s.len < sizeof eight)
		return false;
	memcpy(&eight, s.at, sizeof eight);
	return (eight & UINT64_C(0x8080808080808080)) == 0;
}
