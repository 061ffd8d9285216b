/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "metrics/cells.h"
#include "metrics/metrics.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct arena *arena;

static int set_up(void **state)
{
	(void)state;
	arena = arena_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_unref(arena);
	return 0;
}

static const char *scrape(void)
{
	struct buf out = buf_new(arena);

	metrics_write(&out);
	buf_char(&out, '\0');
	return out.at;
}

static void assert_has(const char *text, const char *wanted)
{
	if (strstr(text, wanted) == NULL)
		fail_msg("missing:\n%s\nin:\n%s", wanted, text);
}

static double value_of(const char *text, const char *name)
{
	char line[128];
	const char *at;

	snprintf(line, sizeof line, "\n%s ", name);
	at = strstr(text, line);
	if (at == NULL) {
		fail_msg("no %s in:\n%s", name, text);
		return 0;
	}
	return strtod(at + strlen(line), NULL);
}

static void a_series_is_found_again_by_its_labels(void **state)
{
	struct counter *get = counter_get("found_total", "Found.", LABELS({"method", STR("GET")}));
	struct counter *put = counter_get("found_total", "Found.", LABELS({"method", STR("PUT")}));

	(void)state;
	assert_ptr_not_equal(get, put);
	assert_ptr_equal(get, counter_get("found_total", "Found.", LABELS({"method", STR("GET")})));
	counter_inc(get);
	counter_add(get, 2);
	assert_int_equal(counter_value(get), 3);
	assert_int_equal(counter_value(put), 0);
	assert_has(scrape(), "# HELP found_total Found.\n"
			     "# TYPE found_total counter\n"
			     "found_total{method=\"GET\"} 3\n"
			     "found_total{method=\"PUT\"} 0\n");
}

static void labels_are_escaped(void **state)
{
	static const struct {
		const char *value;
		const char *shown;
	} rows[] = {
		{"plain", "plain"},
		{"say \"hi\"", "say \\\"hi\\\""},
		{"back\\slash", "back\\\\slash"},
		{"two\nlines", "two\\nlines"},
		{"\xc3\xa4", "\xc3\xa4"},
		{"a\xff\"b", "a?\\\"b"},
		{"", ""},
	};
	char line[128];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		gauge_set(gauge_get("escaped", "Escaped.",
				  LABELS({"row", STR("x")}, {"value", str_from(rows[i].value)})),
			(int64_t)i);
		snprintf(line, sizeof line, "\nescaped{row=\"x\",value=\"%s\"} %zu\n",
			rows[i].shown, i);
		assert_has(scrape(), line);
	}
}

static void gauges_go_up_and_down(void **state)
{
	struct gauge *g = gauge_get("gauge", "A gauge.", NULL);

	(void)state;
	gauge_add(g, 5);
	gauge_add(g, -7);
	assert_int_equal(gauge_value(g), -2);
	assert_has(scrape(), "# TYPE gauge gauge\ngauge -2\n");
	gauge_set(g, INT64_MAX);
	assert_has(scrape(), "\ngauge 9223372036854775807\n");
}

static void histograms_count_what_is_not_above_a_bound(void **state)
{
	static const int64_t bounds[] = {5000, 100000, 2500000};
	static const struct histogram_shape shape = {bounds, 3, 1000000};
	struct histogram *h =
		histogram_get("took_seconds", "Took.", &shape, LABELS({"route", STR("/x")}));
	struct histogram *plain = histogram_get("size_bytes", "Sizes.", &histogram_bytes, NULL);

	(void)state;
	histogram_observe(h, 0);
	histogram_observe(h, 5000);
	histogram_observe(h, 5001);
	histogram_observe(h, 2500000);
	histogram_observe(h, 9000000);
	assert_int_equal(histogram_count(h), 5);
	assert_has(scrape(), "# TYPE took_seconds histogram\n"
			     "took_seconds_bucket{route=\"/x\",le=\"0.005\"} 2\n"
			     "took_seconds_bucket{route=\"/x\",le=\"0.1\"} 3\n"
			     "took_seconds_bucket{route=\"/x\",le=\"2.5\"} 4\n"
			     "took_seconds_bucket{route=\"/x\",le=\"+Inf\"} 5\n"
			     "took_seconds_sum{route=\"/x\"} 11.510001\n"
			     "took_seconds_count{route=\"/x\"} 5\n");
	histogram_observe(plain, 1 << 30);
	assert_has(scrape(), "size_bytes_bucket{le=\"256\"} 0\n");
	assert_has(scrape(), "size_bytes_bucket{le=\"+Inf\"} 1\n"
			     "size_bytes_sum 1073741824\n"
			     "size_bytes_count 1\n");
}

static int64_t answer(void *arg)
{
	return *(int64_t *)arg;
}

