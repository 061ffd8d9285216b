/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "amqp/event.h"
#include "amqp/publisher.h"
#include "pg/pg.h"

/* Events of other services, each applied once and, of one subject, in order. They come from durable
 * queues on the exchange, of each of which one consumer at a time is active. An event is taken into
 * the inbox (migration outbox), applied and committed in one transaction, and acknowledged after
 * that. One that comes before its turn waits in the inbox until the one before it has been applied.
 *
 * When something is away (FAULT_UNAVAILABLE, OVERLOADED, DEADLINE, CANCELED, UNKNOWN) the event is
 * tried again where it is, for as long as it takes, with growing pauses. After any other fault it
 * goes through a queue of delay, CONSUMER_TRIES times in all; then it is a dead letter: in the
 * queue <queue>.dead, with the reason. `bodegactl events` shows and redrives those. */
struct consumer;

enum { CONSUMER_TRIES = 6, CONSUMER_DELAYS = 3, CONSUMER_QUEUES_MAX = 4 };

/* Headers of delayed messages and dead letters. */
#define CONSUMER_ATTEMPTS "bodega-attempts" /* that have failed */
#define CONSUMER_REASON "bodega-reason" /* of the last one */
#define CONSUMER_FAILED_AT "bodega-failed-at"

/* What follows a queue's name where its dead letters are. */
#define CONSUMER_DEAD ".dead"

/* Applies an event in tx. What it does outside of tx may happen several times. Suspends. */
typedef enum fault consumer_fn(struct task *t, struct pg_tx *tx, const struct event *event);

struct consumer_queue {
	const char *name; /* "orders.users": who hears, and whom; letters, digits and dots */
	const char *const *keys; /* routing keys: "user.deleted" */
	size_t key_count;
	consumer_fn *apply;
	int32_t delays_ms[CONSUMER_DELAYS]; /* all 0: 1 s, 10 s, 60 s and then always that */
};

/* The statements that a service's schema needs. */
extern const struct pg_statement *const consumer_statements[];
extern const size_t consumer_statement_count;

/* Starts to consume, on a connection and a thread of its own; events are applied one after the
 * other for each queue. The queues' descriptions are borrowed for its life, and so is the
 * publisher, which delays and buries. */
struct consumer *consumer_new(struct loop *l, const struct broker *broker,
	struct publisher *publisher, const struct consumer_queue *queues, size_t count);

/* Whether it is subscribed. */
bool consumer_is_open(const struct consumer *c);

/* On its loop's thread: cancels what it is doing, and waits for that. What was not acknowledged
 * comes to another one. NULL is allowed. */
void consumer_free(struct consumer *c);
