/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

/* What the works below go by and leave behind; texts of an ended task are not looked at. */
static struct order order;
static struct order_item lines[2];
static struct claim claim;
static struct order found;
static struct new_payment payment = {.reference = {"till 7", 6}};
static const char who[] = "user:x";

static enum fault begin(struct task *t, struct job *job)
{
	(void)job;
	return store_begin(t, &order, str_from(who), NULL, &claim);
}

static enum fault place(struct task *t, struct job *job)
{
	(void)job;
	return store_place(t, &claim, &order, NULL, NULL);
}

static enum fault abandon(struct task *t, struct job *job)
{
	(void)job;
	return store_abandon(t, &claim);
}

static enum fault get(struct task *t, struct job *job)
{
	(void)job;
	return store_get(t, &order.id, &found);
}

static enum fault confirm(struct task *t, struct job *job)
{
	(void)job;
	return store_change(t, &order, STATUS_CONFIRMED, str_from(who), STR("by phone"), STR_NONE);
}

static enum fault take_cancel(struct task *t, struct job *job)
{
	(void)job;
	return store_take(t, &order, transition_find(STATUS_PENDING, STATUS_CANCELLED),
		str_from(who), STR("too big"), NULL, &claim);
}

static enum fault take_payment(struct task *t, struct job *job)
{
	(void)job;
	return store_take_payment(t, &order, str_from(who), &payment, NULL, &claim);
}

static enum fault finish(struct task *t, struct job *job)
{
	(void)job;
	return store_finish(t, NULL, &claim);
}

static enum fault drop(struct task *t, struct job *job)
{
	(void)job;
	claim.goal = claim.status;
	return store_finish(t, NULL, &claim);
}

static enum fault postpone(struct task *t, struct job *job)
{
	return store_postpone(t, &claim, job->number);
}

static struct claim taken;

static enum fault take_stalled(struct task *t, struct job *job)
{
	(void)job;
	return store_take_stalled(t, &taken);
}

static enum fault take_expired(struct task *t, struct job *job)
{
	(void)job;
	return store_take_expired(t, &taken);
}

static int new_order(void **state)
{
	(void)state;
	forget_orders();
	for (size_t i = 0; i < 2; i++)
		lines[i] = (struct order_item){.id = uuid_new(),
			.product_id = uuid_new(),
			.seller_id = uuid_new(),
			.name = STR("Tray"),
			.quantity = (int32_t)i + 1,
			.price = 1050,
			.total = 1050 * ((int64_t)i + 1)};
	order = (struct order){.id = uuid_new(),
		.user_id = uuid_new(),
		.items = {lines, 2},
		.currency = STR("USD"),
		.subtotal = 3150,
		.total = 3150,
		.shipping_address = STR("{\"city\":\"Graz\"}"),
		.metadata = STR("{\"b\":1,\"a\":\"\\\"\"}")};
	return 0;
}

static int placed_order(void **state)
{
	new_order(state);
	assert_int_equal(run(begin), OK);
	assert_int_equal(run(place), OK);
	return 0;
}

static const char *column(const char *name)
{
	char sql[128];

	snprintf(sql, sizeof sql, "SELECT %s FROM orders", name);
	return observe(sql);
}

/* ---- the schema ---- */

static void statements_fit_the_schema(void **state)
{
	(void)state;
	assert_statements_fit(&store_schema, NULL);
}

/* Puts the one order into a state past all guards. */
static void force_status(enum status status)
{
	char sql[512];

	observe("SET session_replication_role = replica");
	snprintf(sql, sizeof sql, "UPDATE orders SET status = '%s', step = '%s', lease_until = %s",
		status_names[status], status == STATUS_RESERVING ? "reserving" : "idle",
		status == STATUS_RESERVING ? "now()" : "NULL");
	observe(sql);
	observe("RESET session_replication_role");
}

