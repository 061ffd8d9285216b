/* SPDX-License-Identifier: Apache-2.0
 * WebSockets on HTTP/1.1 (RFC 6455). libh2o answers the handshake and hands its socket over; the
 * connection's record stays with it. Bytes that have come stay in the socket's buffer until they
 * are a whole frame, so an idle stream holds no buffer at all. Each ping of the client gets its
 * pong through the queue, so its bound and that on frames a second hold for them, too. */
#include "http/live_object.h"

#include "base/check.h"

#include <h2o/http1.h>
#include <stdio.h>

static void on_upgraded(void *owner, h2o_socket_t *socket, size_t head_bytes);
static void on_input(h2o_socket_t *socket, const char *error);
static void read_frames(struct live *l);
static bool read_frame(struct live *l);
static bool is_flood(struct live *l);
static void take_frame(struct live *l, const struct ws_frame *frame, struct str payload);
static void take_close(struct live *l, struct str payload);
static void take_data(struct live *l, const struct ws_frame *frame, struct str payload);
static void give_up(struct live *l, enum live_end why);
static void append_frame(struct live *l, enum ws_opcode opcode, struct str payload);
static void on_written(h2o_socket_t *socket, const char *error);
static void close_socket(struct live *l);

/* ---- the handshake ---- */

enum fault live_websocket_check(struct scope *s, const struct request *request, struct reply *reply)
{
	char accept[WS_ACCEPT_LEN + 1];

