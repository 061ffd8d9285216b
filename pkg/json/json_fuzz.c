/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a body: read, merged and read leniently. What was accepted is written, read again
 * and written again: both texts must be the same. */
#include "base/check.h"
#include "json/sample.h"
#include "json/write.h"

typedef enum fault read_fn(
	struct scope *s, struct str text, const struct field_table *table, void *value);

static void round_trip(struct scope *s, const struct sample *value)
{
	struct buf first = buf_new(s->arena), second = buf_new(s->arena);
	struct sample again = {0};

	json_write(&first, &sample_table, value);
	CHECK(str_is_utf8(buf_str(&first)));
	CHECK(json_read_lenient(s, buf_str(&first), &sample_table, &again) == OK);
	json_write(&second, &sample_table, &again);
	CHECK(str_eq(buf_str(&first), buf_str(&second)));
}

static void try_text(read_fn *read, struct str text)
{
	struct sample value = {.name = STR("name"), .price = 100};
	struct scope s;

	scope_begin(&s);
	const enum fault fault = read(&s, text, &sample_table, &value);
	if (fault == OK)
		round_trip(&s, &value);
	else
		CHECK(s.detail.at != NULL || s.error_count > 0);
	scope_end(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str text = str_of((const char *)data, size);

	try_text(json_read, text);
	try_text(json_merge, text);
	try_text(json_read_lenient, text);
	return 0;
}
