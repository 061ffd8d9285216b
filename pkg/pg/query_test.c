/* SPDX-License-Identifier: Apache-2.0
 * Statements outside a transaction, on a real server: batches, faults, queues, deadlines, reruns.
 */
#include "pg/testing.h"

#define STATEMENT(name_, class_, sql_)             \
	static const struct pg_statement name_ = { \
		.name = #name_,                    \
		.class = class_,                   \
		.sql = sql_,                       \
	}

STATEMENT(double_it, PG_READ, "SELECT $1::bigint * 2");
STATEMENT(divide_by, PG_READ, "SELECT 84 / $1::bigint");
STATEMENT(word_get, PG_READ, "SELECT word FROM words WHERE id = $1::bigint");
STATEMENT(read_that_writes, PG_READ, "INSERT INTO words (word) VALUES ('no') RETURNING id");
STATEMENT(read_behind, PG_READ, "SELECT pg_advisory_xact_lock_shared($1::bigint)");
STATEMENT(search, PG_SLOW, "SELECT count(*) FROM words WHERE word LIKE $1::text || '%'");
STATEMENT(runs_by_name, PG_SLOW,
	"SELECT coalesce(sum(generic_plans + custom_plans), 0)::bigint FROM pg_prepared_statements"
	" WHERE name = $1::text");
static const struct pg_statement search_planned = {
	.name = "search_planned",
	.class = PG_SLOW,
	.sql = "SELECT count(*) FROM words WHERE word LIKE $1::text || '%'",
	.plan_each_time = true,
};
#define ADD_TRACE                                                  \
	"INSERT INTO words (word) SELECT concat($1::text, ' of '," \
	" current_setting('bodega.traceparent', true)) RETURNING word"
STATEMENT(word_add_told, PG_WRITE, ADD_TRACE);
STATEMENT(word_add_untold, PG_WRITE, ADD_TRACE);
STATEMENT(forget_all, PG_SLOW, "DEALLOCATE ALL");
STATEMENT(word_add, PG_WRITE, "INSERT INTO words (word) VALUES ($1::text) RETURNING id");
STATEMENT(word_add_behind, PG_WRITE,
	"WITH waited AS (SELECT pg_advisory_xact_lock_shared($1::bigint))"
	" INSERT INTO words (word) SELECT $2::text FROM waited");
STATEMENT(pair_add, PG_WRITE, "INSERT INTO pairs (word_id) VALUES ($1::bigint)");
STATEMENT(big_echo, PG_READ, "SELECT $1::text, md5($1::text)");
STATEMENT(lock_now, PG_WRITE, "SELECT id FROM words WHERE id = $1::bigint FOR UPDATE NOWAIT");
STATEMENT(flaky_add, PG_WRITE,
	"INSERT INTO words (word) SELECT $2::text WHERE flaky($1::bigint, $3::text)");

static const struct pg_statement *const statements[] = {
	&double_it,
	&divide_by,
	&word_get,
	&read_that_writes,
	&read_behind,
	&search,
	&search_planned,
	&runs_by_name,
	&forget_all,
	&word_add,
	&word_add_told,
	&word_add_untold,
	&word_add_behind,
	&pair_add,
	&big_echo,
	&lock_now,
	&flaky_add,
};

static const struct pg_statement *const telling[] = {&word_add_told};

static const struct pg_constraint constraints[] = {
	{"words_word_key", FAULT_CONFLICT, NULL, "the word is taken"},
	{"words_word_check", FAULT_INVALID, "word", "a word is not empty"},
	{"pairs_word_fk", FAULT_NOT_FOUND, NULL, "there is no such word"},
};

static const struct pg_schema schema = {
	.statements = statements,
	.statement_count = sizeof statements / sizeof statements[0],
	.telling = telling,
	.telling_count = 1,
	.constraints = constraints,
	.constraint_count = sizeof constraints / sizeof constraints[0],
	.migration_newest = "00002",
};

