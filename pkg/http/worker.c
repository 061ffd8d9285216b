/* SPDX-License-Identifier: Apache-2.0
 * A loop thread's share of the server: listeners of its own on the shared ports (the kernel spreads
 * connections over them), its connections, and the sweep that looks after their times. */
#include "http/internal.h"

#include "base/check.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPTS_A_TURN = 64,
	BACKLOG = 4096, /* the kernel has its own bound below */
	PAUSE_US = 100000, /* of accepting when no descriptor is left */
	SWEEP_MAX_US = 1000000,
	SWEEP_MIN_US = 10000,
	SWEEP_CLOSING_US = 100000,
	FREE_WAITS_MAX = 1000, /* turns of 10 ms: longer than a shield */
};

static bool listen_all(struct server_worker *w, struct str *error);
static bool listen_on(
	struct server_worker *w, struct site *site, uint16_t port, bool tls, struct str *error);
static int bind_to(struct str address, uint16_t port);
static void on_acceptable(h2o_socket_t *socket, const char *error);
static bool accept_one(struct listener *l);
static void pause_accepting(struct server_worker *w);
static void on_resume(struct loop_timer *timer);
static void on_sweep(struct loop_timer *timer);
static int64_t sweep_period_us(const struct server_worker *w);
static void close_public(struct server_worker *w);
static void close_listener(struct listener *l);

struct server_worker *server_worker_new(struct server *s, struct loop *l, struct str *error)
{
	struct server_worker *w = calloc(1, sizeof *w);

	CHECK(w != NULL);
	w->server = s;
	w->loop = l;
	list_init(&w->connections);
	list_init(&w->exchanges);
	list_init(&w->spare);
	w->sweep.fire = on_sweep;
	w->resume.fire = on_resume;
	live_wheel_init(w);
	/* this thread's; libh2o's own choice is twice that, for no use */
	h2o_socket_buffer_prototype._initial_buf.capacity = H2O_SOCKET_INITIAL_INPUT_BUFFER_SIZE;
	h2o_context_init(&w->h2o, loop_h2o(l), &s->h2o);
	if (!listen_all(w, error)) {
		server_worker_free(w);
		return NULL;
	}
	w->accepted_us = loop_now_us(l) - SERVER_QUIET_US;
	loop_timer_set(l, &w->sweep, loop_now_us(l) + sweep_period_us(w));
	return w;
}

void server_worker_free(struct server_worker *w)
{
	h2o_multithread_queue_t *queue = w->h2o.queue;

	for (size_t i = 0; i < w->listener_count; i++)
		close_listener(&w->listeners[i]);
	loop_timer_clear(w->loop, &w->resume);
	loop_timer_clear(w->loop, &w->sweep);
	for (unsigned turns = 0; !list_is_empty(&w->connections) || w->exchange_count > 0;
		turns++) {
		CHECK(turns < FREE_WAITS_MAX);
		exchange_cancel_all(w);
		for (struct list *at = w->connections.next; at != &w->connections; at = at->next)
			connection_cut(CONTAINER_OF(at, struct connection, link));
		loop_turn(w->loop, 10);
	}
	loop_timer_clear(w->loop, &w->live.tick);
	linger_end(w);
	exchange_free_spare(w);
	compress_end(w);
	h2o_context_dispose(&w->h2o);
	free(queue); /* which libh2o closes and forgets */
	free(w);
}

/* ---- listening ---- */

static bool listen_all(struct server_worker *w, struct str *error)
{
	struct server *s = w->server;

	return listen_on(w, &s->site, s->config.port, false, error) &&
	       listen_on(w, &s->site, s->config.tls_port, true, error) &&
	       listen_on(w, &s->admin, s->config.admin_port, false, error);
}

static bool listen_on(
	struct server_worker *w, struct site *site, uint16_t port, bool tls, struct str *error)
{
	static _Thread_local char sentence[160];
	struct listener *l = &w->listeners[w->listener_count];
	int fd;

	if (port == 0)
		return true;
	fd = bind_to(w->server->config.address, port);
	if (fd < 0) {
		snprintf(sentence, sizeof sentence, "cannot listen on %.*s port %u: %s",
			STR_ARG(w->server->config.address), port, strerror(errno));
		*error = str_from(sentence);
		return false;
	}
	*l = (struct listener){.worker = w, .site = site, .tls = tls};
	l->accept = (h2o_accept_ctx_t){.ctx = &w->h2o, .hosts = site->hosts};
	l->socket = h2o_evloop_socket_create(loop_h2o(w->loop), fd, H2O_SOCKET_FLAG_DONT_READ);
	l->socket->data = l;
	h2o_socket_read_start(l->socket, on_acceptable);
	w->listener_count++;
	return true;
}

