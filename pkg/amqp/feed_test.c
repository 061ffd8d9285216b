/* SPDX-License-Identifier: Apache-2.0
 * What a loop hears: each event once and in order, and where it may have missed some. */
#include "amqp/testing.h"

#include "amqp/feed.h"

#include <unistd.h>

enum { HEARD_MAX = 64, MISSED = -1 };

static const char *const keys[] = {"livetest.*"};

static struct publisher *publisher;
static struct feed *feed;
static int64_t heard[HEARD_MAX]; /* positions, or MISSED */
static size_t heard_count;
static int64_t last_heard;

static void hear(struct loop *l, const struct event *event)
{
	(void)l;
	if (heard_count < HEARD_MAX)
		heard[heard_count] = event->position;
	last_heard = event->position;
	heard_count++;
}

static void miss(struct loop *l)
{
	(void)l;
	if (heard_count < HEARD_MAX)
		heard[heard_count] = MISSED;
	last_heard = MISSED;
	heard_count++;
}

static struct str event_at(struct scope *s, struct str source, int64_t position)
{
	const struct event event = {
		.id = STR("1"),
		.source = source,
		.type = STR("bodega.livetest.done"),
		.position = position,
		.partition = 3,
		.subject = uuid_new(),
		.person = uuid_new(),
		.time_us = clock_wall_us(),
		.data = STR("{}"),
	};
	struct buf b = buf_new(s->arena);

	event_write(&b, &event);
	return buf_str(&b);
}

/* Publishes three events, of the positions from `number` on. */
static enum fault publish(struct task *t, struct job *job)
{
	struct message messages[3];

	for (size_t i = 0; i < 3; i++)
		messages[i] = (struct message){
			.exchange = STR(BROKER_EXCHANGE),
			.key = STR("livetest.done"),
			.body = event_at(&t->scope, str_from(job->text), job->number + (int64_t)i),
			.content_type = STR(EVENT_CONTENT_TYPE),
		};
	return publisher_send(t, publisher, messages, 3, NULL);
}

/* Without the loop. */
static void observer_publish(int64_t position)
{
	struct scope s;

	scope_begin(&s);
	assert_int_equal(amqp_basic_publish(rabbit.observer, 1, amqp_cstring_bytes(BROKER_EXCHANGE),
				 amqp_cstring_bytes("livetest.done"), false, false, NULL,
				 link_bytes(event_at(&s, STR("/a"), position))),
		AMQP_STATUS_OK);
	scope_end(&s);
}

static void publish_from(const char *source, int64_t position)
{
	struct job job = {.work = publish, .number = position};

	snprintf(job.text, sizeof job.text, "%s", source);
	job_finish(&job);
	assert_int_equal(job.fault, OK);
}

static int set_up(void **state)
{
	const struct feed_config config = {
		.broker = rabbit.proxied,
		.keys = keys,
		.key_count = 1,
		.receive = hear,
		.missed = miss,
	};

	(void)state;
	heard_count = 0;
	feed = feed_new(&config);
	feed_join(feed, world.loop);
	turn_until(heard_count == 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	feed_leave(feed, world.loop);
	feed_free(feed);
	proxy_set(rabbit.proxy, PROXY_PASS);
	return 0;
}

static void assert_heard(const int64_t *expected, size_t count)
{
	for (size_t i = 0; i < heard_count || i < count; i++)
		if (i >= count || i >= heard_count || heard[i] != expected[i])
			fail_row(i, "heard %lld", i < heard_count ? (long long)heard[i] : -2LL);
}
#define HEARD(...)                                   \
	assert_heard((const int64_t[]){__VA_ARGS__}, \
		sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void in_order(void **state)
{
	(void)state;
	publish_from("/a", 1);
	publish_from("/a", 4);
	publish_from("/b", 1);
	turn_until(heard_count == 10);
	HEARD(MISSED, 1, 2, 3, 4, 5, 6, 1, 2, 3);
}

static void what_comes_again_is_dropped(void **state)
{
	(void)state;
	publish_from("/a", 4);
	publish_from("/a", 3);
	publish_from("/a", 5);
	publish_from("/b", 1);
	turn_until(heard_count == 8);
	HEARD(MISSED, 4, 5, 6, 7, 1, 2, 3);
}

static void a_cut_is_told(void **state)
{
	(void)state;
	publish_from("/a", 1);
	turn_until(heard_count == 4);
	proxy_cut(rabbit.proxy);
	turn_until(heard_count == 5);
	publish_from("/a", 7);
	turn_until(heard_count == 8);
	HEARD(MISSED, 1, 2, 3, MISSED, 7, 8, 9);
}

static void it_comes_back_by_itself(void **state)
{
	(void)state;
	proxy_set(rabbit.proxy, PROXY_REFUSE);
	proxy_cut(rabbit.proxy);
	turn_until(!feed_is_open(feed));
	publish_from("/a", 1);
	proxy_set(rabbit.proxy, PROXY_PASS);
	turn_until(heard_count == 2);
	publish_from("/a", 4);
	turn_until(heard_count == 5);
	HEARD(MISSED, MISSED, 4, 5, 6);
}

/* The loop does not turn while the observer publishes; then it hears the first ones, is told, and
 * hears what comes after that. */
static void a_loop_that_is_far_behind_is_told(void **state)
{
	struct counter *const came = counter_get("bodega_live_events_total", "", NULL);
	const uint64_t until = counter_value(came) + FEED_BEHIND_MAX + 100;

	(void)state;
	for (int64_t position = 1; position <= FEED_BEHIND_MAX + 100; position++)
		observer_publish(position);
	while (counter_value(came) < until)
		usleep(1000);
	assert_int_equal(heard_count, 1);
	turn_until(heard_count > FEED_BEHIND_MAX + 1);
	assert_int_equal(heard[1], 1);
	assert_int_equal(last_heard, MISSED);
	assert_int_equal(heard_count, 1 + FEED_BEHIND_MAX + 1);
	observer_publish(FEED_BEHIND_MAX + 101);
	turn_until(heard_count == 1 + FEED_BEHIND_MAX + 2);
	assert_int_equal(last_heard, FEED_BEHIND_MAX + 101);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_comes_again_is_dropped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cut_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_comes_back_by_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_loop_that_is_far_behind_is_told, set_up, tear_down),
	};
	int failed;

	if (world_begin("feed_test") != 0 || rabbit_begin() != 0)
		return 1;
	publisher = publisher_new(world.loop, &rabbit.broker);
	turn_until(publisher_is_open(publisher));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	publisher_free(publisher);
	rabbit_end();
	world_end();
	return failed;
}
