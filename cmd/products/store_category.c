/* SPDX-License-Identifier: Apache-2.0
 * Statements over the tree of categories. A category's path is its parent's and its own slug, so
 * whoever moves one rewrites the paths below it, and holds everybody else off the tree meanwhile.
 */
#include "statements.h"
#include "store.h"

static void read_category(struct pg_row *row, struct category *category);
static enum fault parent_in(
	struct task *t, struct pg_tx *tx, struct str slug, struct category *parent);

const struct pg_statement categories_list = {
	"categories_list",
	PG_SLOW,
	"SELECT slug, name, parent, path, version FROM categories ORDER BY path LIMIT 10000",
};

enum fault store_categories_list(struct task *t, struct items *categories)
{
	struct pg_rows rows;
	struct category *at;

	TRY(pg_query(t, &categories_list, PG_NO_VALUES, &rows));
	at = arena_alloc_array(t->scope.arena, rows.count, sizeof *at);
	for (size_t i = 0; i < rows.count; i++) {
		struct pg_row row = pg_row(&rows, i);

		read_category(&row, &at[i]);
	}
	*categories = (struct items){at, rows.count};
	return OK;
}

const struct pg_statement category_get = {
	"category_get",
	PG_WRITE,
	"SELECT slug, name, parent, path, version FROM categories WHERE slug = $1::text",
};

enum fault store_category_get(struct task *t, struct str slug, struct category *category)
{
	struct pg_row row;

	TRY(pg_query_row(t, &category_get, PG_VALUES(pg_text(slug)), &row));
	read_category(&row, category);
	return OK;
}

const struct pg_statement category_insert = {
	"category_insert",
	PG_WRITE,
	"INSERT INTO categories (slug, name, path) VALUES ($1::text, $2::text, $1) "
	"RETURNING slug, name, parent, path, version",
};

const struct pg_statement category_insert_child = {
	"category_insert_child",
	PG_WRITE,
	"INSERT INTO categories (slug, name, parent, path) "
	"SELECT $1::text, $2::text, slug, path || '/' || $1 FROM categories WHERE slug = $3::text "
	"RETURNING slug, name, parent, path, version",
};

enum fault store_category_insert(struct task *t, struct pg_tx *tx, struct category *category)
{
	const struct pg_value values[] = {
		pg_text(category->slug), pg_text(category->name), pg_text(category->parent)};
	struct pg_row row;

	if (category->parent.len > 0)
		TRY(store_row(t, tx, &category_insert_child, values, 3, &row));
	else
		TRY(store_row(t, tx, &category_insert, values, 2, &row));
	read_category(&row, category);
	return OK;
}

const struct pg_statement category_ensure = {
	"category_ensure",
	PG_WRITE,
	"INSERT INTO categories (slug, name, path) VALUES ($1::text, $2::text, $1) "
	"ON CONFLICT (slug) DO NOTHING",
};

enum fault store_category_ensure(struct task *t, const struct product *product)
{
	if (product->category.at == NULL)
		return OK;
	return pg_query(t, &category_ensure,
		PG_VALUES(pg_text(product->category), pg_text(product->category_name)), NULL);
}

/* ---- renaming and moving ---- */

/* Keeps other writers of the tree out until the transaction ends; readers go on. */
const struct pg_statement categories_lock = {
	"categories_lock",
	PG_WRITE,
	"LOCK TABLE categories IN SHARE ROW EXCLUSIVE MODE",
};

/* The one with slug $1 gets its name and parent, and all below the path $4 come below $5. */
const struct pg_statement category_update = {
	"category_update",
	PG_WRITE,
	"UPDATE categories "
	"SET name = CASE slug WHEN $1::text THEN $2::text ELSE name END, "
	"	parent = CASE slug WHEN $1 THEN $3::text ELSE parent END, "
	"	path = $5::text || substr(path, length($4::text) + 1), "
	"	version = version + 1, updated_at = now() "
	"WHERE path = $4 OR path LIKE $4 || '/%' "
	"RETURNING slug, name, parent, path, version",
};

