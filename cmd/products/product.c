/* SPDX-License-Identifier: Apache-2.0
 * Products: reading one (through the cache), lists and search, and what sellers do to them. Prices
 * and stock for an order never come from here: reservations read the database themselves. */
#include "products.h"

#include "store.h"

#include "base/check.h"

#include "service/keyed.h"
#include "json/write.h"

enum { CHANGE_TRIES_MAX = 3 };

static __thread struct cache *cache;

static cache_load_fn load;
static keyed_fn insert;
static enum fault change(struct task *t, const struct request *request, struct reply *reply,
	enum fault (*read)(struct scope *s, const struct request *request,
		const struct field_table *table, void *value),
	bool whole);
static enum fault list(struct task *t, const struct request *request, struct reply *reply,
	struct product_query *query);
static enum fault list_by_ids(struct task *t, const struct request *request, struct reply *reply,
	const struct product_query *query);

/* ---- one product ---- */

/* GET /products/{id}: the cached text is the ETag, a line end and the body. */
enum fault product_read(struct task *t, const struct request *request, struct reply *reply)
{
	char key[UUID_TEXT_LEN + 1];
	struct uuid id;
	struct str text;
	struct str etag;

	TRY(request_uuid(&t->scope, request, 0, &id));
	TRY(cache_get(t, cache, uuid_format(&id, key), load, &id, &text));
	CHECK(str_cut(&text, '\n', &etag));
	reply->etag = etag;
	return reply_json(reply, 200, text);
}

static enum fault load(
	struct task *t, struct str key, void *arg, struct str *value, int64_t *version)
{
	const struct uuid *id = arg;
	struct buf b = buf_new(t->scope.arena);
	struct product product;

	(void)key;
	TRY(store_product_get(t, id, &product));
	buf_int64(&b, product.version);
	buf_char(&b, '.');
	buf_int64(&b, product.stock_version);
	buf_char(&b, '\n');
	json_write(&b, &product_table, &product);
	*value = buf_str(&b);
	*version = product_cache_version(&product);
	return OK;
}

static enum fault reply_product(struct reply *reply, int status, const struct product *product)
{
	reply_versions(reply, product->version, product->stock_version);
	return reply_object(reply, status, &product_table, product);
}

/* POST /products: the caller owns it. */
enum fault product_create(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct product product = {0};

	TRY(may_sell(s, &request->caller));
	TRY(request_json(s, request, &product_new_table, &product));
	TRY(product_check(s, &product));
	TRY(store_category_ensure(t, &product));
	product.id = uuid_new();
	product.seller_id = request->caller.user_id;
	return keyed_run(t, request, reply, insert, &product, NULL);
}

static enum fault insert(struct task *t, struct pg_tx *tx, const struct request *request,
	struct reply *reply, void *arg)
{
	struct product *product = arg;
	char id[UUID_TEXT_LEN + 1];

	TRY(store_product_insert(t, tx, product, request->caller.actor));
	reply_location(reply, "/api/v1/products/%s", uuid_format(&product->id, id).at);
	return reply_product(reply, 201, product);
}

/* PUT /products/{id}: what the body does not have is cleared. */
enum fault product_replace(struct task *t, const struct request *request, struct reply *reply)
{
	return change(t, request, reply, request_json, true);
}

/* PATCH /products/{id} (RFC 7396). */
enum fault product_change(struct task *t, const struct request *request, struct reply *reply)
{
	return change(t, request, reply, request_merge, false);
}

static enum fault try_change(struct task *t, const struct request *request,
	enum fault (*read)(struct scope *s, const struct request *request,
		const struct field_table *table, void *value),
	bool whole, struct product *product)
{
	struct scope *s = &t->scope;
	struct product now;
	struct uuid id;

	TRY(request_uuid(s, request, 0, &id));
	TRY(store_product_get(t, &id, &now));
	TRY(may_change(s, &request->caller, &now));
	TRY(request_precondition_version(s, request, now.version));
	*product = now;
	if (whole) {
		*product = (struct product){.id = now.id,
			.seller_id = now.seller_id,
			.created_at = now.created_at,
			.version = now.version};
	}
	TRY(read(s, request, &product_table, product));
	TRY(product_check(s, product));
	TRY(store_category_ensure(t, product));
	return store_product_update(t, product);
}

