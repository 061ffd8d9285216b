/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/clock.h"
#include "base/random.h"
#include "fiber/task.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define S INT64_C(1000000)

static struct loop *loop;
static char events[64];

static void note(char c)
{
	const size_t len = strlen(events);

	if (len + 1 < sizeof events)
		events[len] = c;
}

static int make_loop(void **state)
{
	(void)state;
	loop = loop_new(LOOP_LIMITS_DEFAULT);
	memset(events, 0, sizeof events);
	return 0;
}

static int free_loop(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

/* ---- timers ---- */

static int64_t last_fired_us;
static unsigned fired, fired_early;

static void record_order(struct loop_timer *timer)
{
	fired_early += timer->at_us < last_fired_us || timer->at_us > loop_now_us(loop);
	last_fired_us = timer->at_us;
	fired++;
}

static void timers_fire_in_order_however_they_are_moved(void **state)
{
	enum { COUNT = 2000 };
	static struct loop_timer timers[COUNT];
	const int64_t start_us = loop_now_us(loop);
	unsigned set = 0;

	(void)state;
	memset(timers, 0, sizeof timers);
	fired = fired_early = 0;
	last_fired_us = 0;
	random_seed(7);
	for (int i = 0; i < 5 * COUNT; i++) {
		struct loop_timer *timer = &timers[random_below(COUNT)];

		timer->fire = record_order;
		if (random_below(5) == 0)
			loop_timer_clear(loop, timer);
		else
			loop_timer_set(loop, timer, start_us + (int64_t)random_below(10 * S));
	}
	for (int i = 0; i < COUNT; i++)
		set += timers[i].slot != 0;
	for (int i = 0; i < 12; i++) {
		clock_advance_us(1 * S);
		loop_turn(loop, 0);
	}
	clock_advance_us(-12 * S);
	assert_int_equal(fired, set);
	assert_int_equal(fired_early, 0);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(timers[i].slot, 0);
}

static void set_again(struct loop_timer *timer)
{
	fired++;
	loop_timer_set(loop, timer, loop_now_us(loop));
}

static void a_timer_that_sets_itself_fires_once_a_turn(void **state)
{
	struct loop_timer timer = {.fire = set_again};

	(void)state;
	fired = 0;
	loop_timer_set(loop, &timer, 0);
	assert_int_equal(fired, 0);
	loop_turn(loop, 1000);
	assert_int_equal(fired, 1);
	loop_turn(loop, 1000);
	assert_int_equal(fired, 2);
	loop_timer_clear(loop, &timer);
	loop_timer_clear(loop, &timer);
	loop_turn(loop, 0);
	assert_int_equal(fired, 2);
}

static void a_turn_waits_for_the_next_timer_and_no_longer(void **state)
{
	struct loop_timer timer = {.fire = record_order};
	const int64_t start_us = clock_monotonic_us();

	(void)state;
	fired = fired_early = 0;
	last_fired_us = 0;
	loop_timer_set(loop, &timer, loop_now_us(loop) + 20000);
	loop_turn(loop, 60000);
	assert_int_equal(fired, 1);
	assert_int_equal(fired_early, 0);
	assert_in_range(clock_monotonic_us() - start_us, 20000, 10 * S);
}

/* ---- end of turn ---- */

static unsigned ran;

static void count_run(struct loop_hook *hook)
{
	(void)hook;
	ran++;
	note('h');
}

static void run_again(struct loop_hook *hook)
{
	ran++;
	loop_at_turn_end(loop, hook);
}

static void hooks_run_once_a_turn(void **state)
{
	struct loop_hook a = {.run = count_run}, b = {.run = count_run}, again = {.run = run_again};

	(void)state;
	ran = 0;
	loop_at_turn_end(loop, &a);
	loop_at_turn_end(loop, &a);
	loop_at_turn_end(loop, &b);
	loop_hook_clear(&b);
	loop_hook_clear(&b);
	loop_turn(loop, 1000);
	assert_int_equal(ran, 1);
	loop_at_turn_end(loop, &again);
	loop_turn(loop, 1000);
	loop_turn(loop, 1000);
	assert_int_equal(ran, 3);
	loop_hook_clear(&again);
	loop_turn(loop, 0);
	assert_int_equal(ran, 3);
}

static void asking_twice_disturbs_no_other_hook(void **state)
{
	struct loop_hook a = {.run = count_run}, b = {.run = count_run};

	(void)state;
	ran = 0;
	loop_at_turn_end(loop, &a);
	loop_at_turn_end(loop, &b);
	loop_at_turn_end(loop, &a);
	loop_turn(loop, 1000);
	assert_int_equal(ran, 2);
}

static struct loop_hook clears, cleared;

static void clear_the_other(struct loop_hook *hook)
{
	(void)hook;
	note('c');
	loop_hook_clear(&cleared);
}

static void a_hook_may_take_back_another(void **state)
{
	(void)state;
	clears = (struct loop_hook){.run = clear_the_other};
	cleared = (struct loop_hook){.run = count_run};
	loop_at_turn_end(loop, &clears);
	loop_at_turn_end(loop, &cleared);
	loop_turn(loop, 0);
	assert_string_equal(events, "c");
}

static void note_timer(struct loop_timer *timer)
{
	(void)timer;
	note('t');
}

static void note_message(struct loop_message *message)
{
	(void)message;
	note('m');
}

static void note_fiber(struct task *t, void *arg)
{
	(void)t, (void)arg;
	note('f');
}

static void note_socket(void *owner)
{
	(void)owner;
	note('s');
}

static void a_turn_has_its_order(void **state)
{
	static const struct loop_watch_events watched = {.writable = note_socket};
	struct loop_hook hook = {.run = count_run};
	struct loop_timer timer = {.fire = note_timer};
	struct loop_message message = {.run = note_message};
	struct loop_watch *watch;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	watch = loop_watch_new(loop, ends[0], &watched, NULL);
	loop_at_turn_end(loop, &hook);
	assert_int_equal(task_start(loop, INT64_MAX, note_fiber, NULL, NULL, NULL), OK);
	loop_post(loop, &message);
	loop_timer_set(loop, &timer, 0);
	loop_watch_write(watch);
	loop_turn(loop, 1000);
	assert_string_equal(events, "stmfh");
	loop_watch_free(&watch);
	close(ends[0]);
	close(ends[1]);
}

static void yield_often(struct task *t, void *arg)
{
	for (int i = 0; i < 3 * LOOP_RESUMES_MAX; i++)
		if (task_yield(t) != OK)
			return;
	*(bool *)arg = true;
}

static void what_is_to_be_done_is_not_kept_waiting(void **state)
{
	const int64_t start_us = clock_monotonic_us();
	struct loop_hook again = {.run = run_again};
	struct loop_message message = {.run = note_message};
	bool yielded = false;

	(void)state;
	ran = 0;
	loop_at_turn_end(loop, &again);
	loop_turn(loop, 30000);
	loop_turn(loop, 30000);
	loop_hook_clear(&again);
	assert_int_equal(ran, 2);
	assert_int_equal(task_start(loop, INT64_MAX, yield_often, NULL, &yielded, NULL), OK);
	while (!yielded)
		loop_turn(loop, 30000);
	loop_post(loop, &message);
	loop_turn(loop, 30000);
	assert_string_equal(events, "m");
	assert_in_range(clock_monotonic_us() - start_us, 0, 20 * S);
}

/* ---- descriptors ---- */

struct peer {
	int fd;
	struct loop_watch *watch;
	unsigned readable;
	unsigned writable;
	bool drain;
	bool free_when_readable;
	bool free_when_writable;
};

static void on_readable(void *owner)
{
	struct peer *p = owner;
	char bytes[64];

	p->readable++;
	if (p->drain)
		while (read(p->fd, bytes, sizeof bytes) > 0)
			;
	if (p->free_when_readable)
		loop_watch_free(&p->watch);
}

static void on_writable(void *owner)
{
	struct peer *p = owner;

	p->writable++;
	if (p->free_when_writable)
		loop_watch_free(&p->watch);
}

static const struct loop_watch_events peer_events = {on_readable, on_writable};

static void connect_peer(struct peer *p, int *other)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	*p = (struct peer){.fd = ends[0]};
	*other = ends[1];
	p->watch = loop_watch_new(loop, p->fd, &peer_events, p);
	assert_non_null(p->watch);
}

