/* SPDX-License-Identifier: Apache-2.0
 * A peer's names: looked up every few seconds, and the addresses in rotation follow. An answer that
 * fails changes nothing, so a name server that is away costs nothing but knowing what is new. All
 * pools of a process set their timers by the same answer's time and so share the next look-up
 * (fiber/lookup.h). */
#include <arpa/inet.h>
#include <stdio.h>

#include "base/random.h"
#include "base/scope.h"
#include "log/log.h"
#include "upstream/connection.h"

static void look_up(struct loop_timer *timer);
static void on_answer(void *arg, const struct lookup_answer *answer);
static void follow(struct upstream_name *name, const struct lookup_answer *answer);
static struct upstream_address *find_address(
	const struct upstream_name *name, const struct upstream_target *target);
static bool add_address(struct upstream_name *name, const struct upstream_target *target);
static size_t retire_unlisted(const struct upstream_name *name);
static void tell_failure(struct upstream_name *name, const char *why);
static void set_timer(struct upstream_name *name, int64_t at_us);

void upstream_name_start(
	struct upstream *u, struct upstream_name *name, const struct upstream_target *target)
{
	*name = (struct upstream_name){.upstream = u, .target = *target, .timer.fire = look_up};
	look_up(&name->timer);
}

void upstream_name_stop(struct upstream_name *name)
{
	lookup_cancel(&name->lookup);
	loop_timer_clear(name->upstream->loop, &name->timer);
}

void upstream_name_hurry(struct upstream_name *name)
{
	const int64_t soon_us = name->answered_us + LOOKUP_SHARED_US;

	if (name->lookup == NULL && name->timer.at_us > soon_us)
		set_timer(name, soon_us);
}

static void look_up(struct loop_timer *timer)
{
	struct upstream_name *name = CONTAINER_OF(timer, struct upstream_name, timer);

	name->lookup = lookup_start(name->upstream->loop, name->target.name, on_answer, name);
}

static void on_answer(void *arg, const struct lookup_answer *answer)
{
	struct upstream_name *name = arg;

	name->lookup = NULL;
	name->answered = true;
	name->answered_us = answer->at_us;
	if (answer->error != NULL)
		tell_failure(name, answer->error);
	else
		follow(name, answer);
	const int64_t pause_us = name->found ? LOOK_UP_US : LOOK_UP_ABSENT_US;
	const int64_t tenth_us = pause_us / 10;
	set_timer(name, answer->at_us + pause_us - tenth_us +
				(int64_t)random_below((uint64_t)(2 * tenth_us)));
	upstream_slots_changed(name->upstream);
}

static void set_timer(struct upstream_name *name, int64_t at_us)
{
	loop_timer_set(name->upstream->loop, &name->timer, at_us);
}

/* ---- what an answer means ---- */

static void follow(struct upstream_name *name, const struct lookup_answer *answer)
{
	struct upstream *u = name->upstream;
	size_t added = 0;

	for (struct list *l = u->addresses.next; l != &u->addresses; l = l->next)
		CONTAINER_OF(l, struct upstream_address, link)->listed = false;
	for (size_t i = 0; i < answer->count; i++) {
		struct upstream_target target = name->target;

		upstream_target_set(&target, &answer->addresses[i]);
		struct upstream_address *a = find_address(name, &target);
		if (a != NULL)
			a->listed = true;
		else
			added += add_address(name, &target);
	}
	const size_t retired = retire_unlisted(name);
	if (u->config.first && (added > 0 || retired > 0 || name->failing))
		log_line(LEVEL_INFO, "a service's addresses", LOG_TEXT("peer", u->config.name),
			LOG_STR("name", name->target.host), LOG_INT("found", answer->count),
			LOG_INT("new", added), LOG_INT("gone", retired),
			LOG_BOOL("too_many", answer->cut || u->address_count >= ROTATION_MAX));
	name->found = true;
	name->failing = false;
}

/* In rotation: one that has left it and comes back before its last call has ended is another. */
static struct upstream_address *find_address(
	const struct upstream_name *name, const struct upstream_target *target)
{
	const struct upstream *u = name->upstream;

	for (struct list *l = u->addresses.next; l != &u->addresses; l = l->next) {
		struct upstream_address *a = CONTAINER_OF(l, struct upstream_address, link);

		if (a->name == name && a->target.len == target->len &&
			memcmp(&a->target.at, &target->at, target->len) == 0)
			return a;
	}
	return NULL;
}

static bool add_address(struct upstream_name *name, const struct upstream_target *target)
{
	const struct lookup_address *at = &target->at.numeric;
	const bool is_v6 = at->at.any.sa_family == AF_INET6;
	char host[INET6_ADDRSTRLEN], text[ADDRESS_TEXT_MAX];

	if (name->upstream->address_count >= ROTATION_MAX)
		return false;
	inet_ntop(at->at.any.sa_family,
		is_v6 ? (const void *)&at->at.v6.sin6_addr : (const void *)&at->at.v4.sin_addr,
		host, sizeof host);
	snprintf(text, sizeof text, is_v6 ? "[%s]:%u" : "%s:%u", host, target->port);
	upstream_address_add(name->upstream, name, target, str_from(text));
	return true;
}

static size_t retire_unlisted(const struct upstream_name *name)
{
	const struct upstream *u = name->upstream;
	size_t retired = 0;
	struct list *next;

	for (struct list *l = u->addresses.next; l != &u->addresses; l = next) {
		struct upstream_address *a = CONTAINER_OF(l, struct upstream_address, link);

		next = l->next;
		if (a->name != name || a->listed)
			continue;
		upstream_address_retire(a);
		retired++;
	}
	return retired;
}

static void tell_failure(struct upstream_name *name, const char *why)
{
	const struct upstream *u = name->upstream;

	if (u->config.first) {
		counter_inc(u->metrics.lookups_failed);
		if (!name->failing)
			log_line(LEVEL_WARN, "a service's name cannot be looked up",
				LOG_TEXT("peer", u->config.name),
				LOG_STR("name", name->target.host), LOG_TEXT("why", why));
	}
	name->failing = true;
}
