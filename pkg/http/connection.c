/* SPDX-License-Identifier: Apache-2.0
 * Our half of a connection: who it is, and how long it may take over what. libh2o owns
 * the socket and closes it; our record hangs on the socket's close hook and goes with it. Times are
 * looked at by a sweep instead of a timer for each: libh2o's one request timeout for idling, head
 * and body together cannot tell an idle browser from a slow attacker. The one safe way to end a
 * connection from outside libh2o's callbacks is shutdown(2): libh2o then reads its end and closes.
 */
#include "http/internal.h"

#include "base/check.h"
#include "base/random.h"
#include "http/head.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <h2o/http1.h>
#include <h2o/http2.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECTION_MAGIC = 0x434f4e4e,
	USER_TIMEOUT_MS = 30000, /* for a peer that acknowledges nothing */
	STALL_BYTES_MIN = 1 << 10, /* that must move within stall_timeout_us */
	STATE_ESTABLISHED = 1, /* TCP_ESTABLISHED: netinet/tcp.h does not go with linux/tcp.h */
	FIRST_REQUEST_US = 1000000, /* that a new connection is left alone for it while closing */
};

static void on_closed(void *arg);
static void on_tls(h2o_socket_t *socket, const char *error);
static void name_peer(struct connection *c);
static void set_phase(struct connection *c, enum connection_phase phase, int64_t now_us);
static enum connection_phase phase_of(const struct connection *c);
static enum connection_phase phase_of_input(const struct connection *c);
static bool is_stalled(struct connection *c, int64_t now_us);
static uint64_t bytes_moved(const struct connection *c);
static bool peer_has_left(const struct connection *c);
static void drop(struct connection *c, enum ended why);
static void retire_if_due(struct connection *c, int64_t now_us);
static bool has_not_begun(const struct connection *c, int64_t now_us);
static bool is_shed(const struct connection *c);
static int64_t age_us(const struct server_config *config);

void connection_accept(struct listener *l, h2o_socket_t *socket)
{
	struct server_worker *w = l->worker;
	struct connection *c = calloc(1, sizeof *c);
	const int timeout_ms = USER_TIMEOUT_MS;

	CHECK(c != NULL);
	c->magic = CONNECTION_MAGIC;
	c->listener = l;
	c->socket = socket;
	c->linger_fd = -1;
	c->accepted_at = *h2o_get_timestamp(&w->h2o, NULL, NULL);
	c->phase_us = loop_now_us(w->loop);
	c->old_us = l->site->admin || w->server->config.connection_age_us == 0
	                    ? INT64_MAX
	                    : c->phase_us + age_us(&w->server->config);
	name_peer(c);
	socket->on_close.cb = on_closed;
	socket->on_close.data = c;
	list_append(&w->connections, &c->link);
	if (l->site->admin)
		w->admin_connection_count++;
	else
		w->connection_count++;
	account_connection(1);
	(void)setsockopt(h2o_socket_get_fd(socket), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms,
		sizeof timeout_ms);
	if (l->tls) {
		c->state = CONNECTION_TLS;
		tls_handshake(w->server, socket, on_tls);
	} else {
		sniff_start(c);
	}
}

struct connection *connection_of(const h2o_req_t *req)
{
	struct connection *c = req->conn->callbacks->get_socket(req->conn)->on_close.data;

	CHECK_MAGIC(c, CONNECTION_MAGIC);
	return c;
}

static void on_closed(void *arg)
{
	struct connection *c = arg;
	struct server_worker *w = c->listener->worker;

	CHECK_MAGIC(c, CONNECTION_MAGIC);
	CHECK(c->exchanges == 0);
	if (c->linger_fd >= 0)
		linger_start(w, c->linger_fd);
	list_remove(&c->link);
	connection_stays(c, false);
	if (c->listener->site->admin)
		w->admin_connection_count--;
	else
		w->connection_count--;
	account_connection(-1);
	arena_unref(c->refusal);
	upload_forget(c);
	c->magic = 0;
	free(c);
}

static void on_tls(h2o_socket_t *socket, const char *error)
{
	struct connection *c = socket->on_close.data;
	h2o_iovec_t protocol;

	if (error != NULL) {
		h2o_socket_close(socket);
		return;
	}
	protocol = h2o_socket_ssl_get_selected_protocol(socket);
	if (h2o_memis(protocol.base, protocol.len, H2O_STRLIT("h2")))
		connection_begin_http2(c);
	else
		sniff_start(c);
}

