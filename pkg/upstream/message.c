/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 messages. Answers are read strictly (RFC 9112): what two readers could understand
 * differently — two lengths, a length beside chunks, folded headers — is refused, so that no byte
 * of one answer is ever taken for the next one's. */
#include "upstream/message.h"

#include <stdio.h>
#include <strings.h>

#include "base/buf.h"

static bool is_hop_by_hop(struct str name);
static bool read_framing(const struct phr_header *headers, size_t count, struct upstream_head *head,
	int64_t *length, const char **why);
static bool read_length(struct str value, int64_t *length);
static void copy_headers(struct scope *s, const struct phr_header *headers, size_t count,
	struct upstream_reply *reply);
static bool is_listed(const struct phr_header *headers, size_t count, struct str name);
static struct str lower(struct scope *s, struct str text);

/* ---- requests ---- */

static bool is_clean(struct str text, unsigned char lowest)
{
	for (size_t i = 0; i < text.len; i++) {
		const unsigned char c = (unsigned char)text.at[i];

		if ((c < lowest && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool is_token(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] <= ' ' || text.at[i] >= 0x7f ||
			strchr("\"(),/:;<=>?@[\\]{}", text.at[i]))
			return false;
	return text.len > 0;
}

enum fault upstream_request_check(struct scope *s, const struct upstream_request *request)
{
	if (!is_token(request->method))
		return fail(s, FAULT_BAD_REQUEST, "the method is no token");
	if (request->target.len == 0 || request->target.at[0] != '/' ||
		!is_clean(request->target, '!') ||
		memchr(request->target.at, '\t', request->target.len))
		return fail(s, FAULT_BAD_REQUEST,
			"the target must begin with '/' and hold no spaces or control characters");
	for (size_t i = 0; i < request->header_count; i++) {
		const struct header *h = &request->headers[i];

		if (!is_token(h->name) || !is_clean(h->value, ' '))
			return fail(s, FAULT_BAD_REQUEST,
				"the header %.*s holds a control character", STR_ARG(h->name));
	}
	return OK;
}

static bool has_body(const struct upstream_request *request)
{
	return request->body.len > 0 || str_eq(request->method, STR("POST")) ||
	       str_eq(request->method, STR("PUT")) || str_eq(request->method, STR("PATCH"));
}

static void write_header(struct buf *b, struct str name, struct str value)
{
	buf_add(b, name);
	buf_add(b, STR(": "));
	buf_add(b, value);
	buf_add(b, STR("\r\n"));
}

struct str upstream_head_write(
	struct scope *s, const struct upstream_request *request, struct str host)
{
	struct buf b = buf_new(s->arena);
	bool has_host = false;

	buf_add(&b, request->method);
	buf_char(&b, ' ');
	buf_add(&b, request->target);
	buf_add(&b, STR(" HTTP/1.1\r\n"));
	for (size_t i = 0; i < request->header_count; i++) {
		has_host = has_host || str_eq(request->headers[i].name, STR("host"));
		write_header(&b, request->headers[i].name, request->headers[i].value);
	}
	if (!has_host)
		write_header(&b, STR("host"), host);
	if (has_body(request)) {
		buf_add(&b, STR("content-length: "));
		buf_int64(&b, (int64_t)request->body.len);
		buf_add(&b, STR("\r\n"));
	}
	buf_add(&b, STR("\r\n"));
	return buf_str(&b);
}

/* ---- answers ---- */

enum upstream_read upstream_head_read(struct scope *s, struct str bytes, size_t seen,
	bool of_head_request, struct upstream_head *head, struct upstream_reply *reply,
	const char **why)
{
	/* not on the stack, where they would be a page more for every call that waits */
	static _Thread_local struct phr_header headers[UPSTREAM_REPLY_HEADERS_MAX];
	size_t count = UPSTREAM_REPLY_HEADERS_MAX, message_len;
	const char *message;
	int minor, status;
	const int taken = phr_parse_response(bytes.at, bytes.len, &minor, &status, &message,
		&message_len, headers, &count, seen);

	*why = "the answer's head is too large";
	if (taken == -2)
		return bytes.len < UPSTREAM_HEAD_BYTES_MAX ? READ_MORE : READ_BAD;
	*why = "the answer's head is not HTTP/1.1";
	if (taken < 0 || status < 100 || status > 599 || status == 101)
		return READ_BAD;

	int64_t length = -1;
	*head = (struct upstream_head){
		.bytes = (size_t)taken, .status = status, .keep = minor >= 1};
	if (status < 200)
		return READ_DONE; /* an interim answer: its headers say nothing about the final one
		                   */
	if (!read_framing(headers, count, head, &length, why))
		return READ_BAD;
	if (of_head_request || status == 204 || status == 304)
		head->body.kind = BODY_NONE;
	*reply = (struct upstream_reply){.status = status, .body_bytes = length};
	copy_headers(s, headers, count, reply);
	return READ_DONE;
}

/* Content-Length, Transfer-Encoding and Connection: where the answer ends and what follows it. */
static bool read_framing(const struct phr_header *headers, size_t count, struct upstream_head *head,
	int64_t *length, const char **why)
{
	bool chunked = false;

	for (size_t i = 0; i < count; i++) {
		if (headers[i].name == NULL) {
			*why = "the answer has a folded header";
			return false;
		}
		const struct str name = str_of(headers[i].name, headers[i].name_len);
		const struct str value = str_trim(str_of(headers[i].value, headers[i].value_len));

		if (str_eq_fold(name, STR("content-length"))) {
			*why = "the answer's Content-Length is not one number";
			if (*length >= 0 || !read_length(value, length))
				return false;
		} else if (str_eq_fold(name, STR("transfer-encoding"))) {
			*why = "the answer's Transfer-Encoding is not \"chunked\"";
			if (chunked || !str_eq_fold(value, STR("chunked")))
				return false;
			chunked = true;
		}
	}
	*why = "the answer has both Content-Length and Transfer-Encoding";
	if (chunked && *length >= 0)
		return false;
	head->closing = is_listed(headers, count, STR("close"));
	head->keep = head->keep && !head->closing;
	head->body.kind = chunked ? BODY_CHUNKED : *length >= 0 ? BODY_LENGTH : BODY_UNTIL_CLOSE;
	head->body.left = *length;
	head->body.decoder.consume_trailer = 1;
	return true;
}

static bool read_length(struct str value, int64_t *length)
{
	if (value.len == 0 || value.len > 10)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] < '0' || value.at[i] > '9')
			return false;
	return str_to_int64(value, length);
}

