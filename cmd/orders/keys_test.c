/* SPDX-License-Identifier: Apache-2.0
 * Idempotency-Key over operations of several steps: the handlers themselves, on a real database,
 * with products played by a thread that sells one tray after the other. */
#include "testing.h"

#include "handlers.h"
#include "keys.h"
#include "saga.h"
#include "stock.h"
#include "upstream/testing.h"

#define PRODUCT "00000000-0000-7000-8000-00000000000a"

static const char held[] = "{\"revision\":1,\"lines\":[{\"product_id\":\"" PRODUCT
			   "\",\"quantity\":1,\"name\":\"Tray\","
			   "\"price\":10.50,\"price_minor\":1050,\"currency\":\"USD\","
			   "\"seller_id\":\"00000000-0000-7000-8000-000000000001\"}]}";
static const char too_little[] =
	"{\"code\":\"insufficient_stock\",\"lines\":[{\"product_id\":\"" PRODUCT
	"\",\"requested\":1,\"available\":0}]}";
static const char not_for_sale[] =
	"{\"code\":\"invalid\",\"errors\":[{\"field\":\"lines[0].product_id\"}]}";

static struct {
	struct raw_server server;
	int status; /* of the next answer, instead of 200 */
	const char *body;
} products;

static struct upstream *upstream;

static void serve(struct raw_connection *c)
{
	while (raw_read(c)) {
		const int status = products.status;
		const char *body = status != 0 ? products.body : held;
		char text[1024];

		products.status = 0;
		snprintf(text, sizeof text,
			"HTTP/1.1 %d x\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
			"\r\n%s",
			status != 0 ? status : 200, strlen(body), body);
		raw_write(c, str_from(text));
	}
}

static void start_products(void)
{
	raw_server_start(&products.server, serve, NULL);
	const struct str address = str_from(products.server.address);
	upstream = upstream_new(world.loop, &(struct upstream_config){.name = "products",
						    .addresses = &address,
						    .address_count = 1,
						    .connections_max = 4,
						    .queue_max = 64,
						    .body_bytes_max = 1 << 20});
	stock_use(upstream);
}

static void stop_products(void)
{
	upstream_free(upstream);
	raw_server_stop(&products.server);
}

/* ---- requests ---- */

/* A request with a key; what came of it. */
struct sending {
	struct job job;
	handler_fn *handler;
	const char *method;
	const char *path;
	const char *id; /* of the path */
	const char *key;
	const char *body;
	struct uuid caller;
	enum role role;
	int status;
	const char *answer; /* one of the texts below */
	char location[80];
	char etag[16];
};

/* Enough for one test at a time. */
static char texts[64][1024];
static size_t text_count;

static const char *keep_text(struct str text)
{
	char *kept = texts[text_count++ % 64];

	snprintf(kept, sizeof texts[0], "%.*s", STR_ARG(text));
	return kept;
}

static enum fault ask(struct task *t, struct job *job)
{
	struct sending *q = CONTAINER_OF(job, struct sending, job);
	const struct header header = {STR("idempotency-key"), str_from(q->key)};
	const struct request request = {
		.method = str_from(q->method),
		.path = str_from(q->path),
		.params[0] = str_from(q->id != NULL ? q->id : ""),
		.body = str_from(q->body),
		.headers = &header,
		.header_count = q->key != NULL,
		.caller = {.user_id = q->caller, .role = q->role, .actor = STR("user:x")},
	};
	struct reply reply = {.arena = t->scope.arena};

	TRY(q->handler(t, &request, &reply));
	q->status = reply.status;
	q->answer = keep_text(reply.body);
	snprintf(q->etag, sizeof q->etag, "%.*s", STR_ARG(reply.etag));
	snprintf(q->location, sizeof q->location, "%.*s", STR_ARG(keyed_location(&reply)));
	return OK;
}

static struct sending ordering(const char *key)
{
	return (struct sending){.job.work = ask,
		.handler = order_create,
		.method = "POST",
		.path = "/api/v1/orders",
		.key = key,
		.body = "{\"product_id\":\"" PRODUCT "\"}",
		.caller = {{1}},
		.role = ROLE_CUSTOMER};
}

