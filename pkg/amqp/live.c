/* SPDX-License-Identifier: Apache-2.0
 * One connection's thread reads the queue and posts each event to all loops; they share its bytes
 * by a count. To each loop messages come in the order of posting, so `missed` stands where the gap
 * is. */
#include "amqp/live.h"

#include "amqp/link.h"
#include "base/check.h"
#include "base/list.h"
#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { SOURCES_MAX = 8, SOURCE_CHARS = 32 };

/* A loop that hears. */
struct member {
	struct list link; /* of its live, guarded by its lock */
	struct loop *loop;
	size_t behind; /* posts that have not run; guarded by the lock */
	bool lost; /* too many: nothing is posted until it has caught up; guarded by the lock */
};

/* An event that several loops look at. */
struct shared {
	atomic_uint count;
	struct event event;
	char bytes[];
};

struct post {
	struct loop_message message;
	struct live *live;
	struct member *member;
	struct shared *shared; /* NULL: some were missed */
};

/* The last position that came of each partition. */
struct seen {
	char source[SOURCE_CHARS];
	int64_t positions[EVENT_PARTITIONS];
};

struct live {
	struct link link;
	struct live_config config;
	pthread_mutex_t lock;
	struct list members;
	struct seen seen[SOURCES_MAX]; /* the connection's thread's */
	struct counter *events;
	struct counter *repeats;
	struct counter *missed;
};

static bool opened(struct link *l, void *owner);
static bool work(struct link *l, void *owner);
static void closed(struct link *l, void *owner);
static void take(struct live *live, struct str body);
static bool is_repeat(struct live *live, const struct event *event);
static struct shared *share(const struct event *event);
static void give_back(struct shared *shared);
static void post_to_all(struct live *live, struct shared *shared);
static void post(struct live *live, struct member *member, struct shared *shared);
static void arrive(struct loop_message *message);
static struct member *member_of(struct live *live, const struct loop *l);

static const struct link_use use = {
	.name = "amqp-live", .opened = opened, .work = work, .closed = closed};

struct live *live_new(const struct live_config *config)
{
	struct live *const live = calloc(1, sizeof *live);

	CHECK(live != NULL);
	live->config = *config;
	list_init(&live->members);
	CHECK(pthread_mutex_init(&live->lock, NULL) == 0);
	live->events = counter_get("bodega_live_events_total",
		"Events that came from RabbitMQ for live streams.", NULL);
	live->repeats = counter_get(
		"bodega_live_repeats_total", "Events that had come before and were dropped.", NULL);
	live->missed = counter_get("bodega_live_missed_total",
		"Times that a loop was told that it may have missed events.", NULL);
	link_start(&live->link, &use, live, &config->broker);
	return live;
}

void live_free(struct live *live)
{
	if (live == NULL)
		return;
	link_stop(&live->link);
	CHECK(list_is_empty(&live->members));
	pthread_mutex_destroy(&live->lock);
	free(live);
}

bool live_is_open(const struct live *live)
{
	return atomic_load(&live->link.open);
}

void live_join(struct live *live, struct loop *l)
{
	struct member *const member = calloc(1, sizeof *member);

	CHECK(member != NULL);
	member->loop = l;
	pthread_mutex_lock(&live->lock);
	list_append(&live->members, &member->link);
	if (live_is_open(live))
		post(live, member, NULL);
	pthread_mutex_unlock(&live->lock);
}

void live_leave(struct live *live, struct loop *l)
{
	struct member *const member = member_of(live, l);
	size_t behind;

	CHECK(member != NULL);
	pthread_mutex_lock(&live->lock);
	list_remove(&member->link);
	pthread_mutex_unlock(&live->lock);
	do {
		loop_turn(l, 0);
		pthread_mutex_lock(&live->lock);
		behind = member->behind;
		pthread_mutex_unlock(&live->lock);
	} while (behind > 0);
	free(member);
}

static struct member *member_of(struct live *live, const struct loop *l)
{
	struct member *found = NULL;

	pthread_mutex_lock(&live->lock);
	for (struct list *link = live->members.next; link != &live->members; link = link->next)
		if (CONTAINER_OF(link, struct member, link)->loop == l)
			found = CONTAINER_OF(link, struct member, link);
	pthread_mutex_unlock(&live->lock);
	return found;
}

/* On the loop. One that could not keep up has caught up when nothing is on its way any more: from
 * then on it is posted to again, and is told where the gap is. */
static void arrive(struct loop_message *message)
{
	struct post *const p = CONTAINER_OF(message, struct post, message);
	struct live *const live = p->live;
	struct member *const member = p->member;
	struct loop *const l = member->loop;
	bool was_lost;

	if (p->shared != NULL) {
		live->config.receive(l, &p->shared->event);
		give_back(p->shared);
	} else {
		counter_inc(live->missed);
		live->config.missed(l);
	}
	pthread_mutex_lock(&live->lock);
	member->behind--;
	was_lost = member->lost && member->behind == 0;
	if (was_lost)
		member->lost = false;
	if (was_lost && list_is_linked(&member->link))
		post(live, member, NULL);
	pthread_mutex_unlock(&live->lock);
	free(p);
}

