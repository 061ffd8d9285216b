/* SPDX-License-Identifier: Apache-2.0
 * Registration, login and what keeps people logged in. A session is a family of refresh tokens,
 * each good once; of a token only its SHA-256 is kept. No password is hashed while a transaction is
 * open, and what can fail comes before what is written: but for a refresh, which may be repeated,
 * nothing waits between the write and the answer. */
#include "auth/base64.h"
#include "auth/crypto.h"
#include "auth/token.h"
#include "base/buf.h"
#include "base/random.h"
#include "handlers.h"
#include "keys.h"
#include "log/log.h"
#include "service/keyed.h"
#include "json/write.h"

enum { REFRESH_TOKEN_BYTES = 32 };

struct password_config passwords;

/* A refresh token on its way to the client. */
struct refresh_token {
	struct str text;
	struct token_hash hash;
};

static struct refresh_token refresh_token_new(struct scope *s);
static struct token_hash hash_of(struct str token);
static enum fault account_named(
	struct scope *s, const struct credentials *credentials, struct credentials *account);
static void rehash(
	struct task *t, const struct user *user, const struct password *old, struct str password);
static enum fault prove(struct scope *s, struct str key, const struct registration *wanted,
	struct registration_proof *proof);
static enum fault register_again(struct task *t, const struct registration *wanted,
	const struct registration_proof *proof, struct reply *reply);
static enum fault reply_registered(struct reply *reply, const struct user *user,
	const struct refresh_token *token, struct session *session);
static enum fault sign(struct task *t, const struct user *user, const struct uuid *session_id,
	struct session *session);
static enum fault reply_session(struct reply *reply, int status, const struct user *user,
	const struct refresh_token *token, struct session *session);

/* POST /auth/register: 201 with the account and a session; 409 when e-mail or username is taken. A
 * repeat with the same Idempotency-Key gets new tokens: an answer that holds some is not kept. */
enum fault session_register(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct registration wanted = {0};
	struct registration_proof proof;
	struct session session;
	struct user user;
	char hash[PASSWORD_HASH_MAX];

	const struct str key = request_header(request, STR("idempotency-key"));
	const enum fault read = request_json(s, request, &registration_table, &wanted);
	TRY(user_from_registration(s, read, &wanted, &user));
	if (key.at != NULL)
		TRY(prove(s, key, &wanted, &proof));
	TRY(password_hash(t, &passwords, wanted.password, hash));

	const struct uuid session_id = uuid_new();
	const struct refresh_token token = refresh_token_new(s);
	const struct password password = {.hash = str_from(hash), .cost = (int32_t)passwords.cost};
	TRY(sign(t, &user, &session_id, &session));
	const enum fault fault = store_register(
		t, &user, &password, &session_id, &token.hash, key.at != NULL ? &proof : NULL);
	if (fault == FAULT_EMAIL_TAKEN && key.at != NULL)
		return register_again(t, &wanted, &proof, reply);
	TRY(fault);
	return reply_registered(reply, &user, &token, &session);
}

/* What was sent but the password, which a repeat proves by its hash. */
static enum fault prove(struct scope *s, struct str key, const struct registration *wanted,
	struct registration_proof *proof)
{
	struct buf sent = buf_new(s->arena);

	TRY(keyed_check(s, key));
	json_write(&sent, &registration_table, wanted);
	crypto_hmac(passwords.pepper, key, proof->key.bytes);
	crypto_hmac(passwords.pepper, buf_str(&sent), proof->body.bytes);
	return OK;
}

/* The e-mail address is taken: by this very registration, if key, data and password are the same.
 * Then it is answered with new tokens. */
static enum fault register_again(struct task *t, const struct registration *wanted,
	const struct registration_proof *proof, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct password password;
	struct session session;
	struct user user;
	int32_t epoch;
	bool is_same, is_weak;
	enum fault fault =
		store_find_registered(t, wanted->email, proof, &user, &password, &epoch, &is_same);

	if (fault == FAULT_NOT_FOUND)
		return FAULT_EMAIL_TAKEN; /* as store_register said */
	scope_forgive(s);
	TRY(fault);
	if (is_same)
		fault = password_verify(t, &passwords, wanted->password, password.hash,
			(unsigned)password.cost, &is_weak);
	if (!is_same || fault == FAULT_BAD_CREDENTIALS) {
		scope_forgive(s);
		return fail(s, FAULT_KEY_REUSED, "the Idempotency-Key came with another body");
	}
	TRY(fault);

	const struct uuid session_id = uuid_new();
	const struct refresh_token token = refresh_token_new(s);
	TRY(sign(t, &user, &session_id, &session));
	TRY(store_open_session(t, &session_id, &user.id, epoch, &token.hash));
	return reply_registered(reply, &user, &token, &session);
}

