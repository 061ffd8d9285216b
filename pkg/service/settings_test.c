/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "service/settings.h"

#include <stdlib.h>

#define KEY "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="

struct own {
	int64_t number;
};

static struct own own;

static const struct config_field own_fields[] = {
	CONFIG(struct own, number, INT, "OWN_NUMBER", "7", "A number.", .max = 10),
};
static const struct service_peer peers[] = {{.name = "products", .internal = true}};
static const struct pg_schema schema;
static const struct route routes[] = {
	{.method = "GET", .path = "/inside", .who = SERVICE},
	{.method = "GET", .path = "/me", .who = USER},
};
static const struct service service = {
	.name = "orders",
	.port = "8083",
	.admin_port = "9083",
	.tls_port = "0",
	.routes = routes,
	.route_count = 2,
	.config = own_fields,
	.config_count = 1,
	.config_struct = &own,
	.schema = &schema,
	.redis = true,
	.peers = peers,
	.peer_count = 1,
};

struct variable {
	const char *name;
	const char *value;
};

static const struct variable good[] = {
	{"DATABASE_URL", "postgresql:///orders_db"},
	{"CURSOR_SECRET", KEY},
	{"PRODUCTS_URL", "http://127.0.0.1:8082,http://127.0.0.2/"},
	{"USERS_URL", "http://[::1]:8081,http://bodega-users-headless:8081/,http://users"},
	{"INTERNAL_SECRETS", "orders products " KEY},
};

static struct scope s;
static struct settings settings;

static int set_up(void **state)
{
	(void)state;
	clearenv();
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		setenv(good[i].name, good[i].value, 1);
	scope_begin(&s);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scope_end(&s);
	return 0;
}

static void defaults_and_what_is_given(void **state)
{
	(void)state;
	setenv("WORKERS", "3", 1);
	assert_int_equal(settings_load(&s, &service, &settings), OK);
	assert_int_equal(settings.port, 8083);
	assert_int_equal(settings.admin_port, 9083);
	assert_int_equal(settings.tls_port, 0);
	assert_int_equal(settings.workers, 3);
	assert_int_equal(settings_connections(&settings), 3 * (2 + 2 + 4));
	assert_int_equal(settings.log_level, LEVEL_INFO);
	assert_int_equal(settings.drain_timeout_us, 20000000);
	assert_int_equal(own.number, 7);
	assert_int_equal(settings.peer_count, 2);
	assert_string_equal(settings.peers[1].name, "users");
	assert_str_equal(settings.peer_addresses[0].at[0], STR("127.0.0.1:8082"));
	assert_str_equal(settings.peer_addresses[0].at[1], STR("127.0.0.2:80"));
	assert_str_equal(settings.peer_addresses[1].at[0], STR("[::1]:8081"));
	assert_str_equal(settings.peer_addresses[1].at[1], STR("bodega-users-headless:8081"));
	assert_str_equal(settings.peer_addresses[1].at[2], STR("users:80"));
	assert_ptr_equal(settings.peer_macs[0].ring, &settings.macs);
	assert_str_equal(settings.peer_macs[0].callee, STR("products"));
	assert_null(settings.peer_macs[1].ring);
}

static void threads_follow_the_cpus(void **state)
{
	(void)state;
	assert_int_equal(settings_load(&s, &service, &settings), OK);
	assert_in_range(settings.workers, 1, 8);
}

