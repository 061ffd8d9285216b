/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/un.h>

#include "fiber/lookup.h"
#include "metrics/metrics.h"
#include "upstream/message.h"

/* A peer's addresses and connections. Each address has `connections_max` slots; a call takes one
 * before it uses or makes a connection and gives it back with it, so the connections that carry
 * calls plus the idle ones never exceed that number. */

enum {
	CONNECT_US = 1000000, /* to an address, or half of what remains of the call */
	UNACKED_MS = 3000, /* what a machine does not acknowledge for that long it never will */
	IDLE_US = 30000000, /* shorter than any of our servers keeps one */
	OUT_US = 10000000, /* an address that refused or is closing is a last choice that long */
	LOOK_UP_US = 5000000, /* between look-ups of a name; a tenth more or less */
	LOOK_UP_ABSENT_US = 1000000, /* as long as it has no address */
	ROTATION_MAX = 256, /* what a name has beyond that is not used */
	ADDRESS_TEXT_MAX = 128,
};

struct upstream_stream;
struct upstream_name;

/* What the text of an address means. */
struct upstream_target {
	struct str host; /* of the Host header; borrows the text */
	struct str name; /* to be looked up; borrows the text; empty: `at` is the address */
	uint16_t port;
	union {
		struct sockaddr any;
		struct lookup_address numeric;
		struct sockaddr_un local;
	} at;
	socklen_t len;
};

/* Lives as long as it is in rotation or a call uses it. */
struct upstream_address {
	struct list link; /* in upstream->addresses, or ->gone */
	struct upstream *upstream;
	struct upstream_name *name; /* that it was found by; NULL: it was given */
	struct upstream_target target;
	char text[ADDRESS_TEXT_MAX];
	bool listed; /* by the name's last answer */
	bool gone; /* no longer; freed when its last call ends */
	unsigned taken; /* slots */
	unsigned connecting; /* of them */
	uint64_t chosen; /* when, counted in choices: equals take turns */
	struct list idle; /* upstream_connection.link, the last used first */
	int64_t refused_until_us; /* 0 once it takes connections again */
	int64_t closing_until_us; /* it said that it is about to end */
};

enum { UPSTREAM_CLASSES = 4 };
enum upstream_out { OUT_REFUSED, OUT_CLOSING, UPSTREAM_OUTS };

struct upstream_metrics {
	struct counter *answers[UPSTREAM_CLASSES]; /* 2xx … 5xx */
	struct counter *faults[FAULT_COUNT];
	struct histogram *seconds;
	struct gauge *connections;
	struct gauge *waiting;
	struct counter *retries;
	struct counter *connect_retries;
	struct counter *refused;
	struct counter *out[UPSTREAM_OUTS];
	struct gauge *addresses;
	struct counter *lookups_failed;
};

struct upstream {
	struct loop *loop;
	struct upstream_config config;
	struct arena *arena;
	struct list addresses; /* in rotation */
	size_t address_count;
	struct list gone; /* that calls still use */
	uint64_t choices;
	struct upstream_name *names;
	size_t name_count;
	struct list waiters; /* for a slot, in order */
	unsigned waiter_count;
	struct upstream_metrics metrics;
};

struct upstream_connection {
	struct list link; /* in address->idle */
	struct upstream_address *address;
	int fd;
	struct loop_watch *watch;
	struct loop_timer timer; /* while connecting and while idle */
	bool connecting;
	bool idle;
	bool reused; /* it has carried an answer before this call */
	bool ended; /* the peer has closed or reset it */
	bool written; /* at least one byte of the request has left */
	bool answered; /* at least one byte of the answer has come */
	struct iovec unsent[2]; /* of the request; borrowed from the task */
	char *in; /* what the peer sent, NULL until it has */
	size_t in_len;
	size_t in_size; /* allocated */
	size_t in_cap; /* what it may grow to */
	struct wait *waiting; /* the call that waits for input or the connect */
	struct upstream_stream *stream; /* takes the input instead */
};

/* A call's search for a connection. */
struct upstream_search {
	bool fresh; /* no kept-alive one: they are not to be trusted */
	size_t refusals; /* addresses that took no connection */
};

/* A connection with a slot; waits for a slot at most half of what remains of the task's time, and
 * tries as many addresses as there are. FAULT_OVERLOADED, FAULT_UNAVAILABLE. Suspends. */