static const char tables[] =
	"CREATE TABLE goose_db_version (id serial, version_id bigint, is_applied boolean);"
	"INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (2, true);"
	"CREATE TABLE words (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
	"	word text NOT NULL CONSTRAINT words_word_key UNIQUE"
	"	CONSTRAINT words_word_check CHECK (word <> '')"
	"	CONSTRAINT words_secret CHECK (word <> 'unlisted'));"
	"CREATE TABLE pairs (word_id bigint CONSTRAINT pairs_word_fk REFERENCES words (id)"
	"	DEFERRABLE INITIALLY DEFERRED);"
	"CREATE SEQUENCE tries;"
	/* fails as often as it is told; a sequence does not roll back */
	"CREATE FUNCTION flaky(times bigint, code text) RETURNS boolean LANGUAGE plpgsql AS $$"
	"	BEGIN IF nextval('tries') <= times THEN"
	"		RAISE EXCEPTION 'try again' USING ERRCODE = code; END IF;"
	"	RETURN true; END $$";

/* ---- works ---- */

static enum fault double_number(struct task *t, struct job *job)
{
	struct pg_row row;

	TRY(pg_query_row(t, &double_it, PG_VALUES(pg_int64(job->number)), &row));
	job->number = pg_take_int64(&row);
	return OK;
}

/* Its second read, which fails, comes in the turn in which the first was answered. */
static enum fault double_and_fail(struct task *t, struct job *job)
{
	TRY(double_number(t, job));
	return pg_query(t, &divide_by, PG_VALUES(pg_int64(0)), NULL);
}

static enum fault divide(struct task *t, struct job *job)
{
	struct pg_row row;

	TRY(pg_query_row(t, &divide_by, PG_VALUES(pg_int64(job->number)), &row));
	job->number = pg_take_int64(&row);
	return OK;
}

static enum fault get_word(struct task *t, struct job *job)
{
	struct pg_row row;
	struct str word;

	TRY(pg_query_row(t, &word_get, PG_VALUES(pg_int64(job->number)), &row));
	word = pg_take_text(&row);
	snprintf(job->text, sizeof job->text, "%.*s", STR_ARG(word));
	return OK;
}

/* number 0: with a statement that tells, 1: with another, 2: both in a transaction */
static enum fault add_word_traced(struct task *t, struct job *job)
{
	struct pg_tx *tx = NULL;
	struct pg_rows rows;
	struct pg_row row;
	struct str word;

	t->traceparent = STR("00-1-2-01");
	if (job->number < 2) {
		TRY(pg_query(t, job->number == 0 ? &word_add_told : &word_add_untold,
			PG_VALUES(pg_text(str_from(job->text))), &rows));
	} else {
		TRY(pg_begin(t, &tx));
		TRY(pg_tx_query(t, tx, &word_add, PG_VALUES(pg_text(STR("before"))), NULL));
		TRY(pg_tx_query(
			t, tx, &word_add_told, PG_VALUES(pg_text(str_from(job->text))), &rows));
		TRY(pg_commit(t, &tx));
	}
	row = pg_row(&rows, 0);
	word = pg_take_text(&row);
	snprintf(job->text, sizeof job->text, "%.*s", STR_ARG(word));
	return OK;
}

static enum fault add_word(struct task *t, struct job *job)
{
	struct pg_row row;

	TRY(pg_query_row(t, &word_add, PG_VALUES(pg_text(str_from(job->text))), &row));
	job->number = pg_take_int64(&row);
	return OK;
}

static enum fault write_by_read(struct task *t, struct job *job)
{
	(void)job;
	return pg_query(t, &read_that_writes, PG_NO_VALUES, NULL);
}

static enum fault search_both_ways(struct task *t, struct job *job)
{
	struct pg_row row;

	TRY(pg_query_row(t, &search, PG_VALUES(pg_text(STR("wo"))), &row));
	job->number = pg_take_int64(&row);
	TRY(pg_query_row(t, &search_planned, PG_VALUES(pg_text(STR("wo"))), &row));
	job->number -= pg_take_int64(&row);
	return OK;
}

static enum fault count_runs(struct task *t, struct job *job)
{
	struct pg_row row;

	TRY(pg_query_row(t, &runs_by_name, PG_VALUES(pg_text(str_from(job->text))), &row));
	job->number = pg_take_int64(&row);
	return OK;
}

static enum fault search_word(struct task *t, struct job *job)
{
	struct pg_row row;

