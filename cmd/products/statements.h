/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pg/pg.h"

/* The statements of store_<noun>.c, each of which keeps its own beside the functions that use them;
 * store.c lists them for the pool, which prepares them. */
extern const struct pg_statement product_get, products_get, products_newest, products_by_newest,
	products_by_price, products_by_price_down, products_by_name, products_by_relevance,
	product_insert, product_update, product_delete;
extern const struct pg_statement categories_list, category_get, category_insert,
	category_insert_child, category_ensure, categories_lock, category_update, category_rename,
	category_delete;
extern const struct pg_statement stock_change, movements_list;
extern const struct pg_statement reservation_reserve, reservation_reserve_new, reservation_commit,
	reservation_release, reservation_return, reservation_get, reservation_expire,
	reservations_due, tombstones_forget;
