/* SPDX-License-Identifier: Apache-2.0
 * One connection's thread reads the queue and posts each event to all loops; they share its bytes
 * by a count. To each loop messages come in the order of posting, so `missed` stands where the gap
 * is. */
#include "amqp/feed.h"

#include "amqp/link.h"
#include "base/check.h"
#include "base/list.h"
#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { SOURCES_MAX = 8, SOURCE_CHARS = 32 };

/* A loop that hears. */
struct member {
	struct list link; /* of its feed, guarded by its lock */
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
	struct feed *feed;
	struct member *member;
	struct shared *shared; /* NULL: some were missed */
};

/* The last position that came of each partition. */
struct seen {
	char source[SOURCE_CHARS];
	int64_t positions[EVENT_PARTITIONS];
};

struct feed {
	struct link link;
	struct feed_config config;
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
static void take(struct feed *feed, struct str body);
static bool is_repeat(struct feed *feed, const struct event *event);
static struct shared *share(const struct event *event);
static void give_back(struct shared *shared);
static void post_to_all(struct feed *feed, struct shared *shared);
static void post(struct feed *feed, struct member *member, struct shared *shared);
static void arrive(struct loop_message *message);
static struct member *member_of(struct feed *feed, const struct loop *l);

static const struct link_use use = {
	.name = "amqp-feed", .opened = opened, .work = work, .closed = closed};

struct feed *feed_new(const struct feed_config *config)
{
	struct feed *const feed = calloc(1, sizeof *feed);

	CHECK(feed != NULL);
	feed->config = *config;
	list_init(&feed->members);
	CHECK(pthread_mutex_init(&feed->lock, NULL) == 0);
	feed->events = counter_get("bodega_live_events_total",
		"Events that came from RabbitMQ for live streams.", NULL);
	feed->repeats = counter_get(
		"bodega_live_repeats_total", "Events that had come before and were dropped.", NULL);
	feed->missed = counter_get("bodega_live_missed_total",
		"Times that a loop was told that it may have missed events.", NULL);
	link_start(&feed->link, &use, feed, &config->broker);
	return feed;
}

void feed_free(struct feed *feed)
{
	if (feed == NULL)
		return;
	link_stop(&feed->link);
	CHECK(list_is_empty(&feed->members));
	pthread_mutex_destroy(&feed->lock);
	free(feed);
}

bool feed_is_open(const struct feed *feed)
{
	return atomic_load(&feed->link.open);
}

void feed_join(struct feed *feed, struct loop *l)
{
	struct member *const member = calloc(1, sizeof *member);

	CHECK(member != NULL);
	member->loop = l;
	pthread_mutex_lock(&feed->lock);
	list_append(&feed->members, &member->link);
	if (feed_is_open(feed))
		post(feed, member, NULL);
	pthread_mutex_unlock(&feed->lock);
}

void feed_leave(struct feed *feed, struct loop *l)
{
	struct member *const member = member_of(feed, l);
	size_t behind;

	CHECK(member != NULL);
	pthread_mutex_lock(&feed->lock);
	list_remove(&member->link);
	pthread_mutex_unlock(&feed->lock);
	do {
		loop_turn(l, 0);
		pthread_mutex_lock(&feed->lock);
		behind = member->behind;
		pthread_mutex_unlock(&feed->lock);
	} while (behind > 0);
	free(member);
}

static struct member *member_of(struct feed *feed, const struct loop *l)
{
	struct member *found = NULL;

