/* SPDX-License-Identifier: Apache-2.0
 * Orders in JSON, one line a field, and the sums over their lines. Prices and names never come from
 * the client: where older clients send them they are accepted and not looked at. */
#include "model.h"

#include <inttypes.h>

static const struct field item_fields[] = {
	FIELD(struct order_item, id, UUID, OUTPUT),
	FIELD(struct order_item, product_id, UUID, OUTPUT),
	FIELD(struct order_item, seller_id, UUID, OUTPUT),
	FIELD(struct order_item, name, TEXT, OUTPUT),
	FIELD(struct order_item, quantity, INT32, OUTPUT),
	FIELD(struct order_item, price, MONEY, OUTPUT),
	FIELD(struct order_item, total, MONEY, OUTPUT),
};
static const struct field_table item_table = FIELD_TABLE(struct order_item, item_fields);

static const struct field payment_fields[] = {
	FIELD(struct payment, method, TEXT, OUTPUT),
	FIELD(struct payment, status, TEXT, OUTPUT),
	FIELD(struct payment, reference, TEXT, OUTPUT),
	FIELD(struct payment, amount, MONEY, OUTPUT),
	FIELD(struct payment, refunded, MONEY, OUTPUT),
	FIELD(struct payment, decline_code, TEXT, OUTPUT, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct payment, decline_message, TEXT, OUTPUT, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct payment, updated_at, TIME, OUTPUT),
};
static const struct field_table payment_table = FIELD_TABLE(struct payment, payment_fields);

static const struct field order_fields[] = {
	FIELD(struct order, id, UUID, OUTPUT),
	FIELD(struct order, user_id, UUID, OUTPUT),
	FIELD(struct order, status, ENUM, OUTPUT, .names = status_names),
	FIELD(struct order, version, INT64, OUTPUT),
	FIELD(struct order, items, ARRAY, OUTPUT, .of = &item_table),
	FIELD(struct order, currency, TEXT, OUTPUT),
	FIELD(struct order, subtotal, MONEY, OUTPUT),
	FIELD(struct order, shipping, MONEY, OUTPUT),
	FIELD(struct order, tax, MONEY, OUTPUT),
	FIELD(struct order, total, MONEY, OUTPUT),
	FIELD(struct order, payment, OBJECT, OPTIONAL, .of = &payment_table),
	FIELD(struct order, tracking_number, TEXT, OUTPUT),
	FIELD(struct order, shipping_address, RAW, OUTPUT),
	FIELD(struct order, metadata, RAW, OUTPUT),
	FIELD(struct order, needs_attention, BOOL, OUTPUT, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct order, created_at, TIME, OUTPUT),
	FIELD(struct order, updated_at, TIME, OUTPUT),
	FIELD(struct order, expires_at, TIME, OUTPUT),
};
const struct field_table order_table = FIELD_TABLE(struct order, order_fields);

static const struct field history_fields[] = {
	FIELD(struct history_entry, from, TEXT, OUTPUT),
	FIELD(struct history_entry, to, TEXT, OUTPUT),
	FIELD(struct history_entry, actor, TEXT, OUTPUT),
	FIELD(struct history_entry, note, TEXT, OUTPUT),
	FIELD(struct history_entry, at, TIME, OUTPUT),
	FIELD(struct history_entry, version, INT64, OUTPUT),
};
const struct field_table history_table = FIELD_TABLE(struct history_entry, history_fields);

static const struct field refund_fields[] = {
	FIELD(struct refund, id, UUID, OUTPUT),
	FIELD(struct refund, amount, MONEY, OUTPUT),
	FIELD(struct refund, restock, BOOL, OUTPUT),
	FIELD(struct refund, status, TEXT, OUTPUT),
	FIELD(struct refund, actor, TEXT, OUTPUT),
	FIELD(struct refund, note, TEXT, OUTPUT),
	FIELD(struct refund, created_at, TIME, OUTPUT),
	FIELD(struct refund, updated_at, TIME, OUTPUT),
};
const struct field_table refund_table = FIELD_TABLE(struct refund, refund_fields);

/* ---- what clients send ---- */