void connection_begin_http1(struct connection *c)
{
	c->state = CONNECTION_HTTP1;
	connection_stays(c, !c->listener->site->admin);
	h2o_http1_accept(&c->listener->accept, c->socket, c->accepted_at);
}

/* Whatever was read already is held back until libh2o has set itself up: it would be eaten inside
 * h2o_http2_accept, before anyone could look at the frames. */
void connection_begin_http2(struct connection *c)
{
	h2o_socket_t *socket = c->socket;
	h2o_buffer_t *held = socket->input;

	c->state = CONNECTION_HTTP2;
	connection_stays(c, !c->listener->site->admin);
	h2o_buffer_init(&socket->input, &h2o_socket_buffer_prototype);
	h2o_http2_accept(&c->listener->accept, socket, c->accepted_at);
	upload_watch(c);
	h2o_buffer_dispose(&socket->input);
	socket->input = held;
	if (held->size > 0)
		socket->_cb.read(socket, NULL);
}

void connection_will_linger(struct connection *c)
{
	if (c->linger_fd < 0)
		c->linger_fd = fcntl(h2o_socket_get_fd(c->socket), F_DUPFD_CLOEXEC, 0);
}

void connection_stays(struct connection *c, bool stays)
{
	atomic_size_t *const staying = &c->listener->worker->server->staying;

	if (stays && !c->staying)
		atomic_fetch_add(staying, 1);
	if (!stays && c->staying)
		atomic_fetch_sub(staying, 1);
	c->staying = stays;
}

void connection_cut(struct connection *c)
{
	(void)shutdown(h2o_socket_get_fd(c->socket), SHUT_RDWR);
}

/* An IPv4 client at a listener on "::" is called by its own address, not as ::ffff:a.b.c.d. */
static void name_peer(struct connection *c)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at = {.any.sa_family = AF_UNSPEC};
	socklen_t len = sizeof at;

	if (getpeername(h2o_socket_get_fd(c->socket), &at.any, &len) != 0)
		return;
	if (at.any.sa_family == AF_INET)
		inet_ntop(AF_INET, &at.v4.sin_addr, c->peer, sizeof c->peer);
	else if (at.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&at.v6.sin6_addr))
		inet_ntop(AF_INET, &at.v6.sin6_addr.s6_addr[12], c->peer, sizeof c->peer);
	else if (at.any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &at.v6.sin6_addr, c->peer, sizeof c->peer);
}

/* ---- times ---- */

void connection_sweep(struct connection *c, int64_t now_us)
{
	const struct server_config *config = &c->listener->site->server->config;

	if (c->http2 != NULL) /* libh2o takes its socket back after it has held up reading */
		upload_watch(c);
	set_phase(c, phase_of(c), now_us);
	switch (c->phase) {
	case PHASE_IDLE:
		if (now_us - c->phase_us > config->idle_timeout_us)
			connection_end_idle(c, ENDED_IDLE, now_us);
		break;
	case PHASE_HEAD:
		if (now_us - c->phase_us > config->head_timeout_us ||
			c->socket->input->size > HEAD_BYTES_MAX)
			drop(c, ENDED_HEAD);
		break;
	case PHASE_BODY:
	case PHASE_SENDING:
		if (is_stalled(c, now_us))
			drop(c, ENDED_STALL);
		break;
	case PHASE_RUNNING: /* its task has a deadline, a live stream its heartbeat */
		if (c->live != NULL && c->state == CONNECTION_HTTP1 && peer_has_left(c))
			live_events_lost(c->live);
		break;
	}
	retire_if_due(c, now_us);
}

/* A WebSocket goes on until its stream ends; and before it is known what is spoken nobody can be
 * told anything. */
static void retire_if_due(struct connection *c, int64_t now_us)
{
	const bool closing = c->listener->worker->closing;

	if (c->cut || has_not_begun(c, now_us))
		return;
	if (closing && c->phase == PHASE_IDLE)
		connection_end_idle(c, ENDED_STOP, now_us);
	if (c->state != CONNECTION_HTTP1 && c->state != CONNECTION_HTTP2)
		return;
	if (closing || now_us >= c->old_us)
		connection_retire(c, closing ? ENDED_STOP : ENDED_AGE, now_us);
	else if (is_shed(c))
		connection_retire(c, ENDED_SHED, now_us);
	if (c->retiring)
		connection_retire_further(c, now_us);
}

