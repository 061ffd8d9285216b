/* SPDX-License-Identifier: Apache-2.0
 * A delivery is one allocation that travels: from the connection's thread to the loop, where it
 * waits in its queue's list and is applied on a fiber, and back to be acknowledged. It is
 * acknowledged when it is settled: committed, or confirmed to be in another queue. If the
 * connection breaks meanwhile, its tag means nothing any more (generation) and the broker delivers
 * it again. */
#include "amqp/consumer.h"

#include "amqp/link.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HANDLE_US = 30000000, /* an event's time in all */
	PAUSE_MIN_US = 100000,
	PAUSE_MAX_US = 5000000,
	NAME_MAX_CHARS = 100,
	PREFETCH = 1, /* what waits here cannot go to another replica */
	COUNT_US = 5000000, /* how often dead letters are counted */
};

static const int32_t delays_ms[CONSUMER_DELAYS] = {1000, 10000, 60000};

struct delivery {
	struct list link; /* in its queue, or in the list of those to acknowledge */
	struct loop_message message;
	struct queue *queue;
	unsigned generation; /* of the connection that it came by */
	uint64_t tag;
	bool redelivered;
	int64_t attempts;
	struct str body;
	struct str id;
	char bytes[];
};

struct queue {
	struct consumer *consumer;
	const struct consumer_queue *what;
	struct list waiting; /* deliveries; the first one is being applied */
	struct task *task;
	struct loop_timer again;
	int64_t pause_us;
	bool settled; /* by the task */
	struct counter *applied, *seen, *parked, *delayed, *dead, *stalled, *redelivered;
	struct gauge *letters;
};

struct consumer {
	struct link link;
	struct loop *loop;
	struct publisher *publisher;
	struct queue queues[CONSUMER_QUEUES_MAX];
	size_t queue_count;
	bool stopping;
	pthread_mutex_t lock; /* of the next two */
	struct list settled; /* to acknowledge */
	size_t on_the_way; /* deliveries that have not come to the loop */
	unsigned generation; /* the connection's thread's, and the next */
	int64_t count_us; /* when dead letters are counted again */
};

/* An event on its way through a transaction. */
struct application {
	struct queue *queue;
	struct delivery *delivery;
	const struct event *event;
	struct counter *outcome;
};

static void open_queue(struct consumer *c, const struct consumer_queue *what);
static struct counter *count_outcome(const struct queue *q, const char *outcome);
static bool opened(struct link *l, void *owner);
static bool declare(struct link *l, const struct queue *q);
static bool declare_dead(struct link *l, const struct queue *q);
static bool declare_delay(struct link *l, const struct queue *q, size_t nth);
static bool declare_one(struct link *l, const char *name, const amqp_table_t *arguments);
static bool work(struct link *l, void *owner);
static bool count_letters(struct consumer *c);
static void closed(struct link *l, void *owner);
static void take(struct consumer *c, const amqp_envelope_t *envelope);
static bool acknowledge(struct consumer *c);
static struct delivery *next_settled(struct consumer *c);
static void arrive(struct loop_message *message);
static void begin(struct queue *q);
static void run(struct task *t, void *arg);
static void done(struct task *t, void *arg);
static void fire(struct loop_timer *timer);
static void pause_queue(struct queue *q);
static enum fault handle(struct task *t, struct queue *q, struct delivery *d);
static enum fault apply(struct task *t, struct pg_tx *tx, void *arg);
static enum fault apply_parked(struct task *t, struct pg_tx *tx, struct application *a);
static bool is_away(enum fault fault);
static enum fault give_up(
	struct task *t, struct queue *q, struct delivery *d, enum fault fault, bool is_hopeless);
static enum fault move(struct task *t, struct delivery *d, struct str to, struct str reason);
static int32_t delay_ms(const struct queue *q, size_t nth);

static const struct link_use use = {
	.name = "amqp-consume", .opened = opened, .work = work, .closed = closed};

static const struct pg_statement inbox_take = {"inbox_take", PG_WRITE,
	"SELECT inbox_take($1::text, $2::text, $3::text, $4::text, $5::bigint, $6::text::json)"};

static const struct pg_statement inbox_next = {
	"inbox_next", PG_WRITE, "SELECT inbox_next($1::text, $2::text, $3::text)::text"};

const struct pg_statement *const consumer_statements[] = {&inbox_take, &inbox_next};
const size_t consumer_statement_count = sizeof consumer_statements / sizeof consumer_statements[0];

