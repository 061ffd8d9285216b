/* SPDX-License-Identifier: Apache-2.0
 * The call to orders. */
#include "orders.h"

#include "base/uuid.h"

static _Thread_local struct upstream *orders;

void orders_use(struct upstream *upstream)
{
	orders = upstream;
}

enum fault orders_ask_whether_open(struct task *t, const struct uuid *user_id)
{
	struct scope *s = &t->scope;
	struct upstream_reply reply;
	char id[UUID_TEXT_LEN + 1];
	struct upstream_request request = {
		.method = STR("GET"),
		.target = scope_format(s, "/internal/users/%s", uuid_format(user_id, id).at),
	};

	TRY(upstream_call(t, orders, &request, &reply));
	if (reply.status == 204)
		return OK;
	/* any other refusal is between us and orders: no business of the client's */
	if (reply.status < 500 && reply.status != fault_info(FAULT_CONFLICT)->status)
		return fail(s, FAULT_BAD_GATEWAY, "orders answered with %d", reply.status);
	return upstream_fault(s, &reply);
}
