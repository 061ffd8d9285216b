/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

/* What the works below go by and leave behind; texts of an ended task are not looked at. */
static const char key[] = "0190f0a2-0000-7000-8000-000000000000-1";
static struct authorisation wanted;
static struct settlement settlement;
static const struct token *token;
static struct uuid refund_id;
static struct answer answer;
static struct webhook webhook;
static char entry[32]; /* what changed, and to what status */

static enum fault authorise(struct task *t, struct job *job)
{
	enum fault fault = store_authorise(t, str_from(key), &wanted, token, &settlement, &answer);

	job->number = answer.outcome;
	return fault;
}

static enum fault capture(struct task *t, struct job *job)
{
	enum fault fault = store_capture(t, str_from(key), &answer);

	job->number = answer.outcome;
	return fault;
}

static enum fault let_go(struct task *t, struct job *job)
{
	enum fault fault = store_void(t, str_from(key), &answer);

	job->number = answer.outcome;
	return fault;
}

static int64_t refund_amount;

static enum fault refund(struct task *t, struct job *job)
{
	enum fault fault = store_refund(t, str_from(key), &refund_id, refund_amount, &answer);

	job->number = answer.outcome;
	return fault;
}

static enum fault get(struct task *t, struct job *job)
{
	enum fault fault = store_get(t, str_from(key), &answer);

	job->number = answer.outcome;
	return fault;
}

static size_t settled;

static enum fault settle(struct task *t, struct job *job)
{
	(void)job;
	return store_settle(t, &settled);
}

static int64_t lease_us = 60000000;

static enum fault claim(struct task *t, struct job *job)
{
	(void)job;
	TRY(store_webhook_claim(t, lease_us, &webhook));
	snprintf(entry, sizeof entry, "%.*s %.*s", STR_ARG(webhook.entry),
		STR_ARG(webhook.payment.status));
	return OK;
}

static enum fault delivered(struct task *t, struct job *job)
{
	(void)job;
	return store_webhook_delivered(t, &webhook);
}

static enum fault failed(struct task *t, struct job *job)
{
	(void)job;
	return store_webhook_failed(t, &webhook, 60000000);
}

/* The operation's outcome. */
static enum outcome of(enum fault (*work)(struct task *t, struct job *job))
{
	answer = (struct answer){0};
	assert_int_equal(run(work), OK);
	return answer.outcome;
}

static void use_token(const char *name)
{
	token = token_find(str_from(name));
	settlement = token_settlement(token, str_from(key), 1, 1000000);
}

static int nothing_yet(void **state)
{
	(void)state;
	forget_payments();
	wanted = (struct authorisation){.order_id = uuid_new(),
		.amount = 1999,
		.currency = STR("USD"),
		.token = STR("tok_ok")};
	refund_id = uuid_new();
	use_token("tok_ok");
	return 0;
}

static int borne_out(void **state)
{
	(void)state;
	assert_borne_out();
	return 0;
}

static bool refused(const char *sql)
{
	PGresult *result = PQexec(world.observer, sql);
	const bool is_refused = PQresultStatus(result) != PGRES_COMMAND_OK;

	PQclear(result);
	return is_refused;
}

/* ---- the schema ---- */

static void statements_fit_the_schema(void **state)
{
	(void)state;
	assert_statements_fit(&store_schema, NULL);
}

/* Puts the one payment into a state past all guards. */
static void force_status(const char *status)
{
	char sql[512];

	observe("SET session_replication_role = replica");
	snprintf(sql, sizeof sql,
		"UPDATE payments SET status = '%s', decline_code = 'x', settle_as = 'authorised',"
		" settle_at = CASE '%s' WHEN 'processing' THEN now() END,"
		" captured_minor = CASE '%s' WHEN 'captured' THEN amount_minor ELSE 0 END",
		status, status, status);
	observe(sql);
	observe("RESET session_replication_role");
}

static void only_these_transitions_exist(void **state)
{
	static const char *const statuses[] = {
		"processing", "authorised", "captured", "declined", "voided"};
	static const char *const allowed[] = {"processing authorised", "processing declined",
		"processing voided", "authorised captured", "authorised voided"};
	char sql[512];

	(void)state;
	assert_int_equal(of(authorise), PAYMENT_DONE);
	for (size_t from = 0; from < 5; from++) {
		for (size_t to = 0; to < 5; to++) {
			bool wished = from == to;

			snprintf(sql, sizeof sql, "%s %s", statuses[from], statuses[to]);
			for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
				wished = wished || strcmp(sql, allowed[i]) == 0;
			force_status(statuses[from]);
			snprintf(sql, sizeof sql,
				"UPDATE payments SET status = '%s', settle_at = CASE '%s' WHEN "
				"'processing' THEN now() END, captured_minor = CASE '%s' WHEN "
				"'captured' THEN amount_minor ELSE 0 END",
				statuses[to], statuses[to], statuses[to]);
			if (refused(sql) == wished)
				fail_msg("%s to %s: %s", statuses[from], statuses[to],
					wished ? "refused" : "allowed");
		}
	}
	forget_payments();
}

