/* SPDX-License-Identifier: Apache-2.0
 * What the provider tells by itself: that a payment has changed. Nothing of it is believed but
 * that; how the payment stands the saga asks, so it does not matter how late a webhook is, how
 * often it comes, or in which order. */
#include "webhook.h"

#include "auth/webhook.h"
#include "base/clock.h"
#include "handlers.h"
#include "metrics/metrics.h"

#include <stdatomic.h>

static _Atomic(const struct texts *) secrets;

struct told_payment {
	struct str key; /* "<order_id>-<attempt>" */
	int64_t sequence;
};

struct told {
	struct told_payment data;
};

static const struct field told_payment_fields[] = {
	FIELD(struct told_payment, key, TEXT, REQUIRED),
	FIELD(struct told_payment, sequence, INT64, REQUIRED),
};
static const struct field_table told_payment_table =
	FIELD_TABLE(struct told_payment, told_payment_fields);

static const struct field told_fields[] = {
	FIELD(struct told, data, OBJECT, REQUIRED, .of = &told_payment_table),
};
static const struct field_table told_table = FIELD_TABLE(struct told, told_fields);

static bool key_read(struct str key, struct uuid *order_id, int32_t *attempt);

enum fault webhook_set_secrets(struct scope *s, struct str text)
{
	struct texts *const next = scope_alloc(s, sizeof *next);

	TRY(webhook_secrets_read(s, text, next));
	atomic_store(&secrets, next);
	return OK;
}

/* POST /internal/webhooks/payments: 204, also for what is old or not ours; the work is the saga's.
 */
enum fault payment_webhook(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct told told = {0};
	struct uuid order_id;
	int32_t attempt;
	bool is_news = false;

	TRY(webhook_check(s, atomic_load(&secrets), request, clock_wall_us() / 1000000, NULL));
	TRY(json_read_lenient(s, request->body, &told_table, &told));
	const bool is_ours = key_read(told.data.key, &order_id, &attempt);
	if (is_ours)
		TRY(store_told(t, &order_id, attempt, told.data.sequence, &is_news));
	counter_inc(counter_get("orders_webhooks_total",
		"Webhooks of the payment provider that were taken, by what they were.",
		LABELS({"result", is_news   ? STR("news")
				  : is_ours ? STR("old")
					    : STR("unknown")})));
	return reply_empty(reply);
}

static bool key_read(struct str key, struct uuid *order_id, int32_t *attempt)
{
	int64_t number;

	if (key.len <= UUID_TEXT_LEN + 1 || key.at[UUID_TEXT_LEN] != '-' ||
		!uuid_parse(str_of(key.at, UUID_TEXT_LEN), order_id) ||
		!str_to_int64(str_skip(key, UUID_TEXT_LEN + 1), &number) || number < 1 ||
		number > INT32_MAX)
		return false;
	*attempt = (int32_t)number;
	return true;
}