/* Search finds a product by its category's name. */
const struct pg_statement category_rename = {
	"category_rename",
	PG_WRITE,
	"UPDATE products SET category_name = $2::text "
	"WHERE category = $1::text AND category_name <> $2",
};

struct update_work {
	struct category *category;
	int64_t version;
};

static enum fault update(struct task *t, struct pg_tx *tx, void *arg)
{
	struct update_work *work = arg;
	struct category *category = work->category;
	struct scope *s = &t->scope;
	struct category now;
	struct category parent = {0};
	struct str path = category->slug;
	struct pg_rows rows;
	struct pg_row row;

	TRY(pg_tx_query(t, tx, &categories_lock, PG_NO_VALUES, NULL));
	TRY(pg_tx_query(t, tx, &category_get, PG_VALUES(pg_text(category->slug)), &rows));
	if (rows.count == 0)
		return fail(s, FAULT_NOT_FOUND, "there is no such category");
	row = pg_row(&rows, 0);
	read_category(&row, &now);
	if (work->version != 0 && work->version != now.version)
		return fail(s, FAULT_PRECONDITION_FAILED, "the category has changed meanwhile");

	if (category->parent.len > 0) {
		TRY(parent_in(t, tx, category->parent, &parent));
		if (str_eq(parent.path, now.path) ||
			str_starts(parent.path, scope_format(s, "%.*s/", STR_ARG(now.path))))
			return fail_field(s, STR("parent"), "value",
				"must not be the category itself nor one below it");
		path = scope_format(s, "%.*s/%.*s", STR_ARG(parent.path), STR_ARG(category->slug));
	}
	TRY(pg_tx_query(t, tx, &category_update,
		PG_VALUES(pg_text(category->slug), pg_text(category->name), pg_text(parent.slug),
			pg_text(now.path), pg_text(path)),
		NULL));
	TRY(pg_tx_query(t, tx, &category_rename,
		PG_VALUES(pg_text(category->slug), pg_text(category->name)), NULL));
	category->path = path;
	category->version = now.version + 1;
	return OK;
}

enum fault store_category_update(struct task *t, struct category *category, int64_t version)
{
	struct update_work work = {category, version};

	return pg_transact(t, update, &work);
}

static enum fault parent_in(
	struct task *t, struct pg_tx *tx, struct str slug, struct category *parent)
{
	struct pg_rows rows;
	struct pg_row row;

	TRY(pg_tx_query(t, tx, &category_get, PG_VALUES(pg_text(slug)), &rows));
	if (rows.count == 0)
		return fail_field(&t->scope, STR("parent"), "value", "is no category's slug");
	row = pg_row(&rows, 0);
	read_category(&row, parent);
	return OK;
}

/* ---- deleting ---- */

/* Products that were deleted let go of it; products_category_fkey and categories_parent_fkey speak
 * for the others. */
const struct pg_statement category_delete = {
	"category_delete",
	PG_WRITE,
	"WITH let_go AS ("
	"	UPDATE products SET category = NULL, category_name = NULL "
	"	WHERE category = $1::text AND status = 'deleted') "
	"DELETE FROM categories WHERE slug = $1 AND $2::bigint IN (0, version)",
};

enum fault store_category_delete(struct task *t, struct str slug, int64_t version)
{
	struct pg_rows rows;

	TRY(pg_query(t, &category_delete, PG_VALUES(pg_text(slug), pg_int64(version)), &rows));
	if (rows.affected > 0)
		return OK;
	if (version != 0)
		return fail(
			&t->scope, FAULT_PRECONDITION_FAILED, "the category has changed meanwhile");
	return fail(&t->scope, FAULT_NOT_FOUND, "there is no such category");
}

static void read_category(struct pg_row *row, struct category *category)
{
	category->slug = pg_take_text(row);
	category->name = pg_take_text(row);
	category->parent = pg_take_text(row);
	category->path = pg_take_text(row);
	category->version = pg_take_int64(row);
}
