/* SPDX-License-Identifier: Apache-2.0
 * The sample catalogue is the same each time, has no name, SKU or id twice, and fits the limits of
 * products and COPY's text format. */
#include "base/testing.h"

#include "catalogue.h"

#include <stdlib.h>

enum { NUMBERS = 12000 };

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void assert_distinct(const char **texts)
{
	qsort(texts, NUMBERS, sizeof *texts, compare);
	for (size_t i = 1; i < NUMBERS; i++)
		if (strcmp(texts[i - 1], texts[i]) == 0)
			fail_msg("twice: %s", texts[i]);
}

static bool is_category(const char *slug)
{
	for (size_t i = 0; i < sample_category_count; i++)
		if (strcmp(sample_categories[i].slug, slug) == 0)
			return true;
	return false;
}

static void numbers_make_different_products(void **state)
{
	static const char *names[NUMBERS], *skus[NUMBERS], *ids[NUMBERS];
	struct scope s;

	(void)state;
	scope_begin(&s);
	for (unsigned i = 0; i < NUMBERS; i++) {
		const struct sample_product product = sample_product(&s, i);
		char *id = arena_bytes(s.arena, UUID_TEXT_LEN + 1);

		names[i] = product.name.at;
		skus[i] = product.sku.at;
		ids[i] = uuid_format(&product.id, id).at;
		assert_int_equal(ids[i][14], '7');
		assert_true(product.name.len <= 200);
		assert_true(product.price > 0 && product.stock >= 0);
		assert_true(is_category(product.category));
		assert_null(strpbrk(product.name.at, "\t\n\\"));
		assert_null(strpbrk(product.description.at, "\t\n\\"));
	}
	assert_distinct(names);
	assert_distinct(skus);
	assert_distinct(ids);
	scope_end(&s);
}

static void a_number_is_always_the_same(void **state)
{
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_str_equal(sample_product(&s, 0).name, STR("Harbor Walnut Serving Tray"));
	assert_str_equal(sample_product(&s, 10050).name, STR("Fjord Oak Serving Tray II"));
	assert_str_equal(sample_product(&s, 7).sku, STR("THR-00007"));
	scope_end(&s);
}

static void categories_come_after_their_parents(void **state)
{
	(void)state;
	for (size_t i = 0; i < sample_category_count; i++) {
		bool known = sample_categories[i].parent == NULL;

		for (size_t j = 0; j < i && !known; j++)
			known = strcmp(sample_categories[j].slug, sample_categories[i].parent) == 0;
		assert_true(known);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_make_different_products),
		cmocka_unit_test(a_number_is_always_the_same),
		cmocka_unit_test(categories_come_after_their_parents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
