/* SPDX-License-Identifier: Apache-2.0
 * Version 7 UUIDs: 48 bits of milliseconds, 12 bits of their fraction (RFC 9562, section 6.2,
 * method 3), 62 random bits. Time and fraction together count up by at least one from a thread's
 * UUID to its next, also when the clock steps back. */
#include "base/uuid.h"

#include "base/clock.h"
#include "base/random.h"

static uint64_t next_tick(void);
static bool is_after_dash(size_t byte);

struct uuid uuid_new(void)
{
	const uint64_t tick = next_tick();
	struct uuid id;

	random_bytes(id.bytes + 8, 8);
	for (unsigned i = 0; i < 6; i++)
		id.bytes[i] = (uint8_t)(tick >> (52 - 8 * i));
	id.bytes[6] = (uint8_t)(0x70 | (tick >> 8 & 0x0f));
	id.bytes[7] = (uint8_t)tick;
	id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3f));
	return id;
}

bool uuid_parse(struct str text, struct uuid *id)
{
	const char *at = text.at;
	struct uuid parsed;

	if (text.len != UUID_TEXT_LEN)
		return false;
	for (size_t i = 0; i < sizeof parsed.bytes; i++) {
		if (is_after_dash(i) && *at++ != '-')
			return false;
		const int high = str_hex_value(*at++), low = str_hex_value(*at++);
		if (high < 0 || low < 0)
			return false;
		parsed.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*id = parsed;
	return true;
}

struct str uuid_format(const struct uuid *id, char out[UUID_TEXT_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	char *at = out;

	for (size_t i = 0; i < sizeof id->bytes; i++) {
		if (is_after_dash(i))
			*at++ = '-';
		*at++ = digits[id->bytes[i] >> 4];
		*at++ = digits[id->bytes[i] & 15];
	}
	*at = '\0';
	return str_of(out, UUID_TEXT_LEN);
}

bool uuid_is_nil(const struct uuid *id)
{
	static const struct uuid nil;

	return uuid_eq(id, &nil);
}

/* Milliseconds and 4,096ths of one. */
static uint64_t next_tick(void)
{
	static _Thread_local uint64_t last;
	const uint64_t now_us = (uint64_t)clock_wall_us();
	const uint64_t tick = now_us / 1000 << 12 | now_us % 1000 * 4096 / 1000;

	last = tick > last ? tick : last + 1;
	return last;
}

static bool is_after_dash(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}
