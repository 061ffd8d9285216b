/* SPDX-License-Identifier: Apache-2.0
 * The service's SQL. What is one change is one statement, but for the exchange of a refresh token:
 * it locks the session's row first and looks at the tokens after that, because a statement that
 * waited for the lock would still see them as they were when it began. */
#include "store.h"

#include "base/buf.h"
#include "json/write.h"

#include <limits.h>

#define USER_COLUMNS(u)                                                                            \
	u "id, " u "email, " u "username, " u "full_name, " u "phone, " u "address, " u "role, " u \
	  "version, " u "created_at, " u "updated_at"

/* ---- accounts ---- */

static const struct pg_statement users_register = {"users_register", PG_WRITE,
	"WITH made AS (\n"
	"	INSERT INTO users (id, email, username, full_name, phone, address, role,\n"
	"		password_hash, password_cost, registration_key, registration_body)\n"
	"	VALUES ($1, $2, $3, $4, $5, $6::text::json, $7, $8, $9, $12, $13)\n"
	"	RETURNING id, session_epoch, version, created_at, updated_at),\n"
	"opened AS (\n"
	"	INSERT INTO sessions (id, user_id, epoch, expires_at)\n"
	"	SELECT $10, id, session_epoch, now() + interval '30 days' FROM made\n"
	"	RETURNING id),\n"
	"token AS (\n"
	"	INSERT INTO refresh_tokens (hash, session_id) SELECT $11, id FROM opened)\n"
	"SELECT version, created_at, updated_at FROM made"};

static const struct pg_statement users_find = {"users_find", PG_READ,
	"SELECT m.cost, u.password_hash, u.password_cost, u.session_epoch, " USER_COLUMNS(
		"u.") "\n"
		      "FROM (SELECT coalesce(max(password_cost), 0) AS cost FROM users\n"
		      "	WHERE deleted_at IS NULL) m\n"
		      "LEFT JOIN users u ON u.deleted_at IS NULL\n"
		      "	AND (u.email_folded = lower($1) OR u.username_folded = lower($2))"};

static const struct pg_statement users_registered = {"users_registered", PG_WRITE,
	"SELECT registration_body = $3, password_hash, password_cost, session_epoch, " USER_COLUMNS(
		"") "\n"
		    "FROM users\n"
		    "WHERE email_folded = lower($1) AND registration_key = $2\n"
		    "	AND created_at > now() - interval '24 hours'"};

static const struct pg_statement users_get = {"users_get", PG_READ,
	"SELECT " USER_COLUMNS("") " FROM users WHERE id = $1 AND deleted_at IS NULL"};

static const struct pg_statement users_get_password = {"users_get_password", PG_READ,
	"SELECT password_hash, password_cost FROM users WHERE id = $1 AND deleted_at IS NULL"};

static const struct pg_statement users_update = {"users_update", PG_WRITE,
	"UPDATE users\n"
	"SET email = $3, username = $4, full_name = $5, phone = $6, address = $7::text::json,\n"
	"	version = version + 1, updated_at = now()\n"
	"WHERE id = $1 AND version = $2 AND deleted_at IS NULL\n"
	"RETURNING version, updated_at"};

static const struct pg_statement users_delete = {"users_delete", PG_WRITE,
	"UPDATE users\n"
	"SET email = NULL, username = NULL, full_name = NULL, phone = NULL, address = NULL,\n"
	"	password_hash = NULL, password_cost = NULL, registration_key = NULL,\n"
	"	registration_body = NULL, version = version + 1, updated_at = now(),\n"
	"	deleted_at = now()\n"
	"WHERE id = $1 AND ($2::bigint = 0 OR version = $2) AND deleted_at IS NULL"};

static const struct pg_statement users_set_role = {"users_set_role", PG_WRITE,
	"UPDATE users\n"
	"SET role = $2, session_epoch = session_epoch + 1, version = version + 1,\n"
	"	updated_at = now()\n"
	"WHERE id = $1 AND deleted_at IS NULL\n"
	"RETURNING " USER_COLUMNS("")};

