/* SPDX-License-Identifier: Apache-2.0
 * Reservations on the migrated schema: what each state allows, and fifty sessions at once. */
#include "testing.h"

#include "base/random.h"

enum { HOUR_US = 3600 * 1000000LL, LINES = 3 };

static struct uuid products[8];

enum operation { RESERVE, COMMIT = 10, RELEASE, RETURN, EXPIRE, GET };

/* One call: a reserve of these lines, or one of the other operations. */
struct reserve_job {
	struct job job;
	enum operation operation;
	struct uuid order_id;
	int32_t revision;
	int64_t ttl_us;
	struct reservation_line lines[LINES];
	size_t line_count;
	/* found */
	int outcome;
	char state[16];
	int64_t total; /* units of the reservation's lines */
	size_t touched;
	size_t shortages;
	int64_t available; /* of the first short line */
	int64_t version; /* of the first product touched */
};

static enum fault call(struct task *t, struct job *job)
{
	struct reserve_job *j = CONTAINER_OF(job, struct reserve_job, job);
	const struct items lines = {j->lines, j->line_count};
	const struct reservation_line *line;
	const struct shortage *shortage;
	const struct touched *touched;
	struct reservation_answer answer;
	struct items merged;

	switch (j->operation) {
	case RESERVE:
		TRY(reservation_lines_merge(&t->scope, &lines, &merged));
		TRY(store_reserve(t, &j->order_id, j->revision, &merged, j->ttl_us,
			STR("user:test"), &answer));
		break;
	case EXPIRE:
		TRY(store_reservation_expire(t, &j->order_id, &answer));
		break;
	case GET:
		TRY(store_reservation_get(t, &j->order_id, &answer));
		break;
	default:
		TRY(store_reservation_step(t, (enum reservation_step)(j->operation - COMMIT),
			&j->order_id, STR("user:test"), &answer));
	}
	j->outcome = (int)answer.outcome;
	snprintf(j->state, sizeof j->state, "%.*s", STR_ARG(answer.reservation.state));
	line = answer.reservation.lines.at;
	j->total = 0;
	for (size_t i = 0; i < answer.reservation.lines.count; i++)
		j->total += line[i].quantity;
	touched = answer.touched.at;
	j->touched = answer.touched.count;
	j->version = j->touched > 0 ? touched[0].cache_version : 0;
	shortage = answer.shortages.at;
	j->shortages = answer.shortages.count;
	j->available = j->shortages > 0 ? shortage[0].available : 0;
	return OK;
}

static struct reservation_line of(size_t product, int32_t quantity)
{
	return (struct reservation_line){.product_id = products[product], .quantity = quantity};
}

#define RESERVATION(order_, ...)                                                 \
	((struct reserve_job){.job.work = call,                                  \
		.order_id = (order_),                                            \
		.revision = 1,                                                   \
		.ttl_us = HOUR_US,                                               \
		.lines = {__VA_ARGS__},                                          \
		.line_count = sizeof((struct reservation_line[]){__VA_ARGS__}) / \
	                      sizeof(struct reservation_line)})

static int outcome(struct reserve_job j)
{
	job_finish(&j.job);
	assert_int_equal(j.job.fault, OK);
	return j.outcome;
}

static int operate(enum operation operation, struct uuid order)
{
	struct reserve_job j = {.job.work = call, .operation = operation, .order_id = order};

	return outcome(j);
}

static long long available(size_t product)
{
	char sql[128];
	char id[UUID_TEXT_LEN + 1];

	snprintf(sql, sizeof sql, "SELECT available FROM stock WHERE product_id = '%s'",
		uuid_format(&products[product], id).at);
	return observe_number(sql);
}

/* Eight products with ten units each. */
static int ten_of_each(void **state)
{
	char sql[1024];
	char id[UUID_TEXT_LEN + 1];

	(void)store_empty(state);
	for (size_t i = 0; i < COUNT(products); i++) {
		products[i] = uuid_new();
		/* cppcheck-suppress invalidPrintfArgType_s; it does not know numbered arguments */
		snprintf(sql, sizeof sql,
			"INSERT INTO products (id, seller_id, name, price_minor, currency)"
			" VALUES ('%1$s', '%1$s', 'P%2$zu', 100, 'USD');"
			"INSERT INTO stock (product_id, available, received)"
			" VALUES ('%1$s', 10, 10);"
			"INSERT INTO stock_movements"
			" (product_id, reason, quantity, available, actor)"
			" VALUES ('%1$s', 'received', 10, 10, 'user:test')",
			uuid_format(&products[i], id).at, i);
		observe(sql);
	}
	return 0;
}

/* ---- states ---- */

