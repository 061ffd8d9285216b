/* SPDX-License-Identifier: Apache-2.0
 * What a thread knows about tokens without asking OpenSSL: those it has verified, found by the
 * SHA-256 of their text, and the sessions that have ended. A session's end forgets its tokens, so
 * only a token that is not in the cache needs a look at the ended sessions. */
#include "auth/verifier.h"

#include "base/check.h"

#include <stdlib.h>

enum { WAYS = 4, SETS = TOKEN_CACHE_MAX / WAYS };

static struct cached_token *set_of(const struct token_cache *c, const uint8_t *digest);
static struct refused_session *refused_place(
	struct token_cache *c, const struct uuid *id, int64_t until_s);

void token_cache_init(struct token_cache *c)
{
	*c = (struct token_cache){.tokens = calloc(TOKEN_CACHE_MAX, sizeof *c->tokens)};
	CHECK(c->tokens != NULL);
}

void token_cache_free(struct token_cache *c)
{
	free(c->tokens);
	free(c->refused);
	*c = (struct token_cache){0};
}

const struct cached_token *token_cache_find(
	const struct token_cache *c, const uint8_t digest[SHA256_BYTES], int64_t now_s)
{
	const struct cached_token *const set = set_of(c, digest);

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].until_s >= now_s && memcmp(set[i].digest, digest, SHA256_BYTES) == 0)
			return &set[i];
	return NULL;
}

void token_cache_put(struct token_cache *c, const struct cached_token *token)
{
	struct cached_token *const set = set_of(c, token->digest);
	struct cached_token *place = set;

	for (size_t i = 1; i < WAYS; i++)
		if (set[i].until_s < place->until_s)
			place = &set[i];
	*place = *token;
}

void token_cache_move_keys(struct token_cache *c, const int moved[VERIFY_KEYS_MAX])
{
	for (size_t i = 0; i < TOKEN_CACHE_MAX; i++) {
		struct cached_token *const token = &c->tokens[i];

		if (token->until_s == 0)
			continue;
		if (moved[token->key] < 0)
			token->until_s = 0;
		else
			token->key = (uint8_t)moved[token->key];
	}
}

void token_cache_refuse(struct token_cache *c, const struct uuid *session_id, int64_t until_s)
{
	struct refused_session *const place = refused_place(c, session_id, until_s);

	*place = (struct refused_session){.id = *session_id, .until_s = until_s};
	for (size_t i = 0; i < TOKEN_CACHE_MAX; i++)
		if (c->tokens[i].until_s != 0 && uuid_eq(&c->tokens[i].session_id, session_id))
			c->tokens[i].until_s = 0;
}

bool token_cache_refused(const struct token_cache *c, const struct uuid *session_id, int64_t now_s)
{
	for (size_t i = 0; i < c->refused_count; i++)
		if (c->refused[i].until_s >= now_s && uuid_eq(&c->refused[i].id, session_id))
			return true;
	return false;
}

/* The session's own place; else one that has ended already, by the reckoning that nothing is
 * refused for longer than a token lives; else a new one; when all are taken, the one that ends
 * first. */
static struct refused_session *refused_place(
	struct token_cache *c, const struct uuid *id, int64_t until_s)
{
	struct refused_session *first = NULL;

	for (size_t i = 0; i < c->refused_count; i++) {
		struct refused_session *const r = &c->refused[i];

		if (uuid_eq(&r->id, id))
			return r;
		if (first == NULL || r->until_s < first->until_s)
			first = r;
	}
	if (first != NULL && first->until_s < until_s - TOKEN_TTL_S - TOKEN_LEEWAY_S)
		return first;
	if (c->refused_count == REFUSED_SESSIONS_MAX)
		return first;
	if (c->refused_count == c->refused_room) {
		c->refused_room = c->refused_room == 0 ? 16 : 2 * c->refused_room;
		c->refused = realloc(c->refused, c->refused_room * sizeof *c->refused);
		CHECK(c->refused != NULL);
	}
	return &c->refused[c->refused_count++];
}

static struct cached_token *set_of(const struct token_cache *c, const uint8_t *digest)
{
	const size_t set = (size_t)(digest[0] | digest[1] << 8) % SETS;

	return &c->tokens[set * WAYS];
}