/* The session that is kept comes along, unless it was over already. */
static const struct pg_statement users_set_password = {"users_set_password", PG_WRITE,
	"WITH changed AS (\n"
	"	UPDATE users\n"
	"	SET password_hash = $3, password_cost = $4, session_epoch = session_epoch + 1,\n"
	"		version = version + 1, updated_at = now()\n"
	"	WHERE id = $1 AND password_hash = $2\n"
	"	RETURNING id, session_epoch),\n"
	"kept AS (\n"
	"	UPDATE sessions SET epoch = changed.session_epoch\n"
	"	FROM changed\n"
	"	WHERE sessions.id = $5 AND user_id = changed.id\n"
	"		AND epoch = changed.session_epoch - 1)\n"
	"SELECT id FROM changed"};

static const struct pg_statement users_rehash = {"users_rehash", PG_WRITE,
	"UPDATE users SET password_hash = $3, password_cost = $4\n"
	"WHERE id = $1 AND password_hash = $2"};

static const struct pg_statement users_list = {"users_list", PG_SLOW,
	"SELECT " USER_COLUMNS("") " FROM users\n"
				   "WHERE deleted_at IS NULL AND (created_at, id) < ($1, $2)\n"
				   "ORDER BY created_at DESC, id DESC\n"
				   "OFFSET $3 LIMIT $4"};

/* The first condition is the indexed one; LIKE's own characters in the text stand for themselves.
 */
static const struct pg_statement users_search = {"users_search", PG_SLOW,
	"SELECT " USER_COLUMNS(
		"") "\n"
		    "FROM users, (SELECT '%' || replace(replace(replace(lower($1::text), '\\', "
		    "'\\\\'),\n"
		    "	'%', '\\%'), '_', '\\_') || '%' AS text) AS pattern\n"
		    "WHERE deleted_at IS NULL\n"
		    "	AND ((coalesce(username_folded, '') || ' ' || lower(coalesce(full_name, "
		    "'')))\n"
		    "			LIKE pattern.text\n"
		    "		OR ($2::boolean AND email_folded LIKE pattern.text))\n"
		    "ORDER BY username_folded = lower($1) DESC NULLS LAST, created_at DESC, id "
		    "DESC\n"
		    "OFFSET $3 LIMIT $4",
	.plan_each_time = true};

/* ---- sessions ---- */

/* The lock keeps whoever ends all sessions waiting until this one is there to be told of, too. */
static const struct pg_statement sessions_open = {"sessions_open", PG_WRITE,
	"WITH opened AS (\n"
	"	INSERT INTO sessions (id, user_id, epoch, expires_at)\n"
	"	SELECT $1, id, session_epoch, now() + interval '30 days' FROM users\n"
	"	WHERE id = $2 AND session_epoch = $3 AND deleted_at IS NULL\n"
	"	FOR SHARE\n"
	"	RETURNING id)\n"
	"INSERT INTO refresh_tokens (hash, session_id) SELECT $4, id FROM opened"};

static const struct pg_statement sessions_lock = {"sessions_lock", PG_WRITE,
	"SELECT id FROM sessions\n"
	"WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = $1)\n"
	"FOR UPDATE"};

/* usable: may be exchanged now. A token that is too old or of an ended session is just refused; one
 * that was used when it should not have been ends the session. */
static const struct pg_statement sessions_look = {"sessions_look", PG_WRITE,
	"SELECT s.revoked_at IS NULL AND s.expires_at > now() AND s.epoch = u.session_epoch\n"
	"		AND u.deleted_at IS NULL,\n"
	"	t.revoked_at IS NULL AND (t.used_at IS NULL\n"
	"		OR (t.used_at > now() - interval '10 seconds' AND n.used_at IS NULL)),\n"
	"	" USER_COLUMNS("u.") "\n"
				     "FROM refresh_tokens t\n"
				     "JOIN sessions s ON s.id = t.session_id\n"
				     "JOIN users u ON u.id = s.user_id\n"
				     "LEFT JOIN refresh_tokens n ON n.hash = t.successor\n"
				     "WHERE t.hash = $1"};

static const struct pg_statement sessions_exchange = {"sessions_exchange", PG_WRITE,
	"WITH former AS (\n"
	"	UPDATE refresh_tokens SET revoked_at = now()\n"
	"	WHERE hash = (SELECT successor FROM refresh_tokens WHERE hash = $2)),\n"
	"used AS (\n"
	"	UPDATE refresh_tokens SET used_at = coalesce(used_at, now()), successor = $3\n"
	"	WHERE hash = $2)\n"
	"INSERT INTO refresh_tokens (hash, session_id) VALUES ($3, $1)"};

