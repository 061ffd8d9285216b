/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "peers.h"
#include "saga.h"

static const struct refusal
	too_little = {"409 Conflict",
		"{\"code\":\"insufficient_stock\",\"lines\":[{\"product_id\":"
		"\"00000000-0000-7000-8000-00000000000a\",\"requested\":2,\"available\":1}]}"},
	not_for_sale = {"422 Unprocessable Content",
		"{\"code\":\"invalid\",\"errors\":[{\"field\":\"lines[1].product_id\"}]}"};

/* ---- what the tests do ---- */

static struct order order;
static struct order_item lines[2];
static char extra_text[512];
static char field_text[64];

static struct claim placing;
static const char *card; /* of the next payments; NULL: tok_ok */

static struct str card_now(void)
{
	return str_from(card != NULL ? card : "tok_ok");
}

static enum fault place(struct task *t, struct job *job)
{
	struct reply reply = {.arena = t->scope.arena};
	const enum fault fault = saga_place(t, &order, STR("user:x"), NULL, NULL, &placing, &reply);

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

static enum fault pay_by_card(struct task *t, struct job *job)
{
	const struct new_payment payment = {.method = METHOD_CARD, .token = card_now()};
	struct order now;
	struct claim claim;

	(void)job;
	TRY(store_get(t, &order.id, &now));
	TRY(store_take_payment(t, &now, STR("user:x"), &payment, NULL, &claim));
	return saga_settle(t, &claim);
}

static enum fault place_paying(struct task *t, struct job *job)
{
	const struct new_payment payment = {.method = METHOD_CARD, .token = card_now()};
	struct reply reply = {.arena = t->scope.arena};
	struct claim claim;

	(void)job;
	TRY(saga_place(t, &order, STR("user:x"), &payment, NULL, &claim, &reply));
	return saga_settle(t, &claim);
}

static enum fault ask_cancel(struct task *t, struct job *job)
{
	struct order now;

	(void)job;
	TRY(store_get(t, &order.id, &now));
	return store_ask_cancel(t, NULL, &now, STR("user:y"), STR("too slow"));
}

/* The first line grows to job->number units (7 if it is 0), the second goes. */
static enum fault amend(struct task *t, struct job *job)
{
	struct order now;
	struct claim claim;

	TRY(store_get(t, &order.id, &now));
	((struct order_item *)now.items.at)->quantity = job->number > 0 ? (int32_t)job->number : 7;
	now.items.count = 1;
	TRY(store_take_items(t, &now, STR("user:x"), &now.items, NULL, &claim));
	return saga_settle(t, &claim);
}

/* A part of job->number, or the rest. */
static enum fault refund(struct task *t, struct job *job)
{
	struct new_refund wanted = {.amount = job->number, .restock = job->number == 0};
	struct order now;
	struct claim claim;

	TRY(store_get(t, &order.id, &now));
	if (wanted.amount == 0)
		wanted.amount = now.payment.amount - now.payment.refunded;
	TRY(store_take_refund(t, &now, STR("user:s"), &wanted, NULL, &claim));
	return saga_settle(t, &claim);
}

/* The provider tells of the first payment; job->number is the sequence, and then whether it was
 * news. */
static enum fault tell(struct task *t, struct job *job)
{
	bool is_news;

