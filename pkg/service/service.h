/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "amqp/consumer.h"
#include "amqp/feed.h"
#include "auth/mac.h"
#include "auth/token.h"
#include "base/buf.h"
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
	bool proxied; /* requests from outside go to it as well: by service_proxied */
};

/* Background work: runs as a task on the first loop, as soon as the database is there and again
 * `every_us` after it ended (± 10 %; after a fault sooner), on each replica; its deadline is
 * SERVICE_JOB_US, its actor "system". With at_once it goes on so many times beside itself, each
 * with pauses and faults of its own: for work of which a piece may take long. */
enum { SERVICE_JOB_US = 60000000, SERVICE_PEERS_MAX = 8, SERVICE_JOBS_MAX = 16 };

struct service_job {
	const char *name; /* in metrics and logs */
	int64_t every_us;
	enum fault (*run)(struct task *t);
	unsigned at_once; /* 0 is 1; all of a service's come to SERVICE_JOBS_MAX at most */
};

/* What a service tells others and hears of them by RabbitMQ (RABBITMQ_URL). */
struct service_events {
	const char *source; /* "/orders": events of its outbox are published as from there; NULL:
	                       it has none */
	const struct consumer_queue *queues; /* of events that it applies to its database */
	size_t queue_count;
	/* Live: see feed_config; each thread's loop hears. NULL keys: nothing. */
	const char *const *live_keys;
	size_t live_key_count;
	void (*receive)(struct loop *l, const struct event *event);
	void (*missed)(struct loop *l);
};

/* A secret that may change while the program runs, as long as it comes from a file (NAME_FILE).
 * `take` checks the text and puts it to use, FAULT_INVALID with a field error leaves the one
 * before; first before `start`, later on the main thread. What it makes lives in s, which stays
 * until no task can be using it any more. */
struct service_secret {
	const char *variable; /* a CONFIG_SECRET of the service's own */
	enum fault (*take)(struct scope *s, struct str text);
};

struct service {
	const char *name; /* "products" */
	const char *summary; /* a sentence for --help */
	const char *port; /* defaults: "8082" */
	const char *admin_port; /* "9082" */
	const char *tls_port; /* "0": none */
	const struct route *routes;
	size_t route_count;
	handler_fn *fallback; /* for what no route matches; NULL: 404 */
	const struct config_field *config; /* the program's own variables, over *config_struct */
	size_t config_count;
	void *config_struct;
	const struct service_secret *secrets;
	size_t secret_count;
	/* Live values of config have changed: at the start and later, on the main thread. NULL:
	 * nothing to do. */
	void (*reloaded)(void);
	const struct pg_schema *schema; /* NULL: no database */
	bool redis;
	const struct service_events *events; /* NULL: neither tells nor hears any */
	/* Where the keys that verify access tokens come from: gives a JWKS document that lives in
	 * the task's scope. NULL: from users (USERS_URL); a service whose routes are all for
	 * services needs none. Suspends. */
	enum fault (*fetch_keys)(struct task *t, struct str *jwks);
	const struct service_peer *peers;
	size_t peer_count;
	const struct service_job *jobs;
	size_t job_count;
	/* Once, after the configuration is read and before threads start. A fault ends the program
	 * with 78 and the scope's field errors and detail on standard error. `s` lives as long as
	 * the process. */
	enum fault (*start)(struct scope *s);
	/* Once, after the threads have ended. NULL: nothing. */
	void (*stop)(void);
	/* On each loop's thread, before it serves. */
	void (*start_thread)(struct loop *l);
	void (*stop_thread)(struct loop *l);
	int64_t alive_us; /* a loop that has not turned for longer is stuck; 0: 10 s */
	/* Ready beyond database and keys; `why` gets a sentence. NULL: always. */
	bool (*ready)(struct str *why);
	/* Adds members to the body of GET /health, each with a comma before it. NULL: none. */
	void (*health)(struct buf *json);
	/* Changes requests before they are routed, as server_config's. NULL: nothing. */
	void (*receive)(struct scope *s, struct request *request);
	/* Adds headers to each reply, as server_config's. NULL: none. */
	void (*before_reply)(const struct request *request, struct reply *reply);
};

/* Runs until SIGTERM or SIGINT and has drained: exit 0. 78: wrong configuration, all of it named;
 * 1: it could not start (port taken). --help, --version, --routes and --crash-points (base/crash.h)
 * are answered, other arguments are refused with 64. */
int service_main(int argc, char **argv, const struct service *service);

/* The calling thread's client of a peer; by name, of service.peers. */
struct upstream *service_peer(const char *name);

/* The one for requests from outside, which carry no MAC whatever the peer is; of `proxied` ones. */
struct upstream *service_proxied(const char *name);

/* The rules that access tokens of this shop follow (TOKEN_ISSUER, TOKEN_AUDIENCE). */
const struct token_rules *service_token_rules(void);

/* The calling thread's Redis client; NULL when the service has none. */
struct redis *service_redis(void);

/* GET /internal/events, for the gateway: what a person was told by this service's outbox
 * (api/internal.yaml). */
handler_fn service_replay;

/* Whether live events come at this moment; not without RABBITMQ_URL. */
bool service_hears(void);

/* The thread's verifier of access tokens. */
struct verifier *service_verifier(void);
