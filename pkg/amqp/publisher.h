/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "amqp/broker.h"
#include "fiber/task.h"

/* Sends messages to RabbitMQ, persistent, and waits until it confirms them. One for a loop, with a
 * connection and a thread of its own. */
struct publisher;

enum {
	PUBLISHER_QUEUE_MAX = 64, /* calls that wait; more: FAULT_OVERLOADED */
	PUBLISHER_CONFIRM_US = 10000000, /* without any confirm, then the connection is given up */
	MESSAGE_HEADERS_MAX = 6
};

struct message_header {
	const char *name;
	struct str value; /* STR_NONE: left out */
};

struct message {
	struct str exchange; /* empty: straight to the queue that `key` names, which must exist */
	struct str key;
	struct str body; /* in the task's arena */
	struct str content_type;
	struct str id;
	struct message_header headers[MESSAGE_HEADERS_MAX];
};

/* Makes the thread, which connects, and again for ever. Texts are borrowed for its life. */
struct publisher *publisher_new(struct loop *l, const struct broker *broker);

/* On its loop's thread, when no task uses it any more. NULL is allowed. */
void publisher_free(struct publisher *p);

/* Whether it is connected. */
bool publisher_is_open(const struct publisher *p);

/* Sends the messages in their order. OK: all are confirmed; *confirmed (may be NULL) says how many
 * from the front are in any case. FAULT_UNAVAILABLE: the broker is away, or refuses one; those
 * behind the first unconfirmed may have been sent too. Suspends. */
enum fault publisher_send(struct task *t, struct publisher *p, const struct message *messages,
	size_t count, size_t *confirmed) MUST_CHECK;