static const struct pg_statement sessions_end = {"sessions_end", PG_WRITE,
	"UPDATE sessions SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL"};

static const struct pg_statement sessions_end_all = {"sessions_end_all", PG_WRITE,
	"UPDATE users SET session_epoch = session_epoch + 1 WHERE id = $1"};

/* What was told, and cannot have been forgotten yet: an event is kept for days. */
static const struct pg_statement sessions_ended_of_late = {"sessions_ended_of_late", PG_READ,
	"SELECT id, subject, person, at FROM outbox\n"
	"WHERE type = 'bodega.session.ended' AND at > now() - $1::bigint * interval '1 second'\n"
	"	AND id < $2::bigint\n"
	"ORDER BY id DESC\n"
	"LIMIT $3::bigint"};

/* Few at a time: a session leaves up to 3,000 tokens behind, one for each quarter of an hour. */
static const struct pg_statement sessions_sweep = {"sessions_sweep", PG_WRITE,
	"DELETE FROM sessions\n"
	"WHERE id IN (\n"
	"	SELECT id FROM sessions\n"
	"	WHERE expires_at < now() - interval '1 day'\n"
	"	ORDER BY expires_at\n"
	"	LIMIT 100\n"
	"	FOR UPDATE SKIP LOCKED)"};

/* ---- signing keys ---- */

static const struct pg_statement keys_all = {"keys_all", PG_READ,
	"SELECT kid, sealed, jwk,\n"
	"	row_number() OVER (ORDER BY signs_at > now(), signs_at DESC, kid) = 1\n"
	"FROM signing_keys\n"
	"WHERE retired_at IS NULL\n"
	"ORDER BY created_at, kid"};

static const struct pg_statement keys_add_first = {"keys_add_first", PG_WRITE,
	"INSERT INTO signing_keys (kid, slot, sealed, jwk) VALUES ($1, 1, $2, $3::text::json)\n"
	"ON CONFLICT (slot) DO NOTHING"};

static const struct pg_statement keys_seal = {"keys_seal", PG_WRITE,
	"UPDATE signing_keys SET sealed = $3 WHERE kid = $1 AND sealed = $2"};

static const struct pg_statement *const statements[] = {
	&users_register,
	&users_find,
	&users_registered,
	&users_get,
	&users_get_password,
	&users_update,
	&users_delete,
	&users_set_role,
	&users_set_password,
	&users_rehash,
	&users_list,
	&users_search,
	&sessions_open,
	&sessions_lock,
	&sessions_look,
	&sessions_exchange,
	&sessions_end,
	&sessions_end_all,
	&sessions_ended_of_late,
	&sessions_sweep,
	&keys_all,
	&keys_add_first,
	&keys_seal,
};

static const struct pg_statement *const telling[] = {
	&users_delete,
	&users_set_role,
	&users_set_password,
	&sessions_end,
	&sessions_end_all,
};

static const struct pg_constraint constraints[] = {
	{"users_email_key", FAULT_EMAIL_TAKEN, "email", "is taken by another account"},
	{"users_username_key", FAULT_USERNAME_TAKEN, "username", "is taken by another account"},
};

const struct pg_schema store_schema = {
	.statements = statements,
	.statement_count = sizeof statements / sizeof statements[0],
	.telling = telling,
	.telling_count = sizeof telling / sizeof telling[0],
	.constraints = constraints,
	.constraint_count = sizeof constraints / sizeof constraints[0],
	.migration_newest = "00003",
};

const struct user_key user_key_first = {
	.created_at = INT64_C(253402300799000000), /* 9999-12-31 */
	.id = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff}},
};

static struct pg_value address_value(struct scope *s, const struct address *address);
static struct pg_value hash_value(const struct token_hash *hash);
static enum fault user_from(struct scope *s, struct pg_row *row, struct user *user);
static enum fault users_from(struct scope *s, const struct pg_rows *rows, struct items *users);
static enum fault write_one(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count);
static enum fault exchange(struct task *t, struct pg_tx *tx, void *arg);

