/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "amqp/event.h"
#include "gateway.h"
#include "http/live.h"

/* Live updates, as the files that make them know each other. A listener is one stream of one
 * person. Each thread has a hub of its own: its listeners by person, and those that have to catch
 * up. */

/* Whose events a stream shows; the letter stands for it in the ids by which streams resume. */
enum { LIVE_ORDERS, LIVE_PRODUCTS, LIVE_SOURCES };
enum { LIVE_STREAMS_A_PERSON = 5, LIVE_ID_MAX = 64 };

/* How far a stream is with one source. */
struct progress {
	bool known; /* `last` is; else it begins where the source is now */
	bool live; /* caught up: events are sent as they come */
	int64_t last; /* the position up to which everything was sent */
	int64_t heard; /* of the last event that came while it was not live */
};

struct listener {
	struct list of_person; /* in the hub */
	struct list waiting; /* to catch up, in the hub */
	struct live *live; /* NULL once it has ended */
	struct uuid person;
	struct uuid session;
	struct progress progress[LIVE_SOURCES];
	struct task *task; /* catching up */
	bool again; /* once more at once: there is more, or events were missed meanwhile */
	bool greeted;
};

/* ---- hub.c ---- */

void hub_start(struct loop *l);
void hub_stop(struct loop *l);

/* The calling thread hears for it from now on, and it begins to catch up. */
void hub_add(struct listener *listener);

/* Its stream has ended: frees it, maybe later. */
void hub_drop(struct listener *listener);

/* The session's access tokens are refused on this thread until then, and its streams here end. */
void hub_end_session(const struct uuid *person, const struct uuid *session, int64_t until_s);

extern const struct service_events hub_events;

/* ---- ended.c: sessions that ended while nothing was heard ---- */

void ended_start(struct loop *l);
void ended_stop(void);

/* Some may have ended before this moment; of those that do from now on the thread hears. */
void ended_ask(void);

/* ---- replay.c ---- */

/* Brings a listener nearer to what its sources have, a page of each; sets `again` when there is
 * more. FAULT_CANCELED: its stream has ended. Suspends. */
enum fault replay(struct task *t, struct listener *listener) MUST_CHECK;

/* Sends an event, unless it was sent before, and moves on to its position. */
void replay_send(
	struct scope *s, struct listener *listener, size_t source, const struct event *event);

/* "o:17,p:3": of what is known. */
struct str replay_id(struct scope *s, const struct progress progress[LIVE_SOURCES]);

/* The reverse: sets what it names. False: it is none. */
bool replay_id_read(struct str id, struct progress progress[LIVE_SOURCES]);

/* LIVE_SOURCES: it is none of them. */
size_t replay_source(struct str source);

/* ---- ticket.c: stands for an access token once, in a URL ---- */

enum { TICKET_S = 30 };

/* FAULT_UNAVAILABLE: Redis is away. Suspends. */
enum fault ticket_make(struct task *t, const struct caller *caller, struct str *ticket) MUST_CHECK;

/* Once, on whatever replica. FAULT_UNAUTHORIZED: it is none, or was used. Suspends. */
enum fault ticket_take(struct task *t, struct str ticket, struct caller *caller) MUST_CHECK;

/* ---- persons.c: how many streams a person has, on all threads ---- */

/* False: as many as may be. */
bool persons_enter(const struct uuid *person);
void persons_leave(const struct uuid *person);

/* ---- live.c ---- */

handler_fn live_ws, live_sse, live_ticket;