	TRY(pg_query_row(t, &search, PG_VALUES(pg_text(str_from(job->text))), &row));
	job->number = pg_take_int64(&row);
	return OK;
}

static enum fault forget(struct task *t, struct job *job)
{
	(void)job;
	return pg_query(t, &forget_all, PG_NO_VALUES, NULL);
}

static enum fault wait_reading(struct task *t, struct job *job)
{
	return pg_query(t, &read_behind, PG_VALUES(pg_int64(job->number)), NULL);
}

static enum fault wait_writing(struct task *t, struct job *job)
{
	struct pg_rows rows;

	TRY(pg_query(t, &word_add_behind,
		PG_VALUES(pg_int64(job->number), pg_text(str_from(job->text))), &rows));
	job->number = (int64_t)rows.affected;
	return OK;
}

static enum fault add_pair(struct task *t, struct job *job)
{
	return pg_query(t, &pair_add, PG_VALUES(pg_int64(job->number)), NULL);
}

static enum fault lock_word(struct task *t, struct job *job)
{
	return pg_query(t, &lock_now, PG_VALUES(pg_int64(job->number)), NULL);
}

enum { BIG_BYTES = 4 << 20 };

static enum fault echo_big(struct task *t, struct job *job)
{
	char *bytes = arena_bytes(t->scope.arena, BIG_BYTES);
	struct pg_row row;
	struct str back;

	memset(bytes, 'a' + (int)job->number, BIG_BYTES);
	TRY(pg_query_row(t, &big_echo, PG_VALUES(pg_text(str_of(bytes, BIG_BYTES))), &row));
	back = pg_take_text(&row);
	job->number = str_eq(back, str_of(bytes, BIG_BYTES)) ? 1 : -1;
	return OK;
}

static char flaky_code[6];

static enum fault add_flaky(struct task *t, struct job *job)
{
	return pg_query(t, &flaky_add,
		PG_VALUES(pg_int64(job->number), pg_text(str_from(job->text)),
			pg_text(str_from(flaky_code))),
		NULL);
}

/* ---- tests ---- */

static void values_go_and_rows_come(void **state)
{
	struct job add = {.work = add_word, .text = "first"};
	struct job get = {.work = get_word};
	struct job count = {.work = search_word, .text = "fir"};

	(void)state;
	job_finish(&add);
	assert_int_equal(add.fault, OK);
	get.number = add.number;
	job_finish(&get);
	assert_int_equal(get.fault, OK);
	assert_string_equal(get.text, "first");
	job_finish(&count);
	assert_int_equal(count.fault, OK);
	assert_int_equal(count.number, 1);
	get.number = -1;
	job_finish(&get);
	assert_int_equal(get.fault, FAULT_NOT_FOUND);
}

static void reads_of_a_turn_share_a_sync(void **state)
{
	static struct job jobs[20];
	const uint64_t before = counter_value(world.pg->batches);

	(void)state;
	for (size_t i = 0; i < 20; i++) {
		jobs[i] = (struct job){.work = double_number, .number = (int64_t)i};
		job_start(&jobs[i]);
	}
	jobs_finish(jobs, 20);
	for (size_t i = 0; i < 20; i++)
		if (jobs[i].fault != OK || jobs[i].number != 2 * (int64_t)i)
			fail_row(i, "fault %d, number %lld", jobs[i].fault,
				(long long)jobs[i].number);
	assert_int_equal(counter_value(world.pg->batches) - before, 1);
}

static void a_failing_neighbour_fails_alone(void **state)
{
	struct job jobs[5] = {{0}};
	const uint64_t before = counter_value(world.pg->batches);

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		jobs[i] = (struct job){.work = divide, .number = (int64_t)i == 2 ? 0 : 2};
		job_start(&jobs[i]);
	}
	jobs_finish(jobs, 5);
	for (size_t i = 0; i < 5; i++)
		if (jobs[i].fault != (i == 2 ? FAULT_INTERNAL : OK))
			fail_row(i, "fault %d", jobs[i].fault);
	assert_int_equal(jobs[4].number, 42);
	/* one for all, and one each for the two that came behind the failing one */
	assert_int_equal(counter_value(world.pg->batches) - before, 3);
	assert_whole();
}