static const struct field address_fields[] = {
	FIELD(struct address, name, TEXT, OPTIONAL, .max = 200, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, street, TEXT, OPTIONAL, .max = 200, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, city, TEXT, OPTIONAL, .max = 200, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, state, TEXT, OPTIONAL, .max = 200, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, zip_code, TEXT, OPTIONAL, .max = 20, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, country, TEXT, OPTIONAL, .max = 100, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, phone, TEXT, OPTIONAL, .max = 50, .flags = FIELD_OMIT_EMPTY),
};
const struct field_table address_table = FIELD_TABLE(struct address, address_fields);

static const struct field new_item_fields[] = {
	FIELD(struct new_item, product_id, UUID, REQUIRED),
	FIELD(struct new_item, quantity, INT32, REQUIRED, .min = 1, .max = QUANTITY_MAX),
	FIELD_IGNORE("name"),
	FIELD_IGNORE("price"),
	FIELD_IGNORE("status"),
};
static const struct field_table new_item_table = FIELD_TABLE(struct new_item, new_item_fields);

const char *const payment_methods[] = {"manual", "card", NULL};

static const struct field new_payment_fields[] = {
	FIELD(struct new_payment, method, ENUM, REQUIRED, .names = payment_methods),
	FIELD(struct new_payment, reference, TEXT, OPTIONAL, .min = 1, .max = REFERENCE_MAX),
	FIELD(struct new_payment, token, TEXT, OPTIONAL, .min = 1, .max = TOKEN_MAX,
		.flags = FIELD_SECRET),
};
const struct field_table new_payment_table = FIELD_TABLE(struct new_payment, new_payment_fields);

static const struct field card_fields[] = {
	FIELD(struct new_payment, method, ENUM, REQUIRED, .names = payment_methods),
	FIELD(struct new_payment, token, TEXT, REQUIRED, .min = 1, .max = TOKEN_MAX,
		.flags = FIELD_SECRET),
};
static const struct field_table card_table = FIELD_TABLE(struct new_payment, card_fields);

static const struct field new_order_fields[] = {
	FIELD(struct new_order, items, ARRAY, OPTIONAL, .of = &new_item_table, .min = 1,
		.max = ITEMS_MAX),
	FIELD(struct new_order, product_id, UUID, OPTIONAL),
	FIELD(struct new_order, quantity, INT32, OPTIONAL, .min = 1, .max = QUANTITY_MAX),
	FIELD(struct new_order, user_id, UUID, OPTIONAL),
	FIELD(struct new_order, shipping_address, OBJECT, OPTIONAL, .of = &address_table),
	FIELD(struct new_order, metadata, RAW, OPTIONAL, .max = METADATA_BYTES_MAX),
	FIELD(struct new_order, payment, OBJECT, OPTIONAL, .of = &card_table),
	FIELD_IGNORE("price"),
	FIELD_IGNORE("status"),
	FIELD_IGNORE("total"),
};
const struct field_table new_order_table = FIELD_TABLE(struct new_order, new_order_fields);

/* What people may ask for; the other states are reached by the saga alone. */
static const char *const status_change_names[] = {
	"confirmed", "processing", "shipped", "delivered", "cancelled", NULL};

static const struct field status_change_fields[] = {
	FIELD(struct status_change, status, ENUM, REQUIRED, .names = status_change_names),
	FIELD(struct status_change, note, TEXT, OPTIONAL, .max = NOTE_MAX),
	FIELD(struct status_change, tracking_number, TEXT, OPTIONAL, .min = 1,
		.max = TRACKING_NUMBER_MAX),
};
const struct field_table status_change_table =
	FIELD_TABLE(struct status_change, status_change_fields);

static const struct field item_change_fields[] = {
	FIELD(struct item_change, id, UUID, OPTIONAL, .alias = "order_item_id"),
	FIELD(struct item_change, product_id, UUID, OPTIONAL),
	FIELD(struct item_change, quantity, INT32, OPTIONAL, .min = 1, .max = QUANTITY_MAX),
	{.name = "delete",
		.type = FIELD_BOOL,
		.kind = FIELD_OPTIONAL,
		.offset = offsetof(struct item_change, is_removed)},
	FIELD_IGNORE("name"),
	FIELD_IGNORE("price"),
	FIELD_IGNORE("status"),
};
static const struct field_table item_change_table =
	FIELD_TABLE(struct item_change, item_change_fields);

