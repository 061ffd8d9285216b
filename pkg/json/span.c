/* SPDX-License-Identifier: Apache-2.0
 * The one question that both the reader and the writer of strings ask of every byte: may it stand
 * as it is? Asked of eight bytes at once as long as they are ASCII, because most text is. */
#include "json/span.h"

#include <endian.h>

#define EVERY_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

static uint64_t eight_stops(struct str text);

size_t json_plain_span(struct str text)
{
	size_t n = 0;

	while (n < text.len) {
		const struct str rest = str_skip(text, n);
		const uint64_t stops = eight_stops(rest);
		if (stops == 0) {
			n += rest.len < 8 ? rest.len : 8;
			continue;
		}
		const size_t plain = (size_t)__builtin_ctzll(stops) / 8;
		n += plain;
		if ((unsigned char)text.at[n] < 0x80)
			break;
		const size_t step = str_utf8_sequence(str_skip(text, n));
		if (step == 0)
			break;
		n += step;
	}
	return n;
}

/* The top bit of the first of the next eight bytes that is not plain ASCII (those above it may be
 * wrong); 0 when all are. A byte below b borrows from its top bit in (word - b), and so does the
 * byte 0 for b = 1; bytes whose own top bit is set are stopped by the last term. Text that ends
 * earlier goes on with spaces. */
static uint64_t eight_stops(struct str text)
{
	uint64_t word = EVERY_BYTE(' ');

	if (text.len >= 8)
		memcpy(&word, text.at, sizeof word);
	else
		memcpy(&word, text.at, text.len);
	word = le64toh(word);

	const uint64_t quote = word ^ EVERY_BYTE('"');
	const uint64_t backslash = word ^ EVERY_BYTE('\\');
	return ((word - EVERY_BYTE(0x20)) | (quote - EVERY_BYTE(1)) | (backslash - EVERY_BYTE(1)) |
		       word) &
	       EVERY_BYTE(0x80);
}