/* What is sent again has a Sync of its own even behind others of its turn. */
static void nobody_is_aborted_twice(void **state)
{
	struct job jobs[3] = {{.work = double_and_fail, .number = 1}, {.work = divide, .number = 0},
		{.work = divide, .number = 2}};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		job_start(&jobs[i]);
	jobs_finish(jobs, 3);
	assert_int_equal(jobs[0].fault, FAULT_INTERNAL);
	assert_int_equal(jobs[1].fault, FAULT_INTERNAL);
	assert_int_equal(jobs[2].fault, OK);
	assert_int_equal(jobs[2].number, 42);
	assert_whole();
}

static void assert_exported(const char *line)
{
	struct scope s;
	struct buf out;
	struct str text;

	scope_begin(&s);
	out = buf_new(s.arena);
	metrics_write(&out);
	text = buf_str(&out);
	if (memmem(text.at, text.len, line, strlen(line)) == NULL)
		print_error("not exported: %s\n", line);
	assert_non_null(memmem(text.at, text.len, line, strlen(line)));
	scope_end(&s);
}

static void metrics_tell_of_the_pools(void **state)
{
	struct job job = {.work = double_number};

	(void)state;
	job_finish(&job);
	assert_whole();
	assert_exported("bodega_pg_connections{pool=\"write\",state=\"idle\"} 1\n");
	assert_exported("bodega_pg_connections{pool=\"write\",state=\"preparing\"} 0\n");
	assert_exported("bodega_pg_waiting{pool=\"read\"} 0\n");
	assert_exported("bodega_pg_query_seconds_count{statement=\"double_it\"} ");
	assert_exported("bodega_pg_wait_seconds_count{pool=\"write\"} ");
	assert_exported("bodega_pg_overloaded_total{pool=\"write\"} ");
	assert_exported("bodega_pg_reconnects_total{pool=\"write\"} 0\n");
}

/* More than the socket takes at once, both ways, several behind each other. */
static void big_values_go_in_pieces(void **state)
{
	struct job jobs[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		jobs[i] = (struct job){.work = echo_big, .number = (int64_t)i};
		job_start(&jobs[i]);
	}
	jobs_finish(jobs, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(jobs[i].fault, OK);
		assert_int_equal(jobs[i].number, 1);
	}
}

static void a_read_cannot_write(void **state)
{
	struct job job = {.work = write_by_read};

	(void)state;
	job_finish(&job);
	assert_int_equal(job.fault, FAULT_INTERNAL);
	assert_int_equal(observe_number("SELECT count(*) FROM words WHERE word = 'no'"), 0);
	assert_whole();
}

