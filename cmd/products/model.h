/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "json/field.h"

/* What the service speaks of, and how it looks as JSON: the tables are in model.c. Prices are minor
 * units of the shop's currency. */

enum {
	NAME_MAX_CHARS = 200,
	DESCRIPTION_MAX_CHARS = 10000,
	TAGS_MAX = 20,
	TAG_MAX_CHARS = 50,
	SKU_MAX_CHARS = 100,
	IMAGE_URL_MAX_CHARS = 2000,
	CATEGORY_MAX_CHARS = 200,
	STOCK_MAX = 1000000000,
	LINES_MAX = 100,
	QUANTITY_MAX = 10000,
	IDS_MAX = 100,
	LIMIT_DEFAULT = 20,
	LIMIT_MAX = 100,
	OFFSET_MAX = 10000,
	CURSOR_MAX_CHARS = 2048
};

struct product {
	struct uuid id;
	struct uuid seller_id;
	struct str name;
	struct str description;
	int64_t price;
	struct str currency;
	struct str category; /* a slug once it has been checked */
	struct str category_name; /* of one that has to be made */
	struct texts tags;
	struct str sku;
	struct str image_url;
	int64_t stock_quantity; /* available */
	int64_t created_at;
	int64_t updated_at;
	int64_t version;
	int64_t stock_version;
	struct str name_folded; /* the key of lists by name; only they fill it */
};

/* What POST takes; what PUT and PATCH take, and what is answered. */
extern const struct field_table product_new_table;
extern const struct field_table product_table;

/* Trims, folds and checks what a table cannot say: one currency, a category that makes a slug, tags
 * once each, a name that is not blank, a link that is one. */
enum fault product_check(struct scope *s, struct product *product) MUST_CHECK;

/* The product's version as caches count it: it grows with every change of the product or its stock.
 */
static inline int64_t product_cache_version(const struct product *product)
{
	return product->version + product->stock_version;
}

/* The orders a list can have, in the order of `sort`'s names. */
enum sort { SORT_NEWEST, SORT_PRICE, SORT_PRICE_DOWN, SORT_NAME, SORT_RELEVANCE, SORT_COUNT };

/* Which entries of a list; all lists take these. */
struct page {
	int32_t limit;
	int32_t offset; /* older clients */
	struct str cursor;
};

struct product_query {
	struct str q;
	struct str category;
	struct texts tags;
	int64_t min_price;
	int64_t max_price;
	bool in_stock;
	struct uuid seller;
	struct uuids ids;
	int sort; /* enum sort, -1 while none is chosen */
	int32_t limit;
	int32_t offset;
	struct str cursor;
};

/* A query without conditions. */
struct product_query product_query_any(void);

extern const struct field_table product_query_table; /* GET /products */
extern const struct field_table search_query_table; /* GET /products/search */
extern const struct field_table tags_query_table; /* GET /products/tags */
extern const struct field_table page_table; /* lists without conditions */

struct category {
	struct str slug;
	struct str name;
	struct str parent; /* a slug; STR_NONE: a root */
	struct str path; /* slugs from the root down */
	int64_t version;
};

extern const struct field_table category_new_table;
extern const struct field_table category_table;

/* "Home & Garden" -> "home-garden": lower-case letters and digits stay, what is not ASCII stays,
 * everything else is one '-' between words. Empty when nothing is left. */
struct str slug_of(struct scope *s, struct str name);

/* {"quantity": n} or {"set": n}; `given` says which. */
struct stock_change {
	int64_t quantity;
	int64_t set;
};

extern const struct field_table stock_change_table;

/* Neither of a stock_change's members may have this value. */
#define STOCK_NOT_GIVEN INT64_MIN

struct movement {
	struct str id;
	int64_t quantity; /* that became available; negative: taken */
	struct str reason;
	struct uuid order_id;
	struct str actor;
	int64_t at;
};

extern const struct field_table movement_table;

struct reservation_line {
	struct uuid product_id;
	int32_t quantity;
	struct str name;
	int64_t price;
	struct str currency;
	struct uuid seller_id;
};

struct reservation {
	struct uuid order_id;
	int32_t revision; /* 0: a tombstone */
	struct str state;
	int64_t expires_at;
	struct items lines; /* struct reservation_line */
};

extern const struct field_table reservation_table;

struct reservation_request {
	int32_t revision;
	struct items lines; /* struct reservation_line: product_id and quantity */
};

extern const struct field_table reservation_request_table;

/* The lines in the order of their products, repeated ones added up, as the store needs them;
 * FAULT_INVALID when a sum is over QUANTITY_MAX. */
enum fault reservation_lines_merge(
	struct scope *s, const struct items *lines, struct items *merged) MUST_CHECK;

/* A line there is not enough of. */
struct shortage {
	struct uuid product_id;
	int64_t requested;
	int64_t available;
};

extern const struct field_table shortage_table;
