/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of the store share: a migrated schema of their own with pools on it. */
#include "pg/testing.h"

#include "migrate/migrate.h"
#include "store.h"

/* One server session for each of the buyers that come at once. */
enum { BUYERS = 50 };

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static inline int store_begin(void **state)
{
	struct scope s;
	struct migrate *m;
	enum fault fault;

	(void)state;
	if (world_begin("products_store") != 0)
		return -1;
	scope_begin(&s);
	const struct migrate_config config = {
		.url = str_from(world.url), .folder = STR(MIGRATIONS "/products")};
	fault = migrate_open(&s, &config, &m);
	if (fault == OK)
		fault = migrate_up(m, INT64_MAX);
	if (fault != OK)
		print_error("migrations: %.*s\n", STR_ARG(s.detail));
	scope_end(&s);
	if (fault != OK)
		return -1;
	world.pg = world_pg((struct pg_config){.read_connections = 1,
				    .slow_connections = 1,
				    .write_connections = BUYERS,
				    .queue_max = 1000},
		&products_schema);
	turn_until(pg_ready(world.pg, NULL));
	return 0;
}

static inline int store_end(void **state)
{
	(void)state;
	pg_free(world.pg);
	world_end();
	return 0;
}

/* An empty shop. */
static inline int store_empty(void **state)
{
	(void)state;
	observe("TRUNCATE categories, products, stock, stock_movements, reservations, "
		"reservation_lines, idempotency_keys");
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