	TRY(store_told(t, &order.id, 1, job->number, &is_news));
	job->number = is_news;
	return OK;
}

static bool told(int64_t sequence)
{
	struct job job = {.work = tell, .number = sequence};

	job_finish(&job);
	assert_int_equal(job.fault, OK);
	return job.number != 0;
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
	forget_peers();
	card = NULL;
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

static const char *payment_rows(void)
{
	return observe("SELECT string_agg(concat_ws(' ', attempt, status, decline_code,"
		       " nullif(refunded_minor, 0), token), ', ' ORDER BY attempt)"
		       " FROM order_payments");
}

/* What the provider says of the nth payment of the order. */
static const struct payment_played *charged(int attempt)
{
	char key[KEY_LEN_MAX], id[UUID_TEXT_LEN + 1];

	snprintf(key, sizeof key, "%s-%d", uuid_format(&order.id, id).at, attempt);
	return payment_of(key);
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

/* The first call was granted and its answer lost; its repeat finds too little. */
static void a_repeat_that_is_refused_gives_the_goods_back(void **state)
{
	(void)state;
	assert_int_equal(run(place), OK); /* its connection is kept */
	make_order();
	products.lose = 1;
	products.refuse = &too_little;
	assert_int_equal(run(place), FAULT_INSUFFICIENT_STOCK);
	assert_null(products.refuse);
	assert_string_equal(reservations[1].state, "released");
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 1);
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
	(void)state;
	products.refuse = &away;
	assert_int_equal(run(pay), FAULT_UNAVAILABLE);
	assert_string_equal(orders(), "pending committing");
	reservations[0].state = "released";
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "pending idle");
	assert_string_equal(payment_rows(), "1 failed");
	assert_int_equal(run(pay), FAULT_RELEASED);
	assert_string_equal(orders(), "pending idle");
}

/* What cannot be is left for people to look at, not guessed at. */
static void what_contradicts_itself_is_not_settled(void **state)
{
	(void)state;
	reservations[0].state = "committed";
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

/* ---- payments by card ---- */

static void a_card_pays(void **state)
{
	(void)state;
	assert_int_equal(run(pay_by_card), OK);
	assert_string_equal(orders(), "paid idle");
	assert_string_equal(payment_rows(), "1 captured");
	assert_string_equal(reserved(), "committed");
	assert_string_equal(charged(1)->status, "captured");
	assert_int_equal(payments.calls, 2); /* nothing is asked when all is answered */
}

static void a_declined_card_leaves_the_order(void **state)
{
	(void)state;
	card = "tok_declined";
	for (int i = 1; i < DECLINES_MAX; i++) {
		assert_int_equal(run(pay_by_card), FAULT_CARD_DECLINED);
		assert_string_equal(orders(), "pending idle");
	}
	assert_string_equal(reserved(), "held");
	assert_int_equal(run(pay_by_card), FAULT_CARD_DECLINED);
	assert_string_equal(orders(), "payment_failed idle");
	assert_string_equal(reserved(), "released");
}

static void a_declined_card_ends_the_order_that_it_came_with(void **state)
{
	(void)state;
	card = "tok_declined";
	assert_int_equal(run(place_paying), FAULT_CARD_DECLINED);
	assert_string_equal(orders(), "payment_failed idle");
	assert_string_equal(payment_rows(), "1 declined card_declined");
	assert_string_equal(reserved(), "released");
	assert_string_equal(observe("SELECT string_agg(version || ' ' || to_status, ', ' ORDER BY"
				    " version) FROM order_history"),
		"1 pending, 3 payment_failed");
}

static void a_lost_answer_charges_once(void **state)
{
	(void)state;
	payments.lose = 2; /* the authorisation and upstream's repeat */
	assert_int_equal(run(pay_by_card), OK);
	assert_int_equal(charged(1)->authorised, 1);
	payments.lose = 2;
	make_order();
	assert_int_equal(run(place_paying), OK);
	assert_string_equal(charged(1)->status, "captured");
	assert_int_equal(charged(1)->captured, 1);
}

static void while_payments_is_away_the_payment_waits(void **state)
{
	(void)state;
	payments.is_down = true;
	assert_int_equal(fault_info(run(pay_by_card))->status, 503);
	assert_string_equal(orders(), "pending authorising");
	assert_string_equal(payment_rows(), "1 processing tok_ok");
	end_leases();
	assert_int_not_equal(run(recover), OK);
	payments.is_down = false;
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "paid idle");
	assert_string_equal(payment_rows(), "1 captured");
}

static void what_is_undecided_is_asked_after(void **state)
{
	(void)state;
	card = "tok_async";
	assert_int_equal(run(place_paying), OK);
	assert_string_equal(orders(), "pending authorising");
	assert_string_equal(observe("SELECT concat_ws(' ', step_waits, attempts,"
				    " lease_until > now() + interval '1 second') FROM orders"),
		"t 0 t");
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "pending authorising");
	payments_played[0].status = "authorised";
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "paid idle");
}

