/* SPDX-License-Identifier: Apache-2.0
 * The tree of categories. Products name a category by its slug; one that a product names first is
 * made as a root, so admins only give names, order the tree and clear away. */
#include "products.h"

#include "store.h"

#include "service/keyed.h"

static keyed_fn insert;
static enum fault check(struct scope *s, struct category *category);
static bool is_slug(struct str text);
static int64_t version_wanted(const struct request *request, const struct category *category);

/* GET /categories: all of them, parents before children. */
enum fault categories_read(struct task *t, const struct request *request, struct reply *reply)
{
	struct items categories;

	TRY(store_categories_list(t, &categories));
	return reply_list(
		reply, request, &category_table, categories.at, categories.count, STR_NONE);
}

/* POST /categories */
enum fault category_create(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct category category = {0};

	TRY(request_json(s, request, &category_new_table, &category));
	TRY(check(s, &category));
	if (category.slug.at == NULL)
		category.slug = slug_of(s, category.name);
	if (!is_slug(category.slug))
		return fail_field(s, STR("slug"), "format",
			"must be words of a-z and 0-9 with single hyphens between them");
	return keyed_run(t, request, reply, insert, &category, NULL);
}

static enum fault insert(struct task *t, struct pg_tx *tx, const struct request *request,
	struct reply *reply, void *arg)
{
	struct category *category = arg;
	enum fault fault = store_category_insert(t, tx, category);

	(void)request;
	if (fault == FAULT_NOT_FOUND) {
		scope_forgive(&t->scope);
		return fail_field(&t->scope, STR("parent"), "value", "is no category's slug");
	}
	TRY(fault);
	reply_location(reply, "/api/v1/categories/%.*s", STR_ARG(category->slug));
	reply_version(reply, category->version);
	return reply_object(reply, 201, &category_table, category);
}

/* PUT /categories/{slug}: a new name, and another parent when the body has one (null: a root). */
enum fault category_change(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct category category;
	int64_t version;

	TRY(store_category_get(t, request->params[0], &category));
	TRY(request_precondition(s, request, scope_format(s, "%lld", (long long)category.version)));
	version = version_wanted(request, &category);
	TRY(request_json(s, request, &category_table, &category));
	TRY(check(s, &category));
	TRY(store_category_update(t, &category, version));
	reply_version(reply, category.version);
	return reply_object(reply, 200, &category_table, &category);
}

/* DELETE /categories/{slug}: 409 while anything is in it. */
enum fault category_remove(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct category category;

	TRY(store_category_get(t, request->params[0], &category));
	TRY(request_precondition(s, request, scope_format(s, "%lld", (long long)category.version)));
	TRY(store_category_delete(t, category.slug, version_wanted(request, &category)));
	return reply_empty(reply);
}

static enum fault check(struct scope *s, struct category *category)
{
	category->name = str_trim(category->name);
	if (category->name.len == 0)
		return fail_field(s, STR("name"), "length", "must not be blank");
	category->parent = str_trim(category->parent);
	if (category->parent.len == 0)
		category->parent = STR_NONE;
	return OK;
}

/* Of a category that an admin makes: it stands in paths. */
static bool is_slug(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		bool inner = i > 0 && i + 1 < text.len && text.at[i - 1] != '-';

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !(c == '-' && inner))
			return false;
	}
	return text.len > 0;
}

static int64_t version_wanted(const struct request *request, const struct category *category)
{
	return request_header(request, STR("if-match")).at != NULL ? category->version : 0;
}
