/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "saga.h"
#include "stock.h"
#include "upstream/testing.h"

/* ---- products, played by a thread ---- */

enum { RESERVATIONS_MAX = 512, BODY_MAX = 4096 };

static const struct refusal {
	const char *status;
	const char *body;
} too_little = {"409 Conflict",
	"{\"code\":\"insufficient_stock\",\"lines\":[{\"product_id\":"
	"\"00000000-0000-7000-8000-00000000000a\",\"requested\":2,\"available\":1}]}"},
  not_for_sale = {"422 Unprocessable Content",
	  "{\"code\":\"invalid\",\"errors\":[{\"field\":\"lines[1].product_id\"}]}"},
  away = {"503 Service Unavailable", "{\"code\":\"unavailable\"}"};

static struct {
	struct raw_server server;
	struct reservation {
		char order_id[UUID_TEXT_LEN + 1];
		const char *state;
	} reservations[RESERVATIONS_MAX];
	size_t count;
	unsigned calls;
	/* how the next calls go: */
	unsigned lose; /* that many are done, and their answers lost */
	const struct refusal *refuse; /* the next one is refused so */
	const char *sql; /* run before the next answer, on a connection of its own */
} products;

static struct reservation *reservation_of(const char *order_id)
{
	for (size_t i = 0; i < products.count; i++) {
		if (strncmp(products.reservations[i].order_id, order_id, UUID_TEXT_LEN) == 0)
			return &products.reservations[i];
	}
	CHECK(products.count < RESERVATIONS_MAX);
	struct reservation *made = &products.reservations[products.count++];
	snprintf(made->order_id, sizeof made->order_id, "%.*s", UUID_TEXT_LEN, order_id);
	made->state = "none";
	return made;
}

/* What the operation of the path does to the reservation; false: 409 with the code. */
static bool move(struct reservation *r, const char *operation, const char **code)
{
	static const struct {
		const char *operation, *from, *to, *code; /* `to` NULL: refused with the code */
	} moves[] = {
		{"reserve", "none", "held", NULL},
		{"reserve", "held", "held", NULL},
		{"reserve", "released", NULL, "released"},
		{"release", "none", "released", NULL},
		{"release", "held", "released", NULL},
		{"release", "released", "released", NULL},
		{"commit", "held", "committed", NULL},
		{"commit", "committed", "committed", NULL},
		{"commit", "released", NULL, "released"},
		{"return", "committed", "returned", NULL},
		{"return", "returned", "returned", NULL},
	};

	for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
		if (strcmp(moves[i].operation, operation) == 0 &&
			strcmp(moves[i].from, r->state) == 0) {
			*code = moves[i].code;
			if (moves[i].to != NULL)
				r->state = moves[i].to;
			return moves[i].to != NULL;
		}
	}
	*code = "conflict";
	return false;
}

static void add_lines(const char *request, struct buf *body)
{
	static const char mark[] = "\"product_id\":\"";
	const char *at = request;

	for (int i = 0; (at = strstr(at, mark)) != NULL; i++) {
		at += sizeof mark - 1;
		const char *quantity = strstr(at, "\"quantity\":");
		CHECK(quantity != NULL);
		buf_format(body,
			"%s{\"product_id\":\"%.36s\",\"quantity\":%d,\"name\":\"Tray\","
			"\"price\":10.50,\"price_minor\":1050,\"currency\":\"USD\","
			"\"seller_id\":\"00000000-0000-7000-8000-000000000001\"}",
			i > 0 ? "," : "", at, (int)strtol(quantity + 11, NULL, 10));
	}
}

static void run_sql(const char *sql)
{
	PGconn *connection = PQconnectdb(world.url);
	PGresult *result = PQexec(connection, sql);

	CHECK(PQresultStatus(result) == PGRES_COMMAND_OK);
	PQclear(result);
	PQfinish(connection);
}

static void write_reply(struct raw_connection *c, const char *status, struct str body)
{
	char head[256];
	const int len = snprintf(head, sizeof head,
		"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
		status, body.len);

	raw_write(c, str_of(head, (size_t)len));
	raw_write(c, body);
}