static void all_lines_or_none(void **state)
{
	const struct uuid order = uuid_new();
	struct reserve_job j = RESERVATION(order, of(0, 2), of(1, 3), of(0, 1));

	(void)state;
	job_finish(&j.job);
	assert_int_equal(j.outcome, RESERVATION_OK);
	assert_int_equal(j.total, 6);
	assert_int_equal(j.touched, 2);
	assert_int_equal(j.version, 3);
	assert_string_equal(j.state, "held");
	assert_int_equal(available(0), 7);

	j = RESERVATION(uuid_new(), of(1, 1), of(0, 8), of(2, 99));
	job_finish(&j.job);
	assert_int_equal(j.outcome, RESERVATION_SHORT);
	assert_int_equal(j.shortages, 2);
	assert_int_equal(j.available, 7);
	assert_int_equal(available(1), 7);
	assert_int_equal(observe_number("SELECT count(*) FROM reservations"), 1);
	assert_adds_up();
}

static void unknown_and_deleted_products_are_told_apart(void **state)
{
	struct reserve_job j = RESERVATION(uuid_new(), of(0, 1));

	(void)state;
	observe("UPDATE products SET status = 'deleted', version = version + 1");
	job_finish(&j.job);
	assert_int_equal(j.outcome, RESERVATION_SHORT);
	assert_int_equal(j.available, -1);
	j.lines[0].product_id = uuid_new();
	job_finish(&j.job);
	assert_int_equal(j.outcome, RESERVATION_SHORT);
	assert_int_equal(j.available, -1);
	assert_adds_up();
}

static void repeats_and_revisions(void **state)
{
	const struct uuid order = uuid_new();
	struct reserve_job j = RESERVATION(order, of(0, 2), of(1, 3));

	(void)state;
	assert_int_equal(outcome(j), RESERVATION_OK);
	assert_int_equal(outcome(j), RESERVATION_OK);
	assert_int_equal(available(0), 8);
	assert_int_equal(outcome(RESERVATION(order, of(0, 3), of(1, 3))), RESERVATION_DIFFERS);
	assert_int_equal(outcome(RESERVATION(order, of(0, 2))), RESERVATION_DIFFERS);

	j = RESERVATION(order, of(0, 10), of(2, 1));
	j.revision = 3;
	job_finish(&j.job);
	assert_int_equal(j.outcome, RESERVATION_OK); /* its own hold counts as available */
	assert_int_equal(j.total, 11);
	assert_int_equal(j.touched, 3); /* the one it gave up too */
	assert_int_equal(available(0), 0);
	assert_int_equal(available(1), 10);
	j.revision = 2;
	assert_int_equal(outcome(j), RESERVATION_STALE);
	j.revision = 4;
	j.lines[0].quantity = 11;
	assert_int_equal(outcome(j), RESERVATION_SHORT);
	assert_int_equal(available(0), 0);
	assert_adds_up();
}

static void committing_and_returning(void **state)
{
	const struct uuid order = uuid_new();
	struct reserve_job j = RESERVATION(order, of(0, 4));

	(void)state;
	assert_int_equal(operate(COMMIT, order), RESERVATION_MISSING);
	assert_int_equal(operate(RETURN, order), RESERVATION_MISSING);
	assert_int_equal(operate(GET, order), RESERVATION_MISSING);
	assert_int_equal(outcome(j), RESERVATION_OK);
	assert_int_equal(operate(RETURN, order), RESERVATION_SETTLED);
	assert_int_equal(operate(COMMIT, order), RESERVATION_OK);
	assert_int_equal(operate(COMMIT, order), RESERVATION_OK);
	assert_int_equal(observe_number("SELECT sum(sold) FROM stock"), 4);
	assert_int_equal(operate(RELEASE, order), RESERVATION_SETTLED);
	j.revision = 2;
	assert_int_equal(outcome(j), RESERVATION_SETTLED);
	assert_int_equal(operate(RETURN, order), RESERVATION_OK);
	assert_int_equal(operate(RETURN, order), RESERVATION_OK);
	assert_int_equal(operate(COMMIT, order), RESERVATION_SETTLED);
	assert_int_equal(available(0), 10);
	assert_adds_up();
}

static void releasing_leaves_a_tombstone(void **state)
{
	const struct uuid order = uuid_new();
	const struct uuid unknown = uuid_new();

	(void)state;
	assert_int_equal(outcome(RESERVATION(order, of(0, 4))), RESERVATION_OK);
	assert_int_equal(operate(RELEASE, order), RESERVATION_OK);
	assert_int_equal(operate(RELEASE, order), RESERVATION_OK);
	assert_int_equal(operate(COMMIT, order), RESERVATION_RELEASED);
	assert_int_equal(operate(RETURN, order), RESERVATION_RELEASED);
	assert_int_equal(operate(RELEASE, unknown), RESERVATION_OK);
	assert_int_equal(outcome(RESERVATION(unknown, of(0, 1))), RESERVATION_RELEASED);
	assert_int_equal(available(0), 10);
	assert_adds_up();
}