static void the_database_guards_payments(void **state)
{
	static const char *const statements[] = {
		"DELETE FROM payments",
		"UPDATE payments SET amount_minor = 1",
		"UPDATE payments SET order_id = NULL",
		"UPDATE payments SET key = 'other'",
		"UPDATE payments SET token = 'tok_slow'",
		"UPDATE payments SET refunded_minor = captured_minor + 1",
		"UPDATE payments SET refunded_minor = 499",
		"UPDATE payments SET captured_minor = amount_minor + 1",
		"UPDATE payments SET captured_minor = amount_minor - 1",
		"UPDATE payments SET captured_minor = 0",
		"UPDATE payments SET settle_at = now()",
		"INSERT INTO payments (key, order_id, token, status, amount_minor, captured_minor, "
		"currency) VALUES ('x', gen_random_uuid(), 'tok_ok', 'captured', 5, 5, 'USD')",
		"INSERT INTO payments (key, status, amount_minor, currency)"
		" VALUES ('x', 'voided', 5, 'USD')",
		"INSERT INTO payments (key, status, amount_minor, currency)"
		" VALUES ('x', 'authorised', 0, 'USD')",
		"INSERT INTO payments (key, order_id, token, status, amount_minor, currency)"
		" VALUES ('x y', gen_random_uuid(), 'tok_ok', 'authorised', 5, 'USD')",
		"INSERT INTO payments (key, order_id, token, status, amount_minor, currency)"
		" VALUES ('x', gen_random_uuid(), 'tok_ok', 'authorised', -1, 'USD')",
		"INSERT INTO payments (key, order_id, token, status, amount_minor, currency)"
		" VALUES ('x', gen_random_uuid(), 'tok_ok', 'processing', 5, 'USD')",
		"INSERT INTO payments (key, order_id, token, status, amount_minor, currency)"
		" VALUES ('x', gen_random_uuid(), 'tok_ok', 'declined', 5, 'USD')",
		"UPDATE ledger SET amount_minor = 0",
		"DELETE FROM ledger",
		"TRUNCATE ledger CASCADE",
		"UPDATE refunds SET amount_minor = 1",
		"DELETE FROM refunds",
		"UPDATE webhooks SET due_at = NULL",
		"INSERT INTO refunds (payment_key, id, amount_minor, sequence)"
		" SELECT key, gen_random_uuid(), 0, 9 FROM payments",
	};

	(void)state;
	use_token("tok_async_twice");
	assert_int_equal(of(authorise), PAYMENT_DONE);
	observe("UPDATE payments SET status = settle_as, settle_at = NULL");
	assert_int_equal(of(capture), PAYMENT_DONE);
	refund_amount = 500;
	assert_int_equal(of(refund), PAYMENT_DONE);
	for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
		if (!refused(statements[i]))
			fail_row(i, "%s", statements[i]);
}

static void whoever_changes_a_payment_it_is_booked(void **state)
{
	(void)state;
	use_token("tok_async_twice");
	assert_int_equal(of(authorise), PAYMENT_DONE);
	observe("UPDATE payments SET status = 'authorised', settle_at = NULL");
	observe("UPDATE payments SET status = 'voided'");
	assert_string_equal(observe("SELECT string_agg(entry || ' ' || amount_minor, ', '"
				    " ORDER BY sequence) FROM ledger"),
		"processing 0, authorised 1999, voided 1999");
	assert_int_equal(observe_number("SELECT sequence FROM payments"), 3);
	assert_int_equal(observe_number("SELECT count(*) FROM webhooks"), 3);
}

/* ---- operations ---- */

