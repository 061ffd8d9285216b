/* SPDX-License-Identifier: Apache-2.0
 * Cache-aside. A read is a flight: the first task that asks for a key flies, later ones wait for
 * it; when the first one's wait ends before it has the row, the next one in line flies on. Nothing
 * older than what is in Redis is ever put there, and nothing of Redis is believed for a key whose
 * tombstone is still on its way. */
#include "redis/cache.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/random.h"
#include "redis/tombstone.h"

enum {
	FLIGHT_BUCKETS = 256,
	TTL_MS_MAX = 30000,
	LOAD_MAX_US = 20000000, /* a row that took longer to read is not put into the cache */
};

struct cache {
	struct redis *redis;
	struct loop *loop;
	const char *prefix;
	int64_t ttl_ms;
	struct list flights[FLIGHT_BUCKETS];
	struct tombstones tombstones;
	struct {
		struct counter *hits;
		struct counter *misses;
		struct counter *errors;
		struct counter *bypassed;
		struct counter *joined;
	} metrics;
};

struct flight {
	struct list link; /* in its bucket; in none once it may not be joined any more */
	struct list passengers;
	size_t key_len;
	char key[];
};

/* A task that waits for a flight; on its stack. */
struct passenger {
	struct list link;
	struct wait wait;
	struct str value;
	enum fault fault;
	bool pilot; /* the one before has given up */
};

static struct flight *find_flight(const struct cache *c, struct str key);
static struct flight *new_flight(struct cache *c, struct str key);
static enum fault board(struct task *t, struct flight *f, struct str *value, bool *pilot);
static struct str full_key(struct scope *s, const struct cache *c, struct str key);
static enum fault fly(struct task *t, struct cache *c, struct str key, struct str full,
	cache_load_fn *load, void *arg, struct str *value);
static bool read_entry(
	struct task *t, struct cache *c, struct str key, enum fault *fault, struct str *value);
static void write_entry(
	struct cache *c, struct str key, int64_t version, char kind, struct str value);
static void land(struct flight *f, const struct scope *s, enum fault fault, struct str value);

static struct counter *outcome_counter(const char *cache, struct str outcome)
{
	return counter_get("bodega_cache_reads_total", "Reads of cached rows by outcome",
		LABELS({"cache", str_from(cache)}, {"outcome", outcome}));
}

struct cache *cache_new(struct redis *redis, const struct cache_config *config)
{
	struct cache *c = calloc(1, sizeof *c);

	CHECK(c != NULL);
	CHECK(redis == NULL || (config->ttl_ms > 0 && config->ttl_ms <= TTL_MS_MAX));
	c->redis = redis;
	c->loop = loop_here();
	c->prefix = config->prefix;
	c->ttl_ms = config->ttl_ms;
	for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
		list_init(&c->flights[i]);
	tombstones_init(&c->tombstones, redis, config->prefix);
	c->metrics.hits = outcome_counter(config->prefix, STR("hit"));
	c->metrics.misses = outcome_counter(config->prefix, STR("miss"));
	c->metrics.errors = outcome_counter(config->prefix, STR("error"));
	c->metrics.bypassed = outcome_counter(config->prefix, STR("bypass"));
	c->metrics.joined = outcome_counter(config->prefix, STR("joined"));
	return c;
}

void cache_free(struct cache *c)
{
	tombstones_end(&c->tombstones);
	for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
		CHECK(list_is_empty(&c->flights[i]));
	free(c);
}

enum fault cache_get(struct task *t, struct cache *c, struct str key, cache_load_fn *load,
	void *arg, struct str *value)
{
	const struct str full = full_key(&t->scope, c, key);
	struct flight *f = find_flight(c, full);

	if (f != NULL) {
		bool pilot;

		counter_inc(c->metrics.joined);
		const enum fault fault = board(t, f, value, &pilot);
		if (!pilot)
			return fault;
	} else {
		f = new_flight(c, full);
	}
	const enum fault fault = fly(t, c, key, full, load, arg, value);
	land(f, &t->scope, fault, *value);
	return fault;
}

static struct str full_key(struct scope *s, const struct cache *c, struct str key)
{
	struct buf b = buf_new(s->arena);

	buf_add(&b, str_from(c->prefix));
	buf_add(&b, key);
	return buf_str(&b);
}

void cache_invalidate(struct cache *c, struct str key, int64_t version)
{
	struct scope s;

	scope_begin(&s);
	const struct str full = full_key(&s, c, key);
	struct flight *f = find_flight(c, full);
	if (f != NULL)
		list_remove(&f->link); /* it may be reading the old row */
	if (c->redis != NULL)
		tombstone_put(&c->tombstones, full, version);
	scope_end(&s);
}

/* ---- one flight a key ---- */

static struct flight *find_flight(const struct cache *c, struct str key)
{
	const struct list *bucket = &c->flights[key_hash(key) % FLIGHT_BUCKETS];

