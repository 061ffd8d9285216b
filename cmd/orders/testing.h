/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the service's tests share: a migrated schema of the test's own, pools on it, and orders made
 * without going through the API. */
#include "pg/testing.h"

#include "migrate/migrate.h"
#include "store.h"

enum { TEST_TTL_US = 1800 * 1000000, TEST_LEASE_US = 20 * 1000000 };

static inline int orders_world_begin(const char *name)
{
	struct scope s;
	struct migrate *m;
	enum fault fault;

	if (world_begin(name) != 0)
		return -1;
	scope_begin(&s);
	const struct migrate_config config = {
		.url = str_from(world.url), .folder = STR(MIGRATIONS "/orders")};
	fault = migrate_open(&s, &config, &m);
	if (fault == OK)
		fault = migrate_up(m, INT64_MAX);
	if (fault != OK)
		print_error("migrations: %.*s\n", STR_ARG(s.detail));
	scope_end(&s);
	if (fault != OK)
		return -1;

	store_set_times(TEST_TTL_US, TEST_LEASE_US);
	world.pg = world_pg((struct pg_config){.read_connections = 1,
				    .slow_connections = 1,
				    .write_connections = 2,
				    .queue_max = 64},
		&store_schema);
	turn_until(pg_ready(world.pg, NULL));
	return 0;
}

static inline void orders_world_end(void)
{
	pg_free(world.pg);
	world_end();
}

/* Runs work as a task of its own to its end; its fault. */
static inline enum fault run(enum fault (*work)(struct task *t, struct job *job))
{
	struct job job = {.work = work};

	job_finish(&job);
	return job.fault;
}

static inline void forget_orders(void)
{
	observe("TRUNCATE orders, order_items, order_payments, order_history");
}
