/* SPDX-License-Identifier: Apache-2.0
 * Statements over products and their reading. Lists walk an index of their order from an exact key
 * on; which other index serves their filters better, PostgreSQL decides by the values, so they are
 * planned at each run. */
#include "statements.h"
#include "store.h"

/* What read_product takes, in its order. */
#define PRODUCT_COLUMNS                                                                     \
	"p.id, p.seller_id, p.name, p.description, p.price_minor, p.currency, p.category, " \
	"p.tags, p.sku, p.image_url, p.version, p.created_at, p.updated_at, "               \
	"s.available, s.version "

#define PRODUCTS "FROM products p JOIN stock s ON s.product_id = p.id "

/* Conditions of a product_query, $3 to $8; null ones fall away when the statement is planned. */
#define FILTERS                                                \
	"p.status = 'active' "                                 \
	"AND ($3::text IS NULL OR p.category = ANY (ARRAY("    \
	"	SELECT below.slug FROM categories top "              \
	"	JOIN categories below ON below.path = top.path "     \
	"		OR below.path LIKE top.path || '/%' "               \
	"	WHERE top.slug = $3))) "                             \
	"AND ($4::text[] IS NULL OR p.tags @> $4) "            \
	"AND p.price_minor BETWEEN $5::bigint AND $6::bigint " \
	"AND (NOT $7::boolean OR s.available > 0) "            \
	"AND ($8::uuid IS NULL OR p.seller_id = $8) "

#define TEXT_FILTER "AND ($9::text IS NULL OR p.search @@ websearch_to_tsquery('english', $9)) "

#define LIMITS "LIMIT $1::bigint OFFSET $2::bigint"

static void read_product(struct scope *s, struct pg_row *row, struct product *product);
static struct items read_products(struct scope *s, const struct pg_rows *rows, bool with_key);

const struct pg_statement product_get = {
	"product_get",
	PG_READ,
	"SELECT " PRODUCT_COLUMNS PRODUCTS "WHERE p.id = $1::uuid AND p.status = 'active'",
};

enum fault store_product_get(struct task *t, const struct uuid *id, struct product *product)
{
	struct pg_row row;

	TRY(pg_query_row(t, &product_get, PG_VALUES(pg_uuid(id)), &row));
	read_product(&t->scope, &row, product);
	return OK;
}

const struct pg_statement products_get = {
	"products_get",
	PG_SLOW,
	"SELECT " PRODUCT_COLUMNS
	"FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (id, position) "
	"JOIN products p ON p.id = wanted.id "
	"JOIN stock s ON s.product_id = p.id "
	"WHERE p.status = 'active' "
	"ORDER BY wanted.position",
};

enum fault store_products_get(struct task *t, const struct uuids *ids, struct items *products)
{
	struct scope *s = &t->scope;
	struct pg_rows rows;

	TRY(pg_query(t, &products_get, PG_VALUES(pg_uuids(s, ids->at, ids->count)), &rows));
	*products = read_products(s, &rows, false);
	return OK;
}

/* ---- lists ---- */

/* The list most asked for, without conditions: one plan for all, and no product is looked at that
 * is not answered. The LIMIT 1 keeps that plan, which does not know how short the page is, from
 * reading all of stock. */
const struct pg_statement products_newest = {
	"products_newest",
	PG_SLOW,
	"SELECT " PRODUCT_COLUMNS "FROM ("
	"	SELECT * FROM products "
	"	WHERE status = 'active' AND (created_at, id) < ($3::timestamptz, $4::uuid) "
	"	ORDER BY created_at DESC, id DESC " LIMITS ") p "
	"CROSS JOIN LATERAL ("
	"	SELECT available, version FROM stock WHERE product_id = p.id LIMIT 1) s "
	"ORDER BY p.created_at DESC, p.id DESC",
};

const struct pg_statement products_by_newest = {
	"products_by_newest",
	PG_SLOW,
	"SELECT " PRODUCT_COLUMNS PRODUCTS "WHERE " FILTERS TEXT_FILTER
	"AND (p.created_at, p.id) < ($10::timestamptz, $11::uuid) "
	"ORDER BY p.created_at DESC, p.id DESC " LIMITS,
	.plan_each_time = true,
};

const struct pg_statement products_by_price = {
	"products_by_price",
	PG_SLOW,
	"SELECT " PRODUCT_COLUMNS PRODUCTS "WHERE " FILTERS TEXT_FILTER
	"AND (p.price_minor, p.id) > ($10::bigint, $11::uuid) "
	"ORDER BY p.price_minor, p.id " LIMITS,
	.plan_each_time = true,
};

const struct pg_statement products_by_price_down = {
	"products_by_price_down",
	PG_SLOW,
	"SELECT " PRODUCT_COLUMNS PRODUCTS "WHERE " FILTERS TEXT_FILTER
	"AND (p.price_minor, p.id) < ($10::bigint, $11::uuid) "
	"ORDER BY p.price_minor DESC, p.id DESC " LIMITS,
	.plan_each_time = true,
};