struct consumer *consumer_new(struct loop *l, const struct broker *broker,
	struct publisher *publisher, const struct consumer_queue *queues, size_t count)
{
	struct consumer *const c = calloc(1, sizeof *c);

	CHECK(c != NULL && count <= CONSUMER_QUEUES_MAX);
	c->loop = l;
	c->publisher = publisher;
	list_init(&c->settled);
	CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
	for (size_t i = 0; i < count; i++)
		open_queue(c, &queues[i]);
	link_start(&c->link, &use, c, broker);
	return c;
}

static void open_queue(struct consumer *c, const struct consumer_queue *what)
{
	struct queue *const q = &c->queues[c->queue_count++];

	*q = (struct queue){.consumer = c, .what = what, .again.fire = fire};
	list_init(&q->waiting);
	q->applied = count_outcome(q, "applied");
	q->seen = count_outcome(q, "seen");
	q->parked = count_outcome(q, "parked");
	q->delayed = count_outcome(q, "delayed");
	q->dead = count_outcome(q, "dead");
	q->stalled = count_outcome(q, "stalled");
	q->redelivered = count_outcome(q, "redelivered");
	q->letters = gauge_get("bodega_consumer_dead_letters",
		"Dead letters that wait for somebody.", LABELS({"queue", str_from(what->name)}));
}

static struct counter *count_outcome(const struct queue *q, const char *outcome)
{
	return counter_get("bodega_consumer_events_total",
		"Events heard of, by what became of them.",
		LABELS({"queue", str_from(q->what->name)}, {"outcome", str_from(outcome)}));
}

void consumer_free(struct consumer *c)
{
	bool busy = true;
	struct list *link;

	if (c == NULL)
		return;
	c->stopping = true;
	link_stop(&c->link);
	for (size_t i = 0; i < c->queue_count; i++)
		if (c->queues[i].task != NULL)
			task_cancel(c->queues[i].task, FAULT_UNAVAILABLE);
	while (busy) {
		loop_turn(c->loop, 1);
		pthread_mutex_lock(&c->lock);
		busy = c->on_the_way > 0;
		pthread_mutex_unlock(&c->lock);
		for (size_t i = 0; i < c->queue_count; i++)
			busy = busy || c->queues[i].task != NULL;
	}
	for (size_t i = 0; i < c->queue_count; i++) {
		loop_timer_clear(c->loop, &c->queues[i].again);
		while ((link = list_take(&c->queues[i].waiting)) != NULL)
			free(CONTAINER_OF(link, struct delivery, link));
	}
	while ((link = list_take(&c->settled)) != NULL)
		free(CONTAINER_OF(link, struct delivery, link));
	pthread_mutex_destroy(&c->lock);
	free(c);
}

bool consumer_is_open(const struct consumer *c)
{
	return atomic_load(&c->link.open);
}

/* ---- on the connection's thread ---- */

static bool opened(struct link *l, void *owner)
{
	struct consumer *const c = owner;

	c->generation++;
	amqp_basic_qos(l->connection, LINK_CHANNEL, 0, PREFETCH, false);
	if (!link_done(l, "prefetch"))
		return false;
	for (size_t i = 0; i < c->queue_count; i++)
		if (!declare(l, &c->queues[i]))
			return false;
	return true;
}

static bool declare(struct link *l, const struct queue *q)
{
	const amqp_bytes_t name = amqp_cstring_bytes(q->what->name);
	amqp_table_entry_t single = {amqp_cstring_bytes("x-single-active-consumer"),
		{.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = true}};
	const amqp_table_t arguments = {.num_entries = 1, .entries = &single};

	if (!declare_one(l, q->what->name, &arguments) || !declare_dead(l, q))
		return false;
	for (size_t i = 0; i < CONSUMER_DELAYS; i++)
		if (!declare_delay(l, q, i))
			return false;
	for (size_t i = 0; i < q->what->key_count; i++) {
		amqp_queue_bind(l->connection, LINK_CHANNEL, name,
			amqp_cstring_bytes(BROKER_EXCHANGE), amqp_cstring_bytes(q->what->keys[i]),
			amqp_empty_table);
		if (!link_done(l, "binding"))
			return false;
	}
	amqp_basic_consume(
		l->connection, LINK_CHANNEL, name, name, false, false, false, amqp_empty_table);
	return link_done(l, "subscription");
}

