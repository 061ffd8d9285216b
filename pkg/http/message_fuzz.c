/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a head, a target, entity tags and a trace context. What is taken as a target has no
 * segment that another reader could resolve, and routes the same when it is read again. */
#include "base/check.h"
#include "http/etag.h"
#include "http/head.h"
#include "http/target.h"
#include "http/trace_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_target(struct scope *s, struct str text)
{
	struct target target;

	if (target_read(s, text, &target) != OK) {
		CHECK(s->detail.at != NULL);
		scope_forgive(s);
		return;
	}
	CHECK(target.path.len > 0 && target.path.at[0] == '/');
	CHECK(str_is_utf8(target.path));
	for (size_t i = 0; i < target.count && i < TARGET_SEGMENTS_MAX; i++) {
		CHECK(!str_eq(target.segments[i], STR(".")));
		CHECK(!str_eq(target.segments[i], STR("..")));
		CHECK(memchr(target.segments[i].at, '/', target.segments[i].len) == NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str text = str_of((const char *)data, size);
	struct scope s;

	scope_begin(&s);
	try_target(&s, text);
	CHECK((head_check(&s, text) == OK) == (s.detail.at == NULL));
	(void)etag_list_has(text, STR("3"));
	(void)etag_list_has_version(text, STR("3"));
	CHECK(traceparent_is_valid(traceparent_next(s.arena, text)));
	scope_end(&s);
	return 0;
}
