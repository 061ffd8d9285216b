/* SPDX-License-Identifier: Apache-2.0 */
/* What error answers mean. Their texts speak of tables and columns: they go to the log, never into
 * the fault's detail, which clients read. */
#include "pg/pool.h"

#include "fiber/task.h"

static enum fault constraint_fault(struct task *t, const struct pg_op *op, bool *known);
static enum fault unexpected(struct task *t, const struct pg_op *op);
static const char *field(const PGresult *result, int code);
static const char *op_name(const struct pg_op *op);

struct meaning {
	const char *sqlstate; /* or the class: its first two characters */
	enum fault fault;
	bool again;
	const char *detail;
};

/* The first that fits. */
static const struct meaning meanings[] = {
	{"40001", FAULT_UNAVAILABLE, true, "the transaction met others too often"},
	{"40P01", FAULT_UNAVAILABLE, true, "the transaction met others too often"},
	{"55P03", FAULT_UNAVAILABLE, false, "others hold what this needs for too long"},
	{"57014", FAULT_UNAVAILABLE, false, "the database took too long"},
	{"57P", FAULT_UNAVAILABLE, false, "the database is away"},
	{"53", FAULT_UNAVAILABLE, false, "the database has no room"},
	{"08", FAULT_UNAVAILABLE, false, "the connection to the database is broken"},
	{"25P03", FAULT_UNAVAILABLE, false, "the transaction was idle for too long"},
	{"26000", FAULT_UNAVAILABLE, false, "the database has changed"},
};

bool pg_is_error(const PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_EMPTY_QUERY:
		return false;
	default:
		return true;
	}
}

enum fault pg_fault(struct task *t, const struct pg_op *op, bool *again)
{
	const char *sqlstate = field(op->result, PG_DIAG_SQLSTATE);
	bool known = false;
	enum fault fault;

	*again = false;
	if (strncmp(sqlstate, "23", 2) == 0) {
		fault = constraint_fault(t, op, &known);
		return known ? fault : unexpected(t, op);
	}
	if (pg_is_stale(op->result, op->conn->pool->class))
		return fail(&t->scope, FAULT_UNAVAILABLE, "the database has changed");
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
		const struct meaning *m = &meanings[i];

		if (strncmp(sqlstate, m->sqlstate, strlen(m->sqlstate)) != 0)
			continue;
		*again = m->again;
		task_log(t, LEVEL_INFO, "statement refused", LOG_TEXT("statement", op_name(op)),
			LOG_TEXT("sqlstate", sqlstate));
		return fail(&t->scope, m->fault, "%s", m->detail);
	}
	return unexpected(t, op);
}

bool pg_is_stale(const PGresult *result, enum pg_class class)
{
	const char *sqlstate = field(result, PG_DIAG_SQLSTATE);

	/* the prepared statement is gone; the server has become a replica; a column's type has
	 * changed under a prepared statement */
	return strcmp(sqlstate, "26000") == 0 ||
	       (class == PG_WRITE && strcmp(sqlstate, "25006") == 0) ||
	       (strcmp(sqlstate, "0A000") == 0 && strcmp(field(result, PG_DIAG_SOURCE_FUNCTION),
							  "RevalidateCachedQuery") == 0);
}

static enum fault constraint_fault(struct task *t, const struct pg_op *op, bool *known)
{
	const struct pg_schema *schema = op->conn->pool->pg->schema;
	const char *name = field(op->result, PG_DIAG_CONSTRAINT_NAME);

	for (size_t i = 0; i < schema->constraint_count; i++) {
		const struct pg_constraint *c = &schema->constraints[i];

		if (strcmp(c->name, name) != 0)
			continue;
		*known = true;
		if (c->field != NULL)
			(void)fail_field(&t->scope, str_from(c->field), "value", "%s", c->message);
		return fail(&t->scope, c->fault, "%s", c->message);
	}
	return FAULT_INTERNAL;
}

static enum fault unexpected(struct task *t, const struct pg_op *op)
{
	task_log(t, LEVEL_ERROR, "statement failed", LOG_TEXT("statement", op_name(op)),
		LOG_TEXT("sqlstate", field(op->result, PG_DIAG_SQLSTATE)),
		LOG_TEXT("constraint", field(op->result, PG_DIAG_CONSTRAINT_NAME)),
		LOG_TEXT("why", field(op->result, PG_DIAG_MESSAGE_PRIMARY)));
	return fail(&t->scope, FAULT_INTERNAL, "a statement of the database failed");
}

static const char *field(const PGresult *result, int code)
{
	const char *text = PQresultErrorField(result, code);

	return text != NULL ? text : "";
}

static const char *op_name(const struct pg_op *op)
{
	return op->statement != NULL ? op->statement->name : op->sql;
}
