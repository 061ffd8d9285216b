/* SPDX-License-Identifier: Apache-2.0
 * Consumers against PostgreSQL and RabbitMQ: once, in order, what fails, what is away, what dies.
 */
#include "amqp/testing.h"
#include "migrate/testing.h"

#include "amqp/consumer.h"

#define QUEUE "consumer_test"
#define DEAD QUEUE CONSUMER_DEAD

/* The effect of an event is a row of the outbox. */
static const struct pg_statement effect_add = {"effect_add", PG_WRITE,
	"SELECT outbox_add($3::text, $1::uuid, $2::bigint, $1::uuid, '{}')"};

static const char *const keys[] = {"consumertest.*"};

static struct publisher *publisher;
static struct consumer *consumers[2];
static struct uuid subjects[2];
static unsigned calls;
static unsigned failures; /* of the first subject that are still to come */
static enum fault failure;
static bool cut_after; /* the connection, before the commit */

static enum fault apply(struct task *t, struct pg_tx *tx, const struct event *event)
{
	calls++;
	TRY(pg_tx_query(t, tx, &effect_add,
		PG_VALUES(
			pg_uuid(&event->subject), pg_int64(event->sequence), pg_text(event->type)),
		NULL));
	if (failures > 0 && uuid_eq(&event->subject, &subjects[0])) {
		failures--;
		return fail(&t->scope, failure, "it cannot be done");
	}
	if (cut_after) {
		cut_after = false;
		proxy_cut(rabbit.proxy);
	}
	return OK;
}

static const struct consumer_queue queue = {
	.name = QUEUE, .keys = keys, .key_count = 1, .apply = apply, .delays_ms = {20, 40, 60}};

/* ---- what is sent, what was done ---- */

static void publish_text(const char *text)
{
	assert_int_equal(amqp_basic_publish(rabbit.observer, 1, amqp_cstring_bytes(BROKER_EXCHANGE),
				 amqp_cstring_bytes("consumertest.done"), false, false, NULL,
				 amqp_cstring_bytes(text)),
		AMQP_STATUS_OK);
}

/* sequence 0: one that stands alone */
static void publish(int64_t id, const struct uuid *subject, int64_t sequence)
{
	char number[24];
	struct event event = {
		.source = STR("/consumer_test"),
		.type = STR("bodega.consumertest.done"),
		.subject = *subject,
		.time_us = clock_wall_us(),
		.sequence = sequence,
		.person = *subject,
		.position = id,
		.data = STR("{}"),
	};
	struct scope s;
	struct buf b;

	snprintf(number, sizeof number, "%lld", (long long)id);
	event.id = str_from(number);
	scope_begin(&s);
	b = buf_new(s.arena);
	event_write(&b, &event);
	publish_text(scope_dup(&s, buf_str(&b)).at);
	scope_end(&s);
}

static long long effects(void)
{
	return observe_number("SELECT count(*) FROM outbox");
}

/* The sequences applied, in the order of applying. */
static const char *order_of(const struct uuid *subject)
{
	char sql[160], text[UUID_TEXT_LEN + 1];

	uuid_format(subject, text);
	snprintf(sql, sizeof sql,
		"SELECT string_agg(sequence::text, ' ' ORDER BY id) FROM outbox WHERE subject = "
		"'%s'",
		text);
	return observe(sql);
}

static uint64_t outcome(const char *name)
{
	return counter_value(counter_get("bodega_consumer_events_total", "",
		LABELS({"queue", STR(QUEUE)}, {"outcome", str_from(name)})));
}

static int64_t letters(void)
{
	return gauge_value(
		gauge_get("bodega_consumer_dead_letters", "", LABELS({"queue", STR(QUEUE)})));
}

static struct str header_of(const amqp_message_t *message, const char *name)
{
	const amqp_table_t *const headers = &message->properties.headers;

	for (int i = 0; i < headers->num_entries; i++)
		if (str_eq(link_str(headers->entries[i].key), str_from(name)))
			return link_str(headers->entries[i].value.value.bytes);
	return STR_NONE;
}

/* ---- before and after each ---- */

