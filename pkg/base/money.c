/* SPDX-License-Identifier: Apache-2.0
 * Exact amounts: integers of minor units, parsed and printed digit by digit, never through a
 * float. */
#include "base/money.h"

#include "base/check.h"

/* ISO 4217's currencies, by how many decimals their minor unit has. */
static const char *const codes_by_decimals[] = {
	[0] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
	[2] = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP "
	      "BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB "
	      "EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES "
	      "KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR "
	      "MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD "
	      "RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP "
	      "TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
	[3] = "BHD IQD JOD KWD LYD OMR TND",
	[4] = "CLF UYW",
};

enum { DECIMALS_MAX = 4 };

static struct currency shop = {.code = "USD", .decimals = 2};

static bool is_plain_number(struct str text);
static bool add_digit(int64_t *minor, char digit);

bool currency_find(struct str code, struct currency *currency)
{
	for (unsigned decimals = 0; decimals <= DECIMALS_MAX; decimals++) {
		struct str codes = str_from(codes_by_decimals[decimals]);
		struct str known;

		while (str_cut(&codes, ' ', &known)) {
			if (!str_eq(known, code))
				continue;
			*currency = (struct currency){.decimals = decimals};
			memcpy(currency->code, code.at, sizeof currency->code - 1);
			return true;
		}
	}
	return false;
}

const struct currency *currency_of_shop(void)
{
	return &shop;
}

void currency_set_shop(struct currency currency)
{
	shop = currency;
}

enum money_parse money_parse(struct str text, unsigned decimals, int64_t *minor)
{
	struct str fraction = text;
	struct str whole;
	int64_t amount = 0;
	bool negative;

	if (!is_plain_number(text))
		return MONEY_NOT_A_NUMBER;
	str_cut(&fraction, '.', &whole);
	while (fraction.len > 0 && fraction.at[fraction.len - 1] == '0')
		fraction.len--;
	if (fraction.len > decimals)
		return MONEY_TOO_MANY_DECIMALS;
	negative = *whole.at == '-';
	for (size_t i = negative; i < whole.len; i++)
		if (!add_digit(&amount, whole.at[i]))
			return MONEY_TOO_LARGE;
	for (size_t i = 0; i < decimals; i++)
		if (!add_digit(&amount, i < fraction.len ? fraction.at[i] : '0'))
			return MONEY_TOO_LARGE;
	*minor = negative ? -amount : amount;
	return MONEY_OK;
}

struct str money_format(int64_t minor, unsigned decimals, char out[MONEY_TEXT_MAX])
{
	char reversed[MONEY_TEXT_MAX];
	uint64_t rest = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;
	size_t len = 0, at = 0;

	CHECK(decimals <= DECIMALS_MAX);
	do {
		if (len == decimals && decimals > 0)
			reversed[len++] = '.';
		reversed[len++] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0 || len <= decimals + (decimals > 0));
	if (minor < 0)
		out[at++] = '-';
	while (len > 0)
		out[at++] = reversed[--len];
	out[at] = '\0';
	return str_of(out, at);
}

bool money_add(int64_t *sum, int64_t a, int64_t count)
{
	int64_t result;

	if (__builtin_mul_overflow(a, count, &result) ||
		__builtin_add_overflow(result, *sum, &result) || result > MONEY_MINOR_MAX ||
		result < -MONEY_MINOR_MAX)
		return false;
	*sum = result;
	return true;
}

/* RFC 8259's number without an exponent: -?(0|[1-9][0-9]*)(\.[0-9]+)? */
static bool is_plain_number(struct str text)
{
	size_t at = text.len > 0 && *text.at == '-';
	size_t start = at;

	while (at < text.len && text.at[at] >= '0' && text.at[at] <= '9')
		at++;
	if (at == start || (text.at[start] == '0' && at - start > 1))
		return false;
	if (at == text.len)
		return true;
	if (text.at[at++] != '.')
		return false;
	start = at;
	while (at < text.len && text.at[at] >= '0' && text.at[at] <= '9')
		at++;
	return at > start && at == text.len;
}

static bool add_digit(int64_t *minor, char digit)
{
	*minor = *minor * 10 + (digit - '0');
	return *minor <= MONEY_MINOR_MAX;
}
