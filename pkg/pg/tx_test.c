/* SPDX-License-Identifier: Apache-2.0
 * Transactions on a real server: what is committed, what is rolled back, and that after any fault
 * at any wait no transaction stays open and the pool is whole. */
#include "pg/testing.h"

#define STATEMENT(name_, class_, sql_)             \
	static const struct pg_statement name_ = { \
		.name = #name_,                    \
		.class = class_,                   \
		.sql = sql_,                       \
	}

STATEMENT(item_add, PG_WRITE, "INSERT INTO items (name) VALUES ($1::text) RETURNING id");
STATEMENT(item_rename, PG_WRITE, "UPDATE items SET name = $2::text WHERE id = $1::bigint");
STATEMENT(items_count, PG_READ, "SELECT count(*) FROM items");
STATEMENT(level_get, PG_READ, "SELECT current_setting('transaction_isolation')");
STATEMENT(deadly_add, PG_WRITE, "INSERT INTO deadly (id) VALUES (1)");
STATEMENT(late_add, PG_WRITE, "INSERT INTO late (id) VALUES ($1::bigint)");
STATEMENT(flaky, PG_WRITE, "SELECT flaky($1::bigint)");
STATEMENT(backend_end, PG_WRITE, "SELECT pg_terminate_backend(pg_backend_pid())");
STATEMENT(turn_read_only, PG_WRITE, "SELECT set_config('transaction_read_only', 'on', true)");
STATEMENT(wait_locked, PG_WRITE, "SELECT pg_advisory_xact_lock_shared(8)");

static const struct pg_statement *const statements[] = {
	&item_add,
	&item_rename,
	&items_count,
	&level_get,
	&deadly_add,
	&late_add,
	&flaky,
	&backend_end,
	&turn_read_only,
	&wait_locked,
};

static const struct pg_constraint constraints[] = {
	{"items_name_key", FAULT_CONFLICT, NULL, "the name is taken"},
	{"late_check", FAULT_INVALID_TRANSITION, NULL, "it came too late"},
};

static const struct pg_schema schema = {
	.statements = statements,
	.statement_count = sizeof statements / sizeof statements[0],
	.constraints = constraints,
	.constraint_count = sizeof constraints / sizeof constraints[0],
};

static const char tables[] =
	"CREATE TABLE items (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
	"	name text CONSTRAINT items_name_key UNIQUE);"
	/* the backend ends itself in the middle of COMMIT */
	"CREATE TABLE deadly (id bigint);"
	"CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$"
	"	BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10);"
	"	RETURN NULL; END $$;"
	"CREATE CONSTRAINT TRIGGER die AFTER INSERT ON deadly DEFERRABLE INITIALLY DEFERRED"
	"	FOR EACH ROW EXECUTE FUNCTION die();"
	/* what only the commit finds */
	"CREATE TABLE late (id bigint);"
	"CREATE FUNCTION find_late() RETURNS trigger LANGUAGE plpgsql AS $$"
	"	BEGIN IF NEW.id < 0 THEN RAISE EXCEPTION 'late' USING ERRCODE = '23514',"
	"		CONSTRAINT = 'late_check'; END IF;"
	"	IF nextval('tries') <= NEW.id THEN"
	"		RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF;"
	"	RETURN NULL; END $$;"
	"CREATE CONSTRAINT TRIGGER find_late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED"
	"	FOR EACH ROW EXECUTE FUNCTION find_late();"
	"CREATE SEQUENCE tries;"
	"CREATE FUNCTION flaky(times bigint) RETURNS void LANGUAGE plpgsql AS $$"
	"	BEGIN IF nextval('tries') <= times THEN"
	"		RAISE EXCEPTION 'again' USING ERRCODE = '40P01'; END IF; END $$";

enum { CONNECTIONS = 2 };

/* ---- works ---- */

static enum fault add_in(struct task *t, struct pg_tx *tx, const char *name, int64_t *id)
{
	struct pg_rows rows;
	struct pg_row row;

	TRY(pg_tx_query(t, tx, &item_add, PG_VALUES(pg_text(str_from(name))), &rows));
	row = pg_row(&rows, 0);
	*id = pg_take_int64(&row);
	return OK;
}