static void callbacks_are_asked_at_each_scrape(void **state)
{
	int64_t queued = 7, dropped = 3;

	(void)state;
	metric_callback("queued", "Queued.", LABELS({"pool", STR("a")}), answer, &queued);
	metric_callback("dropped_total", "Dropped.", NULL, answer, &dropped);
	assert_has(scrape(), "# TYPE queued gauge\nqueued{pool=\"a\"} 7\n");
	assert_has(scrape(), "# TYPE dropped_total counter\ndropped_total 3\n");
	queued = 8;
	assert_has(scrape(), "queued{pool=\"a\"} 8\n");
	metric_callback("queued", "Queued.", LABELS({"pool", STR("a")}), NULL, NULL);
	metric_callback("dropped_total", "Dropped.", NULL, NULL, NULL);
	assert_null(strstr(scrape(), "queued"));
	assert_null(strstr(scrape(), "\ndropped_total"));
	metric_callback("queued", "Queued.", LABELS({"pool", STR("a")}), answer, &queued);
	assert_has(scrape(), "queued{pool=\"a\"} 8\n");
	metric_callback("queued", "Queued.", LABELS({"pool", STR("a")}), NULL, NULL);
}

enum { THREADS = 4, ROUNDS = 20000 };

static atomic_bool counting;

static void *count(void *arg)
{
	struct counter *c = counter_get("raced_total", "Raced.", NULL);
	struct histogram *h = histogram_get("raced_seconds", "Raced.", &histogram_seconds, NULL);
	struct gauge *g = arg;

	for (int i = 0; i < ROUNDS; i++) {
		counter_inc(c);
		histogram_observe(h, i);
		gauge_add(g, 1);
		gauge_add(g, -1);
	}
	return NULL;
}

static void *scrape_all_the_time(void *arg)
{
	uint64_t last = 0;
	struct counter *c = arg;

	while (atomic_load(&counting)) {
		const uint64_t now = counter_value(c);
		struct arena *a = arena_new();
		struct buf out = buf_new(a);

		metrics_write(&out);
		arena_unref(a);
		if (now < last)
			return c;
		last = now;
	}
	return NULL;
}

static void nothing_is_lost_among_threads_nor_when_they_end(void **state)
{
	struct counter *c = counter_get("raced_total", "Raced.", NULL);
	struct gauge *g = gauge_get("raced", "Raced.", NULL);
	pthread_t threads[THREADS], scraper;
	void *fell;

	(void)state;
	atomic_store(&counting, true);
	assert_int_equal(pthread_create(&scraper, NULL, scrape_all_the_time, c), 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, count, g), 0);
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
	}
	atomic_store(&counting, false);
	pthread_join(scraper, &fell);
	assert_null(fell);
	assert_int_equal(counter_value(c), 2 * THREADS * ROUNDS);
	assert_int_equal(gauge_value(g), 0);
	assert_int_equal(
		histogram_count(histogram_get("raced_seconds", "Raced.", &histogram_seconds, NULL)),
		2 * THREADS * ROUNDS);
}

static void the_process_is_measured(void **state)
{
	const char *text = scrape();
	const double before = value_of(text, "process_open_fds");
	const int fd = open("/dev/null", O_RDONLY);

	(void)state;
	assert_true(value_of(scrape(), "process_open_fds") == before + 1);
	close(fd);
	assert_true(value_of(text, "process_cpu_seconds_total") > 0);
	assert_true(value_of(text, "process_resident_memory_bytes") > 100 << 10);
	assert_true(value_of(text, "process_max_fds") > before);
	assert_true(value_of(text, "process_start_time_seconds") <= (double)time(NULL) + 1);
	assert_true(value_of(text, "process_start_time_seconds") > (double)time(NULL) - 600);
}

/* Last: there is no room afterwards. */
static void too_many_series_are_refused_and_counted(void **state)
{
	const double before = value_of(scrape(), "metrics_series_refused_total");
	struct counter *c = NULL, *again;
	struct histogram *h;
	char value[16];

	(void)state;
	for (int i = 0; i <= METRICS_SERIES_MAX; i++) {
		snprintf(value, sizeof value, "%d", i);
		c = counter_get("many_total", "Many.", LABELS({"n", str_from(value)}));
		counter_inc(c);
	}
	assert_true(value_of(scrape(), "metrics_series_refused_total") > before);
	h = histogram_get("late_bytes", "Late.", &histogram_bytes, NULL);
	histogram_observe(h, 1);
	gauge_set(gauge_get("late", "Late.", NULL), 1);
	assert_null(strstr(scrape(), "late"));
	again = counter_get("many_total", "Many.", LABELS({"n", STR("0")}));
	counter_inc(again);
	assert_has(scrape(), "many_total{n=\"0\"} 2\n");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_series_is_found_again_by_its_labels),
		TEST(labels_are_escaped),
		TEST(gauges_go_up_and_down),
		TEST(histograms_count_what_is_not_above_a_bound),
		TEST(callbacks_are_asked_at_each_scrape),
		TEST(nothing_is_lost_among_threads_nor_when_they_end),
		TEST(the_process_is_measured),
		TEST(too_many_series_are_refused_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
