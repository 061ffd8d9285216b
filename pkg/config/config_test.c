/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "config/config.h"

#include <stdlib.h>
#include <unistd.h>

enum sellers { SELLERS_ANYONE, SELLERS_ROLE };

struct settings {
	struct str text;
	struct str secret;
	struct texts texts;
	int64_t number;
	int64_t wait_us;
	bool on;
	uint16_t port;
	int sellers;
	struct str url;
	struct texts urls;
};

static const struct config_field fields[] = {
	CONFIG(struct settings, text, TEXT, "T_TEXT", "plain", "Some text."),
	CONFIG(struct settings, secret, SECRET, "T_SECRET", CONFIG_OPTIONAL, "A secret."),
	CONFIG(struct settings, texts, TEXTS, "T_TEXTS", "a, b", "Some texts."),
	CONFIG(struct settings, number, INT, "T_NUMBER", "5", "A number.", .min = 1, .max = 10),
	CONFIG(struct settings, wait_us, DURATION, "T_WAIT", "30m", "How long.", .min = 1000000,
		.max = INT64_C(86400000000)),
	CONFIG(struct settings, on, BOOL, "T_ON", "true", "Whether."),
	CONFIG(struct settings, port, PORT, "T_PORT", "8080", "Where."),
	CONFIG(struct settings, sellers, CHOICE, "T_SELLERS", "anyone", "Who.",
		.choices = "anyone role"),
	CONFIG(struct settings, url, URL, "T_URL", CONFIG_REQUIRED, "The database.",
		.choices = "postgresql postgres"),
	CONFIG(struct settings, urls, URLS, "T_URLS", "http://a,http://b", "Peers.",
		.choices = "http https"),
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

static struct scope scope;
static struct settings settings;
static char directory[] = "/tmp/config_test.XXXXXX";

static int set_up(void **state)
{
	(void)state;
	scope_begin(&scope);
	settings = (struct settings){0};
	setenv("T_URL", "postgresql://u:hunter2@h/db", 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < FIELDS; i++) {
		char name[64];

		unsetenv(fields[i].name);
		snprintf(name, sizeof name, "%s_FILE", fields[i].name);
		unsetenv(name);
	}
	scope_end(&scope);
	return 0;
}

static void defaults_fill_the_struct(void **state)
{
	(void)state;
	assert_int_equal(config_load(&scope, fields, FIELDS, &settings), OK);
	assert_str_equal(settings.text, STR("plain"));
	assert_str_equal(settings.secret, STR_NONE);
	assert_int_equal(settings.texts.count, 2);
	assert_str_equal(settings.texts.at[1], STR("b"));
	assert_int_equal(settings.number, 5);
	assert_int_equal(settings.wait_us, INT64_C(1800000000));
	assert_true(settings.on);
	assert_int_equal(settings.port, 8080);
	assert_int_equal(settings.sellers, SELLERS_ANYONE);
	assert_str_equal(settings.url, STR("postgresql://u:hunter2@h/db"));
	assert_int_equal(settings.urls.count, 2);
	assert_str_equal(settings.urls.at[0], STR("http://a"));
}

static void values_are_read_by_type(void **state)
{
	static const struct {
		const char *name;
		const char *value;
		const char *message; /* NULL: it is right */
	} rows[] = {
		{"T_NUMBER", "1", NULL},
		{"T_NUMBER", "10", NULL},
		{"T_NUMBER", "0", "must be a whole number from 1 to 10; it is \"0\""},
		{"T_NUMBER", "11", "must be a whole number from 1 to 10; it is \"11\""},
		{"T_NUMBER", "5x", "must be a whole number from 1 to 10; it is \"5x\""},
		{"T_WAIT", "1s", NULL},
		{"T_WAIT", "1500ms", NULL},
		{"T_WAIT", "24h", NULL},
		{"T_WAIT", "1d", NULL},
		{"T_WAIT", "1000000us", NULL},
		{"T_WAIT", "999ms",
			"must be a duration like 30m, 10s or 500ms, from 1s to 1d; it is "
			"\"999ms\""},
		{"T_WAIT", "2d",
			"must be a duration like 30m, 10s or 500ms, from 1s to 1d; it is \"2d\""},
		{"T_WAIT", "30",
			"must be a duration like 30m, 10s or 500ms, from 1s to 1d; it is \"30\""},
		{"T_WAIT", "-5s",
			"must be a duration like 30m, 10s or 500ms, from 1s to 1d; it is \"-5s\""},
		{"T_WAIT", "99999999999999999d",
			"must be a duration like 30m, 10s or 500ms, from 1s to 1d; it is "
			"\"99999999999999999d\""},
		{"T_WAIT", "s",
			"must be a duration like 30m, 10s or 500ms, from 1s to 1d; it is \"s\""},
		{"T_ON", "false", NULL},
		{"T_ON", "yes", "must be true or false; it is \"yes\""},
		{"T_PORT", "0", NULL},
		{"T_PORT", "65535", NULL},
		{"T_PORT", "65536",
			"must be a port from 1 to 65535, or 0 for none; it is \"65536\""},
		{"T_SELLERS", "role", NULL},
		{"T_SELLERS", "Role", "must be one of anyone or role; it is \"Role\""},
		{"T_SELLERS", "", NULL}, /* empty counts as none */
		{"T_TEXTS", "one", NULL},
		{"T_TEXTS", "a,,b", "must be texts with commas between them; it is \"a,,b\""},
		{"T_URL", "postgres://h", NULL},
		{"T_URL", "mysql://u:hunter2@h",
			"must be a URL that begins with postgresql:// or postgres://"},
		{"T_URL", "postgres:/h",
			"must be a URL that begins with postgresql:// or postgres://"},
		{"T_URL", "postgres://",
			"must be a URL that begins with postgresql:// or postgres://"},
		{"T_URL", "postgres://a b",
			"must be a URL that begins with postgresql:// or postgres://"},
		{"T_URLS", "https://x, http://y", NULL},
		{"T_URLS", "https://x,ftp://u:hunter2@y",
			"must be URLs that begin with http:// or https://, with commas between "
			"them"},
		{"T_URLS", "https://x,",
			"must be URLs that begin with http:// or https://, with commas between "
			"them"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		tear_down(state);
		set_up(state);
		setenv(rows[i].name, rows[i].value, 1);
		const enum fault fault = config_load(&scope, fields, FIELDS, &settings);

		if ((fault == OK) != (rows[i].message == NULL))
			fail_row(i, "%s=%s: fault %d", rows[i].name, rows[i].value, fault);
		if (rows[i].message != NULL) {
			assert_str_equal(scope.errors->message, str_from(rows[i].message));
			assert_str_equal(scope.errors->field, str_from(rows[i].name));
			assert_null(scope.errors->next);
		}
	}
}

static void numbers_reach_their_members(void **state)
{
	(void)state;
	setenv("T_NUMBER", "7", 1);
	setenv("T_WAIT", "1500ms", 1);
	setenv("T_ON", "false", 1);
	setenv("T_PORT", "443", 1);
	setenv("T_SELLERS", "role", 1);
	assert_int_equal(config_load(&scope, fields, FIELDS, &settings), OK);
	assert_int_equal(settings.number, 7);
	assert_int_equal(settings.wait_us, 1500000);
	assert_false(settings.on);
	assert_int_equal(settings.port, 443);
	assert_int_equal(settings.sellers, SELLERS_ROLE);
}

static void write_file(const char *name, const char *text, size_t len, char path[64])
{
	FILE *f;

	snprintf(path, 64, "%s/%s", directory, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static void a_file_can_hold_the_value(void **state)
{
	static const struct {
		const char *text;
		const char *value;
	} rows[] = {
		{"s3cret", "s3cret"},
		{"s3cret\n", "s3cret"},
		{"s3cret\r\n", "s3cret"},
		{"two\nlines\n", "two\nlines"},
		{" spaces \n", " spaces "},
	};
	char path[64];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		write_file("secret", rows[i].text, strlen(rows[i].text), path);
		setenv("T_SECRET_FILE", path, 1);
		assert_int_equal(config_load(&scope, fields, FIELDS, &settings), OK);
		assert_str_equal(settings.secret, str_from(rows[i].value));
		assert_int_equal(settings.secret.at[settings.secret.len], '\0');
		assert_string_equal(config_file("T_SECRET"), path);
	}
	unlink(path);
	assert_null(config_file("T_TEXT"));
}

/* Everything at once, as an operator would see it. */
static struct str printed(void)
{
	static char text[4096];
	FILE *f = fmemopen(text, sizeof text, "w");

	config_print_errors(&scope, "orders", f);
	fclose(f);
	return str_from(text);
}

static void every_mistake_is_named_at_once_and_no_secret_shown(void **state)
{
	char empty[64], nul[64];
	struct str expected;

	(void)state;
	write_file("empty", "\n", 1, empty);
	write_file("nul", "hun\0ter2", 8, nul);
	unsetenv("T_URL");
	setenv("T_NUMBER", "many", 1);
	setenv("T_SECRET", "hunter2", 1);
	setenv("T_SECRET_FILE", "/nowhere/hunter3", 1);
	setenv("T_TEXT_FILE", "/nowhere/text", 1);
	setenv("T_TEXTS_FILE", empty, 1);
	setenv("T_URLS", "http://user:hunter2@a,b", 1);
	assert_int_equal(config_load(&scope, fields, FIELDS, &settings), FAULT_INVALID);
	setenv("T_SECRET_FILE", nul, 1);
	unsetenv("T_SECRET");
	assert_int_equal(config_load(&scope, &fields[1], 1, &settings), FAULT_INVALID);
	expected = scope_format(&scope,
		"orders: T_TEXT_FILE names /nowhere/text, which cannot be read: No such file or "
		"directory\n"
		"orders: T_SECRET and T_SECRET_FILE are both set; set one of them\n"
		"orders: T_TEXTS_FILE names %s, which is empty\n"
		"orders: T_NUMBER must be a whole number from 1 to 10; it is \"many\"\n"
		"orders: T_URL must be set: The database.\n"
		"orders: T_URLS must be URLs that begin with http:// or https://, with commas "
		"between "
		"them\n"
		"orders: T_SECRET must be text without NUL bytes\n",
		empty);
	assert_str_equal(printed(), expected);
	unlink(empty);
	unlink(nul);
}

static void help_shows_the_table(void **state)
{
	static char text[4096];
	FILE *f = fmemopen(text, sizeof text, "w");

	(void)state;
	config_help(fields, FIELDS, f);
	fclose(f);
	assert_non_null(
		strstr(text, "  T_TEXT                         Some text. (default: plain)\n"));
	assert_non_null(strstr(text, "  T_SECRET                       A secret. (optional)\n"));
	assert_non_null(
		strstr(text, "  T_URL                          The database. (required)\n"));
	assert_non_null(strstr(text, "Who. One of: anyone role. (default: anyone)\n"));
}

#define WITH_SCOPE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SCOPE(defaults_fill_the_struct),
		WITH_SCOPE(values_are_read_by_type),
		WITH_SCOPE(numbers_reach_their_members),
		WITH_SCOPE(a_file_can_hold_the_value),
		WITH_SCOPE(every_mistake_is_named_at_once_and_no_secret_shown),
		WITH_SCOPE(help_shows_the_table),
	};
	int failed;

	if (mkdtemp(directory) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return failed;
}