/* The usual shape: several statements, then commit; any line may return. */
static enum fault add_and_rename(struct task *t, struct job *job)
{
	struct pg_tx *tx;
	struct pg_rows rows;
	char name[300];

	snprintf(name, sizeof name, "%s renamed", job->text);
	TRY(pg_begin(t, &tx));
	TRY(add_in(t, tx, job->text, &job->number));
	TRY(pg_tx_query(t, tx, &item_rename,
		PG_VALUES(pg_int64(job->number), pg_text(str_from(name))), &rows));
	if (rows.affected != 1)
		return FAULT_INTERNAL;
	return pg_commit(t, &tx);
}

static enum fault add_and_forget(struct task *t, struct job *job)
{
	struct pg_tx *tx;

	TRY(pg_begin(t, &tx));
	return add_in(t, tx, job->text, &job->number);
}

static enum fault add_and_roll_back(struct task *t, struct job *job)
{
	struct pg_tx *tx;

	TRY(pg_begin(t, &tx));
	TRY(add_in(t, tx, job->text, &job->number));
	pg_rollback(&tx);
	return tx == NULL ? OK : FAULT_INTERNAL;
}

static int64_t begun;

static enum fault add_in_turn(struct task *t, struct job *job)
{
	struct pg_tx *tx;
	int64_t id;

	TRY(pg_begin(t, &tx));
	job->number = begun++;
	TRY(add_in(t, tx, job->text, &id));
	return pg_commit(t, &tx);
}

static enum fault do_nothing(struct task *t, struct job *job)
{
	struct pg_tx *tx;

	(void)job;
	TRY(pg_begin(t, &tx));
	return pg_commit(t, &tx);
}

static enum fault read_level(struct task *t, struct job *job)
{
	struct pg_tx *tx;
	struct pg_rows rows;
	struct pg_row row;
	struct str level;

	TRY(pg_begin(t, &tx));
	TRY(pg_tx_query(t, tx, &level_get, PG_NO_VALUES, &rows));
	row = pg_row(&rows, 0);
	level = pg_take_text(&row);
	snprintf(job->text, sizeof job->text, "%.*s", STR_ARG(level));
	return pg_commit(t, &tx);
}

/* Goes on after a fault, as it should not. */
static enum fault ignore_a_fault(struct task *t, struct job *job)
{
	struct pg_tx *tx;
	int64_t id;

	TRY(pg_begin(t, &tx));
	TRY(add_in(t, tx, "ignored", &id));
	if (add_in(t, tx, "ignored", &id) != FAULT_CONFLICT)
		return FAULT_INTERNAL;
	if (add_in(t, tx, "ignored too", &id) != FAULT_CONFLICT)
		return FAULT_INTERNAL;
	(void)job;
	return pg_commit(t, &tx);
}

/* As if a statement's failure had gone unnoticed: the server answers the COMMIT with ROLLBACK. */
static enum fault commit_what_failed(struct task *t, struct job *job)
{
	struct pg_conn *c;
	struct pg_tx *tx;
	int64_t id;

	TRY(pg_begin(t, &tx));
	TRY(add_in(t, tx, job->text, &id));
	c = CONTAINER_OF(world.pg->pools[PG_WRITE].conns[CONN_TAKEN].next, struct pg_conn, link);
	pg_conn_send_own(c, pg_op_alone(pg_op_plain("SELECT 1 / 0")));
	return pg_commit(t, &tx);
}

static enum fault commit_deadly(struct task *t, struct job *job)
{
	struct pg_tx *tx;

	(void)job;
	TRY(pg_begin(t, &tx));
	TRY(pg_tx_query(t, tx, &deadly_add, PG_NO_VALUES, NULL));
	return pg_commit(t, &tx);
}

static enum fault write_deadly(struct task *t, struct job *job)
{
	(void)job;
	return pg_query(t, &deadly_add, PG_NO_VALUES, NULL);
}

static enum fault write_to_replica(struct task *t, struct job *job)
{
	struct pg_tx *tx;

	TRY(pg_begin(t, &tx));
	TRY(pg_tx_query(t, tx, &turn_read_only, PG_NO_VALUES, NULL));
	return add_in(t, tx, "replica", &job->number);
}