static bool database_allows(enum status from, enum status to)
{
	char sql[512];

	force_status(from);
	snprintf(sql, sizeof sql,
		"UPDATE orders SET version = version + 1, status = '%s', step = '%s',"
		" lease_until = %s",
		status_names[to], to == STATUS_RESERVING ? "reserving" : "idle",
		to == STATUS_RESERVING ? "now()" : "NULL");
	PGresult *result = PQexec(world.observer, sql);
	const bool allowed = PQresultStatus(result) == PGRES_COMMAND_OK;
	const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	if (!allowed)
		assert_string_equal(constraint != NULL ? constraint : PQresultErrorMessage(result),
			"orders_transition_check");
	PQclear(result);
	return allowed;
}

static void code_and_database_have_the_same_transitions(void **state)
{
	(void)state;
	for (int from = 0; from < STATUS_COUNT; from++) {
		for (int to = 0; to < STATUS_COUNT; to++) {
			const bool in_code =
				transition_find((enum status)from, (enum status)to) != NULL;
			if (from != to &&
				database_allows((enum status)from, (enum status)to) != in_code)
				fail_msg("%s to %s: the code says %s, the database not",
					status_names[from], status_names[to],
					in_code ? "yes" : "no");
		}
	}
}

static bool refused(const char *sql)
{
	PGresult *result = PQexec(world.observer, sql);
	const bool is_refused = PQresultStatus(result) != PGRES_COMMAND_OK;

	PQclear(result);
	return is_refused;
}

static void the_database_guards_orders(void **state)
{
	(void)state;
	assert_true(refused("DELETE FROM orders"));
	assert_true(refused("UPDATE orders SET step = 'cancelling'")); /* without a lease */
	assert_true(refused("UPDATE orders SET total_minor = total_minor + 1"));
	assert_true(refused("INSERT INTO orders (id, user_id, status, step, currency, expires_at)"
			    " SELECT user_id, user_id, 'paid', 'idle', 'USD', now() FROM orders"));
	assert_false(refused("UPDATE orders SET updated_at = now()"));
	assert_true(refused("UPDATE orders SET status = 'confirmed'")); /* of the same version */
	assert_true(refused("UPDATE orders SET version = version + 2"));
}

/* A card is forgotten once it is decided; a step goes with a status; no more goes back than came.
 */
static void the_database_guards_payments(void **state)
{
	(void)state;
	assert_int_equal(run(take_payment), OK);
	assert_true(refused("UPDATE order_payments SET token = 'tok_ok'")); /* it is no card's */
	assert_false(refused("UPDATE order_payments SET method = 'card', token = 'tok_ok'"));
	assert_true(refused("UPDATE order_payments SET status = 'captured'"));
	assert_true(refused("UPDATE order_payments SET status = 'declined', token = NULL"));
	assert_true(refused("UPDATE order_payments SET refunded_minor = 1"));
	assert_false(refused("UPDATE order_payments SET status = 'captured', token = NULL"));
	assert_true(refused("UPDATE order_payments SET refunded_minor = amount_minor + 1"));
	assert_true(refused("INSERT INTO order_payments (order_id, attempt, method, status,"
			    " amount_minor) SELECT order_id, 2, 'card', 'processing', 1"
			    " FROM order_payments"));
	assert_true(refused("UPDATE orders SET step = 'refunding'"));
	assert_true(refused("UPDATE orders SET step_items = '{}'"));
}

/* ---- a new order ---- */

static void an_intent_is_not_seen(void **state)
{
	(void)state;
	assert_int_equal(run(begin), OK);
	assert_int_equal(run(get), FAULT_NOT_FOUND);
	assert_int_equal(run(place), OK);
	assert_int_equal(run(get), OK);
	assert_int_equal(found.version, 1);
	assert_int_equal(found.created_at, order.created_at);
	assert_int_equal(found.expires_at - found.created_at, TEST_TTL_US);
	assert_int_equal(found.items.count, 2);
	assert_true(found.is_idle);
}

static void what_was_written_is_read(void **state)
{
	(void)state;
	assert_string_equal(column("shipping_address"), "{\"city\":\"Graz\"}");
	assert_string_equal(column("metadata"), "{\"b\":1,\"a\":\"\\\"\"}");
	assert_string_equal(observe("SELECT string_agg(concat_ws(' ', name, quantity,"
				    " unit_price_minor), ', ' ORDER BY id) FROM order_items"),
		"Tray 1 1050, Tray 2 1050");
	assert_string_equal(observe("SELECT concat_ws(' ', version, coalesce(from_status, '-'),"
				    " to_status, actor) FROM order_history"),
		"1 - pending user:x");
}

