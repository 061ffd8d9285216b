/* SPDX-License-Identifier: Apache-2.0
 * Bad days: connections that break, servers that are away or mute, schemas that are too old. A
 * proxy stands between the pools and the server. */
#include "pg/testing.h"

#include "pg/proxy.h"

#include <unistd.h>

static const struct pg_statement one_get = {
	.name = "one_get",
	.class = PG_READ,
	.sql = "SELECT 1::bigint",
};
static const struct pg_statement wait_get = {
	.name = "wait_get",
	.class = PG_READ,
	.sql = "SELECT pg_advisory_xact_lock_shared(9)",
};
static const struct pg_statement row_add = {
	.name = "row_add",
	.class = PG_WRITE,
	.sql = "INSERT INTO kept (name) VALUES ($1::text)",
};
static const struct pg_statement wait_add = {
	.name = "wait_add",
	.class = PG_WRITE,
	.sql = "WITH waited AS (SELECT pg_advisory_xact_lock_shared(9))"
	       " INSERT INTO kept (name) SELECT $1::text FROM waited",
};
static const struct pg_statement future_get = {
	.name = "future_get",
	.class = PG_READ,
	.sql = "SELECT name FROM future",
};

static const struct pg_statement *const statements[] = {&one_get, &wait_get, &row_add, &wait_add};
static const struct pg_schema schema = {.statements = statements, .statement_count = 4};

static struct proxy *proxy;
static char proxied[1400]; /* the URL through the proxy, by name */

/* ---- works ---- */

static enum fault get_one(struct task *t, struct job *job)
{
	struct pg_row row;

	TRY(pg_query_row(t, &one_get, PG_NO_VALUES, &row));
	job->number = pg_take_int64(&row);
	return OK;
}

static enum fault wait_reading(struct task *t, struct job *job)
{
	(void)job;
	return pg_query(t, &wait_get, PG_NO_VALUES, NULL);
}

static enum fault add_row(struct task *t, struct job *job)
{
	return pg_query(t, &row_add, PG_VALUES(pg_text(str_from(job->text))), NULL);
}

static enum fault wait_adding(struct task *t, struct job *job)
{
	return pg_query(t, &wait_add, PG_VALUES(pg_text(str_from(job->text))), NULL);
}

/* number 1: stop before the commit until it is 2 */
static enum fault commit_row(struct task *t, struct job *job)
{
	struct pg_tx *tx;

	TRY(pg_begin(t, &tx));
	TRY(pg_tx_query(t, tx, &row_add, PG_VALUES(pg_text(str_from(job->text))), NULL));
	while (job->number == 1)
		TRY(task_sleep(t, 1000));
	return pg_commit(t, &tx);
}

/* ---- helpers ---- */

static void start_pg(const struct pg_schema *of)
{
	struct pg_config config = {.url = str_from(proxied),
		.read_connections = 1,
		.slow_connections = 1,
		.write_connections = 1,
		.queue_max = 4};

	world.pg = world_pg(config, of);
}

static int begin_test(void **state)
{
	(void)state;
	proxy_set(proxy, PROXY_PASS);
	observe("TRUNCATE kept");
	start_pg(&schema);
	turn_until(is_whole());
	return 0;
}

static int end_test(void **state)
{
	(void)state;
	observe("SELECT pg_advisory_unlock_all()");
	pg_free(world.pg);
	return 0;
}

static long long kept(void)
{
	return observe_number("SELECT count(*) FROM kept");
}

static void comes_back(void)
{
	struct job job = {.work = get_one};

	turn_until(is_whole());
	job_finish(&job);
	assert_int_equal(job.fault, OK);
	assert_int_equal(job.number, 1);
	assert_whole();
}

/* ---- tests ---- */

static void a_read_that_is_cut_is_unavailable(void **state)
{
	struct job job = {.work = wait_reading};

	(void)state;
	observe("SELECT pg_advisory_lock(9)");
	job_start(&job);
	turn_until(waiting_for_lock() == 1);
	proxy_cut(proxy);
	jobs_finish(&job, 1);
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	observe("SELECT pg_advisory_unlock(9)");
	comes_back();
}

static void a_read_whose_backend_is_killed_is_unavailable(void **state)
{
	struct job job = {.work = wait_reading};

	(void)state;
	observe("SELECT pg_advisory_lock(9)");
	job_start(&job);
	turn_until(waiting_for_lock() == 1);
	observe("SELECT pg_terminate_backend(pid) FROM server_sessions");
	jobs_finish(&job, 1);
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	comes_back();
}

static void idle_connections_come_back(void **state)
{
	const uint64_t before = counter_value(world.pg->pools[PG_READ].reconnects);

	(void)state;
	observe("SELECT pg_terminate_backend(pid) FROM server_sessions");
	turn_until(!is_whole());
	comes_back();
	assert_int_equal(counter_value(world.pg->pools[PG_READ].reconnects) - before, 1);
}

