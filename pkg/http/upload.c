/* SPDX-License-Identifier: Apache-2.0
 * Bodies on HTTP/2 that are over all bounds. libh2o refuses such a stream by REFUSED_STREAM, which
 * tells the client that nothing has happened and that it may send the same again (RFC 9113 8.7). So
 * we look at DATA frames before libh2o does: at the frame that would be too much the body ends, so
 * that its request is answered 413 as any other; what comes of it from then on is dropped, and with
 * the answer the client is told to stop (RFC 9113 8.1). Only whole frames are looked at, as libh2o
 * takes them; an incomplete one stays at the end of the input. */
#include "http/internal.h"

#include "base/check.h"

#include <h2o/http2.h>
#include <h2o/http2_internal.h>
#include <stdlib.h>

enum {
	PREFACE_BYTES = 24,
	HEAD_BYTES = H2O_HTTP2_FRAME_HEADER_SIZE,
	REFUSED_MAX = 16, /* a connection, remembered; of older ones libh2o resets the streams */
	NO_ERROR = 0
};

struct uploads {
	uint32_t streams[REFUSED_MAX]; /* that are refused; 0: none */
	size_t next;
};

/* Bytes of bodies in the input that libh2o has not seen. */
struct unseen {
	struct {
		uint32_t stream;
		size_t bytes;
	} at[HTTP2_STREAMS_MAX];
	size_t count;
};

enum verdict { TAKE, DROP, END_HERE, LATER };

static void on_read(h2o_socket_t *socket, const char *error);
static h2o_iovec_t look(struct connection *c);
static enum verdict judge(
	struct connection *c, const h2o_http2_frame_t *frame, struct unseen *unseen);
static size_t *unseen_of(struct unseen *unseen, uint32_t stream);
static uint32_t *find_refused(const struct connection *c, uint32_t stream);
static void note_refused(struct connection *c, uint32_t stream);
static void give_window_back(h2o_http2_conn_t *conn, size_t bytes);
static h2o_http2_frame_t frame_at(const char *bytes);

void upload_watch(struct connection *c)
{
	if (c->socket->_cb.read == on_read || c->socket->_cb.read == NULL)
		return;
	c->read = c->socket->_cb.read;
	c->socket->_cb.read = on_read;
}

void upload_forget(struct connection *c)
{
	free(c->uploads);
	if (c->gone != NULL)
		*c->gone = true;
}

void upload_answered(struct connection *c, const h2o_req_t *req)
{
	const h2o_http2_stream_t *stream = H2O_STRUCT_FROM_MEMBER(h2o_http2_stream_t, req, req);
	h2o_http2_conn_t *conn = (void *)req->conn;

	if (c->uploads == NULL || find_refused(c, stream->stream_id) == NULL)
		return;
	h2o_http2__encode_rst_stream_frame(&conn->_write.buf, stream->stream_id, NO_ERROR);
	h2o_http2_conn_request_write(conn);
}

static void on_read(h2o_socket_t *socket, const char *error)
{
	struct connection *c = socket->on_close.data;
	h2o_iovec_t later = {NULL, 0};
	bool gone = false;

	c->gone = &gone;
	do {
		free(later.base);
		later = error == NULL ? look(c) : h2o_iovec_init(NULL, 0);
		c->read(socket, error);
		if (gone)
			break;
		if (later.len > 0) {
			memcpy(h2o_buffer_reserve(&socket->input, later.len).base, later.base,
				later.len);
			socket->input->size += later.len;
		}
	} while (later.len > 0 && socket->_cb.read == on_read); /* else it has stopped, or closes */
	free(later.base);
	if (!gone)
		c->gone = NULL;
}

/* Takes out of the input what is to be dropped. What cannot be judged before libh2o has seen what
 * stands before it is taken out as well, and answered. */
