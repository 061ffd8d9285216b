/* SPDX-License-Identifier: Apache-2.0
 * Databases, Redis, RabbitMQ and other programs, each asked the least that proves it works. */
#include "reach.h"

#include "database.h"
#include "fetch.h"
#include "migrate/migrate.h"
#include "rabbit.h"
#include "redis/link.h"
#include "json/field.h"

#include <hiredis/hiredis.h>

enum { WAIT_MS = 3000, SHOWN_BYTES_MAX = 200 };

/* ---- databases ---- */

/* What may be opened: the server keeps some for its owner, people and back-ups. */
static const char server_sql[] =
	"SELECT current_database(), current_setting('server_version'), pg_is_in_recovery(),\n"
	"	least(current_setting('max_connections')::bigint - 10,\n"
	"		nullif(d.datconnlimit, -1), nullif(r.rolconnlimit, -1))\n"
	"FROM pg_database d, pg_roles r\n"
	"WHERE d.datname = current_database() AND r.rolname = current_user";

struct server {
	struct str database, version;
	bool is_standby;
	int64_t connections;
};

static enum fault read_server(struct scope *s, struct str url, struct server *server);
static enum fault check_schema(
	struct scope *s, const struct reach_database *database, struct str *told);
static void say_nothing(void *arg, const char *sentence);

void reach_database(struct checklist *list, const struct reach_database *database)
{
	const struct str subject =
		str_from(database->service != NULL ? database->service : "DATABASE_URL");
	struct server server = {0};
	struct str told = STR_NONE;
	enum fault fault = read_server(list->s, database->url, &server);

	if (fault == OK && server.is_standby)
		fault = fail(list->s, FAULT_CONFLICT, "%.*s is a standby: nothing can be written",
			STR_ARG(server.database));
	if (!checklist_fault(list, "database", subject, fault,
		    scope_format(list->s, "%.*s, PostgreSQL %.*s", STR_ARG(server.database),
			    STR_ARG(server.version))))
		return;
	if (database->service != NULL) {
		fault = check_schema(list->s, database, &told);
		(void)checklist_fault(list, "schema", subject, fault, told);
	}
	checklist_add(list, "limit", subject, database->connections <= server.connections,
		scope_format(list->s, "%lld connections may be opened, %lld are there for it",
			(long long)database->connections, (long long)server.connections));
}

static enum fault read_server(struct scope *s, struct str url, struct server *server)
{
	struct database *db;
	struct rows *rows;
	bool found;

	TRY(database_open(s, url, &db));
	TRY(database_rows(db, server_sql, &rows));
	TRY(rows_next(rows, &found));
	if (!found || !str_to_int64(rows_text(rows, 3), &server->connections))
		return fail(s, FAULT_INTERNAL, "the server does not say what it is");
	server->database = scope_dup(s, rows_text(rows, 0));
	server->version = scope_dup(s, rows_text(rows, 1));
	server->is_standby = str_eq(rows_text(rows, 2), STR("t"));
	return rows_next(rows, &found);
}

static enum fault check_schema(
	struct scope *s, const struct reach_database *database, struct str *told)
{
	const struct migrate_config config = {
		.url = database->url,
		.folder = database->folder,
		.report = say_nothing,
	};
	struct migrations migrations;
	struct migrate *m;

	TRY(migrate_open(s, &config, &m));
	TRY(migrate_status(m, &migrations));
	for (size_t i = 0; i < migrations.count; i++)
		if (!migrations.at[i].is_applied)
			return fail(s, FAULT_CONFLICT,
				"%.*s is not applied: `bodegactl migrate up %s`",
				STR_ARG(migrations.at[i].name), database->service);
	*told = scope_format(s, "version %lld", (long long)migrations.newest);
	return OK;
}

static void say_nothing(void *arg, const char *sentence)
{
	(void)arg;
	(void)sentence;
}

/* ---- Redis ---- */

static enum fault ask_redis(struct scope *s, const struct redis_address *address);
static void disconnect(void *arg);
static enum fault command(struct scope *s, redisContext *redis, const struct str *words, size_t n);

void reach_redis(struct checklist *list, struct str url)
{
	struct redis_address address;
	enum fault fault;

	if (redis_address_parse(list->s, url, &address))
		fault = ask_redis(list->s, &address);
	else
		fault = fail(list->s, FAULT_BAD_REQUEST,
			"REDIS_URL must be redis://host:port or unix:///path");
	(void)checklist_fault(list, "redis", STR("REDIS_URL"), fault, STR("answers"));
}

static enum fault ask_redis(struct scope *s, const struct redis_address *address)
{
	const struct timeval time = {.tv_sec = WAIT_MS / 1000};
	const struct str auth[] = {STR("AUTH"), address->user, address->password};
	const struct str bare_auth[] = {STR("AUTH"), address->password};
	const struct str select[] = {
		STR("SELECT"), scope_format(s, "%lld", (long long)address->database)};
	redisContext *const redis =
		address->path.at != NULL
			? redisConnectUnixWithTimeout(scope_dup(s, address->path).at, time)
			: redisConnectWithTimeout(
				  scope_dup(s, address->host).at, address->port, time);