/* POST /auth/login: 200 with a session; 401 in the same time whether or not the account exists. */
enum fault session_login(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct credentials credentials = {0}, account;
	struct session session;
	struct password password;
	struct user user;
	int32_t cost_max, epoch;
	bool is_weak = false;

	TRY(request_json(s, request, &credentials_table, &credentials));
	TRY(account_named(s, &credentials, &account));
	TRY(store_find(t, account.email, account.username, &user, &password, &cost_max, &epoch));
	TRY(password_verify(t, &passwords, credentials.password, password.hash,
		(unsigned)cost_max > passwords.cost ? (unsigned)cost_max : passwords.cost,
		&is_weak));
	if (is_weak)
		rehash(t, &user, &password, credentials.password);

	const struct uuid session_id = uuid_new();
	const struct refresh_token token = refresh_token_new(s);
	TRY(sign(t, &user, &session_id, &session));
	TRY(store_open_session(t, &session_id, &user.id, epoch, &token.hash));
	return reply_session(reply, 200, &user, &token, &session);
}

/* POST /auth/refresh: 200 with the next pair; 401 when the token is not good any more. */
enum fault session_refresh(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct refresh_request wanted = {0};
	struct session session;
	struct uuid session_id;
	struct user user;

	TRY(request_json(s, request, &refresh_request_table, &wanted));

	const struct token_hash hash = hash_of(wanted.refresh_token);
	const struct refresh_token next = refresh_token_new(s);
	TRY(store_refresh(t, &hash, &next.hash, &session_id, &user));
	TRY(sign(t, &user, &session_id, &session));
	return reply_session(reply, 200, &user, &next, &session);
}

/* POST /auth/logout: 204. */
enum fault session_logout(struct task *t, const struct request *request, struct reply *reply)
{
	TRY(store_end_session(t, &request->caller.session_id));
	return reply_empty(reply);
}

/* POST /auth/logout-all: 204. */
enum fault session_logout_all(struct task *t, const struct request *request, struct reply *reply)
{
	TRY(store_end_sessions(t, &request->caller.user_id));
	return reply_empty(reply);
}

enum fault session_sweep(struct task *t)
{
	size_t count;

	do
		TRY(store_sweep_sessions(t, &count));
	while (count > 0);
	return OK;
}

static struct refresh_token refresh_token_new(struct scope *s)
{
	struct refresh_token token;
	char bytes[REFRESH_TOKEN_BYTES];

	random_bytes(bytes, sizeof bytes);
	token.text = base64_encode(s->arena, BASE64URL, str_of(bytes, sizeof bytes));
	token.hash = hash_of(token.text);
	return token;
}

static struct token_hash hash_of(struct str token)
{
	struct token_hash hash = {{0}};

	crypto_sha256(token, hash.bytes);
	return hash;
}

/* By e-mail address or username, one of them; older clients send either under the other's name. */
static enum fault account_named(
	struct scope *s, const struct credentials *credentials, struct credentials *account)
{
	struct str name = credentials->email;

	if ((credentials->email.at == NULL) == (credentials->username.at == NULL))
		return fail_field(s, STR("email"), "required",
			"needs `email` or `username`, one of them, beside `password`");
	if (name.at == NULL)
		name = credentials->username;
	*account = (struct credentials){0};
	if (memchr(name.at, '@', name.len) != NULL)
		account->email = name;
	else
		account->username = name;
	return OK;
}

/* The account's hash is of a lower cost than today's: makes it anew while the password is at hand.
 * The login goes on without, should it fail. */
static void rehash(
	struct task *t, const struct user *user, const struct password *old, struct str password)
{
	char hash[PASSWORD_HASH_MAX];
	struct password stronger = {.cost = (int32_t)passwords.cost};
	enum fault fault = password_hash(t, &passwords, password, hash);

	stronger.hash = str_from(hash);
	if (fault == OK)
		fault = store_rehash(t, &user->id, old, &stronger);
	if (fault != OK) {
		log_line(LEVEL_WARN, "a password hash stays as weak as it is",
			LOG_FAULT("fault", fault));
		scope_forgive(&t->scope);
	}
}

/* Begins the answer with an access token. */
static enum fault sign(struct task *t, const struct user *user, const struct uuid *session_id,
	struct session *session)
{
	const struct caller caller = {
		.user_id = user->id,
		.session_id = *session_id,
		.role = (enum role)(user->role + 1),
	};

	*session = (struct session){.token_type = STR("Bearer"), .expires_in = TOKEN_TTL_S};
	return keys_sign(t, &caller, &session->access_token);
}

static enum fault reply_registered(struct reply *reply, const struct user *user,
	const struct refresh_token *token, struct session *session)
{
	char id[UUID_TEXT_LEN + 1];

	reply_location(reply, "/api/v1/users/%s", uuid_format(&user->id, id).at);
	return reply_session(reply, 201, user, token, session);
}

static enum fault reply_session(struct reply *reply, int status, const struct user *user,
	const struct refresh_token *token, struct session *session)
{
	session->refresh_token = token->text;
	session->user = *user;
	return reply_object(reply, status, &session_table, session);
}
