/* SPDX-License-Identifier: Apache-2.0
 * The connection: down → (resolving →) connecting → greeting → up, and down again by whatever goes
 * wrong, with a jittered and growing pause. It is up only when Redis has answered the greeting, for
 * a stopped Redis still takes connections. Every state but up ends by a timer; in that state the
 * oldest command's answer does. */
#include "redis/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/random.h"
#include "log/log.h"

static void attempt(struct redis *r);
static void on_answer(void *arg, const struct lookup_answer *answer);
static void begin_connect(struct redis *r, const struct sockaddr *at, socklen_t len);
static void greet(struct redis *r);
static void on_greeted(struct redis_op *op, enum fault fault, const redisReply *answer);
static void queue(struct redis *r, const struct str *words, size_t count, struct redis_op *op);
static char *room(struct redis *r, size_t more);
static void flush(struct loop_hook *hook);
static void on_readable(void *owner);
static void on_writable(void *owner);
static bool take_answers(struct redis *r);
static void on_timer(struct loop_timer *timer);
static void on_late(struct loop_timer *timer);
static void watch_oldest(struct redis *r);
static void lose(struct redis *r, const char *why);
static void hang_up(struct redis *r);

static const struct loop_watch_events watch_events = {
	.readable = on_readable, .writable = on_writable};

static __thread struct redis *here;

struct redis *redis_here(void)
{
	return here;
}

struct redis *redis_new(struct loop *l, const struct redis_config *config)
{
	struct redis *r = calloc(1, sizeof *r);

	CHECK(r != NULL && here == NULL && config->command_timeout_us > 0);
	*r = (struct redis){.loop = l,
		.config = *config,
		.fd = -1,
		.flush.run = flush,
		.timer.fire = on_timer,
		.late.fire = on_late,
		.back_off_us = REDIS_BACK_OFF_MIN_US};
	list_init(&r->pending);
	r->metrics.up = gauge_get("bodega_redis_up", "Connections to Redis that are up", NULL);
	r->metrics.lost =
		counter_get("bodega_redis_lost_total", "Connections to Redis that were lost", NULL);
	r->metrics.ok = counter_get("bodega_redis_commands_total", "Commands by outcome",
		LABELS({"outcome", STR("ok")}));
	r->metrics.errors = counter_get("bodega_redis_commands_total", "Commands by outcome",
		LABELS({"outcome", STR("lost")}));
	r->metrics.refused = counter_get("bodega_redis_commands_total", "Commands by outcome",
		LABELS({"outcome", STR("refused")}));
	r->metrics.seconds = histogram_get("bodega_redis_command_duration_seconds",
		"Time until a command's answer", &histogram_seconds, NULL);
	here = r;
	attempt(r);
	return r;
}

void redis_free(struct redis *r)
{
	if (r == NULL)
		return;
	hang_up(r);
	loop_timer_clear(r->loop, &r->timer);
	loop_hook_clear(&r->flush);
	lookup_cancel(&r->lookup);
	free(r->unsent);
	here = NULL;
	free(r);
}

bool redis_up(const struct redis *r)
{
	return r->state == REDIS_UP;
}

/* ---- connecting ---- */

/* The URL may come from a file, so that a password can change without a restart. */
static bool read_url(struct redis *r, struct scope *s, struct redis_address *address)
{
	struct str url = r->config.url;

	if (r->config.url_file != NULL) {
		char text[1024];
		FILE *file = fopen(r->config.url_file, "re");

		if (file == NULL)
			return false;
		url = scope_dup(s, str_trim(str_of(text, fread(text, 1, sizeof text, file))));
		fclose(file);
	}
	return redis_address_parse(s, url, address);
}

static void attempt(struct redis *r)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	struct redis_address a;
	struct scope s;

	r->state = REDIS_CONNECTING;
	loop_timer_set(r->loop, &r->timer, loop_now_us(r->loop) + REDIS_CONNECT_US);
	scope_begin(&s);
	if (!read_url(r, &s, &a)) {
		lose(r, "its URL cannot be read");
	} else if (a.host.at == NULL) {
		memcpy(local.sun_path, a.path.at, a.path.len);
		begin_connect(r, (struct sockaddr *)&local, sizeof local);
	} else {
		r->state = REDIS_RESOLVING;
		loop_timer_clear(r->loop, &r->timer); /* a look-up has its own */
		r->port = a.port;
		r->lookup = lookup_start(r->loop, a.host, on_answer, r);
	}
	scope_end(&s);
}

/* Another one of the name's addresses at each try: a host may be reachable by one only. */
static void on_answer(void *arg, const struct lookup_answer *answer)
{
	struct redis *r = arg;

	r->lookup = NULL;
	if (answer->error != NULL) {
		lose(r, answer->error);
		return;
	}
	struct lookup_address to = answer->addresses[r->attempts++ % answer->count];
	if (to.at.any.sa_family == AF_INET6)
		to.at.v6.sin6_port = htons(r->port);
	else
		to.at.v4.sin_port = htons(r->port);
	r->state = REDIS_CONNECTING;
	loop_timer_set(r->loop, &r->timer, loop_now_us(r->loop) + REDIS_CONNECT_US);
	begin_connect(r, &to.at.any, to.len);
}

