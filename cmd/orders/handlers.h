/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "amqp/consumer.h"
#include "http/route.h"
#include "store.h"

/* Every handler of the service, by file, and what they share. */

/* order.c */
handler_fn order_create;
handler_fn order_list;
handler_fn order_list_of_user;
handler_fn order_read;
handler_fn order_history;

/* items.c */
handler_fn order_change_items;
handler_fn order_remove_item;
handler_fn order_replace;

/* status.c */
handler_fn order_change_status;
handler_fn order_cancel;
handler_fn order_remove;
handler_fn order_pay;
handler_fn order_refund;
handler_fn order_refunds_list;

/* webhook.c */
handler_fn payment_webhook;

/* user.c */
handler_fn user_may_go;
consumer_fn user_deleted;

extern const struct route routes[];
extern const size_t route_count;

static inline bool caller_is_staff(const struct caller *caller)
{
	return caller->role == ROLE_SUPPORT || caller->role == ROLE_ADMIN;
}

/* The order of the path, FAULT_NOT_FOUND also when it is somebody else's. Suspends. */
enum fault order_of_path(
	struct task *t, const struct request *request, struct order *order) MUST_CHECK;

/* A change of status that somebody sends; FAULT_FORBIDDEN when it is not theirs to make. Suspends.
 */
enum fault set_status(struct task *t, const struct request *request,
	const struct status_change *wanted, struct reply *reply) MUST_CHECK;

/* What set_status would refuse as the order stands: for those who do something else first.
 * Suspends. */
enum fault check_status(struct task *t, const struct request *request,
	const struct status_change *wanted) MUST_CHECK;

/* If-Match against the order's version. */
enum fault check_version(
	struct scope *s, const struct request *request, const struct order *order) MUST_CHECK;

/* Settles a step that was taken, and answers as the operation ("POST /api/v1/orders") does: the
 * order; with 202 while the step is under way; or the fault if it was refused, and with a key also
 * if it was left to the recovery. Suspends. */
enum fault reply_settled(struct task *t, struct claim *claim, struct str operation,
	const struct keyed *key, struct reply *reply) MUST_CHECK;

/* The order with its ETag. */
enum fault reply_order(struct reply *reply, int status, const struct order *order);
