/* SPDX-License-Identifier: Apache-2.0
 * What becomes of a person's orders when the account goes. users asks before; after it has deleted
 * the account it tells so, once for ever, and what was said of the person here goes with it: in one
 * transaction, which waits for nobody. Goods and money follow by the recovery. */
#include "handlers.h"
#include "keys.h"

/* GET /internal/users/{user_id}: 204, or 409 open_orders while something is paid and not delivered.
 */
enum fault user_may_go(struct task *t, const struct request *request, struct reply *reply)
{
	struct uuid user_id;
	int64_t open;

	if (!str_eq(request->caller.service, STR("users")))
		return fail(&t->scope, FAULT_FORBIDDEN, "only users may ask for this");
	TRY(request_uuid(&t->scope, request, 0, &user_id));
	if (uuid_is_nil(&user_id))
		return fail(&t->scope, FAULT_NOT_FOUND, "there is no such user");
	TRY(store_count_open(t, &user_id, &open));
	if (open > 0)
		return fail(&t->scope, FAULT_OPEN_ORDERS, "%lld orders are on their way",
			(long long)open);
	return reply_empty(reply);
}

/* bodega.user.deleted. What was paid since users asked is cancelled like what is unpaid: there is
 * nobody to send it to. */
enum fault user_deleted(struct task *t, struct pg_tx *tx, const struct event *event)
{
	const struct uuid *const user_id = &event->subject;

	TRY(store_cancel_all(t, tx, user_id, STR("the account was deleted")));
	TRY(store_forget_person(t, tx, user_id));
	return keys_forget_person(t, tx, user_id);
}