const struct pg_statement products_by_name = {
	"products_by_name",
	PG_SLOW,
	"SELECT " PRODUCT_COLUMNS ", p.name_folded " PRODUCTS "WHERE " FILTERS TEXT_FILTER
	"AND (p.name_folded, p.id) > ($10::text, $11::uuid) "
	"ORDER BY p.name_folded, p.id " LIMITS,
	.plan_each_time = true,
};

/* Names that look like the text only when no product has its words. */
const struct pg_statement products_by_relevance = {
	"products_by_relevance",
	PG_SLOW,
	"WITH hits AS MATERIALIZED ("
	"	SELECT p.id, ts_rank(p.search, websearch_to_tsquery('english', $9)) AS rank "
	"	" PRODUCTS "WHERE " FILTERS
	"	AND p.search @@ websearch_to_tsquery('english', $9::text) "
	"	ORDER BY rank DESC, p.id LIMIT 1000), "
	"alike AS MATERIALIZED ("
	"	SELECT p.id, l.likeness AS rank "
	"	FROM products_like($9) l "
	"	JOIN products p USING (id) "
	"	JOIN stock s ON s.product_id = p.id "
	"	WHERE NOT EXISTS (SELECT FROM hits) AND " FILTERS
	"	ORDER BY rank DESC, p.id LIMIT 1000) "
	"SELECT " PRODUCT_COLUMNS "FROM ("
	"	SELECT * FROM (SELECT * FROM hits UNION ALL SELECT * FROM alike) either "
	"	ORDER BY rank DESC, id " LIMITS ") found "
	"JOIN products p USING (id) "
	"JOIN stock s ON s.product_id = p.id "
	"ORDER BY found.rank DESC, p.id",
	.plan_each_time = true,
};

static bool has_filters(const struct product_query *query)
{
	return query->q.len > 0 || query->category.at != NULL || query->tags.count > 0 ||
	       query->min_price > 0 || query->max_price < MONEY_MINOR_MAX || query->in_stock ||
	       !uuid_is_nil(&query->seller);
}

enum fault store_products_list(struct task *t, const struct product_query *query,
	const struct cursor *after, struct items *products)
{
	static const struct pg_statement *const by_sort[SORT_COUNT] = {
		[SORT_NEWEST] = &products_by_newest,
		[SORT_PRICE] = &products_by_price,
		[SORT_PRICE_DOWN] = &products_by_price_down,
		[SORT_NAME] = &products_by_name,
		[SORT_RELEVANCE] = &products_by_relevance,
	};
	struct scope *s = &t->scope;
	struct str q = query->q.len > 0 ? query->q : STR_NONE;
	struct pg_value tags =
		query->tags.count > 0 ? pg_texts(s, query->tags.at, query->tags.count) : pg_null();
	bool ranked = query->sort == SORT_RELEVANCE;
	const struct pg_value values[] = {
		pg_int64(query->limit + 1),
		pg_int64(ranked ? after->number : query->offset),
		pg_text(query->category),
		tags,
		pg_int64(query->min_price),
		pg_int64(query->max_price),
		pg_bool(query->in_stock),
		pg_uuid(&query->seller),
		pg_text(q),
		query->sort == SORT_NEWEST ? pg_time(after->number)
		: query->sort == SORT_NAME ? pg_text(after->text)
					   : pg_int64(after->number),
		pg_uuid(&after->id),
	};
	struct pg_rows rows;

	if (query->sort == SORT_NEWEST && !has_filters(query))
		TRY(pg_query(t, &products_newest,
			PG_VALUES(values[0], values[1], values[9], values[10]), &rows));
	else
		TRY(pg_query(t, by_sort[query->sort], values,
			sizeof values / sizeof *values - (ranked ? 2 : 0), &rows));
	*products = read_products(s, &rows, query->sort == SORT_NAME);
	return OK;
}

/* ---- writes ---- */

/* Of the category $1; locked, so that a rename waits and then rewrites this product too. */
#define CATEGORY_NAME "(SELECT name FROM categories WHERE slug = $1::text FOR SHARE)"

const struct pg_statement product_insert = {
	"product_insert",
	PG_WRITE,
	"WITH product AS ("
	"	INSERT INTO products (id, seller_id, name, description, price_minor, currency, "
	"		category, category_name, tags, sku, image_url) "
	"	VALUES ($2::uuid, $3::uuid, $4::text, coalesce($5::text, ''), $6::bigint, "
	"		$7::text, $1, " CATEGORY_NAME ", $8::text[], $9::text, $10::text) "
	"	RETURNING id, version, created_at, updated_at), "
	"received AS ("
	"	INSERT INTO stock (product_id, available, received) "
	"	SELECT id, $11::bigint, $11 FROM product "
	"	RETURNING product_id, available, version), "
	"booked AS ("
	"	INSERT INTO stock_movements (product_id, reason, quantity, available, actor) "
	"	SELECT product_id, 'received', available, available, $12::text "
	"	FROM received WHERE available > 0) "
	"SELECT p.version, p.created_at, p.updated_at, r.version "
	"FROM product p JOIN received r ON r.product_id = p.id",
};

