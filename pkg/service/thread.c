/* SPDX-License-Identifier: Apache-2.0
 * A thread that serves: its loop, its connections to database, Redis and peers, its verifier, its
 * part of the server. All of that is made, used and freed on the thread itself; other threads only
 * post to its loop or read its atomics. */
#include "service/internal.h"

#include "base/check.h"
#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

enum {
	STATEMENTS_WAITING_MAX = 1024,
	REDIS_TIMEOUT_US = 100000,
	PEER_CONNECTIONS_MAX = 128, /* an address and thread */
	PEER_CALLS_WAITING_MAX = 1024,
	PEER_BODY_MAX = 1 << 20,
	BEAT_US = 1000000,
	BEAT_EARLY_US = 5000, /* until it is ready, during the first second */
	EARLY_US = 1000000,
	DRAIN_LOOK_US = 10000
};

static _Thread_local struct service_thread *here;

static void *thread_main(void *arg);
static bool set_up(struct service_thread *t, struct str *error);
static void open_database(struct service_thread *t);
static void open_redis(struct service_thread *t);
static void open_peers(struct service_thread *t);
static void tear_down(struct service_thread *t);
static void report(bool started, struct str error);
static void report_end(void);
static void beat(struct loop_timer *timer);
static void announce(struct loop_message *message);
static void begin_close(struct loop_message *message);
static void look_whether_drained(struct loop_timer *timer);

struct service_thread *thread_here(void)
{
	CHECK(here != NULL);
	return here;
}

/* ---- from the main thread ---- */

bool threads_start(void)
{
	for (unsigned i = 0; i < process.thread_count; i++) {
		struct service_thread *const t = &process.threads[i];

		t->index = i;
		t->beat_us = clock_monotonic_us();
		t->beat.fire = beat;
		t->drain.fire = look_whether_drained;
		t->announce.run = announce;
		t->close.run = begin_close;
	}
	/* the first to serve looks at all of them */
	for (unsigned i = 0; i < process.thread_count; i++)
		CHECK(pthread_create(&process.threads[i].thread, NULL, thread_main,
			      &process.threads[i]) == 0);
	pthread_mutex_lock(&process.lock);
	while (process.started + process.failed < process.thread_count)
		pthread_cond_wait(&process.changed, &process.lock);
	pthread_mutex_unlock(&process.lock);
	if (process.failed == 0)
		return true;
	threads_close(clock_monotonic_us());
	threads_join();
	return false;
}

void threads_announce(void)
{
	for (unsigned i = 0; i < process.thread_count; i++)
		loop_post(process.threads[i].loop, &process.threads[i].announce);
}

void threads_close(int64_t until_us)
{
	atomic_store(&process.drain_until_us, until_us);
	for (unsigned i = 0; i < process.thread_count; i++) {
		struct service_thread *const t = &process.threads[i];

		if (t->loop != NULL) /* else it could not start */
			loop_post(t->loop, &t->close);
	}
}

void threads_hurry(void)
{
	atomic_store(&process.drain_until_us, 0);
}

bool threads_have_ended(void)
{
	bool ended;

	pthread_mutex_lock(&process.lock);
	ended = process.ended == process.thread_count;
	pthread_mutex_unlock(&process.lock);
	return ended;
}

void threads_join(void)
{
	for (unsigned i = 0; i < process.thread_count; i++)
		pthread_join(process.threads[i].thread, NULL);
}

/* ---- on the thread itself ---- */

static void *thread_main(void *arg)
{
	struct service_thread *const t = arg;
	struct str error = STR_NONE;
	bool good;

	here = t;
	good = set_up(t, &error);
	if (!good)
		tear_down(t);
	report(good, error);
	if (good) {
		loop_run(t->loop);
		tear_down(t);
		report_end();
	}
	return NULL;
}

static bool set_up(struct service_thread *t, struct str *error)
{
	t->loop = loop_new(LOOP_LIMITS_DEFAULT);
	t->verifier = verifier_new(&process.settings.token_rules);
	if (process.service->schema != NULL)
		open_database(t);
	if (process.service->redis)
		open_redis(t);
	open_peers(t);
	events_open_thread(t);
	if (process.service->start_thread != NULL)
		process.service->start_thread(t->loop);
	t->server = server_worker_new(process.server, t->loop, error);
	if (t->server == NULL)
		return false;
	beat(&t->beat);
	return true;
}

static void open_database(struct service_thread *t)
{
	const struct settings *const settings = &process.settings;
	const struct pg_config config = {
		.url = settings->database_url,
		.url_file = config_file("DATABASE_URL"),
		.read_connections = (unsigned)settings->read_connections,
		.slow_connections = (unsigned)settings->slow_connections,
		.write_connections = (unsigned)settings->write_connections,
		.queue_max = STATEMENTS_WAITING_MAX,
		.application_name = process.service->name,
	};

	t->pg = pg_new(t->loop, &config, process.schema);
}

