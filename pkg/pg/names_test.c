/* SPDX-License-Identifier: Apache-2.0
 * A database that is known by a name: whose address changes, whose name server hangs. */
#include "pg/testing.h"

#include "fiber/dns.h"
#include "pg/proxy.h"

static const struct pg_statement one_get = {
	.name = "one_get",
	.class = PG_READ,
	.sql = "SELECT 1::bigint",
};
static const struct pg_statement *const statements[] = {&one_get};
static const struct pg_schema schema = {.statements = statements, .statement_count = 1};

/* ---- works ---- */

static enum fault get_one(struct task *t, struct job *job)
{
	struct pg_row row;

	TRY(pg_query_row(t, &one_get, PG_NO_VALUES, &row));
	job->number = pg_take_int64(&row);
	return OK;
}

static enum fault sleep_often(struct task *t, struct job *job)
{
	for (job->number = 0; job->number < 100; job->number++)
		TRY(task_sleep(t, 1000));
	return OK;
}

/* ---- helpers ---- */

/* The server as "database" at the proxies' port. */
static void start_pg(int port)
{
	static char url[1024];
	PQconninfoOption *options = PQconninfoParse(getenv("TEST_DATABASE_URL"), NULL);
	const char *user = "", *database = "";

	for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (strcmp(o->keyword, "user") == 0 && o->val != NULL)
			user = o->val;
		if (strcmp(o->keyword, "dbname") == 0 && o->val != NULL)
			database = o->val;
	}
	snprintf(url, sizeof url,
		"postgresql://%s@database:%d/%s?options=-csearch_path%%3Dnames_test", user, port,
		database);
	PQconninfoFree(options);
	world.pg = world_pg((struct pg_config){.url = str_from(url),
				    .read_connections = 1,
				    .write_connections = 1,
				    .queue_max = 4},
		&schema);
}

static void comes_back(void)
{
	struct job job = {.work = get_one};

	turn_until(is_whole());
	job_finish(&job);
	assert_int_equal(job.fault, OK);
	assert_int_equal(job.number, 1);
}

static size_t commas(const char *list)
{
	size_t count = 0;

	for (; *list != '\0'; list++)
		count += *list == ',';
	return count;
}

static unsigned names_ended;

static void on_ended(struct pg_names *names)
{
	(void)names;
	names_ended++;
}

/* ---- tests ---- */

/* One port for all hosts, or each its own; a host that is not there is left out. */
static void names_become_addresses(void **state)
{
	static const struct {
		const char *url;
		const char *hosts; /* "": libpq needs no help */
		const char *addresses;
		const char *ports;
	} cases[] = {
		{"postgresql://u:p@one:6543/d", "one", "127.0.0.2", "6543"},
		{"host=two,one port=1,2", "two,two,one", "127.0.0.3,127.0.0.4,127.0.0.2", "1,1,2"},
		{"host=nobody,one port=7", "one", "127.0.0.2", "7"},
		{"host=one,127.0.0.9", "one,127.0.0.9", "127.0.0.2,127.0.0.9", "5432,5432"},
		{"postgresql://127.0.0.1:6543/d", "", "", ""},
		{"postgresql://[::1]:6543/d", "", "", ""},
		{"postgresql:///d?host=/tmp", "", "", ""},
		{"host=somewhere hostaddr=10.0.0.1", "", "", ""},
		{"dbname=d", "", "", ""},
	};

	(void)state;
	if (!dns.runs)
		skip();
	dns_set("one", "127.0.0.2");
	dns_set("two", "127.0.0.3 127.0.0.4");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		static struct pg_names names;

		names = (struct pg_names){.loop = world.loop, .ended = on_ended};
		names_ended = 0;
		if (pg_names_look(&names, cases[i].url) == NAMES_PENDING) {
			assert_int_equal(pg_names_look(&names, cases[i].url), NAMES_PENDING);
			turn_until(names_ended == 1);
		}
		if (pg_names_look(&names, cases[i].url) != NAMES_READY)
			fail_row(i, "%s", names.error);
		if (strcmp(names.hosts, cases[i].hosts) != 0 ||
			strcmp(names.ports, cases[i].ports) != 0 ||
			/* the resolver sorts a host's addresses by rules of its own */
			commas(names.addresses) != commas(cases[i].addresses) ||
			strlen(names.addresses) != strlen(cases[i].addresses))
			fail_row(i, "%s, %s, %s", names.hosts, names.addresses, names.ports);
		pg_names_free(&names);
	}
}

