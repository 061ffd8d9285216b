/* SPDX-License-Identifier: Apache-2.0
 * Stock as sellers see it: how many can be bought, and the ledger of what changed that. */
#include "products.h"

#include "store.h"

#include "base/check.h"
#include "service/keyed.h"

struct patch {
	struct product product;
	struct stock_change change;
};

static keyed_fn apply;
static enum fault check(struct scope *s, const struct stock_change *change);

/* PATCH /products/{id}/stock: {"quantity": n} adds n, {"set": n} makes it n; holds stay. */
enum fault stock_patch(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct patch patch = {.change = {STOCK_NOT_GIVEN, STOCK_NOT_GIVEN}};
	bool changed;

	TRY(request_uuid(s, request, 0, &patch.product.id));
	TRY(request_json(s, request, &stock_change_table, &patch.change));
	TRY(check(s, &patch.change));
	TRY(keyed_run(t, request, reply, apply, &patch, &changed));
	if (changed)
		product_cache_drop(&patch.product.id, product_cache_version(&patch.product));
	return OK;
}

static enum fault apply(struct task *t, struct pg_tx *tx, const struct request *request,
	struct reply *reply, void *arg)
{
	struct scope *s = &t->scope;
	struct patch *patch = arg;
	struct product *product = &patch->product;

	TRY(store_product_get(t, &product->id, product));
	TRY(may_change(s, &request->caller, product));
	TRY(request_precondition(s, request,
		scope_format(s, "%lld.%lld", (long long)product->version,
			(long long)product->stock_version)));
	TRY(store_stock_change(t, tx, product, &patch->change,
		request_header(request, STR("if-match")).at != NULL, request->caller.actor));
	reply_versions(reply, product->version, product->stock_version);
	return reply_object(reply, 200, &product_table, product);
}

static enum fault check(struct scope *s, const struct stock_change *change)
{
	if ((change->quantity == STOCK_NOT_GIVEN) == (change->set == STOCK_NOT_GIVEN))
		return fail_field(s, STR("quantity"), "required",
			"give either quantity (units to add) or set (units available)");
	if (change->quantity == 0)
		return fail_field(s, STR("quantity"), "value", "must not be 0");
	return OK;
}

/* GET /products/{id}/stock/movements: newest first. */
enum fault movements_read(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct page page = {.limit = LIMIT_DEFAULT};
	struct cursor after = {.number = INT64_MAX};
	struct str next = STR_NONE;
	struct product product;
	struct items movements;
	struct uuid id;
	uint64_t filters;

	TRY(request_uuid(s, request, 0, &id));
	TRY(request_query(s, request, &page_table, &page));
	TRY(store_product_get(t, &id, &product));
	TRY(may_change(s, &request->caller, &product));
	filters = cursor_hash(0, str_of((const char *)id.bytes, sizeof id.bytes));
	if (page.cursor.len > 0) {
		TRY(cursor_read(s, page.cursor, SORT_COUNT, filters, &after));
		page.offset = 0;
	}
	TRY(store_movements_list(t, &id, after.number, &page, &movements));
	if (movements.count > (size_t)page.limit) {
		const struct movement *all = movements.at;
		struct cursor last = {.sort = SORT_COUNT, .filters = filters, .id = id};

		movements.count = (size_t)page.limit;
		CHECK(str_to_int64(all[movements.count - 1].id, &last.number));
		next = cursor_write(s, &last);
	}
	return reply_list(reply, request, &movement_table, movements.at, movements.count, next);
}
