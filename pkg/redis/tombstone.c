/* SPDX-License-Identifier: Apache-2.0
 * Tombstones on their way. Each is listed from the commit on until Redis has taken it, or until
 * everything that it could forbid has expired by itself. */
#include "redis/tombstone.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

struct tombstone {
	struct list link; /* in its bucket */
	struct tombstones *owner;
	int64_t version;
	int64_t since_us;
	struct redis_op *op; /* on its way */
	bool again; /* the version rose meanwhile */
	size_t key_len;
	char key[];
};

static struct tombstone *find(const struct tombstones *t, struct str key);
static struct tombstone *add(struct tombstones *t, struct str key);
static void drop(struct tombstone *stone);
static void send_stone(struct tombstone *stone);
static void on_sent(struct redis_op *op, enum fault fault, const redisReply *answer);
static void on_retry(struct loop_timer *timer);

/* A version that is not older is never replaced by an older one; a tombstone does not replace the
 * value of its own version. */
static const char set_if_newer[] =
	"local old = redis.call('GET', KEYS[1])\n"
	"if old and #old > 20 then\n"
	"  local have = string.sub(old, 1, 20)\n"
	"  if have > ARGV[1] or (have == ARGV[1] and ARGV[2] == 't') then return 0 end\n"
	"end\n"
	"redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2] .. ARGV[3], 'PX', ARGV[4])\n"
	"return 1\n";

enum fault entry_send(struct redis *r, struct str key, int64_t version, char kind, struct str value,
	int64_t ttl_ms, redis_done_fn *done, void *arg, struct redis_op **op)
{
	char version_text[ENTRY_VERSION_LEN + 1], ttl_text[ENTRY_VERSION_LEN + 1];

	CHECK(version >= 0 && ttl_ms > 0);
	snprintf(version_text, sizeof version_text, "%020lld", (long long)version);
	snprintf(ttl_text, sizeof ttl_text, "%lld", (long long)ttl_ms);
	const struct str words[] = {STR("EVAL"), str_from(set_if_newer), STR("1"), key,
		str_from(version_text), str_of(&kind, 1), value, str_from(ttl_text)};
	return redis_send(r, words, sizeof words / sizeof *words, done, arg, op);
}

uint64_t key_hash(struct str key)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < key.len; i++)
		hash = (hash ^ (unsigned char)key.at[i]) * UINT64_C(0x100000001b3);
	return hash;
}

void tombstones_init(struct tombstones *t, struct redis *redis, const char *name)
{
	*t = (struct tombstones){.redis = redis, .loop = loop_here(), .retry.fire = on_retry};
	for (size_t i = 0; i < TOMBSTONE_BUCKETS; i++)
		list_init(&t->buckets[i]);
	t->metric = gauge_get("bodega_cache_tombstones",
		"Invalidations that Redis has not taken yet", LABELS({"cache", str_from(name)}));
}

void tombstones_end(struct tombstones *t)
{
	struct list *first;

	loop_timer_clear(t->loop, &t->retry);
	for (size_t i = 0; i < TOMBSTONE_BUCKETS; i++)
		while ((first = list_take(&t->buckets[i])) != NULL)
			drop(CONTAINER_OF(first, struct tombstone, link));
}

void tombstone_put(struct tombstones *t, struct str key, int64_t version)
{
	struct tombstone *stone = find(t, key);

	if (stone == NULL)
		stone = add(t, key);
	if (stone == NULL) {
		t->blind_until_us = loop_now_us(t->loop) + TOMBSTONE_US;
		return;
	}
	stone->since_us = loop_now_us(t->loop);
	if (version > stone->version)
		stone->version = version;
	if (stone->op != NULL)
		stone->again = true;
	else
		send_stone(stone);
}

int64_t tombstone_version(const struct tombstones *t, struct str key)
{
	const struct tombstone *stone = t->count > 0 ? find(t, key) : NULL;

	if (stone != NULL)
		return stone->version;
	return loop_now_us(t->loop) < t->blind_until_us ? 0 : -1;
}

static struct tombstone *find(const struct tombstones *t, struct str key)
{
	const struct list *bucket = &t->buckets[key_hash(key) % TOMBSTONE_BUCKETS];

	for (struct list *l = bucket->next; l != bucket; l = l->next) {
		struct tombstone *stone = CONTAINER_OF(l, struct tombstone, link);

		if (str_eq(str_of(stone->key, stone->key_len), key))
			return stone;
	}
	return NULL;
}

static struct tombstone *add(struct tombstones *t, struct str key)
{
	if (t->count >= TOMBSTONES_MAX)
		return NULL;
	struct tombstone *stone = calloc(1, sizeof *stone + key.len);

	CHECK(stone != NULL);
	stone->owner = t;
	stone->key_len = key.len;
	memcpy(stone->key, key.at, key.len);
	list_append(&t->buckets[key_hash(key) % TOMBSTONE_BUCKETS], &stone->link);
	t->count++;
	gauge_add(t->metric, 1);
	return stone;
}

static void drop(struct tombstone *stone)
{
	if (stone->op != NULL)
		stone->op->done = NULL;
	list_remove(&stone->link);
	stone->owner->count--;
	gauge_add(stone->owner->metric, -1);
	free(stone);
}

static void send_stone(struct tombstone *stone)
{
	struct tombstones *t = stone->owner;

	stone->again = false;
	if (entry_send(t->redis, str_of(stone->key, stone->key_len), stone->version,
		    ENTRY_TOMBSTONE, STR(""), TOMBSTONE_MS, on_sent, stone, &stone->op) == OK)
		return;
	stone->op = NULL;
	if (t->retry.slot == 0)
		loop_timer_set(t->loop, &t->retry, loop_now_us(t->loop) + TOMBSTONE_RETRY_US);
}

static void on_sent(struct redis_op *op, enum fault fault, const redisReply *answer)
{
	struct tombstone *stone = op->arg;
	const bool taken = fault == OK && answer->type == REDIS_REPLY_INTEGER;

	stone->op = NULL;
	if (taken && !stone->again)
		drop(stone);
	else if (taken)
		send_stone(stone);
	else if (stone->owner->retry.slot == 0)
		loop_timer_set(stone->owner->loop, &stone->owner->retry,
			loop_now_us(stone->owner->loop) + TOMBSTONE_RETRY_US);
}

/* All that are not on their way are sent again; what has lost its meaning is dropped. */
static void on_retry(struct loop_timer *timer)
{
	struct tombstones *t = CONTAINER_OF(timer, struct tombstones, retry);
	const int64_t meaningless_us = loop_now_us(t->loop) - TOMBSTONE_US;

	for (size_t i = 0; i < TOMBSTONE_BUCKETS; i++) {
		for (struct list *l = t->buckets[i].next, *next; l != &t->buckets[i]; l = next) {
			struct tombstone *stone = CONTAINER_OF(l, struct tombstone, link);

			next = l->next;
			if (stone->op != NULL)
				continue;
			if (stone->since_us < meaningless_us)
				drop(stone);
			else
				send_stone(stone);
		}
	}
}