static enum fault forget_tombstones(struct task *t, struct job *job)
{
	size_t count;

	TRY(store_tombstones_forget(t, &count));
	job->number = (int64_t)count;
	return OK;
}

static void a_tombstone_goes_a_day_later(void **state)
{
	struct job job = {.work = forget_tombstones};
	const struct uuid order = uuid_new();

	(void)state;
	assert_int_equal(outcome(RESERVATION(order, of(0, 4))), RESERVATION_OK);
	assert_int_equal(operate(RELEASE, order), RESERVATION_OK);
	assert_int_equal(operate(RELEASE, uuid_new()), RESERVATION_OK);
	observe("UPDATE reservations SET created_at = now() - interval '23 hours'");
	job_finish(&job);
	assert_int_equal(job.number, 0);
	observe("UPDATE reservations SET created_at = now() - interval '25 hours'");
	job_finish(&job);
	assert_int_equal(job.number, 1);
	assert_int_equal(operate(RELEASE, order), RESERVATION_OK); /* what was held is history */
	assert_adds_up();
}

static enum fault count_due(struct task *t, struct job *job)
{
	struct uuids due;

	TRY(store_reservations_due(t, &due));
	job->number = (int64_t)due.count;
	return OK;
}

static void expired_ones_take_their_stock_again_or_fail(void **state)
{
	const struct uuid order = uuid_new();
	struct reserve_job j = RESERVATION(order, of(0, 10));
	struct job due = {.work = count_due};

	(void)state;
	assert_int_equal(outcome(j), RESERVATION_OK);
	job_finish(&due);
	assert_int_equal(due.number, 0);
	assert_int_equal(operate(EXPIRE, order), RESERVATION_MISSING); /* its time is not over */
	observe("UPDATE reservations SET expires_at = now()");
	job_finish(&due);
	assert_int_equal(due.number, 1);
	assert_int_equal(operate(EXPIRE, order), RESERVATION_OK);
	assert_int_equal(operate(EXPIRE, order), RESERVATION_MISSING);
	assert_int_equal(available(0), 10);
	assert_int_equal(outcome(j), RESERVATION_RELEASED);

	assert_int_equal(outcome(RESERVATION(uuid_new(), of(0, 1))), RESERVATION_OK);
	assert_int_equal(operate(COMMIT, order), RESERVATION_SHORT);
	assert_int_equal(available(0), 9);
	observe("SELECT reservation_release(order_id, 'user:test') FROM reservations"
		" WHERE state = 'held'");
	assert_int_equal(operate(COMMIT, order), RESERVATION_OK);
	assert_int_equal(available(0), 0);
	assert_int_equal(operate(RETURN, order), RESERVATION_OK);
	assert_adds_up();
}

/* ---- at once ---- */

static void start(struct reserve_job *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		job_start(&jobs[i].job);
	for (size_t i = 0; i < count; i++)
		turn_until(jobs[i].job.task == NULL);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(jobs[i].job.fault, OK);
}

static void fifty_buyers_of_ten(void **state)
{
	static struct reserve_job jobs[BUYERS];

	for (int round = 0; round < 10; round++) {
		size_t held = 0;

		(void)ten_of_each(state);
		for (size_t i = 0; i < BUYERS; i++)
			jobs[i] = RESERVATION(uuid_new(), of(0, 1));
		start(jobs, BUYERS);
		for (size_t i = 0; i < BUYERS; i++) {
			held += jobs[i].outcome == RESERVATION_OK;
			assert_true(jobs[i].outcome == RESERVATION_OK ||
				    jobs[i].outcome == RESERVATION_SHORT);
		}
		assert_int_equal(held, 10);
		assert_int_equal(available(0), 0);
		assert_int_equal(observe_number("SELECT count(*) FROM reservations"), 10);
		assert_adds_up();
	}
}

static void new_orders_share_transactions(void **state)
{
	static struct reserve_job jobs[BUYERS];

	(void)state;
	for (size_t i = 0; i < BUYERS; i++)
		jobs[i] = RESERVATION(uuid_new(), of(i % 7, 1), of(7, 1));
	observe("UPDATE stock SET available = 100, received = 100;"
		"UPDATE stock_movements SET quantity = 100, available = 100");
	start(jobs, BUYERS);
	for (size_t i = 0; i < BUYERS; i++) {
		assert_int_equal(jobs[i].outcome, RESERVATION_OK);
		assert_int_equal(jobs[i].total, 2);
		assert_int_equal(jobs[i].touched, 2);
	}
	assert_true(observe_number("SELECT count(DISTINCT xmin::text) FROM reservations") <=
		    BUYERS / 5);
	assert_int_equal(available(7), 50);
	/* the ledger runs down by one unit a line */
	assert_int_equal(observe_number("SELECT count(DISTINCT (product_id, available))"
					" FROM stock_movements WHERE reason = 'held'"),
		2 * BUYERS);
	assert_adds_up();
}

