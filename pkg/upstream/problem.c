/* SPDX-License-Identifier: Apache-2.0
 * A peer's refusal as a fault of ours: by the stable code of its problem document, else by status.
 */
#include "base/check.h"
#include "upstream/upstream.h"
#include "json/field.h"

struct problem {
	struct str code;
	struct str detail;
};

static const struct field problem_fields[] = {
	FIELD(struct problem, code, TEXT, OPTIONAL, .max = 100),
	FIELD(struct problem, detail, TEXT, OPTIONAL, .max = 2000),
};
static const struct field_table problem_table = FIELD_TABLE(struct problem, problem_fields);

static enum fault find_fault(struct str code, int status);

enum fault upstream_fault(struct scope *s, const struct upstream_reply *reply)
{
	struct problem problem = {0};

	CHECK(reply->status >= 400);
	if (json_read_lenient(s, reply->body, &problem_table, &problem) != OK) {
		scope_forgive(s);
		problem = (struct problem){0};
	}
	const enum fault fault = find_fault(problem.code, reply->status);
	if (problem.detail.len > 0)
		return fail(s, fault, "%.*s", STR_ARG(problem.detail));
	return fail(s, fault, "the service behind this one answered %d", reply->status);
}

/* A peer's own bug is a bad answer to us, not a bug of ours. */
static enum fault find_fault(struct str code, int status)
{
	enum fault by_status = FAULT_BAD_GATEWAY;

	for (int i = FAULT_COUNT - 1; i > OK; i--) {
		const struct fault_info *info = fault_info((enum fault)i);

		if (info->status != status || i == FAULT_INTERNAL)
			continue;
		if (str_eq(code, str_from(info->code)))
			return (enum fault)i;
		by_status = (enum fault)i;
	}
	return by_status;
}
