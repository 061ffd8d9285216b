/* SPDX-License-Identifier: Apache-2.0
 * Batches go from tasks to the connection's thread, one after the other, and come back when each
 * message of it is settled: confirmed, refused, or lost with the connection. A batch holds a count
 * of its task's arena, where the bytes are, so the task may leave early. The loop's thread alone
 * reads and writes batch->wait: NULL there means that nobody waits any more. */
#include "amqp/publisher.h"

#include "amqp/link.h"
#include "base/check.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_US = 100000 }; /* how often a wait for confirms looks whether to stop */

/* Of a message. One that was returned will be confirmed too, all the same. */
enum state { SENT, RETURNED, CONFIRMED, REFUSED };

struct batch {
	struct list link; /* in the queue; guarded by its lock */
	struct loop_message message;
	struct publisher *publisher;
	struct wait *wait;
	struct arena *arena;
	struct message *messages;
	size_t count;
	/* on the connection's thread */
	enum state *states;
	uint64_t first_tag;
	size_t settled;
	/* the result */
	size_t confirmed; /* from the front */
};

struct publisher {
	struct link link;
	struct loop *loop;
	pthread_mutex_t lock; /* of the queue */
	struct list queue;
	size_t queued;
	uint64_t tag; /* of the last message; the connection's thread's */
	size_t outside; /* batches that have not come back; the loop's */
};

static bool opened(struct link *l, void *owner);
static bool work(struct link *l, void *owner);
static void closed(struct link *l, void *owner);
static bool enqueue(struct publisher *p, struct batch *batch, enum fault *fault);
static struct batch *dequeue(struct publisher *p);
static bool publish(struct publisher *p, struct batch *batch);
static bool send_message(struct publisher *p, const struct message *message, size_t index);
static bool await_confirms(struct publisher *p, struct batch *batch);
static bool take_frame(struct publisher *p, struct batch *batch, const amqp_frame_t *frame);
static void settle(struct batch *batch, uint64_t tag, bool multiple, enum state state);
static bool take_returned(struct publisher *p, struct batch *batch);
static void give_back(struct publisher *p, struct batch *batch);
static void come_back(struct loop_message *message);

static const struct link_use use = {
	.name = "amqp-publish", .opened = opened, .work = work, .closed = closed};

struct publisher *publisher_new(struct loop *l, const struct broker *broker)
{
	struct publisher *const p = calloc(1, sizeof *p);

	CHECK(p != NULL);
	p->loop = l;
	list_init(&p->queue);
	CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
	link_start(&p->link, &use, p, broker);
	return p;
}

void publisher_free(struct publisher *p)
{
	if (p == NULL)
		return;
	link_stop(&p->link);
	while (p->outside > 0)
		loop_turn(p->loop, 1);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

bool publisher_is_open(const struct publisher *p)
{
	return atomic_load(&p->link.open);
}

enum fault publisher_send(struct task *t, struct publisher *p, const struct message *messages,
	size_t count, size_t *confirmed)
{
	struct scope *s = &t->scope;
	struct wait wait = {0};
	struct batch *const batch = calloc(1, sizeof *batch);
	enum fault fault = OK;

	CHECK(batch != NULL && p->loop == t->loop);
	if (confirmed != NULL)
		*confirmed = 0;
	*batch = (struct batch){
		.message.run = come_back, .publisher = p, .wait = &wait, .count = count};
	batch->arena = arena_ref(s->arena);
	batch->states = arena_alloc_array(s->arena, count, sizeof *batch->states);
	batch->messages = arena_alloc_array(s->arena, count, sizeof *batch->messages);
	for (size_t i = 0; i < count; i++) {
		struct message *const m = &batch->messages[i];

		*m = messages[i];
		m->exchange = scope_dup(s, m->exchange);
		m->key = scope_dup(s, m->key);
		m->content_type = scope_dup(s, m->content_type);
		m->id = scope_dup(s, m->id);
		for (size_t h = 0; h < MESSAGE_HEADERS_MAX; h++)
			m->headers[h].value = scope_dup(s, m->headers[h].value);
	}
	if (!enqueue(p, batch, &fault)) {
		arena_unref(batch->arena);
		free(batch);
		return fail(s, fault, "RabbitMQ is away, or does not keep up");
	}
	p->outside++;
	link_wake(&p->link);
	fault = task_wait(t, &wait);
	if (!wait.done) {
		batch->wait = NULL;
		return fault;
	}
	/* `come_back` has left the batch to us */
	count -= batch->confirmed;
	if (confirmed != NULL)
		*confirmed = batch->confirmed;
	arena_unref(batch->arena);
	free(batch);
	return count == 0 ? OK
	                  : fail(s, FAULT_UNAVAILABLE, "RabbitMQ has not confirmed all messages");
}

static bool enqueue(struct publisher *p, struct batch *batch, enum fault *fault)
{
	pthread_mutex_lock(&p->lock);
	if (!atomic_load(&p->link.open))
		*fault = FAULT_UNAVAILABLE;
	else if (p->queued == PUBLISHER_QUEUE_MAX)
		*fault = FAULT_OVERLOADED;
	if (*fault == OK) {
		list_append(&p->queue, &batch->link);
		p->queued++;
	}
	pthread_mutex_unlock(&p->lock);
	return *fault == OK;
}

static void come_back(struct loop_message *message)
{
	struct batch *const batch = CONTAINER_OF(message, struct batch, message);

	batch->publisher->outside--;
	if (batch->wait != NULL) {
		wait_done(batch->wait, OK);
		return;
	}
	arena_unref(batch->arena);
	free(batch);
}

/* ---- on the connection's thread ---- */

static bool opened(struct link *l, void *owner)
{
	struct publisher *const p = owner;

	p->tag = 0;
	amqp_confirm_select(l->connection, LINK_CHANNEL);
	return link_done(l, "confirms");
}

static bool work(struct link *l, void *owner)
{
	struct publisher *const p = owner;
	struct batch *batch;
	amqp_frame_t frame;
	bool got;

	while ((batch = dequeue(p)) != NULL) {
		const bool good = publish(p, batch);

		give_back(p, batch);
		if (!good)
			return false;
	}
	do { /* nothing is expected: heartbeats, or the end */
		if (!link_frame(l, &frame, 0, &got))
			return false;
	} while (got);
	return true;
}

static void closed(struct link *l, void *owner)
{
	struct publisher *const p = owner;
	struct batch *batch;

	(void)l;
	while ((batch = dequeue(p)) != NULL)
		give_back(p, batch);
}

static struct batch *dequeue(struct publisher *p)
{
	struct list *link;

	pthread_mutex_lock(&p->lock);
	link = list_take(&p->queue);
	if (link != NULL)
		p->queued--;
	pthread_mutex_unlock(&p->lock);
	return link != NULL ? CONTAINER_OF(link, struct batch, link) : NULL;
}

static void give_back(struct publisher *p, struct batch *batch)
{
	while (batch->confirmed < batch->count && batch->states[batch->confirmed] == CONFIRMED)
		batch->confirmed++;
	loop_post(p->loop, &batch->message);
}

static bool publish(struct publisher *p, struct batch *batch)
{
	batch->first_tag = p->tag + 1;
	for (size_t i = 0; i < batch->count; i++)
		if (!send_message(p, &batch->messages[i], i))
			return false;
	return await_confirms(p, batch);
}

static bool send_message(struct publisher *p, const struct message *message, size_t index)
{
	amqp_table_entry_t entries[MESSAGE_HEADERS_MAX];
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG |
	                  AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG |
	                  AMQP_BASIC_HEADERS_FLAG,
		.delivery_mode = AMQP_DELIVERY_PERSISTENT,
		.content_type = link_bytes(message->content_type),
		.message_id = link_bytes(message->id),
		.headers.entries = entries,
	};
	const bool must_arrive = message->exchange.len == 0;
	char number[24];

	for (size_t i = 0; i < MESSAGE_HEADERS_MAX; i++) {
		const struct message_header *const header = &message->headers[i];

		if (header->value.at == NULL)
			continue;
		entries[properties.headers.num_entries++] = (amqp_table_entry_t){
			.key = amqp_cstring_bytes(header->name),
			.value = {.kind = AMQP_FIELD_KIND_UTF8,
				.value.bytes = link_bytes(header->value)},
		};
	}
	snprintf(number, sizeof number, "%zu", index); /* which one is it, should it be returned */
	properties.correlation_id = amqp_cstring_bytes(number);
	p->tag++;
	return link_sent(&p->link,
		amqp_basic_publish(p->link.connection, LINK_CHANNEL, link_bytes(message->exchange),
			link_bytes(message->key), must_arrive, false, &properties,
			link_bytes(message->body)),
		"publish");
}

