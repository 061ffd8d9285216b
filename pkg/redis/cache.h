/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "redis/redis.h"

/* Cache-aside over Redis for single rows with a version that only grows. An entry lives at most
 * 30 s, a late reader can never put an older row back, and the writer's own thread reads the
 * database until its tombstone is acknowledged. Redis away means slower, never wrong and never an
 * error. */
struct cache;

struct cache_config {
	const char *prefix; /* "bodega:1:product:": with the format's version */
	int64_t ttl_ms; /* ± 10 % jitter; at most 30 s */
};

/* One a thread, over that thread's Redis client (NULL: nothing is cached). */
struct cache *cache_new(struct redis *redis, const struct cache_config *config);
void cache_free(struct cache *c);

/* Loads the row from the database into the task's scope: its text and its version, FAULT_NOT_FOUND
 * is kept as such. */
typedef enum fault cache_load_fn(
	struct task *t, struct str key, void *arg, struct str *value, int64_t *version);

/* The value for the key: from Redis, else by load, which runs once at a time for a key and thread
 * while others wait for it. Suspends. */
enum fault cache_get(struct task *t, struct cache *c, struct str key, cache_load_fn *load,
	void *arg, struct str *value) MUST_CHECK;

/* The row now has this version (or is gone): call after the commit. Never waits: the tombstone is
 * sent behind the task's back and repeated until acknowledged; until then this thread loads from
 * the database. */
void cache_invalidate(struct cache *c, struct str key, int64_t version);