static void constraints_have_meanings(void **state)
{
	static const struct {
		const char *word;
		const char *detail;
		enum fault fault;
		unsigned errors;
	} cases[] = {
		{"twice", "", OK, 0},
		{"twice", "the word is taken", FAULT_CONFLICT, 0},
		{"", "a word is not empty", FAULT_INVALID, 1},
		{"unlisted", "a statement of the database failed", FAULT_INTERNAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct job job = {.work = add_word};

		snprintf(job.text, sizeof job.text, "%s", cases[i].word);
		job_finish(&job);
		if (job.fault != cases[i].fault || strcmp(job.detail, cases[i].detail) != 0 ||
			job.errors != cases[i].errors)
			fail_row(i, "fault %d, detail \"%s\", %u errors", job.fault, job.detail,
				job.errors);
	}
}

/* The row is fine, but the commit that its Sync makes is not. */
static void a_write_is_done_when_its_sync_is(void **state)
{
	struct job job = {.work = add_pair, .number = -5};

	(void)state;
	job_finish(&job);
	assert_int_equal(job.fault, FAULT_NOT_FOUND);
	assert_string_equal(job.detail, "there is no such word");
	assert_int_equal(observe_number("SELECT count(*) FROM pairs"), 0);
	assert_whole();
}

static void locks_held_by_others_are_unavailable(void **state)
{
	struct job job = {.work = lock_word};

	(void)state;
	job.number = observe_number("INSERT INTO words (word) VALUES ('held') RETURNING id");
	observe("BEGIN");
	observe("SELECT 1 FROM words WHERE word = 'held' FOR UPDATE");
	job_finish(&job);
	observe("ROLLBACK");
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	job_finish(&job);
	assert_int_equal(job.fault, OK);
}

static void what_may_succeed_is_run_again(void **state)
{
	static const struct {
		const char *code;
		int64_t failures;
		enum fault fault;
		long long tries;
	} cases[] = {
		{"40001", 0, OK, 1},
		{"40001", 3, OK, 4},
		{"40P01", 2, OK, 3},
		{"40001", 9, FAULT_UNAVAILABLE, 4},
		{"P0001", 1, FAULT_INTERNAL, 1},
		{"0A000", 1, FAULT_INTERNAL, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct job job = {.work = add_flaky, .number = cases[i].failures};
		long long tries;

		snprintf(job.text, sizeof job.text, "flaky %zu", i);
		snprintf(flaky_code, sizeof flaky_code, "%s", cases[i].code);
		observe("ALTER SEQUENCE tries RESTART");
		job_finish(&job);
		tries = observe_number("SELECT last_value FROM tries");
		if (job.fault != cases[i].fault || tries != cases[i].tries)
			fail_row(i, "fault %d after %lld tries", job.fault, tries);
		assert_int_equal(job.detail[0] == '\0', job.fault == OK);
	}
	assert_whole();
}

static void start_writers(struct job *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		jobs[i] = (struct job){.work = wait_writing, .number = 7};
		snprintf(jobs[i].text, sizeof jobs[i].text, "%p writer %zu", (void *)jobs, i);
		job_start(&jobs[i]);
	}
}

/* The observer holds lock 7, so that statements behind it wait as long as the test likes. */
static void hold(void)
{
	observe("SELECT pg_advisory_lock(7)");
}

static void let_go(void)
{
	observe("SELECT pg_advisory_unlock(7)");
}

/* One connection carries so many reads, three wait, one more is too much. */
static void a_pipeline_has_a_depth(void **state)
{
	enum { DEPTH = 128, ALL = DEPTH + 3 + 1 };
	static struct job jobs[ALL];

	(void)state;
	assert_int_equal(world.pg->pools[PG_READ].info->depth, DEPTH);
	for (size_t i = 0; i < ALL; i++) {
		jobs[i] = (struct job){.work = double_number, .number = (int64_t)i};
		job_start(&jobs[i]);
	}
	jobs_finish(jobs, ALL);
	for (size_t i = 0; i < ALL; i++)
		if (jobs[i].fault != (i == ALL - 1 ? FAULT_OVERLOADED : OK))
			fail_row(i, "fault %d", jobs[i].fault);
	assert_whole();
}

/* Places that come free are taken at once, not when the last answer has come. */
static void a_pipeline_is_filled_up(void **state)
{
	enum { DEPTH = 128, ALL = DEPTH + 3 };
	static struct job jobs[ALL];
	struct pg_pool *pool = &world.pg->pools[PG_READ];

	(void)state;
	hold();
	for (size_t i = 0; i < ALL; i++) {
		jobs[i] = (struct job){
			.work = i == DEPTH - 1 ? wait_reading : double_number, .number = 7};
		job_start(&jobs[i]);
	}
	turn_until(waiting_for_lock() == 1 && pool->queued == 0);
	assert_int_equal(pool->counts[CONN_BUSY], 1);
	let_go();
	jobs_finish(jobs, ALL);
	for (size_t i = 0; i < ALL; i++)
		if (jobs[i].fault != OK)
			fail_row(i, "fault %d", jobs[i].fault);
	assert_whole();
}

/* One connection, three places in the queue. */
static void the_queue_is_fair_and_bounded(void **state)
{
	struct job jobs[5];
	struct pg_pool *pool = &world.pg->pools[PG_WRITE];
	const uint64_t before = counter_value(pool->overloaded);

	(void)state;
	hold();
	start_writers(jobs, 5);
	turn_until(jobs[4].task == NULL && waiting_for_lock() == 1);
	assert_int_equal(jobs[4].fault, FAULT_OVERLOADED);
	assert_int_equal(counter_value(pool->overloaded) - before, 1);
	assert_int_equal(pool->queued, 3);
	for (size_t i = 0; i < 4; i++)
		assert_non_null(jobs[i].task);
	let_go();
	jobs_finish(jobs, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(jobs[i].fault, OK);
		assert_int_equal(jobs[i].order, jobs[4].order + 1 + i);
	}
	assert_whole();
}

static void nobody_waits_longer_than_half_of_what_is_left(void **state)
{
	struct job first, late = {.work = wait_writing, .number = 7, .deadline_us = 1000000};
	int64_t began_us, waited_us;

	(void)state;
	hold();
	start_writers(&first, 1);
	turn_until(waiting_for_lock() == 1);
	began_us = clock_monotonic_us();
	job_finish(&late);
	waited_us = clock_monotonic_us() - began_us;
	assert_int_equal(late.fault, FAULT_OVERLOADED);
	assert_in_range(waited_us, 450000, INT64_MAX); /* not FAULT_DEADLINE: before that */
	let_go();
	jobs_finish(&first, 1);
	assert_whole();
}

static void a_deadline_passes_while_it_runs(void **state)
{
	struct job reads[2] = {{.work = wait_reading, .number = 7, .deadline_us = 50000},
		{.work = double_number, .number = 4}};
	struct job write = {
		.work = wait_writing, .number = 7, .text = "late", .deadline_us = 50000};

	(void)state;
	hold();
	job_start(&reads[0]);
	job_start(&write);
	turn_until(waiting_for_lock() == 2);
	jobs_finish(reads, 1);
	jobs_finish(&write, 1);
	assert_int_equal(reads[0].fault, FAULT_DEADLINE);
	assert_int_equal(write.fault, FAULT_UNKNOWN);
	/* their connections are still busy with them, and idle once they were answered */
	assert_int_equal(waiting_for_lock(), 2);
	assert_int_equal(world.pg->pools[PG_WRITE].counts[CONN_BUSY], 1);
	let_go();
	assert_whole();
	assert_int_equal(observe_number("SELECT count(*) FROM words WHERE word = 'late'"), 1);
	job_finish(&reads[1]);
	assert_int_equal(reads[1].fault, OK);
	assert_int_equal(reads[1].number, 8);
}

static void the_client_leaves_in_each_phase(void **state)
{
	struct job jobs[3], read = {.work = wait_reading, .number = 7};

	(void)state;
	hold();
	start_writers(jobs, 3);
	job_start(&read);
	turn_until(waiting_for_lock() == 2);
	task_cancel(jobs[0].task, FAULT_CANCELED); /* runs */
	task_cancel(jobs[2].task, FAULT_CANCELED); /* waits for a connection */
	task_cancel(read.task, FAULT_CANCELED);
	jobs_finish(&jobs[0], 1);
	jobs_finish(&jobs[2], 1);
	jobs_finish(&read, 1);
	assert_int_equal(jobs[0].fault, FAULT_UNKNOWN);
	assert_int_equal(jobs[2].fault, FAULT_CANCELED);
	assert_int_equal(read.fault, FAULT_CANCELED);
	assert_non_null(jobs[1].task);
	let_go();
	jobs_finish(&jobs[1], 1);
	assert_int_equal(jobs[1].fault, OK);
	assert_whole();
	for (size_t i = 0; i < 3; i++) {
		char sql[320];

		snprintf(sql, sizeof sql, "SELECT count(*) FROM words WHERE word = '%s'",
			jobs[i].text);
		assert_int_equal(observe_number(sql), i < 2);
	}
}

static void a_cancelled_statement_is_unavailable(void **state)
{
	struct job job = {.work = wait_reading, .number = 7};

	(void)state;
	hold();
	job_start(&job);
	turn_until(waiting_for_lock() == 1);
	observe("SELECT pg_cancel_backend(pid) FROM server_sessions WHERE wait_event_type = "
		"'Lock'");
	jobs_finish(&job, 1);
	let_go();
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	assert_whole();
}

/* As after a migration under a running program. */
static void a_changed_type_replaces_the_connection(void **state)
{
	struct job job = {.work = get_word};

	(void)state;
	job.number = observe_number("INSERT INTO words (word) VALUES ('moved') RETURNING id");
	job_finish(&job);
	assert_int_equal(job.fault, OK);
	observe("ALTER TABLE words ALTER word TYPE varchar(100)");
	job_finish(&job);
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	assert_string_equal(job.detail, "the database has changed");
	assert_whole();
	job_finish(&job);
	assert_int_equal(job.fault, OK);
	assert_string_equal(job.text, "moved");
}

static void a_plan_may_be_made_each_time(void **state)
{
	struct job both = {.work = search_both_ways};
	struct job by_name = {.work = count_runs, .text = "search"};
	struct job planned = {.work = count_runs, .text = "search_planned"};

	(void)state;
	job_finish(&both);
	assert_int_equal(both.fault, OK);
	assert_int_equal(both.number, 0);
	job_finish(&by_name);
	assert_int_equal(by_name.fault, OK);
	assert_int_not_equal(by_name.number, 0);
	job_finish(&planned);
	assert_int_equal(planned.fault, OK);
	assert_int_equal(planned.number, 0);
	assert_whole();
}

static void a_session_that_forgot_is_replaced(void **state)
{
	struct job lose = {.work = forget}, use = {.work = search_word};

	(void)state;
	job_finish(&lose);
	assert_int_equal(lose.fault, OK);
	job_finish(&use);
	assert_int_equal(use.fault, FAULT_UNAVAILABLE);
	assert_whole();
	job_finish(&use);
	assert_int_equal(use.fault, OK);
}

static int begin(void **state)
{
	struct pg_config config = {.read_connections = 1,
		.slow_connections = 1,
		.write_connections = 1,
		.queue_max = 3};

	(void)state;
	if (world_begin("query_test") != 0)
		return -1;
	observe(tables);
	world.pg = world_pg(config, &schema);
	turn_until(is_whole());
	return 0;
}

static int end(void **state)
{
	(void)state;
	pg_free(world.pg);
	world_end();
	return 0;
}

/* Triggers find whose change it is; the next statement of the session does not. */
static void a_write_that_tells_carries_its_trace(void **state)
{
	struct job told = {.work = add_word_traced, .text = "told"};
	struct job untold = {.work = add_word_traced, .number = 1, .text = "untold"};
	struct job both = {.work = add_word_traced, .number = 2, .text = "both"};
	struct job again = {.work = add_word_traced, .text = "told"};

	(void)state;
	job_finish(&told);
	assert_int_equal(told.fault, OK);
	assert_string_equal(told.text, "told of 00-1-2-01");
	job_finish(&untold);
	assert_string_equal(untold.text, "untold of ");
	job_finish(&both);
	assert_int_equal(both.fault, OK);
	assert_string_equal(both.text, "both of 00-1-2-01");
	job_finish(&again); /* it fails behind the trace: the fault is its own */
	assert_int_equal(again.fault, FAULT_CONFLICT);
	assert_whole();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_go_and_rows_come),
		cmocka_unit_test(reads_of_a_turn_share_a_sync),
		cmocka_unit_test(a_failing_neighbour_fails_alone),
		cmocka_unit_test(nobody_is_aborted_twice),
		cmocka_unit_test(metrics_tell_of_the_pools),
		cmocka_unit_test(big_values_go_in_pieces),
		cmocka_unit_test(a_read_cannot_write),
		cmocka_unit_test(constraints_have_meanings),
		cmocka_unit_test(a_write_is_done_when_its_sync_is),
		cmocka_unit_test(locks_held_by_others_are_unavailable),
		cmocka_unit_test(what_may_succeed_is_run_again),
		cmocka_unit_test(a_pipeline_has_a_depth),
		cmocka_unit_test(a_pipeline_is_filled_up),
		cmocka_unit_test(the_queue_is_fair_and_bounded),
		cmocka_unit_test(nobody_waits_longer_than_half_of_what_is_left),
		cmocka_unit_test(a_deadline_passes_while_it_runs),
		cmocka_unit_test(the_client_leaves_in_each_phase),
		cmocka_unit_test(a_cancelled_statement_is_unavailable),
		cmocka_unit_test(a_plan_may_be_made_each_time),
		cmocka_unit_test(a_write_that_tells_carries_its_trace),
		cmocka_unit_test(a_changed_type_replaces_the_connection),
		cmocka_unit_test(a_session_that_forgot_is_replaced),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
