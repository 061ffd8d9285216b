/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "auth/role.h"
#include "model.h"
#include "pg/pg.h"

/* The service's SQL. Texts that come back live in the task's scope. Every function suspends. */

extern const struct pg_schema store_schema;

/* A refresh token as it is kept: the SHA-256 of its bytes. */
struct token_hash {
	uint8_t bytes[32];
};

/* A password as it is kept. */
struct password {
	struct str hash; /* STR_NONE: there is no such account */
	int32_t cost;
};

/* ---- accounts ---- */

/* Of a registration that may be repeated: HMACs of its Idempotency-Key and of what was sent. */
struct registration_proof {
	struct token_hash key;
	struct token_hash body;
};

/* Writes the account (version 1) and its first session at once; `proof` may be NULL.
 * FAULT_EMAIL_TAKEN, FAULT_USERNAME_TAKEN. Fills in what the database decides. */
enum fault store_register(struct task *t, struct user *user, const struct password *password,
	const struct uuid *session_id, const struct token_hash *token,
	const struct registration_proof *proof) MUST_CHECK;

/* The account that a registration with this key made in the last 24 hours, or FAULT_NOT_FOUND.
 * *is_same: what was sent was the same, too. */
enum fault store_find_registered(struct task *t, struct str email,
	const struct registration_proof *proof, struct user *user, struct password *password,
	int32_t *epoch, bool *is_same) MUST_CHECK;

/* The account of an e-mail address or username in any case. OK too when there is none, with
 * password->hash STR_NONE. *cost_max is the highest cost that any account has, *epoch that of the
 * account's sessions. */
enum fault store_find(struct task *t, struct str email, struct str username, struct user *user,
	struct password *password, int32_t *cost_max, int32_t *epoch) MUST_CHECK;

/* FAULT_NOT_FOUND for deleted accounts too. */
enum fault store_get(struct task *t, const struct uuid *id, struct user *user) MUST_CHECK;
enum fault store_get_password(
	struct task *t, const struct uuid *id, struct password *password) MUST_CHECK;

/* Writes the data that people may change over the version that was read; FAULT_PRECONDITION_FAILED
 * when it has moved since. Fills in the new version and time. */
enum fault store_update(struct task *t, struct user *user) MUST_CHECK;

/* Removes everything of the person and ends all sessions. FAULT_PRECONDITION_FAILED when the
 * account is not at this version any more (0: whatever it is). */
enum fault store_delete(struct task *t, const struct uuid *id, int64_t version) MUST_CHECK;

/* Ends the account's sessions too: their tokens carry the old role. */
enum fault store_set_role(
	struct task *t, const struct uuid *id, int role, struct user *user) MUST_CHECK;

/* Replaces the hash if it is still `old` and ends all sessions but one (nil: all). FAULT_CONFLICT:
 * the password was changed in the meantime. */
enum fault store_set_password(struct task *t, const struct uuid *id, const struct password *old,
	const struct password *password, const struct uuid *session_kept) MUST_CHECK;

/* The same password under another cost: no session ends, and it does not matter when another login
 * was first. */
enum fault store_rehash(struct task *t, const struct uuid *id, const struct password *old,
	const struct password *password) MUST_CHECK;

/* Where a page ends: the last account's time and id. */
struct user_key {
	int64_t created_at;
	struct uuid id;
};
extern const struct user_key user_key_first;

enum fault store_list(struct task *t, const struct user_key *after, int64_t offset, int64_t limit,
	struct items *users) MUST_CHECK;

/* By part of username or name, with by_email of the e-mail address too; the account of exactly that
 * username first, then the newest. */
enum fault store_search(struct task *t, struct str q, bool by_email, int64_t offset, int64_t limit,
	struct items *users) MUST_CHECK;

/* ---- sessions ---- */

/* FAULT_CONFLICT when all of the account's sessions have ended since `epoch` was read: its password
 * or role is another one by now, or it is gone. */
enum fault store_open_session(struct task *t, const struct uuid *session_id,
	const struct uuid *user_id, int32_t epoch, const struct token_hash *token) MUST_CHECK;

/* Exchanges a refresh token for the next one of its session: once, or again within 10 s as long as
 * its successor was not used, which is revoked then. Anything else ends the session and is
 * FAULT_BAD_REFRESH_TOKEN. */
enum fault store_refresh(struct task *t, const struct token_hash *token,
	const struct token_hash *next, struct uuid *session_id, struct user *user) MUST_CHECK;

enum fault store_end_session(struct task *t, const struct uuid *session_id) MUST_CHECK;
enum fault store_end_sessions(struct task *t, const struct uuid *user_id) MUST_CHECK;

/* Sessions that ended in the last so many seconds, by their events, at most `limit`; `before` is of
 * the page before, or INT64_MAX. */
enum fault store_ended_sessions(struct task *t, int64_t seconds, int64_t before, int64_t limit,
	struct ended_page *page) MUST_CHECK;

/* Removes sessions whose time was over a day ago or longer, a bounded number at a time; *count says
 * how many. */
enum fault store_sweep_sessions(struct task *t, size_t *count) MUST_CHECK;

/* ---- signing keys ---- */

struct stored_key {
	struct str kid;
	struct str sealed;
	struct str jwk;
	bool signs; /* the newest whose time has come */
};

enum fault store_keys(struct task *t, struct items *keys) MUST_CHECK;

/* The same key, sealed with another secret; nothing when that has been done meanwhile. */
enum fault store_seal_key(
	struct task *t, const struct stored_key *key, struct str sealed) MUST_CHECK;

/* Adds the first key unless another replica was faster. */
enum fault store_add_first_key(struct task *t, const struct stored_key *key) MUST_CHECK;