	for (struct list *l = bucket->next; l != bucket; l = l->next) {
		struct flight *f = CONTAINER_OF(l, struct flight, link);

		if (str_eq(str_of(f->key, f->key_len), key))
			return f;
	}
	return NULL;
}

static struct flight *new_flight(struct cache *c, struct str key)
{
	struct flight *f = calloc(1, sizeof *f + key.len);

	CHECK(f != NULL);
	list_init(&f->passengers);
	f->key_len = key.len;
	memcpy(f->key, key.at, key.len);
	list_append(&c->flights[key_hash(key) % FLIGHT_BUCKETS], &f->link);
	return f;
}

/* Waits for the flight. *pilot: nobody flies it any more, the caller must. */
static enum fault board(struct task *t, struct flight *f, struct str *value, bool *pilot)
{
	struct passenger p = {.wait.task = t};

	list_append(&f->passengers, &p.link);
	const enum fault fault = task_wait(t, &p.wait);
	list_remove(&p.link);
	*pilot = p.pilot;
	if (fault != OK || p.pilot)
		return fault;
	*value = p.value;
	return p.fault;
}

/* With a row, or the certainty that there is none, everyone has arrived; else the next in line
 * takes over. */
static void land(struct flight *f, const struct scope *s, enum fault fault, struct str value)
{
	const bool arrived = fault == OK || fault == FAULT_NOT_FOUND;
	struct list *first;

	while ((first = list_take(&f->passengers)) != NULL) {
		struct passenger *p = CONTAINER_OF(first, struct passenger, link);
		struct scope *theirs = &p->wait.task->scope;

		if (!arrived) {
			p->pilot = true;
			wait_done(&p->wait, OK);
			return;
		}
		p->fault = fault;
		p->value = scope_dup(theirs, value);
		if (fault != OK && s->detail.len > 0)
			p->fault = fail(theirs, fault, "%.*s", STR_ARG(s->detail));
		wait_done(&p->wait, OK);
	}
	list_remove(&f->link);
	free(f);
}

/* ---- Redis, then the database ---- */

static enum fault fly(struct task *t, struct cache *c, struct str key, struct str full,
	cache_load_fn *load, void *arg, struct str *value)
{
	int64_t version = 0;
	enum fault fault;

	*value = STR_NONE;
	if (read_entry(t, c, full, &fault, value))
		return fault;
	const int64_t began_us = loop_now_us(c->loop);
	fault = load(t, key, arg, value, &version);
	if (loop_now_us(c->loop) - began_us > LOAD_MAX_US)
		return fault;
	if (fault == OK)
		write_entry(c, full, version, ENTRY_VALUE, *value);
	else if (fault == FAULT_NOT_FOUND)
		write_entry(c, full, version, ENTRY_NOTHING, STR(""));
	return fault;
}

/* True when *fault and *value are the answer: an entry, or the end of the task's wait. */
static bool read_entry(
	struct task *t, struct cache *c, struct str key, enum fault *fault, struct str *value)
{
	struct redis_reply reply;

	if (c->redis == NULL || tombstone_version(&c->tombstones, key) >= 0) {
		counter_inc(c->metrics.bypassed);
		return false;
	}
	*fault = redis_command(t, (const struct str[]){STR("GET"), key}, 2, &reply);
	if (*fault == FAULT_CANCELED || *fault == FAULT_DEADLINE)
		return true;
	if (*fault != OK) {
		scope_forgive(&t->scope);
		counter_inc(c->metrics.errors);
		return false;
	}
	/* the row may have changed here while Redis was asked */
	if (reply.type != REDIS_TEXT || reply.text.len < ENTRY_HEAD_LEN ||
		tombstone_version(&c->tombstones, key) >= 0) {
		counter_inc(c->metrics.misses);
		return false;
	}
	const char kind = reply.text.at[ENTRY_VERSION_LEN];
	if (kind != ENTRY_VALUE && kind != ENTRY_NOTHING) {
		counter_inc(c->metrics.misses);
		return false;
	}
	counter_inc(c->metrics.hits);
	*value = kind == ENTRY_VALUE ? str_skip(reply.text, ENTRY_HEAD_LEN) : STR_NONE;
	*fault = kind == ENTRY_VALUE ? OK : FAULT_NOT_FOUND;
	return true;
}

/* Not waited for: when it does not get there, the next reader loads the row again. */
static void write_entry(
	struct cache *c, struct str key, int64_t version, char kind, struct str value)
{
	const int64_t jitter_ms = c->ttl_ms / 10;
	int64_t ttl_ms = c->ttl_ms - jitter_ms + (int64_t)random_below((uint64_t)jitter_ms * 2 + 1);

	if (c->redis == NULL || version < tombstone_version(&c->tombstones, key))
		return;
	if (ttl_ms > TTL_MS_MAX)
		ttl_ms = TTL_MS_MAX;
	if (entry_send(c->redis, key, version, kind, value, ttl_ms, NULL, NULL, NULL) != OK)
		counter_inc(c->metrics.errors);
}