static void only_the_claim_places_and_only_once(void **state)
{
	(void)state;
	assert_int_equal(run(begin), OK);
	claim.token++;
	assert_int_equal(run(place), FAULT_ORDER_BUSY);
	assert_int_equal(run(abandon), FAULT_ORDER_BUSY);
	claim.token--;
	assert_int_equal(run(place), OK);
	assert_int_equal(run(place), FAULT_ORDER_BUSY);
	assert_int_equal(run(abandon), FAULT_ORDER_BUSY);
	assert_int_equal(observe_number("SELECT count(*) FROM order_items"), 2);
}

static void an_abandoned_intent_leaves_nothing(void **state)
{
	(void)state;
	assert_int_equal(run(begin), OK);
	assert_int_equal(run(abandon), OK);
	assert_int_equal(run(place), FAULT_ORDER_BUSY);
	assert_int_equal(observe_number("SELECT count(*) FROM orders"), 0);
}

/* ---- changes ---- */

static void a_change_is_of_the_version_that_was_read(void **state)
{
	(void)state;
	order.version++;
	assert_int_equal(run(confirm), FAULT_ORDER_BUSY);
	order.version--;
	assert_int_equal(run(confirm), OK);
	assert_int_equal(run(confirm), FAULT_ORDER_BUSY);
	assert_string_equal(observe("SELECT concat_ws(' ', version, from_status, to_status, actor,"
				    " note) FROM order_history WHERE version > 1"),
		"2 pending confirmed user:x by phone");
}

static void one_step_at_a_time(void **state)
{
	(void)state;
	assert_int_equal(run(take_cancel), OK);
	const struct claim first = claim;
	assert_int_equal(run(take_cancel), FAULT_ORDER_BUSY);
	assert_int_equal(run(take_payment), FAULT_ORDER_BUSY);
	assert_int_equal(run(confirm), FAULT_ORDER_BUSY);
	claim = first;
	assert_int_equal(run(get), OK);
	assert_false(found.is_idle);
	claim.token++;
	assert_int_equal(run(finish), FAULT_ORDER_BUSY);
	assert_int_equal(run(drop), FAULT_ORDER_BUSY);
	claim = first;
	assert_int_equal(run(finish), OK);
	assert_int_equal(run(finish), FAULT_ORDER_BUSY);
	assert_string_equal(column("concat_ws(' ', status, version, step)"), "cancelled 2 idle");
	assert_string_equal(
		observe("SELECT concat_ws(' ', version, from_status, to_status, actor, note)"
			" FROM order_history WHERE version > 1"),
		"2 pending cancelled user:x too big");
}

static void a_payment_is_captured_or_fails(void **state)
{
	static const char last[] = "SELECT concat_ws(' ', attempt, method, status, amount_minor,"
				   " reference) FROM order_payments ORDER BY attempt DESC";

	(void)state;
	assert_int_equal(run(take_payment), OK);
	assert_string_equal(observe(last), "1 manual processing 3150 till 7");
	assert_int_equal(run(drop), OK);
	assert_string_equal(observe(last), "1 manual failed 3150 till 7");
	assert_string_equal(column("concat_ws(' ', status, version, step)"), "pending 3 idle");
	assert_int_equal(run(take_payment), FAULT_ORDER_BUSY); /* of version 1 */
	order.version = 3;
	assert_int_equal(run(take_payment), OK);
	assert_int_equal(run(finish), OK);
	assert_string_equal(observe(last), "2 manual captured 3150 till 7");
	assert_string_equal(column("concat_ws(' ', status, version, step)"), "paid 5 idle");
	assert_int_equal(run(get), OK);
	assert_int_equal(found.payment.amount, 3150);
	assert_int_equal(found.expires_at, 0);
}

/* ---- an account that goes ---- */

