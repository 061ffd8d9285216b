/* SPDX-License-Identifier: Apache-2.0 */
/* Making a connection: the name, libpq's steps, the session's settings, the schema's version, the
 * statements. Whatever goes wrong on the way, the connection is lost and tried again later. */
#include "pg/pool.h"

#include "base/check.h"
#include "base/random.h"
#include "pg/wire.h"

#include <stdio.h>

static const char *read_url(const struct pg_config *config, char url[PG_URL_MAX]);
static void start(struct pg_conn *c, const char *url);
static void prepare(struct pg_conn *c);
static bool is_fine(const struct pg_conn *c, const struct pg_op *op, char why[PG_WHY_MAX]);
static bool is_schema_new_enough(const char *needed, const PGresult *result, char why[PG_WHY_MAX]);

/* goose's own table; a migration taken back is marked or deleted there. */
static const char version_sql[] =
	"SELECT coalesce(max(version_id), 0)::bigint FROM goose_db_version WHERE is_applied";

const struct pg_statement pg_trace = {
	"pg_trace", PG_WRITE, "SELECT set_config('bodega.traceparent', $1::text, true)"};

void pg_conn_connect(struct pg_conn *c)
{
	struct pg *pg = c->pool->pg;
	char url[PG_URL_MAX];

	if (c->state != CONN_CONNECTING) {
		pg_conn_move(c, CONN_CONNECTING);
		c->connect_by_us = loop_now_us(pg->loop) + PG_CONNECT_US;
		c->tries++;
	}
	if (read_url(&pg->config, url) == NULL) {
		pg_conn_lose(c, "the file with the database's URL cannot be read");
		return;
	}
	loop_timer_set(pg->loop, &c->timer, c->connect_by_us);
	switch (pg_names_look(&pg->names, url)) {
	case NAMES_READY:
		start(c, url);
		break;
	case NAMES_PENDING:
		break;
	case NAMES_FAILED:
		pg_conn_lose(c, pg->names.error);
		break;
	}
}

void pg_conns_go_on(struct pg_names *names)
{
	struct pg *pg = CONTAINER_OF(names, struct pg, names);

	for (size_t i = 0; i < pg->conn_count; i++) {
		struct pg_conn *c = &pg->conns[i];

		if (c->state == CONN_CONNECTING && c->pq == NULL)
			loop_timer_set(pg->loop, &c->timer, loop_now_us(pg->loop));
	}
}

/* From the file anew each time, so that a rotated password is taken up. NULL: it cannot be read. */
static const char *read_url(const struct pg_config *config, char url[PG_URL_MAX])
{
	struct str text = config->url;

	if (config->url_file != NULL) {
		FILE *file = fopen(config->url_file, "re");

		if (file == NULL)
			return NULL;
		text = str_trim(str_of(url, fread(url, 1, PG_URL_MAX, file)));
		fclose(file);
	}
	if (text.len >= PG_URL_MAX)
		return NULL;
	memmove(url, text.at, text.len);
	url[text.len] = '\0';
	return url;
}

/* Later settings win over earlier ones: the URL over ours but for what was looked up. */
static void start(struct pg_conn *c, const char *url)
{
	const struct pg *pg = c->pool->pg;
	const bool looked_up = pg->names.addresses[0] != '\0';
	const char *const keywords[] = {"gssencmode", "fallback_application_name", "dbname",
		"client_encoding", looked_up ? "host" : NULL, "hostaddr", "port", NULL};
	const char *const values[] = {"disable", pg->config.application_name, url, "UTF8",
		pg->names.hosts, pg->names.addresses, pg->names.ports, NULL};

	c->pq = PQconnectStartParams(keywords, values, 1);
	CHECK(c->pq != NULL);
	if (PQstatus(c->pq) == CONNECTION_BAD)
		pg_conn_lose(c, PQerrorMessage(c->pq));
	else
		pg_conn_watch(c, false, true);
}