/* Who has just connected has a moment for the first request. */
static bool has_not_begun(const struct connection *c, int64_t now_us)
{
	return c->requests == 0 && now_us - c->phase_us < FIRST_REQUEST_US;
}

/* Takes it off the count. */
static bool is_shed(const struct connection *c)
{
	atomic_size_t *const to_shed = &c->listener->worker->server->to_shed;
	size_t left = atomic_load(to_shed);

	while (c->staying && left > 0)
		if (atomic_compare_exchange_weak(to_shed, &left, left - 1))
			return true;
	return false;
}

/* A tenth more or less than configured: those that came together do not go together. */
static int64_t age_us(const struct server_config *config)
{
	const int64_t tenth = config->connection_age_us / 10;

	return config->connection_age_us - tenth + (int64_t)random_below(2 * (uint64_t)tenth + 1);
}

/* One that came round to the same phase by a request between two sweeps starts anew. */
static void set_phase(struct connection *c, enum connection_phase phase, int64_t now_us)
{
	if (phase == c->phase && c->requests == c->phase_requests)
		return;
	c->phase = phase;
	c->phase_requests = c->requests;
	c->phase_us = now_us;
	c->moved = 0;
}

static enum connection_phase phase_of(const struct connection *c)
{
	switch (c->state) {
	case CONNECTION_TLS:
		return PHASE_HEAD;
	case CONNECTION_WEBSOCKET:
		return h2o_socket_is_writing(c->socket) ? PHASE_SENDING
		       : c->live != NULL                ? PHASE_RUNNING
		                                        : PHASE_IDLE;
	case CONNECTION_SNIFF:
		return c->socket->input->size > 0 ? PHASE_HEAD : PHASE_IDLE;
	case CONNECTION_HTTP2:
		if (c->http2 == NULL) /* TLS says good-bye */
			return PHASE_SENDING;
		break;
	case CONNECTION_HTTP1:
		break;
	}
	if (c->unsent > 0)
		return PHASE_SENDING;
	return c->exchanges > 0 ? PHASE_RUNNING : phase_of_input(c);
}

static enum connection_phase phase_of_input(const struct connection *c)
{
	const h2o_buffer_t *input = c->socket->input;

	if (c->state == CONNECTION_HTTP2)
		return input->size > 0 || connection_is_receiving(c) ? PHASE_BODY : PHASE_IDLE;
	if (h2o_socket_is_writing(c->socket))
		return PHASE_SENDING;
	if (input->size == 0)
		return PHASE_IDLE;
	return memmem(input->bytes, input->size, "\r\n\r\n", 4) == NULL ? PHASE_HEAD : PHASE_BODY;
}

/* Whether less than STALL_BYTES_MIN have moved in the direction that is waited for. */
static bool is_stalled(struct connection *c, int64_t now_us)
{
	const uint64_t moved = bytes_moved(c);

	if (c->moved == 0 || moved - c->moved >= STALL_BYTES_MIN) {
		c->moved = moved > 0 ? moved : 1;
		c->phase_us = now_us;
		return false;
	}
	return now_us - c->phase_us > c->listener->site->server->config.stall_timeout_us;
}

/* By the kernel's count: what libh2o has handed to the socket may not have left it. */
static uint64_t bytes_moved(const struct connection *c)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof info;

	if (getsockopt(h2o_socket_get_fd(c->socket), IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return 0;
	return c->phase == PHASE_SENDING ? info.tcpi_bytes_acked : info.tcpi_bytes_received;
}

/* libh2o does not read from an HTTP/1 connection while it answers; the kernel knows. */
static bool peer_has_left(const struct connection *c)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof info;

	return getsockopt(h2o_socket_get_fd(c->socket), IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state != STATE_ESTABLISHED;
}

static void drop(struct connection *c, enum ended why)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (!c->cut)
		account_ended(why);
	c->cut = true;
	if (why == ENDED_STALL) /* what the kernel still holds for the peer goes too */
		(void)setsockopt(
			h2o_socket_get_fd(c->socket), SOL_SOCKET, SO_LINGER, &now, sizeof now);
	connection_cut(c);
}