static enum fault lose_midway(struct task *t, struct job *job)
{
	struct pg_tx *tx;
	enum fault fault;

	TRY(pg_begin(t, &tx));
	TRY(add_in(t, tx, "lost", &job->number));
	fault = pg_tx_query(t, tx, &backend_end, PG_NO_VALUES, NULL);
	job->number = fault;
	return pg_commit(t, &tx);
}

static enum fault wait_in_transaction(struct task *t, struct job *job)
{
	struct pg_tx *tx;

	TRY(pg_begin(t, &tx));
	TRY(add_in(t, tx, job->text, &job->number));
	TRY(pg_tx_query(t, tx, &wait_locked, PG_NO_VALUES, NULL));
	return pg_commit(t, &tx);
}

static enum fault flaky_work(struct task *t, struct pg_tx *tx, void *arg)
{
	struct job *job = arg;
	int64_t id;

	TRY(add_in(t, tx, job->text, &id));
	return pg_tx_query(t, tx, &flaky, PG_VALUES(pg_int64(job->number)), NULL);
}

static enum fault transact_flaky(struct task *t, struct job *job)
{
	return pg_transact(t, flaky_work, job);
}

static enum fault late_work(struct task *t, struct pg_tx *tx, void *arg)
{
	struct job *job = arg;

	return pg_tx_query(t, tx, &late_add, PG_VALUES(pg_int64(job->number)), NULL);
}

static enum fault transact_late(struct task *t, struct job *job)
{
	return pg_transact(t, late_work, job);
}

/* ---- tests ---- */

static long long items(const char *name)
{
	char sql[400];

	snprintf(sql, sizeof sql, "SELECT count(*) FROM items WHERE name LIKE '%s%%'", name);
	return observe_number(sql);
}

static void what_is_committed_stays(void **state)
{
	struct job job = {.work = add_and_rename, .text = "kept"};

	(void)state;
	job_finish(&job);
	assert_int_equal(job.fault, OK);
	assert_int_equal(items("kept renamed"), 1);
	assert_whole();
}

/* BEGIN travels with the first statement: three answers are waited for, not four. */
static void begin_costs_no_round_trip(void **state)
{
	struct job job = {.work = add_and_rename, .text = "counted"};
	const uint64_t before = counter_value(world.pg->batches);

	(void)state;
	job_finish(&job);
	assert_int_equal(job.fault, OK);
	assert_int_equal(job.waits, 3);
	assert_int_equal(counter_value(world.pg->batches) - before, 3);
}

static void what_is_not_committed_goes(void **state)
{
	static enum fault (*const works[])(struct task *, struct job *) = {
		add_and_forget, add_and_roll_back};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct job job = {.work = works[i], .text = "forgotten"};

		job_finish(&job);
		assert_int_equal(job.fault, OK);
		assert_whole();
		assert_int_equal(items("forgotten"), 0);
	}
}

static void a_transaction_without_statements_sends_nothing(void **state)
{
	struct job job = {.work = do_nothing};
	const uint64_t before = counter_value(world.pg->batches);

	(void)state;
	job_finish(&job);
	assert_int_equal(job.fault, OK);
	assert_int_equal(counter_value(world.pg->batches), before);
	assert_whole();
}

static void use(const char *url)
{
	struct pg_config config = {
		.url = str_from(url), .write_connections = CONNECTIONS, .queue_max = 100};

	world.pg = world_pg(config, &schema);
	turn_until(is_whole());
}

static void transactions_are_read_committed(void **state)
{
	struct job job = {.work = read_level};
	char url[1100];

	(void)state;
	pg_free(world.pg);
	snprintf(url, sizeof url, "%s%%20-cdefault_transaction_isolation%%3Dserializable",
		world.url);
	use(url);
	job_finish(&job);
	pg_free(world.pg);
	use(world.url);
	assert_int_equal(job.fault, OK);
	assert_string_equal(job.text, "read committed");
}

/* After a fail-over: the next connection may come to the new primary. */
static void a_server_that_turned_read_only_is_left(void **state)
{
	struct job job = {.work = write_to_replica};
	struct counter *reconnects = world.pg->pools[PG_WRITE].reconnects;
	const uint64_t before = counter_value(reconnects);

	(void)state;
	job_finish(&job);
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	assert_int_equal(counter_value(reconnects) - before, 1);
	assert_whole();
}

