/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fiber/task.h"

/* Redis from fibers: a thread's connection on hiredis, pipelined, with our own time-outs and
 * reconnect. What is in Redis may be lost at any time; callers treat every fault as "not there". */
struct redis;

struct redis_config {
	struct str url; /* redis://[[user]:password@]host[:port][/db] or unix:///path[?db=n]; read
	                   anew from url_file at each connect */
	const char *url_file;
	int64_t command_timeout_us; /* a slower answer counts as none, and the connection is
	                               replaced */
};

/* Makes the calling thread's client and begins to connect; reconnects by itself with jittered
 * back-off. */
struct redis *redis_new(struct loop *l, const struct redis_config *config);
void redis_free(struct redis *r);

/* The calling thread's client, NULL when it has none; the commands below use it. */
struct redis *redis_here(void);

/* Is the text one of the URLs above? For checking configuration. */
bool redis_url_valid(struct str url);

bool redis_up(const struct redis *r);

/* An answer, copied into the task's scope. */
struct redis_reply {
	enum { REDIS_NIL, REDIS_TEXT, REDIS_INTEGER, REDIS_ARRAY } type;
	struct str text;
	int64_t integer;
	struct redis_reply *items;
	size_t count;
};

/* Runs one command given as words (binary safe). FAULT_UNAVAILABLE at once while away,
 * FAULT_OVERLOADED, an error answer is FAULT_INTERNAL with its text. Suspends. */
enum fault redis_command(struct task *t, const struct str *words, size_t count,
	struct redis_reply *reply) MUST_CHECK;