	if (request->version < 0x200) {
		reply_header(reply, "sec-websocket-version", STR("13"));
		reply_header(reply, "upgrade", STR("websocket"));
	}
	if (request->version != 0x101 || !str_eq_fold(request->upgrade, STR("websocket")))
		return fail(s, FAULT_UPGRADE_REQUIRED,
			"a WebSocket begins with Upgrade: websocket over HTTP/1.1");
	if (!str_eq(request_header(request, STR("sec-websocket-version")), STR("13")))
		return fail(s, FAULT_UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13");
	if (!str_eq(request->method, STR("GET")))
		return fail(s, FAULT_BAD_REQUEST, "a WebSocket begins with GET");
	if (!ws_accept(request_header(request, STR("sec-websocket-key")), accept))
		return fail(s, FAULT_BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64");
	reply_header(reply, "sec-websocket-accept", scope_dup(s, str_from(accept)));
	return OK;
}

/* On the loop, when the handler has ended. */
void live_websocket_begin(struct live *l, struct exchange *e)
{
	e->reply.live = NULL;
	live_bind(l, e->connection);
	respond_head(e, -1);
	h2o_http1_upgrade(e->req, NULL, 0, on_upgraded, l);
}

/* libh2o's connection is gone, its request, too. */
static void on_upgraded(void *owner, h2o_socket_t *socket, size_t head_bytes)
{
	struct live *l = owner;

	if (socket == NULL) {
		l->connection = NULL; /* closed with it */
		live_gone(l);
		return;
	}
	l->connection->state = CONNECTION_WEBSOCKET;
	connection_stays(l->connection, false);
	l->socket = socket;
	socket->data = l;
	h2o_buffer_consume(&socket->input, head_bytes);
	h2o_socket_read_start(socket, on_input);
	read_frames(l);
	live_flush_soon(l);
}

/* ---- what comes ---- */

static void on_input(h2o_socket_t *socket, const char *error)
{
	struct live *l = socket->data;

	if (error != NULL) {
		close_socket(l);
		return;
	}
	l->heard = true;
	read_frames(l);
}

static void read_frames(struct live *l)
{
	h2o_socket_t *socket = l->socket;

	while (!l->deaf && !l->peer_closed && read_frame(l))
		;
	if (l->deaf || l->peer_closed)
		h2o_buffer_consume(&socket->input, socket->input->size);
}

/* False when more bytes are needed, or no more are wanted. */
static bool read_frame(struct live *l)
{
	h2o_buffer_t *input = l->socket->input;
	struct ws_frame frame;
	const enum ws_read read = ws_frame_read(str_of(input->bytes, input->size), &frame);
	size_t len;

	if (read == WS_PARTIAL)
		return false;
	if (read == WS_MALFORMED) {
		give_up(l, LIVE_MALFORMED);
		return false;
	}
	if (!ws_is_control(frame.opcode) &&
		frame.payload_len > LIVE_MESSAGE_BYTES_MAX - l->partial.len) {
		give_up(l, LIVE_TOO_LARGE);
		return false;
	}
	len = (size_t)frame.payload_len;
	if (input->size - frame.head_len < len)
		return false;
	if (is_flood(l)) {
		give_up(l, LIVE_FLOODED);
		return false;
	}
	ws_unmask(input->bytes + frame.head_len, len, frame.mask);
	take_frame(l, &frame, str_of(input->bytes + frame.head_len, len));
	h2o_buffer_consume(&l->socket->input, frame.head_len + len);
	return true;
}

static bool is_flood(struct live *l)
{
	const int64_t now_us = loop_now_us(l->worker->loop);

	if (now_us - l->frames_us >= 1000000) {
		l->frames_us = now_us;
		l->frames = 0;
	}
	return ++l->frames > LIVE_FRAMES_MAX;
}

static void take_frame(struct live *l, const struct ws_frame *frame, struct str payload)
{
	switch (frame->opcode) {
	case WS_CLOSE:
		take_close(l, payload);
		break;
	case WS_PING:
		if (!l->ending && l->out.len + l->writing.len + payload.len > LIVE_QUEUE_BYTES_MAX)
			live_end(l, LIVE_SLOW);
		if (!l->ending)
			append_frame(l, WS_PONG, payload);
		break;
	case WS_PONG:
		break;
	case WS_TEXT:
	case WS_BINARY:
	case WS_CONTINUATION:
		take_data(l, frame, payload);
		break;
	}
}

/* Answered with the same code, unless it answers ours. */
static void take_close(struct live *l, struct str payload)
{
	bool utf8;

	if (!ws_close_is_valid(payload, &utf8)) {
		give_up(l, utf8 ? LIVE_MALFORMED : LIVE_BAD_DATA);
		return;
	}
	l->peer_closed = true;
	if (!l->ending) {
		append_frame(l, WS_CLOSE, str_of(payload.at, payload.len < 2 ? 0 : 2));
		live_end(l, LIVE_LEFT);
	}
	live_flush_soon(l);
}

static void take_data(struct live *l, const struct ws_frame *frame, struct str payload)
{
	struct str message = payload;

	if ((frame->opcode == WS_CONTINUATION) != l->in_message) {
		give_up(l, LIVE_MALFORMED);
		return;
	}
	if (!l->in_message)
		l->text = frame->opcode == WS_TEXT;
	if (l->in_message || !frame->fin) {
		live_append(&l->partial, payload);
		message = str_of(l->partial.at, l->partial.len);
	}
	l->in_message = !frame->fin;
	if (l->in_message)
		return;
	l->messages_received++;
	if (l->text && !str_is_utf8(message))
		give_up(l, LIVE_BAD_DATA);
	else if (l->config.message != NULL && !l->ending)
		l->config.message(l->config.owner, message);
	live_bytes_free(&l->partial);
}

/* What follows in the input has no meaning. */
static void give_up(struct live *l, enum live_end why)
{
	l->deaf = true;
	live_end(l, why);
	live_flush_soon(l);
}

/* ---- what goes ---- */

static void append(struct live *l, struct str id, struct str json)
{
	(void)id; /* it is in the message */
	append_frame(l, WS_TEXT, json);
}

static void append_frame(struct live *l, enum ws_opcode opcode, struct str payload)
{
	char head[WS_HEAD_MAX];

	live_append(&l->out, str_of(head, ws_head_write(head, opcode, payload.len)));
	live_append(&l->out, payload);
	live_flush_soon(l);
}

static void heartbeat(struct live *l)
{
	if (l->socket == NULL)
		return;
	if (!l->heard) {
		live_end(l, LIVE_SILENT);
		close_socket(l);
		return;
	}
	l->heard = false;
	append_frame(l, WS_PING, STR_NONE);
}

static void farewell(struct live *l)
{
	const struct live_reason *reason = live_reason(l->why);
	char text[WS_CONTROL_MAX];
	int len;

	if (l->peer_closed || reason->code == 0)
		return;
	len = snprintf(text, sizeof text, "%c%c%s", (char)(reason->code >> 8), (char)reason->code,
		reason->sentence);
	append_frame(l, WS_CLOSE, str_of(text, (size_t)len));
}

static void flush(struct live *l)
{
	h2o_iovec_t bytes;

	if (l->socket == NULL || l->writing.at != NULL)
		return;
	if (live_take_out(l)) {
		bytes = h2o_iovec_init(l->writing.at, l->writing.len);
		h2o_socket_write(l->socket, &bytes, 1, on_written);
	} else if (l->ending && (l->peer_closed || l->deaf)) {
		close_socket(l);
	}
}

static void on_written(h2o_socket_t *socket, const char *error)
{
	struct live *l = socket->data;

	if (error != NULL) {
		close_socket(l);
		return;
	}
	live_written(l);
	flush(l);
}

static void cut(struct live *l)
{
	if (l->socket != NULL)
		close_socket(l);
}

/* Frees the stream. Input that nobody read would turn our last words into a reset. */
static void close_socket(struct live *l)
{
	h2o_socket_t *socket = l->socket;

	if (l->deaf)
		connection_will_linger(l->connection);
	live_gone(l);
	h2o_socket_close(socket);
}

const struct live_ops live_websocket_ops = {
	.append = append,
	.heartbeat = heartbeat,
	.farewell = farewell,
	.flush = flush,
	.cut = cut,
};