static void what_was_asked_for_is_answered(void **state)
{
	(void)state;
	assert_int_equal(of(get), PAYMENT_MISSING);
	assert_int_equal(of(authorise), PAYMENT_DONE);
	assert_ptr_equal(answer.token, token);
	assert_true(uuid_eq(&answer.payment.order_id, &wanted.order_id));
	assert_int_equal(answer.payment.amount, 1999);
	assert_int_equal(answer.payment.sequence, 1);
	assert_true(answer.payment.created_at > 0);
	assert_int_equal(answer.payment.refunds.count, 0);
	assert_int_equal(of(authorise), PAYMENT_OK);
	assert_int_equal(of(capture), PAYMENT_DONE);
	assert_int_equal(of(capture), PAYMENT_OK);
	assert_int_equal(answer.payment.captured, 1999);
	refund_amount = 1000;
	assert_int_equal(of(refund), PAYMENT_DONE);
	assert_int_equal(of(refund), PAYMENT_OK);
	refund_amount = 999;
	assert_int_equal(of(refund), PAYMENT_DIFFERS);
	refund_id = uuid_new();
	refund_amount = 1000;
	assert_int_equal(of(refund), PAYMENT_EXCEEDS);
	refund_amount = 999;
	assert_int_equal(of(refund), PAYMENT_DONE);
	assert_int_equal(of(get), PAYMENT_FOUND);
	assert_int_equal(answer.payment.refunded, 1999);
	assert_int_equal(answer.payment.refunds.count, 2);
	assert_int_equal(of(let_go), PAYMENT_SETTLED);
	assert_int_equal(observe_number("SELECT count(*) FROM webhooks"), 0);
}

static void another_body_is_another_payment(void **state)
{
	const struct authorisation first = wanted;

	(void)state;
	assert_int_equal(of(authorise), PAYMENT_DONE);
	wanted.amount++;
	assert_int_equal(of(authorise), PAYMENT_DIFFERS);
	wanted = first;
	wanted.order_id = uuid_new();
	assert_int_equal(of(authorise), PAYMENT_DIFFERS);
	wanted = first;
	wanted.token = STR("tok_slow");
	assert_int_equal(of(authorise), PAYMENT_DIFFERS);
	wanted = first;
	wanted.currency = STR("EUR");
	assert_int_equal(of(authorise), PAYMENT_DIFFERS);
	wanted = first;
	assert_int_equal(of(authorise), PAYMENT_OK);
}

static void a_tombstone_stays(void **state)
{
	(void)state;
	assert_int_equal(of(let_go), PAYMENT_OK);
	assert_true(uuid_is_nil(&answer.payment.order_id));
	assert_null(answer.token);
	assert_int_equal(of(authorise), PAYMENT_RELEASED);
	assert_int_equal(of(capture), PAYMENT_SETTLED);
	assert_int_equal(of(let_go), PAYMENT_OK);
}

static void the_first_time_may_fail_without_effect(void **state)
{
	(void)state;
	use_token("tok_error");
	assert_int_equal(of(authorise), PAYMENT_STUMBLED);
	assert_int_equal(of(get), PAYMENT_MISSING);
	assert_int_equal(of(authorise), PAYMENT_DONE);
	assert_int_equal(of(authorise), PAYMENT_OK);
	assert_int_equal(of(capture), PAYMENT_STUMBLED);
	assert_int_equal(of(capture), PAYMENT_DONE);
	refund_amount = 1;
	assert_int_equal(of(refund), PAYMENT_STUMBLED);
	assert_int_equal(of(refund), PAYMENT_DONE);
	refund_id = uuid_new();
	assert_int_equal(of(refund), PAYMENT_STUMBLED);
	assert_int_equal(of(refund), PAYMENT_DONE);
}

/* Starts them all before any of them has run; how many had that outcome. */
static size_t at_once(const struct job *works, size_t kinds, int64_t outcome)
{
	static struct job jobs[CALLERS];
	size_t count = 0;

	for (size_t i = 0; i < CALLERS; i++) {
		jobs[i] = works[i % kinds];
		job_start(&jobs[i]);
	}
	jobs_finish(jobs, CALLERS);
	for (size_t i = 0; i < CALLERS; i++) {
		assert_int_equal(jobs[i].fault, OK);
		count += jobs[i].number == outcome;
	}
	return count;
}

static void one_of_many_takes_effect(void **state)
{
	(void)state;
	assert_int_equal(at_once(&(struct job){.work = authorise}, 1, PAYMENT_DONE), 1);
	assert_int_equal(at_once(&(struct job){.work = capture}, 1, PAYMENT_DONE), 1);
	refund_amount = 1;
	assert_int_equal(at_once(&(struct job){.work = refund}, 1, PAYMENT_DONE), 1);
	assert_int_equal(observe_number("SELECT count(*) FROM ledger"), 3);
}

