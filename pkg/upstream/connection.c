/* SPDX-License-Identifier: Apache-2.0
 * Connections to a peer: connecting, sending, reading, idling. A connection is connecting,
 * carrying one call, or idle; in every state it is watched for input, so an idle one that the peer
 * closes (or writes to) is gone before it could be used. */
#include "upstream/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "log/log.h"

static struct upstream_connection *take_idle(struct upstream_address *a);
static bool is_quiet(const struct upstream_connection *c);
static enum fault dial(
	struct task *t, struct upstream_address *a, struct upstream_connection **out);
static enum fault connect_begin(
	struct scope *s, struct upstream_address *a, struct upstream_connection *c);
static enum fault connect_finish(struct task *t, struct upstream_connection *c);
static void discard(struct upstream_connection **c);
static void send_some(struct upstream_connection *c);
static void on_readable(void *owner);
static ssize_t read_first(struct upstream_connection *c);
static ssize_t read_more(struct upstream_connection *c);
static void on_writable(void *owner);
static void on_timer(struct loop_timer *timer);

static const struct loop_watch_events watch_events = {
	.readable = on_readable, .writable = on_writable};

enum fault upstream_connection_take(struct task *t, struct upstream *u,
	struct upstream_search *search, struct upstream_connection **c)
{
	for (;;) {
		enum fault fault = OK;
		struct upstream_address *a = upstream_slot_take(t, u, &fault);

		if (a == NULL)
			return fault;
		if (search->fresh)
			upstream_address_close_idle(a); /* one of its kind has just proved dead */
		*c = take_idle(a);
		if (*c != NULL)
			return OK;
		fault = dial(t, a, c);
		if (fault == OK)
			return OK;
		upstream_slot_give(a);
		if (fault != FAULT_UNAVAILABLE || ++search->refusals >= u->address_count)
			return fault;
		scope_forgive(&t->scope);
		counter_inc(u->metrics.connect_retries);
	}
}

/* ---- connecting ---- */

static struct upstream_connection *take_idle(struct upstream_address *a)
{
	struct list *first;

	while ((first = list_take(&a->idle)) != NULL) {
		struct upstream_connection *c =
			CONTAINER_OF(first, struct upstream_connection, link);

		loop_timer_clear(a->upstream->loop, &c->timer);
		c->idle = c->written = c->answered = false;
		c->reused = true;
		if (is_quiet(c))
			return c;
		discard(&c);
	}
	return NULL;
}

/* The loop may not have come to tell us yet that the peer closed it; a request that must not be
 * sent twice would be lost then. */
