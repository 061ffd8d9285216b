/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "upstream/upstream.h"

/* What users asks of orders. */

/* The calling thread's client. */
void orders_use(struct upstream *upstream);

/* The account is about to go. FAULT_OPEN_ORDERS: something is paid and not yet delivered. Suspends.
 */
enum fault orders_ask_whether_open(struct task *t, const struct uuid *user_id) MUST_CHECK;
