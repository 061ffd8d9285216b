/* SPDX-License-Identifier: Apache-2.0
 * goose's work without goose: the same files, the same table, so that either program goes on where
 * the other stopped. Whoever changes something holds an advisory lock, taken by asking once a
 * second outside a transaction: one that waits in pg_advisory_lock keeps a snapshot open, and
 * CREATE INDEX CONCURRENTLY of the holder would wait for that snapshot for ever. */
#include "migrate/migrate.h"

#include "base/check.h"
#include "base/clock.h"
#include "migrate/files.h"
#include "migrate/script.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <time.h>

/* What goose's own locker takes: CRC-64 of "goose". */
#define LOCK_ID "5887940537704921958"

enum { POLL_MS = 1000, CONNECT_POLL_MS = 250 };

struct migrate {
	struct scope *s;
	struct migrate_config config;
	PGconn *conn;
};

static enum fault connect_waiting(struct migrate *m);
static PGconn *connect_once(const char *url);
static void disconnect(void *arg);
static void forget_result(void *arg);
static enum fault lock(struct migrate *m);
static void unlock(struct migrate *m);
static enum fault up_locked(struct migrate *m, int64_t to);
static enum fault down_locked(struct migrate *m, int64_t to);
static enum fault ensure_table(struct migrate *m);
static enum fault has_table(struct migrate *m, bool *has);
static enum fault check_order(struct migrate *m, const struct migrations *migrations);
static struct migration *find_version(const struct migrations *migrations, int64_t version);
static enum fault run_file(
	struct migrate *m, const struct migration *migration, enum direction direction);
static enum fault run_in_transaction(struct migrate *m, const struct migration *migration,
	const struct script *script, enum direction direction);
static enum fault run_statements(
	struct migrate *m, const struct migration *migration, const struct script *script);
static enum fault drop_invalid_index(struct migrate *m, struct str sql);
static enum fault record_version(
	struct migrate *m, const struct migration *migration, enum direction direction);
static enum fault query(struct migrate *m, const char *sql, const char *value, PGresult **result);
static enum fault command(struct migrate *m, const char *sql);
static enum fault check_result(struct migrate *m, const PGresult *result, const char *where);
static size_t error_line(const struct script_statement *statement, const PGresult *result);
static void say(struct migrate *m, const char *format, ...) PRINTF_LIKE(2, 3);
static void sleep_ms(int64_t ms);

enum fault migrate_open(struct scope *s, const struct migrate_config *config, struct migrate **m)
{
	struct migrations files;

	*m = scope_alloc(s, sizeof **m);
	**m = (struct migrate){.s = s, .config = *config};
	TRY(files_list(s, config->folder, &files));
	TRY(connect_waiting(*m));
	scope_defer(s, disconnect, *m);
	/* What the role was given for short requests would end a long migration. */
	return command(*m, "SET statement_timeout = 0; SET lock_timeout = 0; "
			   "SET idle_in_transaction_session_timeout = 0; "
			   "SET client_min_messages = warning");
}

enum fault migrate_status(struct migrate *m, struct migrations *migrations)
{
	PGresult *rows;
	bool has;

	TRY(files_list(m->s, m->config.folder, migrations));
	TRY(has_table(m, &has));
	if (!has)
		return OK;
	TRY(query(m,
		"SELECT version_id, is_applied,"
		" to_char(tstamp::timestamptz AT TIME ZONE 'UTC', "
		"'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
		" FROM (SELECT DISTINCT ON (version_id) version_id, is_applied, tstamp"
		" FROM goose_db_version ORDER BY version_id, id DESC) newest"
		" WHERE is_applied ORDER BY version_id",
		NULL, &rows));
	for (int i = 0; i < PQntuples(rows); i++) {
		const int64_t version = strtoll(PQgetvalue(rows, i, 0), NULL, 10);
		struct migration *migration = find_version(migrations, version);
		migrations->newest = version;
		if (migration == NULL)
			continue;
		migration->is_applied = true;
		migration->applied_at = scope_dup(m->s, str_from(PQgetvalue(rows, i, 2)));
	}
	return OK;
}