/* -1 with errno. */
static int bind_to(struct str address, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	const int on = 1;
	char text[INET6_ADDRSTRLEN];
	bool is_v4;
	int fd, saved;

	snprintf(text, sizeof text, "%.*s", STR_ARG(address));
	is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
	if (!is_v4 && inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
		bind(fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
			is_v4 ? sizeof v4 : sizeof v6) == 0 &&
		listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* ---- accepting ---- */

static void on_acceptable(h2o_socket_t *socket, const char *error)
{
	struct listener *l = socket->data;

	if (error != NULL)
		return;
	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++)
		if (!accept_one(l))
			return;
}

static bool accept_one(struct listener *l)
{
	struct server_worker *w = l->worker;
	const size_t max = l->site->admin ? 0 : w->server->config.connections_max;
	h2o_socket_t *socket = h2o_evloop_socket_accept(l->socket);

	if (socket == NULL) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_accepting(w);
		return false;
	}
	if (max > 0 && w->connection_count >= max) {
		account_refused(REFUSED_CONNECTIONS);
		h2o_socket_close(socket);
		return true;
	}
	if (!l->site->admin)
		w->accepted_us = loop_now_us(w->loop);
	connection_accept(l, socket);
	return true;
}

/* A listener stays readable while nothing can be accepted: watching on would spin the loop. */
static void pause_accepting(struct server_worker *w)
{
	account_refused(REFUSED_DESCRIPTORS);
	for (size_t i = 0; i < w->listener_count; i++)
		if (w->listeners[i].socket != NULL)
			h2o_socket_read_stop(w->listeners[i].socket);
	loop_timer_set(w->loop, &w->resume, loop_now_us(w->loop) + PAUSE_US);
}

static void on_resume(struct loop_timer *timer)
{
	struct server_worker *w = CONTAINER_OF(timer, struct server_worker, resume);

	for (size_t i = 0; i < w->listener_count; i++)
		if (w->listeners[i].socket != NULL)
			h2o_socket_read_start(w->listeners[i].socket, on_acceptable);
}

/* ---- the sweep ---- */

static void on_sweep(struct loop_timer *timer)
{
	struct server_worker *w = CONTAINER_OF(timer, struct server_worker, sweep);
	const int64_t now_us = loop_now_us(w->loop);

	retire_look(w);
	for (struct list *at = w->connections.next, *next; at != &w->connections; at = next) {
		next = at->next;
		connection_sweep(CONTAINER_OF(at, struct connection, link), now_us);
	}
	linger_sweep(w, now_us);
	if (w->closing && now_us - w->accepted_us >= SERVER_QUIET_US)
		close_public(w);
	loop_timer_set(w->loop, timer, now_us + sweep_period_us(w));
}

/* Once a second, or often enough for times that are shorter, and for shedding many times an age. */
static int64_t sweep_period_us(const struct server_worker *w)
{
	const struct server_config *config = &w->server->config;
	const int64_t times_us[] = {config->head_timeout_us, config->idle_timeout_us,
		config->stall_timeout_us, config->connection_age_us / 10};
	int64_t period_us = w->closing ? SWEEP_CLOSING_US : SWEEP_MAX_US;

	for (size_t i = 0; i < sizeof times_us / sizeof *times_us; i++)
		if (times_us[i] > 0 && times_us[i] / 4 < period_us)
			period_us = times_us[i] / 4;
	return period_us > SWEEP_MIN_US ? period_us : SWEEP_MIN_US;
}

/* ---- draining ---- */

/* libh2o reads shutdown_requested with each HTTP/1 head; respond.c covers those running now. */
void server_worker_announce(struct server_worker *w, int64_t over_us)
{
	if (w->announced)
		return;
	w->announced = true;
	w->h2o.shutdown_requested = 1;
	w->streams_until_us = loop_now_us(w->loop) + over_us;
	if (over_us > 0)
		live_end_by(w);
}

void server_worker_close(struct server_worker *w, bool patient)
{
	server_worker_announce(w, 0);
	w->closing = true;
	w->patient = patient;
	live_end_all(w, LIVE_STOPPING);
	loop_timer_set(w->loop, &w->sweep, loop_now_us(w->loop));
}

bool server_worker_drain(struct server_worker *w)
{
	CHECK(w->closing);
	if (w->connection_count == 0 && !w->patient)
		close_public(w);
	return w->connection_count == 0 && w->quiet && w->lingering == NULL;
}

static void close_public(struct server_worker *w)
{
	w->quiet = true;
	for (size_t i = 0; i < w->listener_count; i++)
		if (!w->listeners[i].site->admin)
			close_listener(&w->listeners[i]);
}

/* What waits in its queue is accepted first: closing a listener resets it. */
static void close_listener(struct listener *l)
{
	if (l->socket == NULL)
		return;
	for (unsigned k = 0; k < BACKLOG && accept_one(l); k++)
		;
	h2o_socket_close(l->socket);
	l->socket = NULL;
}