static void the_first_fault_dooms_it(void **state)
{
	struct job job = {.work = ignore_a_fault};

	(void)state;
	job_finish(&job);
	assert_int_equal(job.fault, FAULT_CONFLICT);
	assert_string_equal(job.detail, "the name is taken");
	assert_whole();
	assert_int_equal(items("ignored"), 0);
}

static void a_commit_that_rolls_back_is_none(void **state)
{
	struct job job = {.work = commit_what_failed, .text = "unnoticed"};

	(void)state;
	job_finish(&job);
	assert_int_equal(job.fault, FAULT_INTERNAL);
	assert_int_equal(items("unnoticed"), 0);
	assert_whole();
}

static void a_commit_whose_answer_is_lost_is_unknown(void **state)
{
	static enum fault (*const works[])(struct task *, struct job *) = {
		commit_deadly, write_deadly};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct job job = {.work = works[i]};

		job_finish(&job);
		if (job.fault != FAULT_UNKNOWN)
			fail_row(i, "fault %d: %s", job.fault, job.detail);
		assert_whole();
	}
}

static void a_transaction_that_is_lost_is_unavailable(void **state)
{
	struct job job = {.work = lose_midway};

	(void)state;
	job_finish(&job);
	assert_int_equal(job.number, FAULT_UNAVAILABLE);
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	assert_whole();
	assert_int_equal(items("lost"), 0);
}

static void a_commit_can_be_refused(void **state)
{
	struct job job = {.work = transact_late, .number = -1};

	(void)state;
	job_finish(&job);
	assert_int_equal(job.fault, FAULT_INVALID_TRANSITION);
	assert_string_equal(job.detail, "it came too late");
	assert_whole();
	assert_int_equal(observe_number("SELECT count(*) FROM late"), 0);
}

static void a_transaction_is_run_again(void **state)
{
	static const struct {
		enum fault (*work)(struct task *t, struct job *job);
		int64_t failures;
		enum fault fault;
		long long tries;
	} cases[] = {
		{transact_flaky, 0, OK, 1},
		{transact_flaky, 3, OK, 4},
		{transact_flaky, 9, FAULT_UNAVAILABLE, 4},
		{transact_late, 2, OK, 3},
		{transact_late, 9, FAULT_UNAVAILABLE, 4},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct job job = {.work = cases[i].work, .number = cases[i].failures};
		long long tries;

		snprintf(job.text, sizeof job.text, "again %zu", i);
		observe("ALTER SEQUENCE tries RESTART");
		job_finish(&job);
		tries = observe_number("SELECT last_value FROM tries");
		if (job.fault != cases[i].fault || tries != cases[i].tries)
			fail_row(i, "fault %d after %lld tries", job.fault, tries);
		if (cases[i].work == transact_flaky)
			assert_int_equal(items(job.text), job.fault == OK);
	}
	assert_whole();
}

#ifdef BODEGA_FAULTS

/* One run in which the nth wait fails; `others` take all connections first. True: there was such a
 * wait. */
static bool fault_at(unsigned nth, enum fault fault, size_t others)
{
	const unsigned commit = others > 0 ? 4 : 3; /* behind the wait for a connection, if any */
	struct job job = {.work = add_and_rename, .inject_at = nth, .inject_fault = fault};
	struct job next[CONNECTIONS];

	snprintf(job.text, sizeof job.text, "nth %u %d %zu", nth, fault, others);
	for (size_t i = 0; i < others; i++) {
		next[i] = (struct job){.work = add_and_rename};
		snprintf(next[i].text, sizeof next[i].text, "next %zu %.200s", i, job.text);
		job_start(&next[i]);
	}
	job_start(&job);
	jobs_finish(next, others);
	jobs_finish(&job, 1);
	assert_whole();
	for (size_t i = 0; i < others; i++) {
		assert_int_equal(next[i].fault, OK);
		assert_int_equal(items(next[i].text), 1);
	}
	if (job.waits < nth) {
		assert_int_equal(job.waits, commit);
		assert_int_equal(job.fault, OK);
		return false;
	}
	/* a commit goes on without us */
	assert_int_equal(job.fault, nth == commit ? FAULT_UNKNOWN : fault);
	assert_int_equal(items(job.text), nth == commit);
	return true;
}

