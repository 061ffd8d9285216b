/* SPDX-License-Identifier: Apache-2.0
 * A peer's addresses: which are in rotation, which one a call gets, who waits for a slot. A call
 * counts in its address from the moment it takes a slot until it gives it back; an address that
 * left rotation goes with its last slot. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "base/check.h"
#include "log/log.h"
#include "upstream/connection.h"

/* A call that waits for a slot; on its fiber's stack. */
struct waiter {
	struct list link;
	struct wait wait;
	struct loop_timer timer;
	struct upstream_address *granted;
};

/* How an address is thought of; a later one is chosen when there is none before it. */
enum standing { IN_ROTATION, IS_CLOSING, HAS_REFUSED };

static struct upstream_address *choose(struct upstream *u);
static enum standing standing_of(const struct upstream_address *a);
static bool is_better(const struct upstream_address *a, const struct upstream_address *b);
static void take(struct upstream_address *a);
static struct upstream_address *wait_for_slot(
	struct task *t, struct upstream *u, enum fault *fault);
static bool is_expecting(const struct upstream *u);
static void grant(struct upstream *u, struct upstream_address *a, enum fault fault);
static void on_waited_too_long(struct loop_timer *timer);

/* ---- rotation ---- */

struct upstream_address *upstream_address_add(struct upstream *u, struct upstream_name *name,
	const struct upstream_target *target, struct str text)
{
	struct upstream_address *a = calloc(1, sizeof *a);

	CHECK(a != NULL && text.len < sizeof a->text);
	*a = (struct upstream_address){
		.upstream = u, .name = name, .target = *target, .listed = true};
	memcpy(a->text, text.at, text.len);
	list_init(&a->idle);
	list_append(&u->addresses, &a->link);
	u->address_count++;
	upstream_metrics_addresses(u, 1);
	return a;
}

void upstream_address_retire(struct upstream_address *a)
{
	struct upstream *u = a->upstream;

	list_remove(&a->link);
	u->address_count--;
	upstream_metrics_addresses(u, -1);
	upstream_address_close_idle(a);
	a->gone = true;
	if (a->taken > 0)
		list_append(&u->gone, &a->link);
	else
		free(a);
}

void upstream_address_refused(struct upstream_address *a, int error)
{
	struct upstream *u = a->upstream;

	if (a->refused_until_us == 0) {
		counter_inc(u->metrics.out[OUT_REFUSED]);
		log_line(LEVEL_WARN, "a service takes no connections",
			LOG_TEXT("peer", u->config.name), LOG_TEXT("address", a->text),
			LOG_TEXT("why", strerror(error)));
	}
	a->refused_until_us = loop_now_us(u->loop) + OUT_US;
	if (a->name != NULL)
		upstream_name_hurry(a->name);
}

void upstream_address_accepted(struct upstream_address *a)
{
	if (a->refused_until_us != 0)
		log_line(LEVEL_INFO, "a service takes connections again",
			LOG_TEXT("peer", a->upstream->config.name), LOG_TEXT("address", a->text));
	a->refused_until_us = 0;
}

void upstream_address_closing(struct upstream_address *a)
{
	if (!upstream_address_is_closing(a))
		counter_inc(a->upstream->metrics.out[OUT_CLOSING]);
	a->closing_until_us = loop_now_us(a->upstream->loop) + OUT_US;
	upstream_address_close_idle(a);
}

bool upstream_address_is_closing(const struct upstream_address *a)
{
	return loop_now_us(a->upstream->loop) < a->closing_until_us;
}

/* ---- choosing ---- */

struct upstream_address *upstream_slot_take(struct task *t, struct upstream *u, enum fault *fault)
{
	struct upstream_address *a = choose(u);

	if (a == NULL)
		return wait_for_slot(t, u, fault);
	take(a);
	return a;
}

/* NULL: its slots are taken, or there is no address. */
static struct upstream_address *choose(struct upstream *u)
{
	struct upstream_address *best = NULL;

	for (struct list *l = u->addresses.next; l != &u->addresses; l = l->next) {
		struct upstream_address *a = CONTAINER_OF(l, struct upstream_address, link);

		if (best == NULL || is_better(a, best))
			best = a;
	}
	return best != NULL && best->taken < u->config.connections_max ? best : NULL;
}

/* The one with the fewest calls; among equals the one that was chosen longest ago. So a call that
 * finds no address in rotation goes through all of them, in turn. */
static bool is_better(const struct upstream_address *a, const struct upstream_address *b)
{
	const enum standing of_a = standing_of(a), of_b = standing_of(b);

	if (of_a != of_b)
		return of_a < of_b;
	return a->taken != b->taken ? a->taken < b->taken : a->chosen < b->chosen;
}

/* An address that has refused is given one call at a time at first, for should it be dead that one
 * may have to wait for the connect's limit. */
static enum standing standing_of(const struct upstream_address *a)
{
	const int64_t now_us = loop_now_us(a->upstream->loop);

	if (a->refused_until_us != 0 && (now_us < a->refused_until_us || a->connecting > 0))
		return HAS_REFUSED;
	return upstream_address_is_closing(a) ? IS_CLOSING : IN_ROTATION;
}

static void take(struct upstream_address *a)
{
	a->taken++;
	a->chosen = ++a->upstream->choices;
}

void upstream_slot_give(struct upstream_address *a)
{
	struct upstream *u = a->upstream;

	CHECK(a->taken > 0);
	a->taken--;
	if (a->gone && a->taken == 0) {
		list_remove(&a->link);
		free(a);
	}
	upstream_slots_changed(u);
}

/* ---- waiting ---- */

static struct upstream_address *wait_for_slot(struct task *t, struct upstream *u, enum fault *fault)
{
	struct waiter w = {.wait.task = t, .timer.fire = on_waited_too_long};

	if (u->address_count == 0 && !is_expecting(u)) {
		*fault = fail(&t->scope, FAULT_UNAVAILABLE, "%s is away", u->config.name);
		return NULL;
	}
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
	if (*fault == FAULT_UNAVAILABLE)
		*fault = fail(&t->scope, *fault, "%s is away", u->config.name);
	else
		*fault = fail(&t->scope, *fault, "no connection to %s became free in time",
			u->config.name);
	return NULL;
}

/* A name has not been answered yet, as when the program has just started. */
static bool is_expecting(const struct upstream *u)
{
	for (size_t i = 0; i < u->name_count; i++)
		if (!u->names[i].answered)
			return true;
	return false;
}

void upstream_slots_changed(struct upstream *u)
{
	struct upstream_address *a;

	while (!list_is_empty(&u->waiters) && (a = choose(u)) != NULL) {
		take(a);
		grant(u, a, OK);
	}
	while (!list_is_empty(&u->waiters) && u->address_count == 0 && !is_expecting(u))
		grant(u, NULL, FAULT_UNAVAILABLE);
}

/* To the call that has waited longest. */
static void grant(struct upstream *u, struct upstream_address *a, enum fault fault)
{
	struct waiter *w = CONTAINER_OF(list_take(&u->waiters), struct waiter, link);

	loop_timer_clear(u->loop, &w->timer);
	w->granted = a;
	wait_done(&w->wait, fault);
}

static void on_waited_too_long(struct loop_timer *timer)
{
	struct waiter *w = CONTAINER_OF(timer, struct waiter, timer);

	list_remove(&w->link);
	wait_done(&w->wait, FAULT_OVERLOADED);
}