enum fault migrate_up(struct migrate *m, int64_t to)
{
	TRY(lock(m));
	const enum fault fault = up_locked(m, to);
	unlock(m);
	return fault;
}

enum fault migrate_down(struct migrate *m, int64_t to)
{
	TRY(lock(m));
	const enum fault fault = down_locked(m, to);
	unlock(m);
	return fault;
}

int64_t migrations_previous(const struct migrations *migrations)
{
	int64_t previous = 0;

	for (size_t i = 0; i < migrations->count; i++) {
		const struct migration *migration = &migrations->at[i];
		if (migration->is_applied && migration->version < migrations->newest)
			previous = migration->version;
	}
	return previous;
}

static enum fault up_locked(struct migrate *m, int64_t to)
{
	struct migrations migrations;

	TRY(ensure_table(m));
	TRY(migrate_status(m, &migrations));
	TRY(check_order(m, &migrations));
	for (size_t i = 0; i < migrations.count; i++) {
		const struct migration *migration = &migrations.at[i];
		if (!migration->is_applied && migration->version <= to)
			TRY(run_file(m, migration, DIRECTION_UP));
	}
	return OK;
}

static enum fault down_locked(struct migrate *m, int64_t to)
{
	struct migrations migrations;

	for (;;) {
		TRY(migrate_status(m, &migrations));
		if (migrations.newest <= to)
			return OK;
		const struct migration *newest = find_version(&migrations, migrations.newest);
		if (newest == NULL)
			return fail(m->s, FAULT_CONFLICT,
				"version %" PRId64 " is applied, but %.*s has no file of it",
				migrations.newest, STR_ARG(m->config.folder));
		TRY(run_file(m, newest, DIRECTION_DOWN));
	}
}

/* ---- the connection ---- */

static enum fault connect_waiting(struct migrate *m)
{
	const struct str url = scope_dup(m->s, m->config.url);
	const int64_t end_us = clock_monotonic_us() + m->config.wait_us;
	bool said = false;

	for (;;) {
		m->conn = connect_once(url.at);
		CHECK(m->conn != NULL);
		if (PQstatus(m->conn) == CONNECTION_OK)
			return OK;
		const struct str why = scope_dup(m->s, str_trim(str_from(PQerrorMessage(m->conn))));
		PQfinish(m->conn);
		if (PQping(url.at) == PQPING_NO_ATTEMPT)
			return fail(m->s, FAULT_BAD_REQUEST, "%.*s", STR_ARG(why));
		if (clock_monotonic_us() >= end_us)
			return fail(m->s, FAULT_UNAVAILABLE, "%.*s", STR_ARG(why));
		if (!said)
			say(m, "waiting for the database: %.*s", STR_ARG(why));
		said = true;
		sleep_ms(CONNECT_POLL_MS);
	}
}

/* The URL stands last, so that it may say otherwise. */
static PGconn *connect_once(const char *url)
{
	const char *const names[] = {
		"connect_timeout", "fallback_application_name", "dbname", NULL};
	const char *const values[] = {"5", "bodegactl", url, NULL};

	return PQconnectdbParams(names, values, 1);
}

static void disconnect(void *arg)
{
	struct migrate *m = arg;

	PQfinish(m->conn);
}

static void forget_result(void *arg)
{
	PQclear(arg);
}

static enum fault lock(struct migrate *m)
{
	const int64_t end_us = clock_monotonic_us() + MIGRATE_LOCK_WAIT_S * INT64_C(1000000);
	bool said = false;

	for (;;) {
		PGresult *row;
		TRY(query(m, "SELECT pg_try_advisory_lock(" LOCK_ID ")", NULL, &row));
		if (*PQgetvalue(row, 0, 0) == 't')
			return OK;
		if (clock_monotonic_us() >= end_us)
			return fail(m->s, FAULT_CONFLICT,
				"another program has been migrating this database for %d s",
				MIGRATE_LOCK_WAIT_S);
		if (!said)
			say(m, "another program is migrating this database: waiting for it");
		said = true;
		sleep_ms(POLL_MS);
	}
}