static void reading_is_told_as_long_as_there_is_something(void **state)
{
	struct peer p;
	int other;

	(void)state;
	connect_peer(&p, &other);
	loop_turn(loop, 0);
	assert_int_equal(p.readable, 0);
	assert_int_equal(write(other, "x", 1), 1);
	loop_turn(loop, 1000);
	loop_turn(loop, 1000);
	assert_int_equal(p.readable, 2);
	loop_watch_read(p.watch, false);
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	assert_int_equal(p.readable, 2);
	p.drain = true;
	loop_watch_read(p.watch, true);
	loop_watch_read(p.watch, true);
	loop_turn(loop, 1000);
	loop_turn(loop, 0);
	assert_int_equal(p.readable, 3);
	close(other);
	loop_turn(loop, 1000);
	assert_int_equal(p.readable, 4);
	loop_watch_free(&p.watch);
	assert_null(p.watch);
	loop_watch_free(&p.watch);
	close(p.fd);
}

static void writing_is_told_once_for_each_asking(void **state)
{
	struct peer p;
	int other;

	(void)state;
	connect_peer(&p, &other);
	loop_watch_write(p.watch);
	loop_watch_write(p.watch);
	loop_turn(loop, 1000);
	loop_turn(loop, 0);
	assert_int_equal(p.writable, 1);
	loop_watch_write(p.watch);
	loop_turn(loop, 1000);
	assert_int_equal(p.writable, 2);
	loop_watch_free(&p.watch);
	close(p.fd);
	close(other);
}