static void each_mistake_is_named(void **state)
{
	static const struct {
		const char *name;
		const char *value;
		const char *field;
	} rows[] = {
		{"PORT", "eighty", "PORT"},
		{"TLS_PORT", "8443", "TLS_CERT_FILE"},
		{"CURRENCY", "usd", "CURRENCY"},
		{"CURRENCY", "US", "CURRENCY"},
		{"WORKERS", "65", "WORKERS"},
		{"CURSOR_SECRET", "c2hvcnQ=", "CURSOR_SECRET"},
		{"CURSOR_SECRET", NULL, "CURSOR_SECRET"},
		{"DATABASE_URL", NULL, "DATABASE_URL"},
		{"DATABASE_URL", "mysql://x", "DATABASE_URL"},
		{"DATABASE_URL", "postgresql://[::1/d", "DATABASE_URL"},
		{"DATABASE_URL", "postgresql://h/d?no_such_option=1", "DATABASE_URL"},
		{"REDIS_URL", "http://h:6379", "REDIS_URL"},
		{"REDIS_URL", "redis://h:65536", "REDIS_URL"},
		{"REDIS_URL", "unix://relative", "REDIS_URL"},
		{"LISTEN_ADDRESS", "localhost", "LISTEN_ADDRESS"},
		{"LISTEN_ADDRESS", "127.0.0.1:8080", "LISTEN_ADDRESS"},
		{"PRODUCTS_URL", "http://127.0.0.1:8082/api", "the URL of products"},
		{"PRODUCTS_URL", "http://user@127.0.0.1:8082", "the URL of products"},
		{"PRODUCTS_URL", "http://10.0.0.256:8082", "the URL of products"},
		{"PRODUCTS_URL", "http://pro_ducts..:8082", "the URL of products"},
		{"PRODUCTS_URL", "http://127.0.0.1:0", "the URL of products"},
		{"PRODUCTS_URL", NULL, "PRODUCTS_URL"},
		{"USERS_URL", NULL, "USERS_URL"},
		{"INTERNAL_SECRETS", NULL, "INTERNAL_SECRETS"},
		{"INTERNAL_SECRETS", "gateway products " KEY, "INTERNAL_SECRETS"},
		{"INTERNAL_SECRETS", "orders products short", "INTERNAL_SECRETS"},
		{"OWN_NUMBER", "11", "OWN_NUMBER"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		tear_down(state);
		set_up(state);
		if (rows[i].value != NULL)
			setenv(rows[i].name, rows[i].value, 1);
		else
			unsetenv(rows[i].name);
		if (settings_load(&s, &service, &settings) != FAULT_INVALID || s.errors == NULL)
			fail_row(i, "%s is fine", rows[i].name);
		if (!str_eq(s.errors->field, str_from(rows[i].field)))
			fail_row(i, "%s=%s named %.*s", rows[i].name,
				rows[i].value != NULL ? rows[i].value : "(none)",
				STR_ARG(s.errors->field));
	}
}

static void a_password_in_a_peers_url_is_not_shown(void **state)
{
	(void)state;
	setenv("PRODUCTS_URL", "http://127.0.0.1:8082,http://user:hunter2@127.0.0.1:8082", 1);
	assert_int_equal(settings_load(&s, &service, &settings), FAULT_INVALID);
	assert_non_null(s.errors);
	assert_null(memmem(s.errors->message.at, s.errors->message.len, "hunter2", 7));
	assert_true(str_ends(s.errors->message, STR("number 2 is not")));
}

static void more_addresses_than_a_peer_may_have(void **state)
{
	char urls[(UPSTREAM_ADDRESSES_MAX + 1) * sizeof "http://127.0.0.1:8082,"] = "";

	(void)state;
	for (int i = 0; i <= UPSTREAM_ADDRESSES_MAX; i++) {
		strcat(urls, i == 0 ? "" : ",");
		strcat(urls, "http://127.0.0.1:8082");
		setenv("USERS_URL", urls, 1);
		assert_int_equal(settings_load(&s, &service, &settings),
			i < UPSTREAM_ADDRESSES_MAX ? OK : FAULT_INVALID);
	}
}

static void all_mistakes_are_named_at_once(void **state)
{
	(void)state;
	clearenv();
	setenv("PORT", "x", 1);
	setenv("OWN_NUMBER", "x", 1);
	setenv("LISTEN_ADDRESS", "x", 1);
	setenv("REDIS_URL", "x", 1);
	assert_int_equal(settings_load(&s, &service, &settings), FAULT_INVALID);
	/* those, and DATABASE_URL, CURSOR_SECRET, PRODUCTS_URL, USERS_URL, INTERNAL_SECRETS */
	assert_int_equal(s.error_count, 9);
}

static void users_needs_no_peer_for_its_own_keys(void **state)
{
	struct service users = service;

	(void)state;
	users.fetch_keys = (enum fault(*)(struct task *, struct str *))(uintptr_t)1;
	users.peer_count = 0;
	assert_int_equal(settings_load(&s, &users, &settings), OK);
	assert_int_equal(settings.peer_count, 0);
}

static void who_serves_services_alone_needs_less(void **state)
{
	struct service inside = service;

	(void)state;
	inside.route_count = 1;
	unsetenv("USERS_URL");
	unsetenv("CURSOR_SECRET");
	assert_int_equal(settings_load(&s, &inside, &settings), OK);
	assert_int_equal(settings.peer_count, 1);
	assert_string_equal(settings.peers[0].name, "products");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(defaults_and_what_is_given),
		TEST(threads_follow_the_cpus),
		TEST(each_mistake_is_named),
		TEST(a_password_in_a_peers_url_is_not_shown),
		TEST(more_addresses_than_a_peer_may_have),
		TEST(all_mistakes_are_named_at_once),
		TEST(users_needs_no_peer_for_its_own_keys),
		TEST(who_serves_services_alone_needs_less),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
