/* SPDX-License-Identifier: Apache-2.0
 * The relay against PostgreSQL and RabbitMQ: order, leases, what is not confirmed, what is away. */
#include "amqp/testing.h"
#include "migrate/testing.h"

#include "amqp/event.h"
#include "amqp/relay.h"

#define ALL "relay_test.all"

static const struct pg_statement event_add = {"event_add", PG_WRITE,
	"SELECT outbox_add('bodega.relaytest.' || $1::text, gen_random_uuid(), $2::bigint,\n"
	"	$3::uuid, json_build_object('n', $2::bigint))"};

static struct relay *relays[2];
static struct publisher *publishers[2]; /* the second one through the proxy */
static struct uuid people[4];

/* ---- works ---- */

static enum fault run_first(struct task *t, struct job *job)
{
	(void)job;
	return relay_run(t, relays[0]);
}

static enum fault run_second(struct task *t, struct job *job)
{
	(void)job;
	return relay_run(t, relays[1]);
}

static enum fault leave_first(struct task *t, struct job *job)
{
	(void)job;
	return relay_leave(t, relays[0]);
}

static enum fault sweep(struct task *t, struct job *job)
{
	(void)job;
	return relay_sweep(t);
}

/* `number` events of each person in turn, numbered from 1. */
static enum fault add_events(struct task *t, struct job *job)
{
	for (int64_t n = 1; n <= job->number; n++)
		for (size_t i = 0; i < 4; i++)
			TRY(pg_query(t, &event_add,
				PG_VALUES(pg_text(STR("made")), pg_int64(n), pg_uuid(&people[i])),
				NULL));
	return OK;
}

static void add_each(int64_t number)
{
	struct job job = {.work = add_events, .number = number};

	job_finish(&job);
	assert_int_equal(job.fault, OK);
}

/* ---- what has come ---- */

/* Takes what is in the queue; each event must be person's next one, unless `repeats` allows ones
 * that have come before. How many were new. */
static unsigned take_all(int64_t last[4], bool repeats)
{
	amqp_message_t message;
	unsigned fresh = 0;
	char *body;

	while ((body = queue_get(ALL, &message)) != NULL) {
		struct event event;
		struct scope s;
		size_t who = 0;

		scope_begin(&s);
		assert_int_equal(event_read(&s, str_from(body), &event), OK);
		while (!uuid_eq(&people[who], &event.person))
			assert_true(++who < 4);
		assert_int_equal(message.properties.delivery_mode, AMQP_DELIVERY_PERSISTENT);
		if (event.sequence == last[who] + 1) {
			last[who]++;
			fresh++;
		} else if (!repeats || event.sequence > last[who]) {
			fail_msg("event %lld after %lld", (long long)event.sequence,
				(long long)last[who]);
		}
		scope_end(&s);
		amqp_destroy_message(&message);
		free(body);
	}
	return fresh;
}

static long long unpublished(void)
{
	return observe_number("SELECT (SELECT count(*) FROM outbox WHERE position IS NULL) +"
			      " (SELECT sum(position - published) FROM outbox_partitions)");
}

/* ---- before and after each ---- */

