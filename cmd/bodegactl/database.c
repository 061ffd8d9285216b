/* SPDX-License-Identifier: Apache-2.0
 * libpq's blocking calls for commands. */
#include "database.h"

#include "base/check.h"

#include <libpq-fe.h>

enum { VALUES_MAX = 16 };

struct database {
	struct scope *s;
	PGconn *conn;
};

struct rows {
	struct database *db;
	PGresult *row;
};

static void disconnect(void *arg);
static void forget_row(void *arg);
static enum fault check_result(struct database *db, const PGresult *result);

enum fault database_open(struct scope *s, struct str url, struct database **db)
{
	/* The URL stands last, so that it may say otherwise. */
	const char *const names[] = {
		"connect_timeout", "fallback_application_name", "dbname", NULL};
	const char *const values[] = {"5", "bodegactl", scope_dup(s, url).at, NULL};
	PGconn *conn = PQconnectdbParams(names, values, 1);

	CHECK(conn != NULL);
	*db = scope_alloc(s, sizeof **db);
	**db = (struct database){.s = s, .conn = conn};
	scope_defer(s, disconnect, conn);
	if (PQstatus(conn) == CONNECTION_OK)
		return OK;
	return fail(s,
		PQping(values[2]) == PQPING_NO_ATTEMPT ? FAULT_BAD_REQUEST : FAULT_UNAVAILABLE,
		"%.*s", STR_ARG(str_trim(str_from(PQerrorMessage(conn)))));
}

enum fault database_run(struct database *db, const char *sql, const struct str *values,
	size_t count, struct str *first)
{
	const char *texts[VALUES_MAX];

	CHECK(count <= VALUES_MAX);
	for (size_t i = 0; i < count; i++)
		texts[i] = values[i].at != NULL ? scope_dup(db->s, values[i]).at : NULL;

	PGresult *result = PQexecParams(db->conn, sql, (int)count, NULL, texts, NULL, NULL, 0);
	const enum fault fault = check_result(db, result);

	*first = STR_NONE;
	if (fault == OK && PQntuples(result) > 0 && !PQgetisnull(result, 0, 0))
		*first = scope_dup(db->s, str_from(PQgetvalue(result, 0, 0)));
	PQclear(result);
	return fault;
}

enum fault database_rows(struct database *db, const char *sql, struct rows **rows)
{
	if (PQsendQuery(db->conn, sql) != 1 || PQsetSingleRowMode(db->conn) != 1)
		return fail(db->s, FAULT_UNAVAILABLE, "%.*s",
			STR_ARG(str_trim(str_from(PQerrorMessage(db->conn)))));
	*rows = scope_alloc(db->s, sizeof **rows);
	**rows = (struct rows){.db = db};
	scope_defer(db->s, forget_row, *rows);
	return OK;
}

enum fault rows_next(struct rows *rows, bool *found)
{
	struct database *db = rows->db;
	enum fault fault = OK;

	PQclear(rows->row);
	rows->row = PQgetResult(db->conn);
	*found = PQresultStatus(rows->row) == PGRES_SINGLE_TUPLE;
	if (*found)
		return OK;
	while (rows->row != NULL) { /* the end, or what went wrong */
		if (fault == OK)
			fault = check_result(db, rows->row);
		PQclear(rows->row);
		rows->row = PQgetResult(db->conn);
	}
	return fault;
}

struct str rows_text(const struct rows *rows, int column)
{
	if (PQgetisnull(rows->row, 0, column))
		return STR_NONE;
	return str_of(PQgetvalue(rows->row, 0, column), (size_t)PQgetlength(rows->row, 0, column));
}

enum fault database_copy(struct database *db, const char *sql, struct str rows)
{
	PGresult *result = PQexec(db->conn, sql);
	enum fault fault = OK;

	if (PQresultStatus(result) != PGRES_COPY_IN) {
		fault = check_result(db, result);
		PQclear(result);
		return fault == OK ? fail(db->s, FAULT_INTERNAL, "%s takes no rows", sql) : fault;
	}
	PQclear(result);
	/* what goes wrong here is told by the result that follows */
	(void)PQputCopyData(db->conn, rows.at, (int)rows.len);
	(void)PQputCopyEnd(db->conn, NULL);
	while ((result = PQgetResult(db->conn)) != NULL) {
		if (fault == OK)
			fault = check_result(db, result);
		PQclear(result);
	}
	return fault;
}

static void disconnect(void *arg)
{
	PQfinish(arg);
}

static void forget_row(void *arg)
{
	struct rows *rows = arg;

	PQclear(rows->row);
}

static enum fault check_result(struct database *db, const PGresult *result)
{
	const ExecStatusType status = PQresultStatus(result);
	const char *state, *constraint;

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		return OK;
	if (PQstatus(db->conn) == CONNECTION_BAD)
		return fail(db->s, FAULT_UNAVAILABLE, "%.*s",
			STR_ARG(str_trim(str_from(PQerrorMessage(db->conn)))));
	state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	if (state != NULL && strncmp(state, "23", 2) == 0 && constraint != NULL)
		return fail(db->s, FAULT_CONFLICT, "%s", constraint);
	return fail(
		db->s, FAULT_INTERNAL, "%s", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
}