/* Reads, merges and writes under the version that was read. Somebody else's change in between is
 * the client's business only if it named a version. */
static enum fault change(struct task *t, const struct request *request, struct reply *reply,
	enum fault (*read)(struct scope *s, const struct request *request,
		const struct field_table *table, void *value),
	bool whole)
{
	bool versioned = request_header(request, STR("if-match")).at != NULL;
	struct product product;
	enum fault fault;

	for (int i = 1;; i++) {
		fault = try_change(t, request, read, whole, &product);
		if (fault != FAULT_PRECONDITION_FAILED || versioned || i == CHANGE_TRIES_MAX)
			break;
		scope_forgive(&t->scope);
	}
	TRY(fault);
	product_cache_drop(&product.id, product_cache_version(&product));
	return reply_product(reply, 200, &product);
}

/* DELETE /products/{id}: hides it; orders still show what was bought. */
enum fault product_remove(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	bool versioned = request_header(request, STR("if-match")).at != NULL;
	struct product product;
	struct uuid id;
	int64_t cache_version;

	TRY(request_uuid(s, request, 0, &id));
	TRY(store_product_get(t, &id, &product));
	TRY(may_change(s, &request->caller, &product));
	TRY(request_precondition_version(s, request, product.version));
	TRY(store_product_delete(t, &id, versioned ? product.version : 0, &cache_version));
	product_cache_drop(&id, cache_version);
	return reply_empty(reply);
}

/* ---- lists ---- */

/* GET /products */
enum fault products_list(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct product_query query = product_query_any();

	TRY(request_query(s, request, &product_query_table, &query));
	if (query.ids.count > 0)
		return list_by_ids(t, request, reply, &query);
	query.q = str_trim(query.q);
	if (query.sort < 0)
		query.sort = query.q.len > 0 ? SORT_RELEVANCE : SORT_NEWEST;
	if (query.sort == SORT_RELEVANCE && query.q.len == 0)
		return fail_field(s, STR("sort"), "value", "relevance needs a q to be relevant to");
	return list(t, request, reply, &query);
}

/* GET /products/search?q= */
enum fault products_search(struct task *t, const struct request *request, struct reply *reply)
{
	struct product_query query = product_query_any();

	query.sort = SORT_RELEVANCE;
	TRY(request_query(&t->scope, request, &search_query_table, &query));
	return list(t, request, reply, &query);
}

/* GET /products/tags?tags= */
enum fault products_by_tags(struct task *t, const struct request *request, struct reply *reply)
{
	struct product_query query = product_query_any();

	query.sort = SORT_NEWEST;
	TRY(request_query(&t->scope, request, &tags_query_table, &query));
	return list(t, request, reply, &query);
}

/* GET /products?ids=: what orders and baskets show, in the order that was asked for. */
static enum fault list_by_ids(struct task *t, const struct request *request, struct reply *reply,
	const struct product_query *query)
{
	struct items products;

	TRY(store_products_get(t, &query->ids, &products));
	return reply_list(reply, request, &product_table, products.at, products.count, STR_NONE);
}

static uint64_t hash_number(uint64_t hash, int64_t number)
{
	return cursor_hash(hash, str_of((const char *)&number, sizeof number));
}

