/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "states.h"
#include "json/field.h"

/* What orders are made of, and how they look in JSON. Members are called as in JSON; money is in
 * minor units. */

enum {
	ITEMS_MAX = 100,
	QUANTITY_MAX = 10000,
	METADATA_BYTES_MAX = 16 << 10,
	NOTE_MAX = 1000,
	REFERENCE_MAX = 200,
	TOKEN_MAX = 64,
	TRACKING_NUMBER_MAX = 200,
	PAGE_MAX = 100,
	PAGE_DEFAULT = 20,
	OFFSET_MAX = 10000,
};

struct order_item {
	struct uuid id;
	struct uuid product_id;
	struct uuid seller_id;
	struct str name;
	int32_t quantity;
	int64_t price; /* of one unit */
	int64_t total;
	size_t asked_at; /* where the client named the product first: items[asked_at] */
};

struct payment {
	int32_t attempt;
	struct str method;
	struct str status;
	struct str reference;
	int64_t amount;
	int64_t refunded;
	struct str decline_code; /* the provider's, of one that was declined */
	struct str decline_message;
	int64_t updated_at;
};

struct order {
	struct uuid id;
	struct uuid user_id;
	int status; /* enum status */
	int64_t version;
	struct items items; /* struct order_item */
	struct str currency;
	int64_t subtotal;
	int64_t shipping;
	int64_t tax;
	int64_t total;
	struct payment payment; /* of the last attempt; all empty without one */
	struct str tracking_number;
	struct str shipping_address; /* JSON */
	struct str metadata; /* JSON */
	bool needs_attention;
	int64_t created_at;
	int64_t updated_at;
	int64_t expires_at; /* unless it is paid by then; 0 once it cannot expire any more */
	bool is_idle; /* no step is under way */
};

struct history_entry {
	struct str from;
	struct str to;
	struct str actor; /* "user:<id>" or "system" */
	struct str note;
	int64_t at;
	int64_t version;
};

struct refund {
	struct uuid id;
	int64_t amount;
	bool restock; /* the goods came back */
	struct str status; /* "processing" or "done" */
	struct str actor;
	struct str note;
	int64_t created_at;
	int64_t updated_at;
};

extern const struct field_table order_table;
extern const struct field_table refund_table;
extern const struct field_table history_table;

/* ---- what clients send ---- */

struct new_item {
	struct uuid product_id;
	int32_t quantity;
};

struct new_order {
	struct items items; /* struct new_item */
	struct uuid product_id; /* of older clients: one item, without `items` */
	int32_t quantity;
	struct uuid user_id;
	struct address {
		struct str name;
		struct str street;
		struct str city;
		struct str state;
		struct str zip_code;
		struct str country;
		struct str phone;
	} shipping_address;
	struct str metadata;
	struct new_payment {
		int method; /* index into payment_methods */
		struct str reference; /* of one received outside */
		struct str token; /* stands for a card; STR_NONE in an order without payment */
	} payment;
};

/* What becomes of a line; of older clients in an order's change. */
struct item_change {
	struct uuid id;
	struct uuid product_id; /* without an id: the line of that product, or a new one */
	int32_t quantity;
	bool is_removed;
};

struct item_changes {
	struct items items; /* struct item_change */
};

/* Of older clients: a change of status, of items, or both. */
struct order_change {
	int status; /* index into status_change_names, -1: none */
	struct str note;
	struct str tracking_number;
	struct items items; /* struct item_change */
};

struct status_change {
	int status; /* index into status_change_names */
	struct str note;
	struct str tracking_number;
};

struct cancellation {
	struct str note;
};

enum { METHOD_MANUAL, METHOD_CARD };

struct new_refund {
	int64_t amount; /* 0: all that is left */
	bool restock; /* the goods came back */
	struct str note;
};

struct order_query {
	struct uuid user_id;
	int status; /* enum status less one (nobody asks for intents), -1: all */
	int64_t limit;
	int64_t offset;
	struct str cursor;
};

extern const struct field_table address_table;
extern const struct field_table new_order_table;
extern const struct field_table item_changes_table;
extern const struct field_table order_change_table;
extern const struct field_table status_change_table;
extern const struct field_table cancellation_table;
extern const struct field_table new_payment_table;
extern const struct field_table new_refund_table;
extern const struct field_table order_query_table;
extern const char *const payment_methods[];

/* The status that a status_change asks for. */
enum status status_wanted(const struct status_change *change);

/* The lines of an order out of what the client sent, those of one product added up, each with an id
 * of its own. FAULT_INVALID names what is wrong. */
enum fault order_items_from(
	struct scope *s, const struct new_order *wanted, struct items *items) MUST_CHECK;

/* The order's lines as the changes make them, into `items`. FAULT_NOT_FOUND: there is no such line;
 * FAULT_CONFLICT: no line would be left; FAULT_INVALID names what is wrong. */
enum fault order_items_changed(struct scope *s, const struct order *order,
	const struct items *changes, struct items *items) MUST_CHECK;

/* Lines as the row keeps them while they are changed: id, product and quantity of each. */
struct order_lines {
	struct items lines; /* struct order_item */
};
extern const struct field_table order_lines_table;

/* Line totals, subtotal and total. FAULT_INVALID when they leave what money can say. */
enum fault order_add_up(struct scope *s, struct order *order) MUST_CHECK;
