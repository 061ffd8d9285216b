/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "model.h"

#include "auth/cursor.h"
#include "pg/pg.h"

/* Every SQL statement of the service behind typed functions; all of them suspend. Besides the
 * faults named here each may return those of pg_query. `tx` may be NULL: then it commits by itself.
 */

extern const struct pg_schema products_schema;

/* pg_tx_query or pg_query, and its one row: FAULT_NOT_FOUND when there is none. */
enum fault store_row(struct task *t, struct pg_tx *tx, const struct pg_statement *statement,
	const struct pg_value *values, size_t count, struct pg_row *row) MUST_CHECK;

/* ---- store_product.c ---- */

/* FAULT_NOT_FOUND also when it was deleted. */
enum fault store_product_get(
	struct task *t, const struct uuid *id, struct product *product) MUST_CHECK;

/* Those of the ids that exist, in their order. */
enum fault store_products_get(
	struct task *t, const struct uuids *ids, struct items *products) MUST_CHECK;

/* At most query->limit + 1 products, after `after` in the query's order (which must be chosen);
 * `position` is how many come before them when sorted by relevance. */
enum fault store_products_list(struct task *t, const struct product_query *query,
	const struct cursor *after, struct items *products) MUST_CHECK;

/* Writes the product, its stock and the first line of its ledger. Its category must be there. Fills
 * created_at, updated_at and the versions. FAULT_SKU_TAKEN. */
enum fault store_product_insert(
	struct task *t, struct pg_tx *tx, struct product *product, struct str actor) MUST_CHECK;

/* Writes what PUT and PATCH change if the version still is product->version, which then moves on.
 * FAULT_PRECONDITION_FAILED when it has moved already; FAULT_SKU_TAKEN. */
enum fault store_product_update(struct task *t, struct product *product) MUST_CHECK;

/* Hides it. With `version` only while that is its version, else FAULT_PRECONDITION_FAILED; 0: any.
 */
enum fault store_product_delete(
	struct task *t, const struct uuid *id, int64_t version, int64_t *cache_version) MUST_CHECK;

/* ---- store_category.c ---- */

/* All, parents before children. */
enum fault store_categories_list(struct task *t, struct items *categories) MUST_CHECK;
enum fault store_category_get(
	struct task *t, struct str slug, struct category *category) MUST_CHECK;

/* FAULT_CATEGORY_TAKEN; FAULT_NOT_FOUND: the parent. */
enum fault store_category_insert(
	struct task *t, struct pg_tx *tx, struct category *category) MUST_CHECK;

/* Makes the product's category as a root when there is none with its slug. */
enum fault store_category_ensure(struct task *t, const struct product *product) MUST_CHECK;

/* Gives it category->name and category->parent; its subtree moves along. FAULT_NOT_FOUND: it is
 * gone; FAULT_INVALID: the parent is not known or lies below it; FAULT_PRECONDITION_FAILED:
 * `version` (0: any) has moved on. */
enum fault store_category_update(
	struct task *t, struct category *category, int64_t version) MUST_CHECK;

/* FAULT_CATEGORY_IN_USE by a product or as a parent; `version` as above. */
enum fault store_category_delete(struct task *t, struct str slug, int64_t version) MUST_CHECK;

/* ---- store_stock.c ---- */

/* Applies the change and books it; fills the product's stock_quantity and stock_version. With
 * `versioned` only while product->version and ->stock_version hold, else
 * FAULT_PRECONDITION_FAILED. FAULT_INSUFFICIENT_STOCK below 0. */
enum fault store_stock_change(struct task *t, struct pg_tx *tx, struct product *product,
	const struct stock_change *change, bool versioned, struct str actor) MUST_CHECK;

/* Newest first, those before the movement `before` (INT64_MAX: all). */
enum fault store_movements_list(struct task *t, const struct uuid *product_id, int64_t before,
	const struct page *page, struct items *movements) MUST_CHECK;

/* ---- store_reservation.c ---- */

/* A product whose stock an operation has changed, for the cache. */
struct touched {
	struct uuid product_id;
	int64_t cache_version;
};

/* What the functions of migrations/products/00003_reservations.sql answer. */
enum reservation_outcome {
	RESERVATION_OK,
	RESERVATION_SHORT,
	RESERVATION_RELEASED,
	RESERVATION_STALE,
	RESERVATION_DIFFERS,
	RESERVATION_SETTLED,
	RESERVATION_MISSING
};

struct reservation_answer {
	enum reservation_outcome outcome;
	struct reservation reservation;
	struct items shortages; /* struct shortage; available < 0: no such product */
	struct items touched; /* struct touched */
};

/* `lines` are merged. */
enum fault store_reserve(struct task *t, const struct uuid *order_id, int32_t revision,
	const struct items *lines, int64_t ttl_us, struct str actor,
	struct reservation_answer *answer) MUST_CHECK;

enum reservation_step { STEP_COMMIT, STEP_RELEASE, STEP_RETURN };

enum fault store_reservation_step(struct task *t, enum reservation_step step,
	const struct uuid *order_id, struct str actor,
	struct reservation_answer *answer) MUST_CHECK;

enum fault store_reservation_get(
	struct task *t, const struct uuid *order_id, struct reservation_answer *answer) MUST_CHECK;

/* Held reservations whose time is over, at most EXPIRED_BATCH, by order id. */
enum { EXPIRED_BATCH = 100 };
enum fault store_reservations_due(struct task *t, struct uuids *order_ids) MUST_CHECK;

/* Forgets tombstones of more than 24 hours ago, at most TOMBSTONES_SWEPT; *count says how many. */
enum { TOMBSTONES_SWEPT = 1000 };
enum fault store_tombstones_forget(struct task *t, size_t *count) MUST_CHECK;

/* Releases one of them; RESERVATION_MISSING when there was nothing to do (any more). */
enum fault store_reservation_expire(
	struct task *t, const struct uuid *order_id, struct reservation_answer *answer) MUST_CHECK;