void pg_conn_connect_step(struct pg_conn *c)
{
	switch (PQconnectPoll(c->pq)) {
	case PGRES_POLLING_READING:
		pg_conn_watch(c, true, false);
		break;
	case PGRES_POLLING_OK:
		prepare(c);
		break;
	case PGRES_POLLING_FAILED:
		pg_conn_lose(c, PQerrorMessage(c->pq));
		break;
	default:
		pg_conn_watch(c, false, true);
	}
}

/* ---- preparing ---- */

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

/* Settings, version and statements travel at once under one Sync; the first that fails says why
 * this connection is of no use. A connection for writes knows all statements, because a
 * transaction may read as well. */
static void prepare(struct pg_conn *c)
{
	const struct pg_schema *schema = c->pool->pg->schema;

	pg_conn_move(c, CONN_PREPARING);
	PQsetNoticeReceiver(c->pq, ignore_notice, NULL);
	if (PQsetnonblocking(c->pq, 1) != 0 || PQenterPipelineMode(c->pq) != 1) {
		pg_conn_lose(c, PQerrorMessage(c->pq));
		return;
	}
	if (!pg_conn_watch(c, true, false))
		return;
	pg_conn_send_own(c, pg_op_plain(c->pool->info->settings));
	if (schema->migration_newest != NULL)
		pg_conn_send_own(c, pg_op_plain(version_sql));
	if (c->pool->class == PG_WRITE)
		pg_conn_send_own(c, pg_op_new(OP_PREPARE, &pg_trace));
	for (size_t i = 0; i < schema->statement_count; i++)
		if (pg_pool_of(c->pool->pg, schema->statements[i]->class) == c->pool ||
			c->pool->class == PG_WRITE)
			pg_conn_send_own(c, pg_op_new(OP_PREPARE, schema->statements[i]));
	if (c->pq != NULL)
		pg_conn_sync(c);
}

bool pg_conn_is_prepared(struct pg_conn *c, const struct pg_op *op)
{
	char why[PG_WHY_MAX];

	if (is_fine(c, op, why))
		return true;
	pg_conn_lose(c, why);
	return false;
}

static bool is_fine(const struct pg_conn *c, const struct pg_op *op, char why[PG_WHY_MAX])
{
	const char *text;

	if (op->kind == OP_PLAIN && op->sql == version_sql)
		return is_schema_new_enough(c->pool->pg->schema->migration_newest, op->result, why);
	if (!pg_is_error(op->result))
		return true;
	text = PQresultErrorField(op->result, PG_DIAG_MESSAGE_PRIMARY);
	snprintf(why, PG_WHY_MAX, "%s cannot be prepared: %s",
		op->kind == OP_PREPARE ? op->statement->name : "the session",
		text != NULL ? text : "the connection broke");
	return false;
}

static bool is_schema_new_enough(const char *needed, const PGresult *result, char why[PG_WHY_MAX])
{
	int64_t needed_version = 0, version;

	CHECK(str_to_int64(str_from(needed), &needed_version));
	if (pg_is_error(result)) {
		snprintf(why, PG_WHY_MAX,
			"migration %s is missing: the database has no readable goose_db_version",
			needed);
		return false;
	}
	version = (int64_t)get_64(PQgetvalue(result, 0, 0));
	snprintf(why, PG_WHY_MAX, "migration %s is missing: the database is at %05lld", needed,
		(long long)version);
	return version >= needed_version;
}

/* ---- the next try ---- */

/* Doubles from 50 ms to 2 s; half of it is jitter, so that threads and pods do not come all at
 * once. */
int64_t pg_conn_backoff_us(unsigned tries)
{
	int64_t us = PG_BACKOFF_MIN_US;

	for (unsigned i = 1; i < tries && us < PG_BACKOFF_MAX_US; i++)
		us *= 2;
	if (us > PG_BACKOFF_MAX_US)
		us = PG_BACKOFF_MAX_US;
	return us / 2 + (int64_t)random_below((uint64_t)us / 2 + 1);
}