/* Twice, and in the wrong order: only what is news makes the step due. */
static void what_is_told_is_looked_at(void **state)
{
	(void)state;
	card = "tok_async";
	assert_int_equal(run(place_paying), OK);
	assert_int_equal(run(recover), OK);
	assert_int_equal(payments.calls, 1);
	assert_true(told(2));
	assert_int_equal(run(recover), OK); /* it was told too early, say */
	assert_int_equal(payments.calls, 2);
	assert_string_equal(orders(), "pending authorising");
	payments_played[0].status = "authorised";
	assert_false(told(2));
	assert_false(told(1));
	assert_int_equal(run(recover), OK);
	assert_int_equal(payments.calls, 2);
	assert_true(told(3));
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "paid idle");
	assert_true(told(4)); /* of the capture: nothing is left to do */
	assert_string_equal(orders(), "paid idle");
}

static void an_undecided_payment_ends(void **state)
{
	(void)state;
	card = "tok_async";
	assert_int_equal(run(pay_by_card), OK);
	end_leases();
	observe("UPDATE order_payments SET created_at = now() - interval '1 day'");
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "pending idle");
	assert_string_equal(payment_rows(), "1 voided");
	assert_string_equal(charged(1)->status, "voided");
	assert_string_equal(reserved(), "held");
}

static void what_cannot_be_sold_is_not_paid_for(void **state)
{
	(void)state;
	reservations[0].state = "released";
	assert_int_equal(run(pay_by_card), FAULT_RELEASED);
	assert_string_equal(orders(), "pending idle");
	assert_string_equal(payment_rows(), "1 voided");
	assert_string_equal(charged(1)->status, "voided");
}

static void what_was_let_go_is_not_captured(void **state)
{
	(void)state;
	products.sql = "UPDATE orders SET lease_token = lease_token + 1"; /* we die, sort of */
	assert_int_equal(run(pay_by_card), FAULT_ORDER_BUSY);
	payments_played[0].status = "voided";
	observe("UPDATE orders SET step = 'capturing'");
	observe("UPDATE order_payments SET sold = true");
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "payment_failed idle");
	assert_string_equal(reserved(), "returned");
}

/* The cancellation arrives while the provider, or products, is being asked. */
static void cancelling_at_each_step_of_a_payment(void **state)
{
	static const char asked[] = "UPDATE orders SET cancel_by = 'user:y', cancel_note = 'x'";
	static const struct {
		struct peer *peer;
		unsigned after; /* calls of that peer */
		const char *payment;
		const char *goods;
	} rows[] = {
		{&payments, 0, "1 voided", "released"},
		{&products, 0, "1 voided", "returned"},
		{&payments, 1, "1 captured 3150", "returned"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		placed(state);
		rows[i].peer->sql = asked;
		rows[i].peer->sql_after = rows[i].after;
		assert_int_equal(run(pay_by_card), OK);
		assert_string_equal(orders(), "cancelled idle");
		assert_string_equal(payment_rows(), rows[i].payment);
		assert_string_equal(reserved(), rows[i].goods);
		assert_string_equal(
			observe("SELECT actor FROM order_history WHERE to_status = 'cancelled'"),
			"user:y");
	}
}

static void a_payment_that_waits_is_cancelled_at_once(void **state)
{
	(void)state;
	card = "tok_async";
	assert_int_equal(run(place_paying), OK);
	assert_int_equal(run(ask_cancel), OK);
	assert_int_equal(run(recover), OK); /* it is due */
	assert_string_equal(orders(), "cancelled idle");
	assert_string_equal(payment_rows(), "1 voided");
	assert_int_equal(run(ask_cancel), FAULT_ORDER_BUSY);
}

/* ---- items ---- */

static const char *items(void)
{
	return observe("SELECT concat_ws(' ', total_minor, version, revision, (SELECT"
		       " string_agg(quantity::text, ' ') FROM order_items)) FROM orders");
}

static void items_and_reservation_move_together(void **state)
{
	(void)state;
	assert_int_equal(run(amend), OK);
	assert_string_equal(orders(), "pending idle");
	assert_string_equal(items(), "7350 2 2 7");
	assert_int_equal(reservations[0].units, 7);
	assert_int_equal(reservations[0].revision, 2);
}

static void what_products_refuses_changes_nothing(void **state)
{
	(void)state;
	products.refuse = &too_little;
	assert_int_equal(run(amend), FAULT_INSUFFICIENT_STOCK);
	assert_string_equal(orders(), "pending idle");
	assert_string_equal(items(), "3150 2 1 1 2");
	assert_int_equal(run(amend), OK); /* under the revision that was not used up */
	assert_string_equal(items(), "7350 3 2 7");
}

/* Later products may have what it refused. */
static void a_refusal_that_was_not_written_is_not_told(void **state)
{
	static const char we_die[] = "UPDATE orders SET lease_token = lease_token + 1";

	(void)state;
	products.refuse = &too_little;
	products.sql = we_die;
	assert_int_equal(run(amend), FAULT_ORDER_BUSY);
	assert_string_equal(orders(), "pending amending");
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(items(), "7350 2 2 7");

	placed(state);
	reservations[0].state = "released";
	products.sql = we_die;
	assert_int_equal(run(pay_by_card), FAULT_ORDER_BUSY);
	assert_string_equal(orders(), "pending committing");
	reservations[0].state = "held";
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "paid idle");
}