static void a_watch_may_be_freed_in_its_own_events(void **state)
{
	struct peer reader, writer, both;
	int others[3];

	(void)state;
	connect_peer(&reader, &others[0]);
	connect_peer(&writer, &others[1]);
	connect_peer(&both, &others[2]);
	reader.free_when_readable = true;
	writer.free_when_writable = true;
	both.free_when_readable = both.free_when_writable = true;
	assert_int_equal(write(others[0], "x", 1), 1);
	assert_int_equal(write(others[2], "x", 1), 1);
	loop_watch_write(writer.watch);
	loop_watch_write(both.watch);
	for (int i = 0; i < 3; i++)
		loop_turn(loop, 0);
	assert_null(reader.watch);
	assert_null(writer.watch);
	assert_null(both.watch);
	assert_int_equal(reader.readable, 1);
	assert_int_equal(writer.writable, 1);
	assert_int_equal(both.readable + both.writable, 1);
	for (int i = 0; i < 3; i++)
		close(others[i]);
	close(reader.fd);
	close(writer.fd);
	close(both.fd);
}

static void the_owner_may_close_its_descriptor_first(void **state)
{
	struct peer p;
	int other;

	(void)state;
	connect_peer(&p, &other);
	close(p.fd);
	assert_int_equal(write(other, "x", 1), 1);
	loop_turn(loop, 1000);
	assert_int_equal(p.readable, 1); /* by the duplicate */
	loop_watch_free(&p.watch);
	loop_turn(loop, 0);
	assert_int_equal(p.readable, 1);
	close(other);
}

