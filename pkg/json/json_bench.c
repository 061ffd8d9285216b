/* SPDX-License-Identifier: Apache-2.0
 * Nanoseconds to read an order's body and to write a product: build/release/pkg/json/json_bench. */
#include "base/clock.h"
#include "json/sample.h"
#include "json/write.h"

#include <stdio.h>

enum { ROUNDS = 300000 };

struct product {
	struct uuid id;
	struct str name;
	struct str description;
	int64_t price;
	struct str currency;
	struct str category;
	struct texts tags;
	int32_t stock_quantity;
	struct uuid seller_id;
	struct str image_url;
	int64_t created_at;
	int64_t updated_at;
	int64_t version;
};

static const struct field product_fields[] = {
	FIELD(struct product, id, UUID, OUTPUT),
	FIELD(struct product, name, TEXT, REQUIRED, .min = 1, .max = 200),
	FIELD(struct product, description, TEXT, OPTIONAL, .max = 10000),
	FIELD(struct product, price, MONEY, REQUIRED, .min = 1, .max = 1000000),
	FIELD(struct product, currency, TEXT, OPTIONAL),
	FIELD(struct product, category, TEXT, OPTIONAL),
	FIELD(struct product, tags, TEXTS, OPTIONAL, .max = 20, .of_max = 50),
	FIELD(struct product, stock_quantity, INT32, OPTIONAL, .max = 1000000),
	FIELD(struct product, seller_id, UUID, OUTPUT),
	FIELD(struct product, image_url, TEXT, OPTIONAL),
	FIELD(struct product, created_at, TIME, OUTPUT),
	FIELD(struct product, updated_at, TIME, OUTPUT),
	FIELD(struct product, version, INT64, OUTPUT),
};
static const struct field_table product_table = FIELD_TABLE(struct product, product_fields);

struct order {
	struct items items;
	struct sample_place shipping_address;
	struct str metadata;
};

static const struct field order_fields[] = {
	FIELD(struct order, items, ARRAY, REQUIRED, .min = 1, .max = 100, .of = &sample_line_table),
	FIELD(struct order, shipping_address, OBJECT, OPTIONAL, .of = &sample_place_table),
	FIELD(struct order, metadata, RAW, OPTIONAL, .max = 16 << 10),
};
static const struct field_table order_table = FIELD_TABLE(struct order, order_fields);

static const char order_body[] =
	"{\"items\": [{\"product_id\": \"0190a5c8-7b1c-7000-8000-0123456789ab\", \"quantity\": 2}, "
	"{\"product_id\": \"0190a5c8-7b1c-7000-8000-0123456789ac\", \"quantity\": 1}], "
	"\"shipping_address\": {\"city\": \"Riga\", \"country\": \"LV\"}, "
	"\"metadata\": {\"gift\": true}}";

static void report(const char *what, int64_t since_us, size_t bytes)
{
	const int64_t us = clock_monotonic_us() - since_us;

	printf("%-16s %6.0f ns  %4zu bytes\n", what, (double)us * 1000 / ROUNDS, bytes);
}

static void bench_read(void)
{
	const struct str body = str_from(order_body);
	const int64_t start = clock_monotonic_us();

	for (int i = 0; i < ROUNDS; i++) {
		struct order order = {0};
		struct scope s;
		scope_begin(&s);
		if (json_read(&s, body, &order_table, &order) != OK)
			printf("%.*s\n", STR_ARG(s.detail));
		scope_end(&s);
	}
	report("read an order", start, body.len);
}

static void bench_write(void)
{
	struct product product = {
		.name = STR("Enamel mug, 350 ml"),
		.description = STR("A mug for camp and kitchen: steel, enamelled twice, with a "
				   "rolled rim. Dishwasher-safe; not for the microwave."),
		.price = 1499,
		.currency = STR("USD"),
		.category = STR("kitchen"),
		.tags = {(struct str[]){STR("mug"), STR("camping"), STR("enamel")}, 3},
		.stock_quantity = 117,
		.created_at = INT64_C(1795241122123000),
		.updated_at = INT64_C(1795241122123000),
		.version = 3,
	};
	const int64_t start = clock_monotonic_us();
	size_t bytes = 0;

	memset(product.id.bytes, 0x5a, sizeof product.id.bytes);
	product.seller_id = product.id;
	for (int i = 0; i < ROUNDS; i++) {
		struct arena *a = arena_new();
		struct buf b = buf_new(a);
		buf_room(&b, 1024);
		json_write(&b, &product_table, &product);
		bytes = b.len;
		arena_unref(a);
	}
	report("write a product", start, bytes);
}

int main(void)
{
	bench_read();
	bench_write();
	return 0;
}