static void items_that_were_reserved_are_written_by_recovery(void **state)
{
	(void)state;
	products.lose = 2;
	assert_int_not_equal(run(amend), OK);
	assert_string_equal(orders(), "pending amending");
	assert_int_equal(run(amend), FAULT_ORDER_BUSY);
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "pending idle");
	assert_string_equal(items(), "7350 2 2 7");
	assert_int_equal(reservations[0].units, 7);
}

/* The first call was granted and its answer lost; its repeat finds too little. */
static void a_repeat_that_is_refused_decides_nothing(void **state)
{
	(void)state;
	products.lose = 1;
	products.refuse = &too_little;
	assert_int_equal(run(amend), FAULT_UNKNOWN);
	assert_string_equal(orders(), "pending amending");
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "pending idle");
	assert_string_equal(items(), "7350 2 2 7");
}

/* They are put back under one more revision, also by whoever takes that up. */
static void a_total_too_large_puts_the_old_items_back(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		placed(state);
		observe("UPDATE orders SET shipping_minor = 1000000000000 - 3150,"
			" total_minor = 1000000000000");
		if (i == 1) {
			products.sql =
				"UPDATE orders SET lease_token = lease_token + 1"; /* we die */
			products.sql_after = 1;
		}
		assert_int_equal(run(amend), FAULT_INVALID);
		if (i == 1) {
			assert_string_equal(orders(), "pending amending");
			end_leases();
			assert_int_equal(run(recover), OK);
		}
		assert_string_equal(orders(), "pending idle");
		assert_string_equal(items(), "1000000000000 2 3 1 2");
		assert_int_equal(reservations[0].units, 3);
		assert_int_equal(reservations[0].revision, 3);
	}
}

/* ---- refunds ---- */

static void deliver(void)
{
	observe("SET session_replication_role = replica");
	observe("UPDATE orders SET status = 'delivered' WHERE status = 'paid'");
	observe("RESET session_replication_role");
}

static int delivered(void **state)
{
	placed(state);
	assert_int_equal(run(pay_by_card), OK);
	deliver();
	return 0;
}

static enum fault refund_part(int64_t amount)
{
	struct job job = {.work = refund, .number = amount};

	job_finish(&job);
	return job.fault;
}

static void cancelling_what_was_paid_by_card_gives_the_money_back(void **state)
{
	(void)state;
	assert_int_equal(run(pay_by_card), OK);
	payments.lose = 2;
	assert_int_equal(run(cancel), OK);
	assert_string_equal(orders(), "cancelled idle");
	assert_string_equal(payment_rows(), "1 captured 3150");
	assert_int_equal(charged(1)->refund_count, 1);
	assert_string_equal(reserved(), "returned");
}

