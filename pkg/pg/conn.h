/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pg/names.h"
#include "pg/op.h"

/* One connection of a pool. Private to the package. */

/* A connection's state is the list of its pool that it is on; pg_conn_move alone moves it. */
enum pg_conn_state {
	CONN_WAITING, /* for its next try to connect */
	CONN_CONNECTING,
	CONN_PREPARING, /* settings, the schema's version, statements */
	CONN_IDLE,
	CONN_BUSY, /* with statements of any fibers */
	CONN_TAKEN, /* by one transaction */
	CONN_CLEANING, /* a transaction let go of it: answers are read, what is open rolled back */
	CONN_STATE_COUNT
};

struct pg_conn {
	unsigned magic;
	struct list link;
	enum pg_conn_state state;
	struct pg_pool *pool;
	PGconn *pq; /* NULL while waiting, and while a name is looked up */
	struct loop_watch *watch;
	/* of the next try, of connecting, of the answer that is due; as its state says */
	struct loop_timer timer;
	int64_t connect_by_us;
	int64_t heard_us; /* of the last answer, or of the first send after silence */
	unsigned tries; /* to connect, since it was up */
	struct list sent; /* operations in the order of their answers */
	size_t load; /* how many */
	size_t unsynced; /* sent since the last Sync */
	size_t syncs; /* sent and not answered */
	bool cleaned; /* a ROLLBACK has been sent for the transaction left open */
	struct pg_tx *tx;
};

/* ---- connect.c ---- */

/* Begins to connect, or goes on after a name was looked up. */
void pg_conn_connect(struct pg_conn *c);

/* Those that wait for these names. */
void pg_conns_go_on(struct pg_names *names);

/* Its socket can be read or written while it is connecting. */
void pg_conn_connect_step(struct pg_conn *c);

/* A setting, the version or a statement was answered while it is preparing. False: it is of no use
 * and was lost. */
bool pg_conn_is_prepared(struct pg_conn *c, const struct pg_op *op);

/* Until the next try. */
int64_t pg_conn_backoff_us(unsigned tries);

/* Puts a task's trace where triggers find it. */
extern const struct pg_statement pg_trace;

/* ---- conn.c ---- */

/* Zeroed until then. */
void pg_conn_init(struct pg_conn *c, struct pg_pool *pool);

void pg_conn_move(struct pg_conn *c, enum pg_conn_state state);

/* Watches the socket that libpq has now; false when it was lost for want of a descriptor. */
bool pg_conn_watch(struct pg_conn *c, bool readable, bool writable);

void pg_conn_send(struct pg_conn *c, struct pg_op *op);

/* Of an operation that no fiber waits for. */
void pg_conn_send_own(struct pg_conn *c, struct pg_op *op);

void pg_conn_sync(struct pg_conn *c);

/* A transaction lets go of it: idle as soon as nothing is due and no transaction is open. */
void pg_conn_release(struct pg_conn *c);

/* Ends what it carries, closes it, and tries again after a while. */
void pg_conn_lose(struct pg_conn *c, const char *why);

/* For good. */
void pg_conn_close(struct pg_conn *c);
