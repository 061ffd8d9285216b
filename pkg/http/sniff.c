/* SPDX-License-Identifier: Apache-2.0
 * What a connection speaks: HTTP/2 with prior knowledge begins with a preface that no HTTP/1
 * request can begin with. HTTP/1 begins with a head, and a head that libh2o cannot parse it answers
 * in plain text, before any hook of ours sees it; so a connection's first head is parsed here, by
 * the same parser, and gets a problem document when it is none. Later ones are left to libh2o. */
#include "http/internal.h"

#include "http/head.h"
#include "http/phr.h"
#include "http/problem.h"

enum spoken { SPOKEN_UNDECIDED, SPOKEN_HTTP1, SPOKEN_HTTP2, SPOKEN_NEITHER };

static void on_input(h2o_socket_t *socket, const char *error);
static void look(struct connection *c);
static enum spoken spoken_by(struct connection *c, struct str input);
static enum spoken read_head(struct connection *c, struct str input);
static void refuse(struct connection *c);
static void on_refused(h2o_socket_t *socket, const char *error);

void sniff_start(struct connection *c)
{
	c->state = CONNECTION_SNIFF;
	h2o_socket_read_start(c->socket, on_input);
	if (c->socket->input->size > 0) /* it came with the end of the TLS handshake */
		look(c);
}

static void on_input(h2o_socket_t *socket, const char *error)
{
	if (error != NULL)
		h2o_socket_close(socket);
	else
		look(socket->on_close.data);
}

static void look(struct connection *c)
{
	const h2o_buffer_t *input = c->socket->input;
	const enum spoken spoken = spoken_by(c, str_of(input->bytes, input->size));

	if (spoken == SPOKEN_UNDECIDED)
		return;
	h2o_socket_read_stop(c->socket);
	if (spoken == SPOKEN_HTTP1)
		connection_begin_http1(c);
	else if (spoken == SPOKEN_HTTP2)
		connection_begin_http2(c);
	else
		refuse(c);
}

static enum spoken spoken_by(struct connection *c, struct str input)
{
	static const struct str preface = {"PRI * HTTP/2.0", 14};
	const size_t seen = input.len < preface.len ? input.len : preface.len;

	/* in TLS it is agreed on by ALPN, or not spoken */
	if (c->listener->tls || memcmp(input.at, preface.at, seen) != 0)
		return read_head(c, input);
	return seen == preface.len ? SPOKEN_HTTP2 : SPOKEN_UNDECIDED;
}

static enum spoken read_head(struct connection *c, struct str input)
{
	struct phr_header headers[H2O_MAX_HEADERS];
	size_t header_count = H2O_MAX_HEADERS, method_len, path_len;
	const char *method, *path;
	int minor_version;
	const int head = phr_parse_request(input.at, input.len, &method, &method_len, &path,
		&path_len, &minor_version, headers, &header_count, c->sniffed);

	c->sniffed = input.len;
	if (head == -1)
		return SPOKEN_NEITHER;
	return head == -2 && input.len <= HEAD_BYTES_MAX ? SPOKEN_UNDECIDED : SPOKEN_HTTP1;
}

static void refuse(struct connection *c)
{
	struct str head, body;
	struct scope s;
	enum fault fault;

	scope_begin(&s);
	fault = fail(&s, FAULT_BAD_REQUEST, "this is not a request of HTTP/1.1 or HTTP/2");
	body = problem_write(&s, fault, STR_NONE, STR_NONE);
	head = scope_format(&s,
		"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: %zu\r\n"
		"content-type: " PROBLEM_CONTENT_TYPE "\r\ncache-control: no-store\r\n"
		"x-content-type-options: nosniff\r\n\r\n",
		body.len);
	c->refusal = arena_ref(s.arena);
	scope_end(&s);
	account_refused_head(c->listener->site, c->peer, 0x101, fault);
	connection_will_linger(c);
	h2o_socket_write(c->socket,
		(h2o_iovec_t[]){
			h2o_iovec_init(head.at, head.len), h2o_iovec_init(body.at, body.len)},
		2, on_refused);
}

static void on_refused(h2o_socket_t *socket, const char *error)
{
	(void)error;
	h2o_socket_close(socket);
}
