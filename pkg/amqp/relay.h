/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "amqp/publisher.h"
#include "pg/pg.h"

/* From the outbox (migration outbox) to the exchange. Each replica of a service has one; they share
 * the 16 partitions by leases, so that each partition is published by one at a time and in order:
 * events get positions, which is committed; then they are published in that order up to the first
 * that is not confirmed; then what was confirmed is marked. After a crash or a pause at any point
 * another one goes on at the mark: an event may be published twice, under the same position. */
struct relay;

enum {
	RELAY_LEASE_S = 6, /* then others take what this one had */
	RELAY_BATCH_MAX = 64, /* events of a partition at a time */
	RELAY_ROUNDS_MAX = 8, /* batches a run */
};

/* The statements that a service's schema needs. */
extern const struct pg_statement *const relay_statements[];
extern const size_t relay_statement_count;

/* `source` is the events' ("/orders"), borrowed. `publisher` may be NULL: then events get positions
 * and wait. */
struct relay *relay_new(struct publisher *publisher, const char *source);
void relay_free(struct relay *r);

/* A job, to be run again soon: publishes what is there. OK also when RabbitMQ is away. Suspends. */
enum fault relay_run(struct task *t, struct relay *r) MUST_CHECK;

/* Gives up its partitions, so that others need not wait for the leases to end. Suspends. */
enum fault relay_leave(struct task *t, struct relay *r) MUST_CHECK;

/* A job: forgets events that were published 7 days ago, and what the inbox needs no more. Suspends.
 */
enum fault relay_sweep(struct task *t) MUST_CHECK;
