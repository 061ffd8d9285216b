/* SPDX-License-Identifier: Apache-2.0
 * What both kinds of live streams share: the bounded queue, the wheel that brings heartbeats and
 * ends, and the end itself. A stream is freed in live_gone only, which callbacks of libh2o's, the
 * wheel or the flush at a turn's end call; live_send and live_end, which fibers may call, only note
 * what is to be done. */
#include "http/live_object.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"

#include <stdlib.h>
#include <sys/socket.h>

enum {
	LIVE_MAGIC = 0x4c495645,
	HEARTBEAT_TICKS = LIVE_SLOTS - 7,
	CLOSE_TICKS = 3, /* for a farewell to be taken and answered */
	ROOM_MIN = 512,
	SEND_BUFFER_BYTES =
		64 << 10, /* of the kernel's, for a stream that has a socket to itself */
};

static enum fault check_room(struct scope *s, const struct server_worker *w);
static struct live *live_new(struct server_worker *w, const struct request *request,
	struct str traceparent, const struct live_config *config);
static struct str keep(char **at, struct str text);
static void on_hook(struct loop_hook *hook);
static void wake(struct live *l, enum fault fault);
static int64_t some_time_until(const struct server_worker *w, int64_t until_us);
static int64_t tick_us(const struct server_worker *w);
static void schedule(struct live *l, int64_t at_us);
static void schedule_heartbeat(struct live *l);
static void on_tick(struct loop_timer *timer);
static void visit(struct live *l, int64_t now_us);

const struct live_reason *live_reason(enum live_end why)
{
	static const struct live_reason reasons[LIVE_ENDS] = {
		[LIVE_LEFT] = {"left", 1000, ""},
		[LIVE_EXPIRED] = {"expired", 4401, "the access token has expired"},
		[LIVE_REFUSED] = {"refused", 4401, "the session has ended"},
		[LIVE_SLOW] = {"slow", 4408, "the reader is too slow"},
		[LIVE_STOPPING] = {"stopping", 1001, "this server stops: connect again"},
		[LIVE_OVERLOADED] = {"overloaded", 1013, "try again later"},
		[LIVE_MALFORMED] = {"malformed", 1002, "this is no frame of a client"},
		[LIVE_BAD_DATA] = {"bad_data", 1007, "the text is not UTF-8"},
		[LIVE_TOO_LARGE] = {"too_large", 1009, "the message is too large"},
		[LIVE_FLOODED] = {"flooded", 1008, "too many frames"},
		[LIVE_SILENT] = {"silent", 0, ""},
	};

	return &reasons[why];
}

/* ---- opening ---- */

enum fault live_open(struct scope *s, const struct request *request, struct reply *reply,
	const struct live_config *config, struct live **live)
{
	struct exchange *e = CONTAINER_OF(reply, struct exchange, reply);
	struct server_worker *w = e->worker;
	struct live *l;

	if (config->kind == LIVE_WEBSOCKET)
		TRY(live_websocket_check(s, request, reply));
	TRY(check_room(s, w));
	l = live_new(w, request, e->traceparent, config);
	reply->live = l;
	if (config->kind == LIVE_WEBSOCKET) {
		reply->status = 101;
	} else {
		reply->status = 200;
		reply->content_type = STR("text/event-stream");
		reply_header(reply, "x-accel-buffering", STR("no")); /* for a proxy before us */
	}
	*live = l;
	return OK;
}

static enum fault check_room(struct scope *s, const struct server_worker *w)
{
	const size_t max = w->server->config.streams_max;

	if (w->closing)
		return fail(s, FAULT_UNAVAILABLE, "this server stops: connect again");
	if (max > 0 && w->live.count >= max) {
		account_refused(REFUSED_STREAMS);
		return fail(s, FAULT_OVERLOADED, "as many streams are open as this server takes");
	}
	return OK;
}

static struct live *live_new(struct server_worker *w, const struct request *request,
	struct str traceparent, const struct live_config *config)
{
	struct live *l =
		calloc(1, sizeof *l + request->id.len + traceparent.len + request->peer.len);
	char *texts;

