/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/clock.h"
#include "fiber/dns.h"
#include "redis/link.h"
#include "redis/testing.h"

enum { COMMAND_TIMEOUT = 200000, MANY = 100 };

#define SECOND INT64_C(1000000)

static struct redis_server server;
static struct loop *loop;
static struct redis *client;

/* ---- commands as text: words between spaces ---- */

static enum fault run_words(struct task *t, struct job *job)
{
	struct str rest = str_from(job->arg), words[8];
	struct redis_reply reply;
	size_t count = 0;

	while (count < 8 && str_cut(&rest, ' ', &words[count]))
		count++;
	TRY(redis_command(t, words, count, &reply));
	job->number = reply.type == REDIS_ARRAY ? (int64_t)reply.count : reply.integer;
	if (reply.type == REDIS_TEXT)
		job_keep(job, reply.text);
	return OK;
}

static struct job command_within(const char *words, int64_t deadline_us)
{
	struct job job = {.run = run_words, .arg = words, .deadline_us = deadline_us};

	job_start(loop, &job);
	job_wait(loop, &job);
	return job;
}

static struct job command(const char *words)
{
	return command_within(words, 0);
}

static void urls(void **state)
{
	static const struct {
		const char *url;
		bool good;
		const char *host, *path, *user, *password;
		int port, database;
	} rows[] = {
		{"redis://here", true, "here", "", "", "", 6379, 0},
		{"redis://here:6380/2", true, "here", "", "", "", 6380, 2},
		{"redis://:p%40ss@here", true, "here", "", "", "p@ss", 6379, 0},
		{"redis://me:p:w@here:1", true, "here", "", "me", "p:w", 1, 0},
		{"redis://[::1]:7/1", true, "::1", "", "", "", 7, 1},
		{"redis://[::1]", true, "::1", "", "", "", 6379, 0},
		{"unix:///run/redis.sock", true, "", "/run/redis.sock", "", "", 6379, 0},
		{"unix:///run/redis.sock?db=3", true, "", "/run/redis.sock", "", "", 6379, 3},
		{"unix://run/redis.sock", false, "", "", "", "", 0, 0},
		{"unix:///a?db=x", false, "", "", "", "", 0, 0},
		{"redis://", false, "", "", "", "", 0, 0},
		{"redis://here:0", false, "", "", "", "", 0, 0},
		{"redis://here:65536", false, "", "", "", "", 0, 0},
		{"redis://here/x", false, "", "", "", "", 0, 0},
		{"redis://here/-1", false, "", "", "", "", 0, 0},
		{"redis://:%4@here", false, "", "", "", "", 0, 0},
		{"redis://[::1", false, "", "", "", "", 0, 0},
		{"redis://[::1]x", false, "", "", "", "", 0, 0},
		{"rediss://here", false, "", "", "", "", 0, 0},
		{"here:6379", false, "", "", "", "", 0, 0},
		{"", false, "", "", "", "", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct redis_address a;
		struct scope s;

		scope_begin(&s);
		const bool good = redis_address_parse(&s, str_from(rows[i].url), &a);
		if (good != rows[i].good || redis_url_valid(str_from(rows[i].url)) != good)
			fail_row(i, "%s: %d", rows[i].url, good);
		if (good && (!str_eq(a.host, str_from(rows[i].host)) ||
				    !str_eq(a.path, str_from(rows[i].path)) ||
				    !str_eq(a.user, str_from(rows[i].user)) ||
				    !str_eq(a.password, str_from(rows[i].password)) ||
				    a.port != rows[i].port || a.database != rows[i].database))
			fail_row(i, "%s", rows[i].url);
		scope_end(&s);
	}
}

static enum fault run_binary(struct task *t, struct job *job)
{
	const struct str value = str_of("a\0b\r\n$3\r\n\xff", 11);
	struct redis_reply reply;

	(void)job;
	TRY(redis_command(t, (const struct str[]){STR("SET"), STR("k\0\r\n"), value}, 3, &reply));
	TRY(redis_command(t, (const struct str[]){STR("GET"), STR("k\0\r\n")}, 2, &reply));
	job_keep(job, reply.text);
	TRY(redis_command(t,
		(const struct str[]){STR("MGET"), STR("k\0\r\n"), STR("nothing"), STR("k\0\r\n")},
		4, &reply));
	job->number = reply.type == REDIS_ARRAY && reply.count == 3 &&
	              str_eq(reply.items[2].text, value) && reply.items[1].type == REDIS_NIL;
	return OK;
}

static void commands(void **state)
{
	struct job job = command("INCR n");

	(void)state;
	assert_int_equal(job.fault, OK);
	assert_int_equal(job.number, 1);
	assert_int_equal(command("INCR n").number, 2);
	job = command("GET nothing");
	assert_int_equal(job.fault, OK);
	assert_int_equal(job.len, 0);
	job = command("NOSUCH command");
	assert_int_equal(job.fault, FAULT_INTERNAL);
	assert_non_null(strstr(job.text, "Redis: ERR unknown command"));
	job = (struct job){.run = run_binary};
	job_start(loop, &job);
	job_wait(loop, &job);
	assert_int_equal(job.fault, OK);
	assert_memory_equal(job.text, "a\0b\r\n$3\r\n\xff", 11);
	assert_int_equal(job.number, 1);
}

static void many_at_once(void **state)
{
	static struct job jobs[MANY];
	int64_t sum = 0;

	(void)state;
	(void)command("DEL m");
	for (size_t i = 0; i < MANY; i++) {
		jobs[i] = (struct job){.run = run_words, .arg = "INCR m"};
		job_start(loop, &jobs[i]);
	}
	for (size_t i = 0; i < MANY; i++) {
		job_wait(loop, &jobs[i]);
		assert_int_equal(jobs[i].fault, OK);
		sum += jobs[i].number;
	}
	assert_int_equal(sum, MANY * (MANY + 1) / 2);
}

/* A task that has stopped waiting leaves its command behind; later answers still fit. */
static void answers_of_the_gone_are_thrown_away(void **state)
{
	struct job job = command_within("BLPOP nothing 0.05", SECOND / 100);

	(void)state;
	assert_int_equal(job.fault, FAULT_DEADLINE);
	job = command("ECHO mine");
	assert_int_equal(job.fault, OK);
	assert_string_equal(job.text, "mine");
}

/* ---- Redis goes and comes ---- */

static void killed_and_started_again(void **state)
{
	(void)state;
	redis_server_signal(&server, SIGKILL);
	redis_wait_up(loop, client, false);
	assert_int_equal(command("PING").fault, FAULT_UNAVAILABLE);
	redis_server_start(&server);
	redis_wait_up(loop, client, true);
	assert_string_equal(command("PING").text, "PONG");
}

/* A stopped Redis takes connections and commands; only our own times notice. */
static void stopped(void **state)
{
	(void)state;
	redis_server_signal(&server, SIGSTOP);
	int64_t began_us = clock_monotonic_us();
	assert_int_equal(command("PING").fault, FAULT_UNAVAILABLE);
	/* before its task's deadline, or the fault were another */
	assert_in_range(clock_monotonic_us() - began_us, COMMAND_TIMEOUT - 5000, INT64_MAX);
	assert_false(redis_up(client));
	began_us = clock_monotonic_us();
	while (clock_monotonic_us() - began_us < SECOND / 5) { /* it tries to connect meanwhile */
		assert_int_equal(command("PING").fault, FAULT_UNAVAILABLE);
		loop_turn(loop, 10);
	}
	redis_server_signal(&server, SIGCONT);
	redis_wait_up(loop, client, true);
	assert_string_equal(command("PING").text, "PONG");
}

static void on_counted(struct redis_op *op, enum fault fault, const redisReply *answer)
{
	int *count = op->arg;

	(void)answer;
	*count += fault == FAULT_UNAVAILABLE;
}

static void what_waits_is_bounded(void **state)
{
	const struct str ping = STR("PING");
	int lost = 0;

	(void)state;
	redis_server_signal(&server, SIGSTOP);
	for (int i = 0; i < REDIS_PENDING_MAX; i++)
		assert_int_equal(redis_send(client, &ping, 1, on_counted, &lost, NULL), OK);
	assert_int_equal(redis_send(client, &ping, 1, on_counted, &lost, NULL), FAULT_OVERLOADED);
	redis_wait_up(loop, client, false);
	assert_int_equal(lost, REDIS_PENDING_MAX);
	redis_server_signal(&server, SIGCONT);
	redis_wait_up(loop, client, true);
}

static struct redis *client_of(const char *url, const char *file)
{
	return redis_new(loop, &(struct redis_config){.url = str_from(url),
				       .url_file = file,
				       .command_timeout_us = COMMAND_TIMEOUT});
}

/* A name, a database and a password that comes from a file and changes there. */
static void greetings(void **state)
{
	char url[128], path[64];
	struct job job;

	(void)state;
	assert_int_equal(command("CONFIG SET requirepass sesame").fault, OK);
	redis_free(client);
	snprintf(path, sizeof path, "%s/url", server.folder);
	FILE *file = fopen(path, "we");
	fprintf(file, "redis://:wrong@localhost:%s/3\n", server.port);
	fclose(file);
	client = client_of(NULL, path);
	const int64_t began_us = clock_monotonic_us();
	while (clock_monotonic_us() - began_us < SECOND / 10) {
		loop_turn(loop, 10);
		assert_false(redis_up(client));
	}
	file = fopen(path, "we");
	fprintf(file, "redis://:sesame@localhost:%s/3\n", server.port);
	fclose(file);
	redis_wait_up(loop, client, true);
	job = command("CLIENT INFO");
	assert_non_null(strstr(job.text, " db=3 "));
	assert_int_equal(command("SET here 1").fault, OK);
	redis_free(client);
	unlink(path);
	snprintf(url, sizeof url, "redis://default:sesame@127.0.0.1:%s", server.port);
	client = client_of(url, NULL);
	redis_wait_up(loop, client, true);
	assert_int_equal(command("EXISTS here").number, 0);
	assert_int_equal(command("CONFIG SET requirepass ").fault, OK);
}

/* The name is looked up anew at each connect. */
static void a_server_that_moved_is_found(void **state)
{
	static char url[128];

	(void)state;
	if (!dns.runs)
		skip();
	redis_free(client);
	dns_set("cache", "127.0.0.2"); /* nobody is there */
	snprintf(url, sizeof url, "redis://cache:%s", server.port);
	client = client_of(url, NULL);
	while (client->attempts < 2)
		loop_turn(loop, 10);
	assert_false(redis_up(client));
	dns_set("cache", "127.0.0.1");
	redis_wait_up(loop, client, true);
	assert_int_equal(command("PING").fault, OK);
}

static void each_address_is_tried(void **state)
{
	static char url[128];

	(void)state;
	if (!dns.runs)
		skip();
	redis_free(client);
	dns_set("caches", "::1 127.0.0.1");
	snprintf(url, sizeof url, "redis://caches:%s", server.port);
	client = client_of(url, NULL);
	redis_wait_up(loop, client, true);
}

/* Neither commands nor the client's end wait for a name server that hangs. */
static void freed_while_its_name_is_looked_up(void **state)
{
	(void)state;
	redis_free(client);
	atomic_store(&dns.is_silent, true);
	client = client_of("redis://somewhere:1", NULL);
	assert_int_equal(command("PING").fault, FAULT_UNAVAILABLE);
	redis_free(client);
	atomic_store(&dns.is_silent, false);
	client = client_of(server.url, NULL);
	redis_wait_up(loop, client, true);
}

static int start(void **state)
{
	(void)state;
	dns_start();
	redis_server_make(&server);
	loop = loop_new(LOOP_LIMITS_DEFAULT);
	client = client_of(server.url, NULL);
	redis_wait_up(loop, client, true);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	redis_free(client);
	loop_free(loop);
	redis_server_end(&server);
	dns_stop();
	arena_trim();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls),
		cmocka_unit_test(commands),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(answers_of_the_gone_are_thrown_away),
		cmocka_unit_test(killed_and_started_again),
		cmocka_unit_test(stopped),
		cmocka_unit_test(what_waits_is_bounded),
		cmocka_unit_test(greetings),
		cmocka_unit_test(a_server_that_moved_is_found),
		cmocka_unit_test(each_address_is_tried),
		cmocka_unit_test(freed_while_its_name_is_looked_up),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
