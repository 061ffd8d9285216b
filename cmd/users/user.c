/* SPDX-License-Identifier: Apache-2.0
 * Accounts: people see and change their own, admins everybody's; to everybody else an account does
 * not exist. "/users/me" is one's own under a path that needs no id. */
#include "auth/cursor.h"
#include "handlers.h"
#include "orders.h"

enum { SORT_NEWEST, SORT_FOUND };
enum { CHANGE_TRIES_MAX = 3 };

static enum fault check_repeat(
	struct task *t, struct str new_password, const struct password *password);
static enum fault user_of_path(struct task *t, const struct request *request, struct user *user);
static enum fault id_of_path(struct scope *s, const struct request *request, struct uuid *id);
static enum fault try_change(
	struct task *t, const struct request *request, bool whole, struct user *user);
static enum fault change(
	struct task *t, const struct request *request, struct reply *reply, bool whole);
static bool names_version(const struct request *request);
static enum fault reply_user(struct reply *reply, const struct user *user);

/* GET /users/me, /users/{id} */
enum fault user_read(struct task *t, const struct request *request, struct reply *reply)
{
	struct user user;

	TRY(user_of_path(t, request, &user));
	return reply_user(reply, &user);
}

/* PUT /users/me, /users/{id}: what is not given is cleared. */
enum fault user_replace(struct task *t, const struct request *request, struct reply *reply)
{
	return change(t, request, reply, true);
}

/* PATCH /users/me, /users/{id} (RFC 7396) */
enum fault user_change(struct task *t, const struct request *request, struct reply *reply)
{
	return change(t, request, reply, false);
}

/* Reads, changes and writes over the version that was read. Somebody else's change in between is
 * the client's business only if it named a version. */
static enum fault change(
	struct task *t, const struct request *request, struct reply *reply, bool whole)
{
	const bool versioned = names_version(request);
	struct user user;
	enum fault fault;

	for (int i = 1;; i++) {
		fault = try_change(t, request, whole, &user);
		if (fault != FAULT_PRECONDITION_FAILED || versioned || i == CHANGE_TRIES_MAX)
			break;
		scope_forgive(&t->scope);
	}
	TRY(fault);
	return reply_user(reply, &user);
}

static enum fault try_change(
	struct task *t, const struct request *request, bool whole, struct user *user)
{
	struct scope *s = &t->scope;
	enum fault read;

	TRY(user_of_path(t, request, user));
	if (whole) {
		*user = (struct user){.id = user->id,
			.role = user->role,
			.version = user->version,
			.created_at = user->created_at};
		read = request_json(s, request, &user_table, user);
	} else {
		read = request_merge(s, request, &user_table, user);
	}
	TRY(user_check(s, read, user));
	return store_update(t, user);
}

/* POST /auth/password, PUT /users/me/password: 204; all other sessions end. */
enum fault user_change_password(struct task *t, const struct request *request, struct reply *reply)
{
	const struct caller *caller = &request->caller;
	struct password_change wanted = {0};
	struct password old;
	char hash[PASSWORD_HASH_MAX];
	enum fault fault;
	bool is_weak;

	TRY(request_json(&t->scope, request, &password_change_table, &wanted));
	TRY(password_check(&t->scope, "new_password", wanted.new_password));
	TRY(store_get_password(t, &caller->user_id, &old));
	fault = password_verify(
		t, &passwords, wanted.old_password, old.hash, (unsigned)old.cost, &is_weak);
	if (fault == FAULT_BAD_CREDENTIALS) {
		TRY(check_repeat(t, wanted.new_password, &old));
		return reply_empty(reply);
	}
	TRY(fault);
	TRY(password_hash(t, &passwords, wanted.new_password, hash));

	const struct password password = {.hash = str_from(hash), .cost = (int32_t)passwords.cost};
	TRY(store_set_password(t, &caller->user_id, &old, &password, &caller->session_id));
	return reply_empty(reply);
}

/* The old password is wrong: OK if that is because the change has been made, and this is its
 * repeat. */
static enum fault check_repeat(
	struct task *t, struct str new_password, const struct password *password)
{
	bool is_weak;

	scope_forgive(&t->scope);
	const enum fault fault = password_verify(
		t, &passwords, new_password, password->hash, (unsigned)password->cost, &is_weak);
	if (fault != FAULT_BAD_CREDENTIALS)
		return fault;
	scope_forgive(&t->scope); /* the token is good: 401 would mean that it is not */
	return fail_field(&t->scope, STR("old_password"), "value", "is not the account's password");
}

