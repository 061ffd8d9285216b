/* SPDX-License-Identifier: Apache-2.0
 * Ids come from the thread's fast generator: they need to be unlike each other, not secret. */
#include "http/trace_context.h"

#include "base/random.h"

enum { TRACE_AT = 3, TRACE_DIGITS = 32, SPAN_AT = 36, SPAN_DIGITS = 16, FLAGS_AT = 53 };

static bool is_hex(struct str text);
static bool is_zero(struct str text);
static void write_random_hex(char *out, size_t digits);

bool traceparent_is_valid(struct str text)
{
	if (text.len != TRACEPARENT_LEN || text.at[TRACE_AT - 1] != '-' ||
		text.at[SPAN_AT - 1] != '-' || text.at[FLAGS_AT - 1] != '-')
		return false;
	return is_hex(str_of(text.at, 2)) && !str_starts(text, STR("ff")) &&
	       is_hex(str_of(text.at + TRACE_AT, TRACE_DIGITS)) &&
	       is_hex(str_of(text.at + SPAN_AT, SPAN_DIGITS)) &&
	       is_hex(str_of(text.at + FLAGS_AT, 2)) &&
	       !is_zero(str_of(text.at + TRACE_AT, TRACE_DIGITS)) &&
	       !is_zero(str_of(text.at + SPAN_AT, SPAN_DIGITS));
}

struct str traceparent_next(struct arena *arena, struct str incoming)
{
	static const char fresh[] = "00-00000000000000000000000000000000-0000000000000000-01";
	const bool joined = traceparent_is_valid(incoming);
	char *out = arena_bytes(arena, sizeof fresh);

	memcpy(out, fresh, sizeof fresh);
	if (joined) {
		memcpy(out + TRACE_AT, incoming.at + TRACE_AT, TRACE_DIGITS);
		memcpy(out + FLAGS_AT, incoming.at + FLAGS_AT, 2);
	} else {
		write_random_hex(out + TRACE_AT, TRACE_DIGITS);
	}
	write_random_hex(out + SPAN_AT, SPAN_DIGITS);
	return str_of(out, TRACEPARENT_LEN);
}

struct str traceparent_trace_id(struct str traceparent)
{
	return traceparent.len == TRACEPARENT_LEN ? str_of(traceparent.at + TRACE_AT, TRACE_DIGITS)
	                                          : STR_NONE;
}

struct str request_id_new(struct arena *arena)
{
	char *out = arena_bytes(arena, TRACE_DIGITS);

	write_random_hex(out, TRACE_DIGITS);
	return str_of(out, TRACE_DIGITS);
}

static bool is_hex(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		const char c = text.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return true;
}

static bool is_zero(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] != '0')
			return false;
	return true;
}

/* `digits` is a multiple of 16. Never all zero. */
static void write_random_hex(char *out, size_t digits)
{
	for (size_t i = 0; i < digits; i += 16) {
		uint64_t bits = random_below(UINT64_MAX) + 1;

		for (size_t k = 0; k < 16; k++, bits >>= 4)
			out[i + k] = "0123456789abcdef"[bits & 15];
	}
}
