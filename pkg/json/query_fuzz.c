/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a query string. What was accepted keeps the table's bounds. */
#include "base/check.h"
#include "json/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sample_filter filter = {.limit = 1};
	struct scope s;

	scope_begin(&s);
	const enum fault fault =
		query_read(&s, str_of((const char *)data, size), &sample_filter_table, &filter);
	if (fault == OK) {
		CHECK(str_is_utf8(filter.q) && str_utf8_length(filter.q) <= 10);
		CHECK(filter.limit >= 1 && filter.limit <= 100);
		CHECK(filter.tags.count <= 2 && filter.ids.count <= 2);
		CHECK(filter.sort >= 0 && filter.sort < 3);
	} else {
		CHECK(fault == FAULT_INVALID && s.error_count > 0);
	}
	scope_end(&s);
	return 0;
}