/* Every wait of a transaction fails once, in every way; others are not disturbed. */
static void after_a_fault_at_any_wait_nothing_is_open(void **state)
{
	static const enum fault faults[] = {FAULT_CANCELED, FAULT_DEADLINE, FAULT_UNAVAILABLE};

	(void)state;
	for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++)
		for (size_t others = 0; others <= CONNECTIONS; others += CONNECTIONS)
			for (unsigned nth = 1; fault_at(nth, faults[f], others);)
				nth++;
}

#endif

static void the_client_leaves_a_transaction(void **state)
{
	struct job jobs[CONNECTIONS + 2];
	const size_t count = sizeof jobs / sizeof jobs[0];

	(void)state;
	observe("SELECT pg_advisory_lock(8)");
	for (size_t i = 0; i < count; i++) {
		jobs[i] = (struct job){.work = wait_in_transaction};
		snprintf(jobs[i].text, sizeof jobs[i].text, "leaving %zu", i);
		job_start(&jobs[i]);
	}
	turn_until(waiting_for_lock() == CONNECTIONS);
	assert_int_equal(world.pg->pools[PG_WRITE].queued, 2);
	task_cancel(jobs[0].task, FAULT_CANCELED); /* runs a statement */
	task_cancel(jobs[2].task, FAULT_CANCELED); /* waits for a connection */
	jobs_finish(&jobs[0], 1);
	jobs_finish(&jobs[2], 1);
	assert_int_equal(jobs[0].fault, FAULT_CANCELED);
	assert_int_equal(jobs[2].fault, FAULT_CANCELED);
	assert_int_equal(world.pg->pools[PG_WRITE].counts[CONN_CLEANING], 1);
	observe("SELECT pg_advisory_unlock(8)");
	jobs_finish(jobs, count);
	assert_int_equal(jobs[1].fault, OK);
	assert_int_equal(jobs[3].fault, OK);
	assert_whole();
	assert_int_equal(items("leaving 0"), 0);
	assert_int_equal(items("leaving 1"), 1);
	assert_int_equal(items("leaving 2"), 0);
	assert_int_equal(items("leaving 3"), 1);
}

static void transactions_wait_their_turn(void **state)
{
	static struct job jobs[20];

	(void)state;
	begun = 0;
	for (size_t i = 0; i < 20; i++) {
		jobs[i] = (struct job){.work = add_in_turn};
		snprintf(jobs[i].text, sizeof jobs[i].text, "turn %zu", i);
		job_start(&jobs[i]);
	}
	jobs_finish(jobs, 20);
	for (size_t i = 0; i < 20; i++) {
		assert_int_equal(jobs[i].fault, OK);
		assert_int_equal(jobs[i].number, i);
	}
	assert_whole();
}

static int begin(void **state)
{
	(void)state;
	if (world_begin("tx_test") != 0)
		return -1;
	observe(tables);
	use(world.url);
	return 0;
}

static int end(void **state)
{
	(void)state;
	pg_free(world.pg);
	world_end();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_committed_stays),
		cmocka_unit_test(begin_costs_no_round_trip),
		cmocka_unit_test(what_is_not_committed_goes),
		cmocka_unit_test(a_transaction_without_statements_sends_nothing),
		cmocka_unit_test(transactions_are_read_committed),
		cmocka_unit_test(a_server_that_turned_read_only_is_left),
		cmocka_unit_test(the_first_fault_dooms_it),
		cmocka_unit_test(a_commit_that_rolls_back_is_none),
		cmocka_unit_test(a_commit_whose_answer_is_lost_is_unknown),
		cmocka_unit_test(a_transaction_that_is_lost_is_unavailable),
		cmocka_unit_test(a_commit_can_be_refused),
		cmocka_unit_test(a_transaction_is_run_again),
#ifdef BODEGA_FAULTS
		cmocka_unit_test(after_a_fault_at_any_wait_nothing_is_open),
#endif
		cmocka_unit_test(the_client_leaves_a_transaction),
		cmocka_unit_test(transactions_wait_their_turn),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