static int64_t open_orders;

static enum fault count_open(struct task *t, struct job *job)
{
	(void)job;
	return store_count_open(t, &order.user_id, &open_orders);
}

static enum fault forget_person(struct task *t, struct job *job)
{
	(void)job;
	return store_forget_person(t, NULL, &order.user_id);
}

static void what_is_paid_and_not_delivered_is_open(void **state)
{
	(void)state;
	for (int i = 0; i < STATUS_COUNT; i++) {
		force_status((enum status)i);
		assert_int_equal(run(count_open), OK);
		assert_int_equal(open_orders,
			i == STATUS_PAID || i == STATUS_PROCESSING || i == STATUS_SHIPPED);
	}
}

static enum fault cancel_all(struct task *t, struct job *job)
{
	(void)job;
	return store_cancel_all(t, NULL, &order.user_id, STR("gone"));
}

static void what_has_not_been_shipped_is_cancelled_with_the_account(void **state)
{
	(void)state;
	for (int i = STATUS_PENDING; i < STATUS_COUNT; i++) {
		const bool can_be = transition_find((enum status)i, STATUS_CANCELLED) != NULL;
		force_status((enum status)i);
		assert_int_equal(run(cancel_all), OK);
		assert_string_equal(
			column("concat_ws(' ', step, step_goal, step_actor, step_note)"),
			can_be ? "cancelling cancelled system gone" : "idle");
		observe("UPDATE orders SET step = 'idle', step_goal = NULL, step_actor = NULL,"
			" step_note = NULL, lease_until = NULL");
	}
}

static void a_payment_under_way_is_asked_to_stop_with_the_account(void **state)
{
	(void)state;
	assert_int_equal(run(take_payment), OK);
	assert_int_equal(run(cancel_all), OK);
	assert_string_equal(
		column("concat_ws(' ', step, cancel_by, cancel_note)"), "committing system gone");
}

static void an_intent_forgets_too(void **state)
{
	(void)state;
	assert_int_equal(run(begin), OK);
	assert_int_equal(run(forget_person), OK);
	assert_int_equal(run(place), OK);
	assert_string_equal(
		column("concat_ws(' ', status, version, shipping_address, metadata)"), "pending 1");
}

static void a_person_is_forgotten_but_not_the_order(void **state)
{
	(void)state;
	assert_int_equal(run(forget_person), OK);
	assert_string_equal(
		column("concat_ws(' ', status, version, shipping_address, metadata)"), "pending 2");
	assert_int_equal(run(forget_person), OK);
	assert_string_equal(column("version"), "2");
}

/* ---- events ---- */

static const char *told(const char *what)
{
	char sql[512];

	snprintf(sql, sizeof sql,
		"SELECT string_agg(concat_ws(' ', %s), ', ' ORDER BY id) FROM outbox", what);
	return observe(sql);
}

static void each_version_is_told_once(void **state)
{
	(void)state;
	assert_int_equal(run(begin), OK);
	assert_string_equal(told("type"), "");
	assert_int_equal(run(place), OK);
	assert_int_equal(run(take_payment), OK);
	assert_int_equal(run(postpone), OK); /* nobody sees it */
	assert_int_equal(run(drop), OK);
	order.version = 3;
	assert_int_equal(run(forget_person), OK);
	order.version = 4;
	assert_int_equal(run(take_cancel), OK);
	assert_int_equal(run(finish), OK);
	assert_string_equal(told("replace(type, 'bodega.order.', ''), sequence,"
				 " data->>'previous_status', data->'payment'->>'status'"),
		"created 1, updated 2 pending processing, updated 3 pending failed,"
		" updated 4 pending failed, cancelled 5 pending failed");
}

