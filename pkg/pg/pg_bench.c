/* SPDX-License-Identifier: Apache-2.0
 * Reads a second through one thread: statements of a turn under one Sync, beside a Sync for each.
 * Usage: tools/with-servers build/release/pkg/pg/pg_bench [READERS [SECONDS [CONNECTIONS]]] */
#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "fiber/task.h"
#include "pg/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { ROWS = 1000 };

static const struct pg_statement goods_get = {
	.name = "goods_get",
	.class = PG_READ,
	.sql = "SELECT id, name, price FROM goods WHERE id = $1::bigint",
};
static const struct pg_statement *const statements[] = {&goods_get};
static const struct pg_schema schema = {.statements = statements, .statement_count = 1};

struct run {
	const char *title;
	bool alone; /* a Sync for each */
	int64_t end_us;
	uint64_t reads;
};

static void check_row(struct task *t, PGresult *result)
{
	struct pg_rows rows = {.count = (size_t)PQntuples(result), .result = result};
	struct pg_row row = pg_row(&rows, 0);

	(void)t;
	CHECK(pg_take_int64(&row) > 0 && pg_take_text(&row).len > 0 && pg_take_int64(&row) > 0);
}

/* As pg_query does it, but that it can ask for a Sync of its own; frees each result at once. */
static void read_on(struct task *t, void *arg)
{
	struct run *run = arg;

	while (loop_now_us(t->loop) < run->end_us) {
		const struct pg_value id = pg_int64((int64_t)random_below(ROWS) + 1);
		struct pg_op *op = pg_op_new(OP_STATEMENT, &goods_get);

		op->alone = run->alone;
		op->values = &id;
		op->count = 1;
		pg_pool_submit(pg_pool_of(pg_here(), PG_READ), op, task_left_us(t));
		CHECK(pg_op_wait(t, op) == OK && op->end == END_ANSWERED);
		check_row(t, op->result);
		pg_op_drop(op);
		run->reads++;
	}
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void measure(struct loop *l, struct pg *pg, struct run *run, int readers, int seconds)
{
	const double cpu = cpu_seconds();
	const uint64_t syncs = counter_value(pg->batches);
	const int64_t began_us = clock_monotonic_us();

	run->end_us = began_us + seconds * 1000000LL;
	for (int i = 0; i < readers; i++)
		CHECK(task_start(l, INT64_MAX, read_on, NULL, run, NULL) == OK);
	while (task_count(l) > 0)
		loop_turn(l, 100);
	printf("%-22s %8.0f reads/s  %5.1f us of this thread's CPU each  %5.1f reads a Sync\n",
		run->title, (double)run->reads / ((double)(clock_monotonic_us() - began_us) / 1e6),
		(cpu_seconds() - cpu) * 1e6 / (double)run->reads,
		(double)run->reads / (double)(counter_value(pg->batches) - syncs));
	fflush(stdout);
}

static void make_table(const char *url)
{
	PGconn *server = PQconnectdb(url);
	PGresult *result = PQexec(server,
		"DROP TABLE IF EXISTS goods;"
		"CREATE TABLE goods (id bigint PRIMARY KEY, name text, price bigint);"
		"INSERT INTO goods SELECT i, 'goods number ' || i, i * 10"
		"	FROM generate_series(1, 1000) i; ANALYZE goods");

	if (PQresultStatus(result) != PGRES_COMMAND_OK) {
		fprintf(stderr, "%s", PQerrorMessage(server));
		exit(1);
	}
	PQclear(result);
	PQfinish(server);
}

/* The nth argument, or what holds without it; 0 when it is no number. */
static int argument(int argc, char **argv, int n, int usual)
{
	int64_t value = usual;

	if (argc > n && !str_to_int64(str_from(argv[n]), &value))
		return 0;
	return value > 0 && value < 10000 ? (int)value : 0;
}

int main(int argc, char **argv)
{
	const char *url = getenv("TEST_DATABASE_URL");
	const int readers = argument(argc, argv, 1, 64);
	const int seconds = argument(argc, argv, 2, 2);
	const unsigned connections = (unsigned)argument(argc, argv, 3, 1);
	struct pg_config config = {.url = str_from(url),
		.read_connections = connections,
		.write_connections = 1,
		.queue_max = 1024,
		.application_name = "pg_bench"};
	struct loop *l;
	struct pg *pg;

	if (url == NULL || readers < 1 || seconds < 1 || connections < 1) {
		fprintf(stderr, "usage: tools/with-servers %s [READERS [SECONDS [CONNECTIONS]]]\n",
			argv[0]);
		return 64;
	}
	make_table(url);
	l = loop_new(LOOP_LIMITS_DEFAULT);
	pg = pg_new(l, &config, &schema);
	while (!pg_ready(pg, NULL))
		loop_turn(l, 10);
	printf("%d readers, %u connection%s\n", readers, connections, connections > 1 ? "s" : "");
	for (int round = 0; round < 2; round++) {
		struct run shared = {.title = "one Sync a turn", .alone = false};
		struct run each = {.title = "one Sync a statement", .alone = true};

		measure(l, pg, &shared, readers, seconds);
		measure(l, pg, &each, readers, seconds);
	}
	pg_free(pg);
	loop_free(l);
	return 0;
}