static int set_up(void **state)
{
	(void)state;
	observe("TRUNCATE outbox, outbox_relays RESTART IDENTITY");
	observe("UPDATE outbox_partitions SET owner = NULL, lease_until = NULL, epoch = 0,"
		" position = 0, published = 0");
	observe_key(ALL, "relaytest.#");
	for (size_t i = 0; i < 2; i++) {
		turn_until(publisher_is_open(publishers[i]));
		relays[i] = relay_new(publishers[i], "/relay_test");
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	proxy_set(rabbit.proxy, PROXY_PASS);
	assert_whole();
	for (size_t i = 0; i < 2; i++)
		relay_free(relays[i]);
	forget_queue(ALL);
	return 0;
}

/* ---- tests ---- */

static void in_order_and_once(void **state)
{
	int64_t last[4] = {0};

	(void)state;
	add_each(200);
	assert_int_equal(run(run_first), OK);
	while (unpublished() > 0)
		assert_int_equal(run(run_first), OK);
	assert_int_equal(take_all(last, false), 800);
	assert_int_equal(observe_number("SELECT count(*) FROM (SELECT position, row_number() OVER"
					" (PARTITION BY partition ORDER BY id) AS n FROM outbox) o"
					" WHERE position <> n"),
		0);
	assert_int_equal(run(run_first), OK);
	assert_int_equal(queue_depth(ALL), 0);
}

/* A transaction that commits late has an id below those that are out already. */
static void late_commits_are_not_passed_over(void **state)
{
	PGconn *const late = PQconnectdb(world.url);
	int64_t last[4] = {0};
	char sql[256], person[UUID_TEXT_LEN + 1];

	(void)state;
	uuid_format(&people[0], person);
	snprintf(sql, sizeof sql,
		"BEGIN; SELECT outbox_add('bodega.relaytest.late', gen_random_uuid(), 2, '%s', "
		"'{}')",
		person);
	PQclear(PQexec(late, sql));
	add_each(1);
	assert_int_equal(run(run_first), OK);
	assert_int_equal(take_all(last, false), 4);
	PQclear(PQexec(late, "COMMIT"));
	PQfinish(late);
	assert_int_equal(run(run_first), OK);
	assert_int_equal(take_all(last, false), 1);
	assert_int_equal(unpublished(), 0);
}

/* Each of the two begins with a share, because it thinks that there are more. */
static void two_share_and_publish_each_once(void **state)
{
	struct job adder = {.work = add_events, .number = 100};
	struct job runs[2] = {{.work = run_first}, {.work = run_second}};
	int64_t last[4] = {0};

	(void)state;
	observe("INSERT INTO outbox_relays VALUES ('another', now() + interval '1 minute')");
	assert_int_equal(run(run_first), OK);
	assert_int_equal(run(run_second), OK);
	observe("DELETE FROM outbox_relays WHERE owner = 'another'");
	assert_int_equal(observe_number("SELECT count(DISTINCT owner) FROM outbox_partitions"), 2);
	job_start(&adder);
	for (int i = 0; i < 2; i++)
		job_start(&runs[i]);
	while (adder.task != NULL || unpublished() > 0) {
		for (int i = 0; i < 2; i++) {
			if (runs[i].task != NULL)
				continue;
			assert_int_equal(runs[i].fault, OK);
			job_start(&runs[i]);
		}
		loop_turn(world.loop, 5);
	}
	jobs_finish(runs, 2);
	assert_int_equal(take_all(last, false), 400);
}

static void partitions_are_shared_fairly(void **state)
{
	static const struct {
		const char *by;
		const char *has; /* how many, and the highest epoch among them */
	} calls[] = {
		{"a", "16 1"},
		{"b", "0 "}, /* it comes up */
		{"a", "8 1"},
		{"b", "8 2"},
		{"c", "0 "},
		{"a", "6 1"},
		{"b", "6 2"},
		{"c", "4 3"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		char sql[200];
		const char *has;

		snprintf(sql, sizeof sql,
			"SELECT concat(count(*), ' ', max(leased_epoch)) FROM outbox_lease('%s', "
			"'1 minute')",
			calls[i].by);
		has = observe(sql);
		if (strcmp(has, calls[i].has) != 0)
			fail_row(i, "%s has %s", calls[i].by, has);
	}
}

static void the_next_one_goes_on_when_the_lease_ends(void **state)
{
	int64_t last[4] = {0};

	(void)state;
	assert_int_equal(run(run_first), OK);
	add_each(3);
	assert_int_equal(run(run_second), OK);
	assert_int_equal(unpublished(), 12); /* the other one has all partitions */
	observe("UPDATE outbox_partitions SET lease_until = now() - interval '1 second'");
	observe("UPDATE outbox_relays SET alive_until = now() - interval '1 second'");
	assert_int_equal(run(run_first), OK);
	assert_int_equal(unpublished(), 12); /* it has slept through the end of its lease */
	relay_free(relays[1]);
	relays[1] = relay_new(publishers[1], "/relay_test");
	assert_int_equal(run(run_second), OK);
	assert_int_equal(unpublished(), 0);
	assert_int_equal(take_all(last, false), 12);
}

static void who_leaves_is_not_waited_for(void **state)
{
	(void)state;
	assert_int_equal(run(run_first), OK);
	assert_int_equal(run(leave_first), OK);
	add_each(1);
	assert_int_equal(run(run_second), OK);
	assert_int_equal(unpublished(), 0);
}

/* It is stopped between the broker's confirm and its mark, for so long that another has taken over
 * and perhaps gives the partition back: the epoch has gone up. */
static void who_was_taken_over_marks_nothing(void **state)
{
	struct job job = {.work = run_first};

	(void)state;
	assert_int_equal(run(run_first), OK);
	add_each(1);
	observe("SELECT outbox_number(owner, 64) FROM (SELECT DISTINCT owner FROM"
		" outbox_partitions) o");
	observe("BEGIN");
	observe("SELECT 1 FROM outbox_partitions FOR UPDATE");
	job_start(&job);
	turn_until(waiting_for_lock() == 1);
	observe("UPDATE outbox_partitions SET epoch = epoch + 1");
	observe("COMMIT");
	jobs_finish(&job, 1);
	assert_int_equal(job.fault, OK);
	assert_int_equal(unpublished(), 0); /* in the next round, under the new epoch */
	assert_int_equal(queue_depth(ALL), 2 * 4);
}

/* The queue takes one message and refuses the next. */
static void it_stops_at_the_first_that_is_refused(void **state)
{
	amqp_table_entry_t entries[2] = {
		{amqp_cstring_bytes("x-max-length"), {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 1}},
		{amqp_cstring_bytes("x-overflow"),
			{.kind = AMQP_FIELD_KIND_UTF8,
				.value.bytes = amqp_cstring_bytes("reject-publish")}},
	};
	const amqp_table_t limits = {.num_entries = 2, .entries = entries};
	char sql[256], person[UUID_TEXT_LEN + 1];
	int64_t last[4] = {0};

	(void)state;
	forget_queue("relay_test.full"); /* of a run that failed */
	amqp_queue_declare(rabbit.observer, 1, amqp_cstring_bytes("relay_test.full"), false, false,
		false, false, limits);
	observer_check("declare");
	amqp_queue_bind(rabbit.observer, 1, amqp_cstring_bytes("relay_test.full"),
		amqp_cstring_bytes(BROKER_EXCHANGE), amqp_cstring_bytes("relaytest.full"),
		amqp_empty_table);
	observer_check("bind");
	uuid_format(&people[0], person);
	for (int n = 1; n <= 4; n++) {
		snprintf(sql, sizeof sql,
			"SELECT outbox_add('bodega.relaytest.%s', gen_random_uuid(), %d, '%s', "
			"'{}')",
			n == 2 || n == 3 ? "full" : "made", n, person);
		observe(sql);
	}
	assert_int_equal(run(run_first), FAULT_UNAVAILABLE);
	assert_int_equal(observe_number("SELECT sum(published) FROM outbox_partitions"), 2);
	amqp_queue_purge(rabbit.observer, 1, amqp_cstring_bytes("relay_test.full"));
	observer_check("purge");
	assert_int_equal(run(run_first), OK);
	assert_int_equal(unpublished(), 0);
	assert_int_equal(take_all(last, true), 4);
	forget_queue("relay_test.full");
}

static void with_the_broker_away_events_wait(void **state)
{
	int64_t last[4] = {0};

	(void)state;
	proxy_set(rabbit.proxy, PROXY_REFUSE);
	proxy_cut(rabbit.proxy);
	turn_until(!publisher_is_open(publishers[1]));
	add_each(5);
	assert_int_equal(run(run_second), OK);
	assert_int_equal(unpublished(), 20);
	assert_int_equal(observe_number("SELECT count(*) FROM outbox WHERE position IS NULL"), 0);
	proxy_set(rabbit.proxy, PROXY_PASS);
	turn_until(publisher_is_open(publishers[1]));
	assert_int_equal(run(run_second), OK);
	assert_int_equal(take_all(last, false), 20);
	assert_int_equal(unpublished(), 0);
}

/* The broker has them, but its confirms are lost. */
static void what_was_not_confirmed_is_sent_again(void **state)
{
	struct job job = {.work = run_second};
	int64_t last[4] = {0};

	(void)state;
	assert_int_equal(run(run_second), OK);
	add_each(5);
	proxy_set(rabbit.proxy, PROXY_MUTE);
	job_start(&job);
	turn_until(queue_depth(ALL) == 20);
	proxy_set(rabbit.proxy, PROXY_PASS);
	proxy_cut(rabbit.proxy);
	jobs_finish(&job, 1);
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	assert_int_equal(unpublished(), 20);
	turn_until(publisher_is_open(publishers[1]));
	assert_int_equal(run(run_second), OK);
	assert_int_equal(queue_depth(ALL), 40);
	assert_int_equal(take_all(last, true), 20);
	assert_int_equal(unpublished(), 0);
}

/* Whoever waits for confirms may leave; what comes back for it goes nowhere. */
static void a_run_that_is_cancelled_leaves_nothing(void **state)
{
	struct job job = {.work = run_second};

	(void)state;
	assert_int_equal(run(run_second), OK);
	add_each(1);
	proxy_set(rabbit.proxy, PROXY_MUTE);
	job_start(&job);
	turn_until(queue_depth(ALL) == 4);
	task_cancel(job.task, FAULT_UNAVAILABLE);
	jobs_finish(&job, 1);
	assert_int_equal(job.fault, FAULT_UNAVAILABLE);
	assert_int_equal(unpublished(), 4);
	proxy_set(rabbit.proxy, PROXY_PASS);
	proxy_cut(rabbit.proxy);
	turn_until(!publisher_is_open(publishers[1]));
	turn_until(publisher_is_open(publishers[1]));
}

static void what_is_parked_is_counted(void **state)
{
	(void)state;
	observe("INSERT INTO inbox (queue, source, id, subject, sequence, parked) VALUES"
		" ('q', '/s', '3', 's', 3, '{}'), ('q', '/s', '4', 's', 4, '{}')");
	observe("INSERT INTO inbox (queue, source, id, subject) VALUES ('q', '/s', '5', 's')");
	assert_int_equal(run(run_first), OK);
	assert_int_equal(gauge_value(gauge_get("bodega_inbox_parked", "", NULL)), 2);
	observe("TRUNCATE inbox");
}

static void old_events_are_forgotten_once_published(void **state)
{
	(void)state;
	add_each(2);
	assert_int_equal(run(run_first), OK);
	observe("UPDATE outbox SET at = now() - interval '8 days' WHERE sequence = 1");
	add_each(1);
	observe("UPDATE outbox SET at = now() - interval '8 days' WHERE position IS NULL");
	observe("INSERT INTO inbox (queue, source, id, subject, at) VALUES"
		" ('q', '/s', '1', 's', now() - interval '31 days'), ('q', '/s', '2', 's', now())");
	assert_int_equal(run(sweep), OK);
	assert_int_equal(observe_number("SELECT count(*) FROM outbox"), 4 + 4);
	assert_int_equal(observe_number("SELECT count(*) FROM inbox"), 1);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(in_order_and_once),
		TEST(late_commits_are_not_passed_over),
		TEST(two_share_and_publish_each_once),
		TEST(partitions_are_shared_fairly),
		TEST(the_next_one_goes_on_when_the_lease_ends),
		TEST(who_leaves_is_not_waited_for),
		TEST(who_was_taken_over_marks_nothing),
		TEST(it_stops_at_the_first_that_is_refused),
		TEST(with_the_broker_away_events_wait),
		TEST(what_was_not_confirmed_is_sent_again),
		TEST(a_run_that_is_cancelled_leaves_nothing),
		TEST(what_is_parked_is_counted),
		TEST(old_events_are_forgotten_once_published),
	};
	const struct pg_statement *statements[16];
	struct pg_schema schema = {.statements = statements};
	int failed;

	for (size_t i = 0; i < relay_statement_count; i++)
		statements[schema.statement_count++] = relay_statements[i];
	statements[schema.statement_count++] = &event_add;
	if (migrated_world_begin("amqp_relay_test", "users", &schema, 8) != 0 ||
		rabbit_begin() != 0)
		return 1;
	for (size_t i = 0; i < 4; i++)
		people[i] = uuid_new();
	publishers[0] = publisher_new(world.loop, &rabbit.broker);
	publishers[1] = publisher_new(world.loop, &rabbit.proxied);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	for (size_t i = 0; i < 2; i++)
		publisher_free(publishers[i]);
	rabbit_end();
	migrated_world_end();
	return failed;
}
