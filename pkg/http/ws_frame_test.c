/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "http/ws_frame.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

static void heads(void **state)
{
	static const struct {
		const char *what;
		struct str bytes;
		enum ws_read read;
		enum ws_opcode opcode;
		uint64_t payload_len;
	} rows[] = {
		{"nothing", BYTES(""), WS_PARTIAL, 0, 0},
		{"a byte", BYTES("\x81"), WS_PARTIAL, 0, 0},
		{"no mask yet", BYTES("\x81\x85mas"), WS_PARTIAL, 0, 0},
		{"a text of 5", BYTES("\x81\x85mask"), WS_READ, WS_TEXT, 5},
		{"the same and more", BYTES("\x81\x85maskabcde"), WS_READ, WS_TEXT, 5},
		{"binary", BYTES("\x82\x80mask"), WS_READ, WS_BINARY, 0},
		{"a fragment", BYTES("\x01\x81mask"), WS_READ, WS_TEXT, 1},
		{"a continuation", BYTES("\x80\x81mask"), WS_READ, WS_CONTINUATION, 1},
		{"a close", BYTES("\x88\x82mask"), WS_READ, WS_CLOSE, 2},
		{"the largest ping", BYTES("\x89\xfdmask"), WS_READ, WS_PING, 125},
		{"a pong", BYTES("\x8a\x80mask"), WS_READ, WS_PONG, 0},
		{"126 bytes", BYTES("\x81\xfe\x00\x7emask"), WS_READ, WS_TEXT, 126},
		{"65,535 bytes", BYTES("\x81\xfe\xff\xffmask"), WS_READ, WS_TEXT, 65535},
		{"65,536 bytes", BYTES("\x81\xff\0\0\0\0\0\1\0\0mask"), WS_READ, WS_TEXT, 65536},
		{"half a length", BYTES("\x81\xff\0\0\0\0\0\1"), WS_PARTIAL, 0, 0},
		{"125 bytes, the long way", BYTES("\x81\xfe\x00\x7dmask"), WS_MALFORMED, 0, 0},
		{"65,535 bytes, the long way", BYTES("\x81\xff\0\0\0\0\0\0\xff\xffmask"),
			WS_MALFORMED, 0, 0},
		{"2^63 bytes", BYTES("\x81\xff\x80\0\0\0\0\0\0\0mask"), WS_MALFORMED, 0, 0},
		{"without a mask", BYTES("\x81\x05hello"), WS_MALFORMED, 0, 0},
		{"RSV1", BYTES("\xc1\x80mask"), WS_MALFORMED, 0, 0},
		{"RSV2", BYTES("\xa1\x80mask"), WS_MALFORMED, 0, 0},
		{"RSV3", BYTES("\x91\x80mask"), WS_MALFORMED, 0, 0},
		{"opcode 3", BYTES("\x83\x80mask"), WS_MALFORMED, 0, 0},
		{"opcode 7", BYTES("\x87"), WS_MALFORMED, 0, 0},
		{"opcode 11", BYTES("\x8b\x80mask"), WS_MALFORMED, 0, 0},
		{"a ping in fragments", BYTES("\x09\x80mask"), WS_MALFORMED, 0, 0},
		{"a ping of 126", BYTES("\x89\xfe\x00\x7emask"), WS_MALFORMED, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ws_frame frame = {0};
		const enum ws_read read = ws_frame_read(rows[i].bytes, &frame);

		if (read != rows[i].read)
			fail_row(i, "%s: %d", rows[i].what, read);
		if (read == WS_READ && (frame.opcode != rows[i].opcode ||
					       frame.payload_len != rows[i].payload_len ||
					       memcmp(frame.mask, "mask", 4) != 0))
			fail_row(i, "%s: opcode %d, %llu bytes", rows[i].what, frame.opcode,
				(unsigned long long)frame.payload_len);
	}
}

/* RFC 6455 5.7: a masked "Hello". */
static void masks(void **state)
{
	char hello[] = "\x7f\x9f\x4d\x51\x58";

	(void)state;
	ws_unmask(hello, 5, (const uint8_t[]){0x37, 0xfa, 0x21, 0x3d});
	assert_string_equal(hello, "Hello");
}

static void written_heads(void **state)
{
	static const struct {
		size_t payload_len;
		struct str bytes;
	} rows[] = {
		{0, BYTES("\x81\x00")},
		{125, BYTES("\x81\x7d")},
		{126, BYTES("\x81\x7e\x00\x7e")},
		{65535, BYTES("\x81\x7e\xff\xff")},
		{65536, BYTES("\x81\x7f\0\0\0\0\0\1\0\0")},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char out[WS_HEAD_MAX];
		const size_t len = ws_head_write(out, WS_TEXT, rows[i].payload_len);

		if (!str_eq(str_of(out, len), rows[i].bytes))
			fail_row(i, "%zu: %zu bytes", rows[i].payload_len, len);
	}
}

static void closes(void **state)
{
	static const struct {
		struct str payload;
		bool valid;
		bool utf8;
	} rows[] = {
		{BYTES(""), true, true},
		{BYTES("\x03"), false, true},
		{BYTES("\x03\xe7"), false, true}, /* 999 */
		{BYTES("\x03\xe8"), true, true}, /* 1000 */
		{BYTES("\x03\xe8 bye"), true, true},
		{BYTES("\x03\xec"), false, true}, /* 1004 */
		{BYTES("\x03\xed"), false, true}, /* 1005: never sent */
		{BYTES("\x03\xee"), false, true}, /* 1006 */
		{BYTES("\x03\xef"), true, true}, /* 1007 */
		{BYTES("\x03\xf7"), false, true}, /* 1015 */
		{BYTES("\x0b\xb8"), true, true}, /* 3000 */
		{BYTES("\x13\x87"), true, true}, /* 4999 */
		{BYTES("\x13\x88"), false, true}, /* 5000 */
		{BYTES("\x03\xe8\xff"), false, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool utf8;

		if (ws_close_is_valid(rows[i].payload, &utf8) != rows[i].valid ||
			utf8 != rows[i].utf8)
			fail_row(i, "%zu bytes", rows[i].payload.len);
	}
}

static void accepts(void **state)
{
	static const struct {
		const char *key, *accept; /* NULL: no key */
	} rows[] = {
		{"dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, /* RFC 6455 1.3 */
		{"", NULL},
		{"dGhlIHNhbXBsZSBub25jZQ=", NULL},
		{"dGhlIHNhbXBsZSBub25jZQAA", NULL}, /* 18 bytes */
		{"dGhlIHNhbXBsZSBub25jZ ==", NULL},
		{"dGhlIHNhbXBsZSBub25jZ-==", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char accept[WS_ACCEPT_LEN + 1];

		if (ws_accept(str_from(rows[i].key), accept) != (rows[i].accept != NULL))
			fail_row(i, "%s", rows[i].key);
		else if (rows[i].accept != NULL)
			assert_string_equal(accept, rows[i].accept);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads),
		cmocka_unit_test(masks),
		cmocka_unit_test(written_heads),
		cmocka_unit_test(closes),
		cmocka_unit_test(accepts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
