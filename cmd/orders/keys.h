/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/route.h"
#include "store.h"

/* Idempotency-Key for operations that take several steps in several services. The key is written
 * with the first thing that the operation writes, and its answer with the last, by whoever gets
 * there: the request, a repeat of it, or the recovery. So what was answered, and what a repeat will
 * be answered, is decided together with the order. All but keys_reply suspend. */

/* The operation; `key` is NULL for a request without one. It hands the key to store_begin,
 * store_take or the like. When what it does has ended, the answer is kept already (below) and need
 * not be in the reply; when it returns OK before that (202), or without having used the key, the
 * reply is kept as its answer. */
typedef enum fault keys_fn(
	struct task *t, const struct request *request, struct keyed *key, struct reply *reply);

/* Runs work, or answers what it has answered before; what it has left lying, because the process
 * died or an answer was lost, is brought to its end first. FAULT_KEY_REUSED, FAULT_KEY_BUSY. */
enum fault keys_run(struct task *t, const struct request *request, struct reply *reply,
	keys_fn *work) MUST_CHECK;

/* The step has ended (store_finish, store_amend): the order as it is now is the answer, or why it
 * did not come to what was wished (claim->refusal). */
enum fault keys_finish(struct task *t, struct claim *claim) MUST_CHECK;

/* The intent is given up (store_abandon): `why` is the answer if a repeat would be refused too,
 * otherwise the key is free. */
enum fault keys_abandon(struct task *t, const struct claim *claim, enum fault why) MUST_CHECK;

/* The order as the answer of the operation ("POST /api/v1/orders"). */
void keys_reply(struct reply *reply, struct str operation, const struct order *order);

/* What was answered to a person whose account is gone, and what was told of their orders, goes. */
enum fault keys_forget_person(
	struct task *t, struct pg_tx *tx, const struct uuid *user_id) MUST_CHECK;
