/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "amqp/event.h"
#include "pg/pg.h"

/* Events as they lie in the outbox (its migration). */

/* Columns of an event in the order of outbox_take: o is its row, p its partition's. */
#define OUTBOX_EVENT                                                                   \
	"p.partition, p.epoch, o.position, o.id::text, o.type, o.subject, o.sequence," \
	" o.person, o.at, o.traceparent, o.data"

/* All but the source. */
void outbox_take(struct pg_row *row, struct event *event);

/* A part of what a person was told, in the order of positions. */
struct outbox_page {
	struct event *events;
	size_t count;
	int64_t position; /* the last one given in the person's partition */
	bool has_more; /* there are more than were asked for */
	bool resync; /* what follows `after` is not kept any more, or was never there: no events */
};

/* The person's events that have a position above `after`, published or about to be, at most
 * `limit`; with OUTBOX_NOW none, but where the partition is now. Suspends. */
#define OUTBOX_NOW (-1)
enum fault outbox_after(struct task *t, const struct uuid *person, int64_t after, int32_t limit,
	struct outbox_page *page) MUST_CHECK;

/* A service's schema needs it. */
extern const struct pg_statement outbox_after_statement;