static void a_write_that_is_cut_is_unknown(void **state)
{
	struct job jobs[3] = {
		{.work = wait_adding, .text = "running"},
		{.work = add_row, .text = "waiting"},
		{.work = commit_row, .text = "waiting as well"},
	};

	(void)state;
	observe("SELECT pg_advisory_lock(9)");
	for (size_t i = 0; i < 3; i++)
		job_start(&jobs[i]);
	turn_until(waiting_for_lock() == 1);
	assert_int_equal(world.pg->pools[PG_WRITE].queued, 2);
	proxy_set(proxy, PROXY_REFUSE);
	proxy_cut(proxy);
	jobs_finish(jobs, 3);
	assert_int_equal(jobs[0].fault, FAULT_UNKNOWN);
	assert_int_equal(jobs[1].fault, FAULT_UNAVAILABLE);
	assert_int_equal(jobs[2].fault, FAULT_UNAVAILABLE);
	observe("SELECT pg_advisory_unlock(9)");
	proxy_set(proxy, PROXY_PASS);
	comes_back();
}

/* It is in the database, but nobody could say so. */
static void a_commit_that_is_cut_is_unknown(void **state)
{
	struct job job = {.work = commit_row, .text = "committed", .number = 1};

	(void)state;
	job_start(&job);
	turn_until(observe_number("SELECT count(*) FROM server_sessions WHERE state = 'idle in "
				  "transaction'") == 1);
	proxy_set(proxy, PROXY_MUTE);
	job.number = 2;
	turn_until(kept() == 1);
	assert_non_null(job.task);
	proxy_cut(proxy);
	proxy_set(proxy, PROXY_PASS);
	jobs_finish(&job, 1);
	assert_int_equal(job.fault, FAULT_UNKNOWN);
	comes_back();
	assert_int_equal(kept(), 1);
}

static void a_transaction_that_is_cut_before_its_commit_is_unavailable(void **state)
{
	struct job job = {.work = commit_row, .text = "never", .number = 1};

	(void)state;
	job_start(&job);
	turn_until(observe_number("SELECT count(*) FROM server_sessions WHERE state = 'idle in "
				  "transaction'") == 1);
	proxy_cut(proxy);
	turn_until(world.pg->pools[PG_WRITE].counts[CONN_TAKEN] == 0);
	job.number = 2;
	jobs_finish(&job, 1);
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	comes_back();
	assert_int_equal(kept(), 0);
}

static void while_it_is_away_calls_fail_at_once(void **state)
{
	struct job read = {.work = get_one}, write = {.work = add_row, .text = "no"};
	struct job tx = {.work = commit_row, .text = "no"};
	struct str why = STR_NONE;
	int64_t end_us;
	unsigned taken;

	(void)state;
	proxy_set(proxy, PROXY_REFUSE);
	proxy_cut(proxy);
	turn_until(pg_pool_up(&world.pg->pools[PG_READ]) == 0 &&
		   pg_pool_up(&world.pg->pools[PG_WRITE]) == 0);
	taken = proxy_taken(proxy);
	assert_false(pg_ready(world.pg, &why));
	assert_true(why.len > 0);
	end_us = clock_monotonic_us() + 1000000;
	while (clock_monotonic_us() < end_us) {
		job_finish(&read);
		job_finish(&write);
		job_finish(&tx);
		assert_int_equal(read.fault, FAULT_UNAVAILABLE);
		assert_int_equal(write.fault, FAULT_UNAVAILABLE);
		assert_int_equal(tx.fault, FAULT_UNAVAILABLE);
		assert_int_equal(read.waits + write.waits + tx.waits, 0);
		loop_turn(world.loop, 5);
	}
	/* three connections, each after 50, 100, 200, 400 ms and so on, less at most half */
	assert_in_range(proxy_taken(proxy) - taken, 3, 3 * 6);
	proxy_set(proxy, PROXY_PASS);
	comes_back();
	assert_true(pg_ready(world.pg, NULL));
}

static void a_mute_server_is_left(void **state)
{
	struct job job = {.work = get_one};

	(void)state;
	proxy_set(proxy, PROXY_MUTE);
	job_start(&job);
	for (int i = 0; i < 5; i++)
		loop_turn(world.loop, 5);
	assert_non_null(job.task);
	clock_advance_us(world.pg->pools[PG_READ].info->answer_us);
	jobs_finish(&job, 1);
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	assert_string_equal(world.pg->pools[PG_READ].why, "the database did not answer in time");
	proxy_set(proxy, PROXY_PASS);
	proxy_cut(proxy);
	comes_back();
}

static void connecting_has_its_own_time_limit(void **state)
{
	const struct pg_pool *pool = &world.pg->pools[PG_READ];
	unsigned taken;

	(void)state;
	proxy_set(proxy, PROXY_MUTE);
	proxy_cut(proxy);
	turn_until(pg_pool_up(pool) == 0);
	taken = proxy_taken(proxy);
	turn_until(proxy_taken(proxy) >= taken + 3);
	clock_advance_us(PG_CONNECT_US);
	turn_until(pool->counts[CONN_WAITING] == 1);
	assert_string_equal(pool->why, "the database did not answer in time");
	proxy_set(proxy, PROXY_PASS);
	comes_back();
}

