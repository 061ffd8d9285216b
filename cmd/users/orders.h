/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "upstream/upstream.h"

/* What users asks of orders. */

/* The calling thread's client. */
void orders_use(struct upstream *upstream);

/* The account is about to go: orders cancels what is unpaid and forgets the person. May be
 * repeated. FAULT_OPEN_ORDERS: something is paid and not yet delivered; FAULT_ORDER_BUSY: one is
 * being changed. Suspends. */
enum fault orders_close(struct task *t, const struct uuid *user_id) MUST_CHECK;
