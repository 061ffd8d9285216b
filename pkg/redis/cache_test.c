/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/clock.h"
#include "metrics/metrics.h"
#include "redis/cache.h"
#include "redis/testing.h"
#include "redis/tombstone.h"

enum { COMMAND_TIMEOUT = 200000, MANY = 100, TTL_MS = 20000 };
#define PREFIX "t:1:"

#define SECOND INT64_C(1000000)

static struct redis_server server;
static struct loop *loop;
static struct redis *client;
static struct cache *cache;

/* ---- the database: one row, and loads that can be held ---- */

static struct {
	const char *text;
	size_t len;
	int64_t version;
	enum fault fault; /* what loads end with */
	int loads;
	bool hold; /* the next load waits after it has read the row */
	struct wait *held;
} row;

static void set_row(const char *text, int64_t version)
{
	row.text = text;
	row.len = strlen(text);
	row.version = version;
	row.fault = OK;
	row.loads = 0;
	row.hold = false;
}

static enum fault load(
	struct task *t, struct str key, void *arg, struct str *value, int64_t *version)
{
	struct wait w = {.task = t};

	(void)key;
	(void)arg;
	row.loads++;
	*value = scope_dup(&t->scope, str_of(row.text, row.len));
	*version = row.version;
	const enum fault fault = row.fault;
	if (row.hold) {
		row.held = &w;
		const enum fault waited = task_wait(t, &w);
		row.held = NULL;
		TRY(waited);
	}
	return fault == OK ? OK : fail(&t->scope, fault, "what the database says");
}

static void release(void)
{
	row.hold = false;
	wait_done(row.held, OK);
}

static void turn_until_held(void)
{
	while (row.held == NULL)
		loop_turn(loop, 10);
}

static enum fault run_get(struct task *t, struct job *job)
{
	struct str value;

	TRY(cache_get(t, cache, str_from(job->arg), load, NULL, &value));
	job_keep(job, value);
	return OK;
}

static struct job get_job(const char *key)
{
	return (struct job){.run = run_get, .arg = key};
}

static struct job get(const char *key)
{
	struct job job = get_job(key);

	job_start(loop, &job);
	job_wait(loop, &job);
	return job;
}

static void assert_got(const struct job *job, const char *text)
{
	if (job->fault != OK || strcmp(job->text, text) != 0)
		fail_msg("fault %s, \"%s\"", fault_info(job->fault)->name, job->text);
}

/* ---- what is in Redis ---- */

static enum fault run_raw(struct task *t, struct job *job)
{
	struct redis_reply reply;
	const struct str *words = job->arg;
	size_t count = 0;

	while (words[count].at != NULL)
		count++;
	TRY(redis_command(t, words, count, &reply));
	job->number = reply.integer;
	job_keep(job, reply.text);
	return OK;
}

#define RAW(...) raw((const struct str[]){__VA_ARGS__, STR_NONE})

static struct job raw(const struct str *words)
{
	struct job job = {.run = run_raw, .arg = words};

	job_start(loop, &job);
	job_wait(loop, &job);
	assert_int_equal(job.fault, OK);
	return job;
}

static int64_t unacknowledged(void)
{
	return gauge_value(gauge_get("bodega_cache_tombstones",
		"Invalidations that Redis has not taken yet", LABELS({"cache", STR(PREFIX)})));
}

static void wait_acknowledged(void)
{
	while (unacknowledged() > 0)
		loop_turn(loop, 10);
}

/* ---- tests ---- */

static void rows_are_loaded_once(void **state)
{
	static const char binary[] = "a\0b\r\n\xff|v";
	struct job job;

	(void)state;
	set_row("", 7);
	row.text = binary;
	row.len = sizeof binary;
	for (int i = 0; i < 3; i++) {
		job = get("once");
		assert_int_equal(job.fault, OK);
		assert_int_equal(job.len, sizeof binary);
		assert_memory_equal(job.text, binary, sizeof binary);
	}
	assert_int_equal(row.loads, 1);
	job = RAW(STR("PTTL"), STR(PREFIX "once"));
	assert_in_range(job.number, TTL_MS * 9 / 10 - 1000, TTL_MS * 11 / 10);
}

static void what_is_not_there_is_kept_too(void **state)
{
	(void)state;
	set_row("", 0);
	row.fault = FAULT_NOT_FOUND;
	for (int i = 0; i < 3; i++)
		assert_int_equal(get("nothing").fault, FAULT_NOT_FOUND);
	assert_int_equal(row.loads, 1);
}