static const struct field item_changes_fields[] = {
	FIELD(struct item_changes, items, ARRAY, REQUIRED, .of = &item_change_table, .min = 1,
		.max = ITEMS_MAX),
};
const struct field_table item_changes_table = FIELD_TABLE(struct item_changes, item_changes_fields);

static const struct field order_change_fields[] = {
	FIELD(struct order_change, status, ENUM, OPTIONAL, .names = status_change_names),
	FIELD(struct order_change, note, TEXT, OPTIONAL, .max = NOTE_MAX),
	FIELD(struct order_change, tracking_number, TEXT, OPTIONAL, .min = 1,
		.max = TRACKING_NUMBER_MAX),
	FIELD(struct order_change, items, ARRAY, OPTIONAL, .of = &item_change_table, .min = 1,
		.max = ITEMS_MAX),
};
const struct field_table order_change_table = FIELD_TABLE(struct order_change, order_change_fields);

static const struct field order_line_fields[] = {
	FIELD(struct order_item, id, UUID, OUTPUT),
	FIELD(struct order_item, product_id, UUID, OUTPUT),
	FIELD(struct order_item, quantity, INT32, OUTPUT),
};
static const struct field_table order_line_table =
	FIELD_TABLE(struct order_item, order_line_fields);

static const struct field order_lines_fields[] = {
	FIELD(struct order_lines, lines, ARRAY, OUTPUT, .of = &order_line_table),
};
const struct field_table order_lines_table = FIELD_TABLE(struct order_lines, order_lines_fields);

static const struct field cancellation_fields[] = {
	FIELD(struct cancellation, note, TEXT, OPTIONAL, .max = NOTE_MAX),
};
const struct field_table cancellation_table = FIELD_TABLE(struct cancellation, cancellation_fields);

static const struct field new_refund_fields[] = {
	FIELD(struct new_refund, amount, MONEY, OPTIONAL, .min = 1, .max = MONEY_MINOR_MAX),
	FIELD(struct new_refund, restock, BOOL, OPTIONAL),
	FIELD(struct new_refund, note, TEXT, OPTIONAL, .max = NOTE_MAX),
};
const struct field_table new_refund_table = FIELD_TABLE(struct new_refund, new_refund_fields);

static const struct field order_query_fields[] = {
	FIELD(struct order_query, user_id, UUID, OPTIONAL),
	FIELD(struct order_query, status, ENUM, OPTIONAL, .names = status_names + 1),
	FIELD(struct order_query, limit, INT64, OPTIONAL, .min = 1, .max = PAGE_MAX),
	FIELD(struct order_query, offset, INT64, OPTIONAL, .min = 0, .max = OFFSET_MAX),
	FIELD(struct order_query, cursor, TEXT, OPTIONAL, .max = 512),
};
const struct field_table order_query_table = FIELD_TABLE(struct order_query, order_query_fields);

enum status status_wanted(const struct status_change *change)
{
	return status_of(str_from(status_change_names[change->status]));
}

/* ---- sums ---- */

static struct items items_wanted(struct scope *s, const struct new_order *wanted);
static struct order_item *find_product(const struct items *items, const struct uuid *product_id);

enum fault order_items_from(struct scope *s, const struct new_order *wanted, struct items *items)
{
	const bool is_lone = !uuid_is_nil(&wanted->product_id);

	if (is_lone == (wanted->items.count > 0) || (!is_lone && wanted->quantity != 0))
		return fail_field(s, STR("items"), "required",
			"needs `items`, or one `product_id` with its `quantity`; not both");

	const struct items lines = items_wanted(s, wanted);
	const struct new_item *line = lines.at;

