/* SPDX-License-Identifier: Apache-2.0
 * A thread's listeners. What RabbitMQ brings is sent at once to those that have caught up; to the
 * others it is only a hint that there is more to read: they read it from its owner, so nothing is
 * kept for them here. So there is no gap and no repeat where replay and live meet: a listener hears
 * before it reads, and it is live when it has read up to the last position it heard of. When
 * events may have been missed all catch up again, a few at a time. */
#include "live.h"

#include "auth/token.h"
#include "base/check.h"
#include "base/clock.h"
#include "metrics/metrics.h"

#include <stdlib.h>

enum {
	BUCKETS = 1024,
	CATCHING_UP_MAX = 32, /* at a time, a thread */
	CATCH_UP_US = 10000000, /* a page */
	RETRY_US = 2000000, /* when a source is away */
};

struct hub {
	struct loop *loop;
	struct list buckets[BUCKETS];
	struct list waiting; /* to catch up */
	struct list later; /* the same, after RETRY_US */
	size_t catching_up;
	struct loop_timer retry;
	struct loop_hook start; /* of those that wait */
	struct counter *catch_ups;
	struct counter *faults;
};

static _Thread_local struct hub *hub;

static struct list *bucket_of(const struct uuid *person);
static void on_event(struct loop *l, const struct event *event);
static void send(struct listener *listener, const struct event *event, size_t source);
static void end_session(const struct event *event);
static void end_streams(const struct uuid *person, const struct uuid *session);
static void on_missed(struct loop *l);
static void catch_up(struct listener *listener);
static void start_waiting(struct loop_hook *hook);
static void run(struct task *t, void *arg);
static void done(struct task *t, void *arg);
static void retry(struct loop_timer *timer);
static bool is_live(const struct listener *listener);

static const char *const keys[] = {"order.*", "product.*", "session.ended", "user.deleted"};

const struct service_events hub_events = {
	.live_keys = keys,
	.live_key_count = sizeof keys / sizeof *keys,
	.receive = on_event,
	.missed = on_missed,
};

void hub_start(struct loop *l)
{
	hub = calloc(1, sizeof *hub);
	CHECK(hub != NULL);
	hub->loop = l;
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&hub->buckets[i]);
	list_init(&hub->waiting);
	list_init(&hub->later);
	hub->retry.fire = retry;
	hub->start.run = start_waiting;
	hub->catch_ups = counter_get("bodega_live_catch_ups_total",
		"Times that a live stream read what it had missed.", NULL);
	hub->faults = counter_get("bodega_live_catch_up_faults_total",
		"Times that it could not, because a service was away.", NULL);
	ended_start(l);
}

/* All streams have ended. */
void hub_stop(struct loop *l)
{
	ended_stop();
	while (hub->catching_up > 0)
		loop_turn(l, 10);
	loop_timer_clear(l, &hub->retry);
	loop_hook_clear(&hub->start);
	free(hub);
	hub = NULL;
}

void hub_add(struct listener *listener)
{
	list_append(bucket_of(&listener->person), &listener->of_person);
	catch_up(listener);
}

void hub_drop(struct listener *listener)
{
	list_remove(&listener->of_person);
	list_remove(&listener->waiting);
	if (listener->task != NULL)
		task_cancel(listener->task, FAULT_CANCELED); /* it frees it */
	else
		free(listener);
}

/* The last bytes of our ids are random. */
static struct list *bucket_of(const struct uuid *person)
{
	return &hub->buckets[(person->bytes[14] << 8 | person->bytes[15]) % BUCKETS];
}

/* ---- what comes from RabbitMQ ---- */

static void on_event(struct loop *l, const struct event *event)
{
	struct list *const bucket = bucket_of(&event->person);
	const size_t source = replay_source(event->source);

	(void)l;
	if (source == LIVE_SOURCES) {
		end_session(event);
		return;
	}
	for (struct list *at = bucket->next; at != bucket; at = at->next) {
		struct listener *const listener = CONTAINER_OF(at, struct listener, of_person);

		if (uuid_eq(&listener->person, &event->person))
			send(listener, event, source);
	}
}

