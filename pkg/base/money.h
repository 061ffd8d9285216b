/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* Money is an int64_t of minor units ("price_minor"), never a float; its currency is the shop's
 * one. */

#define MONEY_MINOR_MAX INT64_C(1000000000000)
enum { MONEY_TEXT_MAX = 24 };

struct currency {
	char code[4]; /* ISO 4217, "USD" */
	unsigned decimals; /* minor units are 10^-decimals */
};

/* By its code. False when ISO 4217 knows none (or one without a fixed number of decimals). */
bool currency_find(struct str code, struct currency *currency);

/* The shop's currency, set once before threads start; USD until then. */
const struct currency *currency_of_shop(void);
void currency_set_shop(struct currency currency);

enum money_parse { MONEY_OK, MONEY_NOT_A_NUMBER, MONEY_TOO_MANY_DECIMALS, MONEY_TOO_LARGE };

/* A JSON number in plain notation ("29.9", "-3", not "1e3") as exact minor units; trailing zeros
 * past the currency's decimals are no extra decimals. */
enum money_parse money_parse(struct str text, unsigned decimals, int64_t *minor);

/* "29.99", with all decimals of the currency, and a NUL. */
struct str money_format(int64_t minor, unsigned decimals, char out[MONEY_TEXT_MAX]);

/* *sum += a × count; false when it leaves ±MONEY_MINOR_MAX (then *sum is as before). */
bool money_add(int64_t *sum, int64_t a, int64_t count);