static void answer(struct raw_connection *c, const char *request)
{
	static const char root[] = "/internal/reservations/";
	const char *order_id = strstr(request, root) + sizeof root - 1;
	const char *operation = "reserve";
	const char *code = NULL;
	struct arena *arena = arena_new();
	struct buf body = buf_new(arena);
	char name[16];

	if (order_id[UUID_TEXT_LEN] == '/') {
		sscanf(order_id + UUID_TEXT_LEN + 1, "%15[a-z]", name);
		operation = name;
	}
	const bool moved = move(reservation_of(order_id), operation, &code);
	buf_add(&body, STR("{\"revision\":1,\"state\":\"\",\"lines\":["));
	add_lines(request, &body);
	buf_add(&body, STR("]"));
	if (!moved)
		buf_format(&body, ",\"code\":\"%s\"", code);
	buf_char(&body, '}');
	write_reply(c, moved ? "200 OK" : "409 Conflict", buf_str(&body));
	arena_unref(arena);
}

static void serve(struct raw_connection *c)
{
	char request[RAW_REQUEST_MAX];

	while (raw_read(c)) {
		raw_last(c->server, request);
		products.calls++;
		if (products.refuse != NULL) {
			write_reply(c, products.refuse->status, str_from(products.refuse->body));
			products.refuse = NULL;
			continue;
		}
		if (products.sql != NULL)
			run_sql(products.sql);
		products.sql = NULL;
		if (products.lose > 0) {
			struct raw_connection nowhere = {.server = c->server, .fd = -1};
			products.lose--;
			answer(&nowhere, request);
			return;
		}
		answer(c, request);
	}
}

static struct upstream *upstream;

static void start_products(void)
{
	raw_server_start(&products.server, serve, NULL);
	const struct str address = str_from(products.server.address);
	upstream = upstream_new(world.loop, &(struct upstream_config){.name = "products",
						    .addresses = &address,
						    .address_count = 1,
						    .connections_max = 4,
						    .queue_max = 16,
						    .body_bytes_max = 1 << 20});
	stock_use(upstream);
}

static void stop_products(void)
{
	upstream_free(upstream);
	raw_server_stop(&products.server);
}

/* ---- what the tests do ---- */

static struct order order;
static struct order_item lines[2];
static char extra_text[512];
static char field_text[64];

static enum fault place(struct task *t, struct job *job)
{
	struct reply reply = {.arena = t->scope.arena};
	const enum fault fault = saga_place(t, &order, STR("user:x"), NULL, &reply);

	(void)job;
	snprintf(extra_text, sizeof extra_text, "%.*s", STR_ARG(t->scope.extra));
	snprintf(field_text, sizeof field_text, "%.*s",
		STR_ARG(t->scope.errors != NULL ? t->scope.errors->field : STR_NONE));
	return fault;
}

static enum fault change(struct task *t, enum status to)
{
	struct order now;
	struct claim claim;

	TRY(store_get(t, &order.id, &now));
	const struct transition *found = transition_find((enum status)now.status, to);
	TRY(store_take(t, &now, found, STR("user:x"), STR_NONE, NULL, &claim));
	return saga_settle(t, &claim);
}

static enum fault cancel(struct task *t, struct job *job)
{
	(void)job;
	return change(t, STATUS_CANCELLED);
}

static enum fault pay(struct task *t, struct job *job)
{
	const struct new_payment payment = {.reference = STR("till 7")};
	struct order now;
	struct claim claim;

	(void)job;
	TRY(store_get(t, &order.id, &now));
	TRY(store_take_payment(t, &now, STR("user:x"), &payment, NULL, &claim));
	return saga_settle(t, &claim);
}

static enum fault recover(struct task *t, struct job *job)
{
	(void)job;
	return saga_recover(t);
}

static enum fault expire(struct task *t, struct job *job)
{
	(void)job;
	return saga_expire(t);
}

static void make_order(void)
{
	for (size_t i = 0; i < 2; i++)
		lines[i] = (struct order_item){.id = uuid_new(),
			.product_id = uuid_new(),
			.quantity = (int32_t)i + 1,
			.asked_at = 3 * i};
	order = (struct order){.id = uuid_new(),
		.user_id = uuid_new(),
		.items = {lines, 2},
		.currency = STR("USD")};
}

static int fresh(void **state)
{
	(void)state;
	forget_orders();
	products.count = 0;
	products.calls = 0;
	products.lose = 0;
	products.refuse = NULL;
	products.sql = NULL;
	make_order();
	return 0;
}

static int placed(void **state)
{
	fresh(state);
	assert_int_equal(run(place), OK);
	return 0;
}

static const char *reserved(void)
{
	char id[UUID_TEXT_LEN + 1];

	return reservation_of(uuid_format(&order.id, id).at)->state;
}

static const char *orders(void)
{
	return observe("SELECT string_agg(concat_ws(' ', status, step), ', ') FROM orders");
}

