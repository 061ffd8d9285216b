/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "log/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A pipe whose other end a thread reads into memory once it is let. */
struct drain {
	int ends[2];
	pthread_t reader;
	char *text;
	size_t len;
};

static void *read_all(void *arg)
{
	struct drain *d = arg;
	ssize_t got;

	do {
		d->text = realloc(d->text, d->len + 65536 + 1);
		got = read(d->ends[0], d->text + d->len, 65536);
		d->len += got > 0 ? (size_t)got : 0;
	} while (got > 0);
	d->text[d->len] = '\0';
	return NULL;
}

static void drain_open(struct drain *d)
{
	*d = (struct drain){0};
	assert_int_equal(pipe2(d->ends, O_CLOEXEC), 0);
}

static void drain_start(struct drain *d)
{
	assert_int_equal(pthread_create(&d->reader, NULL, read_all, d), 0);
}

static void drain_finish(struct drain *d)
{
	close(d->ends[1]);
	pthread_join(d->reader, NULL);
	close(d->ends[0]);
}

static unsigned count_of(const char *text, const char *part)
{
	unsigned count = 0;

	while ((text = strstr(text, part)) != NULL) {
		count++;
		text += strlen(part);
	}
	return count;
}

static unsigned evaluated;

static int64_t evaluate(void)
{
	evaluated++;
	return 1;
}

static void lines_below_the_level_are_not_made(void **state)
{
	struct drain d;

	(void)state;
	drain_open(&d);
	drain_start(&d);
	log_start("test", d.ends[1]);
	assert_int_equal(log_level(), LEVEL_INFO);
	log_line(LEVEL_DEBUG, "unseen", LOG_INT("n", evaluate()));
	assert_int_equal(evaluated, 0);
	log_line(LEVEL_INFO, "seen", LOG_INT("n", evaluate()));
	log_set_level(LEVEL_DEBUG);
	log_line(LEVEL_DEBUG, "seen");
	log_set_level(LEVEL_ERROR);
	log_line(LEVEL_WARN, "unseen");
	log_line(LEVEL_ERROR, "seen");
	log_set_level(LEVEL_INFO);
	log_stop();
	drain_finish(&d);
	assert_int_equal(evaluated, 1);
	assert_int_equal(count_of(d.text, "\"message\":\"seen\""), 3);
	assert_int_equal(count_of(d.text, "\n"), 3);
	free(d.text);
}

enum { THREADS = 4, LINES = 2000 };

static void *log_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_line(LEVEL_INFO, "line", LOG_INT("thread", (intptr_t)arg), LOG_INT("n", i));
	return NULL;
}

/* The writer may well fall behind here: then lines are missing, but none is broken or out of order.
 */
static void each_threads_lines_come_whole_and_in_order(void **state)
{
	const uint64_t before = log_dropped();
	pthread_t threads[THREADS];
	static const char key[] = ",\"thread\":";
	long last[THREADS] = {-1, -1, -1, -1};
	struct drain d;
	uint64_t lines = 0;

	(void)state;
	drain_open(&d);
	drain_start(&d);
	log_start("test", d.ends[1]);
	for (intptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_lines, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log_stop();
	drain_finish(&d);
	for (char *save, *line = strtok_r(d.text, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save)) {
		const char *pairs = strstr(line, key);
		char *end;
		long thread, n;

		assert_true(str_starts(str_from(line), STR("{\"time\":\"")));
		if (pairs == NULL)
			continue; /* of those that were dropped */
		thread = strtol(pairs + strlen(key), &end, 10);
		assert_in_range(thread, 0, THREADS - 1);
		assert_true(str_starts(str_from(end), STR(",\"n\":")));
		n = strtol(end + strlen(",\"n\":"), &end, 10);
		assert_string_equal(end, "}");
		assert_true(n > last[thread]);
		last[thread] = n;
		lines++;
	}
	assert_int_equal(lines + log_dropped() - before, THREADS * LINES);
	free(d.text);
}

static uint64_t sum_of_reports(const char *text)
{
	static const char report[] = "\"message\":\"log lines dropped\",\"count\":";
	uint64_t sum = 0;

	while ((text = strstr(text, report)) != NULL) {
		text += strlen(report);
		sum += strtoull(text, NULL, 10);
	}
	return sum;
}

/* Nobody reads: were a line to wait for room, this test would not end. */
static void a_full_buffer_drops_counts_and_says_so(void **state)
{
	const uint64_t before = log_dropped();
	struct drain d;
	uint64_t lost;
	unsigned made = 0;

	(void)state;
	drain_open(&d);
	log_start("test", d.ends[1]);
	while (log_dropped() < before + 10) {
		log_line(LEVEL_INFO, "much", LOG_INT("n", made));
		made++;
	}
	lost = log_dropped() - before;
	drain_start(&d);
	log_stop();
	drain_finish(&d);
	assert_int_equal(count_of(d.text, "\"message\":\"much\""), made - lost);
	assert_int_equal(sum_of_reports(d.text), lost);
	free(d.text);
}

static void lines_reach_the_descriptor_without_being_asked(void **state)
{
	int ends[2];
	char text[512];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	log_start("test", ends[1]);
	for (int i = 0; i < 20; i++) {
		log_line(LEVEL_INFO, "now");
		assert_true(read(ends[0], text, sizeof text) > 0);
	}
	log_stop();
	close(ends[0]);
	close(ends[1]);
}

static void what_is_left_is_written_at_exit(void **state)
{
	struct drain d;
	pid_t child;
	int status;

	(void)state;
	drain_open(&d);
	child = fork();
	if (child == 0) {
		log_start("test", d.ends[1]);
		for (int i = 0; i < 100; i++)
			log_line(LEVEL_INFO, "last words");
		exit(0);
	}
	drain_start(&d);
	assert_int_equal(waitpid(child, &status, 0), child);
	drain_finish(&d);
	assert_int_equal(status, 0);
	assert_int_equal(count_of(d.text, "last words"), 100);
	free(d.text);
}

static void without_a_writer_lines_go_to_standard_error(void **state)
{
	const int kept = dup(STDERR_FILENO);
	struct drain d;

	(void)state;
	drain_open(&d);
	drain_start(&d);
	dup2(d.ends[1], STDERR_FILENO);
	log_line(LEVEL_WARN, "early");
	dup2(kept, STDERR_FILENO);
	close(kept);
	drain_finish(&d);
	assert_int_equal(count_of(d.text, "\"message\":\"early\""), 1);
	free(d.text);
}

static void levels_have_names(void **state)
{
	enum level level;

	(void)state;
	for (int i = LEVEL_DEBUG; i <= LEVEL_ERROR; i++) {
		assert_true(log_level_parse(str_from(log_level_name((enum level)i)), &level));
		assert_int_equal(level, i);
	}
	assert_false(log_level_parse(STR("INFO"), &level));
	assert_false(log_level_parse(STR("verbose"), &level));
	assert_false(log_level_parse(STR_NONE, &level));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_below_the_level_are_not_made),
		cmocka_unit_test(each_threads_lines_come_whole_and_in_order),
		cmocka_unit_test(a_full_buffer_drops_counts_and_says_so),
		cmocka_unit_test(lines_reach_the_descriptor_without_being_asked),
		cmocka_unit_test(what_is_left_is_written_at_exit),
		cmocka_unit_test(without_a_writer_lines_go_to_standard_error),
		cmocka_unit_test(levels_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