static void many_wait_for_one_load(void **state)
{
	static struct job jobs[MANY];

	(void)state;
	for (int round = 0; round < 2; round++) {
		const enum fault fault = round == 0 ? OK : FAULT_NOT_FOUND;

		set_row("value", 1);
		row.fault = fault;
		row.hold = true;
		for (size_t i = 0; i < MANY; i++) {
			jobs[i] = get_job(round == 0 ? "many" : "none");
			job_start(loop, &jobs[i]);
		}
		turn_until_held();
		release();
		for (size_t i = 0; i < MANY; i++) {
			job_wait(loop, &jobs[i]);
			assert_int_equal(jobs[i].fault, fault);
			assert_string_equal(
				jobs[i].text, round == 0 ? "value" : "what the database says");
		}
		assert_int_equal(row.loads, 1);
	}
}

/* The loader's own task is cancelled, or its load fails: the next in line loads; nobody loses. */
static void another_takes_over(void **state)
{
	struct job jobs[3];

	(void)state;
	for (int round = 0; round < 2; round++) {
		set_row("value", 1);
		row.hold = true;
		row.fault = round == 0 ? OK : FAULT_UNAVAILABLE;
		for (size_t i = 0; i < 3; i++) {
			jobs[i] = get_job(round == 0 ? "cancelled" : "failed");
			job_start(loop, &jobs[i]);
		}
		turn_until_held();
		if (round == 0)
			task_cancel(jobs[0].task, FAULT_CANCELED);
		else
			wait_done(row.held, OK);
		job_wait(loop, &jobs[0]);
		assert_int_equal(jobs[0].fault, round == 0 ? FAULT_CANCELED : FAULT_UNAVAILABLE);
		turn_until_held();
		row.fault = OK;
		assert_int_equal(row.loads, 2);
		if (round == 1) { /* this one still ends with the fault that it has read */
			release();
			job_wait(loop, &jobs[1]);
			assert_int_equal(jobs[1].fault, FAULT_UNAVAILABLE);
		} else {
			release();
			job_wait(loop, &jobs[1]);
			assert_got(&jobs[1], "value");
		}
		job_wait(loop, &jobs[2]);
		assert_got(&jobs[2], "value");
	}
}

/* The one that would be next is cancelled in the same turn: the third one loads. */
static void a_cancelled_successor_is_passed_over(void **state)
{
	struct job jobs[3];

	(void)state;
	set_row("value", 1);
	row.hold = true;
	for (size_t i = 0; i < 3; i++) {
		jobs[i] = get_job("successor");
		job_start(loop, &jobs[i]);
	}
	turn_until_held();
	task_cancel(jobs[0].task, FAULT_CANCELED);
	task_cancel(jobs[1].task, FAULT_CANCELED);
	turn_until_held();
	job_wait(loop, &jobs[1]);
	assert_int_equal(jobs[1].fault, FAULT_CANCELED);
	turn_until_held();
	release();
	job_wait(loop, &jobs[0]);
	job_wait(loop, &jobs[2]);
	assert_got(&jobs[2], "value");
}

/* A reader took the old row, then the row was changed and Redis knows it: what the reader brings is
 * not put there. */
static void a_late_reader_changes_nothing(void **state)
{
	struct job late = get_job("late"), job;

	(void)state;
	set_row("old", 1);
	row.hold = true;
	job_start(loop, &late);
	turn_until_held();
	row.text = "new"; /* committed by another task */
	row.version = 2;
	cache_invalidate(cache, STR("late"), 2);
	wait_acknowledged();
	release();
	job_wait(loop, &late);
	assert_got(&late, "old"); /* it began before the change */
	job = RAW(STR("GET"), STR(PREFIX "late"));
	assert_string_equal(job.text, "00000000000000000002t");
	job = RAW(STR("PTTL"), STR(PREFIX "late"));
	assert_in_range(job.number, TOMBSTONE_MS - 5000, TOMBSTONE_MS);
	for (int i = 0; i < 2; i++) {
		job = get("late");
		assert_got(&job, "new");
	}
	assert_int_equal(row.loads, 2);
	job = RAW(STR("GET"), STR(PREFIX "late"));
	assert_string_equal(job.text, "00000000000000000002vnew");
}

/* A read that begins after the change never joins one that began before. */
static void later_reads_do_not_join_earlier_ones(void **state)
{
	struct job early = get_job("join"), job;

	(void)state;
	set_row("old", 1);
	row.hold = true;
	job_start(loop, &early);
	turn_until_held();
	struct wait *held = row.held;
	row.text = "new";
	row.version = 2;
	row.hold = false;
	cache_invalidate(cache, STR("join"), 2);
	job = get("join");
	assert_got(&job, "new");
	wait_done(held, OK);
	job_wait(loop, &early);
	assert_got(&early, "old");
}

