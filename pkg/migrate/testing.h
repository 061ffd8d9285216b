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

static inline void prepare_fitting(size_t i, const struct pg_statement *statement)
{
	PGresult *result = PQprepare(world.observer, "fitting", statement->sql, 0, NULL);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail_row(i, "%s: %s", statement->name, PQresultErrorMessage(result));
	PQclear(result);
}

static inline PGresult *explain_fitting(void)
{
	PGresult *described = PQdescribePrepared(world.observer, "fitting");
	char sql[1024] = "EXPLAIN EXECUTE fitting"; /* of 160 parameters */
	size_t len = strlen(sql);

	assert_in_range(PQnparams(described), 0, 160);
	for (int p = 0; p < PQnparams(described); p++)
		len += (size_t)snprintf(sql + len, sizeof sql - len, "%sNULL", p == 0 ? "(" : ", ");
	snprintf(sql + len, sizeof sql - len, "%s", PQnparams(described) > 0 ? ")" : "");
	PQclear(described);
	return PQexec(world.observer, sql);
}

/* Every statement fits the schema, and has an index for what it looks for: its plan for any values
 * reads a whole table as the last resort only. `small`: but for this one (or NULL). */
static inline void assert_statements_fit(const struct pg_schema *schema, const char *small)
{
	char harmless[64];

	snprintf(harmless, sizeof harmless, "Seq Scan on %s", small != NULL ? small : "-");
	observe("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan");
	for (size_t i = 0; i < schema->statement_count; i++) {
		prepare_fitting(i, schema->statements[i]);
		PGresult *plan = explain_fitting();
		if (PQresultStatus(plan) != PGRES_TUPLES_OK)
			fail_row(i, "%s: %s", schema->statements[i]->name,
				PQresultErrorMessage(plan));
		for (int row = 0; row < PQntuples(plan); row++) {
			const char *line = PQgetvalue(plan, row, 0);
			if (strstr(line, "Seq Scan") != NULL && strstr(line, harmless) == NULL)
				fail_row(i, "%s: %s", schema->statements[i]->name, line);
		}
		PQclear(plan);
		observe("DEALLOCATE fitting");
	}
	observe("RESET enable_seqscan; RESET plan_cache_mode");
}
