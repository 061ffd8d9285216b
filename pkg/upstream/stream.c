/* SPDX-License-Identifier: Apache-2.0
 * The body of an answer as it comes. The connection's input holds what was decoded: first the piece
 * that is lent to the consumer, then what is ready for it. When the input is full, reading stops,
 * and the peer is held back by TCP. Once the body is whole the connection goes back to the pool,
 * however slowly the rest is consumed: slow clients must not use up a peer's connections. */
#include <stdlib.h>

#include "base/check.h"
#include "upstream/connection.h"

enum { STREAM_MAGIC = 0x57eea301, STREAM_BYTES_MAX = 64 << 10 };

struct upstream_stream {
	struct stream base;
	unsigned magic;
	struct loop *loop;
	struct upstream_connection *c; /* NULL once nothing more is to come */
	struct upstream_rest rest;
	char *bytes; /* the input, taken over from the connection when it has gone */
	size_t len;
	size_t lent; /* how much of it the consumer has */
	bool pulled; /* the consumer waits */
	enum stream_state state;
	struct loop_timer timer; /* for the next piece */
};

static void on_pull(struct stream *base);
static void on_close(struct stream *base);
static void on_late(struct loop_timer *timer);
static void finish(struct upstream_stream *s, enum stream_state state, bool keep);
static void give(struct upstream_stream *s);

static const struct stream_ops ops = {.pull = on_pull, .close = on_close};

struct stream *upstream_stream_new(struct upstream_connection **c, const struct upstream_rest *rest)
{
	struct upstream_stream *s = calloc(1, sizeof *s);

	CHECK(s != NULL);
	*s = (struct upstream_stream){.base.ops = &ops,
		.magic = STREAM_MAGIC,
		.loop = (*c)->address->upstream->loop,
		.c = *c,
		.rest = *rest,
		.timer.fire = on_late};
	*c = NULL;
	upstream_connection_widen(s->c, STREAM_BYTES_MAX);
	s->c->stream = s;
	if (s->c->ended)
		upstream_stream_input(s, s->c->in_len);
	else
		upstream_connection_read(s->c);
	return &s->base;
}

void upstream_stream_input(struct upstream_stream *s, size_t before)
{
	struct upstream_connection *c = s->c;
	size_t n = c->in_len - before;
	bool stray = false;
	const enum upstream_read read =
		n > 0 ? upstream_body_read(&s->rest.body, c->in + before, &n, &stray) : READ_MORE;

	c->in_len = before + n;
	if (read == READ_BAD)
		finish(s, STREAM_ERROR, false);
	else if (read == READ_DONE)
		finish(s, STREAM_END, s->rest.keep && !stray);
	else if (c->ended)
		finish(s, s->rest.body.kind == BODY_UNTIL_CLOSE ? STREAM_END : STREAM_ERROR, false);
	else
		s->len = c->in_len;
	if (s->pulled && (s->len > s->lent || s->state != STREAM_MORE))
		give(s);
}

/* Parts from the connection; what is ready can still be had. */
static void finish(struct upstream_stream *s, enum stream_state state, bool keep)
{
	s->state = state;
	s->bytes = s->c->in;
	s->len = s->c->in_len;
	s->c->in = NULL;
	s->c->stream = NULL;
	if (keep)
		upstream_connection_keep(&s->c);
	else
		upstream_connection_drop(&s->c);
}

static void on_pull(struct stream *base)
{
	struct upstream_stream *s = CONTAINER_OF(base, struct upstream_stream, base);

	CHECK(s->magic == STREAM_MAGIC);
	CHECK(!s->pulled);
	s->pulled = true;
	if (s->c != NULL) {
		upstream_connection_consume(s->c, s->lent);
		s->len = s->c->in_len;
	} else {
		memmove(s->bytes, s->bytes + s->lent, s->len - s->lent);
		s->len -= s->lent;
	}
	s->lent = 0;
	if (s->len > 0 || s->state != STREAM_MORE)
		give(s);
	else
		loop_timer_set(s->loop, &s->timer, loop_now_us(s->loop) + s->rest.piece_us);
}

static void give(struct upstream_stream *s)
{
	const char *bytes = s->c != NULL ? s->c->in : s->bytes;

	loop_timer_clear(s->loop, &s->timer);
	s->pulled = false;
	s->lent = s->len;
	s->base.give(&s->base, str_of(bytes, s->len), s->state);
}

static void on_late(struct loop_timer *timer)
{
	struct upstream_stream *s = CONTAINER_OF(timer, struct upstream_stream, timer);

	finish(s, STREAM_ERROR, false);
	give(s);
}

static void on_close(struct stream *base)
{
	struct upstream_stream *s = CONTAINER_OF(base, struct upstream_stream, base);

	CHECK(s->magic == STREAM_MAGIC);
	loop_timer_clear(s->loop, &s->timer);
	if (s->c != NULL)
		s->c->stream = NULL;
	upstream_connection_drop(&s->c);
	s->magic = 0;
	free(s->bytes);
	free(s);
}