static h2o_iovec_t look(struct connection *c)
{
	h2o_http2_conn_t *conn = c->socket->data;
	h2o_buffer_t *input = c->socket->input;
	size_t from = c->greeted ? 0 : PREFACE_BYTES, to = from, dropped = 0;
	struct unseen unseen = {.count = 0};
	h2o_iovec_t later = {NULL, 0};

	if (input->size < from || conn->state != H2O_HTTP2_CONN_STATE_OPEN)
		return later;
	c->greeted = true;
	while (input->size - from >= HEAD_BYTES) {
		char *const bytes = input->bytes + from;
		const h2o_http2_frame_t frame = frame_at(bytes);
		const size_t len = HEAD_BYTES + frame.length;
		enum verdict verdict;

		if (input->size - from < len)
			break;
		verdict = judge(c, &frame, &unseen);
		if (verdict == LATER) {
			later = h2o_strdup(NULL, bytes, input->size - from);
			input->size = from;
			break;
		}
		from += len;
		if (verdict == TAKE) {
			memmove(input->bytes + to, bytes, len);
			to += len;
			continue;
		}
		dropped += frame.length;
		if (verdict == END_HERE) {
			h2o_http2_encode_frame_header((void *)(input->bytes + to), 0,
				H2O_HTTP2_FRAME_TYPE_DATA, H2O_HTTP2_FRAME_FLAG_END_STREAM,
				(int32_t)frame.stream_id);
			to += HEAD_BYTES;
		}
	}
	memmove(input->bytes + to, input->bytes + from, input->size - from);
	input->size -= from - to;
	give_window_back(conn, dropped);
	return later;
}

static enum verdict judge(
	struct connection *c, const h2o_http2_frame_t *frame, struct unseen *unseen)
{
	h2o_http2_conn_t *conn = c->socket->data;
	h2o_http2_stream_t *stream;
	uint32_t *refused;
	size_t *bytes, held;

	if (frame->type != H2O_HTTP2_FRAME_TYPE_DATA || frame->stream_id == 0)
		return TAKE;
	refused = find_refused(c, frame->stream_id);
	if (refused != NULL) {
		if ((frame->flags & H2O_HTTP2_FRAME_FLAG_END_STREAM) != 0)
			*refused = 0;
		return DROP;
	}
	bytes = unseen_of(unseen, frame->stream_id);
	stream = h2o_http2_conn_get_stream(conn, frame->stream_id);
	if (bytes == NULL || (stream != NULL && stream->_req_body == NULL))
		return TAKE; /* it is an error, for which libh2o has its own answer */
	*bytes += frame->length;
	held = stream != NULL ? stream->_req_body->size : 0;
	if (held + *bytes <= conn->super.ctx->globalconf->max_request_entity_size)
		return TAKE;
	if (*bytes > frame->length)
		return LATER; /* its head, and the length that it tells, may be among it */
	if (stream == NULL || stream->state != H2O_HTTP2_STREAM_STATE_RECV_BODY)
		return TAKE;
	stream->_expected_content_length = SIZE_MAX;
	if ((frame->flags & H2O_HTTP2_FRAME_FLAG_END_STREAM) == 0)
		note_refused(c, frame->stream_id);
	return END_HERE;
}

/* NULL: more streams than a client may have. */
static size_t *unseen_of(struct unseen *unseen, uint32_t stream)
{
	for (size_t i = 0; i < unseen->count; i++)
		if (unseen->at[i].stream == stream)
			return &unseen->at[i].bytes;
	if (unseen->count == HTTP2_STREAMS_MAX)
		return NULL;
	unseen->at[unseen->count].stream = stream;
	unseen->at[unseen->count].bytes = 0;
	return &unseen->at[unseen->count++].bytes;
}

/* ---- streams that are refused ---- */

static uint32_t *find_refused(const struct connection *c, uint32_t stream)
{
	for (size_t i = 0; c->uploads != NULL && i < REFUSED_MAX; i++)
		if (c->uploads->streams[i] == stream)
			return &c->uploads->streams[i];
	return NULL;
}

static void note_refused(struct connection *c, uint32_t stream)
{
	if (c->uploads == NULL)
		c->uploads = calloc(1, sizeof *c->uploads);
	CHECK(c->uploads != NULL);
	c->uploads->streams[c->uploads->next++ % REFUSED_MAX] = stream;
}

/* The connection's; the stream's own is not worth any more. */
static void give_window_back(h2o_http2_conn_t *conn, size_t bytes)
{
	if (bytes == 0)
		return;
	h2o_http2_encode_window_update_frame(&conn->_write.buf, 0, (int32_t)bytes);
	h2o_http2_conn_request_write(conn);
}

static h2o_http2_frame_t frame_at(const char *bytes)
{
	const uint8_t *const at = (const uint8_t *)bytes;

	return (h2o_http2_frame_t){
		.length = h2o_http2_decode24u(at),
		.type = at[3],
		.flags = at[4],
		.stream_id = h2o_http2_decode32u(at + 5) & INT32_MAX,
	};
}
