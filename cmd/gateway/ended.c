/* SPDX-License-Identifier: Apache-2.0
 * Sessions that ended while nothing was heard of it. A thread asks users for those whose access
 * tokens may still be good: when it begins to hear, for from then on it hears of each that ends,
 * and again and again while it does not. So no session is good here for long after its end,
 * whatever RabbitMQ does. */
#include "live.h"

#include "auth/token.h"
#include "base/check.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
	PAGES_MAX = 16, /* newest first; as many sessions as a verifier can refuse */
	ASK_US = 10000000, /* all pages */
	RETRY_US = 2000000, /* when users is away */
	DEAF_US = 10000000, /* how often, while nothing is heard */
};

struct asker {
	struct loop *loop;
	struct loop_timer timer;
	struct task *task;
	bool due; /* something may have been missed that was not asked for yet */
};

struct ended {
	struct uuid session_id;
	struct uuid user_id;
	int64_t ended_at;
};

struct ended_page {
	struct items sessions; /* struct ended; the newest first */
	int64_t before; /* the next page; 0: there is none */
};

static const struct field ended_fields[] = {
	FIELD(struct ended, session_id, UUID, REQUIRED),
	FIELD(struct ended, user_id, UUID, REQUIRED),
	FIELD(struct ended, ended_at, TIME, REQUIRED),
};
static const struct field_table ended_table = FIELD_TABLE(struct ended, ended_fields);

static const struct field page_fields[] = {
	FIELD(struct ended_page, sessions, ARRAY, REQUIRED, .of = &ended_table),
	FIELD(struct ended_page, before, INT64, OPTIONAL),
};
static const struct field_table page_table = FIELD_TABLE(struct ended_page, page_fields);

static _Thread_local struct asker *asker;

static void tick(struct loop_timer *timer);
static void start(void);
static void run(struct task *t, void *arg);
static void done(struct task *t, void *arg);
static enum fault learn(struct task *t);
static enum fault get_page(struct task *t, int64_t before, struct ended_page *page);

void ended_start(struct loop *l)
{
	asker = calloc(1, sizeof *asker);
	CHECK(asker != NULL);
	asker->loop = l;
	asker->timer.fire = tick;
	loop_timer_set(l, &asker->timer, loop_now_us(l) + DEAF_US);
}

void ended_stop(void)
{
	struct loop *const l = asker->loop;

	if (asker->task != NULL)
		task_cancel(asker->task, FAULT_CANCELED);
	while (asker->task != NULL)
		loop_turn(l, 10);
	loop_timer_clear(l, &asker->timer);
	free(asker);
	asker = NULL;
}

void ended_ask(void)
{
	asker->due = true;
	start();
}

static void tick(struct loop_timer *timer)
{
	(void)timer;
	if (asker->due || !service_hears())
		ended_ask();
	else
		loop_timer_set(asker->loop, &asker->timer, loop_now_us(asker->loop) + DEAF_US);
}

/* One at a time; what becomes due meanwhile is asked for when that has ended. */
static void start(void)
{
	const int64_t now_us = loop_now_us(asker->loop);

	if (asker->task != NULL)
		return;
	asker->due = false;
	if (task_start(asker->loop, now_us + ASK_US, run, done, asker, &asker->task) == OK)
		return;
	asker->due = true;
	loop_timer_set(asker->loop, &asker->timer, now_us + RETRY_US);
}

static void run(struct task *t, void *arg)
{
	(void)arg;
	t->actor = STR("system");
	if (learn(t) != OK)
		asker->due = true;
}

static void done(struct task *t, void *arg)
{
	(void)t;
	(void)arg;
	asker->task = NULL;
	loop_timer_set(asker->loop, &asker->timer,
		loop_now_us(asker->loop) + (asker->due ? RETRY_US : DEAF_US));
}

static enum fault learn(struct task *t)
{
	struct ended_page page = {0};

	for (int i = 0; i < PAGES_MAX && (i == 0 || page.before > 0); i++) {
		TRY(get_page(t, page.before, &page));
		const struct ended *ended = page.sessions.at;
		for (size_t at = 0; at < page.sessions.count; at++, ended++)
			hub_end_session(&ended->user_id, &ended->session_id,
				ended->ended_at / 1000000 + TOKEN_TTL_S + TOKEN_LEEWAY_S);
	}
	return OK;
}

static enum fault get_page(struct task *t, int64_t before, struct ended_page *page)
{
	struct scope *s = &t->scope;
	struct upstream_request request = {
		.method = STR("GET"), .target = STR("/internal/sessions/ended")};
	struct upstream_reply reply;

	if (before > 0)
		request.target =
			scope_format(s, "%.*s?before=%" PRId64, STR_ARG(request.target), before);
	TRY(upstream_call(t, service_peer("users"), &request, &reply));
	if (reply.status != 200)
		return upstream_fault(s, &reply);
	*page = (struct ended_page){0};
	return json_read_lenient(s, reply.body, &page_table, page);
}