/* The same versions in any order of arrival end with the newest. */
static void newer_wins(void **state)
{
	static const struct {
		int64_t first;
		int64_t second;
		char first_kind;
		char second_kind;
		const char *left;
	} rows[] = {
		{1, 2, 'v', 'v', "00000000000000000002v"},
		{2, 1, 'v', 'v', "00000000000000000002v"},
		{2, 1, 't', 'v', "00000000000000000002t"},
		{2, 2, 't', 'v', "00000000000000000002v"},
		{2, 2, 'v', 't', "00000000000000000002v"},
		{2, 3, 'v', 't', "00000000000000000003t"},
		{9, 10, 't', 'v', "00000000000000000010v"},
		{INT64_MAX, INT64_MAX - 1, 't', 'v', "09223372036854775807t"},
		{3, 0, 't', 'n', "00000000000000000003t"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct str key = STR(PREFIX "order");

		(void)RAW(STR("DEL"), key);
		assert_int_equal(entry_send(client, key, rows[i].first, rows[i].first_kind, STR(""),
					 1000, NULL, NULL, NULL),
			OK);
		assert_int_equal(entry_send(client, key, rows[i].second, rows[i].second_kind,
					 STR(""), 1000, NULL, NULL, NULL),
			OK);
		const struct job job = RAW(STR("GET"), key);
		if (strcmp(job.text, rows[i].left) != 0)
			fail_row(i, "%s", job.text);
	}
}

/* Redis stands still: a read takes the command's time, then the database; a write is known to its
 * own thread at once, and to Redis when it goes on. */
static void a_stopped_redis(void **state)
{
	const struct counter *refused = counter_get("bodega_redis_commands_total",
		"Commands by outcome", LABELS({"outcome", STR("refused")}));
	uint64_t refused_before;
	struct job job;

	(void)state;
	set_row("old", 1);
	job = get("stopped");
	assert_got(&job, "old");
	redis_server_signal(&server, SIGSTOP);
	const int64_t began_us = clock_monotonic_us();
	job = get("stopped");
	assert_got(&job, "old");
	assert_in_range(clock_monotonic_us() - began_us, COMMAND_TIMEOUT - 5000, INT64_MAX);
	assert_false(redis_up(client));
	refused_before = counter_value(refused);
	job = get("stopped"); /* does not even ask it */
	assert_got(&job, "old");
	assert_int_equal(counter_value(refused), refused_before + 2); /* to read and to fill */
	assert_int_equal(row.loads, 3);

	set_row("new", 2);
	cache_invalidate(cache, STR("stopped"), 2);
	redis_server_signal(&server, SIGCONT);
	redis_wait_up(loop, client, true);
	const struct counter *bypassed =
		counter_get("bodega_cache_reads_total", "Reads of cached rows by outcome",
			LABELS({"cache", STR(PREFIX)}, {"outcome", STR("bypass")}));
	const uint64_t before = counter_value(bypassed);
	job = get("stopped"); /* Redis still has the old row, for the tombstone is on its way */
	assert_got(&job, "new");
	assert_int_equal(counter_value(bypassed), before + 1);
	wait_acknowledged();
	job = get("stopped");
	assert_got(&job, "new");
}

/* Killed and started again with an old row in it: the tombstone comes after the reconnect. */
static void tombstones_are_repeated(void **state)
{
	struct job job;

	(void)state;
	redis_server_signal(&server, SIGKILL);
	redis_wait_up(loop, client, false);
	set_row("new", 6);
	cache_invalidate(cache, STR("again"), 5);
	cache_invalidate(cache, STR("again"), 6);
	cache_invalidate(cache, STR("again"), 4); /* told late */
	assert_int_equal(unacknowledged(), 1);
	job = get("again");
	assert_got(&job, "new");
	redis_server_start(&server);
	redis_wait_up(loop, client, true);
	(void)RAW(STR("SET"), STR(PREFIX "again"), STR("00000000000000000004vold"));
	job = get("again");
	assert_got(&job, "new");
	wait_acknowledged();
	job = RAW(STR("GET"), STR(PREFIX "again"));
	assert_memory_equal(job.text, "00000000000000000006", 20);
	job = get("again");
	assert_got(&job, "new");
}

/* Several changes of a row, told in any order and while the first tombstone is on its way, end with
 * the newest. */
static void the_newest_tombstone_arrives(void **state)
{
	static const int64_t orders[][3] = {{1, 2, 3}, {3, 2, 1}, {2, 3, 1}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		(void)RAW(STR("DEL"), STR(PREFIX "several"));
		for (size_t n = 0; n < 3; n++)
			cache_invalidate(cache, STR("several"), orders[i][n]);
		wait_acknowledged();
		const struct job job = RAW(STR("GET"), STR(PREFIX "several"));
		if (strcmp(job.text, "00000000000000000003t") != 0)
			fail_row(i, "%s", job.text);
	}
}

static void strange_entries_are_misses(void **state)
{
	static const char *const texts[] = {
		"", "short", "00000000000000000001?x", "00000000000000000001"};

	(void)state;
	set_row("value", 1);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		(void)RAW(STR("SET"), STR(PREFIX "strange"), str_from(texts[i]));
		const struct job job = get("strange");
		assert_got(&job, "value");
		assert_int_equal(row.loads, (int)i + 1);
	}
	(void)RAW(STR("DEL"), STR(PREFIX "strange"));
	(void)RAW(STR("LPUSH"), STR(PREFIX "strange"), STR("a list"));
	const struct job job = get("strange");
	assert_got(&job, "value");
}

