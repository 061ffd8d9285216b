/* SPDX-License-Identifier: Apache-2.0
 * The one question that both the reader and the writer of strings ask of every byte: may it stand
 * as it is? Asked of eight bytes at once as long as they are ASCII, because most text is. */
#include "json/span.h"

#define EVERY_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

static bool eight_plain(const char *at);
static bool byte_plain(unsigned char byte);

size_t json_plain_span(struct str text)
{
	size_t n = 0;

	while (n < text.len) {
		if (text.len - n >= 8 && eight_plain(text.at + n)) {
			n += 8;
			continue;
		}
		const unsigned char byte = (unsigned char)text.at[n];
		const size_t step =
			byte < 0x80 ? byte_plain(byte) : json_utf8_sequence(str_skip(text, n));
		if (step == 0)
			break;
		n += step;
	}
	return n;
}

/* RFC 3629, section 4: the second byte's range depends on the first; it is there that overlong
 * forms, surrogates and what lies past U+10FFFF fall out. */
size_t json_utf8_sequence(struct str text)
{
	if (text.len == 0)
		return 0;

	const unsigned char *at = (const unsigned char *)text.at;
	const unsigned char first = at[0];
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;

	const size_t len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	const unsigned char lowest = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	const unsigned char highest = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (text.len < len || at[1] < lowest || at[1] > highest)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

/* A byte below b borrows from its top bit in (word - b), and so does the byte 0 for b = 1; bytes
 * whose own top bit is set are stopped by the last term. */
static bool eight_plain(const char *at)
{
	uint64_t word;
	memcpy(&word, at, sizeof word);

	const uint64_t quote = word ^ EVERY_BYTE('"');
	const uint64_t backslash = word ^ EVERY_BYTE('\\');
	const uint64_t stops = (word - EVERY_BYTE(0x20)) | (quote - EVERY_BYTE(1)) |
	                       (backslash - EVERY_BYTE(1)) | word;
	return (stops & EVERY_BYTE(0x80)) == 0;
}

static bool byte_plain(unsigned char byte)
{
	return byte >= 0x20 && byte != '"' && byte != '\\';
}