static enum fault sent(struct sending *q)
{
	job_finish(&q->job);
	return q->job.fault;
}

static char placed_id[UUID_TEXT_LEN + 1];

/* A change of the order that was placed. */
static struct sending changing(handler_fn *handler, const char *operation, const char *body)
{
	static char path[80];

	snprintf(path, sizeof path, "/api/v1/orders/%s/%s", placed_id, operation);
	return (struct sending){.job.work = ask,
		.handler = handler,
		.method = "POST",
		.path = path,
		.id = placed_id,
		.key = "c",
		.body = body,
		.caller = {{1}},
		.role = ROLE_SUPPORT};
}

static struct sending cancelling(void)
{
	return changing(order_cancel, "cancel", "{\"note\":\"too big\"}");
}

static struct sending paying(void)
{
	return changing(order_pay, "pay", "{\"method\":\"manual\",\"reference\":\"till 7\"}");
}

static void assert_same(const struct sending *a, const struct sending *b)
{
	assert_int_equal(a->status, b->status);
	assert_string_equal(a->answer, b->answer);
	assert_string_equal(a->etag, b->etag);
	assert_string_equal(a->location, b->location);
}

static enum fault recover(struct task *t, struct job *job)
{
	(void)job;
	return saga_recover(t);
}

static void end_leases(void)
{
	observe("UPDATE orders SET lease_until = now() WHERE step <> 'idle'");
}

static long long count_orders(void)
{
	return observe_number("SELECT count(*) FROM orders WHERE status <> 'reserving'");
}

static long long count_keys(const char *where)
{
	char sql[128];

	snprintf(sql, sizeof sql, "SELECT count(*) FROM idempotency_keys WHERE %s", where);
	return observe_number(sql);
}

static int fresh(void **state)
{
	(void)state;
	forget_orders();
	products.status = 0;
	stop_products(); /* its connections are counted */
	start_products();
	return 0;
}

static int placed(void **state)
{
	struct sending q = ordering(NULL);

	fresh(state);
	assert_int_equal(sent(&q), OK);
	snprintf(placed_id, sizeof placed_id, "%s", observe("SELECT id FROM orders"));
	return 0;
}

/* ---- placing ---- */

static void a_repeat_is_answered_not_done(void **state)
{
	struct sending first = ordering("k");
	struct sending again = first;
	struct sending other = first;

	(void)state;
	assert_int_equal(sent(&first), OK);
	assert_int_equal(first.status, 201);
	assert_string_equal(first.etag, "1");
	assert_non_null(strstr(first.answer, "\"status\":\"pending\""));
	observe("UPDATE orders SET version = 2, tracking_number = 'T'");
	assert_int_equal(sent(&again), OK);
	assert_same(&again, &first);
	other.body = "{\"product_id\":\"" PRODUCT "\" }";
	assert_int_equal(sent(&other), FAULT_KEY_REUSED);
	assert_int_equal(count_orders(), 1);
	assert_whole();
}

/* What is kept is what the order was: not only the status, but each byte as GET shows it. */
static void the_answer_is_the_order(void **state)
{
	struct sending first = ordering("k");
	struct sending read = ordering(NULL);

	(void)state;
	assert_int_equal(sent(&first), OK);
	snprintf(placed_id, sizeof placed_id, "%s", observe("SELECT id FROM orders"));
	read.handler = order_read;
	read.id = placed_id;
	assert_int_equal(sent(&read), OK);
	assert_string_equal(read.answer, first.answer);
	assert_string_equal(read.etag, first.etag);
	assert_string_equal(first.location + strlen("/api/v1/orders/"), placed_id);
}

static void keys_belong_to_callers_and_operations(void **state)
{
	struct sending mine = ordering("k");
	struct sending theirs = mine;

	(void)state;
	theirs.caller.bytes[0] = 2;
	assert_int_equal(sent(&mine), OK);
	assert_int_equal(sent(&theirs), OK);
	assert_int_equal(count_orders(), 2);
	assert_string_not_equal(mine.location, theirs.location);
}

