/* SPDX-License-Identifier: Apache-2.0
 * What of live updates needs no servers: ids, and how many streams a person may have. The rest is
 * in tests/system/test_live.py. */
#include "base/testing.h"

#include "live.h"

#include <pthread.h>

struct settings settings;

static void ids(void **state)
{
	static const struct {
		const char *text;
		const char *again; /* NULL: it is none */
	} rows[] = {
		{"o:17,p:3", "o:17,p:3"},
		{"p:3,o:17", "o:17,p:3"},
		{"o:0", "o:0"},
		{"p:9223372036854775807", "p:9223372036854775807"},
		{"", NULL},
		{"17", NULL},
		{"o:", NULL},
		{"o:-1", NULL},
		{"o:1,", NULL},
		{"o:1,o:2", NULL},
		{"o:1,x:2", NULL},
		{"o=1", NULL},
		{"o:1 ", NULL},
		{"o:9223372036854775808", NULL},
		{"o:00000000000000000000000000000000000000000000000000000000000000001", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct progress progress[LIVE_SOURCES] = {0};
		struct scope s;
		bool good;

		scope_begin(&s);
		good = replay_id_read(str_from(rows[i].text), progress);
		if (good != (rows[i].again != NULL) ||
			(good && !str_eq(replay_id(&s, progress), str_from(rows[i].again))))
			fail_row(i, "%s", rows[i].text);
		scope_end(&s);
	}
}

static void *come_and_go(void *arg)
{
	for (int i = 0; i < 10000; i++)
		if (persons_enter(arg))
			persons_leave(arg);
	return NULL;
}

static void streams_a_person(void **state)
{
	struct uuid one = uuid_new(), other = one;
	pthread_t threads[2];

	(void)state;
	other.bytes[0] ^= 1; /* in the same bucket */
	for (int i = 0; i < LIVE_STREAMS_A_PERSON; i++)
		assert_true(persons_enter(&one));
	assert_false(persons_enter(&one));
	assert_true(persons_enter(&other));
	persons_leave(&other);
	persons_leave(&one);
	assert_true(persons_enter(&one));
	for (int i = 0; i < LIVE_STREAMS_A_PERSON; i++)
		persons_leave(&one);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &one), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < LIVE_STREAMS_A_PERSON; i++)
		assert_true(persons_enter(&one));
	for (int i = 0; i < LIVE_STREAMS_A_PERSON; i++)
		persons_leave(&one);
}

static int stop(void **state)
{
	(void)state;
	arena_trim();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		cmocka_unit_test(streams_a_person),
	};

	return cmocka_run_group_tests(tests, NULL, stop);
}
