/* SPDX-License-Identifier: Apache-2.0
 * Payments in JSON, one line a field. */
#include "model.h"

static const struct field refund_fields[] = {
	FIELD(struct refund, id, UUID, OUTPUT),
	FIELD(struct refund, amount, MONEY, OUTPUT),
	FIELD(struct refund, created_at, TIME, OUTPUT),
};
static const struct field_table refund_table = FIELD_TABLE(struct refund, refund_fields);

static const struct field payment_fields[] = {
	FIELD(struct payment, key, TEXT, OUTPUT),
	FIELD(struct payment, order_id, UUID, OUTPUT),
	FIELD(struct payment, status, TEXT, OUTPUT),
	FIELD(struct payment, sequence, INT64, OUTPUT),
	FIELD(struct payment, amount, MONEY, OUTPUT),
	FIELD(struct payment, captured, MONEY, OUTPUT),
	FIELD(struct payment, refunded, MONEY, OUTPUT),
	FIELD(struct payment, currency, TEXT, OUTPUT),
	FIELD(struct payment, decline_code, TEXT, OUTPUT, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct payment, decline_message, TEXT, OUTPUT, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct payment, refunds, ARRAY, OUTPUT, .of = &refund_table),
	FIELD(struct payment, created_at, TIME, OUTPUT),
	FIELD(struct payment, updated_at, TIME, OUTPUT),
};
const struct field_table payment_table = FIELD_TABLE(struct payment, payment_fields);

static const struct field authorisation_fields[] = {
	FIELD(struct authorisation, order_id, UUID, REQUIRED),
	FIELD(struct authorisation, amount, MONEY, REQUIRED, .min = 0, .max = MONEY_MINOR_MAX),
	FIELD(struct authorisation, currency, TEXT, REQUIRED, .min = 3, .max = 3),
	FIELD(struct authorisation, token, TEXT, REQUIRED, .min = 1, .max = TOKEN_MAX),
};
const struct field_table authorisation_table =
	FIELD_TABLE(struct authorisation, authorisation_fields);

static const struct field new_refund_fields[] = {
	FIELD(struct new_refund, amount, MONEY, REQUIRED, .min = 1, .max = MONEY_MINOR_MAX),
};
const struct field_table new_refund_table = FIELD_TABLE(struct new_refund, new_refund_fields);

static bool is_key_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

bool payment_key_valid(struct str key)
{
	for (size_t i = 0; i < key.len; i++)
		if (!is_key_char(key.at[i]))
			return false;
	return key.len > 0 && key.len <= KEY_MAX;
}