static void a_refusal_is_answered_again(void **state)
{
	struct sending first = ordering("k");
	struct sending again = first;

	(void)state;
	products.body = too_little;
	products.status = 409;
	assert_int_equal(sent(&first), OK);
	assert_int_equal(first.status, 409);
	assert_non_null(strstr(first.answer, "\"available\":0"));
	assert_non_null(strstr(first.answer, "\"instance\":\"/api/v1/orders\""));
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 0);
	assert_int_equal(sent(&again), OK);
	assert_same(&again, &first);
}

static void what_may_succeed_later_is_not_kept(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum fault fault;
	} cases[] = {
		{422, not_for_sale, FAULT_INVALID},
		{503, "{\"code\":\"unavailable\"}", FAULT_UNAVAILABLE},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sending first = ordering("k");
		struct sending again = first;

		(void)fresh(state);
		products.body = cases[i].body;
		products.status = cases[i].status;
		assert_int_equal(sent(&first), cases[i].fault);
		assert_int_equal(count_keys("true"), 0);
		assert_int_equal(sent(&again), OK);
		assert_int_equal(again.status, 201);
	}
}

/* Behind another order, so that they are written together. */
static void twenty_at_once_are_one(void **state)
{
	static struct sending all[20];
	static struct sending other;
	const struct sending *answered = NULL;

	(void)state;
	other = ordering("other");
	job_start(&other.job);
	for (size_t i = 0; i < 20; i++) {
		all[i] = ordering("k");
		job_start(&all[i].job);
	}
	for (size_t i = 0; i < 20; i++)
		turn_until(all[i].job.task == NULL);
	for (size_t i = 0; i < 20; i++) {
		if (all[i].job.fault == FAULT_KEY_BUSY)
			continue;
		assert_int_equal(all[i].job.fault, OK);
		if (answered != NULL)
			assert_same(&all[i], answered);
		answered = &all[i];
	}
	turn_until(other.job.task == NULL);
	assert_int_equal(other.job.fault, OK);
	assert_non_null(answered);
	assert_int_equal(count_orders(), 2);
	assert_whole();
}

/* The process dies behind the intent: until the lease ends the key is busy, then the repeat makes
 * a clean start. */
static void a_repeat_takes_over_when_the_lease_has_ended(void **state)
{
	struct sending first = ordering("k");
	struct sending again = first;
	struct sending late = first;

	(void)state;
	first.job.inject_at = 2; /* behind the intent; and then products is away */
	first.job.inject_fault = FAULT_UNAVAILABLE;
	products.body = "{\"code\":\"unavailable\"}";
	products.status = 503;
	assert_int_equal(sent(&first), FAULT_UNAVAILABLE);
	assert_string_equal(observe("SELECT status FROM orders"), "reserving");
	observe("UPDATE orders SET lease_until = now() + interval '1 minute'");
	assert_int_equal(sent(&again), FAULT_KEY_BUSY);
	end_leases();
	assert_int_equal(sent(&late), OK);
	assert_int_equal(late.status, 201);
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 1);
}

static void recovery_frees_the_key_of_an_intent(void **state)
{
	struct sending first = ordering("k");
	struct sending again = first;

	(void)state;
	first.job.inject_at = 2;
	first.job.inject_fault = FAULT_UNAVAILABLE;
	products.body = "{\"code\":\"unavailable\"}";
	products.status = 503;
	assert_int_equal(sent(&first), FAULT_UNAVAILABLE);
	assert_int_equal(count_keys("status IS NULL"), 1);
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_int_equal(count_keys("true"), 0);
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 0);
	assert_int_equal(sent(&again), OK);
	assert_int_equal(count_orders(), 1);
}

/* ---- changes ---- */

static void a_change_is_answered_again(void **state)
{
	const struct {
		struct sending (*make)(void);
		const char *status;
	} cases[] = {{cancelling, "\"status\":\"cancelled\""}, {paying, "\"status\":\"paid\""}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		(void)placed(state);
		struct sending first = cases[i].make();
		struct sending again = first;
		struct sending other = first;

		assert_int_equal(sent(&first), OK);
		assert_int_equal(first.status, 200);
		assert_non_null(strstr(first.answer, cases[i].status));
		assert_int_equal(sent(&again), OK);
		assert_same(&again, &first);
		other.key = NULL;
		assert_int_equal(sent(&other), FAULT_INVALID_TRANSITION);
		assert_whole();
	}
}

