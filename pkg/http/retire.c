/* SPDX-License-Identifier: Apache-2.0
 * How we end a connection without losing a request: it has been idle, is old enough, or the process
 * stops. The peer is told first, and what is under way goes on. HTTP/1.1 is told by "Connection:
 * close" with the next answer. HTTP/2 is told in two steps (RFC 9113 6.8): a GOAWAY that excludes
 * no stream, and later, when what had been on its way is in, one with the last stream's number;
 * whatever comes behind that one the peer knows to be unread, and libh2o closes when all answers
 * are sent. libh2o can do it for all connections at once only, and its second step would throw away
 * the rest of bodies that are being received; so both are ours, by its connection's own fields. */
#include "http/internal.h"

#include <h2o/http2.h>
#include <h2o/http2_internal.h>
#include <sys/socket.h>

_Static_assert(H2O_VERSION_MAJOR == 2 && H2O_VERSION_MINOR == 2 && H2O_VERSION_PATCH == 5,
	"whether another libh2o means the same by these fields must be looked at");

enum {
	GOAWAY_PAUSE_US = 1000000, /* between the two: for what is on its way */
	NO_ERROR = 0
};

static void send_goaway(h2o_http2_conn_t *conn, uint32_t last_stream);

void retire_look(struct server_worker *w)
{
	h2o_linklist_t *const anchor = &w->h2o.http2._conns;

	for (struct list *at = w->connections.next; at != &w->connections; at = at->next)
		CONTAINER_OF(at, struct connection, link)->http2 = NULL;
	for (h2o_linklist_t *at = anchor->next; at != anchor; at = at->next) {
		h2o_http2_conn_t *conn = H2O_STRUCT_FROM_MEMBER(h2o_http2_conn_t, _conns, at);
		struct connection *c = conn->sock->on_close.data;

		c->http2 = conn;
	}
}

void connection_retire(struct connection *c, enum ended why, int64_t now_us)
{
	if (c->retiring)
		return;
	c->retiring = true;
	c->retired_us = now_us;
	connection_stays(c, false);
	account_ended(why);
	if (c->http2 != NULL)
		send_goaway(c->http2, INT32_MAX);
}

void connection_retire_further(struct connection *c, int64_t now_us)
{
	h2o_http2_conn_t *conn = c->http2;

	if (conn == NULL || now_us - c->retired_us < GOAWAY_PAUSE_US)
		return;
	if (conn->state != H2O_HTTP2_CONN_STATE_OPEN || connection_is_receiving(c))
		return;
	connection_will_linger(c); /* requests that come now are not read any more */
	send_goaway(conn, conn->pull_stream_ids.max_open);
	conn->state = H2O_HTTP2_CONN_STATE_HALF_CLOSED;
}

void connection_end_idle(struct connection *c, enum ended why, int64_t now_us)
{
	connection_retire(c, why, now_us);
	if (c->state != CONNECTION_HTTP2)
		(void)shutdown(h2o_socket_get_fd(c->socket), SHUT_RD);
}

/* Streams that are open and not half-closed: their requests are not whole. */
bool connection_is_receiving(const struct connection *c)
{
	const h2o_http2_conn_t *conn = c->http2;

	return conn->num_streams.pull.open > conn->num_streams.pull.half_closed;
}

/* Goes out at the end of the turn. */
static void send_goaway(h2o_http2_conn_t *conn, uint32_t last_stream)
{
	if (conn->state >= H2O_HTTP2_CONN_STATE_IS_CLOSING)
		return;
	h2o_http2_encode_goaway_frame(
		&conn->_write.buf, last_stream, NO_ERROR, h2o_iovec_init(NULL, 0));
	h2o_http2_conn_request_write(conn);
}