static bool is_quiet(const struct upstream_connection *c)
{
	char byte;

	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static enum fault dial(struct task *t, struct upstream_address *a, struct upstream_connection **out)
{
	struct upstream_connection *c = calloc(1, sizeof *c);

	CHECK(c != NULL);
	*c = (struct upstream_connection){
		.address = a, .fd = -1, .connecting = true, .timer.fire = on_timer};
	gauge_add(a->upstream->metrics.connections, 1);
	a->connecting++;
	enum fault fault = connect_begin(&t->scope, a, c);
	if (fault == OK)
		fault = connect_finish(t, c);
	a->connecting--;
	if (fault != OK) {
		discard(&c);
		return fault;
	}
	upstream_address_accepted(a);
	*out = c;
	return OK;
}

/* The address is for the log: whoever reads the problem document has no use for it. */
static enum fault refused(struct scope *s, struct upstream_address *a, int error)
{
	counter_inc(a->upstream->metrics.refused);
	upstream_address_refused(a, error);
	return fail(s, FAULT_UNAVAILABLE, "%s is away", a->upstream->config.name);
}

static enum fault connect_begin(
	struct scope *s, struct upstream_address *a, struct upstream_connection *c)
{
	static const int on = 1;
	static const unsigned unacked_ms = UNACKED_MS;

	c->fd = socket(a->target.at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return fail(s, FAULT_OVERLOADED, "no socket for a call to %s: %s",
			a->upstream->config.name, strerror(errno));
	if (a->target.at.any.sa_family != AF_UNIX) {
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		(void)setsockopt(
			c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof unacked_ms);
	}
	if (connect(c->fd, &a->target.at.any, a->target.len) != 0 && errno != EINPROGRESS)
		return refused(s, a, errno);
	c->watch = loop_watch_new(a->upstream->loop, c->fd, &watch_events, c);
	if (c->watch == NULL)
		return fail(s, FAULT_OVERLOADED, "no descriptor for a call to %s",
			a->upstream->config.name);
	loop_watch_read(c->watch, false);
	return OK;
}

static enum fault connect_finish(struct task *t, struct upstream_connection *c)
{
	struct wait w = {.task = t};
	struct upstream_address *a = c->address;
	struct loop *l = a->upstream->loop;
	const int64_t half_us = task_left_us(t) / 2;
	int error = 0;
	socklen_t size = sizeof error;

	c->waiting = &w;
	loop_watch_write(c->watch);
	loop_timer_set(
		l, &c->timer, loop_now_us(l) + (half_us < CONNECT_US ? half_us : CONNECT_US));
	const enum fault fault = task_wait(t, &w);
	loop_timer_clear(l, &c->timer);
	c->waiting = NULL;
	if (fault != OK)
		return fault;
	if (c->connecting)
		return refused(&t->scope, a, ETIMEDOUT);
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
		return refused(&t->scope, a, error != 0 ? error : errno);
	loop_watch_read(c->watch, true);
	return OK;
}

/* ---- carrying a call ---- */

void upstream_connection_send(struct upstream_connection *c, struct str head, struct str body)
{
	c->in_cap = UPSTREAM_HEAD_BYTES_MAX;
	c->in_len = 0; /* c->in is made when there is something to read */
	c->unsent[0] = (struct iovec){(void *)head.at, head.len};
	c->unsent[1] = (struct iovec){(void *)body.at, body.len};
	send_some(c);
}

/* A failed write is no end: the peer may have answered before it closed. Reading finds out. */
static void send_some(struct upstream_connection *c)
{
	const struct msghdr message = {.msg_iov = c->unsent, .msg_iovlen = 2};
	const ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
		loop_watch_write(c->watch);
		return;
	}
	size_t rest = sent > 0 ? (size_t)sent : 0;
	c->written = c->written || rest > 0;
	for (size_t i = 0; i < 2; i++) {
		const size_t n = rest < c->unsent[i].iov_len ? rest : c->unsent[i].iov_len;

		c->unsent[i].iov_base = (char *)c->unsent[i].iov_base + n;
		c->unsent[i].iov_len -= n;
		rest -= n;
	}
	if (sent > 0 && c->unsent[0].iov_len + c->unsent[1].iov_len > 0)
		loop_watch_write(c->watch);
}

enum fault upstream_connection_more(struct task *t, struct upstream_connection *c, size_t seen)
{
	while (c->in_len <= seen && !c->ended) {
		struct wait w = {.task = t};

		c->waiting = &w;
		const enum fault fault = task_wait(t, &w);
		c->waiting = NULL;
		TRY(fault);
	}
	return OK;
}

void upstream_connection_consume(struct upstream_connection *c, size_t n)
{
	memmove(c->in, c->in + n, c->in_len - n);
	c->in_len -= n;
	upstream_connection_read(c);
}

void upstream_connection_read(struct upstream_connection *c)
{
	if (!c->ended && c->in_len < c->in_cap)
		loop_watch_read(c->watch, true);
}

void upstream_connection_keep(struct upstream_connection **c)
{
	struct upstream_connection *kept = *c;
	struct upstream_address *a = kept->address;

	if (kept->ended || kept->unsent[0].iov_len + kept->unsent[1].iov_len > 0 || a->gone ||
		upstream_address_is_closing(a)) {
		upstream_connection_drop(c);
		return;
	}
	*c = NULL;
	free(kept->in);
	kept->in = NULL;
	kept->idle = true;
	loop_watch_read(kept->watch, true);
	loop_timer_set(a->upstream->loop, &kept->timer, loop_now_us(a->upstream->loop) + IDLE_US);
	list_prepend(&a->idle, &kept->link);
	upstream_slot_give(a);
}

void upstream_connection_drop(struct upstream_connection **c)
{
	if (*c == NULL)
		return;
	struct upstream_address *a = (*c)->address;
	discard(c);
	upstream_slot_give(a);
}

static void discard(struct upstream_connection **c)
{
	gauge_add((*c)->address->upstream->metrics.connections, -1);
	list_remove(&(*c)->link);
	loop_timer_clear((*c)->address->upstream->loop, &(*c)->timer);
	if ((*c)->watch != NULL)
		loop_watch_free(&(*c)->watch);
	if ((*c)->fd >= 0)
		close((*c)->fd);
	free((*c)->in);
	free(*c);
	*c = NULL;
}

void upstream_address_close_idle(struct upstream_address *a)
{
	struct list *first;

	while ((first = list_take(&a->idle)) != NULL) {
		struct upstream_connection *c =
			CONTAINER_OF(first, struct upstream_connection, link);

		discard(&c);
	}
}

/* ---- events ---- */

static void wake(struct upstream_connection *c)
{
	struct wait *w = c->waiting;

	c->waiting = NULL;
	if (w != NULL)
		wait_done(w, OK);
}

static void on_readable(void *owner)
{
	struct upstream_connection *c = owner;
	const size_t before = c->in_len;

	if (c->idle) { /* closed, or bytes that nobody asked for */
		discard(&c);
		return;
	}
	if (before == c->in_cap) {
		loop_watch_read(c->watch, false);
		return;
	}
	const ssize_t n = c->in == NULL ? read_first(c) : read_more(c);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 && errno == ETIMEDOUT) { /* a machine or its network is gone, not a program */
		upstream_address_refused(c->address, ETIMEDOUT);
		upstream_address_close_idle(c->address);
	}
	if (n <= 0) {
		c->ended = true;
		loop_watch_read(c->watch, false);
	} else {
		c->in_len += (size_t)n;
		c->answered = true;
	}
	if (c->stream != NULL)
		upstream_stream_input(c->stream, before);
	else
		wake(c);
}