static void a_refused_change_stays_refused(void **state)
{
	struct sending cancel = cancelling();
	struct sending pay = paying();
	struct sending again = pay;

	(void)state;
	cancel.key = NULL;
	assert_int_equal(sent(&cancel), OK);
	assert_int_equal(sent(&pay), OK);
	assert_int_equal(pay.status, 409);
	assert_non_null(strstr(pay.answer, "\"code\":\"invalid_transition\""));
	assert_int_equal(sent(&again), OK);
	assert_same(&again, &pay);
}

static void a_payment_refused_by_products_stays_refused(void **state)
{
	struct sending pay = paying();
	struct sending again = pay;

	(void)state;
	products.body = too_little;
	products.status = 409;
	assert_int_equal(sent(&pay), OK);
	assert_int_equal(pay.status, 409);
	assert_non_null(strstr(pay.answer, "\"available\":0"));
	assert_string_equal(
		observe("SELECT concat_ws(' ', status, step) FROM orders"), "pending idle");
	assert_int_equal(sent(&again), OK);
	assert_same(&again, &pay);
}

static void recovery_answers_for_who_is_gone(void **state)
{
	struct sending first = cancelling();
	struct sending busy = first;
	struct sending again = first;
	struct sending third = first;

	(void)state;
	products.body = "{\"code\":\"unavailable\"}";
	products.status = 503;
	assert_int_equal(sent(&first), FAULT_UNAVAILABLE);
	observe("UPDATE orders SET lease_until = now() + interval '1 minute'");
	assert_int_equal(sent(&busy), FAULT_KEY_BUSY);
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_int_equal(count_keys("status = 200"), 1);
	assert_int_equal(sent(&again), OK);
	assert_non_null(strstr(again.answer, "\"status\":\"cancelled\""));
	assert_int_equal(sent(&third), OK);
	assert_same(&third, &again);
}

static void a_repeat_finishes_what_was_begun(void **state)
{
	struct sending first = cancelling();
	struct sending again = first;

	(void)state;
	products.body = "{\"code\":\"unavailable\"}";
	products.status = 503;
	assert_int_equal(sent(&first), FAULT_UNAVAILABLE);
	end_leases();
	assert_int_equal(sent(&again), OK);
	assert_int_equal(again.status, 200);
	assert_string_equal(
		observe("SELECT concat_ws(' ', status, step) FROM orders"), "cancelled idle");
}

static void another_key_meets_the_busy_order(void **state)
{
	struct sending first = cancelling();
	struct sending other = paying();

	(void)state;
	other.key = "other";
	products.body = "{\"code\":\"unavailable\"}";
	products.status = 503;
	assert_int_equal(sent(&first), FAULT_UNAVAILABLE);
	assert_int_equal(sent(&other), FAULT_ORDER_BUSY);
	assert_string_equal(other.job.detail, "another change of this order is under way");
	assert_int_equal(count_keys("key = 'other'"), 0);
}

/* 202: the step goes on when the request has been answered. */
static enum fault begin_only(
	struct task *t, const struct request *request, struct keyed *key, struct reply *reply)
{
	struct order order;
	struct claim claim;

	TRY(order_of_path(t, request, &order));
	if (!order.is_idle)
		return FAULT_ORDER_BUSY;
	TRY(store_take(t, &order, transition_find(STATUS_PENDING, STATUS_CANCELLED), STR("user:x"),
		STR_NONE, key, &claim));
	return reply_order(reply, 202, &order);
}

static enum fault begin_only_handler(
	struct task *t, const struct request *request, struct reply *reply)
{
	return keys_run(t, request, reply, begin_only);
}

static void accepted_is_an_answer_too(void **state)
{
	struct sending first = changing(begin_only_handler, "cancel", "{}");
	struct sending again = first;
	struct sending third = first;

	(void)state;
	assert_int_equal(sent(&first), OK);
	assert_int_equal(first.status, 202);
	assert_int_equal(sent(&again), OK);
	assert_same(&again, &first);
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(
		observe("SELECT concat_ws(' ', status, step) FROM orders"), "cancelled idle");
	assert_int_equal(sent(&third), OK);
	assert_same(&third, &first);
}