static void refunds_add_up(void **state)
{
	(void)state;
	assert_int_equal(refund_part(1000), OK);
	assert_string_equal(orders(), "delivered idle");
	assert_string_equal(payment_rows(), "1 captured 1000");
	payments.lose = 2;
	assert_int_equal(refund_part(0), OK);
	assert_string_equal(orders(), "refunded idle");
	assert_string_equal(payment_rows(), "1 captured 3150");
	assert_int_equal(charged(1)->refund_count, 2);
	assert_string_equal(reserved(), "returned");
	assert_string_equal(observe("SELECT string_agg(concat_ws(' ', amount_minor, status), ', '"
				    " ORDER BY created_at) FROM order_refunds"),
		"1000 done, 2150 done");
}

static void a_refund_that_broke_off_is_finished(void **state)
{
	(void)state;
	payments.is_down = true;
	assert_int_not_equal(refund_part(1000), OK);
	assert_string_equal(orders(), "delivered refunding");
	assert_int_equal(refund_part(1000), FAULT_ORDER_BUSY);
	payments.is_down = false;
	end_leases();
	assert_int_equal(run(recover), OK);
	assert_string_equal(orders(), "delivered idle");
	assert_string_equal(payment_rows(), "1 captured 1000");
	assert_int_equal(charged(1)->refund_count, 1);
}

/* ---- every wait fails once ---- */

/* A hold has a live order, a live order its goods, and what was paid for them is what it says. */
static void assert_settled(const char *what, unsigned n)
{
	char sql[512];

	turn_until(is_whole()); /* what was sent before its wait broke off has come to its end */
	for (int i = 0; i < 2; i++) { /* it stops at the first fault */
		end_leases();
		(void)run(recover);
	}
	assert_int_equal(observe_number("SELECT count(*) FROM orders WHERE step <> 'idle'"), 0);
	for (size_t i = 0; i < reservation_count; i++) {
		const struct reservation *r = &reservations[i];
		snprintf(sql, sizeof sql, "SELECT status FROM orders WHERE id = '%.36s'",
			r->order_id);
		const char *status = observe(sql);
		const char *right =
			strcmp(status, "pending") == 0 ? "held"
			: strcmp(status, "paid") == 0 || strcmp(status, "delivered") == 0
				? "committed"
			: strcmp(status, "refunded") == 0 ? "returned"
							  : "released";
		if (strcmp(r->state, right) != 0 &&
			(strcmp(r->state, "returned") != 0 || strcmp(status, "cancelled") != 0))
			fail_msg("%s, wait %u: the order is %s, its reservation %s", what, n,
				status, r->state);
		snprintf(sql, sizeof sql,
			"SELECT coalesce(sum(quantity), 0) FROM order_items WHERE order_id = "
			"'%.36s'",
			r->order_id);
		if (strcmp(right, "held") == 0 && observe_number(sql) != r->units)
			fail_msg("%s, wait %u: %d units are reserved, not %lld", what, n, r->units,
				(long long)observe_number(sql));
	}
	for (size_t i = 0; i < payment_count; i++) {
		const struct payment_played *p = &payments_played[i];
		snprintf(sql, sizeof sql,
			"SELECT status || ' ' || (SELECT count(*) FROM order_refunds r WHERE "
			"(r.order_id, r.attempt) = (p.order_id, p.attempt) AND status = 'done') "
			"FROM order_payments p WHERE order_id || '-' || attempt = '%.64s'",
			p->key);
		const char *said = observe(sql);
		snprintf(sql, sizeof sql, "%s %u", p->status, p->refund_count);
		if (strcmp(said, sql) != 0)
			fail_msg("%s, wait %u: the order says %s, the provider %s", what, n, said,
				sql);
	}
	assert_whole();
}

enum before { NOTHING, PLACED, PAID, DELIVERED };