static void without_descriptors_there_is_no_watch(void **state)
{
	struct rlimit before, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 1, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_null(loop_watch_new(loop, 0, &peer_events, NULL));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* ---- other threads ---- */

enum { SENDERS = 4, MESSAGES = 5000 };

struct numbered {
	struct loop_message message;
	int sender;
	int number;
};

static int next_number[SENDERS];
static unsigned received, out_of_order;

static void on_numbered(struct loop_message *message)
{
	struct numbered *n = CONTAINER_OF(message, struct numbered, message);

	out_of_order += n->number != next_number[n->sender]++;
	free(n);
	if (++received == SENDERS * MESSAGES)
		loop_stop(loop);
}

static void *send_messages(void *arg)
{
	for (int i = 0; i < MESSAGES; i++) {
		struct numbered *n = malloc(sizeof *n);

		*n = (struct numbered){{.run = on_numbered}, (int)(intptr_t)arg, i};
		loop_post(loop, &n->message);
	}
	return NULL;
}

static void messages_arrive_in_each_senders_order(void **state)
{
	pthread_t senders[SENDERS];

	(void)state;
	received = out_of_order = 0;
	memset(next_number, 0, sizeof next_number);
	for (intptr_t i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&senders[i], NULL, send_messages, (void *)i), 0);
	loop_run(loop);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(senders[i], NULL);
	assert_int_equal(received, SENDERS * MESSAGES);
	assert_int_equal(out_of_order, 0);
}

static void *stop_it(void *arg)
{
	loop_stop(arg);
	return NULL;
}

static void another_thread_can_stop_a_loop_that_waits(void **state)
{
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pthread_create(&thread, NULL, stop_it, loop), 0);
		loop_run(loop);
		pthread_join(thread, NULL);
	}
}

/* ---- the loop itself ---- */

static void now_is_read_after_the_wait(void **state)
{
	struct loop_timer timer = {.fire = note_timer};
	int64_t before_us = loop_now_us(loop);

	(void)state;
	loop_timer_set(loop, &timer, before_us + 5000);
	loop_turn(loop, 1000);
	assert_true(loop_now_us(loop) >= before_us + 5000);
	before_us = loop_now_us(loop);
	assert_int_equal(loop_now_us(loop), before_us);
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(d) != NULL)
		count++;
	closedir(d);
	return count;
}

static void a_freed_loop_leaves_nothing_behind(void **state)
{
	enum { ROUNDS = 5 };
	unsigned before = 0;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		make_loop(NULL);
		assert_ptr_equal(loop_here(), loop);
		assert_non_null(loop_h2o(loop));
		loop_turn(loop, 0);
		free_loop(NULL);
		assert_null(loop_here());
		if (i == 0)
			before = open_descriptors();
	}
	/* libh2o 2.2.5 does not close its own epoll descriptor */
	assert_in_range(open_descriptors(), before, before + ROUNDS - 1);
}

#define ON_A_LOOP(test) cmocka_unit_test_setup_teardown(test, make_loop, free_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_LOOP(timers_fire_in_order_however_they_are_moved),
		ON_A_LOOP(a_timer_that_sets_itself_fires_once_a_turn),
		ON_A_LOOP(a_turn_waits_for_the_next_timer_and_no_longer),
		ON_A_LOOP(hooks_run_once_a_turn),
		ON_A_LOOP(asking_twice_disturbs_no_other_hook),
		ON_A_LOOP(a_hook_may_take_back_another),
		ON_A_LOOP(a_turn_has_its_order),
		ON_A_LOOP(what_is_to_be_done_is_not_kept_waiting),
		ON_A_LOOP(reading_is_told_as_long_as_there_is_something),
		ON_A_LOOP(writing_is_told_once_for_each_asking),
		ON_A_LOOP(a_watch_may_be_freed_in_its_own_events),
		ON_A_LOOP(the_owner_may_close_its_descriptor_first),
		ON_A_LOOP(without_descriptors_there_is_no_watch),
		ON_A_LOOP(messages_arrive_in_each_senders_order),
		ON_A_LOOP(another_thread_can_stop_a_loop_that_waits),
		ON_A_LOOP(now_is_read_after_the_wait),
		cmocka_unit_test(a_freed_loop_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
