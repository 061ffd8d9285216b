/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fiber/lookup.h"
#include "metrics/metrics.h"
#include "redis/redis.h"

/* A thread's connection to Redis: commands go out in one write a loop turn and are answered in
 * order. hiredis reads the protocol; sockets and times are ours. */

enum {
	REDIS_PENDING_MAX = 4096, /* commands without an answer */
	REDIS_UNSENT_MAX = 4 << 20, /* bytes */
	REDIS_CONNECT_US = 1000000,
	REDIS_BACK_OFF_MIN_US = 50000,
	REDIS_BACK_OFF_MAX_US = 2000000,
};

/* What a Redis URL says. */
struct redis_address {
	struct str host; /* STR_NONE: a Unix socket */
	uint16_t port;
	struct str path;
	struct str user;
	struct str password;
	int64_t database;
};

/* redis://[[user]:password@]host[:port][/db], unix:///path[?db=n]; texts live in s. False when it
 * is neither. */
bool redis_address_parse(struct scope *s, struct str url, struct redis_address *address);

/* A command that was sent. `done` is called once, when the answer is there (borrowed for the call)
 * or with a fault and no answer; NULL when nobody cares any more. */
struct redis_op;
typedef void redis_done_fn(struct redis_op *op, enum fault fault, const redisReply *answer);

struct redis_op {
	struct list link;
	int64_t sent_us;
	redis_done_fn *done;
	void *arg;
};

/* Sends a command at the end of the turn. FAULT_UNAVAILABLE: away; FAULT_OVERLOADED: too much
 * waits; then `done` is never called. *op may be NULL. */
enum fault redis_send(struct redis *r, const struct str *words, size_t count, redis_done_fn *done,
	void *arg, struct redis_op **op) MUST_CHECK;

enum redis_state { REDIS_DOWN, REDIS_RESOLVING, REDIS_CONNECTING, REDIS_GREETING, REDIS_UP };

struct redis {
	struct loop *loop;
	struct redis_config config;
	enum redis_state state;
	int fd;
	struct loop_watch *watch;
	redisReader *reader;
	struct list pending; /* redis_op.link, in the order of sending */
	size_t pending_count;
	char *unsent;
	size_t unsent_len;
	size_t unsent_cap;
	struct loop_hook flush;
	struct loop_timer timer; /* state's own: the next try, or the end of this one */
	struct loop_timer late; /* of the oldest command */
	int64_t back_off_us;
	unsigned greetings; /* answers to come before it is up */
	struct lookup *lookup; /* of its name */
	uint16_t port;
	unsigned attempts;
	bool told; /* that it is away has been logged */
	struct {
		struct gauge *up;
		struct counter *lost;
		struct counter *ok;
		struct counter *errors;
		struct counter *refused;
		struct histogram *seconds;
	} metrics;
};