/* What became of an earlier payment is no answer to a change that breaks off. */
static void a_change_that_breaks_off_is_accepted(void **state)
{
	struct sending q = cancelling();

	(void)state;
	observe("INSERT INTO order_payments"
		" (order_id, attempt, method, status, amount_minor, decline_code)"
		" SELECT id, 1, 'card', 'declined', total_minor, 'card_declined' FROM orders");
	q.key = NULL;
	products.body = "{\"code\":\"unavailable\"}";
	products.status = 503;
	assert_int_equal(sent(&q), OK);
	assert_int_equal(q.status, 202);
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(
		observe("SELECT concat_ws(' ', status, step) FROM orders"), "cancelled idle");
}

/* What writes no key of its own is answered again all the same. */
static enum fault count_only(
	struct task *t, const struct request *request, struct keyed *key, struct reply *reply)
{
	static unsigned done;

	(void)request;
	(void)key;
	return reply_json(reply, 200, scope_format(&t->scope, "{\"done\":%u}", ++done));
}

static enum fault count_only_handler(
	struct task *t, const struct request *request, struct reply *reply)
{
	return keys_run(t, request, reply, count_only);
}

static void what_claims_no_key_is_answered_again(void **state)
{
	struct sending first = changing(count_only_handler, "cancel", "{}");
	struct sending again = first;

	(void)state;
	assert_int_equal(sent(&first), OK);
	assert_string_equal(first.answer, "{\"done\":1}");
	assert_int_equal(sent(&again), OK);
	assert_same(&again, &first);
}

static enum fault answer_once_more(struct task *t, struct job *job)
{
	struct reply reply = {.arena = t->scope.arena};
	struct uuid id;

	(void)job;
	CHECK(uuid_parse(str_from(placed_id), &id));
	(void)reply_json(&reply, 500, STR("{}"));
	return store_answer(t, NULL, &id, &reply);
}

static void an_answer_stays(void **state)
{
	struct sending first = cancelling();
	struct sending again = first;

	(void)state;
	assert_int_equal(sent(&first), OK);
	assert_int_equal(run(answer_once_more), OK);
	assert_int_equal(sent(&again), OK);
	assert_same(&again, &first);
}

/* Products refuses, and that cannot be written down: later it may have what is wanted. */
static void a_refusal_is_told_only_when_it_is_kept(void **state)
{
	struct sending pay, again;

	for (unsigned n = 1; n == 1 || pay.job.waits >= n - 1; n++) {
		(void)placed(state);
		pay = again = paying();
		products.body = too_little;
		products.status = 409;
		pay.job.inject_at = n;
		pay.job.inject_fault = FAULT_UNAVAILABLE;
		(void)sent(&pay);
		assert_int_not_equal(pay.job.fault, FAULT_INSUFFICIENT_STOCK);
		turn_until(is_whole());
		products.status = 0;
		end_leases();
		assert_int_equal(run(recover), OK);
		assert_int_equal(sent(&again), OK);
		if (pay.job.fault == OK)
			assert_same(&again, &pay);
	}
}

/* ---- every wait ---- */

static struct sending new_order(void)
{
	return ordering("k");
}

/* Whichever wait fails or ends, and whoever goes on: the same request with the same key comes to
 * one order, and what was answered before is answered again. */
static void at_every_wait(
	struct sending (*make)(void), bool needs_order, enum fault fault, bool recovers)
{
	for (unsigned n = 1;; n++) {
		void *state = NULL;

		(void)(needs_order ? placed : fresh)(&state);
		struct sending failing = make();
		struct sending again = failing;

		failing.job.inject_at = n;
		failing.job.inject_fault = fault;
		(void)sent(&failing);
		turn_until(is_whole());
		end_leases();
		if (recovers)
			assert_int_equal(run(recover), OK);
		assert_int_equal(sent(&again), OK);
		assert_int_equal(again.status, needs_order ? 200 : 201);
		if (failing.job.fault == OK)
			assert_same(&again, &failing);
		assert_int_equal(observe_number("SELECT count(*) FROM orders"), 1);
		assert_int_equal(count_keys("status IS NULL"), 0);
		assert_whole();
		if (failing.job.waits < n) {
			assert_true(n > 3);
			return;
		}
	}
}

