/* SPDX-License-Identifier: Apache-2.0
 * An account is about to go (asked by users): its orders stay, what they say of the person goes.
 * May be repeated until it says 204. */
#include "handlers.h"
#include "keys.h"

static enum fault cancel_all(
	struct task *t, const struct uuid *user_id, enum status status, struct str actor);

/* DELETE /internal/users/{user_id}: 204; 409 open_orders while something is paid and not delivered;
 * what is unpaid is cancelled. */
enum fault user_close(struct task *t, const struct request *request, struct reply *reply)
{
	const struct caller *caller = &request->caller;
	struct uuid user_id;
	int64_t open;

	if (!str_eq(caller->service, STR("users")))
		return fail(&t->scope, FAULT_FORBIDDEN, "only users may ask for this");
	TRY(request_uuid(&t->scope, request, 0, &user_id));
	if (uuid_is_nil(&user_id))
		return fail(&t->scope, FAULT_NOT_FOUND, "there is no such user");
	TRY(store_count_open(t, &user_id, &open));
	if (open > 0)
		return fail(&t->scope, FAULT_OPEN_ORDERS, "%lld orders are on their way",
			(long long)open);

	TRY(cancel_all(t, &user_id, STATUS_PENDING, caller->actor));
	TRY(cancel_all(t, &user_id, STATUS_CONFIRMED, caller->actor));
	TRY(store_forget_person(t, &user_id));
	TRY(keys_forget_person(t, &user_id));
	return reply_empty(reply);
}

/* From the first page again and again, for what is cancelled is no longer on it. */
static enum fault cancel_all(
	struct task *t, const struct uuid *user_id, enum status status, struct str actor)
{
	const struct change cancel = {
		.to = STATUS_CANCELLED, .actor = actor, .note = STR("the account was deleted")};
	struct items page;

	do {
		TRY(store_list(t, user_id, status, &order_key_first, 0, PAGE_DEFAULT, &page));
		const struct order *order = page.at;
		for (size_t i = 0; i < page.count; i++, order++)
			TRY(change_status(t, order, &cancel, NULL));
	} while (page.count > 0);
	return OK;
}
