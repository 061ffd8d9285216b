/* SPDX-License-Identifier: Apache-2.0
 * Answers in gzip for clients that ask for it. Only what a GET gets: answers to POST may hold
 * secrets beside what the client sent, and how well the one compresses with the other would tell of
 * them (BREACH). Only text that is worth it, and not so much of it that the loop would be held up:
 * level 1 takes a millisecond for some 50 KiB. One deflate state a worker, made when it is first
 * needed. A service compresses, the gateway hands on. */
#include "http/internal.h"

#include "base/buf.h"
#include "base/check.h"
#include "http/accept_encoding.h"
#include "http/etag.h"

#include <stdlib.h>
#include <zlib.h>

enum {
	BODY_MIN = 1 << 10,
	BODY_MAX = 128 << 10,
	LEVEL = 1,
	WINDOW_BITS = 14, /* with MEMORY_LEVEL: a state of 128 KiB */
	GZIP = 16, /* added to them */
	MEMORY_LEVEL = 7,
};

static bool is_worth_it(const struct exchange *e);
static bool is_text(struct str type);
static z_stream *state_of(struct server_worker *w);

void compress_decide(struct exchange *e)
{
	struct reply *reply = &e->reply;
	struct buf tag = buf_new(reply->arena);

	if (!is_worth_it(e))
		return;
	reply_header(reply, "vary", STR("accept-encoding"));
	e->compresses = accepts_gzip(request_header(&e->request, STR("accept-encoding")));
	if (!e->compresses || reply->etag.at == NULL)
		return;
	buf_add(&tag, reply->etag);
	buf_add(&tag, STR(ETAG_GZIP));
	reply->etag = buf_str(&tag);
}

void compress_body(struct exchange *e)
{
	struct reply *reply = &e->reply;
	z_stream *z = state_of(e->worker);
	const size_t room = deflateBound(z, reply->body.len);
	char *out = arena_bytes(reply->arena, room);

	z->next_in = (Bytef *)(uintptr_t)reply->body.at;
	z->avail_in = (uInt)reply->body.len;
	z->next_out = (Bytef *)out;
	z->avail_out = (uInt)room;
	CHECK(deflate(z, Z_FINISH) == Z_STREAM_END);
	reply->body = str_of(out, room - z->avail_out);
	reply_header(reply, "content-encoding", STR("gzip"));
	CHECK(deflateReset(z) == Z_OK);
}

void compress_end(struct server_worker *w)
{
	if (w->deflate == NULL)
		return;
	deflateEnd(w->deflate);
	free(w->deflate);
	w->deflate = NULL;
}

/* Whoever says Content-Encoding or Vary himself has thought about it, or a service behind us has.
 */
static bool is_worth_it(const struct exchange *e)
{
	const struct reply *reply = &e->reply;

	return reply->status == 200 && reply->stream == NULL && reply->live == NULL &&
	       reply->body.len >= BODY_MIN && reply->body.len <= BODY_MAX &&
	       is_text(reply->content_type) &&
	       (str_eq(e->request.method, STR("GET")) || str_eq(e->request.method, STR("HEAD"))) &&
	       !reply_has(reply, STR("content-encoding")) && !reply_has(reply, STR("vary"));
}

static bool is_text(struct str type)
{
	return str_starts(type, STR("application/json")) || str_starts(type, STR("text/"));
}

static z_stream *state_of(struct server_worker *w)
{
	if (w->deflate != NULL)
		return w->deflate;
	w->deflate = calloc(1, sizeof(z_stream));
	CHECK(w->deflate != NULL);
	CHECK(deflateInit2(w->deflate, LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP, MEMORY_LEVEL,
		      Z_DEFAULT_STRATEGY) == Z_OK);
	return w->deflate;
}
