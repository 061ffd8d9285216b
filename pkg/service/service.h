/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "auth/mac.h"
#include "auth/token.h"
#include "config/config.h"
#include "http/server.h"
#include "pg/pg.h"
#include "redis/redis.h"
#include "upstream/upstream.h"

/* What every program's main does: configuration, log, loops, listeners, probes, background jobs,
 * signals, drain. A program describes itself by a struct service and returns service_main(). */

/* A peer that this service calls: an upstream for each thread, found again by its name. */
struct service_peer {
	const char *name; /* "products"; its addresses come from PRODUCTS_URL */
	bool internal; /* calls carry a MAC */
};

/* Background work: runs as a task on the first loop, again `every_us` after it ended (± 10 %), on
 * each replica. */
struct service_job {
	const char *name; /* in metrics and logs */
	int64_t every_us;
	enum fault (*run)(struct task *t);
};

struct service {
	const char *name; /* "products" */
	const char *summary; /* a sentence for --help */
	const struct route *routes;
	size_t route_count;
	handler_fn *fallback;
	const struct config_field *config; /* the program's own variables, over *config_struct */
	size_t config_count;
	void *config_struct;
	const struct pg_schema *schema; /* NULL: no database */
	bool redis;
	bool verifies_tokens; /* false: users verifies with its own keys, by `authenticate` */
	const struct service_peer *peers;
	size_t peer_count;
	const struct service_job *jobs;
	size_t job_count;
	/* Once, after the configuration is read and before threads start. A fault ends the program
	 * with 78. */
	enum fault (*start)(struct scope *s);
	/* On each loop's thread, before it serves. */
	void (*start_thread)(struct loop *l);
	void (*stop_thread)(struct loop *l);
	/* Ready beyond database and keys; `why` gets a sentence. NULL: always. */
	bool (*ready)(struct str *why);
};

/* Runs until SIGTERM or SIGINT and has drained: exit 0. 78: wrong configuration, all of it named;
 * 1: it could not start (port taken). --help and --version are answered. */
int service_main(int argc, char **argv, const struct service *service);

/* The calling thread's client of a peer; by name, of service.peers. */
struct upstream *service_peer(const char *name);

/* The calling thread's Redis client; NULL when the service has none. */
struct redis *service_redis(void);

/* The thread's verifier of access tokens. */
struct verifier *service_verifier(void);
