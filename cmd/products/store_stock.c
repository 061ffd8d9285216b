/* SPDX-License-Identifier: Apache-2.0
 * Statements over stock and its ledger, as far as people change it; what orders do to it is in
 * store_reservation.c. */
#include "statements.h"
#include "store.h"

/* Adds $2, or what is missing to $3. $5 is 0 or the two versions that must hold. The row is locked
 * before it is looked at, so the difference that is booked is exact. */
const struct pg_statement stock_change = {
	"stock_change",
	PG_WRITE,
	"WITH now AS MATERIALIZED ("
	"	SELECT s.product_id, p.version AS product_version, "
	"		coalesce($3::bigint - s.available, $2::bigint) AS more "
	"	FROM stock s JOIN products p ON p.id = s.product_id "
	"	WHERE s.product_id = $1::uuid AND p.status = 'active' "
	"		AND ($5::bigint = 0 OR p.version = $5 AND s.version = $6::bigint) "
	"	FOR NO KEY UPDATE OF s), "
	"changed AS ("
	"	UPDATE stock s "
	"	SET available = s.available + n.more, received = s.received + n.more, "
	"		version = s.version + 1 "
	"	FROM now n WHERE s.product_id = n.product_id "
	"	RETURNING s.product_id, s.available, s.version, n.product_version, n.more), "
	"booked AS ("
	"	INSERT INTO stock_movements (product_id, reason, quantity, available, actor) "
	"	SELECT product_id, CASE WHEN more > 0 THEN 'received' ELSE 'removed' END, "
	"		abs(more), available, $4::text "
	"	FROM changed WHERE more <> 0) "
	"SELECT available, version, product_version FROM changed",
};

enum fault store_stock_change(struct task *t, struct pg_tx *tx, struct product *product,
	const struct stock_change *change, bool versioned, struct str actor)
{
	struct scope *s = &t->scope;
	struct pg_row row;
	enum fault fault = store_row(t, tx, &stock_change,
		PG_VALUES(pg_uuid(&product->id),
			change->quantity != STOCK_NOT_GIVEN ? pg_int64(change->quantity)
							    : pg_null(),
			change->set != STOCK_NOT_GIVEN ? pg_int64(change->set) : pg_null(),
			pg_text(actor), pg_int64(versioned ? product->version : 0),
			pg_int64(product->stock_version)),
		&row);

	if (fault == FAULT_NOT_FOUND && versioned) {
		scope_forgive(s);
		return fail(s, FAULT_PRECONDITION_FAILED, "the stock has changed meanwhile");
	}
	TRY(fault);
	product->stock_quantity = pg_take_int64(&row);
	product->stock_version = pg_take_int64(&row);
	product->version = pg_take_int64(&row);
	return OK;
}

const struct pg_statement movements_list = {
	"movements_list",
	PG_SLOW,
	"SELECT id::text, delta, reason, order_id, actor, at "
	"FROM stock_movements "
	"WHERE product_id = $1::uuid AND id < $2::bigint "
	"ORDER BY id DESC "
	"LIMIT $3::bigint OFFSET $4::bigint",
};

enum fault store_movements_list(struct task *t, const struct uuid *product_id, int64_t before,
	const struct page *page, struct items *movements)
{
	struct pg_rows rows;
	struct movement *at;

	TRY(pg_query(t, &movements_list,
		PG_VALUES(pg_uuid(product_id), pg_int64(before), pg_int64(page->limit + 1),
			pg_int64(page->offset)),
		&rows));
	at = arena_alloc_array(t->scope.arena, rows.count, sizeof *at);
	for (size_t i = 0; i < rows.count; i++) {
		struct pg_row row = pg_row(&rows, i);

		at[i].id = pg_take_text(&row);
		at[i].quantity = pg_take_int64(&row);
		at[i].reason = pg_take_text(&row);
		at[i].order_id = pg_take_uuid(&row);
		at[i].actor = pg_take_text(&row);
		at[i].at = pg_take_time(&row);
	}
	*movements = (struct items){at, rows.count};
	return OK;
}
