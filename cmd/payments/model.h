/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "json/field.h"

/* What payments are made of, and how they look in JSON. Members are called as in JSON; money is in
 * minor units. */

enum { KEY_MAX = 64, TOKEN_MAX = 64 };

struct refund {
	struct uuid id;
	int64_t amount;
	int64_t created_at;
};

struct payment {
	struct str key; /* the caller's name for it */
	struct uuid order_id; /* nil: voided before it was made */
	struct str status; /* processing, authorised, captured, declined, voided */
	int64_t sequence; /* counts its changes */
	int64_t amount;
	int64_t captured;
	int64_t refunded;
	struct str currency;
	struct str decline_code; /* only when declined */
	struct str decline_message;
	struct items refunds; /* struct refund, the oldest first */
	int64_t created_at;
	int64_t updated_at;
};

extern const struct field_table payment_table;

/* ---- what callers send ---- */

struct authorisation {
	struct uuid order_id;
	int64_t amount;
	struct str currency;
	struct str token;
};

struct new_refund {
	int64_t amount;
};

extern const struct field_table authorisation_table;
extern const struct field_table new_refund_table;

/* 1 to KEY_MAX of A-Z, a-z, 0-9, '.', '_', '-'. */
bool payment_key_valid(struct str key);
