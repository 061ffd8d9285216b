/* SPDX-License-Identifier: Apache-2.0
 * The turn. libh2o's loop does the waiting and its own sockets and timeouts; how long it may wait
 * is decided here, from everything that could need the thread sooner: ready fibers, hooks,
 * messages, the earliest timer, and callbacks of libh2o's that were queued from outside its own
 * run. */
#include "fiber/loop.h"

#include "base/check.h"
#include "base/clock.h"
#include "fiber/private.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static _Thread_local struct loop *here;

static int32_t wait_for_ms(struct loop *l, int32_t wait_ms);
static bool has_work(const struct loop *l);
static void run_timers(struct loop *l);
static void run_messages(struct loop *l);
static void run_hooks(struct loop *l);
static struct list *reverse(struct list *newest_first);
static void wake(struct loop *l);
static void on_wake(h2o_socket_t *socket, const char *error);

struct loop *loop_new(struct loop_limits limits)
{
	struct loop *l = calloc(1, sizeof *l);

	CHECK(here == NULL && l != NULL);
	l->h2o = h2o_evloop_create();
	l->limits = limits;
	fiber_pool_init(&l->fibers, limits.stack_bytes, limits.stacks_spare);
	list_init(&l->ready);
	list_init(&l->hooks);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(l->wake_fd >= 0);
	l->wake_socket = h2o_evloop_socket_create(l->h2o, l->wake_fd, H2O_SOCKET_FLAG_DONT_READ);
	l->wake_socket->data = l;
	h2o_socket_read_start(l->wake_socket, on_wake);
	here = l;
	return l;
}

void loop_free(struct loop *l)
{
	CHECK(here == l && !l->turning);
	while (l->job_count > 0)
		loop_turn(l, INT32_MAX);
	CHECK(l->task_count == 0 && l->watch_count == 0 && list_is_empty(&l->hooks));
	while (atomic_load_explicit(&l->callers, memory_order_acquire) > 0)
		sched_yield(); /* who told it to stop may not have returned yet */
	h2o_socket_close(l->wake_socket);
	h2o_evloop_run(l->h2o, 0); /* frees what was closed */
	h2o_evloop_destroy(l->h2o);
	fiber_pool_clear(&l->fibers);
	timers_free(&l->timers);
	free(l);
	here = NULL;
	arena_trim();
}

struct loop *loop_here(void)
{
	return here;
}

struct st_h2o_evloop_t *loop_h2o(struct loop *l)
{
	return l->h2o;
}

void loop_run(struct loop *l)
{
	while (!atomic_load_explicit(&l->stop, memory_order_acquire))
		loop_turn(l, INT32_MAX);
	atomic_store_explicit(&l->stop, false, memory_order_relaxed);
}

void loop_turn(struct loop *l, int32_t wait_ms)
{
	CHECK(here == l && !l->turning);
	l->turning = true;
	wait_ms = wait_for_ms(l, wait_ms);
	l->now_us = 0;
	h2o_evloop_run(l->h2o, wait_ms);
	run_timers(l);
	run_messages(l);
	tasks_run(l);
	run_hooks(l);
	h2o_timeout__do_post_callback(l->h2o); /* runs what was written above to its end */
	l->turning = false;
}

void loop_stop(struct loop *l)
{
	atomic_fetch_add_explicit(&l->callers, 1, memory_order_relaxed);
	atomic_store_explicit(&l->stop, true, memory_order_release);
	wake(l);
	atomic_fetch_sub_explicit(&l->callers, 1, memory_order_release);
}

int64_t loop_now_us(struct loop *l)
{
	if (l->now_us == 0)
		l->now_us = clock_monotonic_us();
	return l->now_us;
}

void loop_timer_set(struct loop *l, struct loop_timer *timer, int64_t at_us)
{
	CHECK(timer->fire != NULL);
	timers_set(&l->timers, timer, at_us);
}

