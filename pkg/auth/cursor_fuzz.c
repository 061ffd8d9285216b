/* SPDX-License-Identifier: Apache-2.0
 * Cursors of clients: any bytes are refused, or are what cursor_write wrote. */
#include "auth/cursor.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str text = str_of((const char *)data, size);
	struct cursor cursor;
	struct scope s;

	static const struct secret secret = {.current = {"0123456789abcdef0123456789abcdef", 32}};

	cursor_set_secret(&secret);
	scope_begin(&s);
	if (cursor_read(&s, text, 1, 2, &cursor) == OK)
		CHECK(str_eq(cursor_write(&s, &cursor), text));
	/* and as the key of a cursor of ours */
	if (size <= 4096) {
		const struct cursor made = {.sort = 1, .filters = 2, .text = text};

		CHECK(cursor_read(&s, cursor_write(&s, &made), 1, 2, &cursor) == OK);
		CHECK(str_eq(cursor.text, text));
	}
	scope_end(&s);
	return 0;
}