enum fault store_register(struct task *t, struct user *user, const struct password *password,
	const struct uuid *session_id, const struct token_hash *token,
	const struct registration_proof *proof)
{
	struct pg_row row;

	TRY(pg_query_row(t, &users_register,
		PG_VALUES(pg_uuid(&user->id), pg_text(user->email), pg_text(user->username),
			pg_text(user->full_name), pg_text(user->phone),
			address_value(&t->scope, &user->address),
			pg_text(str_from(role_choices[user->role])), pg_text(password->hash),
			pg_int32(password->cost), pg_uuid(session_id), hash_value(token),
			proof != NULL ? hash_value(&proof->key) : pg_null(),
			proof != NULL ? hash_value(&proof->body) : pg_null()),
		&row));
	user->version = pg_take_int64(&row);
	user->created_at = pg_take_time(&row);
	user->updated_at = pg_take_time(&row);
	return OK;
}

enum fault store_find(struct task *t, struct str email, struct str username, struct user *user,
	struct password *password, int32_t *cost_max, int32_t *epoch)
{
	struct pg_row row;

	TRY(pg_query_row(t, &users_find, PG_VALUES(pg_text(email), pg_text(username)), &row));
	*cost_max = pg_take_int32(&row);
	password->hash = pg_take_text(&row);
	password->cost = pg_take_int32(&row);
	*epoch = pg_take_int32(&row);
	return password->hash.at != NULL ? user_from(&t->scope, &row, user) : OK;
}

enum fault store_find_registered(struct task *t, struct str email,
	const struct registration_proof *proof, struct user *user, struct password *password,
	int32_t *epoch, bool *is_same)
{
	struct pg_row row;

	TRY(pg_query_row(t, &users_registered,
		PG_VALUES(pg_text(email), hash_value(&proof->key), hash_value(&proof->body)),
		&row));
	*is_same = pg_take_bool(&row);
	password->hash = pg_take_text(&row);
	password->cost = pg_take_int32(&row);
	*epoch = pg_take_int32(&row);
	return user_from(&t->scope, &row, user);
}

enum fault store_get(struct task *t, const struct uuid *id, struct user *user)
{
	struct pg_row row;
	const enum fault fault = pg_query_row(t, &users_get, PG_VALUES(pg_uuid(id)), &row);

	if (fault == FAULT_NOT_FOUND)
		return fail(&t->scope, fault, "there is no such user");
	TRY(fault);
	return user_from(&t->scope, &row, user);
}

enum fault store_get_password(struct task *t, const struct uuid *id, struct password *password)
{
	struct pg_row row;
	const enum fault fault = pg_query_row(t, &users_get_password, PG_VALUES(pg_uuid(id)), &row);

	if (fault == FAULT_NOT_FOUND)
		return fail(&t->scope, fault, "there is no such user");
	TRY(fault);
	password->hash = pg_take_text(&row);
	password->cost = pg_take_int32(&row);
	return OK;
}

enum fault store_update(struct task *t, struct user *user)
{
	struct pg_row row;
	const enum fault fault = pg_query_row(t, &users_update,
		PG_VALUES(pg_uuid(&user->id), pg_int64(user->version), pg_text(user->email),
			pg_text(user->username), pg_text(user->full_name), pg_text(user->phone),
			address_value(&t->scope, &user->address)),
		&row);

	if (fault == FAULT_NOT_FOUND)
		return fail(&t->scope, FAULT_PRECONDITION_FAILED,
			"the account was changed at the same time");
	TRY(fault);
	user->version = pg_take_int64(&row);
	user->updated_at = pg_take_time(&row);
	return OK;
}

enum fault store_delete(struct task *t, const struct uuid *id, int64_t version)
{
	struct pg_rows rows;

	TRY(pg_query(t, &users_delete, PG_VALUES(pg_uuid(id), pg_int64(version)), &rows));
	if (rows.affected > 0)
		return OK;
	if (version == 0)
		return fail(&t->scope, FAULT_NOT_FOUND, "there is no such user");
	return fail(
		&t->scope, FAULT_PRECONDITION_FAILED, "the account was changed at the same time");
}

enum fault store_set_role(struct task *t, const struct uuid *id, int role, struct user *user)
{
	struct pg_row row;
	const enum fault fault = pg_query_row(t, &users_set_role,
		PG_VALUES(pg_uuid(id), pg_text(str_from(role_choices[role]))), &row);