static void end_leases(void)
{
	observe("UPDATE orders SET lease_until = now() WHERE step <> 'idle'");
}

/* ---- placing ---- */

static void an_order_is_placed_with_the_catalogues_prices(void **state)
{
	(void)state;
	assert_int_equal(run(place), OK);
	assert_int_equal(order.total, 3 * 1050);
	assert_string_equal(orders(), "pending idle");
	assert_string_equal(observe("SELECT string_agg(concat_ws(' ', name, quantity,"
				    " unit_price_minor), ', ' ORDER BY id) FROM order_items"),
		"Tray 1 1050, Tray 2 1050");
	assert_string_equal(reserved(), "held");
	assert_int_equal(products.calls, 1);
}

static void a_refusal_is_handed_on_and_leaves_nothing(void **state)
{
	(void)state;
	products.refuse = &too_little;
	assert_int_equal(run(place), FAULT_INSUFFICIENT_STOCK);
	assert_string_equal(extra_text,
		"\"lines\":[{\"product_id\":\"00000000-0000-7000-8000-00000000000a\","
		"\"requested\":2,\"available\":1}]");
	products.refuse = &not_for_sale;
	assert_int_equal(run(place), FAULT_INVALID);
	assert_string_equal(field_text, "items[3].product_id");
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 0);
	assert_int_equal(products.calls, 2); /* nothing to give back */
}

static void a_total_too_large_gives_the_goods_back(void **state)
{
	(void)state;
	order.shipping = MONEY_MINOR_MAX;
	assert_int_equal(run(place), FAULT_INVALID);
	assert_string_equal(reserved(), "released");
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 0);
}

static void a_lost_answer_gives_the_goods_back(void **state)
{
	(void)state;
	products.lose = 2; /* the call and its repeat */
	const enum fault fault = run(place);
	assert_int_equal(fault_info(fault)->status, 503);
	assert_string_equal(reserved(), "released");
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 0);
}

static void while_products_is_away_the_intent_waits(void **state)
{
	(void)state;
	products.refuse = &away;
	products.lose = 2;
	assert_int_equal(run(place), FAULT_UNAVAILABLE);
	assert_string_equal(orders(), "reserving reserving");
	assert_int_equal(run(recover), OK); /* not its time yet */
	assert_string_equal(orders(), "reserving reserving");
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 0);
	assert_string_equal(reserved(), "released");
}

/* Somebody took over while we were asking products: we place nothing and undo nothing. */
static void a_lost_claim_places_nothing(void **state)
{
	(void)state;
	products.sql = "UPDATE orders SET lease_token = lease_token + 1";
	assert_int_equal(run(place), FAULT_UNAVAILABLE);
	assert_string_equal(orders(), "reserving reserving");
	assert_string_equal(reserved(), "held");
	assert_int_equal(observe_number("SELECT count(*) FROM order_items"), 0);
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(reserved(), "released");
}

/* ---- steps ---- */

static void cancelling_gives_back(void **state)
{
	(void)state;
	assert_int_equal(run(cancel), OK);
	assert_string_equal(orders(), "cancelled idle");
	assert_string_equal(reserved(), "released");
}

static void cancelling_what_is_paid_returns(void **state)
{
	(void)state;
	assert_int_equal(run(pay), OK);
	assert_string_equal(orders(), "paid idle");
	assert_string_equal(reserved(), "committed");
	assert_int_equal(run(cancel), OK);
	assert_string_equal(orders(), "cancelled idle");
	assert_string_equal(reserved(), "returned");
}

static void what_was_begun_is_finished_by_recovery(void **state)
{
	(void)state;
	products.refuse = &away;
	assert_int_equal(run(cancel), FAULT_UNAVAILABLE);
	assert_string_equal(orders(), "pending cancelling");
	assert_string_equal(
		observe("SELECT lease_until < now() + interval '1 second' FROM orders"), "t");
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "cancelled idle");
	assert_string_equal(reserved(), "released");
	assert_string_equal(
		observe("SELECT concat_ws(' ', from_status, to_status, actor) FROM order_history"
			" ORDER BY version DESC"),
		"pending cancelled user:x");
}

static void a_refused_payment_leaves_the_order(void **state)
{
	static const char payments[] = "SELECT string_agg(status, ', ') FROM order_payments";

	(void)state;
	products.refuse = &away;
	assert_int_equal(run(pay), FAULT_UNAVAILABLE);
	assert_string_equal(orders(), "pending committing");
	products.reservations[0].state = "released";
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "pending idle");
	assert_string_equal(observe(payments), "failed");
	assert_int_equal(run(pay), FAULT_RELEASED);
	assert_string_equal(orders(), "pending idle");
}

