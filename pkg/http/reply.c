/* SPDX-License-Identifier: Apache-2.0
 * What handlers put into a reply; respond.c sends it. JSON bodies are in reply_json.c. */
#include "http/reply.h"

#include "base/buf.h"
#include "log/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static bool is_clean(struct str value);

/* Not the headers: they are large, and set before they are counted. */
void reply_reset(struct reply *reply)
{
	struct arena *arena = reply->arena;

	memset(reply, 0, offsetof(struct reply, headers));
	reply->arena = arena;
	reply->header_count = 0;
	reply->stream = NULL;
	reply->stream_bytes = -1;
	reply->live = NULL;
}

enum fault reply_json(struct reply *reply, int status, struct str json)
{
	reply->status = status;
	reply->content_type = STR("application/json");
	reply->body = json;
	return OK;
}

enum fault reply_empty(struct reply *reply)
{
	reply->status = 204;
	return OK;
}

void reply_header(struct reply *reply, const char *name, struct str value)
{
	if (reply->header_count == REPLY_HEADERS_MAX || !is_clean(value)) {
		log_line(LEVEL_ERROR, "a reply's header was left out", LOG_TEXT("header", name));
		return;
	}
	reply->headers[reply->header_count++] =
		(struct header){.name = str_from(name), .value = value};
}

bool reply_has(const struct reply *reply, struct str name)
{
	for (size_t i = 0; i < reply->header_count; i++)
		if (str_eq(reply->headers[i].name, name))
			return true;
	return false;
}

void reply_version(struct reply *reply, int64_t version)
{
	struct buf b = buf_new(reply->arena);

	buf_int64(&b, version);
	reply->etag = buf_str(&b);
}

void reply_versions(struct reply *reply, int64_t version, int64_t second)
{
	struct buf b = buf_new(reply->arena);

	buf_int64(&b, version);
	buf_char(&b, '.');
	buf_int64(&b, second);
	reply->etag = buf_str(&b);
}

void reply_location(struct reply *reply, const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof text)
		return;
	reply_header(reply, "location", arena_dup(reply->arena, str_of(text, (size_t)len)));
}

void reply_next_page(struct reply *reply, const struct request *request, struct str cursor)
{
	struct buf b = buf_new(reply->arena);
	struct str target = request->target;
	struct str rest = request->query;
	struct str path = STR_NONE, pair;

	(void)str_cut(&target, '?', &path); /* as it was sent: still percent-encoded */
	buf_char(&b, '<');
	buf_add(&b, path);
	buf_char(&b, '?');
	while (str_cut(&rest, '&', &pair)) {
		if (pair.len == 0 || str_starts(pair, STR("cursor=")))
			continue;
		buf_add(&b, pair);
		buf_char(&b, '&');
	}
	buf_add(&b, STR("cursor="));
	buf_add(&b, cursor);
	buf_add(&b, STR(">; rel=\"next\""));
	reply_header(reply, "link", buf_str(&b));
}

/* No byte that could end the header line. */
static bool is_clean(struct str value)
{
	for (size_t i = 0; i < value.len; i++) {
		const unsigned char c = (unsigned char)value.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}
