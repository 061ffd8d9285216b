/* SPDX-License-Identifier: Apache-2.0
 * Which sessions ended of late, for whoever has not heard of it. */
#include "auth/token.h"
#include "handlers.h"

enum {
	PAGE_SESSIONS = 500,
	CLOCKS_S = 60, /* by which the times of events and tokens may differ */
};

struct ended_query {
	int64_t before;
};

static const struct field query_fields[] = {
	FIELD(struct ended_query, before, INT64, OPTIONAL, .min = 1, .max = INT64_MAX),
};
static const struct field_table query_table = FIELD_TABLE(struct ended_query, query_fields);

/* GET /internal/sessions/ended?before=: those of which access tokens may be out that are good yet,
 * the newest first. */
enum fault sessions_ended(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct ended_query query = {.before = INT64_MAX};
	struct ended_page page;

	if (!str_eq(request->caller.service, STR("gateway")))
		return fail(s, FAULT_FORBIDDEN, "only the gateway may ask for this");
	TRY(request_query(s, request, &query_table, &query));
	TRY(store_ended_sessions(
		t, TOKEN_TTL_S + TOKEN_LEEWAY_S + CLOCKS_S, query.before, PAGE_SESSIONS, &page));
	return reply_object(reply, 200, &ended_page_table, &page);
}