/* What cannot be is left for people to look at, not guessed at. */
static void what_contradicts_itself_is_not_settled(void **state)
{
	(void)state;
	products.reservations[0].state = "committed";
	assert_int_equal(run(cancel), FAULT_CONFLICT);
	assert_string_equal(orders(), "pending cancelling");
}

static void unpaid_orders_expire(void **state)
{
	(void)state;
	assert_int_equal(run(expire), OK);
	assert_string_equal(orders(), "pending idle");
	observe("UPDATE orders SET expires_at = now()");
	products.refuse = &away;
	assert_int_equal(run(expire), FAULT_UNAVAILABLE);
	assert_string_equal(orders(), "pending cancelling");
	assert_string_equal(reserved(), "held");
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "expired idle");
	assert_string_equal(reserved(), "released");
}

/* ---- every wait fails once ---- */

/* A hold has a live order, and a live order its goods. */
static void assert_settled(const char *what, unsigned n)
{
	char sql[256];

	turn_until(is_whole()); /* what was sent before its wait broke off has come to its end */
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_int_equal(observe_number("SELECT count(*) FROM orders WHERE step <> 'idle'"), 0);
	for (size_t i = 0; i < products.count; i++) {
		const struct reservation *r = &products.reservations[i];
		snprintf(sql, sizeof sql, "SELECT status FROM orders WHERE id = '%s'", r->order_id);
		const char *status = observe(sql);
		const char *right = strcmp(status, "pending") == 0 ? "held"
		                    : strcmp(status, "paid") == 0  ? "committed"
		                                                   : "released";
		if (strcmp(r->state, right) != 0)
			fail_msg("%s, wait %u: the order is %s, its reservation %s", what, n,
				status, r->state);
	}
	assert_whole();
}

static void at_every_wait(const char *what, enum fault (*work)(struct task *t, struct job *job),
	bool needs_order, enum fault fault)
{
	enum fault last = OK;

	for (unsigned n = 1;; n++) {
		struct job job = {.work = work, .inject_at = n, .inject_fault = fault};

		make_order();
		if (needs_order)
			assert_int_equal(run(place), OK);
		job_finish(&job);
		if (job.fault == OK && work == place)
			assert_string_equal(reserved(), "held");
		assert_settled(what, n);
		if (job.waits < n) {
			assert_int_equal(job.fault, OK);
			assert_true(n > 2);
			break;
		}
		last = job.fault;
	}
	if (work == place) /* its last wait is for the answer that the order is placed */
		assert_int_equal(last, OK);
}

static void nothing_is_lost_at_any_wait(void **state)
{
	static const enum fault faults[] = {FAULT_UNAVAILABLE, FAULT_CANCELED, FAULT_DEADLINE};

	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		stop_products(); /* its connections are counted */
		start_products();
		at_every_wait("place", place, false, faults[i]);
		at_every_wait("cancel", cancel, true, faults[i]);
		at_every_wait("pay", pay, true, faults[i]);
	}
}

static int setup(void **state)
{
	(void)state;
	if (orders_world_begin("orders_saga_test") != 0)
		return -1;
	start_products();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop_products();
	migrated_world_end();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_order_is_placed_with_the_catalogues_prices, fresh),
		cmocka_unit_test_setup(a_refusal_is_handed_on_and_leaves_nothing, fresh),
		cmocka_unit_test_setup(a_total_too_large_gives_the_goods_back, fresh),
		cmocka_unit_test_setup(a_lost_answer_gives_the_goods_back, fresh),
		cmocka_unit_test_setup(while_products_is_away_the_intent_waits, fresh),
		cmocka_unit_test_setup(a_lost_claim_places_nothing, fresh),
		cmocka_unit_test_setup(cancelling_gives_back, placed),
		cmocka_unit_test_setup(cancelling_what_is_paid_returns, placed),
		cmocka_unit_test_setup(what_was_begun_is_finished_by_recovery, placed),
		cmocka_unit_test_setup(a_refused_payment_leaves_the_order, placed),
		cmocka_unit_test_setup(what_contradicts_itself_is_not_settled, placed),
		cmocka_unit_test_setup(unpaid_orders_expire, placed),
		cmocka_unit_test_setup(nothing_is_lost_at_any_wait, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