static int set_up(void **state)
{
	(void)state;
	observe("TRUNCATE outbox, inbox, inbox_subjects RESTART IDENTITY");
	calls = failures = 0;
	cut_after = false;
	for (size_t i = 0; i < 2; i++)
		subjects[i] = uuid_new();
	turn_until(publisher_is_open(publisher));
	consumers[0] = consumer_new(world.loop, &rabbit.proxied, publisher, &queue, 1);
	turn_until(consumer_is_open(consumers[0]));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		consumer_free(consumers[i]);
		consumers[i] = NULL;
	}
	proxy_set(rabbit.proxy, PROXY_PASS);
	assert_whole();
	forget_queue(QUEUE);
	forget_queue(DEAD);
	forget_queue(QUEUE ".delay.20");
	forget_queue(QUEUE ".delay.40");
	forget_queue(QUEUE ".delay.60");
	return 0;
}

/* ---- tests ---- */

static void each_is_applied_once(void **state)
{
	const uint64_t seen = outcome("seen");

	(void)state;
	for (int64_t id = 1; id <= 20; id++) {
		publish(id, &subjects[0], 0);
		publish(id, &subjects[0], 0);
	}
	turn_until(outcome("seen") == seen + 20);
	assert_int_equal(effects(), 20);
	turn_until(queue_depth(QUEUE) == 0);
	assert_int_equal(queue_depth(DEAD), 0);
}

static void of_one_subject_in_order(void **state)
{
	static const int64_t sent[] = {2, 4, 1, 1, 2, 5, 3, 3, 5, 6};
	const uint64_t parked = outcome("parked");

	(void)state;
	for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
		publish(sent[i], &subjects[0], sent[i]);
		publish(100 + (int64_t)i, &subjects[1], (int64_t)i + 1);
	}
	turn_until(effects() == 6 + 10);
	assert_string_equal(order_of(&subjects[0]), "1 2 3 4 5 6");
	assert_string_equal(order_of(&subjects[1]), "1 2 3 4 5 6 7 8 9 10");
	assert_int_equal(outcome("parked") - parked, 3);
	assert_int_equal(observe_number("SELECT count(*) FROM inbox"), 0);
}

static void a_failure_delays_and_takes_no_effect(void **state)
{
	(void)state;
	failures = 3;
	failure = FAULT_CONFLICT;
	publish(1, &subjects[0], 1);
	publish(2, &subjects[0], 2); /* waits in the inbox meanwhile */
	turn_until(effects() == 2);
	assert_string_equal(order_of(&subjects[0]), "1 2");
	assert_int_equal(calls, 5);
	assert_int_equal(queue_depth(DEAD), 0);
}

static void poison_becomes_a_dead_letter(void **state)
{
	amqp_message_t message;
	char *body;

	(void)state;
	failures = CONSUMER_TRIES;
	failure = FAULT_CONFLICT;
	publish(1, &subjects[0], 1);
	publish(2, &subjects[0], 2);
	publish(3, &subjects[1], 1);
	turn_until(failures == 0);
	turn_until(queue_depth(DEAD) == 1);
	turn_until(effects() == 1);
	assert_int_equal(effects(), 1); /* the other subject's */
	turn_until(letters() == 1);
	body = queue_get(DEAD, &message);
	assert_str_equal(header_of(&message, CONSUMER_REASON), STR("conflict: it cannot be done"));
	assert_str_equal(header_of(&message, CONSUMER_ATTEMPTS), STR("6"));
	assert_int_equal(header_of(&message, CONSUMER_FAILED_AT).len, 24);
	amqp_destroy_message(&message);
	/* redriven: it is applied, and so is the one that waited for it */
	amqp_basic_publish(rabbit.observer, 1, amqp_empty_bytes, amqp_cstring_bytes(QUEUE), false,
		false, NULL, amqp_cstring_bytes(body));
	free(body);
	turn_until(effects() == 3);
	assert_string_equal(order_of(&subjects[0]), "1 2");
}

static void what_is_no_event_is_dead_at_once(void **state)
{
	amqp_message_t message;
	char *body;

	(void)state;
	publish_text("poison");
	publish(1, &subjects[0], 1);
	turn_until(effects() == 1);
	turn_until(queue_depth(DEAD) == 1);
	body = queue_get(DEAD, &message);
	assert_string_equal(body, "poison");
	assert_true(str_starts(header_of(&message, CONSUMER_REASON), STR("bad_gateway: ")));
	assert_str_equal(header_of(&message, CONSUMER_ATTEMPTS), STR("1"));
	amqp_destroy_message(&message);
	free(body);
}