	items->at = arena_alloc_array(s->arena, lines.count, sizeof(struct order_item));
	items->count = 0;
	for (size_t i = 0; i < lines.count; i++, line++) {
		struct order_item *item = find_product(items, &line->product_id);
		if (item == NULL) {
			item = (struct order_item *)items->at + items->count++;
			*item = (struct order_item){
				.id = uuid_new(), .product_id = line->product_id, .asked_at = i};
		}
		item->quantity += line->quantity;
		if (item->quantity > QUANTITY_MAX)
			return fail_field(s,
				is_lone ? STR("quantity")
					: scope_format(s, "items[%zu].quantity", i),
				"range", "the quantities of one product add up to more than %d",
				QUANTITY_MAX);
	}
	return OK;
}

/* What is wanted of the line that the change names; a new line if it names none of ours. */
static enum fault change_line(struct scope *s, const struct item_change *change, size_t at,
	bool *is_named, struct items *items)
{
	const struct str field = scope_format(s, "items[%zu]", at);
	const bool by_id = !uuid_is_nil(&change->id);
	struct order_item *item = items->at;
	size_t i = 0;

	if (!by_id && uuid_is_nil(&change->product_id))
		return fail_field(s, field, "required", "needs `id` or `product_id`");
	if (change->is_removed == (change->quantity > 0))
		return fail_field(
			s, field, "required", "needs a `quantity`, or `delete`; not both");
	while (i < items->count && !(by_id ? uuid_eq(&item[i].id, &change->id)
					   : uuid_eq(&item[i].product_id, &change->product_id)))
		i++;
	if (i == items->count && (by_id || change->is_removed || items->count == ITEMS_MAX))
		return by_id || change->is_removed
		               ? fail(s, FAULT_NOT_FOUND, "the order has no such item")
		               : fail_field(s, STR("items"), "length",
					 "an order has at most %d items", ITEMS_MAX);
	if (i == items->count)
		item[items->count++] =
			(struct order_item){.id = uuid_new(), .product_id = change->product_id};
	if (is_named[i])
		return fail_field(s, field, "duplicate", "names an item that was named before");
	is_named[i] = true;
	item[i].quantity = change->quantity; /* 0: it goes */
	item[i].asked_at = at;
	return OK;
}

enum fault order_items_changed(struct scope *s, const struct order *order,
	const struct items *changes, struct items *items)
{
	const struct item_change *change = changes->at;
	struct order_item *lines = arena_alloc_array(s->arena, ITEMS_MAX, sizeof *lines);
	bool is_named[ITEMS_MAX] = {0};
	size_t left = 0;

	memcpy(lines, order->items.at, order->items.count * sizeof *lines);
	*items = (struct items){lines, order->items.count};
	for (size_t i = 0; i < changes->count; i++, change++)
		TRY(change_line(s, change, i, is_named, items));
	for (size_t i = 0; i < items->count; i++) {
		if (lines[i].quantity > 0)
			lines[left++] = lines[i];
	}
	items->count = left;
	return left > 0 ? OK : fail(s, FAULT_CONFLICT, "an order has at least one item: cancel it");
}

enum fault order_add_up(struct scope *s, struct order *order)
{
	struct order_item *item = order->items.at;
	bool fits = true;

	order->subtotal = 0;
	for (size_t i = 0; i < order->items.count; i++, item++) {
		item->total = 0;
		fits = fits && money_add(&item->total, item->price, item->quantity) &&
		       money_add(&order->subtotal, item->total, 1);
	}
	order->total = order->subtotal;
	fits = fits && money_add(&order->total, order->shipping, 1) &&
	       money_add(&order->total, order->tax, 1);
	if (!fits)
		return fail_field(s, STR("items"), "range",
			"the order's total is more than %" PRId64 " minor units", MONEY_MINOR_MAX);
	return OK;
}

static struct items items_wanted(struct scope *s, const struct new_order *wanted)
{
	if (uuid_is_nil(&wanted->product_id))
		return wanted->items;

	struct new_item *lone = scope_alloc(s, sizeof *lone);
	lone->product_id = wanted->product_id;
	lone->quantity = wanted->quantity == 0 ? 1 : wanted->quantity;
	return (struct items){.at = lone, .count = 1};
}

static struct order_item *find_product(const struct items *items, const struct uuid *product_id)
{
	struct order_item *item = items->at;

	for (size_t i = 0; i < items->count; i++, item++) {
		if (uuid_eq(&item->product_id, product_id))
			return item;
	}
	return NULL;
}
