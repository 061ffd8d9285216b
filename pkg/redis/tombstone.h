/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "redis/link.h"

/* What a thread has committed but Redis does not know yet: a tombstone for each key, sent until it
 * is acknowledged. As long as a key is listed the thread does not believe what Redis has for it. */

#define TOMBSTONE_US INT64_C(60000000)

enum {
	TOMBSTONES_MAX = 4096,
	TOMBSTONE_MS = TOMBSTONE_US / 1000, /* outlives each load (LOAD_MAX_US) and each entry */
	TOMBSTONE_RETRY_US = 100000,
	TOMBSTONE_BUCKETS = 256,
};

struct tombstones {
	struct redis *redis;
	struct loop *loop;
	struct list buckets[TOMBSTONE_BUCKETS];
	size_t count;
	int64_t blind_until_us; /* one found no place: nothing of Redis is believed until then */
	struct loop_timer retry;
	struct gauge *metric;
};

void tombstones_init(struct tombstones *t, struct redis *redis, const char *name);
void tombstones_end(struct tombstones *t);

/* The row of that (full) key has this version now. */
void tombstone_put(struct tombstones *t, struct str key, int64_t version);

/* The version that Redis must not be below, -1 when it may be believed. */
int64_t tombstone_version(const struct tombstones *t, struct str key);

/* ---- entries: 20 digits of version, a letter for the kind, the value ---- */

enum { ENTRY_VERSION_LEN = 20, ENTRY_HEAD_LEN = 21 };
#define ENTRY_VALUE 'v'
#define ENTRY_NOTHING 'n' /* there is no such row */
#define ENTRY_TOMBSTONE 't'

/* Writes an entry unless a newer one is there. `done` as redis_send's. */
enum fault entry_send(struct redis *r, struct str key, int64_t version, char kind, struct str value,
	int64_t ttl_ms, redis_done_fn *done, void *arg, struct redis_op **op) MUST_CHECK;

/* FNV-1a, for tables of keys. */
uint64_t key_hash(struct str key);
