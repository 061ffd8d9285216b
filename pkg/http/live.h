/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/reply.h"

/* A live stream: messages to one client while things happen, over a WebSocket (RFC 6455; HTTP/1.1
 * alone) or as server-sent events (HTTP/1.1 and HTTP/2). An object of the loop, not of a task: a
 * handler opens it on its fiber and returns; from then on it costs no stack, and hardly any memory
 * while it is idle. http sends heartbeats, answers pings, ends it when its time is over, when its
 * reader is too slow and when the worker closes. */
struct live;

enum live_kind { LIVE_WEBSOCKET, LIVE_EVENTS };

/* Why a stream ended; each with its close code. */
enum live_end {
	LIVE_LEFT, /* the client closed it, or the connection was lost */
	LIVE_EXPIRED, /* 4401: `until_us` has come */
	LIVE_REFUSED, /* 4401: whom it belongs to may not see it any more */
	LIVE_SLOW, /* 4408: its queue was full */
	LIVE_STOPPING, /* 1001: the worker closes; another one takes it */
	LIVE_OVERLOADED, /* 1013: its owner could not keep up */
	LIVE_MALFORMED, /* 1002: what came is no WebSocket frame of a client */
	LIVE_BAD_DATA, /* 1007: a text that is not UTF-8 */
	LIVE_TOO_LARGE, /* 1009: a message over LIVE_MESSAGE_BYTES_MAX */
	LIVE_FLOODED, /* 1008: too many frames */
	LIVE_SILENT, /* a ping was not answered */
	LIVE_ENDS
};

enum {
	LIVE_QUEUE_BYTES_MAX = 256 << 10, /* that wait to be sent */
	LIVE_QUEUE_MESSAGES_MAX = 1000,
	LIVE_MESSAGE_BYTES_MAX = 4 << 10, /* of a client */
	LIVE_FRAMES_MAX = 100, /* of a client, in a second */
};

struct live_config {
	enum live_kind kind;
	int64_t until_us; /* loop_now_us's clock; INT64_MAX: for ever */
	struct uuid user_id; /* whose it is, for the log */
	void *owner;
	/* A client's message, borrowed. NULL: they are read and thrown away. */
	void (*message)(void *owner, struct str message);
	/* The stream is gone: once, and the last that is heard of it, also when it never began. Not
	 * from inside live_send or live_end. */
	void (*ended)(void *owner, enum live_end why);
};

/* Makes the reply a stream; it begins when the handler has returned OK, but may be sent to at once.
 * LIVE_WEBSOCKET: FAULT_UPGRADE_REQUIRED, FAULT_BAD_REQUEST when the request is no handshake.
 * FAULT_OVERLOADED: streams_max are open; FAULT_UNAVAILABLE: the worker closes. */
enum fault live_open(struct scope *s, const struct request *request, struct reply *reply,
	const struct live_config *config, struct live **live) MUST_CHECK;

/* Sends one message of JSON, as a text frame or an event of that id (which has no line end; empty:
 * none). A queue that is full ends the stream; after its end nothing is sent. */
void live_send(struct live *l, struct str id, struct str json);

/* Sends what waits, says why, and closes. Harmless once it ends. */
void live_end(struct live *l, enum live_end why);

/* Suspends until everything has been handed to the client's socket. FAULT_CANCELED: the stream has
 * ended, and may be gone. One task at a time. */
enum fault live_wait_sent(struct task *t, struct live *l) MUST_CHECK;