static void authorising_and_voiding_have_one_outcome(void **state)
{
	static const struct job works[] = {{.work = authorise}, {.work = let_go}};

	(void)state;
	for (int i = 0; i < 20; i++) {
		forget_payments();
		const size_t made = at_once(works, 2, PAYMENT_DONE);
		const bool is_tomb = observe_number("SELECT count(*) FROM payments "
						    "WHERE order_id IS NULL") == 1;

		assert_string_equal(observe("SELECT status FROM payments"), "voided");
		assert_int_equal(made, is_tomb ? 0 : 2); /* authorised and voided, once each */
		assert_borne_out();
	}
}

static void capturing_and_voiding_have_one_outcome(void **state)
{
	static const struct job works[] = {{.work = capture}, {.work = let_go}};

	(void)state;
	for (int i = 0; i < 20; i++) {
		forget_payments();
		assert_int_equal(of(authorise), PAYMENT_DONE);
		assert_int_equal(at_once(works, 2, PAYMENT_DONE), 1);
		assert_int_equal(observe_number("SELECT count(*) FROM ledger"), 2);
		assert_borne_out();
	}
}

/* ---- what happens later ---- */

static void only_what_is_due_is_settled(void **state)
{
	(void)state;
	use_token("tok_async_declined");
	assert_int_equal(of(authorise), PAYMENT_DONE);
	assert_int_equal(run(settle), OK);
	assert_int_equal(settled, 0);
	observe("UPDATE payments SET settle_at = now()");
	assert_int_equal(run(settle), OK);
	assert_int_equal(settled, 1);
	assert_int_equal(of(get), PAYMENT_FOUND);
	assert_string_equal(observe("SELECT status || ' ' || decline_code FROM payments"),
		"declined card_declined");
	assert_int_equal(run(settle), OK);
	assert_int_equal(settled, 0);
}

static void what_somebody_is_busy_with_is_not_settled(void **state)
{
	(void)state;
	use_token("tok_async");
	assert_int_equal(of(authorise), PAYMENT_DONE);
	observe("UPDATE payments SET settle_at = now()");
	observe("BEGIN");
	observe("SELECT 1 FROM payments FOR NO KEY UPDATE");
	assert_int_equal(run(settle), OK);
	assert_int_equal(settled, 0);
	observe("ROLLBACK");
	assert_int_equal(of(let_go), PAYMENT_DONE);
	assert_int_equal(run(settle), OK);
	assert_int_equal(settled, 0);
	assert_int_equal(observe_number("SELECT sum(amount_minor) FROM ledger"), 0);
}

static void each_change_is_told_as_it_was(void **state)
{
	static const char *const entries[] = {"processing processing", "authorised authorised",
		"captured captured", "refunded captured"};
	static const int64_t refunds[] = {0, 0, 0, 1};

	(void)state;
	use_token("tok_async_twice");
	settlement = (struct settlement){.webhooks = "once"};
	assert_int_equal(of(authorise), PAYMENT_DONE);
	assert_int_equal(run(settle), OK);
	assert_int_equal(of(capture), PAYMENT_DONE);
	refund_amount = 7;
	assert_int_equal(of(refund), PAYMENT_DONE);
	observe("UPDATE webhooks SET due_at = now() - (10 - sequence) * interval '1 s'");
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(run(claim), OK);
		assert_string_equal(entry, entries[i]);
		assert_int_equal(webhook.payment.sequence, i + 1);
		assert_int_equal(webhook.payment.captured, i >= 2 ? 1999 : 0);
		assert_int_equal(webhook.payment.refunded, i >= 3 ? 7 : 0);
		assert_int_equal(webhook.payment.refunds.count, refunds[i]);
		assert_int_equal(run(delivered), OK);
	}
	assert_int_equal(run(claim), FAULT_NOT_FOUND);
}

static int one_webhook(void **state)
{
	nothing_yet(state);
	use_token("tok_async");
	settlement = (struct settlement){.after_us = 60000000, .webhooks = "once"};
	assert_int_equal(of(authorise), PAYMENT_DONE);
	return 0;
}

static void who_tries_it_has_it_alone_until_the_lease_ends(void **state)
{
	struct webhook first;

	(void)state;
	assert_int_equal(run(claim), OK);
	assert_int_equal(webhook.attempts, 1);
	first = webhook;
	assert_int_equal(run(claim), FAULT_NOT_FOUND);

	observe("UPDATE webhooks SET due_at = now()"); /* the lease ends */
	assert_int_equal(run(claim), OK);
	assert_int_equal(webhook.attempts, 2);
	const struct webhook second = webhook;
	webhook = first;
	assert_int_equal(run(delivered), OK);
	assert_int_equal(run(failed), OK);
	assert_int_equal(observe_number("SELECT deliveries FROM webhooks"), 0);
	webhook = second;
	assert_int_equal(run(delivered), OK);
	assert_int_equal(run(delivered), OK);
	assert_int_equal(observe_number("SELECT deliveries FROM webhooks"), 1);
	assert_int_equal(run(claim), FAULT_NOT_FOUND);
}

