/* SPDX-License-Identifier: Apache-2.0
 * Server-sent events (the HTML standard, 9.2): a reply whose body is a stream that is given the
 * messages as they come. Back-pressure is the stream's: what is given while libh2o still sends
 * waits in the queue. The reply's exchange lives as long as this, and closes it. */
#include "http/live_object.h"

#include "base/check.h"
#include "base/random.h"

#include <stdio.h>

enum {
	RETRY_MS = 2000, /* what a client waits before it connects again */
	RETRY_STOPPING_MS = 4000, /* all at once: spread over that */
};

static void pull(struct stream *stream);
static void close_stream(struct stream *stream);
static void append_retry(struct live *l, int64_t ms);

static const struct stream_ops stream_ops = {.pull = pull, .close = close_stream};

/* On the loop, when the handler has ended. The first bytes make the head go out. */
void live_events_begin(struct live *l, struct exchange *e)
{
	l->stream.ops = &stream_ops;
	l->exchange = e;
	e->reply.live = NULL;
	e->live = true;
	e->reply.stream = &l->stream;
	if (e->req->version < 0x200)
		live_bind(l, e->connection);
	append_retry(l, RETRY_MS);
	stream_begin(e);
}

static void append(struct live *l, struct str id, struct str json)
{
	struct str rest = json, line;

	if (id.len > 0) {
		live_append(&l->out, STR("id: "));
		live_append(&l->out, id);
		live_append(&l->out, STR("\n"));
	}
	while (str_cut(&rest, '\n', &line)) {
		live_append(&l->out, STR("data: "));
		live_append(&l->out, line);
		live_append(&l->out, STR("\n"));
	}
	live_append(&l->out, STR("\n"));
}

static void heartbeat(struct live *l)
{
	if (l->out.len > 0 || l->writing.at != NULL)
		return; /* as good */
	live_append(&l->out, STR(":\n\n"));
	live_flush_soon(l);
}

static void farewell(struct live *l)
{
	const struct live_reason *reason = live_reason(l->why);
	char text[160];
	const int len = snprintf(text, sizeof text,
		"event: end\ndata: {\"type\":\"end\",\"code\":%u,\"reason\":\"%s\"}\n\n",
		reason->code, reason->sentence);

	if (l->why == LIVE_STOPPING)
		append_retry(l, 1 + (int64_t)random_below(RETRY_STOPPING_MS));
	live_append(&l->out, str_of(text, (size_t)len));
}

static void append_retry(struct live *l, int64_t ms)
{
	char text[40];
	const int len = snprintf(text, sizeof text, "retry: %lld\n\n", (long long)ms);

	live_append(&l->out, str_of(text, (size_t)len));
}

static void flush(struct live *l)
{
	if (!l->pulled || !live_take_out(l))
		return;
	l->pulled = false;
	l->stream.give(&l->stream, str_of(l->writing.at, l->writing.len),
		l->ending ? STREAM_END : STREAM_MORE);
}

void live_events_lost(struct live *l)
{
	stream_break(l->exchange);
}

/* One that is stuck on HTTP/2 ends with its connection, which the sweep looks after. */
static void cut(struct live *l)
{
	if (l->connection != NULL)
		connection_cut(l->connection);
}

static void pull(struct stream *stream)
{
	struct live *l = CONTAINER_OF(stream, struct live, stream);

	live_written(l);
	l->pulled = true;
	live_flush_soon(l);
}

static void close_stream(struct stream *stream)
{
	live_gone(CONTAINER_OF(stream, struct live, stream));
}

const struct live_ops live_events_ops = {
	.append = append,
	.heartbeat = heartbeat,
	.farewell = farewell,
	.flush = flush,
	.cut = cut,
};