static void what_cannot_be_had_harms_no_other(void **state)
{
	static struct reserve_job jobs[8];
	const struct uuid released = uuid_new();

	(void)state;
	assert_int_equal(operate(RELEASE, released), RESERVATION_OK);
	for (size_t i = 0; i < COUNT(jobs); i++)
		jobs[i] = RESERVATION(uuid_new(), of(i, 1), of(0, 1));
	jobs[3].lines[0].product_id = uuid_new();
	jobs[4].lines[0].quantity = 11;
	jobs[5].order_id = released;
	jobs[6].order_id = jobs[7].order_id = jobs[1].order_id;
	jobs[6].lines[0].product_id = products[1];
	start(jobs, COUNT(jobs));
	for (size_t i = 0; i < COUNT(jobs); i++) {
		static const enum reservation_outcome wanted[COUNT(jobs)] = {
			[3] = RESERVATION_SHORT,
			RESERVATION_SHORT,
			RESERVATION_RELEASED,
			RESERVATION_OK,
			RESERVATION_DIFFERS};

		if (jobs[i].outcome != (int)wanted[i])
			fail_row(i, "got %d, want %d", jobs[i].outcome, (int)wanted[i]);
	}
	assert_int_equal(jobs[3].available, -1);
	assert_int_equal(jobs[4].available, 10);
	assert_int_equal(available(0), 6); /* two of the first order, one each of the next two */
	assert_int_equal(observe_number("SELECT count(*) FROM reservations"), 4);
	assert_adds_up();
}

/* The answer to a create was lost and it is sent again, and again: one reservation, one answer. */
static void one_order_fifty_times(void **state)
{
	static struct reserve_job jobs[BUYERS];
	const struct uuid order = uuid_new();

	(void)state;
	for (size_t i = 0; i < BUYERS; i++)
		jobs[i] = RESERVATION(order, of(0, 1), of(1, 2));
	start(jobs, BUYERS);
	for (size_t i = 0; i < BUYERS; i++) {
		assert_int_equal(jobs[i].outcome, RESERVATION_OK);
		assert_int_equal(jobs[i].total, 3);
	}
	assert_int_equal(available(0), 9);
	assert_adds_up();
}

/* Orders name the same products in any order, while others commit, release, return and expire
 * them: nothing may deadlock, for a deadlock is a second lost, and everything must add up. */
static void any_order_of_anything(void **state)
{
	static struct reserve_job jobs[600];
	static struct uuid orders[80];
	const long long deadlocks = observe_number(
		"SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");

	(void)state;
	random_seed(1);
	for (size_t i = 0; i < COUNT(orders); i++)
		orders[i] = uuid_new();
	for (size_t i = 0; i < COUNT(jobs); i++) {
		static const enum operation operations[] = {
			RESERVE, RESERVE, RESERVE, COMMIT, RELEASE, RETURN, EXPIRE};

		jobs[i] = RESERVATION(orders[random_below(COUNT(orders))], of(random_below(8), 1),
			of(random_below(8), 1), of(random_below(8), 2));
		jobs[i].operation = operations[random_below(COUNT(operations))];
		jobs[i].revision = 1 + (int32_t)random_below(4);
		jobs[i].ttl_us = 1000 * (int64_t)random_below(3);
	}
	start(jobs, COUNT(jobs));
	observe("SELECT pg_stat_clear_snapshot()");
	assert_int_equal(observe_number("SELECT deadlocks FROM pg_stat_database"
					" WHERE datname = current_database()"),
		deadlocks);
	assert_int_equal(observe_number("SELECT count(*) FROM stock s WHERE held <> ("
					"SELECT coalesce(sum(quantity), 0) FROM reservation_lines"
					" JOIN reservations r USING (order_id)"
					" WHERE product_id = s.product_id AND state = 'held')"),
		0);
	assert_adds_up();
}

int reservation_tests_run(void)
{
#define TEST(name_) cmocka_unit_test_setup(name_, ten_of_each)
	const struct CMUnitTest tests[] = {
		TEST(all_lines_or_none),
		TEST(unknown_and_deleted_products_are_told_apart),
		TEST(repeats_and_revisions),
		TEST(committing_and_returning),
		TEST(releasing_leaves_a_tombstone),
		TEST(a_tombstone_goes_a_day_later),
		TEST(expired_ones_take_their_stock_again_or_fail),
		TEST(fifty_buyers_of_ten),
		TEST(new_orders_share_transactions),
		TEST(what_cannot_be_had_harms_no_other),
		TEST(one_order_fifty_times),
		TEST(any_order_of_anything),
	};

	return cmocka_run_group_tests_name("reservations", tests, store_begin, store_end);
}
