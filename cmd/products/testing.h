/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of the store share: a migrated schema of their own with pools on it. */
#include "migrate/testing.h"

#include "store.h"

/* Sessions are fewer than buyers, so that none waits long for a lock on a slow machine. */
enum { BUYERS = 50, SESSIONS = 12 };

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static inline int store_begin(void **state)
{
	(void)state;
	return migrated_world_begin("products_store", "products", &products_schema, SESSIONS);
}

static inline int store_end(void **state)
{
	(void)state;
	migrated_world_end();
	return 0;
}

/* An empty shop. */
static inline int store_empty(void **state)
{
	(void)state;
	observe("TRUNCATE categories, products, stock, stock_movements, reservations, "
		"reservation_lines, idempotency_keys, outbox");
	return 0;
}

/* The ledger and the stock agree, nobody got stuck, nothing is open. */
static inline void assert_adds_up(void)
{
	assert_whole();
	assert_int_equal(observe_number("SELECT count(*) FROM stock_imbalances"), 0);
}

/* The other files of the same program: two programs with schemas of their own would fight for the
 * extension pg_trgm. */
int reservation_tests_run(void);
int keyed_tests_run(void);