/* A cursor is good for the list it came from only. */
static uint64_t hash_filters(const struct product_query *query)
{
	uint64_t hash = cursor_hash(cursor_hash(0, query->q), query->category);

	for (size_t i = 0; i < query->tags.count; i++)
		hash = cursor_hash(hash, query->tags.at[i]);
	hash = hash_number(hash_number(hash, query->min_price), query->max_price);
	hash = hash_number(hash, query->in_stock);
	return cursor_hash(
		hash, str_of((const char *)query->seller.bytes, sizeof query->seller.bytes));
}

/* What every product comes after. */
static struct cursor beginning(const struct product_query *query)
{
	static const int64_t numbers[SORT_COUNT] = {
		[SORT_NEWEST] = INT64_C(253402300799000000), /* the year 9999 */
		[SORT_PRICE] = -1,
		[SORT_PRICE_DOWN] = INT64_MAX,
	};
	struct cursor cursor = {.number = numbers[query->sort], .text = STR("")};

	if (query->sort == SORT_RELEVANCE)
		cursor.number = query->offset;
	memset(cursor.id.bytes, 0xff, sizeof cursor.id.bytes);
	return cursor;
}

static struct cursor cursor_at(const struct product_query *query, const struct cursor *after,
	const struct product *last, uint64_t filters)
{
	struct cursor cursor = {.sort = (uint8_t)query->sort, .filters = filters, .id = last->id};

	switch ((enum sort)query->sort) {
	case SORT_NEWEST:
		cursor.number = last->created_at;
		break;
	case SORT_PRICE:
	case SORT_PRICE_DOWN:
		cursor.number = last->price;
		break;
	case SORT_NAME:
		cursor.text = last->name_folded;
		break;
	case SORT_RELEVANCE:
		cursor.number = after->number + query->limit;
		break;
	case SORT_COUNT:
		break;
	}
	return cursor;
}

static enum fault list(struct task *t, const struct request *request, struct reply *reply,
	struct product_query *query)
{
	struct scope *s = &t->scope;
	const uint64_t filters = hash_filters(query);
	struct cursor after = beginning(query);
	struct str next = STR_NONE;
	struct items products;
	size_t limit = (size_t)query->limit;

	if (query->cursor.len > 0) {
		TRY(cursor_read(s, query->cursor, (uint8_t)query->sort, filters, &after));
		query->offset = 0; /* a next link keeps an older client's offset */
	}
	if (query->category.at != NULL)
		query->category = slug_of(s, query->category);
	TRY(store_products_list(t, query, &after, &products));
	if (products.count > limit) {
		const struct product *all = products.at;
		struct cursor last = cursor_at(query, &after, &all[limit - 1], filters);

		products.count = limit;
		next = cursor_write(s, &last);
	}
	return reply_list(reply, request, &product_table, products.at, products.count, next);
}

/* ---- who may ---- */

enum fault may_sell(struct scope *s, const struct caller *caller)
{
	if (caller->role == ROLE_ADMIN || caller->role == ROLE_SELLER ||
		products_settings.sellers == SELLERS_ANYONE)
		return OK;
	return fail(s, FAULT_FORBIDDEN, "only sellers may offer products");
}

enum fault may_change(struct scope *s, const struct caller *caller, const struct product *product)
{
	if (caller->role == ROLE_ADMIN)
		return OK;
	if (!uuid_eq(&caller->user_id, &product->seller_id))
		return fail(s, FAULT_FORBIDDEN, "the product is another seller's");
	return may_sell(s, caller);
}

/* ---- cache ---- */

void product_cache_start(struct redis *redis)
{
	const bool on = products_settings.cache_ttl_us > 0;
	const struct cache_config config = {.prefix = "bodega:1:product:",
		.ttl_ms = on ? products_settings.cache_ttl_us / 1000 : 1};

	cache = cache_new(on ? redis : NULL, &config);
}

void product_cache_stop(void)
{
	cache_free(cache);
	cache = NULL;
}

void product_cache_drop(const struct uuid *id, int64_t cache_version)
{
	char key[UUID_TEXT_LEN + 1];

	cache_invalidate(cache, uuid_format(id, key), cache_version);
}