	if (fault == FAULT_NOT_FOUND)
		return fail(&t->scope, fault, "there is no such user");
	TRY(fault);
	return user_from(&t->scope, &row, user);
}

enum fault store_set_password(struct task *t, const struct uuid *id, const struct password *old,
	const struct password *password, const struct uuid *session_kept)
{
	return write_one(t, &users_set_password,
		PG_VALUES(pg_uuid(id), pg_text(old->hash), pg_text(password->hash),
			pg_int32(password->cost), pg_uuid(session_kept)));
}

enum fault store_rehash(struct task *t, const struct uuid *id, const struct password *old,
	const struct password *password)
{
	return pg_query(t, &users_rehash,
		PG_VALUES(pg_uuid(id), pg_text(old->hash), pg_text(password->hash),
			pg_int32(password->cost)),
		NULL);
}

enum fault store_list(struct task *t, const struct user_key *after, int64_t offset, int64_t limit,
	struct items *users)
{
	struct pg_rows rows;

	TRY(pg_query(t, &users_list,
		PG_VALUES(pg_time(after->created_at), pg_uuid(&after->id), pg_int64(offset),
			pg_int64(limit)),
		&rows));
	return users_from(&t->scope, &rows, users);
}

enum fault store_search(struct task *t, struct str q, bool by_email, int64_t offset, int64_t limit,
	struct items *users)
{
	struct pg_rows rows;

	TRY(pg_query(t, &users_search,
		PG_VALUES(pg_text(q), pg_bool(by_email), pg_int64(offset), pg_int64(limit)),
		&rows));
	return users_from(&t->scope, &rows, users);
}

/* ---- sessions ---- */

enum fault store_open_session(struct task *t, const struct uuid *session_id,
	const struct uuid *user_id, int32_t epoch, const struct token_hash *token)
{
	return write_one(t, &sessions_open,
		PG_VALUES(
			pg_uuid(session_id), pg_uuid(user_id), pg_int32(epoch), hash_value(token)));
}

struct exchange {
	const struct token_hash *token;
	const struct token_hash *next;
	struct uuid *session_id;
	struct user *user;
	bool is_refused;
};

enum fault store_refresh(struct task *t, const struct token_hash *token,
	const struct token_hash *next, struct uuid *session_id, struct user *user)
{
	struct exchange e = {.token = token, .next = next, .session_id = session_id, .user = user};

	TRY(pg_transact(t, exchange, &e));
	if (e.is_refused)
		return fail(&t->scope, FAULT_BAD_REFRESH_TOKEN,
			"the refresh token is unknown, too old or was used before; log in again");
	return OK;
}

enum fault store_end_session(struct task *t, const struct uuid *session_id)
{
	return pg_query(t, &sessions_end, PG_VALUES(pg_uuid(session_id)), NULL);
}

enum fault store_end_sessions(struct task *t, const struct uuid *user_id)
{
	return pg_query(t, &sessions_end_all, PG_VALUES(pg_uuid(user_id)), NULL);
}

enum fault store_ended_sessions(
	struct task *t, int64_t seconds, int64_t before, int64_t limit, struct ended_page *page)
{
	struct pg_rows rows;

	TRY(pg_query(t, &sessions_ended_of_late,
		PG_VALUES(pg_int64(seconds), pg_int64(before), pg_int64(limit)), &rows));
	struct ended_session *ended = arena_alloc_array(t->scope.arena, rows.count, sizeof *ended);
	*page = (struct ended_page){.sessions = {ended, rows.count}};
	for (size_t i = 0; i < rows.count; i++, ended++) {
		struct pg_row row = pg_row(&rows, i);
		page->before = pg_take_int64(&row);
		ended->session_id = pg_take_uuid(&row);
		ended->user_id = pg_take_uuid(&row);
		ended->ended_at = pg_take_time(&row);
	}
	if (rows.count < (size_t)limit)
		page->before = 0;
	return OK;
}

enum fault store_sweep_sessions(struct task *t, size_t *count)
{
	struct pg_rows rows;

	TRY(pg_query(t, &sessions_sweep, PG_NO_VALUES, &rows));
	*count = rows.affected;
	return OK;
}

/* ---- signing keys ---- */

enum fault store_keys(struct task *t, struct items *keys)
{
	struct pg_rows rows;

