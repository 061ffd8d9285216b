/* SPDX-License-Identifier: Apache-2.0
 * The public keys that access tokens are verified with. One thread fetches the document for all;
 * each thread parses it for itself, so that verifying needs no lock. Old keys stay good while no
 * newer ones can be had. */
#include "service/internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "log/log.h"

enum {
	SOON_US = 10000000, /* between two fetches for the sake of unknown keys */
	SOON_AFTER_FAULT_US = 1000000,
	RETRY_MIN_US = 5000,
	RETRY_MAX_US = 1000000
};

static enum fault fetch(struct task *t);
static enum fault fetch_from_users(struct task *t, struct str *jwks);
static enum fault store(struct task *t, struct str jwks);
static bool keys_are_there(void);

void keys_init(void)
{
	CHECK(pthread_mutex_init(&process.keys.lock, NULL) == 0);
}

void keys_take(struct service_thread *t)
{
	struct key_store *const keys = &process.keys;
	const unsigned version = atomic_load(&keys->version);
	struct scope s;

	if (version == t->keys_version)
		return;
	scope_begin(&s);
	pthread_mutex_lock(&keys->lock);
	if (verifier_set_keys(t->verifier, &s, keys->jwks))
		t->keys_version = version;
	pthread_mutex_unlock(&keys->lock);
	scope_end(&s);
}

/* At the start it tries often, because users may be starting as well: the wait is a quarter of the
 * time that has passed. */
enum fault keys_refresh(struct task *t)
{
	const int64_t begun_us = loop_now_us(t->loop);

	for (;;) {
		const enum fault fault = fetch(t);
		int64_t wait_us = (loop_now_us(t->loop) - begun_us) / 4;

		if (fault == OK || keys_are_there())
			return fault;
		scope_forgive(&t->scope);
		if (wait_us < RETRY_MIN_US)
			wait_us = RETRY_MIN_US;
		TRY(task_sleep(t, wait_us < RETRY_MAX_US ? wait_us : RETRY_MAX_US));
	}
}

enum fault keys_fetch_soon(struct task *t)
{
	struct key_store *const keys = &process.keys;
	const int64_t now_us = clock_monotonic_us();
	enum fault fault;

	if (now_us < atomic_load(&keys->next_us) || atomic_exchange(&keys->fetching, true))
		return OK;
	atomic_store(&keys->next_us, now_us + SOON_US);
	fault = fetch(t);
	if (fault != OK)
		atomic_store(&keys->next_us, now_us + SOON_AFTER_FAULT_US);
	atomic_store(&keys->fetching, false);
	return fault;
}

static enum fault fetch(struct task *t)
{
	struct str jwks;

	if (process.service->fetch_keys != NULL)
		TRY(process.service->fetch_keys(t, &jwks));
	else
		TRY(fetch_from_users(t, &jwks));
	return store(t, jwks);
}

static enum fault fetch_from_users(struct task *t, struct str *jwks)
{
	struct upstream_request request = {
		.method = STR("GET"), .target = STR("/.well-known/jwks.json"), .idempotent = true};
	struct upstream_reply reply;

	TRY(upstream_call(t, service_peer("users"), &request, &reply));
	if (reply.status != 200)
		return fail(&t->scope, FAULT_UNAVAILABLE,
			"users answered %d when asked for its public keys", reply.status);
	*jwks = reply.body;
	return OK;
}

/* For all threads; at once for this one, which has tried them first. */
static enum fault store(struct task *t, struct str jwks)
{
	struct key_store *const keys = &process.keys;
	struct service_thread *const here = thread_here();

	if (!verifier_set_keys(here->verifier, &t->scope, jwks))
		return fail(&t->scope, FAULT_BAD_GATEWAY, "there is no usable key in the document");
	pthread_mutex_lock(&keys->lock);
	if (keys->arena == NULL || !str_eq(keys->jwks, jwks)) {
		arena_unref(keys->arena);
		keys->arena = arena_new();
		keys->jwks = arena_dup(keys->arena, jwks);
		atomic_fetch_add(&keys->version, 1);
	}
	here->keys_version = atomic_load(&keys->version);
	pthread_mutex_unlock(&keys->lock);
	return OK;
}

static bool keys_are_there(void)
{
	return atomic_load(&process.keys.version) > 0;
}