void loop_timer_clear(struct loop *l, struct loop_timer *timer)
{
	timers_clear(&l->timers, timer);
}

void loop_at_turn_end(struct loop *l, struct loop_hook *hook)
{
	if (!list_is_linked(&hook->link))
		list_append(&l->hooks, &hook->link);
}

void loop_hook_clear(struct loop_hook *hook)
{
	list_remove(&hook->link);
}

void loop_post(struct loop *l, struct loop_message *message)
{
	struct list *newest = atomic_load_explicit(&l->messages, memory_order_relaxed);

	atomic_fetch_add_explicit(&l->callers, 1, memory_order_relaxed);
	do
		message->link.next = newest;
	while (!atomic_compare_exchange_weak_explicit(
		&l->messages, &newest, &message->link, memory_order_release, memory_order_relaxed));
	if (newest == NULL) /* else whoever found it empty has woken the loop */
		wake(l);
	atomic_fetch_sub_explicit(&l->callers, 1, memory_order_release);
}

static int32_t wait_for_ms(struct loop *l, int32_t wait_ms)
{
	const int64_t next_us = timers_next_us(&l->timers);
	int64_t until_us;

	if (has_work(l))
		return 0;
	if (next_us == INT64_MAX)
		return wait_ms;
	until_us = next_us - clock_monotonic_us();
	if (until_us <= 0)
		return 0;
	/* up, or the last millisecond would be spent in turns that find nothing due */
	until_us = until_us / 1000 + (until_us % 1000 > 0);
	return until_us < wait_ms ? (int32_t)until_us : wait_ms;
}

static bool has_work(const struct loop *l)
{
	return !list_is_empty(&l->ready) || !list_is_empty(&l->hooks) ||
	       l->h2o->_pending_as_client != NULL || l->h2o->_pending_as_server != NULL ||
	       atomic_load_explicit(&l->messages, memory_order_relaxed) != NULL ||
	       atomic_load_explicit(&l->stop, memory_order_relaxed);
}

/* No more than were set at the start: one that sets itself again to now fires in the next turn. */
static void run_timers(struct loop *l)
{
	const int64_t now_us = loop_now_us(l);
	struct loop_timer *timer;

	for (size_t left = l->timers.count; left > 0; left--) {
		timer = timers_take(&l->timers, now_us);
		if (timer == NULL)
			return;
		timer->fire(timer);
	}
}

static void run_messages(struct loop *l)
{
	struct list *link = atomic_exchange_explicit(&l->messages, NULL, memory_order_acquire);
	struct list *next;

	for (link = reverse(link); link != NULL; link = next) {
		struct loop_message *message = CONTAINER_OF(link, struct loop_message, link);

		next = link->next;
		message->run(message);
	}
}

/* Those asked for now; one that asks again runs at the end of the next turn. */
static void run_hooks(struct loop *l)
{
	struct list now, *link;

	if (list_is_empty(&l->hooks))
		return;
	list_init(&now);
	list_append(&l->hooks, &now); /* the new anchor takes the old one's place */
	list_remove(&l->hooks);
	list_init(&l->hooks);
	while ((link = list_take(&now)) != NULL) {
		struct loop_hook *hook = CONTAINER_OF(link, struct loop_hook, link);

		hook->run(hook);
	}
}

static struct list *reverse(struct list *newest_first)
{
	struct list *oldest_first = NULL;

	while (newest_first != NULL) {
		struct list *next = newest_first->next;

		newest_first->next = oldest_first;
		oldest_first = newest_first;
		newest_first = next;
	}
	return oldest_first;
}

static void wake(struct loop *l)
{
	const uint64_t one = 1;

	/* EAGAIN, the counter being full, would mean that it is awake. */
	(void)!write(l->wake_fd, &one, sizeof one);
}

static void on_wake(h2o_socket_t *socket, const char *error)
{
	const struct loop *l = socket->data;
	uint64_t count;

	(void)error;
	(void)!read(l->wake_fd, &count, sizeof count);
}