/* Should it fail, the connection is broken and the lock gone with it. */
static void unlock(struct migrate *m)
{
	PQclear(PQexec(m->conn, "SELECT pg_advisory_unlock(" LOCK_ID ")"));
}

/* ---- goose's table ---- */

static enum fault ensure_table(struct migrate *m)
{
	bool has;

	TRY(has_table(m, &has));
	if (has)
		return OK;
	return command(m, "BEGIN;"
			  "CREATE TABLE goose_db_version ("
			  " id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,"
			  " version_id bigint NOT NULL,"
			  " is_applied boolean NOT NULL,"
			  " tstamp timestamp NOT NULL DEFAULT now());"
			  "INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true);"
			  "COMMIT");
}

static enum fault has_table(struct migrate *m, bool *has)
{
	PGresult *row;

	TRY(query(m,
		"SELECT EXISTS (SELECT FROM pg_tables WHERE tablename = 'goose_db_version'"
		" AND (current_schema() IS NULL OR schemaname = current_schema()))",
		NULL, &row));
	*has = *PQgetvalue(row, 0, 0) == 't';
	return OK;
}

static enum fault record_version(
	struct migrate *m, const struct migration *migration, enum direction direction)
{
	const struct str version = scope_format(m->s, "%" PRId64, migration->version);
	PGresult *none;

	return query(m,
		direction == DIRECTION_UP
			? "INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, true)"
			: "DELETE FROM goose_db_version WHERE version_id = $1",
		version.at, &none);
}

/* goose refuses the same. */
static enum fault check_order(struct migrate *m, const struct migrations *migrations)
{
	for (size_t i = 0; i < migrations->count; i++) {
		const struct migration *migration = &migrations->at[i];
		if (!migration->is_applied && migration->version < migrations->newest)
			return fail(m->s, FAULT_CONFLICT,
				"%.*s was never applied, but version %" PRId64
				" is: give it a higher number",
				STR_ARG(migration->name), migrations->newest);
	}
	return OK;
}

static struct migration *find_version(const struct migrations *migrations, int64_t version)
{
	for (size_t i = 0; i < migrations->count; i++) {
		if (migrations->at[i].version == version)
			return &migrations->at[i];
	}
	return NULL;
}

/* ---- one file ---- */

static enum fault run_file(
	struct migrate *m, const struct migration *migration, enum direction direction)
{
	const int64_t start_us = clock_monotonic_us();
	struct script script;
	struct str text;

	TRY(files_read(m->s, m->config.folder, migration->name, &text));
	if (script_parse(m->s, text, direction, &script) != OK) {
		const struct str why = m->s->detail;
		scope_forgive(m->s);
		return fail(
			m->s, FAULT_INVALID, "%.*s, %.*s", STR_ARG(migration->name), STR_ARG(why));
	}
	if (script.transaction) {
		TRY(run_in_transaction(m, migration, &script, direction));
	} else {
		TRY(run_statements(m, migration, &script));
		TRY(record_version(m, migration, direction));
	}
	say(m, "%s %.*s in %" PRId64 " ms", direction == DIRECTION_UP ? "applied" : "undid",
		STR_ARG(migration->name), (clock_monotonic_us() - start_us) / 1000);
	return OK;
}

static enum fault run_in_transaction(struct migrate *m, const struct migration *migration,
	const struct script *script, enum direction direction)
{
	enum fault fault;

	TRY(command(m, "BEGIN"));
	fault = command(m,
		scope_format(m->s, "SET LOCAL lock_timeout = '%ds'", MIGRATE_TABLE_LOCK_WAIT_S).at);
	if (fault == OK)
		fault = run_statements(m, migration, script);
	if (fault == OK && PQtransactionStatus(m->conn) != PQTRANS_INTRANS)
		fault = fail(m->s, FAULT_INVALID,
			"%.*s ends its transaction itself: it must not, or say `-- +goose NO "
			"TRANSACTION`",
			STR_ARG(migration->name));
	if (fault == OK)
		fault = record_version(m, migration, direction);
	if (fault == OK)
		return command(m, "COMMIT");
	PQclear(PQexec(m->conn, "ROLLBACK"));
	return fault;
}

