/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the service's tests share: a migrated schema of the test's own with pools on it. */
#include "pg/testing.h"

#include "migrate/migrate.h"
#include "store.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static inline int users_world_begin(const char *name)
{
	struct scope s;
	struct migrate *m;
	enum fault fault;

	if (world_begin(name) != 0)
		return -1;
	scope_begin(&s);
	const struct migrate_config config = {
		.url = str_from(world.url), .folder = STR(MIGRATIONS "/users")};
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
				    .write_connections = 4,
				    .queue_max = 64},
		&store_schema);
	turn_until(pg_ready(world.pg, NULL));
	return 0;
}

static inline void users_world_end(void)
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

static inline void forget_users(void)
{
	observe("TRUNCATE users, sessions, refresh_tokens");
}
