/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "config/live.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	_Atomic int64_t number;
	_Atomic int64_t wait_us;
	_Atomic int level;
	_Atomic(const struct texts *) origins;
	int64_t fixed;
} settings;

#define LEVELS "debug info warn"

static const struct config_field first[] = {
	{"T_NUMBER", CONFIG_INT, offsetof(__typeof__(settings), number), "3", "A number.", 1, 10,
		.live = true},
	{"T_FIXED", CONFIG_INT, offsetof(__typeof__(settings), fixed), "5", "A fixed number.", 1,
		10},
};
static const struct config_field second[] = {
	{"T_WAIT", CONFIG_DURATION, offsetof(__typeof__(settings), wait_us), "1s", "A wait.",
		.max = 60000000, .live = true},
	{"T_LEVEL", CONFIG_CHOICE, offsetof(__typeof__(settings), level), "info", "A level.",
		.choices = LEVELS, .live = true},
	{"T_ORIGINS", CONFIG_LIST, offsetof(__typeof__(settings), origins), CONFIG_OPTIONAL,
		"Origins.", .live = true},
};
static const struct config_table tables[] = {
	{first, sizeof first / sizeof *first, &settings},
	{second, sizeof second / sizeof *second, &settings},
};

static char directory[64];
static struct scope scope;

static int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/bodega-live-XXXXXX");
	assert_non_null(mkdtemp(directory));
	unsetenv("T_NUMBER");
	scope_begin(&scope);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(
			config_load(&scope, tables[i].fields, tables[i].count, &settings), OK);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	scope_end(&scope);
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

static void put(const char *name, const char *text)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void take_away(const char *name)
{
	char path[160];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	assert_int_equal(unlink(path), 0);
}

static enum fault take(void)
{
	struct str whole;

	scope_forgive(&scope);
	TRY(config_live_read(&scope, directory, &whole));
	return config_live_take(&scope, whole, tables, sizeof tables / sizeof *tables);
}

/* "field message", each on a line. */
static struct str told(void)
{
	struct str all = STR("");

	for (const struct field_error *e = scope.errors; e != NULL; e = e->next)
		all = scope_format(&scope, "%.*s%.*s %.*s\n", STR_ARG(all), STR_ARG(e->field),
			STR_ARG(e->message));
	return all;
}

static void files_are_values(void **state)
{
	(void)state;
	put("T_NUMBER", "7\n");
	put("T_WAIT", "1500ms");
	put("T_LEVEL", "debug");
	put("T_ORIGINS", "https://a, https://b\n");
	assert_int_equal(take(), OK);
	assert_int_equal(settings.number, 7);
	assert_int_equal(settings.wait_us, 1500000);
	assert_int_equal(settings.level, 0);
	assert_int_equal(settings.origins->count, 2);
	assert_str_equal(settings.origins->at[1], STR("https://b"));
}

static void what_has_no_file_is_as_before(void **state)
{
	(void)state;
	setenv("T_NUMBER", "9", 1);
	put("T_NUMBER", "7");
	put("T_ORIGINS", "*");
	assert_int_equal(take(), OK);
	assert_int_equal(settings.number, 7);
	put("T_NUMBER", ""); /* an empty one counts as none */
	take_away("T_ORIGINS");
	assert_int_equal(take(), OK);
	assert_int_equal(settings.number, 9);
	assert_int_equal(settings.origins->count, 0);
	take_away("T_NUMBER");
	unsetenv("T_NUMBER");
	assert_int_equal(take(), OK);
	assert_int_equal(settings.number, 3);
}

static void what_is_optional_and_has_no_file_is_zero(void **state)
{
	static const struct config_field optional[] = {
		{"T_NUMBER", CONFIG_INT, offsetof(__typeof__(settings), number), CONFIG_OPTIONAL,
			"A number.", 1, 10, .live = true},
	};
	const struct config_table table = {optional, 1, &settings};
	struct str with, without;

	(void)state;
	put("T_NUMBER", "7");
	assert_int_equal(config_live_read(&scope, directory, &with), OK);
	take_away("T_NUMBER");
	assert_int_equal(config_live_read(&scope, directory, &without), OK);
	/* nothing between the two, so that the second finds what the first has left on the stack */
	const enum fault taken = config_live_take(&scope, with, &table, 1);
	const enum fault again = config_live_take(&scope, without, &table, 1);
	assert_int_equal(taken, OK);
	assert_int_equal(again, OK);
	assert_int_equal(settings.number, 0);
}

