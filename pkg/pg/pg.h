/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fiber/task.h"
#include "pg/value.h"

/* PostgreSQL from fibers: a thread's pools of connections on libpq's pipeline mode. Statements are
 * prepared by name on each connection; all values travel in binary. Each connection's session is
 * set up for its class (read-only, time limits), so a pooler between us and the server must keep
 * sessions apart. */

/* Which of a thread's three pools runs a statement. A write never travels on a read connection. The
 * server ends a statement after 2 s (PG_READ) or 5 s, a wait for a lock after 2 s, and a session
 * whose transaction idles for 10 s. */
enum pg_class {
	PG_READ, /* pipelined: one Sync a loop turn for all of them; must not write */
	PG_SLOW, /* searches and lists: one at a time on connections of their own; must not write */
	PG_WRITE, /* a connection to itself for the statement and its Sync */
};

struct pg_statement {
	const char
		*name; /* "products_get": of the prepared statement, in metrics and logs; unique */
	enum pg_class class;
	const char *sql;
	bool plan_each_time; /* its plan depends on its values so much that a kept one is a bad one
	                      */
};

/* What a violated constraint means; listed in store.c. */
struct pg_constraint {
	const char *name;
	enum fault fault;
	const char *field; /* NULL: the whole request */
	const char *message;
};

struct pg_schema {
	const struct pg_statement *const *statements;
	size_t statement_count;
	const struct pg_constraint *constraints;
	size_t constraint_count;
	/* Writes whose triggers write events: those find the task's traceparent in the setting
	 * bodega.traceparent. */
	const struct pg_statement *const *telling;
	size_t telling_count;
	const char *migration_newest; /* "00003": the schema this program needs at least */
};

/* Whether libpq understands the URL (which ends in NUL). For checking configuration: it says
 * nothing of whether anyone is there. */
bool pg_url_valid(struct str url);

/* Texts are borrowed for the life of the pools. */
struct pg_config {
	struct str url; /* libpq URL or DSN; host names are looked up off the loop */
	const char *url_file; /* the URL stands in this file, read anew at each connect; or NULL */
	unsigned read_connections; /* a thread; a class with none uses those of the writes */
	unsigned slow_connections;
	unsigned write_connections; /* at least 1 */
	unsigned queue_max; /* waiting for a connection, a pool; more: FAULT_OVERLOADED */
	const char *application_name;
};

struct pg;

/* Makes the calling thread's pools and begins to connect; reconnects by itself with jittered
 * back-off for ever. */
struct pg *pg_new(struct loop *l, const struct pg_config *config, const struct pg_schema *schema);

/* Closes the connections. No task may use it any more. */
void pg_free(struct pg *pg);

/* A connection of each class is up and the schema is new enough. `why` (may be NULL) gets a
 * sentence. */
bool pg_ready(const struct pg *pg, struct str *why);

/* ---- statements outside a transaction ---- */

/* Runs one statement by its class; a class of writes is durable when it returns OK. Faults: what a
 * constraint means; FAULT_UNAVAILABLE (no connection, 53300, 57P0x, 55P03, 57014);
 * FAULT_OVERLOADED (the queue is full, or half of the task's time went by in it); FAULT_DEADLINE,
 * FAULT_CANCELED; FAULT_UNKNOWN when a write was sent and its answer did not come, for whatever
 * reason; FAULT_INTERNAL for any other error, which is logged. 40001 and 40P01 are retried here, at
 * most PG_RERUNS_MAX times. `rows` may be NULL. Suspends. */
enum { PG_RERUNS_MAX = 3 };
enum fault pg_query(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct pg_rows *rows) MUST_CHECK;

/* As pg_query, for at most one row: FAULT_NOT_FOUND, without a detail, when there is none. */
enum fault pg_query_row(struct task *t, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct pg_row *row) MUST_CHECK;

/* ---- transactions ---- */

/* A transaction on a connection of its own, READ COMMITTED. Rolled back at the scope's end unless
 * committed (the driver finishes the rollback by itself). A task holds at most one. After its first
 * fault every further call, pg_commit too, does nothing but return that fault. */
struct pg_tx;

/* Waits for a connection at most half of what remains of the task's time. Suspends. */
enum fault pg_begin(struct task *t, struct pg_tx **tx) MUST_CHECK;

/* A statement of any class. Faults as pg_query's, but never FAULT_UNKNOWN. Suspends. */
enum fault pg_tx_query(struct task *t, struct pg_tx *tx, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct pg_rows *rows) MUST_CHECK;

/* OK: it is durable. FAULT_UNKNOWN: the answer did not come. Any other: it was rolled back.
 * Shielded. Clears *tx. Suspends. */
enum fault pg_commit(struct task *t, struct pg_tx **tx) MUST_CHECK;

/* Does not wait. Clears *tx; NULL is allowed. */
void pg_rollback(struct pg_tx **tx);

/* Runs work(t, tx, arg) in a transaction and commits it; the whole is run again at most
 * PG_RERUNS_MAX times after 40001 or 40P01, so `work` must do nothing outside the database.
 * Suspends. */
enum fault pg_transact(struct task *t,
	enum fault (*work)(struct task *t, struct pg_tx *tx, void *arg), void *arg) MUST_CHECK;
