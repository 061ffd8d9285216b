/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fiber/task.h"
#include "model.h"
#include "upstream/upstream.h"

/* The reservations of the products service (api/internal.yaml), by order id. Each call may be
 * repeated and then answers the same. Faults: FAULT_UNAVAILABLE, FAULT_DEADLINE, FAULT_BAD_GATEWAY,
 * … when it is not known what products has done; ask again before acting otherwise. All suspend. */

/* On each thread: the client of products that the calls below use. */
void stock_use(struct upstream *upstream);

/* Holds all items of the order or none, and fills in their names, prices and sellers.
 * *refused: products has answered that it holds nothing and why: FAULT_INSUFFICIENT_STOCK with the
 * short lines in the problem document, or FAULT_INVALID naming the products that are unknown. */
enum { REVISION_FIRST = 1 };
enum fault stock_reserve(struct task *t, struct order *order, bool *refused) MUST_CHECK;

/* The same in the place of what an earlier revision holds; lines that were in that keep their
 * prices. When it is refused the earlier one stays. FAULT_STALE_REVISION: a later one is there. */
enum fault stock_reserve_anew(
	struct task *t, struct order *order, int32_t revision, bool *refused) MUST_CHECK;

/* Gives the hold back; of an order that products has never heard of it makes a late reserve fail.
 */
enum fault stock_release(struct task *t, const struct uuid *order_id) MUST_CHECK;

/* Sells what is held. FAULT_RELEASED or FAULT_INSUFFICIENT_STOCK: it will not be sold. */
enum fault stock_commit(struct task *t, const struct uuid *order_id) MUST_CHECK;

/* Takes back what was sold. */
enum fault stock_return(struct task *t, const struct uuid *order_id) MUST_CHECK;