static void open_redis(struct service_thread *t)
{
	const struct redis_config config = {
		.url = process.settings.redis_url,
		.url_file = config_file("REDIS_URL"),
		.command_timeout_us = REDIS_TIMEOUT_US,
	};

	if (config.url.len > 0)
		t->redis = redis_new(t->loop, &config);
}

static void open_peers(struct service_thread *t)
{
	const struct settings *const settings = &process.settings;

	for (size_t i = 0; i < settings->peer_count; i++) {
		struct upstream_config config = {
			.name = settings->peers[i].name,
			.addresses = settings->peer_addresses[i].at,
			.address_count = settings->peer_addresses[i].count,
			.connections_max = PEER_CONNECTIONS_MAX,
			.queue_max = PEER_CALLS_WAITING_MAX,
			.body_bytes_max = PEER_BODY_MAX,
		};

		if (settings->peers[i].proxied)
			t->proxied[i] = upstream_new(t->loop, &config);
		config.first = t->index == 0;
		if (settings->peers[i].internal) {
			config.sign = mac_sign;
			config.sign_key = &process.settings.peer_macs[i];
		}
		t->peers[i] = upstream_new(t->loop, &config);
	}
}

/* In the reverse order; the server waits for its tasks. */
static void tear_down(struct service_thread *t)
{
	struct loop *const l = t->loop;

	if (t->server != NULL)
		server_worker_free(t->server);
	if (t->index == 0) {
		jobs_stop();
		jobs_cancel();
		while (jobs_run())
			loop_turn(l, 10);
	}
	loop_timer_clear(l, &t->beat);
	loop_timer_clear(l, &t->drain);
	events_close_thread(t);
	if (process.service->stop_thread != NULL)
		process.service->stop_thread(l);
	for (size_t i = 0; i < process.settings.peer_count; i++) {
		upstream_free(t->peers[i]);
		if (t->proxied[i] != NULL)
			upstream_free(t->proxied[i]);
	}
	if (t->redis != NULL)
		redis_free(t->redis);
	if (t->pg != NULL)
		pg_free(t->pg);
	verifier_free(t->verifier);
	t->loop = NULL;
	loop_free(l);
}

static void report(bool started, struct str error)
{
	pthread_mutex_lock(&process.lock);
	if (started)
		process.started++;
	else if (process.failed++ == 0)
		snprintf(process.why, sizeof process.why, "%.*s", STR_ARG(error));
	pthread_cond_signal(&process.changed);
	pthread_mutex_unlock(&process.lock);
}

static void report_end(void)
{
	pthread_mutex_lock(&process.lock);
	process.ended++;
	pthread_mutex_unlock(&process.lock);
	kill(getpid(), THREAD_ENDED);
}

/* Shows that the loop turns, starts jobs, takes new keys over, and finds out when the thread is
 * ready. */
static void beat(struct loop_timer *timer)
{
	struct service_thread *const t = CONTAINER_OF(timer, struct service_thread, beat);
	const int64_t now_us = clock_monotonic_us();
	const int64_t age_us = now_us - process.begun_us;
	struct str why;

	atomic_store(&t->beat_us, now_us);
	if (t->index == 0)
		jobs_start(t);
	keys_take(t);
	if (!atomic_load(&t->ready) && thread_is_ready(t, &why))
		atomic_store(&t->ready, true);
	loop_timer_set(t->loop, &t->beat,
		loop_now_us(t->loop) +
			(atomic_load(&t->ready) || age_us > EARLY_US ? BEAT_US : BEAT_EARLY_US));
}

/* ---- draining ---- */

static void announce(struct loop_message *message)
{
	struct service_thread *const t = CONTAINER_OF(message, struct service_thread, announce);

	server_worker_announce(t->server, process.settings.drain_delay_us);
}

static void begin_close(struct loop_message *message)
{
	struct service_thread *const t = CONTAINER_OF(message, struct service_thread, close);

	server_worker_close(t->server, process.settings.drain_delay_us > 0);
	if (t->index == 0)
		jobs_stop();
	look_whether_drained(&t->drain);
}

static void look_whether_drained(struct loop_timer *timer)
{
	struct service_thread *const t = CONTAINER_OF(timer, struct service_thread, drain);
	const int64_t now_us = clock_monotonic_us();
	const bool busy = !server_worker_drain(t->server) || (t->index == 0 && jobs_run());

	if (!busy || now_us >= atomic_load(&process.drain_until_us))
		loop_stop(t->loop);
	else
		loop_timer_set(t->loop, &t->drain, loop_now_us(t->loop) + DRAIN_LOOK_US);
}

/* ---- for handlers ---- */

static size_t index_of(const char *peer)
{
	for (size_t i = 0; i < process.settings.peer_count; i++)
		if (strcmp(process.settings.peers[i].name, peer) == 0)
			return i;
	CHECK(!"a peer of that name");
	return 0;
}

struct upstream *service_peer(const char *name)
{
	return thread_here()->peers[index_of(name)];
}

struct upstream *service_proxied(const char *name)
{
	return thread_here()->proxied[index_of(name)];
}

struct redis *service_redis(void)
{
	return thread_here()->redis;
}

struct verifier *service_verifier(void)
{
	return thread_here()->verifier;
}
