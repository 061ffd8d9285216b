/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "amqp/broker.h"
#include "base/scope.h"
#include "metrics/metrics.h"

#include <amqp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/time.h>

/* A connection to RabbitMQ on a thread of its own: librabbitmq blocks. It connects, and again for
 * ever, with growing pauses; what it does there its user says. */

enum { LINK_CHANNEL = 1, LINK_HEARTBEAT_S = 10 };

struct link;

/* All of it on the link's thread. */
struct link_use {
	const char *name; /* of the thread and in metrics: "amqp-publish", at most 15 bytes */
	/* The connection and its channel are open: declare, subscribe. False: it is of no use;
	 * link_failed has said why. */
	bool (*opened)(struct link *l, void *owner);
	/* Something came, link_wake was called, or a moment has passed. Takes all that is there.
	 * False: as above. */
	bool (*work)(struct link *l, void *owner);
	/* What was under way is lost. Also called when a connect has failed. */
	void (*closed)(struct link *l, void *owner);
};

struct link {
	const struct link_use *use;
	void *owner;
	struct broker broker;
	pthread_t thread;
	int wake; /* eventfd */
	atomic_bool stopping;
	atomic_bool open;
	amqp_connection_state_t connection; /* NULL: none */
	pthread_mutex_t lock; /* of the next one, so that stopping can end what blocks */
	int socket; /* -1: none */
	int64_t back_off_us;
	bool told; /* that it is away has been logged */
	struct gauge *up;
	struct counter *lost;
};

/* Starts the thread. */
void link_start(
	struct link *l, const struct link_use *use, void *owner, const struct broker *broker);

/* Ends what it is doing, and the thread. */
void link_stop(struct link *l);

/* From any thread: `work` runs soon. */
void link_wake(struct link *l);

/* ---- on its thread ---- */

/* Whether the broker did what the last call asked for; else says so and returns false. */
bool link_done(struct link *l, const char *what);

/* The same for calls that answer by a status. */
bool link_sent(struct link *l, int status, const char *what);

/* Logs why the connection is given up; always false. */
bool link_failed(struct link *l, const char *what, struct str why);

/* The next frame that has come, waiting at most wait_us. *got false: none did. False: the
 * connection is broken, or closed by the broker. */
bool link_frame(struct link *l, amqp_frame_t *frame, int64_t wait_us, bool *got);

/* The next message that has come to a subscription, without waiting; the caller destroys it. As
 * above. */
bool link_delivery(struct link *l, amqp_envelope_t *envelope, bool *got);

static inline amqp_bytes_t link_bytes(struct str s)
{
	return (amqp_bytes_t){.len = s.len, .bytes = (void *)(uintptr_t)s.at};
}

static inline struct str link_str(amqp_bytes_t b)
{
	return str_of(b.bytes, b.len);
}
