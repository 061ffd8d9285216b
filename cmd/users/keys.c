/* SPDX-License-Identifier: Apache-2.0
 * Signing keys. The first replica to start makes the first key; whoever loses that race loads the
 * winner's. Keys that were loaded stay in memory until the process ends: they are few, and another
 * thread may be signing with one. A signature takes about a millisecond, so threads of their own
 * make it: behind the hashes of a login storm a refresh would wait for seconds. */
#include "keys.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "handlers.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { KEY_BYTES = 32 }; /* of AES-256 */

struct loaded_key {
	struct loaded_key *next;
	struct signing_key *key;
};

/* One use of a signing thread. */
struct signing {
	struct arena *arena; /* of the token, while no task's scope may be touched */
	const struct signing_key *key;
	struct caller caller;
	struct str token;
};

static struct {
	_Atomic(const struct secret *) secret;
	struct blocking_pool *signers;
	const struct token_rules *rules;
	struct loaded_key *loaded; /* by the thread that runs jobs only */
	_Atomic(struct signing_key *) current;
	atomic_bool is_sealed; /* the one that should sign cannot be opened */
} keys;

static enum fault make_first(struct task *t);
static enum fault adopt(struct task *t, const struct stored_key *stored);
static enum fault seal_anew(struct task *t, const struct stored_key *stored);
static struct signing_key *open_key(const struct stored_key *stored);
static struct signing_key *find(struct str kid);
static void sign(void *arg);
static void drop(void *arg);
static void make(void *arg);
static void drop_made(void *arg);

enum fault keys_take_secret(struct scope *s, struct str text)
{
	struct secret *const next = scope_alloc(s, sizeof *next);

	TRY(secret_read(s, "KEYS_SECRET", text, next));
	if (next->current.len != KEY_BYTES ||
		(next->previous.at != NULL && next->previous.len != KEY_BYTES))
		return fail_field(
			s, STR("KEYS_SECRET"), "length", "must be base64 of %d bytes", KEY_BYTES);
	keys_set_secret(next);
	return OK;
}

void keys_set_secret(const struct secret *secret)
{
	atomic_store(&keys.secret, secret);
}

void keys_use(struct blocking_pool *signers, const struct token_rules *rules)
{
	keys.signers = signers;
	keys.rules = rules;
}

void keys_free(void)
{
	blocking_pool_free(keys.signers);
	while (keys.loaded != NULL) {
		struct loaded_key *gone = keys.loaded;

		keys.loaded = gone->next;
		signing_key_free(gone->key);
		free(gone);
	}
	atomic_store(&keys.current, NULL);
	atomic_store(&keys.is_sealed, false);
}

enum fault keys_load(struct task *t)
{
	struct items stored;

	TRY(store_keys(t, &stored));
	if (stored.count == 0) {
		TRY(make_first(t));
		TRY(store_keys(t, &stored));
	}
	for (size_t i = 0; i < stored.count; i++) {
		TRY(adopt(t, (const struct stored_key *)stored.at + i));
		TRY(seal_anew(t, (const struct stored_key *)stored.at + i));
	}
	return OK;
}

bool keys_ready(struct str *why)
{
	if (atomic_load(&keys.current) != NULL)
		return true;
	*why = atomic_load(&keys.is_sealed)
	               ? STR("KEYS_SECRET is not the one that the signing key was sealed with")
	               : STR("the key that signs access tokens is not loaded yet");
	return false;
}

enum fault keys_document(struct task *t, struct str *jwks)
{
	struct buf text = buf_new(t->scope.arena);
	struct items stored;

	TRY(store_keys(t, &stored));
	if (stored.count == 0)
		return fail(&t->scope, FAULT_UNAVAILABLE, "there is no signing key yet");
	buf_add(&text, STR("{\"keys\":["));
	for (size_t i = 0; i < stored.count; i++) {
		if (i > 0)
			buf_char(&text, ',');
		buf_add(&text, ((const struct stored_key *)stored.at)[i].jwk);
	}
	buf_add(&text, STR("]}"));
	*jwks = buf_str(&text);
	return OK;
}

/* GET /.well-known/jwks.json */
enum fault keys_read(struct task *t, const struct request *request, struct reply *reply)
{
	struct str jwks;