enum fault store_product_insert(
	struct task *t, struct pg_tx *tx, struct product *product, struct str actor)
{
	struct scope *s = &t->scope;
	struct pg_row row;

	TRY(store_row(t, tx, &product_insert,
		PG_VALUES(pg_text(product->category), pg_uuid(&product->id),
			pg_uuid(&product->seller_id), pg_text(product->name),
			pg_text(product->description), pg_int64(product->price),
			pg_text(product->currency),
			pg_texts(s, product->tags.at, product->tags.count), pg_text(product->sku),
			pg_text(product->image_url), pg_int64(product->stock_quantity),
			pg_text(actor)),
		&row));
	product->version = pg_take_int64(&row);
	product->created_at = pg_take_time(&row);
	product->updated_at = pg_take_time(&row);
	product->stock_version = pg_take_int64(&row);
	return OK;
}

const struct pg_statement product_update = {
	"product_update",
	PG_WRITE,
	"WITH product AS ("
	"	UPDATE products "
	"	SET name = $4::text, description = coalesce($5::text, ''), "
	"		price_minor = $6::bigint, category = $1, "
	"		category_name = " CATEGORY_NAME ", tags = $7::text[], sku = $8::text, "
	"		image_url = $9::text, version = version + 1, updated_at = now() "
	"	WHERE id = $2::uuid AND version = $3::bigint AND status = 'active' "
	"	RETURNING id, version, updated_at) "
	"SELECT p.version, p.updated_at, s.available, s.version "
	"FROM product p JOIN stock s ON s.product_id = p.id",
};

enum fault store_product_update(struct task *t, struct product *product)
{
	struct scope *s = &t->scope;
	struct pg_row row;
	enum fault fault = pg_query_row(t, &product_update,
		PG_VALUES(pg_text(product->category), pg_uuid(&product->id),
			pg_int64(product->version), pg_text(product->name),
			pg_text(product->description), pg_int64(product->price),
			pg_texts(s, product->tags.at, product->tags.count), pg_text(product->sku),
			pg_text(product->image_url)),
		&row);

	if (fault == FAULT_NOT_FOUND) {
		scope_forgive(s);
		return fail(s, FAULT_PRECONDITION_FAILED, "the product has changed meanwhile");
	}
	TRY(fault);
	product->version = pg_take_int64(&row);
	product->updated_at = pg_take_time(&row);
	product->stock_quantity = pg_take_int64(&row);
	product->stock_version = pg_take_int64(&row);
	return OK;
}

const struct pg_statement product_delete = {
	"product_delete",
	PG_WRITE,
	"WITH product AS ("
	"	UPDATE products "
	"	SET status = 'deleted', version = version + 1, updated_at = now() "
	"	WHERE id = $1::uuid AND status = 'active' AND $2::bigint IN (0, version) "
	"	RETURNING id, version) "
	"SELECT p.version + s.version FROM product p JOIN stock s ON s.product_id = p.id",
};

enum fault store_product_delete(
	struct task *t, const struct uuid *id, int64_t version, int64_t *cache_version)
{
	struct scope *s = &t->scope;
	struct pg_row row;
	enum fault fault =
		pg_query_row(t, &product_delete, PG_VALUES(pg_uuid(id), pg_int64(version)), &row);

	if (fault == FAULT_NOT_FOUND && version != 0) {
		scope_forgive(s);
		return fail(s, FAULT_PRECONDITION_FAILED, "the product has changed meanwhile");
	}
	TRY(fault);
	*cache_version = pg_take_int64(&row);
	return OK;
}

/* ---- rows ---- */

static void read_product(struct scope *s, struct pg_row *row, struct product *product)
{
	*product = (struct product){0};
	product->id = pg_take_uuid(row);
	product->seller_id = pg_take_uuid(row);
	product->name = pg_take_text(row);
	product->description = pg_take_text(row);
	product->price = pg_take_int64(row);
	product->currency = pg_take_text(row);
	product->category = pg_take_text(row);
	product->tags = pg_take_texts(s, row);
	product->sku = pg_take_text(row);
	product->image_url = pg_take_text(row);
	product->version = pg_take_int64(row);
	product->created_at = pg_take_time(row);
	product->updated_at = pg_take_time(row);
	product->stock_quantity = pg_take_int64(row);
	product->stock_version = pg_take_int64(row);
}

static struct items read_products(struct scope *s, const struct pg_rows *rows, bool with_key)
{
	struct product *products = arena_alloc_array(s->arena, rows->count, sizeof *products);

	for (size_t i = 0; i < rows->count; i++) {
		struct pg_row row = pg_row(rows, i);

		read_product(s, &row, &products[i]);
		if (with_key)
			products[i].name_folded = pg_take_text(&row);
	}
	return (struct items){products, rows->count};
}