	pthread_mutex_lock(&feed->lock);
	for (struct list *link = feed->members.next; link != &feed->members; link = link->next)
		if (CONTAINER_OF(link, struct member, link)->loop == l)
			found = CONTAINER_OF(link, struct member, link);
	pthread_mutex_unlock(&feed->lock);
	return found;
}

/* On the loop. One that could not keep up has caught up when nothing is on its way any more: from
 * then on it is posted to again, and is told where the gap is. */
static void arrive(struct loop_message *message)
{
	struct post *const p = CONTAINER_OF(message, struct post, message);
	struct feed *const feed = p->feed;
	struct member *const member = p->member;
	struct loop *const l = member->loop;
	bool was_lost;

	if (p->shared != NULL) {
		feed->config.receive(l, &p->shared->event);
		give_back(p->shared);
	} else {
		counter_inc(feed->missed);
		feed->config.missed(l);
	}
	pthread_mutex_lock(&feed->lock);
	member->behind--;
	was_lost = member->lost && member->behind == 0;
	if (was_lost)
		member->lost = false;
	if (was_lost && list_is_linked(&member->link))
		post(feed, member, NULL);
	pthread_mutex_unlock(&feed->lock);
	free(p);
}

/* ---- on the connection's thread ---- */

static bool opened(struct link *l, void *owner)
{
	struct feed *const feed = owner;
	amqp_queue_declare_ok_t *const made = amqp_queue_declare(l->connection, LINK_CHANNEL,
		amqp_empty_bytes, false, false, true, true, amqp_empty_table);
	char name[128];
	amqp_bytes_t queue;

	if (!link_done(l, "queue"))
		return false;
	snprintf(name, sizeof name, "%.*s", STR_ARG(link_str(made->queue)));
	queue = amqp_cstring_bytes(name);
	for (size_t i = 0; i < feed->config.key_count; i++) {
		amqp_queue_bind(l->connection, LINK_CHANNEL, queue,
			amqp_cstring_bytes(BROKER_EXCHANGE),
			amqp_cstring_bytes(feed->config.keys[i]), amqp_empty_table);
		if (!link_done(l, "binding"))
			return false;
	}
	amqp_basic_consume(l->connection, LINK_CHANNEL, queue, amqp_empty_bytes, false, true, true,
		amqp_empty_table);
	if (!link_done(l, "subscription"))
		return false;
	pthread_mutex_lock(&feed->lock);
	atomic_store(&l->open, true); /* before anybody joins who would not be told */
	post_to_all(feed, NULL);
	pthread_mutex_unlock(&feed->lock);
	return true;
}

static bool work(struct link *l, void *owner)
{
	struct feed *const feed = owner;
	bool got;

	do {
		amqp_envelope_t envelope;

		if (!link_delivery(l, &envelope, &got))
			return false;
		if (got) {
			take(feed, link_str(envelope.message.body));
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

static void take(struct feed *feed, struct str body)
{
	struct event event;
	struct scope s;

	scope_begin(&s);
	counter_inc(feed->events);
	if (event_read(&s, body, &event) != OK) {
		log_line(LEVEL_ERROR, "not an event", LOG_STR("why", s.detail));
	} else if (is_repeat(feed, &event)) {
		counter_inc(feed->repeats);
	} else {
		struct shared *const shared = share(&event);

		pthread_mutex_lock(&feed->lock);
		post_to_all(feed, shared);
		pthread_mutex_unlock(&feed->lock);
		give_back(shared);
	}
	scope_end(&s);
}

/* After a relay was taken over, the next one publishes again what it does not know to be confirmed.
 */
static bool is_repeat(struct feed *feed, const struct event *event)
{
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		struct seen *const seen = &feed->seen[i];

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
static void post_to_all(struct feed *feed, struct shared *shared)
{
	for (struct list *link = feed->members.next; link != &feed->members; link = link->next)
		post(feed, CONTAINER_OF(link, struct member, link), shared);
}

/* Under the lock. */
static void post(struct feed *feed, struct member *member, struct shared *shared)
{
	struct post *p;

	if (member->behind >= FEED_BEHIND_MAX)
		member->lost = true;
	if (member->lost)
		return;
	p = malloc(sizeof *p);
	CHECK(p != NULL);
	*p = (struct post){.message.run = arrive, .feed = feed, .member = member, .shared = shared};
	if (shared != NULL)
		atomic_fetch_add(&shared->count, 1);
	member->behind++;
	loop_post(member->loop, &p->message);
}
