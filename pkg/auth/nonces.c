/* SPDX-License-Identifier: Apache-2.0
 * A call is accepted for a minute before and after the time in it, so its nonce must be known for
 * two. Nonces lie in a set for each minute that calls may be from, three of them; a set is used
 * again when its minute can no longer come. Of a nonce 8 bytes are kept: two that agree in them by
 * chance would cost a call, once in longer than anyone will wait.
 *
 * One lock for all threads: a call may be repeated on another connection, which another thread
 * serves. */
#include "auth/nonces.h"

#include "auth/crypto.h"
#include "base/check.h"
#include "metrics/metrics.h"

#include <pthread.h>
#include <stdlib.h>

enum { MINUTES = 3, ROOM_FIRST = 256, ROOM_MAX = 1 << 19 };

struct nonce_set {
	int64_t minute;
	uint64_t *at; /* 0: the place is free */
	size_t room; /* a power of two; at most half of it is used */
	size_t count;
};

struct nonces {
	pthread_mutex_t lock;
	struct nonce_set sets[MINUTES];
	struct counter *refused;
};

static enum nonce_state set_add(struct nonce_set *set, uint64_t key);
static uint64_t *place_of(const struct nonce_set *set, uint64_t key);
static void set_grow(struct nonce_set *set);

struct nonces *nonces_new(void)
{
	struct nonces *const n = calloc(1, sizeof *n);

	CHECK(n != NULL && pthread_mutex_init(&n->lock, NULL) == 0);
	n->refused = counter_get("bodega_mac_nonces_full_total",
		"Calls between services refused because a minute had too many.", NULL);
	return n;
}

void nonces_free(struct nonces *n)
{
	for (size_t i = 0; i < MINUTES; i++)
		free(n->sets[i].at);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

enum nonce_state nonces_add(struct nonces *n, struct str nonce, int64_t time_s, int64_t now_s)
{
	const int64_t minute = time_s / 60;
	uint8_t digest[SHA256_BYTES];
	enum nonce_state state;
	struct nonce_set *set;
	uint64_t key;

	CHECK(time_s >= now_s - 60 && time_s <= now_s + 60 && time_s >= 0);
	crypto_sha256(nonce, digest);
	memcpy(&key, digest, sizeof key);
	pthread_mutex_lock(&n->lock);
	set = &n->sets[minute % MINUTES];
	/* another thread is a little ahead, and its call has taken the place of this minute */
	if (set->minute > minute && set->minute <= now_s / 60 + 2) {
		pthread_mutex_unlock(&n->lock);
		return NONCE_SEEN;
	}
	if (set->minute != minute) {
		free(set->at);
		*set = (struct nonce_set){.minute = minute};
	}
	state = set_add(set, key != 0 ? key : 1);
	pthread_mutex_unlock(&n->lock);
	if (state == NONCE_FULL)
		counter_inc(n->refused);
	return state;
}

static enum nonce_state set_add(struct nonce_set *set, uint64_t key)
{
	uint64_t *place;

	if (2 * set->count >= set->room && set->room < ROOM_MAX)
		set_grow(set);
	place = place_of(set, key);
	if (*place == key)
		return NONCE_SEEN;
	if (2 * set->count >= set->room)
		return NONCE_FULL;
	*place = key;
	set->count++;
	return NONCE_NEW;
}

/* Where the key is, or the free place where it would go. */
static uint64_t *place_of(const struct nonce_set *set, uint64_t key)
{
	size_t i = (size_t)key & (set->room - 1);

	while (set->at[i] != 0 && set->at[i] != key)
		i = (i + 1) & (set->room - 1);
	return &set->at[i];
}

static void set_grow(struct nonce_set *set)
{
	const struct nonce_set old = *set;

	set->room = old.room == 0 ? ROOM_FIRST : 2 * old.room;
	set->at = calloc(set->room, sizeof *set->at);
	CHECK(set->at != NULL);
	for (size_t i = 0; i < old.room; i++)
		if (old.at[i] != 0)
			*place_of(set, old.at[i]) = old.at[i];
	free(old.at);
}