static void begin_connect(struct redis *r, const struct sockaddr *at, socklen_t len)
{
	static const int on = 1;

	r->fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->fd < 0 || (connect(r->fd, at, len) != 0 && errno != EINPROGRESS)) {
		lose(r, strerror(errno));
		return;
	}
	if (at->sa_family != AF_UNIX)
		(void)setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	r->watch = loop_watch_new(r->loop, r->fd, &watch_events, r);
	r->reader = redisReaderCreate();
	CHECK(r->reader != NULL);
	if (r->watch == NULL) {
		lose(r, "no descriptor is left");
		return;
	}
	loop_watch_read(r->watch, false);
	loop_watch_write(r->watch);
}

static void on_connected(struct redis *r)
{
	int error = 0;
	socklen_t size = sizeof error;

	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
		lose(r, strerror(error != 0 ? error : errno));
		return;
	}
	loop_watch_read(r->watch, true);
	r->state = REDIS_GREETING;
	greet(r);
}

static void say(struct redis *r, const struct str *words, size_t count)
{
	struct redis_op *op = calloc(1, sizeof *op);

	CHECK(op != NULL);
	op->done = on_greeted;
	op->arg = r;
	r->greetings++;
	queue(r, words, count, op);
}

static void greet(struct redis *r)
{
	struct redis_address a;
	struct scope s;

	scope_begin(&s);
	r->greetings = 0;
	if (!read_url(r, &s, &a)) {
		lose(r, "its URL cannot be read");
		scope_end(&s);
		return;
	}
	if (a.password.len > 0 && a.user.len > 0)
		say(r, (const struct str[]){STR("AUTH"), a.user, a.password}, 3);
	else if (a.password.len > 0)
		say(r, (const struct str[]){STR("AUTH"), a.password}, 2);
	if (a.database > 0)
		say(r,
			(const struct str[]){
				STR("SELECT"), scope_format(&s, "%lld", (long long)a.database)},
			2);
	say(r, (const struct str[]){STR("PING")}, 1);
	scope_end(&s);
}

/* An error answer here (a wrong password, a server that still loads its data) is as good as none.
 */
static void on_greeted(struct redis_op *op, enum fault fault, const redisReply *answer)
{
	struct redis *r = op->arg;

	if (fault != OK)
		return;
	if (answer->type == REDIS_REPLY_ERROR) {
		lose(r, answer->str);
		return;
	}
	if (--r->greetings > 0)
		return;
	loop_timer_clear(r->loop, &r->timer);
	r->state = REDIS_UP;
	r->back_off_us = REDIS_BACK_OFF_MIN_US;
	r->told = false;
	gauge_add(r->metrics.up, 1);
	log_line(LEVEL_INFO, "Redis is there");
}

/* ---- commands ---- */

enum fault redis_send(struct redis *r, const struct str *words, size_t count, redis_done_fn *done,
	void *arg, struct redis_op **sent)
{
	if (r->state != REDIS_UP || r->pending_count >= REDIS_PENDING_MAX ||
		r->unsent_len > REDIS_UNSENT_MAX) {
		counter_inc(r->metrics.refused);
		return r->state != REDIS_UP ? FAULT_UNAVAILABLE : FAULT_OVERLOADED;
	}
	struct redis_op *op = calloc(1, sizeof *op);

	CHECK(op != NULL);
	op->done = done;
	op->arg = arg;
	queue(r, words, count, op);
	if (sent != NULL)
		*sent = op;
	return OK;
}

static void queue(struct redis *r, const struct str *words, size_t count, struct redis_op *op)
{
	enum { LINE_MAX_BYTES = 32 };

	r->unsent_len +=
		(size_t)snprintf(room(r, LINE_MAX_BYTES), LINE_MAX_BYTES, "*%zu\r\n", count);
	for (size_t i = 0; i < count; i++) {
		char *to = room(r, words[i].len + LINE_MAX_BYTES + 2);
		size_t n = (size_t)snprintf(to, LINE_MAX_BYTES, "$%zu\r\n", words[i].len);

		if (words[i].len > 0)
			memcpy(to + n, words[i].at, words[i].len);
		n += words[i].len;
		to[n++] = '\r';
		to[n++] = '\n';
		r->unsent_len += n;
	}
	op->sent_us = loop_now_us(r->loop);
	list_append(&r->pending, &op->link);
	if (r->pending_count++ == 0)
		watch_oldest(r);
	loop_at_turn_end(r->loop, &r->flush);
}

static char *room(struct redis *r, size_t more)
{
	if (r->unsent_cap - r->unsent_len < more) {
		r->unsent_cap = (r->unsent_len + more) * 2;
		r->unsent = realloc(r->unsent, r->unsent_cap);
		CHECK(r->unsent != NULL);
	}
	return r->unsent + r->unsent_len;
}