static void prepare(enum before before)
{
	make_order();
	if (before >= PLACED)
		assert_int_equal(run(place), OK);
	if (before >= PAID)
		assert_int_equal(run(pay_by_card), OK);
	if (before == DELIVERED)
		deliver();
}

static void at_every_wait(const char *what, enum fault (*work)(struct task *t, struct job *job),
	enum before before, enum fault fault)
{
	enum fault last = OK;

	stop_peers(); /* its connections are counted */
	start_peers();
	for (unsigned n = 1;; n++) {
		struct job job = {.work = work, .inject_at = n, .inject_fault = fault};

		prepare(before);
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
		at_every_wait("place", place, NOTHING, faults[i]);
		at_every_wait("cancel", cancel, PLACED, faults[i]);
		at_every_wait("pay", pay, PLACED, faults[i]);
		at_every_wait("place and pay", place_paying, NOTHING, faults[i]);
		at_every_wait("amend", amend, PLACED, faults[i]);
		at_every_wait("pay by card", pay_by_card, PLACED, faults[i]);
		at_every_wait("cancel what is paid", cancel, PAID, faults[i]);
		at_every_wait("refund", refund, DELIVERED, faults[i]);
	}
}

static int setup(void **state)
{
	(void)state;
	if (orders_world_begin("orders_saga_test") != 0)
		return -1;
	start_peers();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop_peers();
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
		cmocka_unit_test_setup(a_repeat_that_is_refused_gives_the_goods_back, fresh),
		cmocka_unit_test_setup(while_products_is_away_the_intent_waits, fresh),
		cmocka_unit_test_setup(a_lost_claim_places_nothing, fresh),
		cmocka_unit_test_setup(cancelling_gives_back, placed),
		cmocka_unit_test_setup(cancelling_what_is_paid_returns, placed),
		cmocka_unit_test_setup(what_was_begun_is_finished_by_recovery, placed),
		cmocka_unit_test_setup(a_refused_payment_leaves_the_order, placed),
		cmocka_unit_test_setup(what_contradicts_itself_is_not_settled, placed),
		cmocka_unit_test_setup(unpaid_orders_expire, placed),
		cmocka_unit_test_setup(a_card_pays, placed),
		cmocka_unit_test_setup(a_declined_card_leaves_the_order, placed),
		cmocka_unit_test_setup(a_declined_card_ends_the_order_that_it_came_with, fresh),
		cmocka_unit_test_setup(a_lost_answer_charges_once, placed),
		cmocka_unit_test_setup(while_payments_is_away_the_payment_waits, placed),
		cmocka_unit_test_setup(what_is_undecided_is_asked_after, fresh),
		cmocka_unit_test_setup(what_is_told_is_looked_at, fresh),
		cmocka_unit_test_setup(an_undecided_payment_ends, placed),
		cmocka_unit_test_setup(what_cannot_be_sold_is_not_paid_for, placed),
		cmocka_unit_test_setup(what_was_let_go_is_not_captured, placed),
		cmocka_unit_test_setup(cancelling_at_each_step_of_a_payment, fresh),
		cmocka_unit_test_setup(a_payment_that_waits_is_cancelled_at_once, fresh),
		cmocka_unit_test_setup(
			cancelling_what_was_paid_by_card_gives_the_money_back, placed),
		cmocka_unit_test_setup(refunds_add_up, delivered),
		cmocka_unit_test_setup(a_refund_that_broke_off_is_finished, delivered),
		cmocka_unit_test_setup(items_and_reservation_move_together, placed),
		cmocka_unit_test_setup(what_products_refuses_changes_nothing, placed),
		cmocka_unit_test_setup(a_refusal_that_was_not_written_is_not_told, placed),
		cmocka_unit_test_setup(items_that_were_reserved_are_written_by_recovery, placed),
		cmocka_unit_test_setup(a_repeat_that_is_refused_decides_nothing, placed),
		cmocka_unit_test_setup(a_total_too_large_puts_the_old_items_back, fresh),
		cmocka_unit_test_setup(nothing_is_lost_at_any_wait, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
