/* SPDX-License-Identifier: Apache-2.0
 * Connections to a peer: slots, connecting, sending, reading, idling. A connection is connecting,
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

/* A call that waits for a slot; on its fiber's stack. */
struct waiter {
	struct list link;
	struct wait wait;
	struct loop_timer timer;
	struct upstream_address *granted;
};

static struct upstream_address *take_slot(
	struct task *t, struct upstream *u, uint64_t tried, enum fault *fault);
static struct upstream_address *find_address(struct upstream *u, uint64_t tried);
static struct upstream_address *wait_for_slot(
	struct task *t, struct upstream *u, enum fault *fault);
static void give_slot(struct upstream_address *a);
static struct upstream_connection *take_idle(struct upstream_address *a);
static bool is_quiet(const struct upstream_connection *c);
static enum fault dial(
	struct task *t, struct upstream_address *a, struct upstream_connection **out);
static void accepted(struct upstream_address *a);
static enum fault connect_begin(
	struct scope *s, struct upstream_address *a, struct upstream_connection *c);
static enum fault connect_finish(struct task *t, struct upstream_connection *c);
static void discard(struct upstream_connection **c);
static void send_some(struct upstream_connection *c);
static void on_readable(void *owner);
static void on_writable(void *owner);
static void on_timer(struct loop_timer *timer);

static const struct loop_watch_events watch_events = {
	.readable = on_readable, .writable = on_writable};

enum fault upstream_connection_take(
	struct task *t, struct upstream *u, bool fresh, struct upstream_connection **c)
{
	uint64_t tried = 0;

	for (;;) {
		enum fault fault = OK;
		struct upstream_address *a = take_slot(t, u, tried, &fault);

		if (a == NULL)
			return fault;
		if (fresh)
			upstream_address_close_idle(a); /* one of its kind has just proved dead */
		*c = take_idle(a);
		if (*c != NULL)
			return OK;
		fault = dial(t, a, c);
		if (fault == OK)
			return OK;
		give_slot(a);
		tried |= UINT64_C(1) << (a - u->addresses);
		if (fault != FAULT_UNAVAILABLE ||
			tried == UINT64_MAX >> (UPSTREAM_ADDRESSES_MAX - u->config.address_count))
			return fault;
		scope_forgive(&t->scope);
	}
}

/* ---- slots ---- */

/* NULL: *fault says why there is none. A free slot is taken although others wait: they are handed
 * the slots that are given back, so one is free only at an address that refused when they came. */
static struct upstream_address *take_slot(
	struct task *t, struct upstream *u, uint64_t tried, enum fault *fault)
{
	struct upstream_address *a = find_address(u, tried);

	if (a == NULL)
		return wait_for_slot(t, u, fault);
	a->taken++;
	return a;
}

/* The one with the fewest calls; one that lately refused only when there is no other. */
static struct upstream_address *find_address(struct upstream *u, uint64_t tried)
{
	const size_t count = u->config.address_count;
	struct upstream_address *best = NULL;
	bool best_refused = true;

	u->turn++;
	for (size_t i = 0; i < count; i++) {
		const size_t at = (u->turn + i) % count;
		struct upstream_address *a = &u->addresses[at];
		const bool refused = a->refused_until_us > loop_now_us(u->loop);

		if ((tried >> at & 1) != 0 || (refused && !best_refused))
			continue;
		if (best == NULL || refused < best_refused || a->taken < best->taken) {
			best = a;
			best_refused = refused;
		}
	}
	return best != NULL && best->taken < u->config.connections_max ? best : NULL;
}

static void on_waited_too_long(struct loop_timer *timer)
{
	struct waiter *w = CONTAINER_OF(timer, struct waiter, timer);

	list_remove(&w->link);
	wait_done(&w->wait, FAULT_OVERLOADED);
}

static struct upstream_address *wait_for_slot(struct task *t, struct upstream *u, enum fault *fault)
{
	struct waiter w = {.wait.task = t, .timer.fire = on_waited_too_long};

	if (u->waiter_count >= u->config.queue_max) {
		*fault = fail(
			&t->scope, FAULT_OVERLOADED, "too many calls wait for %s", u->config.name);
		return NULL;
	}
	list_append(&u->waiters, &w.link);
	u->waiter_count++;
	gauge_add(u->metrics.waiting, 1);
	loop_timer_set(u->loop, &w.timer, loop_now_us(u->loop) + task_left_us(t) / 2);
	*fault = task_wait(t, &w.wait);
	loop_timer_clear(u->loop, &w.timer);
	list_remove(&w.link);
	u->waiter_count--;
	gauge_add(u->metrics.waiting, -1);
	if (*fault == OK)
		return w.granted;
	*fault = fail(&t->scope, *fault, "no connection to %s became free in time", u->config.name);
	return NULL;
}

/* To the call that has waited longest, else back to the address. */
static void give_slot(struct upstream_address *a)
{
	struct list *first = list_take(&a->upstream->waiters);

	if (first == NULL) {
		a->taken--;
		return;
	}
	struct waiter *w = CONTAINER_OF(first, struct waiter, link);
	loop_timer_clear(a->upstream->loop, &w->timer);
	w->granted = a;
	wait_done(&w->wait, OK);
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
	enum fault fault = connect_begin(&t->scope, a, c);
	if (fault == OK)
		fault = connect_finish(t, c);
	if (fault != OK) {
		discard(&c);
		return fault;
	}
	accepted(a);
	*out = c;
	return OK;
}

/* The address is for the log: whoever reads the problem document has no use for it. */
static enum fault refused(struct scope *s, struct upstream_address *a, int error)
{
	const char *name = a->upstream->config.name;

	counter_inc(a->upstream->metrics.refused);
	if (a->refused_until_us == 0)
		log_line(LEVEL_WARN, "a service takes no connections", LOG_TEXT("peer", name),
			LOG_STR("address", a->text), LOG_TEXT("why", strerror(error)));
	a->refused_until_us = loop_now_us(a->upstream->loop) + REFUSED_US;
	return fail(s, FAULT_UNAVAILABLE, "%s is away", name);
}

static void accepted(struct upstream_address *a)
{
	if (a->refused_until_us != 0)
		log_line(LEVEL_INFO, "a service takes connections again",
			LOG_TEXT("peer", a->upstream->config.name), LOG_STR("address", a->text));
	a->refused_until_us = 0;
}

static enum fault connect_begin(
	struct scope *s, struct upstream_address *a, struct upstream_connection *c)
{
	static const int on = 1;

	c->fd = socket(a->at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return fail(s, FAULT_OVERLOADED, "no socket for a call to %s: %s",
			a->upstream->config.name, strerror(errno));
	if (a->at.any.sa_family != AF_UNIX)
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(c->fd, &a->at.any, a->len) != 0 && errno != EINPROGRESS)
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

	if (kept->ended || kept->unsent[0].iov_len + kept->unsent[1].iov_len > 0) {
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
	give_slot(a);
}

void upstream_connection_drop(struct upstream_connection **c)
{
	if (*c == NULL)
		return;
	struct upstream_address *a = (*c)->address;
	discard(c);
	give_slot(a);
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
	if (c->in == NULL)
		c->in = malloc(c->in_cap);
	CHECK(c->in != NULL);
	const ssize_t n = read(c->fd, c->in + before, c->in_cap - before);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
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
