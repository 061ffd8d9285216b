/* SPDX-License-Identifier: Apache-2.0
 * The heap of timers. Each timer knows its slot, so that setting, moving and clearing need no
 * search. */
#include "base/check.h"
#include "fiber/private.h"

#include <stdlib.h>

enum { ROOM_MIN = 64 };

static void put(struct timers *t, size_t slot, struct loop_timer *timer);
static void sift_up(struct timers *t, size_t slot, struct loop_timer *timer);
static void sift_down(struct timers *t, size_t slot, struct loop_timer *timer);
static void make_room(struct timers *t);

void timers_free(struct timers *t)
{
	CHECK(t->count == 0);
	free(t->heap);
	t->heap = NULL;
}

void timers_set(struct timers *t, struct loop_timer *timer, int64_t at_us)
{
	const int64_t before_us = timer->at_us;

	timer->at_us = at_us;
	if (timer->slot == 0) {
		make_room(t);
		sift_up(t, ++t->count, timer);
	} else if (at_us < before_us) {
		sift_up(t, timer->slot, timer);
	} else {
		sift_down(t, timer->slot, timer);
	}
}

void timers_clear(struct timers *t, struct loop_timer *timer)
{
	const size_t slot = timer->slot;
	struct loop_timer *last;

	if (slot == 0)
		return;
	CHECK(slot <= t->count && t->heap[slot] == timer);
	last = t->heap[t->count--];
	timer->slot = 0;
	if (last == timer)
		return;
	if (slot > 1 && last->at_us < t->heap[slot / 2]->at_us)
		sift_up(t, slot, last);
	else
		sift_down(t, slot, last);
}

struct loop_timer *timers_take(struct timers *t, int64_t now_us)
{
	struct loop_timer *first;

	if (timers_next_us(t) > now_us)
		return NULL;
	first = t->heap[1];
	timers_clear(t, first);
	return first;
}

int64_t timers_next_us(const struct timers *t)
{
	return t->count > 0 ? t->heap[1]->at_us : INT64_MAX;
}

static void put(struct timers *t, size_t slot, struct loop_timer *timer)
{
	t->heap[slot] = timer;
	timer->slot = slot;
}

static void sift_up(struct timers *t, size_t slot, struct loop_timer *timer)
{
	while (slot > 1 && t->heap[slot / 2]->at_us > timer->at_us) {
		put(t, slot, t->heap[slot / 2]);
		slot /= 2;
	}
	put(t, slot, timer);
}

static void sift_down(struct timers *t, size_t slot, struct loop_timer *timer)
{
	size_t child;

	while ((child = slot * 2) <= t->count) {
		if (child < t->count && t->heap[child + 1]->at_us < t->heap[child]->at_us)
			child++;
		if (t->heap[child]->at_us >= timer->at_us)
			break;
		put(t, slot, t->heap[child]);
		slot = child;
	}
	put(t, slot, timer);
}

static void make_room(struct timers *t)
{
	if (t->count + 1 < t->room)
		return;
	t->room = t->room > 0 ? t->room * 2 : ROOM_MIN;
	t->heap = realloc(t->heap, t->room * sizeof(struct loop_timer *));
	CHECK(t->heap != NULL);
}