	if (redis == NULL)
		return fail(s, FAULT_UNAVAILABLE, "no memory");
	scope_defer(s, disconnect, redis);
	if (redis->err != 0)
		return fail(s, FAULT_UNAVAILABLE, "%s", redis->errstr);
	(void)redisSetTimeout(redis, time);
	if (address->user.len > 0)
		TRY(command(s, redis, auth, 3));
	else if (address->password.len > 0)
		TRY(command(s, redis, bare_auth, 2));
	TRY(command(s, redis, select, 2));
	return command(s, redis, &STR("PING"), 1);
}

static void disconnect(void *arg)
{
	redisFree(arg);
}

static enum fault command(struct scope *s, redisContext *redis, const struct str *words, size_t n)
{
	const char *texts[3];
	size_t lengths[3];
	enum fault fault = OK;

	for (size_t i = 0; i < n; i++) {
		texts[i] = words[i].at;
		lengths[i] = words[i].len;
	}
	redisReply *const answer = redisCommandArgv(redis, (int)n, texts, lengths);
	if (answer == NULL)
		return fail(s, FAULT_UNAVAILABLE, "%s", redis->errstr);
	if (answer->type == REDIS_REPLY_ERROR)
		fault = fail(s, FAULT_UNAVAILABLE, "%.*s", (int)answer->len, answer->str);
	freeReplyObject(answer);
	return fault;
}

/* ---- RabbitMQ ---- */

void reach_rabbitmq(struct checklist *list, struct str url)
{
	amqp_connection_state_t connection;

	(void)checklist_fault(list, "rabbitmq", STR("RABBITMQ_URL"),
		rabbit_open(list->s, url, &connection), STR("answers"));
}

/* ---- programs ---- */

static void ask_address(struct checklist *list, const char *name, struct str url);

void reach_peers(struct checklist *list, const char *name, struct texts urls)
{
	for (size_t i = 0; i < urls.count; i++) {
		struct texts addresses;
		const enum fault fault = fetch_addresses(list->s, urls.at[i], &addresses);
		if (fault != OK)
			(void)checklist_fault(list, name, urls.at[i], fault, STR_NONE);
		for (size_t k = 0; k < addresses.count; k++)
			ask_address(list, name, addresses.at[k]);
	}
}

static void ask_address(struct checklist *list, const char *name, struct str url)
{
	const struct str health = scope_format(list->s, "%.*s/health", STR_ARG(url));
	struct fetched answer = {0};
	enum fault fault =
		fetch(list->s, &(struct fetch){.url = health, .timeout_ms = WAIT_MS}, &answer);

	if (fault == OK && answer.status != 200)
		fault = fail(list->s, FAULT_UNAVAILABLE, "%ld %.*s", answer.status,
			(int)(answer.body.len < SHOWN_BYTES_MAX ? answer.body.len
								: SHOWN_BYTES_MAX),
			answer.body.at);
	(void)checklist_fault(list, name, url, fault, STR("ready"));
}

/* ---- keys ---- */

struct key {
	struct str kid;
};
static const struct field key_fields[] = {FIELD(struct key, kid, TEXT, REQUIRED)};
static const struct field_table key_table = FIELD_TABLE(struct key, key_fields);

struct key_set {
	struct items keys;
};
static const struct field key_set_fields[] = {
	FIELD(struct key_set, keys, ARRAY, REQUIRED, .of = &key_table)};
static const struct field_table key_set_table = FIELD_TABLE(struct key_set, key_set_fields);

static enum fault read_keys(struct scope *s, struct str url, size_t *count);

void reach_keys(struct checklist *list, struct str users_url)
{
	if (str_ends(users_url, STR("/")))
		users_url.len--;
	const struct str url =
		scope_format(list->s, "%.*s/.well-known/jwks.json", STR_ARG(users_url));
	size_t count = 0;
	const enum fault fault = read_keys(list->s, url, &count);

	(void)checklist_fault(list, "keys", users_url, fault,
		scope_format(list->s, "%zu that verify access tokens", count));
}

static enum fault read_keys(struct scope *s, struct str url, size_t *count)
{
	struct key_set set = {0};
	struct fetched answer;

	TRY(fetch(s, &(struct fetch){.url = url, .timeout_ms = WAIT_MS}, &answer));
	if (answer.status != 200)
		return fail(s, FAULT_BAD_GATEWAY, "%.*s: %ld", STR_ARG(url), answer.status);
	TRY(json_read_lenient(s, answer.body, &key_set_table, &set));
	*count = set.keys.count;
	return *count > 0 ? OK : fail(s, FAULT_NOT_FOUND, "there are no keys");
}
