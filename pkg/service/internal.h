/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this package know of each other: the process and its threads. */

#include "amqp/relay.h"
#include "service/settings.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { JOBS_OF_OURS = 4 };

/* The last JWKS document; each thread's verifier takes it over when it sees a newer version. */
struct key_store {
	pthread_mutex_t lock;
	struct arena *arena; /* of the document */
	struct str jwks;
	atomic_uint version; /* 0: none yet */
	atomic_int_fast64_t next_us; /* an unknown key is no reason to fetch them before then */
	atomic_bool fetching;
};

struct service_thread {
	unsigned index;
	pthread_t thread;
	struct loop *loop;
	struct server_worker *server;
	struct pg *pg;
	struct redis *redis;
	struct upstream *peers[SERVICE_PEERS_MAX];
	struct upstream *proxied[SERVICE_PEERS_MAX]; /* NULL: none */
	struct verifier *verifier;
	unsigned keys_version; /* of the verifier's */

	struct loop_timer beat;
	atomic_int_fast64_t beat_us; /* when the loop last turned for it */
	atomic_bool ready; /* once it is, for ever */

	struct loop_message announce;
	struct loop_message close;
	struct loop_timer drain;
};

/* A job of the service on the first loop. */
struct job {
	const struct service_job *what;
	struct service_thread *thread;
	struct loop_timer timer;
	struct task *task; /* while it runs */
	enum fault last;
	int64_t retry_us; /* until the run after the next fault */
	struct counter *runs;
	struct counter *faults;
	struct histogram *seconds;
	int64_t started_us;
	bool stopped;
};

struct process {
	const struct service *service;
	struct scope scope; /* lives as long as the process */
	struct settings settings;
	struct server *server;
	struct mac_verifier *macs;
	struct key_store keys;
	const struct pg_schema *schema; /* the service's with the statements that its events need */
	struct feed *feed; /* NULL: none */
	struct publisher *publisher; /* of the first thread; NULL: none */
	struct relay *relay; /* likewise */
	struct consumer *consumer; /* likewise */
	struct service_thread threads[WORKERS_MAX];
	unsigned thread_count;
	struct job jobs[SERVICE_JOBS_MAX + JOBS_OF_OURS];
	size_t job_count;
	atomic_bool draining;
	atomic_int_fast64_t drain_until_us;
	int64_t begun_us;

	/* start-up: threads that serve, and the first one's sentence why it could not */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned started;
	unsigned failed;
	unsigned ended;
	char why[256];
};

extern struct process process;

/* ---- reload.c ---- */

/* Before the configuration is loaded, after that, and before the server is made: what there is to
 * look at. */
void reload_watch_secrets(void);
void reload_watch_live(void);
void reload_watch_certificate(void);

/* Its metrics, once all that it looks at is known. */
void reload_show(void);

/* Looks at what may have changed; to be done again and again. */
enum { RELOAD_LOOK_US = 500000 };
void reload_look(void);

/* After all threads have ended. */
void reload_end(void);

/* ---- thread.c ---- */

/* Starts all threads and waits until each serves. False, and all of them have ended: process.why
 * says why. */
bool threads_start(void);

/* Lets the threads tell their clients that the process is about to stop. */
void threads_announce(void);

/* Ends the threads, each as soon as nothing is left to do, at `until_us` at the latest; then, now.
 */
void threads_close(int64_t until_us);
void threads_hurry(void);
void threads_join(void);

/* Whether all have; when one does the process gets this signal, which is blocked everywhere. */
enum { THREAD_ENDED = SIGUSR1 };
bool threads_have_ended(void);

/* The calling thread's. */
struct service_thread *thread_here(void);

/* ---- ready.c ---- */

/* Whether this thread has what it needs to serve; `why` gets a sentence. */
bool thread_is_ready(struct service_thread *t, struct str *why);

/* Whether the process wants requests; else `why` gets a sentence, in s. */
bool process_is_ready(struct scope *s, struct str *why);

/* Whether all loops turn; else `why` gets a sentence, in s. */
bool process_is_alive(struct scope *s, struct str *why);

/* ---- keys.c ---- */

void keys_init(void);

/* Brings the thread's verifier up to date with the store. */
void keys_take(struct service_thread *t);

/* The job that fetches the keys again and again. Suspends. */
enum fault keys_refresh(struct task *t) MUST_CHECK;

/* Fetches them because a token names an unknown one, unless that was tried a short while ago. */
enum fault keys_fetch_soon(struct task *t) MUST_CHECK;

/* ---- authenticate.c ---- */

/* For server_config.authenticate. Suspends. */
enum fault authenticate(
	struct task *t, const struct request *request, struct caller *caller) MUST_CHECK;

/* ---- admin.c ---- */

extern const struct route admin_routes[];
extern const size_t admin_route_count;

/* The service's routes and those of its health, in s. */
const struct route *routes_with_health(
	struct scope *s, const struct service *service, size_t *count);

/* ---- arguments.c ---- */

/* The exit status when the arguments were a question (or wrong), else -1. */
int arguments_answer(int argc, char **argv, const struct service *service);

/* ---- events.c ---- */

/* What is one for the process, before its threads and after them. */
void events_open(void);
void events_close(void);

/* A thread's part. */
void events_open_thread(struct service_thread *t);
void events_close_thread(struct service_thread *t);

/* Jobs that its events need. */
extern const struct service_job events_jobs[];
size_t events_job_count(void);

/* ---- spread.c ---- */

/* Keeps connections spread over the replicas; NULL: there is no CONNECTION_AGE, or no Redis. */
const struct service_job *spread_job(void);

/* How many of its own connections a replica sheds in a round, of all that the replicas have: what
 * is over its share (a tenth more is no matter), but a tenth of its own at most. */
size_t spread_excess(size_t own, size_t replicas, size_t connections);

/* ---- jobs.c ---- */

/* Starts those that can begin and have not yet: what uses the database waits until it was there
 * once. */
void jobs_start(struct service_thread *first);

/* No job begins any more. */
void jobs_stop(void);
bool jobs_run(void);
void jobs_cancel(void);
