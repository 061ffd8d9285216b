/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/route.h"
#include "store.h"

/* Every handler of the service, by file, and what they share. */

/* order.c */
handler_fn order_create;
handler_fn order_list;
handler_fn order_list_of_user;
handler_fn order_read;
handler_fn order_history;

/* status.c */
handler_fn order_change_status;
handler_fn order_cancel;
handler_fn order_pay;

extern const struct route routes[];
extern const size_t route_count;

static inline bool caller_is_staff(const struct caller *caller)
{
	return caller->role == ROLE_SUPPORT || caller->role == ROLE_ADMIN;
}

/* "user:<id>", as history and calls to other services name who did it. */
struct str caller_actor(struct scope *s, const struct caller *caller);

/* The order of the path, FAULT_NOT_FOUND also when it is somebody else's. Suspends. */
enum fault order_of_path(
	struct task *t, const struct request *request, struct order *order) MUST_CHECK;

/* The order with its ETag. */
enum fault reply_order(struct reply *reply, int status, const struct order *order);
