/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* The tokens of test cards: what becomes of a payment, and how the provider behaves meanwhile. */

enum manner {
	ANSWERS,
	ANSWERS_LATE, /* after SLOW_DELAY */
	ANSWERS_NEVER, /* what takes effect is not answered; a repeat is */
	STUMBLES, /* each operation fails the first time, without effect */
};

struct token {
	const char *name; /* "tok_ok" */
	const char *status; /* of the payment, at first */
	const char *decline_code; /* NULL unless it is or will be declined */
	const char *decline_message;
	const char *settles_as; /* NULL unless `status` is processing */
	const char *webhooks; /* how its changes are told; NULL: by the seed, or not at all */
	enum manner manner;
};

/* NULL when there is none of that name. */
const struct token *token_find(struct str name);

/* FAULT_INVALID of the field `token`, with the names of those that there are. */
enum fault token_unknown(struct scope *s);

/* When a payment is settled and how that is told. */
struct settlement {
	int64_t after_us;
	const char *webhooks; /* once, twice, reordered; NULL: not at all */
	int64_t webhook_delay_us; /* from each change to its webhook */
};

/* Follows from seed, key and token alone, so that a run can be repeated. Times lie around
 * delay_us. */
struct settlement token_settlement(
	const struct token *token, struct str key, int64_t seed, int64_t delay_us);
