/* SPDX-License-Identifier: Apache-2.0
 * Delivers what the database has stored with each change (migrations/payments). Whoever tries a
 * webhook has put it off first, by longer than a run takes: so no two try the same at a time, and
 * what a crash or a silent receiver leaves is tried again when that time has passed. */
#include "webhook.h"

#include "store.h"

#include "auth/webhook.h"
#include "base/clock.h"
#include "base/random.h"
#include "metrics/metrics.h"
#include "json/write.h"

#include <stdatomic.h>

enum {
	BATCH = 100, /* a run */
	RUN_US = 10000000,
	LEASE_US = 15000000,
	RETRY_MIN_US = 500000, /* after the first refusal; doubled from then on */
	RETRY_MAX_US = 30000000,
	RETRY_DOUBLINGS_MAX = 8,
};

static _Atomic(const struct texts *) secrets;
static _Thread_local struct upstream *receiver;

/* What is sent. */
struct event {
	struct str type; /* "payment.authorised" */
	int64_t timestamp;
	struct payment data;
};

static const struct field event_fields[] = {
	FIELD(struct event, type, TEXT, OUTPUT),
	FIELD(struct event, timestamp, TIME, OUTPUT),
	FIELD(struct event, data, OBJECT, OUTPUT, .of = &payment_table),
};
static const struct field_table event_table = FIELD_TABLE(struct event, event_fields);

static enum fault try(struct task *t, const struct webhook *webhook);
static enum fault post(struct task *t, const struct webhook *webhook, int *status);
static struct str body_of(struct scope *s, const struct webhook *webhook);
static int64_t retry_us(int32_t attempts);
static void count(const char *outcome);

enum fault webhook_set_secrets(struct scope *s, struct str text)
{
	struct texts *const next = scope_alloc(s, sizeof *next);

	TRY(webhook_secrets_read(s, text, next));
	atomic_store(&secrets, next);
	return OK;
}

void webhook_use(struct upstream *upstream)
{
	receiver = upstream;
}

enum fault webhooks_deliver(struct task *t)
{
	struct webhook webhook;
	int64_t waiting;

	task_deadline_within(t, RUN_US);
	for (size_t i = 0; i < BATCH; i++) {
		const enum fault fault = store_webhook_claim(t, LEASE_US, &webhook);
		if (fault == FAULT_NOT_FOUND)
			break;
		TRY(fault);
		TRY(try(t, &webhook));
	}
	TRY(store_webhooks_waiting(t, &waiting));
	gauge_set(gauge_get("payments_webhooks_waiting", "Webhooks still to be delivered.", NULL),
		waiting);
	return OK;
}

enum fault webhooks_sweep(struct task *t)
{
	size_t count;

	do
		TRY(store_webhooks_forget(t, &count));
	while (count == WEBHOOKS_SWEPT);
	return OK;
}

static enum fault try(struct task *t, const struct webhook *webhook)
{
	int status = 0;
	const enum fault fault = post(t, webhook, &status);

	if (status >= 200 && status < 300) {
		count("delivered");
		return store_webhook_delivered(t, webhook);
	}
	count("failed");
	if (fault == FAULT_DEADLINE || fault == FAULT_CANCELED)
		return fault; /* no time is left to say so: it is put off already */
	scope_forgive(&t->scope);
	return store_webhook_failed(t, webhook, retry_us(webhook->attempts));
}

static enum fault post(struct task *t, const struct webhook *webhook, int *status)
{
	struct scope *s = &t->scope;
	const int64_t now_s = clock_wall_us() / 1000000;
	char uuid[UUID_TEXT_LEN + 1];
	const struct str id = scope_format(s, "msg_%s", uuid_format(&webhook->id, uuid).at);
	const struct str body = body_of(s, webhook);
	struct upstream_request request = {
		.method = STR("POST"),
		.target = STR("/internal/webhooks/payments"),
		.body = body,
		.idempotent = true,
	};
	struct upstream_reply reply;

	upstream_header(&request, STR("content-type"), STR("application/json"));
	upstream_header(&request, STR("webhook-id"), id);
	upstream_header(
		&request, STR("webhook-timestamp"), scope_format(s, "%lld", (long long)now_s));
	upstream_header(&request, STR("webhook-signature"),
		webhook_sign(s, atomic_load(&secrets), id, now_s, body));
	TRY(upstream_call(t, receiver, &request, &reply));
	*status = reply.status;
	return OK;
}

static struct str body_of(struct scope *s, const struct webhook *webhook)
{
	const struct event event = {
		.type = scope_format(s, "payment.%.*s", STR_ARG(webhook->entry)),
		.timestamp = webhook->payment.updated_at,
		.data = webhook->payment,
	};
	struct buf body = buf_new(s->arena);

	json_write(&body, &event_table, &event);
	return buf_str(&body);
}

/* Twice as long after each attempt, less up to a fifth, so that many do not come back at once. */
static int64_t retry_us(int32_t attempts)
{
	const int doublings = attempts < RETRY_DOUBLINGS_MAX ? attempts - 1 : RETRY_DOUBLINGS_MAX;
	const int64_t us = (int64_t)RETRY_MIN_US << doublings;
	const int64_t bounded_us = us < RETRY_MAX_US ? us : RETRY_MAX_US;

	return bounded_us - (int64_t)random_below((uint64_t)bounded_us / 5);
}

static void count(const char *outcome)
{
	counter_inc(counter_get("payments_webhook_attempts_total",
		"Webhooks sent, by whether the receiver took them.",
		LABELS({"outcome", str_from(outcome)})));
}