static void an_event_has_ids_and_amounts(void **state)
{
	char id[UUID_TEXT_LEN + 1], user_id[UUID_TEXT_LEN + 1], expected[256];

	(void)state;
	snprintf(expected, sizeof expected, "%s %s %s pending USD 3150 2 2 1050",
		uuid_format(&order.id, id).at, uuid_format(&order.user_id, user_id).at, id);
	assert_string_equal(told("subject, person, data->>'order_id', data->>'status',"
				 " data->>'currency', data->>'total_minor',"
				 " json_array_length(data->'items'),"
				 " data->'items'->1->>'quantity',"
				 " data->'items'->1->>'price_minor'"),
		expected);
	assert_int_equal(
		observe_number("SELECT count(*) FROM outbox WHERE data::text ~ 'Graz|Tray'"), 0);
}

/* ---- recovery ---- */

static void only_a_lease_that_ended_is_taken_over(void **state)
{
	struct job soon = {.work = postpone, .number = 0};

	(void)state;
	assert_int_equal(run(take_stalled), FAULT_NOT_FOUND);
	assert_int_equal(run(take_cancel), OK);
	assert_int_equal(run(take_stalled), FAULT_NOT_FOUND);
	job_finish(&soon);
	assert_int_equal(soon.fault, OK);
	assert_int_equal(run(take_stalled), OK);
	assert_int_equal(taken.token, claim.token + 1);
	assert_int_equal(taken.attempts, 1);
	assert_int_equal(taken.step, STEP_CANCELLING);
	assert_int_equal(taken.goal, STATUS_CANCELLED);
	assert_int_equal(run(take_stalled), FAULT_NOT_FOUND);
	assert_int_equal(run(finish), FAULT_ORDER_BUSY); /* by whoever lost it */
	claim.token = taken.token;
	assert_int_equal(run(finish), OK);
}

static void a_row_in_other_hands_is_skipped(void **state)
{
	(void)state;
	assert_int_equal(run(begin), OK);
	observe("UPDATE orders SET lease_until = now()");
	observe("BEGIN");
	observe("SELECT id FROM orders FOR UPDATE");
	assert_int_equal(run(take_stalled), FAULT_NOT_FOUND);
	observe("COMMIT");
	assert_int_equal(run(take_stalled), OK);
	assert_int_equal(taken.status, STATUS_RESERVING);
	assert_int_equal(taken.step, STEP_RESERVING);
}

static void what_fails_again_and_again_needs_attention(void **state)
{
	(void)state;
	assert_int_equal(run(take_cancel), OK);
	for (int i = 1; i <= ATTEMPTS_BEFORE_ATTENTION; i++) {
		assert_string_equal(column("needs_attention"), "f");
		observe("UPDATE orders SET lease_until = now()");
		assert_int_equal(run(take_stalled), OK);
		assert_int_equal(taken.attempts, i);
	}
	assert_string_equal(column("needs_attention"), "t");
	claim.token = taken.token;
	assert_int_equal(run(finish), OK);
	assert_string_equal(column("concat_ws(' ', needs_attention, attempts)"), "f 0");
}