static void an_old_schema_is_not_ready_until_it_is_migrated(void **state)
{
	static const struct pg_statement *const future[] = {&future_get};
	static const struct pg_schema newer = {
		.statements = future, .statement_count = 1, .migration_newest = "00003"};
	struct str why;

	(void)state;
	start_pg(&newer);
	turn_until(world.pg->pools[PG_READ].why[0] != '\0');
	assert_false(pg_ready(world.pg, &why));
	assert_str_equal(why, STR("migration 00003 is missing: the database has no readable"
				  " goose_db_version"));
	observe("CREATE TABLE goose_db_version (id serial, version_id bigint, is_applied boolean);"
		"INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, true)");
	turn_until(strstr(world.pg->pools[PG_READ].why, "is at") != NULL);
	assert_false(pg_ready(world.pg, &why));
	assert_str_equal(why, STR("migration 00003 is missing: the database is at 00002"));
	observe("INSERT INTO goose_db_version (version_id, is_applied) VALUES (4, true)");
	turn_until(strstr(world.pg->pools[PG_READ].why, "future") != NULL);
	assert_false(pg_ready(world.pg, &why));
	assert_str_equal(
		why, STR("future_get cannot be prepared: relation \"future\" does not exist"));
	observe("CREATE TABLE future (name text)");
	turn_until(pg_ready(world.pg, NULL));
	pg_free(world.pg);
	observe("DROP TABLE future, goose_db_version");
}

static void the_url_is_read_from_its_file_at_each_connect(void **state)
{
	static const char wrong[] = "not a URL";
	char path[] = "/tmp/bodega-pg-test-XXXXXX";
	const int fd = mkstemp(path);
	struct pg_config config = {.url_file = path, .write_connections = 1, .queue_max = 4};
	struct str why;

	(void)state;
	assert_true(fd >= 0 && write(fd, wrong, sizeof wrong - 1) == sizeof wrong - 1);
	world.pg = world_pg(config, &schema);
	turn_until(world.pg->pools[PG_WRITE].why[0] != '\0');
	assert_false(pg_ready(world.pg, &why));
	assert_str_equal(why, STR("the database's URL is not one"));
	assert_true(pwrite(fd, proxied, strlen(proxied), 0) == (ssize_t)strlen(proxied));
	turn_until(pg_ready(world.pg, NULL));
	unlink(path);
	proxy_cut(proxy);
	turn_until(!pg_ready(world.pg, &why) &&
		   str_eq(why, STR("the file with the database's URL cannot be read")));
	close(fd);
	pg_free(world.pg);
}

static void pools_can_be_freed_in_any_state(void **state)
{
	(void)state;
	for (int turns = 0;; turns++) {
		bool was_ready;

		start_pg(&schema);
		for (int i = 0; i < turns; i++)
			loop_turn(world.loop, 10);
		was_ready = pg_ready(world.pg, NULL);
		pg_free(world.pg);
		if (was_ready)
			return;
	}
}

static int begin(void **state)
{
	PQconninfoOption *options;
	const char *user = "", *database = "";

	(void)state;
	if (world_begin("lost_test") != 0)
		return -1;
	observe("CREATE TABLE kept (name text)");
	proxy = proxy_new(getenv("TEST_DATABASE_URL"));
	options = PQconninfoParse(getenv("TEST_DATABASE_URL"), NULL);
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (strcmp(o->keyword, "user") == 0 && o->val != NULL)
			user = o->val;
		if (strcmp(o->keyword, "dbname") == 0 && o->val != NULL)
			database = o->val;
	}
	snprintf(proxied, sizeof proxied,
		"postgresql://%s@localhost:%d/%s?options=-csearch_path%%3Dlost_test", user,
		proxy_port(proxy), database);
	PQconninfoFree(options);
	return 0;
}

static int end(void **state)
{
	(void)state;
	proxy_free(proxy);
	world_end();
	return 0;
}

#define with_pools(test) cmocka_unit_test_setup_teardown(test, begin_test, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_pools(a_read_that_is_cut_is_unavailable),
		with_pools(a_read_whose_backend_is_killed_is_unavailable),
		with_pools(idle_connections_come_back),
		with_pools(a_write_that_is_cut_is_unknown),
		with_pools(a_commit_that_is_cut_is_unknown),
		with_pools(a_transaction_that_is_cut_before_its_commit_is_unavailable),
		with_pools(while_it_is_away_calls_fail_at_once),
		with_pools(a_mute_server_is_left),
		with_pools(connecting_has_its_own_time_limit),
		cmocka_unit_test(an_old_schema_is_not_ready_until_it_is_migrated),
		cmocka_unit_test(the_url_is_read_from_its_file_at_each_connect),
		cmocka_unit_test(pools_can_be_freed_in_any_state),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
