/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/request.h"
#include "http/stream.h"

enum { REPLY_HEADERS_MAX = 32 };

/* What a handler answers: filled on the fiber, sent by the loop after the fiber has ended. The
 * bytes live in the task's arena (or for ever). */
struct reply {
	struct arena *arena;
	int status;
	struct str content_type;
	struct str body;
	struct str etag; /* without quotes; http answers If-None-Match and HEAD from it */
	struct header headers[REPLY_HEADERS_MAX]; /* also sent when the handler returns a fault */
	size_t header_count;
	struct stream *stream; /* instead of body: its bytes as they come; owned by http from the
	                          handler's return */
	int64_t stream_bytes; /* Content-Length of the stream, -1 when not known */
	struct live *live; /* instead of either: set by live_open */
};

/* As it was before anything was put into it. */
void reply_reset(struct reply *reply);

/* 200, 201, … with a JSON body. Always OK, so that a handler can end with `return reply_json(…)`.
 */
enum fault reply_json(struct reply *reply, int status, struct str json);

/* The struct by its table. */
enum fault reply_object(
	struct reply *reply, int status, const struct field_table *table, const void *value);

/* 204. */
enum fault reply_empty(struct reply *reply);

/* Appends a header; name must be a lower-case literal, value lives in the arena. */
void reply_header(struct reply *reply, const char *name, struct str value);

bool reply_has(const struct reply *reply, struct str name);

/* ETag: "<version>" or "<version>.<second>" of the resource in the body. */
void reply_version(struct reply *reply, int64_t version);
void reply_versions(struct reply *reply, int64_t version, int64_t second);

/* Location of what was made. */
void reply_location(struct reply *reply, const char *format, ...) PRINTF_LIKE(2, 3);

/* Link: <…>; rel="next" for the page after this one; the request's own query with another cursor.
 */
void reply_next_page(struct reply *reply, const struct request *request, struct str cursor);

/* A list body (json_write_list) and its Link header. */
enum fault reply_list(struct reply *reply, const struct request *request,
	const struct field_table *table, const void *items, size_t count, struct str next_cursor);