/* ---- on the connection's thread ---- */

static bool opened(struct link *l, void *owner)
{
	struct live *const live = owner;
	amqp_queue_declare_ok_t *const made = amqp_queue_declare(l->connection, LINK_CHANNEL,
		amqp_empty_bytes, false, false, true, true, amqp_empty_table);
	char name[128];
	amqp_bytes_t queue;

	if (!link_done(l, "queue"))
		return false;
	snprintf(name, sizeof name, "%.*s", STR_ARG(link_str(made->queue)));
	queue = amqp_cstring_bytes(name);
	for (size_t i = 0; i < live->config.key_count; i++) {
		amqp_queue_bind(l->connection, LINK_CHANNEL, queue,
			amqp_cstring_bytes(BROKER_EXCHANGE),
			amqp_cstring_bytes(live->config.keys[i]), amqp_empty_table);
		if (!link_done(l, "binding"))
			return false;
	}
	amqp_basic_consume(l->connection, LINK_CHANNEL, queue, amqp_empty_bytes, false, true, true,
		amqp_empty_table);
	if (!link_done(l, "subscription"))
		return false;
	pthread_mutex_lock(&live->lock);
	atomic_store(&l->open, true); /* before anybody joins who would not be told */
	post_to_all(live, NULL);
	pthread_mutex_unlock(&live->lock);
	return true;
}

static bool work(struct link *l, void *owner)
{
	struct live *const live = owner;
	bool got;

	do {
		amqp_envelope_t envelope;

		if (!link_delivery(l, &envelope, &got))
			return false;
		if (got) {
			take(live, link_str(envelope.message.body));
			amqp_destroy_envelope(&envelope);
		}
	} while (got);
	return true;
}

static void closed(struct link *l, void *owner)
{
	(void)l;
	(void)owner;
}

static void take(struct live *live, struct str body)
{
	struct event event;
	struct scope s;

	scope_begin(&s);
	counter_inc(live->events);
	if (event_read(&s, body, &event) != OK) {
		log_line(LEVEL_ERROR, "not an event", LOG_STR("why", s.detail));
	} else if (is_repeat(live, &event)) {
		counter_inc(live->repeats);
	} else {
		struct shared *const shared = share(&event);

		pthread_mutex_lock(&live->lock);
		post_to_all(live, shared);
		pthread_mutex_unlock(&live->lock);
		give_back(shared);
	}
	scope_end(&s);
}

/* After a relay was taken over, the next one publishes again what it does not know to be confirmed.
 */
static bool is_repeat(struct live *live, const struct event *event)
{
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct seen *const seen = &live->seen[i];

		if (seen->source[0] == '\0')
			snprintf(seen->source, sizeof seen->source, "%.*s", STR_ARG(event->source));
		if (!str_eq(str_from(seen->source), event->source))
			continue;
		if (event->position <= seen->positions[event->partition])
			return true;
		seen->positions[event->partition] = event->position;
		return false;
	}
	return false; /* of more sources than we have: let it through */
}

static struct shared *share(const struct event *event)
{
	const struct str texts[] = {
		event->id, event->source, event->type, event->traceparent, event->data};
	struct shared *shared;
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		bytes += texts[i].len;
	shared = malloc(sizeof *shared + bytes);
	CHECK(shared != NULL);
	atomic_init(&shared->count, 1);
	shared->event = *event;
	at = shared->bytes;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct str *const copies[] = {&shared->event.id, &shared->event.source,
			&shared->event.type, &shared->event.traceparent, &shared->event.data};

		if (texts[i].at == NULL)
			continue;
		memcpy(at, texts[i].at, texts[i].len);
		copies[i]->at = at;
		at += texts[i].len;
	}
	return shared;
}

static void give_back(struct shared *shared)
{
	if (atomic_fetch_sub(&shared->count, 1) == 1)
		free(shared);
}

/* Under the lock. */
static void post_to_all(struct live *live, struct shared *shared)
{
	for (struct list *link = live->members.next; link != &live->members; link = link->next)
		post(live, CONTAINER_OF(link, struct member, link), shared);
}

/* Under the lock. */
static void post(struct live *live, struct member *member, struct shared *shared)
{
	struct post *p;

	if (member->behind >= LIVE_BEHIND_MAX)
		member->lost = true;
	if (member->lost)
		return;
	p = malloc(sizeof *p);
	CHECK(p != NULL);
	*p = (struct post){.message.run = arrive, .live = live, .member = member, .shared = shared};
	if (shared != NULL)
		atomic_fetch_add(&shared->count, 1);
	member->behind++;
	loop_post(member->loop, &p->message);
}
