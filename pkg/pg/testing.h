/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the package's tests share: a loop with pools on the test database, tasks that are run to
 * their end, and a connection of the test's own that looks at the server from outside. */
#include "base/testing.h"

#include "base/check.h"
#include "base/clock.h"
#include "fiber/task.h"
#include "pg/pool.h"
#include "pg/wire.h"

#include <stdlib.h>

enum { TEST_TURNS_MS = 10000 };

struct world {
	struct loop *loop;
	struct pg *pg;
	PGconn *observer;
	const char *name; /* the program's: of its schema and of its sessions */
	char url[1024]; /* of the schema */
};

static struct world world;

/* One task: `work` runs on its fiber and must not assert; what it found is looked at afterwards. */
struct job {
	enum fault (*work)(struct task *t, struct job *job);
	int64_t deadline_us; /* from now; 0: ten seconds */
	unsigned inject_at; /* fails that wait */
	enum fault inject_fault;
	int64_t number; /* in and out, as the work likes */
	char text[256];
	/* results */
	struct task *task; /* NULL once it has ended */
	enum fault fault;
	unsigned waits;
	char detail[256];
	unsigned errors; /* bad fields */
	unsigned order; /* the how-manieth to end */
};

static unsigned jobs_ended;

static void job_run(struct task *t, void *arg)
{
	struct job *job = arg;

	if (job->inject_at > 0)
		task_inject(t, job->inject_at, job->inject_fault);
	job->fault = job->work(t, job);
}

static void job_done(struct task *t, void *arg)
{
	struct job *job = arg;

	snprintf(job->detail, sizeof job->detail, "%.*s", STR_ARG(t->scope.detail));
	job->errors = t->scope.error_count;
	job->waits = t->waits;
	job->order = ++jobs_ended;
	job->task = NULL;
}

static inline void job_start(struct job *job)
{
	const int64_t us = job->deadline_us > 0 ? job->deadline_us : 10000000;

	assert_int_equal(task_start(world.loop, loop_now_us(world.loop) + us, job_run, job_done,
				 job, &job->task),
		OK);
}

/* Turns the loop until the condition holds. */
#define turn_until(condition) turn_until_at((condition), #condition, __FILE__, __LINE__)
#define turn_until_at(condition, text, file, line)                                  \
	do {                                                                        \
		const int64_t end_ = clock_monotonic_us() + TEST_TURNS_MS * 1000LL; \
		while (!(condition)) {                                              \
			if (clock_monotonic_us() > end_) {                          \
				print_error("never came true: %s\n", text);         \
				_fail(file, line);                                  \
			}                                                           \
			loop_turn(world.loop, 10);                                  \
		}                                                                   \
	} while (0)

static inline void jobs_finish(struct job *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		turn_until(jobs[i].task == NULL);
}

static inline void job_finish(struct job *job)
{
	job_start(job);
	jobs_finish(job, 1);
}

/* ---- the server from outside ---- */

/* Runs SQL on the observer's connection; the first column of the first row, or "". */
static inline const char *observe(const char *sql)
{
	static char value[1024];
	PGresult *result = PQexec(world.observer, sql);

	value[0] = '\0';
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0)
		snprintf(value, sizeof value, "%s", PQgetvalue(result, 0, 0));
	else if (PQresultStatus(result) != PGRES_COMMAND_OK &&
		 PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(world.observer));
	PQclear(result);
	return value;
}

static inline long long observe_number(const char *sql)
{
	return strtoll(observe(sql), NULL, 10);
}

/* How many of the pools' sessions wait for a lock. */
static inline long long waiting_for_lock(void)
{
	return observe_number(
		"SELECT count(*) FROM server_sessions WHERE wait_event_type = 'Lock'");
}

/* Every connection is idle, here and as the server sees it. */
static inline bool is_whole(void)
{
	for (size_t i = 0; i < PG_CLASS_COUNT; i++) {
		const struct pg_pool *pool = &world.pg->pools[i];

		for (size_t state = 0; state < CONN_STATE_COUNT; state++)
			if (state != CONN_IDLE && pool->counts[state] > 0)
				return false;
		if (pool->queued > 0)
			return false;
	}
	return true;
}

static inline void assert_whole(void)
{
	turn_until(is_whole());
	assert_int_equal(
		observe_number("SELECT count(*) FROM server_sessions WHERE state <> 'idle'"), 0);
}

/* ---- begin and end ---- */

static inline struct pg *world_pg(struct pg_config config, const struct pg_schema *schema)
{
	if (config.url.at == NULL)
		config.url = str_from(world.url);
	config.application_name = world.name;
	return pg_new(world.loop, &config, schema);
}

/* A loop, the observer and an empty schema; `name` is the program's. */
static inline int world_begin(const char *name)
{
	const char *url = getenv("TEST_DATABASE_URL");
	char sql[512];

	if (url == NULL) {
		print_error("TEST_DATABASE_URL is not set: run this under tools/with-servers\n");
		return -1;
	}
	world.name = name;
	snprintf(world.url, sizeof world.url, "%s%coptions=-csearch_path%%3D%s", url,
		strchr(url, '?') != NULL ? '&' : '?', name);
	world.observer = PQconnectdb(world.url);
	if (PQstatus(world.observer) != CONNECTION_OK) {
		print_error("%s", PQerrorMessage(world.observer));
		return -1;
	}
	snprintf(sql, sizeof sql,
		"SET client_min_messages = warning; DROP SCHEMA IF EXISTS %s CASCADE;"
		" CREATE SCHEMA %s; CREATE VIEW server_sessions AS SELECT pid, state, "
		"wait_event_type"
		" FROM pg_stat_activity WHERE application_name = '%s'",
		name, name, name);
	observe(sql);
	world.loop = loop_new(LOOP_LIMITS_DEFAULT);
	return 0;
}

static inline void world_end(void)
{
	PQfinish(world.observer);
	loop_free(world.loop);
}
