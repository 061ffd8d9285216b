/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For the tests of a program's store: a schema of the test's own with the program's migrations in
 * it, and pools on that. MIGRATIONS is the repository's folder of them. */
#include "pg/testing.h"

#include "migrate/migrate.h"

/* 0, or -1 with a line that says why. `queue_max` and read connections are enough for any test. */
static inline int migrated_world_begin(const char *name, const char *database,
	const struct pg_schema *schema, unsigned write_connections)
{
	struct scope s;
	struct migrate *m;
	enum fault fault;

	if (world_begin(name) != 0)
		return -1;
	scope_begin(&s);
	const struct migrate_config config = {
		.url = str_from(world.url),
		.folder = scope_format(&s, MIGRATIONS "/%s", database),
	};
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
				    .write_connections = write_connections,
				    .queue_max = 1000},
		schema);
	turn_until(pg_ready(world.pg, NULL));
	return 0;
}

static inline void migrated_world_end(void)
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