static void send(struct listener *listener, const struct event *event, size_t source)
{
	struct progress *const progress = &listener->progress[source];
	struct scope s;

	if (!progress->live) {
		if (event->position > progress->heard)
			progress->heard = event->position;
		return;
	}
	scope_begin(&s);
	replay_send(&s, listener, source, event);
	scope_end(&s);
}

/* Of users. */
static void end_session(const struct event *event)
{
	if (str_eq(event->type, STR("bodega.user.deleted")))
		end_streams(&event->person, NULL);
	else if (str_eq(event->type, STR("bodega.session.ended")))
		hub_end_session(&event->person, &event->subject,
			clock_wall_us() / 1000000 + TOKEN_TTL_S + TOKEN_LEEWAY_S);
}

void hub_end_session(const struct uuid *person, const struct uuid *session, int64_t until_s)
{
	verifier_refuse_session(service_verifier(), session, until_s);
	end_streams(person, session);
}

/* Of all sessions when it is NULL. */
static void end_streams(const struct uuid *person, const struct uuid *session)
{
	struct list *const bucket = bucket_of(person);

	for (struct list *at = bucket->next; at != bucket; at = at->next) {
		struct listener *const listener = CONTAINER_OF(at, struct listener, of_person);

		if (uuid_eq(&listener->person, person) &&
			(session == NULL || uuid_eq(&listener->session, session)))
			live_end(listener->live, LIVE_REFUSED);
	}
}

static void on_missed(struct loop *l)
{
	(void)l;
	ended_ask();
	for (size_t i = 0; i < BUCKETS; i++) {
		struct list *const bucket = &hub->buckets[i];

		for (struct list *at = bucket->next; at != bucket; at = at->next)
			catch_up(CONTAINER_OF(at, struct listener, of_person));
	}
}

/* ---- catching up ---- */

static void catch_up(struct listener *listener)
{
	for (size_t i = 0; i < LIVE_SOURCES; i++)
		listener->progress[i].live = false;
	if (listener->task != NULL) {
		listener->again = true;
		return;
	}
	list_remove(&listener->waiting);
	list_append(&hub->waiting, &listener->waiting);
	loop_at_turn_end(hub->loop, &hub->start);
}

static void start_waiting(struct loop_hook *hook)
{
	(void)hook;
	while (hub->catching_up < CATCHING_UP_MAX && !list_is_empty(&hub->waiting)) {
		struct listener *const listener =
			CONTAINER_OF(list_take(&hub->waiting), struct listener, waiting);
		const int64_t until_us = loop_now_us(hub->loop) + CATCH_UP_US;

		listener->again = false;
		if (task_start(hub->loop, until_us, run, done, listener, &listener->task) != OK) {
			list_append(&hub->later, &listener->waiting);
			break;
		}
		hub->catching_up++;
		counter_inc(hub->catch_ups);
	}
	if (!list_is_empty(&hub->later) && hub->retry.slot == 0)
		loop_timer_set(hub->loop, &hub->retry, loop_now_us(hub->loop) + RETRY_US);
}

static void run(struct task *t, void *arg)
{
	t->actor = STR("system");
	if (replay(t, arg) != OK)
		counter_inc(hub->faults);
}

static void done(struct task *t, void *arg)
{
	struct listener *const listener = arg;

	(void)t;
	hub->catching_up--;
	listener->task = NULL;
	if (listener->live == NULL)
		free(listener);
	else if (listener->again)
		list_append(&hub->waiting, &listener->waiting);
	else if (!is_live(listener))
		list_append(&hub->later, &listener->waiting);
	loop_at_turn_end(hub->loop, &hub->start);
}

static bool is_live(const struct listener *listener)
{
	for (size_t i = 0; i < LIVE_SOURCES; i++)
		if (!listener->progress[i].live)
			return false;
	return true;
}

static void retry(struct loop_timer *timer)
{
	struct list *link;

	(void)timer;
	while ((link = list_take(&hub->later)) != NULL)
		list_append(&hub->waiting, link);
	loop_at_turn_end(hub->loop, &hub->start);
}