static void flush(struct loop_hook *hook)
{
	struct redis *r = CONTAINER_OF(hook, struct redis, flush);

	if (r->watch == NULL || r->unsent_len == 0)
		return;
	const ssize_t n = send(r->fd, r->unsent, r->unsent_len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		lose(r, strerror(errno));
		return;
	}
	const size_t sent = n > 0 ? (size_t)n : 0;
	r->unsent_len -= sent;
	memmove(r->unsent, r->unsent + sent, r->unsent_len);
	if (r->unsent_len > 0)
		loop_watch_write(r->watch);
}

static void on_writable(void *owner)
{
	struct redis *r = owner;

	if (r->state == REDIS_CONNECTING)
		on_connected(r);
	else
		flush(&r->flush);
}

static void on_readable(void *owner)
{
	enum { PIECE_BYTES = 3072 };
	struct redis *r = owner;
	char piece[PIECE_BYTES];
	ssize_t n;

	do {
		n = read(r->fd, piece, sizeof piece);
		if (n > 0 && redisReaderFeed(r->reader, piece, (size_t)n) != REDIS_OK) {
			lose(r, "its answer cannot be read");
			return;
		}
	} while (n == sizeof piece);
	const int error = n < 0 ? errno : 0;
	if (!take_answers(r))
		return;
	if (n == 0)
		lose(r, "it closed the connection");
	else if (error != 0 && error != EAGAIN && error != EINTR)
		lose(r, strerror(error));
}

/* False when the connection was lost meanwhile. */
static bool take_answers(struct redis *r)
{
	for (;;) {
		void *answer = NULL;

		if (redisReaderGetReply(r->reader, &answer) != REDIS_OK ||
			(answer != NULL && list_is_empty(&r->pending))) {
			if (answer != NULL)
				freeReplyObject(answer);
			lose(r, "its answer makes no sense");
			return false;
		}
		if (answer == NULL)
			return true;
		struct redis_op *op = CONTAINER_OF(list_take(&r->pending), struct redis_op, link);
		r->pending_count--;
		watch_oldest(r);
		counter_inc(r->metrics.ok);
		histogram_observe(r->metrics.seconds, loop_now_us(r->loop) - op->sent_us);
		if (op->done != NULL)
			op->done(op, OK, answer);
		free(op);
		freeReplyObject(answer);
		if (r->watch == NULL)
			return false;
	}
}

/* ---- what goes wrong ---- */

static void on_timer(struct loop_timer *timer)
{
	struct redis *r = CONTAINER_OF(timer, struct redis, timer);

	if (r->state == REDIS_DOWN)
		attempt(r);
	else
		lose(r, "it did not answer the greeting in time");
}

static void on_late(struct loop_timer *timer)
{
	lose(CONTAINER_OF(timer, struct redis, late), "it did not answer a command in time");
}

static void watch_oldest(struct redis *r)
{
	if (list_is_empty(&r->pending) || r->state != REDIS_UP) {
		loop_timer_clear(r->loop, &r->late);
		return;
	}
	const struct redis_op *op = CONTAINER_OF(r->pending.next, struct redis_op, link);
	loop_timer_set(r->loop, &r->late, op->sent_us + r->config.command_timeout_us);
}

static void lose(struct redis *r, const char *why)
{
	if (!r->told)
		log_line(LEVEL_WARN, "Redis is away", LOG_TEXT("why", why));
	r->told = true;
	counter_inc(r->metrics.lost);
	hang_up(r);
	loop_timer_set(r->loop, &r->timer,
		loop_now_us(r->loop) + r->back_off_us / 2 +
			(int64_t)random_below((uint64_t)r->back_off_us));
	if (r->back_off_us < REDIS_BACK_OFF_MAX_US)
		r->back_off_us *= 2;
}

/* To state down: the socket is reset, so that nothing of what was sent but not read by the server
 * takes effect later, and no command waits any more. */
static void hang_up(struct redis *r)
{
	static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	struct list *first;

	if (r->state == REDIS_UP)
		gauge_add(r->metrics.up, -1);
	r->state = REDIS_DOWN;
	loop_timer_clear(r->loop, &r->late);
	if (r->watch != NULL)
		loop_watch_free(&r->watch);
	if (r->fd >= 0) {
		(void)setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
		close(r->fd);
	}
	r->fd = -1;
	if (r->reader != NULL)
		redisReaderFree(r->reader);
	r->reader = NULL;
	r->unsent_len = 0;
	while ((first = list_take(&r->pending)) != NULL) {
		struct redis_op *op = CONTAINER_OF(first, struct redis_op, link);

		r->pending_count--;
		counter_inc(r->metrics.errors);
		if (op->done != NULL)
			op->done(op, FAULT_UNAVAILABLE, NULL);
		free(op);
	}
}
