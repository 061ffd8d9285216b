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

/* Runs a COPY … FROM STDIN with this text as its rows. */
enum fault database_copy(struct database *db, const char *sql, struct str rows) MUST_CHECK;