enum fault upstream_connection_take(struct task *t, struct upstream *u,
	struct upstream_search *search, struct upstream_connection **c) MUST_CHECK;

/* Sends a request, not waiting for it to be gone; head and body must live until keep or drop. */
void upstream_connection_send(struct upstream_connection *c, struct str head, struct str body);

/* Waits until more than `seen` bytes of input are there or the peer has ended. Suspends. */
enum fault upstream_connection_more(
	struct task *t, struct upstream_connection *c, size_t seen) MUST_CHECK;

/* Takes n bytes off the front of the input. */
void upstream_connection_consume(struct upstream_connection *c, size_t n);

/* The answer was read to its end: back among the idle ones, with its slot. Clears *c. */
void upstream_connection_keep(struct upstream_connection **c);

/* Closes it and gives its slot back. Clears *c; NULL is allowed. */
void upstream_connection_drop(struct upstream_connection **c);

/* Makes room for that many bytes of input, in one place from then on. */
void upstream_connection_widen(struct upstream_connection *c, size_t cap);

/* Reading stops by itself when the input is full; this takes it up again. */
void upstream_connection_read(struct upstream_connection *c);

/* Closes all idle ones of the address. */
void upstream_address_close_idle(struct upstream_address *a);

/* ---- addresses and their slots ---- */

/* Puts it into rotation. */
struct upstream_address *upstream_address_add(struct upstream *u, struct upstream_name *name,
	const struct upstream_target *target, struct str text);

/* Takes it out for good: what runs on it ends as it would. */
void upstream_address_retire(struct upstream_address *a);

/* A slot of the address that suits best; waits for one. NULL: *fault says why there is none.
 * Suspends. */
struct upstream_address *upstream_slot_take(struct task *t, struct upstream *u, enum fault *fault);

/* May be the end of the address. */
void upstream_slot_give(struct upstream_address *a);

/* Slots may have become free, or it has turned out that there are none: for those who wait. */
void upstream_slots_changed(struct upstream *u);

/* It took no connection, or none of its machine gets through: `error` says why. */
void upstream_address_refused(struct upstream_address *a, int error);

/* It took one. */
void upstream_address_accepted(struct upstream_address *a);

/* Its answer said `Connection: close`: the program there drains. */
void upstream_address_closing(struct upstream_address *a);

bool upstream_address_is_closing(const struct upstream_address *a);

/* False when the text is no address. */
bool upstream_target_parse(struct str text, struct upstream_target *target);

/* With the target's port. */
void upstream_target_set(struct upstream_target *target, const struct lookup_address *address);

/* ---- names ---- */

struct upstream_name {
	struct upstream *upstream;
	struct upstream_target target; /* but for its address */
	struct lookup *lookup; /* under way */
	struct loop_timer timer; /* of the next one */
	int64_t answered_us;
	bool answered; /* at least once, well or not */
	bool found; /* at least once */
	bool failing; /* the last time */
};

/* Looks the name up, and again and again. The target lives as long as u. */
void upstream_name_start(
	struct upstream *u, struct upstream_name *name, const struct upstream_target *target);
void upstream_name_stop(struct upstream_name *name);

/* One of its addresses is away: looks it up sooner. */
void upstream_name_hurry(struct upstream_name *name);

/* ---- the rest of an answer as a stream ---- */

/* What a stream needs of the call that began it. */
struct upstream_rest {
	struct upstream_body body;
	bool keep; /* the connection, when the body has come to its end */
	int64_t piece_us; /* the longest wait for a piece */
};

/* Takes the connection over; part of the body is in its input already, decoded. Clears *c. */
struct stream *upstream_stream_new(
	struct upstream_connection **c, const struct upstream_rest *rest);

/* The stream's part of reading: `before` bytes of c->in were there already. */
void upstream_stream_input(struct upstream_stream *stream, size_t before);

/* ---- metrics ---- */

void upstream_metrics_init(struct upstream_metrics *m, const char *peer);

/* More or less addresses are in rotation. */
void upstream_metrics_addresses(struct upstream *u, int more);

/* A call has ended, with `status` when the fault is OK. */
void upstream_metrics_call(struct upstream *u, enum fault fault, int status, int64_t began_us);
