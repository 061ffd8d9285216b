/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store.h"

/* What an order's change takes in several services. Nothing is done in another one that the order's
 * row does not announce first, so whatever breaks off is taken up from the row: by saga_recover, on
 * any replica. All suspend. */

/* Places the order: from here on it exists for ever, or, with a fault, it never will
 * (FAULT_UNKNOWN: one of the two; the order's row decides within a lease). The reply is its answer;
 * key->answered: also when it was refused, and kept with the key. FAULT_KEY_BUSY: the key has been
 * used. With a payment (or NULL) nothing is answered yet: the claim is on that, for saga_settle. */
enum fault saga_place(struct task *t, struct order *order, struct str actor,
	const struct new_payment *payment, struct keyed *key, struct claim *claim,
	struct reply *reply) MUST_CHECK;

/* Goes on with a step that was taken until its goal is reached, or only time helps (claim->waits).
 * FAULT_CARD_DECLINED, FAULT_RELEASED, FAULT_INSUFFICIENT_STOCK: refused for good, the order does
 * not come to what was wished. Any other fault: the recovery goes on. */
enum fault saga_settle(struct task *t, struct claim *claim) MUST_CHECK;

/* Jobs: take up what was left lying, and let orders expire that nobody paid, one order after the
 * other until there is none or something is away; several may go on at once. And count those that
 * a person must look at. */
enum fault saga_recover(struct task *t) MUST_CHECK;
enum fault saga_expire(struct task *t) MUST_CHECK;
enum fault saga_attention(struct task *t) MUST_CHECK;