/* Not a word of it counts against the event, however often. */
static void while_something_is_away_it_waits(void **state)
{
	(void)state;
	failures = CONSUMER_TRIES + 1;
	failure = FAULT_UNAVAILABLE;
	publish(1, &subjects[0], 1);
	publish(2, &subjects[0], 2);
	turn_until(failures == 4);
	assert_int_equal(queue_depth(QUEUE ".delay.20"), 0);
	failures = 0;
	turn_until(effects() == 2);
	assert_string_equal(order_of(&subjects[0]), "1 2");
	assert_int_equal(queue_depth(DEAD), 0);
}

/* It has committed, but the broker never hears of it, and delivers it again. */
static void cut_between_commit_and_acknowledgement(void **state)
{
	struct counter *const lost = counter_get("bodega_rabbitmq_connections_lost_total", "",
		LABELS({"connection", STR("amqp-consume")}));
	const uint64_t seen = outcome("seen"), lost_before = counter_value(lost);

	(void)state;
	cut_after = true;
	publish(1, &subjects[0], 1);
	publish(2, &subjects[1], 0);
	turn_until(outcome("seen") == seen + 1);
	turn_until(effects() == 2);
	turn_until(queue_depth(QUEUE) == 0);
	assert_int_equal(calls, 2);
	publish(3, &subjects[1], 0); /* the new connection works: nothing of the old one was said */
	turn_until(effects() == 3);
	assert_int_equal(counter_value(lost), lost_before + 1);
}

/* Nobody gets to the end with it: each time the connection goes, as if the process had died. */
static void what_kills_its_consumer_is_buried(void **state)
{
	amqp_message_t message;
	char *body;

	(void)state;
	proxy_set(rabbit.proxy, PROXY_PASS);
	publish(1, &subjects[0], 1);
	for (int times = 0; times < CONSUMER_TRIES; times++) {
		failures = 1000000;
		failure = FAULT_UNAVAILABLE; /* holds it */
		turn_until(calls > 0 || queue_depth(DEAD) == 1);
		calls = 0;
		proxy_cut(rabbit.proxy);
		turn_until(queue_consumers(QUEUE) == 0);
		consumer_free(consumers[0]);
		consumers[0] = consumer_new(world.loop, &rabbit.proxied, publisher, &queue, 1);
	}
	turn_until(queue_depth(DEAD) == 1);
	body = queue_get(DEAD, &message);
	assert_str_equal(header_of(&message, CONSUMER_REASON),
		STR("internal: whoever had it ended before it was done"));
	amqp_destroy_message(&message);
	free(body);
	assert_int_equal(effects(), 0);
}

/* Only one of two is active; the other takes over. */
static void one_at_a_time_is_active(void **state)
{
	(void)state;
	consumers[1] = consumer_new(world.loop, &rabbit.broker, publisher, &queue, 1);
	turn_until(queue_consumers(QUEUE) == 2);
	proxy_set(rabbit.proxy, PROXY_MUTE); /* the first one hears nothing: the queue stands */
	for (int64_t id = 1; id <= 4; id++)
		publish(id, &subjects[0], 0);
	turn_until(queue_depth(QUEUE) == 3);
	for (int i = 0; i < 20; i++)
		loop_turn(world.loop, 5);
	assert_int_equal(calls, 0);
	proxy_set(rabbit.proxy, PROXY_REFUSE);
	proxy_cut(rabbit.proxy);
	turn_until(effects() == 4);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(each_is_applied_once),
		TEST(of_one_subject_in_order),
		TEST(a_failure_delays_and_takes_no_effect),
		TEST(poison_becomes_a_dead_letter),
		TEST(what_is_no_event_is_dead_at_once),
		TEST(while_something_is_away_it_waits),
		TEST(cut_between_commit_and_acknowledgement),
		TEST(what_kills_its_consumer_is_buried),
		TEST(one_at_a_time_is_active),
	};
	const struct pg_statement *statements[4];
	struct pg_schema schema = {.statements = statements};
	int failed;

	for (size_t i = 0; i < consumer_statement_count; i++)
		statements[schema.statement_count++] = consumer_statements[i];
	statements[schema.statement_count++] = &effect_add;
	if (migrated_world_begin("amqp_consumer_test", "users", &schema, 4) != 0 ||
		rabbit_begin() != 0)
		return 1;
	publisher = publisher_new(world.loop, &rabbit.broker);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	publisher_free(publisher);
	rabbit_end();
	migrated_world_end();
	return failed;
}