/* More invalidations than can be remembered: nothing of Redis is believed for a while. */
static void a_full_table_makes_blind(void **state)
{
	char key[32];
	struct job job;

	(void)state;
	set_row("old", 1);
	job = get("full");
	redis_server_signal(&server, SIGSTOP);
	for (int i = 0; i < TOMBSTONES_MAX; i++) {
		snprintf(key, sizeof key, "key-%d", i);
		cache_invalidate(cache, str_from(key), 1);
	}
	set_row("new", 2);
	cache_invalidate(cache, STR("full"), 2);
	assert_int_equal(unacknowledged(), TOMBSTONES_MAX);
	redis_server_signal(&server, SIGCONT);
	redis_wait_up(loop, client, true);
	wait_acknowledged();
	job = get("full");
	assert_got(&job, "new");
}

/* The Nth wait of a read fails or is cancelled, for every N: Redis' faults are nobody's business.
 */
static void every_wait_may_fail(void **state)
{
	(void)state;
	redis_wait_up(loop, client, true);
	for (unsigned n = 1; n <= 2; n++) {
		struct job job = get_job(n == 1 ? "inject-1" : "inject-2");

		set_row("value", 1);
		job_start(loop, &job);
		task_inject(job.task, n, FAULT_UNAVAILABLE);
		job_wait(loop, &job);
		assert_got(&job, "value");
		job = get_job(n == 1 ? "inject-3" : "inject-4");
		row.hold = n == 2;
		job_start(loop, &job);
		task_inject(job.task, n, FAULT_CANCELED);
		job_wait(loop, &job);
		assert_int_equal(job.fault, FAULT_CANCELED);
	}
}

static void without_redis(void **state)
{
	struct cache *with = cache;
	struct job job;

	(void)state;
	cache = cache_new(NULL, &(struct cache_config){.prefix = PREFIX});
	set_row("value", 1);
	job = get("none at all");
	assert_got(&job, "value");
	cache_invalidate(cache, STR("none at all"), 2);
	job = get("none at all");
	assert_got(&job, "value");
	assert_int_equal(row.loads, 2);
	cache_free(cache);
	cache = with;
}

static int start(void **state)
{
	(void)state;
	redis_server_make(&server);
	loop = loop_new(LOOP_LIMITS_DEFAULT);
	client = redis_new(loop, &(struct redis_config){.url = str_from(server.url),
					 .command_timeout_us = COMMAND_TIMEOUT});
	cache = cache_new(client, &(struct cache_config){.prefix = PREFIX, .ttl_ms = TTL_MS});
	redis_wait_up(loop, client, true);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	cache_invalidate(cache, STR("on its way"), 1); /* and never answered */
	cache_free(cache);
	redis_free(client);
	loop_free(loop);
	redis_server_end(&server);
	arena_trim();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_loaded_once),
		cmocka_unit_test(what_is_not_there_is_kept_too),
		cmocka_unit_test(many_wait_for_one_load),
		cmocka_unit_test(another_takes_over),
		cmocka_unit_test(a_cancelled_successor_is_passed_over),
		cmocka_unit_test(a_late_reader_changes_nothing),
		cmocka_unit_test(later_reads_do_not_join_earlier_ones),
		cmocka_unit_test(newer_wins),
		cmocka_unit_test(a_stopped_redis),
		cmocka_unit_test(tombstones_are_repeated),
		cmocka_unit_test(the_newest_tombstone_arrives),
		cmocka_unit_test(strange_entries_are_misses),
		cmocka_unit_test(without_redis),
		cmocka_unit_test(every_wait_may_fail),
		cmocka_unit_test(a_full_table_makes_blind),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