/* DELETE /users/me, /users/{id}: 204; the person's data go, the id stays for the sake of orders.
 * 409 while something that was paid is on its way. */
enum fault user_delete(struct task *t, const struct request *request, struct reply *reply)
{
	struct user user;

	TRY(user_of_path(t, request, &user));
	TRY(orders_ask_whether_open(t, &user.id));
	TRY(store_delete(t, &user.id, names_version(request) ? user.version : 0));
	return reply_empty(reply);
}

/* GET /users: all accounts, newest first. */
enum fault user_list(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct user_query query = {.limit = PAGE_DEFAULT};
	struct user_key after = user_key_first;
	struct str next = STR_NONE;
	struct items users;

	TRY(request_query(s, request, &user_list_query_table, &query));
	if (query.cursor.at != NULL) {
		struct cursor cursor;
		TRY(cursor_read(s, query.cursor, SORT_NEWEST, 0, &cursor));
		after = (struct user_key){.created_at = cursor.number, .id = cursor.id};
		query.offset = 0; /* a next link keeps an older client's offset */
	}
	TRY(store_list(t, &after, query.offset, query.limit + 1, &users));
	if (users.count > (size_t)query.limit) {
		const struct user *last = (struct user *)users.at + query.limit - 1;
		users.count = (size_t)query.limit;
		next = cursor_write(s,
			&(struct cursor){
				.sort = SORT_NEWEST, .number = last->created_at, .id = last->id});
	}
	return reply_list(reply, request, &user_table, users.at, users.count, next);
}

/* GET /users/search: others than admins look at names only, and see no more than those. */
enum fault user_search(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	const bool is_admin = request->caller.role == ROLE_ADMIN;
	struct user_query query = {.limit = PAGE_DEFAULT};
	struct str next = STR_NONE;
	struct items users;

	TRY(request_query(s, request, &user_search_query_table, &query));
	const uint64_t filters = cursor_hash(0, query.q);
	if (query.cursor.at != NULL) {
		struct cursor cursor;
		TRY(cursor_read(s, query.cursor, SORT_FOUND, filters, &cursor));
		query.offset = cursor.number;
	}
	TRY(store_search(t, query.q, is_admin, query.offset, query.limit + 1, &users));
	if (users.count > (size_t)query.limit) {
		users.count = (size_t)query.limit;
		if (query.offset + query.limit <= OFFSET_MAX)
			next = cursor_write(s, &(struct cursor){.sort = SORT_FOUND,
						       .filters = filters,
						       .number = query.offset + query.limit});
	}
	return reply_list(reply, request, is_admin ? &user_table : &user_found_table, users.at,
		users.count, next);
}

/* PUT /users/{id}/role */
enum fault user_set_role(struct task *t, const struct request *request, struct reply *reply)
{
	struct role_change wanted = {0};
	struct uuid id;
	struct user user;

	TRY(request_uuid(&t->scope, request, 0, &id));
	TRY(request_json(&t->scope, request, &role_change_table, &wanted));
	TRY(store_set_role(t, &id, wanted.role, &user));
	return reply_user(reply, &user);
}

/* ---- helpers ---- */

/* The account of the path as it was when If-Match was sent, FAULT_NOT_FOUND also when it is
 * somebody else's. */
static enum fault user_of_path(struct task *t, const struct request *request, struct user *user)
{
	struct uuid id;

	TRY(id_of_path(&t->scope, request, &id));
	if (request->caller.role != ROLE_ADMIN && !uuid_eq(&id, &request->caller.user_id))
		return fail(&t->scope, FAULT_NOT_FOUND, "there is no such user");
	TRY(store_get(t, &id, user));
	return request_precondition(
		&t->scope, request, scope_format(&t->scope, "%lld", (long long)user->version));
}

static enum fault id_of_path(struct scope *s, const struct request *request, struct uuid *id)
{
	if (request->params[0].at != NULL)
		return request_uuid(s, request, 0, id);
	*id = request->caller.user_id;
	return OK;
}

static bool names_version(const struct request *request)
{
	return request_header(request, STR("if-match")).at != NULL;
}

static enum fault reply_user(struct reply *reply, const struct user *user)
{
	reply_version(reply, user->version);
	return reply_object(reply, 200, &user_table, user);
}
