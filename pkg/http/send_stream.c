/* SPDX-License-Identifier: Apache-2.0
 * A reply's body as it comes: pull a piece, send it, pull the next when libh2o has sent it. A piece
 * that was given is sent at the end of the loop's turn, never from inside give: sending may end the
 * request, and the producer is not to be closed under its own feet. The head goes out with the
 * first piece, so that a producer that fails at once becomes an ordinary 502. */
#include "http/internal.h"

#include "base/check.h"

static void on_give(struct stream *stream, struct str bytes, enum stream_state state);
static void send_piece(struct loop_hook *hook);
static void check_length(struct exchange *e);
static void begin(struct exchange *e);
static void fail_early(struct exchange *e);
static void send_bytes(struct exchange *e, struct str bytes, h2o_send_state_t state);

void stream_begin(struct exchange *e)
{
	struct stream *stream = e->reply.stream;

	e->piece_hook.run = send_piece;
	stream->give = on_give;
	stream->consumer = e;
	stream->ops->pull(stream);
}

void stream_proceed(struct exchange *e)
{
	CHECK(e->reply.stream != NULL && !e->piece_given);
	e->reply.stream->ops->pull(e->reply.stream);
}

void stream_end(struct exchange *e)
{
	struct stream *stream = e->reply.stream;

	if (e->reply.live != NULL) /* it has not begun */
		live_gone(e->reply.live);
	e->reply.live = NULL;
	if (stream == NULL)
		return;
	loop_hook_clear(&e->piece_hook);
	e->reply.stream = NULL;
	stream->ops->close(stream);
}

void stream_break(struct exchange *e)
{
	if (e->reply.stream == NULL || e->req == NULL || e->broken || e->sending)
		return;
	e->broken = true;
	e->piece = STR_NONE;
	e->piece_state = STREAM_ERROR;
	e->piece_given = true;
	loop_at_turn_end(e->worker->loop, &e->piece_hook);
}

static void on_give(struct stream *stream, struct str bytes, enum stream_state state)
{
	struct exchange *e = stream->consumer;

	if (e->broken)
		return;
	CHECK(e->reply.stream == stream && !e->piece_given);
	e->piece = bytes;
	e->piece_state = state;
	e->piece_given = true;
	loop_at_turn_end(e->worker->loop, &e->piece_hook);
}

static void send_piece(struct loop_hook *hook)
{
	struct exchange *e = CONTAINER_OF(hook, struct exchange, piece_hook);

	e->piece_given = false;
	if (e->req == NULL)
		return;
	check_length(e);
	if (e->piece_state == STREAM_ERROR && !e->began) {
		fail_early(e);
	} else if (e->piece_state == STREAM_ERROR) {
		send_bytes(e, STR_NONE, H2O_SEND_STATE_ERROR);
	} else if (e->piece_state == STREAM_END) {
		begin(e);
		send_bytes(e, e->piece, H2O_SEND_STATE_FINAL);
	} else if (e->piece.len == 0) {
		stream_proceed(e);
	} else {
		begin(e);
		send_bytes(e, e->piece, H2O_SEND_STATE_IN_PROGRESS);
	}
}

/* A body that is not as long as its Content-Length says would put the connection out of step. */
static void check_length(struct exchange *e)
{
	const int64_t length = e->reply.stream_bytes;

	e->streamed += (int64_t)e->piece.len;
	if (length < 0 || e->piece_state == STREAM_ERROR)
		return;
	if (e->streamed > length || (e->piece_state == STREAM_END && e->streamed < length))
		e->piece_state = STREAM_ERROR;
}

static void begin(struct exchange *e)
{
	if (e->began)
		return;
	e->began = true;
	respond_head(e, e->reply.stream_bytes);
	h2o_start_response(e->req, &e->generator);
	if (e->live)
		exchange_detach(e);
}

static void fail_early(struct exchange *e)
{
	struct scope s;

	/* the request's count keeps the arena; the task and its scope are gone */
	s = (struct scope){.arena = e->arena};
	s.errors_end = &s.errors;
	e->fault = fail(&s, FAULT_BAD_GATEWAY, "the answer ended before it began");
	e->reply.header_count = 0;
	exchange_respond(e, &s);
}

/* May end the exchange. */
static void send_bytes(struct exchange *e, struct str bytes, h2o_send_state_t state)
{
	h2o_iovec_t piece = h2o_iovec_init(bytes.at, bytes.len);

	e->sending = true;
	e->connection->unsent++;
	h2o_send(e->req, &piece, bytes.len > 0 ? 1 : 0, state);
}
