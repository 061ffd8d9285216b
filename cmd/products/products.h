/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "model.h"

#include "http/route.h"
#include "redis/cache.h"

/* The parts of the program for each other: its settings, its cache, its handlers (routes.c says
 * which operation each one is). */

enum sellers { SELLERS_ANYONE, SELLERS_ROLE };

struct products_settings {
	_Atomic int sellers; /* enum sellers: who may offer products */
	_Atomic int64_t reservation_ttl_us;
	int64_t cache_ttl_us; /* 0: no cache */
};
extern struct products_settings products_settings;

extern const struct service products_service;

/* ---- product.c ---- */

handler_fn products_list, products_search, products_by_tags;
handler_fn product_create, product_read, product_replace, product_change, product_remove;

/* For each thread, before it serves and after. `redis` NULL: nothing is cached. */
void product_cache_start(struct redis *redis);
void product_cache_stop(void);

/* The product or its stock has come to this version: other readers shall see it soon, this thread's
 * at once. */
void product_cache_drop(const struct uuid *id, int64_t cache_version);

/* Who may offer products, and who may change this one: FAULT_FORBIDDEN. */
enum fault may_sell(struct scope *s, const struct caller *caller) MUST_CHECK;
enum fault may_change(
	struct scope *s, const struct caller *caller, const struct product *product) MUST_CHECK;

/* ---- category.c ---- */

handler_fn categories_read, category_create, category_change, category_remove;

/* ---- stock.c ---- */

handler_fn stock_patch, movements_read;

/* ---- reservation.c ---- */

handler_fn reservation_put, reservation_read;
handler_fn reservation_do_commit, reservation_do_release, reservation_do_return;

/* The job that releases reservations whose time is over. */
enum fault reservations_sweep(struct task *t);

/* Forgets tombstones that nobody can run into any more: a job. */
enum fault tombstones_sweep(struct task *t);
