/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/uuid.h"
#include "fiber/task.h"

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
	const char *migration_newest; /* "00003": the schema this program needs at least */
};

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

/* ---- values ---- */

/* One parameter in binary; made by the functions below, text and arrays borrow their bytes until
 * the call returns. */
struct pg_value {
	const char *at; /* NULL: SQL null */
	int len;
	char small[16];
	bool is_small;
};

struct pg_value pg_null(void);
struct pg_value pg_text(
	struct str text); /* STR_NONE is null; also for jsonb by `$1::text::jsonb` */
struct pg_value pg_bytes(struct str bytes); /* bytea */
struct pg_value pg_int64(int64_t value); /* bigint */
struct pg_value pg_int32(int32_t value); /* integer */
struct pg_value pg_double(double value); /* double precision */
struct pg_value pg_bool(bool value);
struct pg_value pg_uuid(const struct uuid *id); /* nil is null */
struct pg_value pg_time(int64_t wall_us); /* timestamptz; 0 is null */
struct pg_value pg_texts(struct scope *s, const struct str *at, size_t count); /* text[] */
struct pg_value pg_uuids(struct scope *s, const struct uuid *at, size_t count); /* uuid[] */
struct pg_value pg_int64s(struct scope *s, const int64_t *at, size_t count); /* bigint[] */
struct pg_value pg_int32s(struct scope *s, const int32_t *at, size_t count); /* integer[] */

enum { PG_VALUES_MAX = 32 };

/* The parameters of a call: PG_VALUES(pg_uuid(&id), pg_int64(n)); PG_NO_VALUES for none. */
#define PG_VALUES(...)                            \
	((const struct pg_value[]){__VA_ARGS__}), \
		(sizeof((const struct pg_value[]){__VA_ARGS__}) / sizeof(struct pg_value))
#define PG_NO_VALUES NULL, 0

/* ---- rows ---- */

/* A statement's result. Lives in the task's scope. */
struct pg_rows {
	size_t count; /* of rows returned */
	size_t affected; /* by INSERT, UPDATE, DELETE */
	void *result; /* PGresult */
};

/* Reads a row's columns in the order of the SELECT; each call takes the next one and checks its
 * type (a mismatch is our bug). Null gives STR_NONE, 0, false, nil. Texts are borrowed from the
 * rows. */
struct pg_row {
	const struct pg_rows *rows;
	int row;
	int column;
};

struct pg_row pg_row(const struct pg_rows *rows, size_t index);
struct str pg_take_text(struct pg_row *row); /* text, varchar, jsonb, json, name */
struct str pg_take_bytes(struct pg_row *row);
int64_t pg_take_int64(struct pg_row *row); /* bigint, integer, smallint */
int32_t pg_take_int32(struct pg_row *row); /* integer, smallint */
double pg_take_double(struct pg_row *row); /* real, double precision */
bool pg_take_bool(struct pg_row *row);
struct uuid pg_take_uuid(struct pg_row *row);
int64_t pg_take_time(struct pg_row *row); /* microseconds since 1970 */
struct texts pg_take_texts(struct scope *s, struct pg_row *row); /* null elements: STR_NONE */
struct uuids pg_take_uuids(struct scope *s, struct pg_row *row);
bool pg_next_is_null(const struct pg_row *row);

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