static void one_that_is_locked_is_left_alone(void **state)
{
	(void)state;
	observe("BEGIN");
	observe("SELECT 1 FROM webhooks FOR UPDATE");
	assert_int_equal(run(claim), FAULT_NOT_FOUND);
	observe("ROLLBACK");
	assert_int_equal(run(claim), OK);
}

static void what_failed_comes_later(void **state)
{
	(void)state;
	assert_int_equal(run(claim), OK);
	assert_int_equal(run(failed), OK);
	assert_int_equal(run(claim), FAULT_NOT_FOUND);
	assert_in_range(
		observe_number("SELECT extract(epoch FROM due_at - now()) FROM webhooks"), 50, 60);
}

static void twice_is_twice(void **state)
{
	(void)state;
	observe("UPDATE webhooks SET deliveries_wanted = 2");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(run(claim), OK);
		assert_int_equal(run(delivered), OK);
	}
	assert_int_equal(run(claim), FAULT_NOT_FOUND);
}

static enum fault forget(struct task *t, struct job *job)
{
	size_t count;

	TRY(store_webhooks_forget(t, &count));
	job->number = (int64_t)count;
	return OK;
}

static void what_was_taken_goes_a_day_later(void **state)
{
	static const char ages[] = "UPDATE webhooks SET delivered_at = delivered_at"
				   " - interval '25 hours', due_at = due_at - interval '25 hours'";
	struct job job = {.work = forget};

	(void)state;
	observe(ages);
	job_finish(&job);
	assert_int_equal(job.number, 0); /* it was not taken */
	assert_int_equal(run(claim), OK);
	assert_int_equal(run(delivered), OK);
	job_finish(&job);
	assert_int_equal(job.number, 0);
	observe(ages);
	job_finish(&job);
	assert_int_equal(job.number, 1);
	assert_int_equal(observe_number("SELECT count(*) FROM ledger"), 1);
}

static void reordered_the_first_comes_last(void **state)
{
	(void)state;
	use_token("tok_async_reordered");
	settlement = (struct settlement){.webhooks = "reordered", .webhook_delay_us = 1000};
	assert_int_equal(of(authorise), PAYMENT_DONE);
	assert_string_equal(observe("SELECT due_at FROM webhooks"), "infinity");
	assert_int_equal(run(claim), FAULT_NOT_FOUND);
	assert_int_equal(run(settle), OK);
	assert_string_equal(
		observe("SELECT string_agg(sequence::text, ' ' ORDER BY due_at) FROM webhooks"),
		"2 1");
	assert_string_equal(
		observe("SELECT max(due_at) < now() + interval '1 s' FROM webhooks"), "t");
}

static int setup(void **state)
{
	(void)state;
	return payments_world_begin("payments_store_test");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, nothing_yet, borne_out)
#define TEST_WEBHOOK(name) cmocka_unit_test_setup_teardown(name, one_webhook, borne_out)
	const struct CMUnitTest tests[] = {
		TEST(statements_fit_the_schema),
		TEST(only_these_transitions_exist),
		TEST(the_database_guards_payments),
		TEST(whoever_changes_a_payment_it_is_booked),
		TEST(what_was_asked_for_is_answered),
		TEST(another_body_is_another_payment),
		TEST(a_tombstone_stays),
		TEST(the_first_time_may_fail_without_effect),
		TEST(one_of_many_takes_effect),
		TEST(authorising_and_voiding_have_one_outcome),
		TEST(capturing_and_voiding_have_one_outcome),
		TEST(only_what_is_due_is_settled),
		TEST(what_somebody_is_busy_with_is_not_settled),
		TEST(each_change_is_told_as_it_was),
		TEST_WEBHOOK(who_tries_it_has_it_alone_until_the_lease_ends),
		TEST_WEBHOOK(one_that_is_locked_is_left_alone),
		TEST_WEBHOOK(what_failed_comes_later),
		TEST_WEBHOOK(twice_is_twice),
		TEST_WEBHOOK(what_was_taken_goes_a_day_later),
		TEST(reordered_the_first_comes_last),
	};

	return cmocka_run_group_tests(tests, setup, payments_world_end);
}
