/* SPDX-License-Identifier: Apache-2.0
 * What the pool has to know of the database: every statement, and what a violated constraint means.
 * Constraints that are not listed stand behind checks of ours, so violating one is our bug. */
#include "store.h"
#include "statements.h"

#include "service/keyed.h"

static const struct pg_statement *const statements[] = {
	&product_get,
	&products_get,
	&products_newest,
	&products_by_newest,
	&products_by_price,
	&products_by_price_down,
	&products_by_name,
	&products_by_relevance,
	&product_insert,
	&product_update,
	&product_delete,
	&categories_list,
	&category_get,
	&category_insert,
	&category_insert_child,
	&category_ensure,
	&categories_lock,
	&category_update,
	&category_rename,
	&category_delete,
	&stock_change,
	&movements_list,
	&reservation_reserve,
	&reservation_reserve_new,
	&reservation_commit,
	&reservation_release,
	&reservation_return,
	&reservation_get,
	&reservation_expire,
	&reservations_due,
	&tombstones_forget,
	&keyed_lock,
	&keyed_claim,
	&keyed_read,
	&keyed_keep,
	&keyed_recorded,
	&keyed_forget,
};

static const struct pg_statement *const telling[] = {
	&product_insert,
	&product_update,
	&product_delete,
	&stock_change,
	&reservation_reserve,
	&reservation_reserve_new,
};

static const struct pg_constraint constraints[] = {
	{"products_sku", FAULT_SKU_TAKEN, "sku", "another product of the seller has it"},
	{"products_category_check", FAULT_UNAVAILABLE, "category", "was deleted at this moment"},
	{"products_category_fkey", FAULT_CATEGORY_IN_USE, NULL, "products are in this category"},
	{"categories_parent_fkey", FAULT_CATEGORY_IN_USE, NULL, "other categories are below it"},
	{"categories_pkey", FAULT_CATEGORY_TAKEN, "slug", "another category has it"},
	{"categories_depth_check", FAULT_INVALID, "parent", "is too deep: 8 levels at most"},
	{"stock_available_check", FAULT_INSUFFICIENT_STOCK, "quantity", "takes more than there is"},
	{"stock_available_max_check", FAULT_INVALID, "quantity",
		"comes to more than 1000000000 in all"},
};

const struct pg_schema products_schema = {
	.statements = statements,
	.statement_count = sizeof statements / sizeof *statements,
	.telling = telling,
	.telling_count = sizeof telling / sizeof *telling,
	.constraints = constraints,
	.constraint_count = sizeof constraints / sizeof *constraints,
	.migration_newest = "00006",
};

enum fault store_row(struct task *t, struct pg_tx *tx, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct pg_row *row)
{
	struct pg_rows *rows;

	if (tx == NULL)
		return pg_query_row(t, statement, values, count, row);
	rows = scope_alloc(&t->scope, sizeof *rows); /* the row points at it */
	TRY(pg_tx_query(t, tx, statement, values, count, rows));
	if (rows->count == 0)
		return FAULT_NOT_FOUND;
	*row = pg_row(rows, 0);
	return OK;
}