static void every_wait_may_fail(void **state)
{
	static const enum fault faults[] = {FAULT_UNAVAILABLE, FAULT_CANCELED, FAULT_DEADLINE};

	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		for (int recovers = 0; recovers < 2; recovers++) {
			at_every_wait(new_order, false, faults[i], recovers);
			at_every_wait(cancelling, true, faults[i], recovers);
			at_every_wait(paying, true, faults[i], recovers);
		}
	}
}

/* ---- cancelling while a payment is under way ---- */

/* By card, not decided yet. */
static int being_paid(void **state)
{
	placed(state);
	observe("UPDATE orders SET step = 'authorising', step_goal = 'paid', step_actor = 'user:x',"
		" step_waits = true, lease_until = now() + interval '1 minute'");
	observe("INSERT INTO order_payments (order_id, attempt, method, status, amount_minor)"
		" SELECT id, 1, 'card', 'processing', total_minor FROM orders");
	return 0;
}

/* As the recovery does what was asked for. */
static void honour(void)
{
	observe("UPDATE orders SET status = 'cancelled', version = version + 1, step = 'idle',"
		" step_waits = false, lease_until = NULL, cancel_by = NULL, cancel_note = NULL"
		" WHERE cancel_by IS NOT NULL");
}

/* Whether the order is cancelled and what is answered is one decision: whatever breaks off, the
 * repeat is answered as the first was or would have been, though the order is cancelled by then. */
static void asking_and_its_answer_are_one(void **state)
{
	struct sending first;

	for (unsigned n = 1; n == 1 || first.job.waits >= n - 1; n++) {
		(void)fresh(state);
		(void)being_paid(state);
		first = cancelling();
		struct sending again = first;

		first.job.inject_at = n;
		first.job.inject_fault = FAULT_UNAVAILABLE;
		(void)sent(&first);
		turn_until(is_whole());
		honour();
		assert_int_equal(sent(&again), OK);
		assert_int_equal(again.status, 202);
		assert_non_null(strstr(again.answer, "\"status\":\"pending\""));
		if (first.job.fault == OK)
			assert_same(&again, &first);
		assert_int_equal(count_keys("status = 202"), 1);
	}
}

static void a_payment_keeps_its_own_key(void **state)
{
	struct sending cancel = cancelling();

	(void)state;
	observe("INSERT INTO idempotency_keys (caller, operation, key, fingerprint, order_id)"
		" SELECT user_id, 'POST /pay', 'p', '', id FROM orders");
	assert_int_equal(sent(&cancel), OK);
	assert_int_equal(cancel.status, 202);
	assert_int_equal(count_keys("key = 'p' AND status IS NULL"), 1);
	assert_string_equal(observe("SELECT concat_ws(' ', cancel_by, cancel_note,"
				    " lease_until <= now()) FROM orders"),
		"user:x too big t");
}

/* ---- the end of keys ---- */

static enum fault sweep(struct task *t, struct job *job)
{
	(void)job;
	return keyed_sweep(t);
}

static void an_old_intent_keeps_its_key(void **state)
{
	struct sending first = ordering("k");
	struct sending again = first;

	(void)state;
	first.job.inject_at = 2;
	first.job.inject_fault = FAULT_UNAVAILABLE;
	products.body = "{\"code\":\"unavailable\"}";
	products.status = 503;
	assert_int_equal(sent(&first), FAULT_UNAVAILABLE);
	observe("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'");
	observe("UPDATE orders SET lease_until = now() + interval '1 minute'");
	assert_int_equal(sent(&again), FAULT_KEY_BUSY);
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 1);
}

static void keys_run_out_but_not_under_way(void **state)
{
	static const char ages[] =
		"UPDATE idempotency_keys SET created_at = now() - interval '25 hours'";
	struct sending first = cancelling();
	struct sending again = first;
	struct sending other = first;

	(void)state;
	products.body = "{\"code\":\"unavailable\"}";
	products.status = 503;
	assert_int_equal(sent(&first), FAULT_UNAVAILABLE);
	observe(ages);
	observe("UPDATE orders SET lease_until = now() + interval '1 minute'");
	assert_int_equal(run(sweep), OK);
	assert_int_equal(sent(&again), FAULT_KEY_BUSY);
	end_leases();
	assert_int_equal(run(recover), OK);

	other.body = "{}";
	assert_int_equal(sent(&other), OK); /* refused, as a new request: it is cancelled */
	assert_int_equal(other.status, 409);
	observe(ages);
	assert_int_equal(run(sweep), OK);
	assert_int_equal(count_keys("true"), 0);
}

