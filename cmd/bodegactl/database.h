/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* A database as a command uses it: one connection, one statement after the other, each waited
 * for. */
struct database;

/* Connects; the connection ends with s. FAULT_BAD_REQUEST: the URL is none; FAULT_UNAVAILABLE: the
 * database is away. */
enum fault database_open(struct scope *s, struct str url, struct database **db) MUST_CHECK;

/* Runs one statement; its values are texts (STR_NONE: null) that PostgreSQL reads as the types it
 * needs. *first is the first column of the first row, STR_NONE when there is none; lives in s.
 * FAULT_CONFLICT: a constraint says no, and the detail is its name. */
enum fault database_run(struct database *db, const char *sql, const struct str *values,
	size_t count, struct str *first) MUST_CHECK;

/* The rows of a statement, one at a time, however many there are. */
struct rows;

/* Begins the statement; all its rows are to be taken before the connection's next one. */
enum fault database_rows(struct database *db, const char *sql, struct rows **rows) MUST_CHECK;

/* Goes to the next row; false in *found behind the last one. */
enum fault rows_next(struct rows *rows, bool *found) MUST_CHECK;

/* A column of the row; STR_NONE when it is null. Borrowed until the next row. */
struct str rows_text(const struct rows *rows, int column);

/* Runs a COPY … FROM STDIN with this text as its rows. */
enum fault database_copy(struct database *db, const char *sql, struct str rows) MUST_CHECK;
