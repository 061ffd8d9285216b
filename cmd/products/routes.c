/* SPDX-License-Identifier: Apache-2.0
 * The service as a table: its operations, its own configuration, its background work. */
#include "products.h"

#include "store.h"

#include "service/keyed.h"
#include "service/service.h"

#define PRODUCTS "/api/v1/products"
#define CATEGORIES "/api/v1/categories"
#define RESERVATION "/internal/reservations/{order_id}"

/* A shared cache may keep the catalogue for a moment; an order never goes by it. */
#define BRIEFLY "public, max-age=5"

/* Whose product it is, and whether every account may sell, the handlers look at (products.h). */
static const struct route routes[] = {
	{"GET", PRODUCTS, products_list, ANYONE, .cache_control = BRIEFLY},
	{"GET", PRODUCTS "/search", products_search, ANYONE, .cache_control = BRIEFLY},
	{"GET", PRODUCTS "/tags", products_by_tags, ANYONE, .cache_control = BRIEFLY},
	{"POST", PRODUCTS, product_create, USER},
	{"GET", PRODUCTS "/{id}", product_read, ANYONE, .cache_control = "no-cache"},
	{"PUT", PRODUCTS "/{id}", product_replace, USER},
	{"PATCH", PRODUCTS "/{id}", product_change, USER},
	{"DELETE", PRODUCTS "/{id}", product_remove, USER},
	{"PATCH", PRODUCTS "/{id}/stock", stock_patch, USER},
	{"GET", PRODUCTS "/{id}/stock/movements", movements_read, USER},
	{"GET", CATEGORIES, categories_read, ANYONE, .cache_control = BRIEFLY},
	{"POST", CATEGORIES, category_create, ADMIN},
	{"PUT", CATEGORIES "/{slug}", category_change, ADMIN},
	{"DELETE", CATEGORIES "/{slug}", category_remove, ADMIN},
	{"GET", "/internal/events", service_replay, SERVICE},
	{"PUT", RESERVATION, reservation_put, SERVICE},
	{"POST", RESERVATION, reservation_put, SERVICE},
	{"GET", RESERVATION, reservation_read, SERVICE},
	{"POST", RESERVATION "/commit", reservation_do_commit, SERVICE},
	{"POST", RESERVATION "/release", reservation_do_release, SERVICE},
	{"POST", RESERVATION "/return", reservation_do_return, SERVICE},
};

struct products_settings products_settings;

static const struct config_field config[] = {
	CONFIG(struct products_settings, sellers, CHOICE, "SELLERS", "role",
		"Who may offer products: sellers and admins (role), or whoever has an account.",
		.choices = "anyone role", .live = true),
	CONFIG(struct products_settings, reservation_ttl_us, DURATION, "RESERVATION_TTL", "60m",
		"How long a reservation holds stock when orders is silent: twice its ORDER_TTL.",
		.min = INT64_C(1000000), .max = INT64_C(7) * 24 * 3600 * 1000000, .live = true),
	CONFIG(struct products_settings, cache_ttl_us, DURATION, "CACHE_TTL", "30s",
		"How long a product read may come from Redis, at most 30s; 0s: never.",
		.max = INT64_C(30000000)),
};

/* Often enough that a hold outlives its time by little, even when that is seconds (tests). */
static const struct service_job jobs[] = {
	{"reservations_sweep", 500000, reservations_sweep},
	{"tombstones_sweep", INT64_C(3600000000), tombstones_sweep},
	{"idempotency_keys_sweep", INT64_C(3600000000), keyed_sweep},
};

static void start_thread(struct loop *l)
{
	(void)l;
	product_cache_start(service_redis());
}

static void stop_thread(struct loop *l)
{
	(void)l;
	product_cache_stop();
}

static const struct service_events events = {.source = "/products"};

const struct service products_service = {
	.name = "products",
	.summary = "Catalogue, search, stock and reservations of a Bodega shop.",
	.port = "8082",
	.admin_port = "9082",
	.tls_port = "0",
	.routes = routes,
	.route_count = sizeof routes / sizeof *routes,
	.config = config,
	.config_count = sizeof config / sizeof *config,
	.config_struct = &products_settings,
	.schema = &products_schema,
	.events = &events,
	.redis = true,
	.jobs = jobs,
	.job_count = sizeof jobs / sizeof *jobs,
	.start_thread = start_thread,
	.stop_thread = stop_thread,
};
