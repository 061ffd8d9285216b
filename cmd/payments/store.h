/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "model.h"
#include "tokens.h"

#include "pg/pg.h"

/* Every SQL statement of the service, behind typed functions. Each is one statement that commits by
 * itself. All suspend. */

extern const struct pg_schema store_schema;

enum outcome {
	PAYMENT_MISSING,
	PAYMENT_FOUND, /* only looked at */
	PAYMENT_DONE, /* it took effect now */
	PAYMENT_OK, /* it was so already */
	PAYMENT_STUMBLED, /* nothing happened, but a repeat will work */
	PAYMENT_RELEASED, /* voided before it was made */
	PAYMENT_DIFFERS, /* the key was used for something else */
	PAYMENT_SETTLED, /* its state does not allow this */
	PAYMENT_EXCEEDS, /* more than is left to refund */
};

struct answer {
	enum outcome outcome;
	struct payment payment; /* nothing in it when missing; when it stumbled maybe */
	const struct token *token; /* NULL without one */
};

enum fault store_authorise(struct task *t, struct str key, const struct authorisation *wanted,
	const struct token *token, const struct settlement *settlement,
	struct answer *answer) MUST_CHECK;
enum fault store_capture(struct task *t, struct str key, struct answer *answer) MUST_CHECK;

/* Of a key that is not known it leaves a tombstone. */
enum fault store_void(struct task *t, struct str key, struct answer *answer) MUST_CHECK;
enum fault store_refund(struct task *t, struct str key, const struct uuid *id, int64_t amount,
	struct answer *answer) MUST_CHECK;
enum fault store_get(struct task *t, struct str key, struct answer *answer) MUST_CHECK;

/* ---- what happens later ---- */

/* Settles payments that are due, at most SETTLE_BATCH. */
enum { SETTLE_BATCH = 100 };
enum fault store_settle(struct task *t, size_t *count) MUST_CHECK;

/* Something to be told, put off by the lease while it is tried. */
struct webhook {
	struct uuid id;
	int32_t attempts; /* this one counted; a later one has taken over */
	struct str entry; /* what changed: authorised, …, refunded */
	struct payment payment; /* as it was after the change */
};

/* The next one that is due; FAULT_NOT_FOUND when none is. */
enum fault store_webhook_claim(
	struct task *t, int64_t lease_us, struct webhook *webhook) MUST_CHECK;

/* It was taken. Both change nothing when somebody has taken the webhook over. */
enum fault store_webhook_delivered(struct task *t, const struct webhook *webhook) MUST_CHECK;

/* It was not: to be tried again after a while. */
enum fault store_webhook_failed(
	struct task *t, const struct webhook *webhook, int64_t after_us) MUST_CHECK;

/* Forgets what was taken more than 24 hours ago, at most WEBHOOKS_SWEPT; *count says how many. */
enum { WEBHOOKS_SWEPT = 1000 };
enum fault store_webhooks_forget(struct task *t, size_t *count) MUST_CHECK;

/* How many are still to be told. */
enum fault store_webhooks_waiting(struct task *t, int64_t *count) MUST_CHECK;
