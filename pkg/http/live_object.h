/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What live.c, live_events.c and live_websocket.c know of a stream. */

#include "http/internal.h"
#include "http/live.h"
#include "http/ws_frame.h"

struct live_bytes {
	char *at;
	size_t len;
	size_t room;
};

/* How a kind does what both must do. None of them frees the stream but heartbeat, flush
 * and cut. */
struct live_ops {
	/* Appends a message to what waits. */
	void (*append)(struct live *l, struct str id, struct str json);
	/* Appends what asks the client whether it is there. */
	void (*heartbeat)(struct live *l);
	/* Appends what tells the client why it ends. */
	void (*farewell)(struct live *l);
	/* Hands on what waits, unless something is under way. */
	void (*flush)(struct live *l);
	/* The farewell has had its time. */
	void (*cut)(struct live *l);
};

struct live {
	uint32_t magic;
	const struct live_ops *ops;
	struct live_config config;
	struct server_worker *worker;
	struct connection *connection; /* NULL before it has begun, and with HTTP/2 */
	struct list link; /* in a slot of the worker's wheel */
	struct loop_hook hook; /* flush, at the end of the turn */
	struct wait *waiter; /* of live_wait_sent */

	struct live_bytes out; /* waits: whole messages */
	size_t out_messages;
	struct live_bytes writing; /* under way */

	int64_t stop_us; /* when it is told to connect again; INT64_MAX: not yet */
	bool ending; /* nothing more is taken; `why` is decided */
	enum live_end why;
	int64_t cut_us; /* set with `ending` */

	/* LIVE_EVENTS */
	struct stream stream;
	struct exchange *exchange;
	bool pulled; /* the next piece may be given */

	/* LIVE_WEBSOCKET */
	h2o_socket_t *socket; /* NULL until the handshake is answered */
	struct live_bytes partial; /* of a message in fragments */
	bool in_message;
	bool text;
	bool heard; /* since the last ping */
	bool peer_closed; /* its Close frame has come */
	bool deaf; /* it broke the protocol: nothing of it is read any more */
	unsigned frames; /* in the second that began at frames_us */
	int64_t frames_us;

	/* for the log line at its end; the texts stand behind the struct */
	const struct route *route;
	struct str request_id;
	struct str traceparent;
	struct str peer;
	int64_t opened_us;
	uint64_t messages_sent;
	uint64_t bytes_sent;
	uint64_t messages_received;
	char texts[];
};

extern const struct live_ops live_events_ops, live_websocket_ops;

struct live_reason {
	const char *name; /* in metrics and logs */
	unsigned code; /* 0: nothing is said */
	const char *sentence;
};
const struct live_reason *live_reason(enum live_end why);

void live_append(struct live_bytes *b, struct str bytes);
void live_bytes_free(struct live_bytes *b);

/* `out` becomes `writing`; false when there is nothing. */
bool live_take_out(struct live *l);

/* `writing` has been handed to the socket. */
void live_written(struct live *l);

/* Flushes at the end of the turn. */
void live_flush_soon(struct live *l);

/* FAULT_… unless the request is a WebSocket's handshake (RFC 6455 4.2.1). */
enum fault live_websocket_check(
	struct scope *s, const struct request *request, struct reply *reply) MUST_CHECK;