/* All but what concerns only this connection; the length is known to the reply already. */
static void copy_headers(struct scope *s, const struct phr_header *headers, size_t count,
	struct upstream_reply *reply)
{
	reply->headers = arena_alloc_array(s->arena, count > 0 ? count : 1, sizeof(struct header));
	for (size_t i = 0; i < count; i++) {
		const struct str name = lower(s, str_of(headers[i].name, headers[i].name_len));
		const struct str value = str_trim(str_of(headers[i].value, headers[i].value_len));

		if (is_hop_by_hop(name) || is_listed(headers, count, name))
			continue;
		reply->headers[reply->header_count++] =
			(struct header){.name = name, .value = scope_dup(s, value)};
	}
}

static bool is_hop_by_hop(struct str name)
{
	static const struct str names[] = {STR("connection"), STR("content-length"),
		STR("keep-alive"), STR("proxy-authenticate"), STR("proxy-connection"), STR("te"),
		STR("trailer"), STR("transfer-encoding"), STR("upgrade")};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (str_eq(name, names[i]))
			return true;
	return false;
}

/* Is the name one of the Connection header's options? */
static bool is_listed(const struct phr_header *headers, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++) {
		struct str rest = str_of(headers[i].value, headers[i].value_len), option;

		if (!str_eq_fold(str_of(headers[i].name, headers[i].name_len), STR("connection")))
			continue;
		while (str_cut(&rest, ',', &option))
			if (str_eq_fold(str_trim(option), name))
				return true;
	}
	return false;
}

static struct str lower(struct scope *s, struct str text)
{
	char *out = arena_bytes(s->arena, text.len);

	for (size_t i = 0; i < text.len; i++) {
		const char c = text.at[i];

		out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	return str_of(out, text.len);
}

enum upstream_read upstream_body_read(
	struct upstream_body *body, char *bytes, size_t *len, bool *stray)
{
	*stray = false;
	switch (body->kind) {
	case BODY_NONE:
		*stray = *len > 0;
		*len = 0;
		return READ_DONE;
	case BODY_LENGTH:
		if ((int64_t)*len > body->left) {
			*stray = true;
			*len = (size_t)body->left;
		}
		body->left -= (int64_t)*len;
		return body->left == 0 ? READ_DONE : READ_MORE;
	case BODY_CHUNKED: {
		const ssize_t rest = phr_decode_chunked(&body->decoder, bytes, len);

		*stray = rest > 0;
		return rest >= 0 ? READ_DONE : rest == -2 ? READ_MORE : READ_BAD;
	}
	case BODY_UNTIL_CLOSE:
		break;
	}
	return READ_MORE;
}