	(void)request;
	TRY(keys_document(t, &jwks));
	return reply_json(reply, 200, jwks);
}

enum fault keys_sign(struct task *t, const struct caller *caller, struct str *token)
{
	const struct signing_key *key = atomic_load(&keys.current);
	struct signing *job;

	if (key == NULL)
		return fail(&t->scope, FAULT_UNAVAILABLE, "the signing key is not loaded yet");
	job = malloc(sizeof *job);
	CHECK(job != NULL);
	*job = (struct signing){.arena = arena_new(), .key = key, .caller = *caller};

	const enum fault fault = blocking_run(t, keys.signers, sign, drop, job);
	if (fault == OK)
		*token = scope_dup(&t->scope, job->token);
	if (fault == OK || fault == FAULT_OVERLOADED)
		drop(job);
	return fault;
}

static void sign(void *arg)
{
	struct signing *job = arg;

	job->token = token_sign(
		job->key, keys.rules, &job->caller, clock_wall_us() / 1000000, job->arena);
}

static void drop(void *arg)
{
	struct signing *job = arg;

	arena_unref(job->arena);
	free(job);
}

static enum fault make_first(struct task *t)
{
	struct signing_key **made = calloc(1, sizeof *made);

	CHECK(made != NULL);
	const enum fault fault = blocking_run(t, keys.signers, make, drop_made, made);
	if (fault != OK) {
		if (fault == FAULT_OVERLOADED)
			drop_made(made);
		return fault;
	}
	scope_defer(&t->scope, drop_made, made);
	return store_add_first_key(
		t, &(struct stored_key){
			   .kid = signing_key_id(*made),
			   .sealed = signing_key_seal(
				   *made, atomic_load(&keys.secret)->current, t->scope.arena),
			   .jwk = signing_key_jwk(*made, t->scope.arena),
		   });
}

static void make(void *arg)
{
	struct signing_key **made = arg;

	*made = signing_key_new();
}

static void drop_made(void *arg)
{
	struct signing_key **made = arg;

	if (*made != NULL)
		signing_key_free(*made);
	free(made);
}

/* Makes it the one that signs, if its time has come. */
static enum fault adopt(struct task *t, const struct stored_key *stored)
{
	struct signing_key *key = find(stored->kid);
	struct loaded_key *loaded;

	if (!stored->signs)
		return OK;
	if (key == NULL) {
		key = open_key(stored);
		atomic_store(&keys.is_sealed, key == NULL);
		if (key == NULL)
			return fail(&t->scope, FAULT_INTERNAL,
				"signing key %.*s cannot be opened: KEYS_SECRET is not the one it "
				"was sealed with",
				STR_ARG(stored->kid));
		loaded = malloc(sizeof *loaded);
		CHECK(loaded != NULL);
		*loaded = (struct loaded_key){.next = keys.loaded, .key = key};
		keys.loaded = loaded;
	}
	atomic_store(&keys.current, key);
	return OK;
}

/* While a secret is changed: with the one that is to stay. */
static enum fault seal_anew(struct task *t, const struct stored_key *stored)
{
	const struct secret *const secret = atomic_load(&keys.secret);
	struct signing_key *key;
	struct str sealed;

	if (secret->previous.at == NULL)
		return OK;
	key = signing_key_open(stored->sealed, stored->kid, secret->previous);
	if (key == NULL)
		return OK; /* it is, or it is not for us to tell */
	sealed = signing_key_seal(key, secret->current, t->scope.arena);
	signing_key_free(key);
	return store_seal_key(t, stored, sealed);
}

static struct signing_key *open_key(const struct stored_key *stored)
{
	const struct secret *const secret = atomic_load(&keys.secret);
	struct signing_key *const key =
		signing_key_open(stored->sealed, stored->kid, secret->current);

	if (key != NULL || secret->previous.at == NULL)
		return key;
	return signing_key_open(stored->sealed, stored->kid, secret->previous);
}

static struct signing_key *find(struct str kid)
{
	for (struct loaded_key *k = keys.loaded; k != NULL; k = k->next) {
		if (str_eq(signing_key_id(k->key), kid))
			return k->key;
	}
	return NULL;
}
