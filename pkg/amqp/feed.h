/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "amqp/broker.h"
#include "amqp/event.h"
#include "fiber/loop.h"

/* Events as they happen, for every loop of the process: a queue of its own on the exchange, which
 * lives as long as the connection. Each event comes once and in order of its position; what
 * happened while there was no connection does not come: then `missed` is called, and whoever needs
 * it reads the events after the last position it has seen from the service that owns them. */
struct feed;

enum { FEED_BEHIND_MAX = 8192 }; /* events that wait for one loop; more: it misses some */

struct feed_config {
	struct broker broker;
	const char *const *keys; /* routing keys: "order.*", "session.ended" */
	size_t key_count;
	/* On each loop's own stack. The event is borrowed for the call. */
	void (*receive)(struct loop *l, const struct event *event);
	/* Events may have been missed before this moment; none from now on until it is called
	 * again. Also called when a loop joins an open connection, and when the connection is
	 * there for the first time. */
	void (*missed)(struct loop *l);
};

/* Starts its thread, which connects, and again for ever. Texts are borrowed for its life. */
struct feed *feed_new(const struct feed_config *config);

/* After all loops have left. NULL is allowed. */
void feed_free(struct feed *feed);

/* From the loop's own thread: it hears from now on. */
void feed_join(struct feed *feed, struct loop *l);

/* It hears nothing any more; turns the loop until what was on its way has come. */
void feed_leave(struct feed *feed, struct loop *l);

/* Whether the queue is there. From any thread. */
bool feed_is_open(const struct feed *feed);
