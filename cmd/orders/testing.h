/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the service's tests share: a migrated schema of the test's own, pools on it, and orders made
 * without going through the API. */
#include "migrate/testing.h"

#include "store.h"

enum {
	TEST_TTL_US = 1800 * 1000000,
	TEST_LEASE_US = 20 * 1000000,
	TEST_PAYMENT_TTL_US = 900 * 1000000
};

static inline int orders_world_begin(const char *name)
{
	store_set_times(TEST_TTL_US, TEST_LEASE_US, TEST_PAYMENT_TTL_US);
	return migrated_world_begin(name, "orders", &store_schema, 2);
}

/* What the test before has given up must have ended: it would stand in the way. */
static inline void forget_orders(void)
{
	assert_whole();
	observe("TRUNCATE orders, order_items, order_refunds, order_payments, order_history,"
		" idempotency_keys, outbox");
}