static void a_sweep_takes_all_that_are_due(void **state)
{
	struct sending first = ordering("k");

	(void)state;
	assert_int_equal(sent(&first), OK);
	observe("INSERT INTO idempotency_keys (caller, operation, key, fingerprint, status, body,"
		" created_at) SELECT '00000000-0000-7000-8000-000000000001', 'o', n, '', 200, '{}',"
		" now() - interval '25 hours' FROM generate_series(1, 2500) n");
	assert_int_equal(run(sweep), OK);
	assert_int_equal(count_keys("true"), 1);
}

static enum fault forget(struct task *t, struct job *job)
{
	const struct uuid person = {{1}};

	(void)job;
	return keys_forget_person(t, NULL, &person);
}

static void a_deleted_account_leaves_nothing(void **state)
{
	struct sending first = ordering("k");
	struct sending again = first;
	struct sending staff = cancelling();
	struct sending theirs = first;

	(void)state;
	staff.caller.bytes[0] = 9;
	theirs.caller.bytes[0] = 2;
	assert_int_equal(sent(&first), OK);
	assert_int_equal(sent(&staff), OK);
	assert_int_equal(sent(&theirs), OK);
	assert_int_equal(run(forget), OK);
	assert_int_equal(count_keys("body LIKE '%Tray%'"), 1);
	assert_int_equal(sent(&again), OK);
	assert_int_equal(again.status, 404);
}

static int setup(void **state)
{
	(void)state;
	if (orders_world_begin("orders_keys_test") != 0)
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
		cmocka_unit_test_setup(a_repeat_is_answered_not_done, fresh),
		cmocka_unit_test_setup(the_answer_is_the_order, fresh),
		cmocka_unit_test_setup(keys_belong_to_callers_and_operations, fresh),
		cmocka_unit_test_setup(a_refusal_is_answered_again, fresh),
		cmocka_unit_test_setup(what_may_succeed_later_is_not_kept, fresh),
		cmocka_unit_test_setup(twenty_at_once_are_one, fresh),
		cmocka_unit_test_setup(a_repeat_takes_over_when_the_lease_has_ended, fresh),
		cmocka_unit_test_setup(recovery_frees_the_key_of_an_intent, fresh),
		cmocka_unit_test_setup(a_change_is_answered_again, placed),
		cmocka_unit_test_setup(a_refused_change_stays_refused, placed),
		cmocka_unit_test_setup(a_payment_refused_by_products_stays_refused, placed),
		cmocka_unit_test_setup(recovery_answers_for_who_is_gone, placed),
		cmocka_unit_test_setup(a_repeat_finishes_what_was_begun, placed),
		cmocka_unit_test_setup(another_key_meets_the_busy_order, placed),
		cmocka_unit_test_setup(accepted_is_an_answer_too, placed),
		cmocka_unit_test_setup(a_change_that_breaks_off_is_accepted, placed),
		cmocka_unit_test_setup(what_claims_no_key_is_answered_again, placed),
		cmocka_unit_test_setup(an_answer_stays, placed),
		cmocka_unit_test_setup(a_refusal_is_told_only_when_it_is_kept, fresh),
		cmocka_unit_test_setup(every_wait_may_fail, fresh),
		cmocka_unit_test_setup(asking_and_its_answer_are_one, fresh),
		cmocka_unit_test_setup(a_payment_keeps_its_own_key, being_paid),
		cmocka_unit_test_setup(an_old_intent_keeps_its_key, fresh),
		cmocka_unit_test_setup(keys_run_out_but_not_under_way, placed),
		cmocka_unit_test_setup(a_sweep_takes_all_that_are_due, fresh),
		cmocka_unit_test_setup(a_deleted_account_leaves_nothing, placed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