static void only_idle_and_unpaid_orders_expire(void **state)
{
	static const struct {
		enum status status;
		bool expires;
	} rows[] = {
		{STATUS_PENDING, true},
		{STATUS_CONFIRMED, true},
		{STATUS_PAID, false},
		{STATUS_SHIPPED, false},
		{STATUS_CANCELLED, false},
		{STATUS_EXPIRED, false},
		{STATUS_RESERVING, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		force_status(rows[i].status);
		observe("UPDATE orders SET expires_at = now() + interval '1 hour'");
		assert_int_equal(run(take_expired), FAULT_NOT_FOUND);
		observe("UPDATE orders SET expires_at = now()");
		const enum fault fault = run(take_expired);
		if (fault != (rows[i].expires ? OK : FAULT_NOT_FOUND))
			fail_row(i, "%s: fault %d", status_names[rows[i].status], fault);
	}
}

static void expiry_waits_for_the_step_under_way(void **state)
{
	(void)state;
	assert_int_equal(run(take_payment), OK);
	observe("UPDATE orders SET expires_at = now()");
	assert_int_equal(run(take_expired), FAULT_NOT_FOUND);
	assert_int_equal(run(drop), OK);
	assert_int_equal(run(take_expired), OK);
	assert_int_equal(taken.goal, STATUS_EXPIRED);
	assert_int_equal(taken.step, STEP_CANCELLING);
}

/* ---- lists ---- */

enum { LISTED = 9, PAGE = 2, LISTED_MAX = 16 };

static struct uuid listed_user; /* nil: all */
static enum status listed_status;
static struct uuid listed[LISTED_MAX];
static size_t listed_count;

/* Pages through a list to its end. */
static enum fault page_through(struct task *t, struct job *job)
{
	struct order_key after = order_key_first;
	struct items page;

	(void)job;
	listed_count = 0;
	do {
		TRY(store_list(t, &listed_user, listed_status, &after, 0, PAGE, &page));
		const struct order *at = page.at;
		for (size_t i = 0; i < page.count && listed_count < LISTED_MAX; i++, at++) {
			after = (struct order_key){.created_at = at->created_at, .id = at->id};
			listed[listed_count++] = at->id;
		}
	} while (page.count == PAGE && listed_count < LISTED_MAX);
	return OK;
}

static void expect_list(const char *where)
{
	char sql[256], id[UUID_TEXT_LEN + 1];

	assert_int_equal(run(page_through), OK);
	for (size_t i = 0; i < listed_count; i++) {
		snprintf(sql, sizeof sql,
			"SELECT id FROM orders WHERE %s ORDER BY created_at DESC, id DESC"
			" OFFSET %zu LIMIT 1",
			where, i);
		assert_string_equal(observe(sql), uuid_format(&listed[i], id).at);
	}
	snprintf(sql, sizeof sql, "SELECT count(*) FROM orders WHERE %s", where);
	assert_int_equal(listed_count, observe_number(sql));
	assert_true(listed_count > PAGE);
}

static void lists_page_through_ties(void **state)
{
	const struct uuid people[2] = {uuid_new(), uuid_new()};
	char where[256], id[UUID_TEXT_LEN + 1];

	for (int i = 0; i < LISTED; i++) {
		struct order_item line = {.id = uuid_new(),
			.product_id = uuid_new(),
			.seller_id = uuid_new(),
			.name = STR("Tray"),
			.quantity = 1};
		order = (struct order){.id = uuid_new(),
			.user_id = people[i % 2],
			.items = {&line, 1},
			.currency = STR("USD")};
		assert_int_equal(run(begin), OK);
		assert_int_equal(run(place), OK);
		if (i >= LISTED / 2)
			assert_int_equal(run(confirm), OK);
	}
	observe("UPDATE orders SET created_at = timestamptz '2026-01-01'"
		" + ascii(right(id::text, 1)) % 3 * interval '1 microsecond'");
	order.id = uuid_new();
	assert_int_equal(run(begin), OK); /* an intent: in no list */
	(void)state;

	listed_user = (struct uuid){0};
	listed_status = STATUS_RESERVING;
	expect_list("status <> 'reserving'");
	listed_status = STATUS_CONFIRMED;
	expect_list("status = 'confirmed'");
	listed_user = people[0];
	snprintf(where, sizeof where, "status = 'confirmed' AND user_id = '%s'",
		uuid_format(&people[0], id).at);
	expect_list(where);
	listed_status = STATUS_RESERVING;
	snprintf(where, sizeof where, "status <> 'reserving' AND user_id = '%s'",
		uuid_format(&people[0], id).at);
	expect_list(where);
}

static int setup(void **state)
{
	(void)state;
	return orders_world_begin("orders_store_test");
}

static int teardown(void **state)
{
	(void)state;
	migrated_world_end();
	return 0;
}

/* ---- many at once ---- */

enum { MANY = 20, STALE = 7, TOO_LARGE = 11 };

/* One of many new orders. */
struct newcomer {
	struct job job;
	struct order order;
	struct claim claim;
};

static enum fault begin_one(struct task *t, struct job *job)
{
	struct newcomer *n = CONTAINER_OF(job, struct newcomer, job);

	return store_begin(t, &n->order, str_from(who), NULL, &n->claim);
}

static enum fault place_one(struct task *t, struct job *job)
{
	struct newcomer *n = CONTAINER_OF(job, struct newcomer, job);

	return store_place(t, &n->claim, &n->order, NULL, NULL);
}

static void all_at_once(struct newcomer *all, enum fault (*work)(struct task *t, struct job *job))
{
	for (size_t i = 0; i < MANY; i++) {
		all[i].job = (struct job){.work = work};
		job_start(&all[i].job);
	}
	for (size_t i = 0; i < MANY; i++)
		turn_until(all[i].job.task == NULL);
}

static void many_go_together_and_each_by_its_own_claim(void **state)
{
	static struct newcomer all[MANY];
	static struct order_item items[MANY][2];

	for (size_t i = 0; i < MANY; i++) {
		new_order(state);
		memcpy(items[i], lines, sizeof lines);
		all[i].order = order;
		all[i].order.items.at = items[i];
	}
	all_at_once(all, begin_one);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(all[i].job.fault, OK);
	assert_true(observe_number("SELECT count(DISTINCT xmin::text) FROM orders") < MANY / 2);

	all[STALE].claim.token++;
	all[TOO_LARGE].order.total = INT64_C(1000000000001);
	all_at_once(all, place_one);
	for (size_t i = 0; i < MANY; i++) {
		const enum fault wanted = i == STALE       ? FAULT_ORDER_BUSY
		                          : i == TOO_LARGE ? FAULT_INVALID
		                                           : OK;
		if (all[i].job.fault != wanted)
			fail_row(i, "got %s", fault_info(all[i].job.fault)->code);
	}
	assert_int_equal(
		observe_number("SELECT count(*) FROM orders WHERE status = 'pending'"), MANY - 2);
	assert_int_equal(observe_number("SELECT count(*) FROM orders JOIN order_items i"
					" ON i.order_id = orders.id AND status = 'pending'"),
		2 * (MANY - 2));
	assert_int_equal(observe_number("SELECT count(*) FROM order_items"), 2 * (MANY - 2));
	assert_int_equal(observe_number("SELECT count(*) FROM order_history"), MANY - 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_fit_the_schema),
		cmocka_unit_test_setup(code_and_database_have_the_same_transitions, placed_order),
		cmocka_unit_test_setup(the_database_guards_orders, placed_order),
		cmocka_unit_test_setup(the_database_guards_payments, placed_order),
		cmocka_unit_test_setup(an_intent_is_not_seen, new_order),
		cmocka_unit_test_setup(what_was_written_is_read, placed_order),
		cmocka_unit_test_setup(only_the_claim_places_and_only_once, new_order),
		cmocka_unit_test_setup(an_abandoned_intent_leaves_nothing, new_order),
		cmocka_unit_test_setup(a_change_is_of_the_version_that_was_read, placed_order),
		cmocka_unit_test_setup(one_step_at_a_time, placed_order),
		cmocka_unit_test_setup(a_payment_is_captured_or_fails, placed_order),
		cmocka_unit_test_setup(what_is_paid_and_not_delivered_is_open, placed_order),
		cmocka_unit_test_setup(
			what_has_not_been_shipped_is_cancelled_with_the_account, placed_order),
		cmocka_unit_test_setup(
			a_payment_under_way_is_asked_to_stop_with_the_account, placed_order),
		cmocka_unit_test_setup(an_intent_forgets_too, new_order),
		cmocka_unit_test_setup(a_person_is_forgotten_but_not_the_order, placed_order),
		cmocka_unit_test_setup(each_version_is_told_once, new_order),
		cmocka_unit_test_setup(an_event_has_ids_and_amounts, placed_order),
		cmocka_unit_test_setup(only_a_lease_that_ended_is_taken_over, placed_order),
		cmocka_unit_test_setup(a_row_in_other_hands_is_skipped, new_order),
		cmocka_unit_test_setup(what_fails_again_and_again_needs_attention, placed_order),
		cmocka_unit_test_setup(only_idle_and_unpaid_orders_expire, placed_order),
		cmocka_unit_test_setup(expiry_waits_for_the_step_under_way, placed_order),
		cmocka_unit_test_setup(lists_page_through_ties, new_order),
		cmocka_unit_test(many_go_together_and_each_by_its_own_claim),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
