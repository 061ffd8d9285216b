/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "model.h"
#include "json/write.h"

#define A "00000000-0000-7000-8000-00000000000a"
#define B "00000000-0000-7000-8000-00000000000b"

static enum fault items_from(struct scope *s, const char *body, struct items *items)
{
	struct new_order wanted = {0};

	TRY(json_read(s, str_from(body), &new_order_table, &wanted));
	return order_items_from(s, &wanted, items);
}

static void bodies_become_lines(void **state)
{
	static const struct {
		const char *body;
		size_t count; /* 0: refused */
		int first; /* the quantity of A */
		const char *field;
	} rows[] = {
		{"{\"items\":[{\"product_id\":\"" A "\",\"quantity\":2}]}", 1, 2, NULL},
		{"{\"items\":[{\"product_id\":\"" A "\",\"quantity\":2},{\"product_id\":\"" B
		 "\",\"quantity\":1},{\"product_id\":\"" A "\",\"quantity\":3}]}",
			2, 5, NULL},
		{"{\"product_id\":\"" A "\"}", 1, 1, NULL},
		{"{\"product_id\":\"" A "\",\"quantity\":4,\"price\":1,\"status\":\"paid\"}", 1, 4,
			NULL},
		{"{\"items\":[{\"product_id\":\"" A "\",\"quantity\":1,\"price\":0.01}]}", 1, 1,
			NULL},
		{"{}", 0, 0, "items"},
		{"{\"items\":[]}", 0, 0, "items"},
		{"{\"items\":[{\"product_id\":\"" A "\",\"quantity\":1}],\"product_id\":\"" B "\"}",
			0, 0, "items"},
		{"{\"items\":[{\"product_id\":\"" A "\",\"quantity\":1}],\"quantity\":2}", 0, 0,
			"items"},
		{"{\"items\":[{\"product_id\":\"" A "\",\"quantity\":0}]}", 0, 0,
			"items[0].quantity"},
		{"{\"items\":[{\"product_id\":\"" A "\",\"quantity\":null}]}", 0, 0,
			"items[0].quantity"},
		{"{\"items\":[{\"product_id\":\"" A "\"}]}", 0, 0, "items[0].quantity"},
		{"{\"items\":[{\"product_id\":\"" A "\",\"quantity\":9999},{\"product_id\":\"" A
		 "\",\"quantity\":2}]}",
			0, 0, "items[1].quantity"},
		{"{\"items\":[{\"product_id\":\"7\",\"quantity\":1}]}", 0, 0,
			"items[0].product_id"},
		{"{\"product_id\":\"" A "\",\"colour\":\"red\"}", 0, 0, "colour"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct scope s;
		struct items items = {0};
		scope_begin(&s);
		const enum fault fault = items_from(&s, rows[i].body, &items);
		if (rows[i].count > 0) {
			const struct order_item *first = items.at;
			if (fault != OK || items.count != rows[i].count ||
				first->quantity != rows[i].first)
				fail_row(i, "fault %d, %zu lines", fault, items.count);
		} else if (fault != FAULT_INVALID || s.errors == NULL ||
			   !str_eq(s.errors->field, str_from(rows[i].field))) {
			fail_row(i, "fault %d, field %.*s", fault,
				STR_ARG(s.errors != NULL ? s.errors->field : STR_NONE));
		}
		scope_end(&s);
	}
}

static void totals_are_exact_or_refused(void **state)
{
	static const struct {
		int64_t price;
		int32_t quantity;
		int64_t shipping;
		int64_t tax;
		int64_t total; /* -1: refused */
	} rows[] = {
		{2999, 3, 0, 0, 17994},
		{0, 10000, 0, 0, 0},
		{2999, 1, 500, 77, 6575},
		{MONEY_MINOR_MAX / 2, 1, 0, 0, MONEY_MINOR_MAX},
		{MONEY_MINOR_MAX / 2, 1, 1, 0, -1},
		{MONEY_MINOR_MAX / 2, 1, 0, 1, -1},
		{MONEY_MINOR_MAX / 2 + 1, 1, 0, 0, -1},
		{MONEY_MINOR_MAX, 10000, 0, 0, -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct order_item lines[2] = {
			{.price = rows[i].price, .quantity = rows[i].quantity},
			{.price = rows[i].price, .quantity = rows[i].quantity},
		};
		struct order order = {
			.items = {lines, 2}, .shipping = rows[i].shipping, .tax = rows[i].tax};
		struct scope s;
		scope_begin(&s);
		const enum fault fault = order_add_up(&s, &order);
		if (rows[i].total < 0 ? fault != FAULT_INVALID
				      : fault != OK || order.total != rows[i].total)
			fail_row(i, "fault %d, total %lld", fault, (long long)order.total);
		scope_end(&s);
	}
}

static void an_order_in_json(void **state)
{
	struct order_item line = {.name = STR("Tray"), .quantity = 2, .price = 1050, .total = 2100};
	struct order order = {.status = STATUS_PENDING,
		.version = 1,
		.items = {&line, 1},
		.currency = STR("USD"),
		.subtotal = 2100,
		.total = 2100,
		.shipping_address = STR("{\"city\":\"Graz\"}"),
		.created_at = 1000};
	struct scope s;
	struct buf b;

	(void)state;
	scope_begin(&s);
	b = buf_new(s.arena);
	uuid_parse(STR(A), &order.id);
	json_write(&b, &order_table, &order);
	assert_str_equal(buf_str(&b),
		STR("{\"id\":\"" A "\",\"user_id\":null,\"status\":\"pending\",\"version\":1,"
		    "\"items\":[{\"id\":null,\"product_id\":null,\"seller_id\":null,"
		    "\"name\":\"Tray\",\"quantity\":2,\"price\":10.50,\"price_minor\":1050,"
		    "\"total\":21.00,\"total_minor\":2100}],\"currency\":\"USD\","
		    "\"subtotal\":21.00,\"subtotal_minor\":2100,"
		    "\"shipping\":0.00,\"shipping_minor\":0,\"tax\":0.00,\"tax_minor\":0,"
		    "\"total\":21.00,\"total_minor\":2100,\"payment\":null,"
		    "\"tracking_number\":null,\"shipping_address\":{\"city\":\"Graz\"},"
		    "\"metadata\":null,\"created_at\":\"1970-01-01T00:00:00.001Z\","
		    "\"updated_at\":null,\"expires_at\":null}"));
	scope_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_become_lines),
		cmocka_unit_test(totals_are_exact_or_refused),
		cmocka_unit_test(an_order_in_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