static void all_or_nothing(void **state)
{
	(void)state;
	put("T_NUMBER", "7");
	assert_int_equal(take(), OK);
	put("T_NUMBER", "8");
	put("T_LEVEL", "loud");
	put("T_WAIT", "soon");
	put("T_FIXED", "6");
	put("T_LEVLE", "info");
	assert_int_equal(take(), FAULT_INVALID);
	assert_str_equal(told(),
		STR("LIVE_CONFIG_DIR/T_FIXED is not known; what may change at run time: T_NUMBER, "
		    "T_WAIT, T_LEVEL, T_ORIGINS\n"
		    "LIVE_CONFIG_DIR/T_LEVLE is not known; what may change at run time: T_NUMBER, "
		    "T_WAIT, T_LEVEL, T_ORIGINS\n"
		    "LIVE_CONFIG_DIR/T_WAIT must be a duration like 30m, 10s or 500ms, from 0s to "
		    "1m; it is \"soon\"\n"
		    "LIVE_CONFIG_DIR/T_LEVEL must be one of debug, info or warn; it is "
		    "\"loud\"\n"));
	assert_int_equal(settings.number, 7);
	assert_int_equal(settings.level, 1);
	assert_int_equal(settings.fixed, 5);
}

/* As kubelet does it: the files are links through "..data", which is swapped as a whole. */
static void a_config_map_is_read_in_one_state(void **state)
{
	char path[160], next[160];

	(void)state;
	snprintf(path, sizeof path, "%s/..2026_1", directory);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof path, "%s/..2026_2", directory);
	assert_int_equal(mkdir(path, 0755), 0);
	put("..2026_1/T_NUMBER", "1");
	put("..2026_1/T_LEVEL", "warn");
	put("..2026_2/T_NUMBER", "2");
	snprintf(path, sizeof path, "%s/..data", directory);
	assert_int_equal(symlink("..2026_1", path), 0);
	snprintf(path, sizeof path, "%s/T_NUMBER", directory);
	assert_int_equal(symlink("..data/T_NUMBER", path), 0);
	snprintf(path, sizeof path, "%s/T_LEVEL", directory);
	assert_int_equal(symlink("..data/T_LEVEL", path), 0);
	assert_int_equal(take(), OK);
	assert_int_equal(settings.number, 1);
	assert_int_equal(settings.level, 2);
	/* the link of a key that has gone is taken away a moment later: it dangles */
	snprintf(next, sizeof next, "%s/..data_tmp", directory);
	assert_int_equal(symlink("..2026_2", next), 0);
	snprintf(path, sizeof path, "%s/..data", directory);
	assert_int_equal(rename(next, path), 0);
	assert_int_equal(take(), OK);
	assert_int_equal(settings.number, 2);
	assert_int_equal(settings.level, 1);
}

static void what_cannot_be_read_is_told(void **state)
{
	char path[160];
	struct str whole;

	(void)state;
	snprintf(path, sizeof path, "%s/T_NUMBER", directory);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(take(), FAULT_INVALID);
	assert_str_equal(told(), STR("LIVE_CONFIG_DIR/T_NUMBER cannot be read: Is a directory\n"));
	assert_int_equal(rmdir(path), 0);
	for (unsigned i = 0; i <= CONFIG_LIVE_FILES_MAX; i++) {
		char name[16];

		snprintf(name, sizeof name, "T_%u", i);
		put(name, "1");
	}
	assert_int_equal(take(), FAULT_INVALID);
	assert_str_equal(told(), STR("LIVE_CONFIG_DIR must have 64 files at most\n"));
	scope_forgive(&scope);
	assert_int_equal(config_live_read(&scope, "/nowhere/at/all", &whole), FAULT_INVALID);
	assert_str_equal(told(), STR("LIVE_CONFIG_DIR names /nowhere/at/all, which cannot be read: "
				     "No such file or directory\n"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(files_are_values),
		TEST(what_has_no_file_is_as_before),
		TEST(what_is_optional_and_has_no_file_is_zero),
		TEST(all_or_nothing),
		TEST(a_config_map_is_read_in_one_state),
		TEST(what_cannot_be_read_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