static bool await_confirms(struct publisher *p, struct batch *batch)
{
	int64_t heard_us = clock_monotonic_us();
	amqp_frame_t frame;
	bool got;

	while (batch->settled < batch->count) {
		if (atomic_load(&p->link.stopping))
			return false;
		if (!link_frame(&p->link, &frame, LOOK_US, &got))
			return false;
		if (!got) {
			if (clock_monotonic_us() - heard_us > PUBLISHER_CONFIRM_US)
				return link_failed(&p->link, "confirms", STR("none came in time"));
			continue;
		}
		heard_us = clock_monotonic_us();
		if (!take_frame(p, batch, &frame))
			return false;
	}
	return true;
}

static bool take_frame(struct publisher *p, struct batch *batch, const amqp_frame_t *frame)
{
	if (frame->frame_type != AMQP_FRAME_METHOD)
		return true;
	switch (frame->payload.method.id) {
	case AMQP_BASIC_ACK_METHOD: {
		const amqp_basic_ack_t *const ack = frame->payload.method.decoded;

		settle(batch, ack->delivery_tag, ack->multiple, CONFIRMED);
		return true;
	}
	case AMQP_BASIC_NACK_METHOD: {
		const amqp_basic_nack_t *const nack = frame->payload.method.decoded;

		settle(batch, nack->delivery_tag, nack->multiple, REFUSED);
		return true;
	}
	case AMQP_BASIC_RETURN_METHOD:
		return take_returned(p, batch);
	default:
		return true;
	}
}

static void settle(struct batch *batch, uint64_t tag, bool multiple, enum state state)
{
	const uint64_t last = tag - batch->first_tag;
	uint64_t i = multiple ? 0 : last;

	if (tag < batch->first_tag || last >= batch->count)
		return;
	for (; i <= last; i++) {
		enum state *const now = &batch->states[i];

		if (*now == CONFIRMED || *now == REFUSED)
			continue;
		*now = *now == RETURNED ? REFUSED : state;
		batch->settled++;
	}
}

/* No such queue: it comes back whole. */
static bool take_returned(struct publisher *p, struct batch *batch)
{
	amqp_message_t message;
	const amqp_rpc_reply_t reply =
		amqp_read_message(p->link.connection, LINK_CHANNEL, &message, 0);
	int64_t index;

	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		return link_failed(&p->link, "read", STR("a returned message was cut off"));
	if (str_to_int64(link_str(message.properties.correlation_id), &index) && index >= 0 &&
		(size_t)index < batch->count)
		batch->states[index] = RETURNED;
	amqp_destroy_message(&message);
	return true;
}