/* The broker's answer says how many messages are there. */
static bool declare_dead(struct link *l, const struct queue *q)
{
	char name[NAME_MAX_CHARS];

	snprintf(name, sizeof name, "%s" CONSUMER_DEAD, q->what->name);
	const amqp_queue_declare_ok_t *const made = amqp_queue_declare(l->connection, LINK_CHANNEL,
		amqp_cstring_bytes(name), false, true, false, false, amqp_empty_table);
	if (!link_done(l, name))
		return false;
	gauge_set(q->letters, made->message_count);
	return true;
}

/* Where a message waits until its time there is up; then the broker puts it into the queue again.
 */
static bool declare_delay(struct link *l, const struct queue *q, size_t nth)
{
	amqp_table_entry_t entries[] = {
		{amqp_cstring_bytes("x-message-ttl"),
			{.kind = AMQP_FIELD_KIND_I32, .value.i32 = delay_ms(q, nth)}},
		{amqp_cstring_bytes("x-dead-letter-exchange"),
			{.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("")}},
		{amqp_cstring_bytes("x-dead-letter-routing-key"),
			{.kind = AMQP_FIELD_KIND_UTF8,
				.value.bytes = amqp_cstring_bytes(q->what->name)}},
	};
	const amqp_table_t arguments = {.num_entries = 3, .entries = entries};
	char name[NAME_MAX_CHARS];

	snprintf(name, sizeof name, "%s.delay.%d", q->what->name, (int)delay_ms(q, nth));
	return declare_one(l, name, &arguments);
}

static bool declare_one(struct link *l, const char *name, const amqp_table_t *arguments)
{
	amqp_queue_declare(l->connection, LINK_CHANNEL, amqp_cstring_bytes(name), false, true,
		false, false, *arguments);
	return link_done(l, name);
}

static bool work(struct link *l, void *owner)
{
	struct consumer *const c = owner;
	bool got;

	do {
		amqp_envelope_t envelope;

		if (!acknowledge(c) || !link_delivery(l, &envelope, &got))
			return false;
		if (got) {
			take(c, &envelope);
			amqp_destroy_envelope(&envelope);
		}
	} while (got);
	return count_letters(c);
}

static bool count_letters(struct consumer *c)
{
	const int64_t now_us = clock_monotonic_us();

	if (now_us < c->count_us)
		return true;
	c->count_us = now_us + COUNT_US;
	for (size_t i = 0; i < c->queue_count; i++)
		if (!declare_dead(&c->link, &c->queues[i]))
			return false;
	return true;
}

static void closed(struct link *l, void *owner)
{
	(void)l;
	(void)owner;
}