/* As a rule it has the whole answer, which then takes no more memory than it needs. */
static ssize_t read_first(struct upstream_connection *c)
{
	static _Thread_local char in[UPSTREAM_HEAD_BYTES_MAX];
	const ssize_t n = read(c->fd, in, sizeof in);

	if (n <= 0)
		return n;
	c->in = malloc((size_t)n);
	CHECK(c->in != NULL);
	c->in_size = (size_t)n;
	memcpy(c->in, in, (size_t)n);
	return n;
}

static ssize_t read_more(struct upstream_connection *c)
{
	upstream_connection_widen(c, c->in_cap);
	return read(c->fd, c->in + c->in_len, c->in_cap - c->in_len);
}

void upstream_connection_widen(struct upstream_connection *c, size_t cap)
{
	c->in_cap = cap;
	if (c->in_size >= cap)
		return;
	c->in = realloc(c->in, cap);
	CHECK(c->in != NULL);
	c->in_size = cap;
}

static void on_writable(void *owner)
{
	struct upstream_connection *c = owner;

	if (c->connecting) {
		c->connecting = false;
		wake(c);
	} else {
		send_some(c);
	}
}

static void on_timer(struct loop_timer *timer)
{
	struct upstream_connection *c = CONTAINER_OF(timer, struct upstream_connection, timer);

	if (c->idle)
		discard(&c);
	else
		wake(c); /* still connecting */
}