	CHECK(l != NULL);
	l->magic = LIVE_MAGIC;
	l->ops = config->kind == LIVE_WEBSOCKET ? &live_websocket_ops : &live_events_ops;
	l->config = *config;
	l->worker = w;
	l->hook.run = on_hook;
	list_init(&l->link);
	l->heard = true;
	l->route = request->route;
	texts = l->texts;
	l->request_id = keep(&texts, request->id);
	l->traceparent = keep(&texts, traceparent);
	l->peer = keep(&texts, request->peer);
	l->opened_us = clock_monotonic_us();
	l->stop_us = w->announced ? some_time_until(w, w->streams_until_us) : INT64_MAX;
	w->live.count++;
	schedule_heartbeat(l);
	account_live_opened(config->kind);
	return l;
}

static struct str keep(char **at, struct str text)
{
	const struct str kept = {*at, text.len};

	if (text.len > 0)
		memcpy(*at, text.at, text.len);
	*at += text.len;
	return kept;
}

/* What the kernel takes for a reader that does not read is out of our hands: keep it small. */
void live_bind(struct live *l, struct connection *c)
{
	const int bytes = SEND_BUFFER_BYTES;

	l->connection = c;
	c->live = l;
	(void)setsockopt(h2o_socket_get_fd(c->socket), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

/* ---- sending ---- */

void live_send(struct live *l, struct str id, struct str json)
{
	CHECK_MAGIC(l, LIVE_MAGIC);
	if (l->ending)
		return;
	if (l->out_messages >= LIVE_QUEUE_MESSAGES_MAX ||
		l->out.len + l->writing.len + json.len > LIVE_QUEUE_BYTES_MAX) {
		live_end(l, LIVE_SLOW);
		return;
	}
	l->ops->append(l, id, json);
	l->out_messages++;
	l->messages_sent++;
	live_flush_soon(l);
}

void live_end(struct live *l, enum live_end why)
{
	CHECK_MAGIC(l, LIVE_MAGIC);
	if (l->ending)
		return;
	l->ending = true;
	l->why = why;
	l->cut_us = loop_now_us(l->worker->loop) + CLOSE_TICKS * tick_us(l->worker);
	if (why == LIVE_SLOW) /* it would not get there in time */
		live_bytes_free(&l->out);
	l->ops->farewell(l);
	wake(l, FAULT_CANCELED);
	schedule(l, l->cut_us);
	live_flush_soon(l);
}

enum fault live_wait_sent(struct task *t, struct live *l)
{
	struct wait w = {0};
	enum fault fault;

	CHECK(l->waiter == NULL);
	if (l->ending)
		return FAULT_CANCELED;
	if (l->out.len == 0 && l->writing.at == NULL)
		return OK;
	l->waiter = &w; /* cppcheck-suppress autoVariables ; taken out below */
	fault = task_wait(t, &w);
	if (!w.done) /* else it may be gone */
		l->waiter = NULL;
	return fault;
}

void live_append(struct live_bytes *b, struct str bytes)
{
	if (bytes.len == 0)
		return;
	if (b->room - b->len < bytes.len) {
		while (b->room - b->len < bytes.len)
			b->room = b->room > 0 ? 2 * b->room : ROOM_MIN;
		b->at = realloc(b->at, b->room);
		CHECK(b->at != NULL);
	}
	memcpy(b->at + b->len, bytes.at, bytes.len);
	b->len += bytes.len;
}

void live_bytes_free(struct live_bytes *b)
{
	free(b->at);
	*b = (struct live_bytes){0};
}

bool live_take_out(struct live *l)
{
	CHECK(l->writing.at == NULL);
	if (l->out.len == 0)
		return false;
	l->writing = l->out;
	l->out = (struct live_bytes){0};
	l->out_messages = 0;
	l->bytes_sent += l->writing.len;
	return true;
}

void live_written(struct live *l)
{
	live_bytes_free(&l->writing);
	if (l->out.len == 0)
		wake(l, OK);
}

void live_flush_soon(struct live *l)
{
	loop_at_turn_end(l->worker->loop, &l->hook);
}

static void on_hook(struct loop_hook *hook)
{
	struct live *l = CONTAINER_OF(hook, struct live, hook);

	l->ops->flush(l);
}

static void wake(struct live *l, enum fault fault)
{
	struct wait *w = l->waiter;

	l->waiter = NULL;
	if (w != NULL)
		wait_done(w, fault);
}

/* ---- the end ---- */

void live_gone(struct live *l)
{
	CHECK_MAGIC(l, LIVE_MAGIC);
	l->magic = 0;
	wake(l, FAULT_CANCELED);
	loop_hook_clear(&l->hook);
	list_remove(&l->link);
	l->worker->live.count--;
	if (l->connection != NULL)
		l->connection->live = NULL;
	account_live_ended(l);
	l->config.ended(l->config.owner, l->why);
	live_bytes_free(&l->out);
	live_bytes_free(&l->writing);
	live_bytes_free(&l->partial);
	free(l);
}

void live_end_all(struct server_worker *w, enum live_end why)
{
	for (size_t i = 0; i < LIVE_SLOTS; i++) {
		struct list *const slot = &w->live.slots[i];

		for (struct list *at = slot->next, *next; at != slot; at = next) {
			next = at->next; /* it moves to a later slot: there it ends already */
			live_end(CONTAINER_OF(at, struct live, link), why);
		}
	}
}

/* All at once they would all come to another replica at once. */
void live_end_by(struct server_worker *w)
{
	struct list all;

	list_init(&all);
	for (size_t i = 0; i < LIVE_SLOTS; i++)
		for (struct list *at; (at = list_take(&w->live.slots[i])) != NULL;)
			list_append(&all, at);
	for (struct list *at; (at = list_take(&all)) != NULL;) {
		struct live *l = CONTAINER_OF(at, struct live, link);

		l->stop_us = some_time_until(w, w->streams_until_us);
		if (l->ending)
			schedule(l, l->cut_us);
		else
			schedule_heartbeat(l);
	}
}

static int64_t some_time_until(const struct server_worker *w, int64_t until_us)
{
	const int64_t now_us = loop_now_us(w->loop);

	return until_us <= now_us ? INT64_MAX
	                          : now_us + (int64_t)random_below((uint64_t)(until_us - now_us));
}

/* ---- the wheel: one timer for all; a stream stands in the slot of its next visit ---- */

void live_wheel_init(struct server_worker *w)
{
	for (size_t i = 0; i < LIVE_SLOTS; i++)
		list_init(&w->live.slots[i]);
	w->live.tick.fire = on_tick;
}

static int64_t tick_us(const struct server_worker *w)
{
	return w->server->config.heartbeat_us / HEARTBEAT_TICKS;
}

static void schedule(struct live *l, int64_t at_us)
{
	struct live_wheel *wheel = &l->worker->live;
	struct loop *loop = l->worker->loop;
	const int64_t now_us = loop_now_us(loop), tick = tick_us(l->worker);
	int64_t ticks = at_us > now_us ? (at_us - now_us) / tick + 1 : 1;

	if (ticks > HEARTBEAT_TICKS)
		ticks = HEARTBEAT_TICKS;
	list_remove(&l->link);
	list_append(&wheel->slots[(wheel->at + (size_t)ticks) % LIVE_SLOTS], &l->link);
	if (wheel->tick.slot == 0)
		loop_timer_set(loop, &wheel->tick, now_us + tick);
}

static void schedule_heartbeat(struct live *l)
{
	int64_t next_us = loop_now_us(l->worker->loop) + l->worker->server->config.heartbeat_us;

	if (l->config.until_us < next_us)
		next_us = l->config.until_us;
	if (l->stop_us < next_us)
		next_us = l->stop_us;
	schedule(l, next_us);
}

static void on_tick(struct loop_timer *timer)
{
	struct live_wheel *wheel = CONTAINER_OF(timer, struct live_wheel, tick);
	struct server_worker *w = CONTAINER_OF(wheel, struct server_worker, live);
	const int64_t now_us = loop_now_us(w->loop);
	struct list *slot, *link;

	wheel->at = (wheel->at + 1) % LIVE_SLOTS;
	slot = &wheel->slots[wheel->at];
	if (wheel->count > 0)
		loop_timer_set(w->loop, timer, now_us + tick_us(w));
	while ((link = list_take(slot)) != NULL)
		visit(CONTAINER_OF(link, struct live, link), now_us);
}

/* May free it; else it has a next visit. */
static void visit(struct live *l, int64_t now_us)
{
	if (l->ending && now_us < l->cut_us) {
		schedule(l, l->cut_us);
	} else if (l->ending) {
		l->cut_us = INT64_MAX; /* once is enough */
		schedule(l, l->cut_us);
		l->ops->cut(l);
	} else if (now_us >= l->config.until_us) {
		live_end(l, LIVE_EXPIRED);
	} else if (now_us >= l->stop_us) {
		live_end(l, LIVE_STOPPING);
	} else {
		schedule_heartbeat(l);
		l->ops->heartbeat(l);
	}
}
