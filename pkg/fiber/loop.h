/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/fault.h"
#include "base/list.h"

/* A thread's event loop: libh2o's loop, and over it one heap of timers, the ready queue of fibers,
 * end-of-turn hooks and messages from other threads. A turn: sockets → due timers → messages →
 * ready fibers → hooks. Everything here belongs to the loop's thread, but
 * loop_post and loop_stop. */
struct loop;

/* Fibers that one turn resumes; those still ready wait for the next turn, so that fibers which wake
 * each other for ever cannot keep sockets waiting. */
enum { LOOP_RESUMES_MAX = 1024 };

struct loop_limits {
	size_t tasks_max; /* more are refused with FAULT_OVERLOADED */
	size_t stack_bytes; /* of a fiber, without its guard page */
	size_t stacks_spare; /* pooled stacks kept */
};

#define LOOP_LIMITS_DEFAULT \
	((struct loop_limits){.tasks_max = 4096, .stack_bytes = 64 << 10, .stacks_spare = 256})

/* Makes the loop of the calling thread. */
struct loop *loop_new(struct loop_limits limits);

/* Nothing may be left in it: no task, timer or watch. Waits for look-ups, and for jobs of blocking
 * pools that nobody waits for any more. Gives the thread's spare memory back. */
void loop_free(struct loop *l);

/* The calling thread's loop, NULL when it has none. */
struct loop *loop_here(void);

/* libh2o's own, for listeners and connections (an h2o_loop_t). */
struct st_h2o_evloop_t *loop_h2o(struct loop *l);

/* Runs turns until loop_stop. */
void loop_run(struct loop *l);

/* One turn that waits at most wait_ms for something to happen: tests, and draining. */
void loop_turn(struct loop *l, int32_t wait_ms);

/* From any thread; loop_run returns at the end of its turn. */
void loop_stop(struct loop *l);

/* clock_monotonic_us as of this turn: read at its first use after the turn's wait. */
int64_t loop_now_us(struct loop *l);

/* ---- timers ---- */

struct loop_timer {
	int64_t at_us; /* loop_now_us's clock */
	size_t slot; /* in the heap, 0 while not set */
	void (*fire)(struct loop_timer *timer);
};

/* Sets or moves it. Fires once, never inside this call. */
void loop_timer_set(struct loop *l, struct loop_timer *timer, int64_t at_us);
void loop_timer_clear(struct loop *l, struct loop_timer *timer);

/* ---- end of turn ---- */

/* Work gathered during a turn and done once at its end, such as a batch of queries in one write. */
struct loop_hook {
	struct list link;
	void (*run)(struct loop_hook *hook);
};

/* Runs it once at the end of this turn, however often it is asked for. */
void loop_at_turn_end(struct loop *l, struct loop_hook *hook);
void loop_hook_clear(struct loop_hook *hook);

/* ---- file descriptors of other libraries ---- */

/* Tells when a descriptor that belongs to libpq or hiredis can be read or written. Works on a
 * duplicate, so the library may close its own at will. */
struct loop_watch;

struct loop_watch_events {
	void (*readable)(void *owner); /* called as long as there is something to read */
	void (*writable)(void *owner); /* once for each loop_watch_write */
};

/* NULL when no descriptor is left (EMFILE). Reading is watched from the start unless `readable` is
 * NULL. */
struct loop_watch *loop_watch_new(
	struct loop *l, int fd, const struct loop_watch_events *events, void *owner);
void loop_watch_write(struct loop_watch *watch);
void loop_watch_read(struct loop_watch *watch, bool on);

/* May be called from inside its own events. Clears *watch. */
void loop_watch_free(struct loop_watch **watch);

/* ---- other threads ---- */

struct loop_message {
	struct list link;
	void (*run)(struct loop_message *message); /* on the loop's thread; may free the message */
};

/* From any thread. */
void loop_post(struct loop *l, struct loop_message *message);
