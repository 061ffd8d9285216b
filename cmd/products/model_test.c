/* SPDX-License-Identifier: Apache-2.0
 * What the model checks beyond its tables, and that the tables take and write what the contract
 * says. */
#include "base/testing.h"

#include "base/buf.h"
#include "model.h"
#include "json/write.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void slugs(void **state)
{
	static const struct {
		const char *name;
		const char *slug;
	} rows[] = {
		{"kitchen", "kitchen"},
		{"Home & Garden", "home-garden"},
		{"  4K  TVs!", "4k-tvs"},
		{"a/b_c%d", "a-b-c-d"},
		{"--a--", "a"},
		{"Caf\xc3\xa9", "caf\xc3\xa9"},
		{"home-garden", "home-garden"},
		{"'; DROP TABLE products; --", "drop-table-products"},
		{"!!!", ""},
		{"", ""},
	};
	struct scope s;

	(void)state;
	scope_begin(&s);
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_str_equal(slug_of(&s, str_from(rows[i].name)), str_from(rows[i].slug));
	scope_end(&s);
}

/* Reads and checks a body for POST; the faulty fields, separated by spaces. */
static const char *refused(struct scope *s, const char *json, struct product *product)
{
	static char fields[256];
	enum fault fault;

	*product = (struct product){0};
	fields[0] = '\0';
	fault = json_read(s, str_from(json), &product_new_table, product);
	if (fault == OK)
		fault = product_check(s, product);
	if (fault == OK)
		return "";
	if (s->errors == NULL)
		return fault_info(fault)->code;
	for (const struct field_error *e = s->errors; e != NULL; e = e->next)
		snprintf(fields + strlen(fields), sizeof fields - strlen(fields), "%s%.*s",
			fields[0] != '\0' ? " " : "", STR_ARG(e->field));
	return fields;
}

static void new_products(void **state)
{
	static const struct {
		const char *json;
		const char *refused;
	} rows[] = {
		{"{\"name\":\"a\",\"price\":1}", ""},
		{"{\"name\":\"a\",\"price_minor\":100,\"stock\":3}", ""},
		{"{\"name\":\"a\",\"price\":1,\"currency\":\"usd\",\"category\":null}", ""},
		{"{\"name\":\"a\",\"price\":1,\"image_url\":\"https://a/b\"}", ""},
		{"{\"name\":\"a\",\"price\":1,\"image_url\":\"/uploads/b\"}", ""},
		{"{}", "name price"},
		{"{\"name\":\" \",\"price\":1}", "name"},
		{"{\"name\":\"a\",\"price\":-1}", "price"},
		{"{\"name\":\"a\",\"price\":1,\"category\":\"!\"}", "category"},
		{"{\"name\":\"a\",\"price\":1,\"image_url\":\"javascript:x\"}", "image_url"},
		{"{\"name\":\"a\",\"price\":1,\"image_url\":\"//host/x\"}", "image_url"},
		{"{\"name\":\"\\t\",\"price\":1,\"category\":\"?\"}", "name category"},
		{"{\"name\":\"a\",\"price\":1,\"currency\":\"EUR\"}", "currency_not_supported"},
		{"{\"name\":\"a\",\"price\":1,\"stock_quantity\":-1}", "stock_quantity"},
		{"{\"name\":\"a\",\"price\":1,\"stock\":1,\"stock_quantity\":1}", "stock_quantity"},
		{"{\"name\":\"a\",\"price\":1,\"id\":\"x\"}", "id"},
	};
	struct product product;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct scope s;

		scope_begin(&s);
		assert_string_equal(refused(&s, rows[i].json, &product), rows[i].refused);
		scope_end(&s);
	}
}

static void tags_are_tidied(void **state)
{
	struct product product;
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_string_equal(
		refused(&s, "{\"name\":\"a\",\"price\":1,\"tags\":[\"wood\",\" gift \",\"wood\"]}",
			&product),
		"");
	assert_int_equal(product.tags.count, 2);
	assert_str_equal(product.tags.at[0], STR("wood"));
	assert_str_equal(product.tags.at[1], STR("gift"));
	scope_end(&s);
}

/* What was read can be sent back by PUT and PATCH, and changes nothing. */
static void answers_can_be_sent_back(void **state)
{
	struct product product = {.name = STR("Tray"),
		.description = STR(""),
		.price = 2999,
		.currency = STR("USD"),
		.category = STR("home-garden"),
		.stock_quantity = 4,
		.created_at = 1000000,
		.updated_at = 2000000};
	struct product back = {0};
	struct scope s;
	struct buf b;

	(void)state;
	scope_begin(&s);
	b = buf_new(s.arena);
	product.id = product.seller_id = uuid_new();
	json_write(&b, &product_table, &product);
	assert_int_equal(json_read(&s, buf_str(&b), &product_table, &back), OK);
	assert_int_equal(product_check(&s, &back), OK);
	assert_str_equal(back.name, product.name);
	assert_int_equal(back.price, 2999);
	assert_str_equal(back.category, product.category);
	assert_true(uuid_is_nil(&back.id));
	assert_int_equal(back.stock_quantity, 0);
	scope_end(&s);
}

static struct reservation_line line(unsigned char product, int32_t quantity)
{
	return (struct reservation_line){.product_id = {{product}}, .quantity = quantity};
}

static void lines_are_sorted_and_added_up(void **state)
{
	struct reservation_line lines[] = {line(9, 1), line(2, 3), line(9, 4), line(5, 1)};
	const struct items asked = {lines, COUNT(lines)};
	const struct reservation_line *at;
	struct items merged;
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(reservation_lines_merge(&s, &asked, &merged), OK);
	at = merged.at;
	assert_int_equal(merged.count, 3);
	assert_int_equal(at[0].product_id.bytes[0], 2);
	assert_int_equal(at[0].quantity, 3);
	assert_int_equal(at[1].product_id.bytes[0], 5);
	assert_int_equal(at[2].product_id.bytes[0], 9);
	assert_int_equal(at[2].quantity, 5);
	assert_int_equal(lines[0].product_id.bytes[0], 9); /* what was asked for stays */
	lines[0].quantity = QUANTITY_MAX;
	assert_int_equal(reservation_lines_merge(&s, &asked, &merged), FAULT_INVALID);
	scope_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slugs),
		cmocka_unit_test(new_products),
		cmocka_unit_test(tags_are_tidied),
		cmocka_unit_test(answers_can_be_sent_back),
		cmocka_unit_test(lines_are_sorted_and_added_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
