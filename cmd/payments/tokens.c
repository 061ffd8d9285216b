/* SPDX-License-Identifier: Apache-2.0
 * The tokens as a table, and what the seed decides of those that are settled later. */
#include "tokens.h"

#include "auth/crypto.h"
#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>

#define PROCESSING .status = "processing"
#define AUTHORISED .status = "authorised"
#define DECLINED_AS(code, message) .decline_code = (code), .decline_message = (message)

static const struct token tokens[] = {
	{"tok_ok", AUTHORISED},
	{"tok_declined", .status = "declined",
		DECLINED_AS("card_declined", "The card was declined.")},
	{"tok_insufficient_funds", .status = "declined",
		DECLINED_AS("insufficient_funds", "The card has insufficient funds.")},
	{"tok_slow", AUTHORISED, .manner = ANSWERS_LATE},
	{"tok_timeout", AUTHORISED, .manner = ANSWERS_NEVER},
	{"tok_error", AUTHORISED, .manner = STUMBLES},
	{"tok_async", PROCESSING, .settles_as = "authorised"},
	{"tok_async_declined", PROCESSING, .settles_as = "declined", .webhooks = "once",
		DECLINED_AS("card_declined", "The card was declined.")},
	{"tok_async_twice", PROCESSING, .settles_as = "authorised", .webhooks = "twice"},
	{"tok_async_reordered", PROCESSING, .settles_as = "authorised", .webhooks = "reordered"},
};
enum { TOKEN_COUNT = sizeof tokens / sizeof tokens[0] };

static uint64_t draw(struct str key, int64_t seed);

const struct token *token_find(struct str name)
{
	for (size_t i = 0; i < TOKEN_COUNT; i++)
		if (str_eq(name, str_from(tokens[i].name)))
			return &tokens[i];
	return NULL;
}

enum fault token_unknown(struct scope *s)
{
	struct buf names = buf_new(s->arena);

	for (size_t i = 0; i < TOKEN_COUNT; i++) {
		if (i > 0)
			buf_add(&names, STR(", "));
		buf_add(&names, str_from(tokens[i].name));
	}
	return fail_field(s, STR("token"), "invalid_token",
		"is none that this provider knows, which are %.*s", STR_ARG(buf_str(&names)));
}

struct settlement token_settlement(
	const struct token *token, struct str key, int64_t seed, int64_t delay_us)
{
	static const char *const ways[] = {"once", "once", "twice", "reordered"};
	const uint64_t drawn = draw(key, seed);
	const int64_t after_percent = 50 + (int64_t)(drawn % 101);
	const int64_t webhook_percent = (int64_t)(drawn / 101 % 51);

	if (token->settles_as == NULL)
		return (struct settlement){0};
	return (struct settlement){
		.after_us = delay_us * after_percent / 100,
		.webhooks = token->webhooks != NULL ? token->webhooks : ways[drawn / 5151 % 4],
		.webhook_delay_us = delay_us * webhook_percent / 100,
	};
}

/* Evenly among all numbers of 64 bits. */
static uint64_t draw(struct str key, int64_t seed)
{
	uint8_t digest[SHA256_BYTES];
	char seed_text[24];
	uint64_t drawn;

	snprintf(seed_text, sizeof seed_text, "%" PRId64, seed);
	crypto_hmac(str_from(seed_text), key, digest);
	memcpy(&drawn, digest, sizeof drawn);
	return drawn;
}