static void names_that_are_missing_say_so(void **state)
{
	struct str why;

	(void)state;
	if (!dns.runs)
		skip();
	dns_set("database", "");
	start_pg(1);
	turn_until(world.pg->pools[PG_READ].why[0] != '\0');
	assert_false(pg_ready(world.pg, &why));
	assert_str_equal(why, STR("host database: Name or service not known"));
	pg_free(world.pg);
}

/* Its pod was replaced: the same name has another address, and that is found. */
static void a_database_that_moved_is_found(void **state)
{
	struct proxy *before, *after;

	(void)state;
	if (!dns.runs)
		skip();
	before = proxy_new_at(getenv("TEST_DATABASE_URL"), "127.0.0.2", 0);
	after = proxy_new_at(getenv("TEST_DATABASE_URL"), "127.0.0.3", proxy_port(before));
	clock_advance_us(LOOKUP_SHARED_US);
	loop_turn(world.loop, 0);
	dns_set("database", "127.0.0.2");
	start_pg(proxy_port(before));
	comes_back();
	assert_int_equal(proxy_taken(after), 0);
	dns_set("database", "127.0.0.3");
	proxy_set(before, PROXY_REFUSE);
	proxy_cut(before);
	turn_until(!is_whole());
	comes_back();
	assert_int_equal(proxy_taken(after), 2);
	pg_free(world.pg);
	proxy_free(before);
	proxy_free(after);
}

/* One of its addresses is dead: the next one is tried within the same attempt. */
static void each_address_is_tried(void **state)
{
	struct proxy *proxy;

	(void)state;
	if (!dns.runs)
		skip();
	proxy = proxy_new_at(getenv("TEST_DATABASE_URL"), "127.0.0.4", 0);
	clock_advance_us(LOOKUP_SHARED_US);
	loop_turn(world.loop, 0);
	dns_set("database", "127.0.0.2 127.0.0.3 127.0.0.4");
	start_pg(proxy_port(proxy));
	comes_back();
	assert_string_equal(world.pg->pools[PG_READ].why, "");
	pg_free(world.pg);
	proxy_free(proxy);
}

/* Neither the loop nor the end of the pools waits for it. */
static void a_name_server_that_hangs_holds_nobody_up(void **state)
{
	struct job reader = {.work = get_one}, sleeper = {.work = sleep_often};
	int queries;

	(void)state;
	if (!dns.runs)
		skip();
	clock_advance_us(LOOKUP_SHARED_US);
	loop_turn(world.loop, 0);
	queries = atomic_load(&dns.queries);
	atomic_store(&dns.is_silent, true);
	start_pg(1);
	turn_until(atomic_load(&dns.queries) > queries);
	job_finish(&sleeper);
	assert_int_equal(sleeper.number, 100);
	job_finish(&reader);
	assert_int_equal(reader.fault, FAULT_UNAVAILABLE);
	assert_string_equal(world.pg->pools[PG_READ].why, ""); /* it hangs still */
	pg_free(world.pg);
	atomic_store(&dns.is_silent, false);
}

static int begin(void **state)
{
	(void)state;
	dns_start();
	return world_begin("names_test");
}

static int end(void **state)
{
	(void)state;
	world_end();
	dns_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_addresses),
		cmocka_unit_test(names_that_are_missing_say_so),
		cmocka_unit_test(a_database_that_moved_is_found),
		cmocka_unit_test(each_address_is_tried),
		cmocka_unit_test(a_name_server_that_hangs_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
