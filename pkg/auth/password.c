/* SPDX-License-Identifier: Apache-2.0
 * Password hashes: "v1" followed by bcrypt of base64(HMAC-SHA-256(pepper, password)). The version
 * says which pepper and which way of preparing the password it was; the rest is crypt(3)'s own.
 *
 * The work of a check is 2^cost_max rounds whatever hash there is or is not: bcrypt at cost c
 * takes 2^c, and one run more at each of c, c + 1, … cost_max − 1 adds up to 2^cost_max exactly. */
#include "auth/password.h"

#include "auth/base64.h"
#include "auth/common_passwords.h"
#include "auth/crypto.h"
#include "base/check.h"
#include "base/random.h"

#include <crypt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	COST_MIN = 4,
	COST_MAX = 16,
	PHRASE_MAX = 45, /* 32 bytes in base64, and a NUL */
	SALT_BYTES = 16,
	SETTING_MAX = 32, /* "$2b$12$" and 22 characters of salt */
	VERSION_BYTES = 2
};

/* One use of a hash thread. */
struct hash_job {
	char phrase[PHRASE_MAX];
	char setting[PASSWORD_HASH_MAX]; /* what crypt(3) begins with: a salt, or a whole hash */
	char hash[PASSWORD_HASH_MAX]; /* comes out; empty when the setting was none */
	unsigned cost; /* of the setting */
	unsigned cost_max; /* the work is that of this cost */
};

static atomic_uint_fast64_t rounds_done;

static struct hash_job *job_new(
	const struct password_config *config, struct str password, unsigned cost_max);
static struct hash_job *job_making(const struct password_config *config, struct str password);
static void take_hash(struct hash_job *job, char hash[PASSWORD_HASH_MAX]);
static enum fault job_run(
	struct task *t, const struct password_config *config, struct hash_job **job);
static void job_do(void *arg);
static void job_drop(void *arg);
static void hash_once(
	struct crypt_data *data, const char *phrase, const char *setting, unsigned cost, char *out);
static void setting_new(unsigned cost, char setting[SETTING_MAX]);
static unsigned cost_of(struct str hash);

enum fault password_hash(struct task *t, const struct password_config *config, struct str password,
	char hash[PASSWORD_HASH_MAX])
{
	struct hash_job *job = job_making(config, password);

	TRY(job_run(t, config, &job));
	take_hash(job, hash);
	return OK;
}

void password_hash_blocking(
	const struct password_config *config, struct str password, char hash[PASSWORD_HASH_MAX])
{
	struct hash_job *const job = job_making(config, password);

	job_do(job);
	take_hash(job, hash);
}

enum fault password_verify(struct task *t, const struct password_config *config,
	struct str password, struct str hash, unsigned cost_max, bool *rehash)
{
	const bool known = hash.at != NULL;
	const unsigned cost = known ? cost_of(hash) : config->cost;
	struct hash_job *job;
	bool fits;

	*rehash = false;
	if (cost == 0 || hash.len >= PASSWORD_HASH_MAX)
		return fail(&t->scope, FAULT_INTERNAL, "a password hash in an unknown format");
	if (cost_max < cost)
		cost_max = cost;
	job = job_new(config, password, cost_max);
	job->cost = cost;
	if (known)
		memcpy(job->setting, hash.at + VERSION_BYTES, hash.len - VERSION_BYTES);
	else
		setting_new(cost, job->setting);
	TRY(job_run(t, config, &job));

	fits = known && str_eq_secret(str_from(job->hash), str_skip(hash, VERSION_BYTES));
	job_drop(job);
	if (!fits)
		return fail(&t->scope, FAULT_BAD_CREDENTIALS,
			"no account has this name and this password");
	*rehash = cost < config->cost;
	return OK;
}

uint64_t password_rounds(void)
{
	return atomic_load(&rounds_done);
}

