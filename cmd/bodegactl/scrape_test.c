/* SPDX-License-Identifier: Apache-2.0
 * Metrics as they are read back. */
#include "base/testing.h"
#include "scrape.h"

static const char metrics[] = "# HELP bodega_http_connections Connections of clients.\n"
			      "# TYPE bodega_http_connections gauge\n"
			      "bodega_http_connections 3\n"
			      "bodega_http_connections_cut_total{time=\"idle\"} 7\n"
			      "bodega_pg_waiting{pool=\"read\"} 1\n"
			      "bodega_pg_waiting{pool=\"a}b\\\"c\"} 2.5\n"
			      "bodega_pg_waiting{pool=\"write\"} much\n"
			      "bodega_build_info{service=\"orders\",version=\"0.1.0\"} 1\n"
			      "bodega_broken{service=\"orders} 1\n"
			      "bodega_empty{} 4\n"
			      "bodega_last 1e3";

static void test_sums(void **state)
{
	static const struct {
		const char *name;
		bool found;
		int sum_of_ten;
	} cases[] = {
		{"bodega_http_connections", true, 30},
		{"bodega_http_connections_cut_total", true, 70},
		{"bodega_pg_waiting", true, 35},
		{"bodega_empty", true, 40},
		{"bodega_last", true, 10000},
		{"bodega_broken", false, 0},
		{"bodega_http", false, 0},
		{"nothing", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		double sum = -1;
		const bool found = scrape_sum(str_from(metrics), str_from(cases[i].name), &sum);
		if (found != cases[i].found || (int)(sum * 10) != cases[i].sum_of_ten)
			fail_msg("%s: %d, %f", cases[i].name, found, sum);
	}
}

static void test_labels(void **state)
{
	static const struct {
		const char *name, *label, *value;
	} cases[] = {
		{"bodega_build_info", "service", "orders"},
		{"bodega_build_info", "version", "0.1.0"},
		{"bodega_build_info", "commit", NULL},
		{"bodega_http_connections", "service", NULL},
		{"bodega_broken", "service", NULL},
		{"bodega_empty", "service", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct str value = scrape_label(
			str_from(metrics), str_from(cases[i].name), str_from(cases[i].label));
		if (!str_eq(value, str_from(cases[i].value)) ||
			(value.at == NULL) != (cases[i].value == NULL))
			fail_msg("%s: %.*s", cases[i].label, STR_ARG(value));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