static void take(struct consumer *c, const amqp_envelope_t *envelope)
{
	const amqp_basic_properties_t *const properties = &envelope->message.properties;
	const struct str body = link_str(envelope->message.body);
	const struct str id = (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0
	                              ? link_str(properties->message_id)
	                              : STR_NONE;
	struct delivery *const d = malloc(sizeof *d + body.len + id.len);
	size_t i = 0;

	CHECK(d != NULL);
	while (!str_eq(link_str(envelope->consumer_tag), str_from(c->queues[i].what->name)))
		CHECK(++i < c->queue_count);
	*d = (struct delivery){
		.message.run = arrive,
		.queue = &c->queues[i],
		.generation = c->generation,
		.tag = envelope->delivery_tag,
		.redelivered = envelope->redelivered != 0,
		.body = str_of(d->bytes, body.len),
		.id = str_of(d->bytes + body.len, id.len),
	};
	memcpy(d->bytes, body.at, body.len);
	if (id.len > 0)
		memcpy(d->bytes + body.len, id.at, id.len);
	if ((properties->_flags & AMQP_BASIC_HEADERS_FLAG) != 0)
		for (int h = 0; h < properties->headers.num_entries; h++) {
			const amqp_table_entry_t *const e = &properties->headers.entries[h];

			if (str_eq(link_str(e->key), STR(CONSUMER_ATTEMPTS)) &&
				e->value.kind == AMQP_FIELD_KIND_UTF8 &&
				!str_to_int64(link_str(e->value.value.bytes), &d->attempts))
				d->attempts = 0;
		}
	pthread_mutex_lock(&c->lock);
	c->on_the_way++;
	pthread_mutex_unlock(&c->lock);
	loop_post(c->loop, &d->message);
}

static bool acknowledge(struct consumer *c)
{
	struct delivery *d;
	bool good = true;

	while (good && (d = next_settled(c)) != NULL) {
		if (d->generation == c->generation)
			good = link_sent(&c->link,
				amqp_basic_ack(c->link.connection, LINK_CHANNEL, d->tag, false),
				"acknowledge");
		free(d);
	}
	return good;
}

static struct delivery *next_settled(struct consumer *c)
{
	struct list *link;

	pthread_mutex_lock(&c->lock);
	link = list_take(&c->settled);
	pthread_mutex_unlock(&c->lock);
	return link != NULL ? CONTAINER_OF(link, struct delivery, link) : NULL;
}

/* ---- on the loop ---- */

static void arrive(struct loop_message *message)
{
	struct delivery *const d = CONTAINER_OF(message, struct delivery, message);
	struct consumer *const c = d->queue->consumer;

	pthread_mutex_lock(&c->lock);
	c->on_the_way--;
	pthread_mutex_unlock(&c->lock);
	list_append(&d->queue->waiting, &d->link);
	begin(d->queue);
}

/* With the first one that waits, unless one is under way or pauses. */
static void begin(struct queue *q)
{
	struct consumer *const c = q->consumer;

	if (q->task != NULL || q->again.slot != 0 || c->stopping || list_is_empty(&q->waiting))
		return;
	if (task_start(c->loop, loop_now_us(c->loop) + HANDLE_US, run, done, q, &q->task) != OK)
		pause_queue(q);
}

static void run(struct task *t, void *arg)
{
	struct queue *const q = arg;
	struct delivery *const d = CONTAINER_OF(q->waiting.next, struct delivery, link);
	const enum fault fault = handle(t, q, d);

	q->settled = fault == OK;
	if (q->settled)
		return;
	counter_inc(q->stalled);
	if (q->pause_us == 0)
		task_log(t, LEVEL_WARN, "event waits", LOG_TEXT("queue", q->what->name),
			LOG_FAULT("fault", fault), LOG_STR("detail", t->scope.detail));
}

static void done(struct task *t, void *arg)
{
	struct queue *const q = arg;
	struct consumer *const c = q->consumer;

	(void)t;
	q->task = NULL;
	if (!q->settled) {
		pause_queue(q);
		return;
	}
	q->pause_us = 0;
	pthread_mutex_lock(&c->lock);
	list_append(&c->settled, list_take(&q->waiting));
	pthread_mutex_unlock(&c->lock);
	link_wake(&c->link);
	begin(q);
}

/* Half of it to all of it, twice as long each time. */
static void pause_queue(struct queue *q)
{
	struct loop *const l = q->consumer->loop;

	q->pause_us = q->pause_us == 0 ? PAUSE_MIN_US : 2 * q->pause_us;
	if (q->pause_us > PAUSE_MAX_US)
		q->pause_us = PAUSE_MAX_US;
	loop_timer_set(l, &q->again,
		loop_now_us(l) + q->pause_us / 2 +
			(int64_t)random_below((uint64_t)q->pause_us / 2 + 1));
}

static void fire(struct loop_timer *timer)
{
	begin(CONTAINER_OF(timer, struct queue, again));
}

/* ---- on a fiber ---- */

/* OK: it is settled, this way or another. */
static enum fault handle(struct task *t, struct queue *q, struct delivery *d)
{
	struct scope *s = &t->scope;
	struct event event;
	struct application a = {.queue = q, .delivery = d, .event = &event};
	enum fault fault;

	if (d->redelivered) { /* perhaps because it has killed whoever had it: that counts */
		counter_inc(q->redelivered);
		return give_up(t, q, d,
			fail(s, FAULT_INTERNAL, "whoever had it ended before it was done"), false);
	}
	fault = event_read(s, d->body, &event);
	if (fault != OK)
		return give_up(t, q, d, fault, true);
	t->traceparent = event.traceparent;
	fault = pg_transact(t, apply, &a);
	if (fault == OK)
		counter_inc(a.outcome);
	if (fault == OK || is_away(fault))
		return fault;
	return give_up(t, q, d, fault, false);
}

static enum fault apply(struct task *t, struct pg_tx *tx, void *arg)
{
	struct application *const a = arg;
	const struct event *const event = a->event;
	char subject[UUID_TEXT_LEN + 1];
	struct pg_rows rows;
	struct pg_row row;
	struct str verdict;

	TRY(pg_tx_query(t, tx, &inbox_take,
		PG_VALUES(pg_text(str_from(a->queue->what->name)), pg_text(event->source),
			pg_text(event->id), pg_text(uuid_format(&event->subject, subject)),
			event->sequence > 0 ? pg_int64(event->sequence) : pg_null(),
			pg_text(a->delivery->body)),
		&rows));
	row = pg_row(&rows, 0);
	verdict = pg_take_text(&row);
	if (!str_eq(verdict, STR("apply"))) {
		a->outcome = str_eq(verdict, STR("seen")) ? a->queue->seen : a->queue->parked;
		return OK;
	}
	a->outcome = a->queue->applied;
	TRY(a->queue->what->apply(t, tx, event));
	return event->sequence > 0 ? apply_parked(t, tx, a) : OK;
}

/* Those that came too early and whose turn it is now. */
static enum fault apply_parked(struct task *t, struct pg_tx *tx, struct application *a)
{
	char subject[UUID_TEXT_LEN + 1];
	struct event event;
	struct pg_rows rows;
	struct pg_row row;
	struct str body;

	uuid_format(&a->event->subject, subject);
	for (;;) {
		TRY(pg_tx_query(t, tx, &inbox_next,
			PG_VALUES(pg_text(str_from(a->queue->what->name)),
				pg_text(a->event->source), pg_text(str_from(subject))),
			&rows));
		row = pg_row(&rows, 0);
		body = pg_take_text(&row);
		if (body.at == NULL)
			return OK;
		TRY(event_read(&t->scope, body, &event));
		TRY(a->queue->what->apply(t, tx, &event));
	}
}

/* Something that this needs is, for the moment, not there: it says nothing about the event. */
static bool is_away(enum fault fault)
{
	return fault == FAULT_UNAVAILABLE || fault == FAULT_OVERLOADED || fault == FAULT_DEADLINE ||
	       fault == FAULT_CANCELED || fault == FAULT_UNKNOWN;
}

/* It failed: later once more, or never. One that was delivered again goes to the end of the queue.
 */
static enum fault give_up(
	struct task *t, struct queue *q, struct delivery *d, enum fault fault, bool is_hopeless)
{
	struct scope *s = &t->scope;
	const struct str reason =
		scope_format(s, "%s: %.*s", fault_info(fault)->code, STR_ARG(s->detail));
	const int64_t failed = d->attempts + 1;
	const size_t nth = failed < CONSUMER_DELAYS ? (size_t)failed - 1 : CONSUMER_DELAYS - 1;

	scope_forgive(s);
	if (is_hopeless || failed >= CONSUMER_TRIES) {
		TRY(move(t, d, scope_format(s, "%s" CONSUMER_DEAD, q->what->name), reason));
		counter_inc(q->dead);
		task_log(t, LEVEL_ERROR, "dead letter", LOG_TEXT("queue", q->what->name),
			LOG_STR("id", d->id), LOG_STR("reason", reason));
		return OK;
	}
	if (d->redelivered)
		return move(t, d, str_from(q->what->name), reason);
	TRY(move(t, d, scope_format(s, "%s.delay.%d", q->what->name, (int)delay_ms(q, nth)),
		reason));
	counter_inc(q->delayed);
	task_log(t, LEVEL_WARN, "event failed", LOG_TEXT("queue", q->what->name),
		LOG_STR("id", d->id), LOG_INT("attempts", failed), LOG_STR("reason", reason));
	return OK;
}

static enum fault move(struct task *t, struct delivery *d, struct str to, struct str reason)
{
	struct scope *s = &t->scope;
	char at[TIME_TEXT_MAX];
	const struct message message = {
		.key = to,
		.body = scope_dup(s, d->body),
		.content_type = STR(EVENT_CONTENT_TYPE),
		.id = d->id,
		.headers = {{"traceparent", t->traceparent},
			{CONSUMER_ATTEMPTS, scope_format(s, "%lld", (long long)d->attempts + 1)},
			{CONSUMER_REASON, reason},
			{CONSUMER_FAILED_AT, time_format(clock_wall_us(), at)}},
	};

	return publisher_send(t, d->queue->consumer->publisher, &message, 1, NULL);
}

static int32_t delay_ms(const struct queue *q, size_t nth)
{
	return q->what->delays_ms[0] > 0 ? q->what->delays_ms[nth] : delays_ms[nth];
}