bool password_is_common(struct str password)
{
	char folded[COMMON_PASSWORD_MAX + 1] = "";
	size_t low = 0;
	size_t high = common_password_count;

	if (password.len == 0 || password.len > COMMON_PASSWORD_MAX ||
		memchr(password.at, '\0', password.len) != NULL)
		return false;
	for (size_t i = 0; i < password.len; i++) {
		const char c = password.at[i];

		folded[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	while (low < high) {
		const size_t middle = (low + high) / 2;
		const int order = strcmp(folded, common_passwords[middle]);

		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static struct hash_job *job_new(
	const struct password_config *config, struct str password, unsigned cost_max)
{
	struct hash_job *const job = calloc(1, sizeof *job);
	struct arena *const arena = arena_new();
	uint8_t mac[SHA256_BYTES];
	struct str phrase;

	CHECK(job != NULL && config->cost >= COST_MIN && config->cost <= COST_MAX);
	crypto_hmac(config->pepper, password, mac);
	phrase = base64_encode(arena, BASE64, str_of((const char *)mac, sizeof mac));
	CHECK(phrase.len < PHRASE_MAX);
	memcpy(job->phrase, phrase.at, phrase.len);
	job->cost_max = cost_max;
	arena_unref(arena);
	return job;
}

/* One that makes a hash with a new salt. */
static struct hash_job *job_making(const struct password_config *config, struct str password)
{
	struct hash_job *const job = job_new(config, password, config->cost);

	setting_new(config->cost, job->setting);
	job->cost = config->cost;
	return job;
}

static void take_hash(struct hash_job *job, char hash[PASSWORD_HASH_MAX])
{
	CHECK(job->hash[0] != '\0');
	snprintf(hash, PASSWORD_HASH_MAX, "v1%.*s", PASSWORD_HASH_MAX - 3, job->hash);
	job_drop(job);
}

/* Clears *job unless it is OK: then the caller drops it. */
static enum fault job_run(
	struct task *t, const struct password_config *config, struct hash_job **job)
{
	const enum fault fault = blocking_run(t, config->threads, job_do, job_drop, *job);

	if (fault == FAULT_OVERLOADED)
		job_drop(*job);
	if (fault != OK)
		*job = NULL;
	return fault;
}

/* On a hash thread. */
static void job_do(void *arg)
{
	struct hash_job *const job = arg;
	struct crypt_data *const data = calloc(1, sizeof *data); /* 32 KiB: too much for a stack */
	char ignored[PASSWORD_HASH_MAX];

	CHECK(data != NULL);
	hash_once(data, job->phrase, job->setting, job->cost, job->hash);
	for (unsigned cost = job->cost; cost < job->cost_max; cost++) {
		char setting[SETTING_MAX];

		setting_new(cost, setting);
		hash_once(data, job->phrase, setting, cost, ignored);
	}
	explicit_bzero(data, sizeof *data);
	free(data);
}

static void job_drop(void *arg)
{
	explicit_bzero(arg, sizeof(struct hash_job));
	free(arg);
}

static void hash_once(
	struct crypt_data *data, const char *phrase, const char *setting, unsigned cost, char *out)
{
	const char *const hash = crypt_r(phrase, setting, data);

	atomic_fetch_add(&rounds_done, UINT64_C(1) << cost);
	/* a failure is a text that begins with '*' and equals no hash */
	snprintf(out, PASSWORD_HASH_MAX, "%s", hash != NULL && hash[0] != '*' ? hash : "");
}

static void setting_new(unsigned cost, char setting[SETTING_MAX])
{
	char salt[SALT_BYTES];

	random_bytes(salt, sizeof salt);
	CHECK(crypt_gensalt_rn("$2b$", cost, salt, sizeof salt, setting, SETTING_MAX) != NULL);
}

/* "v1$2b$12$…" → 12; 0 when it is none of ours. */
static unsigned cost_of(struct str hash)
{
	int64_t cost;

	if (!str_starts(hash, STR("v1$2b$")) || hash.len < 10 || hash.at[8] != '$' ||
		!str_to_int64(str_of(hash.at + 6, 2), &cost) || cost < COST_MIN || cost > COST_MAX)
		return 0;
	return (unsigned)cost;
}
