/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* Migrations of one database: files NNNNN_name.sql of one folder in goose's format, and goose's own
 * table goose_db_version. Everything here blocks. */

struct migration {
	int64_t version;
	struct str name; /* "00001_users.sql" */
	bool is_applied;
	struct str applied_at; /* RFC 3339, of the database's clock; STR_NONE when it is not */
};

struct migrations {
	struct migration *at; /* by version */
	size_t count;
	int64_t newest; /* the highest applied version, which may have no file here; 0: none */
};

enum { MIGRATE_LOCK_WAIT_S = 600, MIGRATE_TABLE_LOCK_WAIT_S = 10 };

/* A connection to the database beside the files of its folder. */
struct migrate;

struct migrate_config {
	struct str url; /* libpq URL or DSN of PostgreSQL itself: advisory locks do not survive a
	                   pooler */
	struct str folder;
	int64_t wait_us; /* for a database that is away */
	void (*report)(void *arg, const char *sentence); /* of progress */
	void *arg;
};

/* Connects; the connection ends with s. FAULT_INVALID: the folder or a file's name;
 * FAULT_BAD_REQUEST: the URL is none; FAULT_UNAVAILABLE: the database is away. */
enum fault migrate_open(
	struct scope *s, const struct migrate_config *config, struct migrate **m) MUST_CHECK;

/* What is applied and what is not. Changes nothing. */
enum fault migrate_status(struct migrate *m, struct migrations *migrations) MUST_CHECK;

/* Applies what is missing up to the version `to`, each in a transaction with its row (but those
 * that say NO TRANSACTION), under an advisory lock that is polled for MIGRATE_LOCK_WAIT_S. A
 * migration that cannot have a table within MIGRATE_TABLE_LOCK_WAIT_S fails. FAULT_CONFLICT: one
 * that is older than the newest is missing, or another program is still at it; FAULT_INVALID: a
 * file or the SQL is wrong. */
enum fault migrate_up(struct migrate *m, int64_t to) MUST_CHECK;

/* Undoes what is newer than the version `to`, the newest first. */
enum fault migrate_down(struct migrate *m, int64_t to) MUST_CHECK;

/* The version below the newest applied one: what `down` by one step goes to. */
int64_t migrations_previous(const struct migrations *migrations);

/* Makes the folder's next file from a template; *path lives in s. FAULT_INVALID: the name is not of
 * lower-case letters, digits and '_'. */
enum fault migrate_new(
	struct scope *s, struct str folder, struct str name, struct str *path) MUST_CHECK;
