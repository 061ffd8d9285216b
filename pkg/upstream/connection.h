/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "metrics/metrics.h"
#include "upstream/message.h"

/* A peer's connections. Each address has `connections_max` slots; a call takes one before it uses
 * or makes a connection and gives it back with it, so the connections that carry calls plus the
 * idle ones never exceed that number. */

enum {
	CONNECT_US = 1000000, /* to an address, or half of what remains of the call */
	IDLE_US = 30000000, /* shorter than any of our servers keeps one */
	REFUSED_US = 10000000, /* an address that refused is the last choice for that long */
};

struct upstream_stream;

struct upstream_address {
	struct upstream *upstream;
	struct str text;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un local;
	} at;
	socklen_t len;
	unsigned taken; /* slots */
	struct list idle; /* upstream_connection.link, the last used first */
	int64_t refused_until_us;
};

enum { UPSTREAM_CLASSES = 4 };

struct upstream_metrics {
	struct counter *answers[UPSTREAM_CLASSES]; /* 2xx … 5xx */
	struct counter *faults[FAULT_COUNT];
	struct histogram *seconds;
	struct gauge *connections;
	struct gauge *waiting;
	struct counter *retries;
	struct counter *refused;
};

struct upstream {
	struct loop *loop;
	struct upstream_config config;
	struct arena *arena;
	struct upstream_address *addresses;
	unsigned turn; /* where the search for an address begins, so that equals take turns */
	struct list waiters; /* for a slot, in order */
	unsigned waiter_count;
	struct upstream_metrics metrics;
};

struct upstream_connection {
	struct list link; /* in address->idle */
	struct upstream_address *address;
	int fd;
	struct loop_watch *watch;
	struct loop_timer timer; /* while connecting and while idle */
	bool connecting;
	bool idle;
	bool reused; /* it has carried an answer before this call */
	bool ended; /* the peer has closed or reset it */
	bool written; /* at least one byte of the request has left */
	bool answered; /* at least one byte of the answer has come */
	struct iovec unsent[2]; /* of the request; borrowed from the task */
	char *in; /* what the peer sent, NULL until it has */
	size_t in_len;
	size_t in_cap;
	struct wait *waiting; /* the call that waits for input or the connect */
	struct upstream_stream *stream; /* takes the input instead */
};

/* A connection with a slot, kept-alive unless `fresh`; waits for a slot at most half of what
 * remains of the task's time. FAULT_OVERLOADED, FAULT_UNAVAILABLE. Suspends. */
enum fault upstream_connection_take(
	struct task *t, struct upstream *u, bool fresh, struct upstream_connection **c) MUST_CHECK;

/* Sends a request, not waiting for it to be gone; head and body must live until keep or drop. */
void upstream_connection_send(struct upstream_connection *c, struct str head, struct str body);

/* Waits until more than `seen` bytes of input are there or the peer has ended. Suspends. */
enum fault upstream_connection_more(
	struct task *t, struct upstream_connection *c, size_t seen) MUST_CHECK;

/* Takes n bytes off the front of the input. */
void upstream_connection_consume(struct upstream_connection *c, size_t n);

/* The answer was read to its end: back among the idle ones, with its slot. Clears *c. */
void upstream_connection_keep(struct upstream_connection **c);

/* Closes it and gives its slot back. Clears *c; NULL is allowed. */
void upstream_connection_drop(struct upstream_connection **c);

/* Reading stops by itself when the input is full; this takes it up again. */
void upstream_connection_read(struct upstream_connection *c);

/* Closes all idle ones of the address. */
void upstream_address_close_idle(struct upstream_address *a);

/* False when the text is no address; a->text borrows it. */
bool upstream_address_parse(struct str text, struct upstream_address *a);

/* ---- the rest of an answer as a stream ---- */

/* What a stream needs of the call that began it. */
struct upstream_rest {
	struct upstream_body body;
	bool keep; /* the connection, when the body has come to its end */
	int64_t piece_us; /* the longest wait for a piece */
};

/* Takes the connection over; part of the body is in its input already, decoded. Clears *c. */
struct stream *upstream_stream_new(
	struct upstream_connection **c, const struct upstream_rest *rest);

/* The stream's part of reading: `before` bytes of c->in were there already. */
void upstream_stream_input(struct upstream_stream *stream, size_t before);

/* ---- metrics ---- */

void upstream_metrics_init(struct upstream_metrics *m, const char *peer);

/* A call has ended, with `status` when the fault is OK. */
void upstream_metrics_call(struct upstream *u, enum fault fault, int status, int64_t began_us);
