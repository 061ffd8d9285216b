/* SPDX-License-Identifier: Apache-2.0
 * Nanoseconds to read an order's body and to write a product, the best of several series:
 * build/release/pkg/json/json_bench. */
#include "base/clock.h"
#include "json/sample.h"
#include "json/write.h"

#include <stdio.h>

enum { SERIES = 20, ROUNDS = 20000 };

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

/* Returns the bytes read or written. */
typedef size_t round_fn(void);

static size_t read_order(void)
{
	const struct str body = str_from(order_body);
	struct order order = {0};
	struct scope s;

	scope_begin(&s);
	if (json_read(&s, body, &order_table, &order) != OK)
		printf("%.*s\n", STR_ARG(s.detail));
	scope_end(&s);
	return body.len;
}

static size_t write_product(void)
{
	static const struct uuid id = {{0x5a, 0x17, 0xc0}};
	struct str tags[] = {STR("mug"), STR("camping"), STR("enamel")};
	const struct product product = {
		.id = id,
		.name = STR("Enamel mug, 350 ml"),
		.description = STR("A mug for camp and kitchen: steel, enamelled twice, with a "
				   "rolled rim. Dishwasher-safe; not for the microwave."),
		.price = 1499,
		.currency = STR("USD"),
		.category = STR("kitchen"),
		.tags = {tags, 3},
		.stock_quantity = 117,
		.seller_id = id,
		.created_at = INT64_C(1795241122123000),
		.updated_at = INT64_C(1795241122123000),
		.version = 3,
	};
	struct arena *a = arena_new();
	struct buf b = buf_new(a);

	json_write(&b, &product_table, &product);
	const size_t bytes = b.len;
	arena_unref(a);
	return bytes;
}

static void bench(const char *what, round_fn *round)
{
	int64_t best_us = INT64_MAX;
	size_t bytes = 0;

	for (int series = 0; series < SERIES; series++) {
		const int64_t start_us = clock_monotonic_us();
		for (int i = 0; i < ROUNDS; i++)
			bytes = round();
		const int64_t us = clock_monotonic_us() - start_us;
		best_us = us < best_us ? us : best_us;
	}
	printf("%-16s %6.0f ns  %4zu bytes\n", what, (double)best_us * 1000 / ROUNDS, bytes);
}

int main(void)
{
	bench("read an order", read_order);
	bench("write a product", write_product);
	return 0;
}