	TRY(pg_query(t, &keys_all, PG_NO_VALUES, &rows));
	struct stored_key *key = arena_alloc_array(t->scope.arena, rows.count, sizeof *key);
	*keys = (struct items){.at = key, .count = rows.count};
	for (size_t i = 0; i < rows.count; i++, key++) {
		struct pg_row row = pg_row(&rows, i);
		key->kid = pg_take_text(&row);
		key->sealed = pg_take_bytes(&row);
		key->jwk = pg_take_text(&row);
		key->signs = pg_take_bool(&row);
	}
	return OK;
}

enum fault store_seal_key(struct task *t, const struct stored_key *key, struct str sealed)
{
	return pg_query(t, &keys_seal,
		PG_VALUES(pg_text(key->kid), pg_bytes(key->sealed), pg_bytes(sealed)), NULL);
}

enum fault store_add_first_key(struct task *t, const struct stored_key *key)
{
	return pg_query(t, &keys_add_first,
		PG_VALUES(pg_text(key->kid), pg_bytes(key->sealed), pg_text(key->jwk)), NULL);
}

/* ---- helpers ---- */

/* An address of which nothing was given is none. */
static struct pg_value address_value(struct scope *s, const struct address *address)
{
	struct buf text = buf_new(s->arena);

	json_write(&text, &address_table, address);
	return pg_text(str_eq(buf_str(&text), STR("{}")) ? STR_NONE : buf_str(&text));
}

static struct pg_value hash_value(const struct token_hash *hash)
{
	return pg_bytes(str_of((const char *)hash->bytes, sizeof hash->bytes));
}

static enum fault user_from(struct scope *s, struct pg_row *row, struct user *user)
{
	struct str address;

	user->id = pg_take_uuid(row);
	user->email = pg_take_text(row);
	user->username = pg_take_text(row);
	user->full_name = pg_take_text(row);
	user->phone = pg_take_text(row);
	address = pg_take_text(row);
	user->role = (int)role_parse(pg_take_text(row)) - 1;
	user->version = pg_take_int64(row);
	user->created_at = pg_take_time(row);
	user->updated_at = pg_take_time(row);
	user->address = (struct address){0};
	return address.at != NULL ? json_read_lenient(s, address, &address_table, &user->address)
	                          : OK;
}

static enum fault users_from(struct scope *s, const struct pg_rows *rows, struct items *users)
{
	struct user *user = arena_alloc_array(s->arena, rows->count, sizeof *user);

	*users = (struct items){.at = user, .count = rows->count};
	for (size_t i = 0; i < rows->count; i++) {
		struct pg_row row = pg_row(rows, i);
		TRY(user_from(s, &row, user + i));
	}
	return OK;
}

/* A guarded write that must meet its one row. */
static enum fault write_one(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count)
{
	struct pg_rows rows;

	TRY(pg_query(t, statement, values, count, &rows));
	if (rows.count + rows.affected == 0)
		return fail(&t->scope, FAULT_CONFLICT, "the account was changed at the same time");
	return OK;
}

/* A refusal is written too: the theft of a token ends its session. */
static enum fault exchange(struct task *t, struct pg_tx *tx, void *arg)
{
	struct exchange *e = arg;
	struct pg_rows rows;
	struct pg_row row;
	bool is_alive, is_usable;

	e->is_refused = true;
	TRY(pg_tx_query(t, tx, &sessions_lock, PG_VALUES(hash_value(e->token)), &rows));
	if (rows.count == 0)
		return OK;
	row = pg_row(&rows, 0);
	*e->session_id = pg_take_uuid(&row);

	TRY(pg_tx_query(t, tx, &sessions_look, PG_VALUES(hash_value(e->token)), &rows));
	row = pg_row(&rows, 0);
	is_alive = pg_take_bool(&row);
	is_usable = pg_take_bool(&row);
	if (!is_alive)
		return OK;
	if (!is_usable)
		return pg_tx_query(t, tx, &sessions_end, PG_VALUES(pg_uuid(e->session_id)), NULL);
	TRY(user_from(&t->scope, &row, e->user));

	e->is_refused = false;
	return pg_tx_query(t, tx, &sessions_exchange,
		PG_VALUES(pg_uuid(e->session_id), hash_value(e->token), hash_value(e->next)), NULL);
}