static enum fault run_statements(
	struct migrate *m, const struct migration *migration, const struct script *script)
{
	for (size_t i = 0; i < script->count; i++) {
		const struct script_statement *statement = &script->statements[i];
		if (!script->transaction)
			TRY(drop_invalid_index(m, statement->sql));
		PGresult *result = PQexec(m->conn, statement->sql.at);
		const struct str where =
			scope_format(m->s, "%.*s, line %zu: ", STR_ARG(migration->name),
				error_line(statement, result));
		const enum fault fault = check_result(m, result, where.at);
		PQclear(result);
		TRY(fault);
	}
	return OK;
}

/* A CREATE INDEX CONCURRENTLY that was cut off leaves its index behind, invalid and in the way. */
static enum fault drop_invalid_index(struct migrate *m, struct str sql)
{
	const struct str index = script_concurrent_index(sql);
	PGresult *found;

	if (index.at == NULL)
		return OK;
	TRY(query(m, "SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid",
		scope_dup(m->s, index).at, &found));
	if (PQntuples(found) == 0)
		return OK;
	say(m, "dropping the index %.*s, which an earlier try left unfinished", STR_ARG(index));
	return command(m, scope_format(m->s, "DROP INDEX CONCURRENTLY %.*s", STR_ARG(index)).at);
}

/* ---- SQL ---- */

/* With at most one parameter; the result lives in the scope. */
static enum fault query(struct migrate *m, const char *sql, const char *value, PGresult **result)
{
	*result = PQexecParams(m->conn, sql, value != NULL, NULL, &value, NULL, NULL, 0);
	if (*result != NULL)
		scope_defer(m->s, forget_result, *result);
	return check_result(m, *result, "");
}

static enum fault command(struct migrate *m, const char *sql)
{
	PGresult *result = PQexec(m->conn, sql);
	const enum fault fault = check_result(m, result, "");

	PQclear(result);
	return fault;
}

static enum fault check_result(struct migrate *m, const PGresult *result, const char *where)
{
	const ExecStatusType status = PQresultStatus(result);
	const char *state, *message, *detail;

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
		return OK;
	if (PQstatus(m->conn) == CONNECTION_BAD)
		return fail(m->s, FAULT_UNAVAILABLE, "%s%.*s", where,
			STR_ARG(str_trim(str_from(PQerrorMessage(m->conn)))));
	state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	if (message == NULL) /* libpq's own */
		message = PQresultErrorMessage(result);
	detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	return fail(m->s,
		state != NULL && strcmp(state, "55P03") == 0 ? FAULT_CONFLICT : FAULT_INVALID,
		"%s%.*s%s%s", where, STR_ARG(str_trim(str_from(message))),
		detail != NULL ? ": " : "", detail != NULL ? detail : "");
}

/* The line in the file of what the server points at; it counts characters, not bytes. */
static size_t error_line(const struct script_statement *statement, const PGresult *result)
{
	const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
	long characters = position != NULL ? strtol(position, NULL, 10) : 0;
	size_t line = statement->line;

	for (size_t i = 0; i < statement->sql.len && characters > 0; i++) {
		const char c = statement->sql.at[i];
		if (((unsigned char)c & 0xc0) != 0x80 && --characters == 0)
			break;
		line += c == '\n';
	}
	return line;
}

static void say(struct migrate *m, const char *format, ...)
{
	va_list args;

	if (m->config.report == NULL)
		return;
	va_start(args, format);
	m->config.report(m->config.arg, scope_vformat(m->s, format, args).at);
	va_end(args);
}

static void sleep_ms(int64_t ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}
