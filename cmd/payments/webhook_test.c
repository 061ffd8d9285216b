/* SPDX-License-Identifier: Apache-2.0
 * The job against a receiver of the test's own. What is told, and that it is signed, is looked at
 * from outside as well (tests/system/test_payments.py). */
#include "testing.h"

#include "webhook.h"

#include "upstream/testing.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static const char taken[] = "HTTP/1.1 204 No Content\r\n\r\n";
static const char refused[] = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
static const char silence[] = "";

static struct raw_server receiver;
static struct upstream *upstream;

static void serve(struct raw_connection *c)
{
	while (raw_read(c))
		raw_write(c, str_from(c->server->arg));
}

static struct upstream *upstream_to(struct str address)
{
	const struct upstream_config config = {.name = "webhook",
		.addresses = &address,
		.address_count = 1,
		.connections_max = 2,
		.queue_max = 2,
		.body_bytes_max = 1024};

	return upstream_new(world.loop, &config);
}

static void listen_and_say(const char *what)
{
	raw_server_start(&receiver, serve, what);
	upstream = upstream_to(str_from(receiver.address));
	webhook_use(upstream);
}

static void hang_up(void)
{
	upstream_free(upstream);
	raw_server_stop(&receiver);
}

static enum fault make(struct task *t, struct job *job)
{
	const struct authorisation wanted = {.order_id = uuid_new(),
		.amount = 1999,
		.currency = STR("USD"),
		.token = STR("tok_async")};
	const struct settlement settlement = {.after_us = 60000000, .webhooks = "once"};
	struct answer answer;

	(void)job;
	return store_authorise(
		t, STR("k-1"), &wanted, token_find(wanted.token), &settlement, &answer);
}

static enum fault deliver(struct task *t, struct job *job)
{
	(void)job;
	return webhooks_deliver(t);
}

/* Seconds until it is tried again. */
static double due_in(void)
{
	return strtod(observe("SELECT extract(epoch FROM due_at - now()) FROM webhooks"), NULL);
}

static int one_is_due(void **state)
{
	(void)state;
	forget_payments();
	assert_int_equal(run(make), OK);
	return 0;
}

static void what_is_sent(void **state)
{
	char request[RAW_REQUEST_MAX];
	char line[128];

	(void)state;
	listen_and_say(taken);
	assert_int_equal(run(deliver), OK);
	raw_last(&receiver, request);
	assert_true(str_starts(
		str_from(request), STR("POST /internal/webhooks/payments HTTP/1.1\r\n")));
	snprintf(line, sizeof line, "\r\nwebhook-id: msg_%s\r\n",
		observe("SELECT id FROM webhooks"));
	assert_non_null(strstr(request, line));
	assert_non_null(strstr(request, "\r\nwebhook-signature: v1,"));
	assert_non_null(
		strstr(request, "\r\n\r\n{\"type\":\"payment.processing\",\"timestamp\":\""));
	assert_non_null(strstr(request, ",\"data\":{\"key\":\"k-1\","));
	assert_int_equal(observe_number("SELECT deliveries FROM webhooks"), 1);
	assert_int_equal(run(deliver), OK);
	assert_int_equal(atomic_load(&receiver.requests), 1);
	hang_up();
}

static void refused_it_comes_again_later_and_later(void **state)
{
	static const double pauses_s[] = {0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30};

	(void)state;
	listen_and_say(refused);
	for (size_t i = 0; i < sizeof pauses_s / sizeof *pauses_s; i++) {
		observe("UPDATE webhooks SET due_at = now()");
		assert_int_equal(run(deliver), OK);
		const double pause_s = due_in();
		if (pause_s > pauses_s[i] || pause_s < pauses_s[i] * 0.8 - 2)
			fail_row(i, "%f", pause_s);
	}
	assert_int_equal(observe_number("SELECT deliveries FROM webhooks"), 0);
	hang_up();
}

static void nobody_listens(void **state)
{
	char address[64];

	(void)state;
	close(raw_listen(address));
	upstream = upstream_to(str_from(address));
	webhook_use(upstream);
	assert_int_equal(run(deliver), OK);
	assert_true(due_in() > 0);
	upstream_free(upstream);
}

/* As after a crash in the middle: the lease brings it back. */
static void silence_is_no_answer(void **state)
{
	struct job job = {.work = deliver, .deadline_us = 2000000};

	(void)state;
	listen_and_say(silence);
	job_finish(&job);
	assert_int_equal(job.fault, FAULT_DEADLINE);
	assert_int_equal(atomic_load(&receiver.requests), 1);
	assert_true(due_in() > 10);
	assert_int_equal(observe_number("SELECT deliveries FROM webhooks"), 0);
	hang_up();
}

static int setup(void **state)
{
	static struct scope s;

	scope_begin(&s);
	assert_int_equal(webhook_set_secrets(&s, STR(SECRET)), OK);
	*state = &s;
	return payments_world_begin("payments_webhook_test");
}

static int teardown(void **state)
{
	scope_end(*state);
	return payments_world_end(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_sent, one_is_due),
		cmocka_unit_test_setup(refused_it_comes_again_later_and_later, one_is_due),
		cmocka_unit_test_setup(nobody_listens, one_is_due),
		cmocka_unit_test_setup(silence_is_no_answer, one_is_due),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
