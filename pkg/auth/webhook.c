/* SPDX-License-Identifier: Apache-2.0
 * Signatures of webhooks. Comparing takes the same time wherever two signatures differ; nothing of
 * the body is to be believed before. */
#include "auth/webhook.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "base/buf.h"

static const struct str secret_prefix = {"whsec_", 6};
static const struct str version_prefix = {"v1,", 3};

static bool next_piece(struct str *rest, const char *separators, struct str *piece);
static bool secret_of(struct scope *s, struct str text, struct str *secret);
static struct str signature(
	struct scope *s, struct str secret, struct str id, struct str timestamp, struct str body);
static bool signed_by(struct str signatures, struct str wanted);
static enum fault refuse(struct scope *s, const char *why);

enum fault webhook_secrets_read(struct scope *s, struct str text, struct texts *secrets)
{
	const struct str name = STR("WEBHOOK_SECRETS");
	struct str piece;

	secrets->at = arena_alloc_array(s->arena, WEBHOOK_SECRETS_MAX, sizeof *secrets->at);
	secrets->count = 0;
	while (next_piece(&text, " ,\t\r\n", &piece)) {
		if (secrets->count == WEBHOOK_SECRETS_MAX)
			return fail_field(s, name, "length", "must be %d secrets at most",
				WEBHOOK_SECRETS_MAX);
		if (!secret_of(s, piece, &secrets->at[secrets->count++]))
			return fail_field(s, name, "format",
				"must be \"whsec_\" and %d bytes or more in base64; number %zu is "
				"not",
				WEBHOOK_SECRET_BYTES_MIN, secrets->count);
	}
	return secrets->count > 0 ? OK : fail_field(s, name, "required", "must have a secret");
}

struct str webhook_sign(struct scope *s, const struct texts *secrets, struct str id,
	int64_t timestamp_s, struct str body)
{
	const struct str timestamp = scope_format(s, "%lld", (long long)timestamp_s);

	return signature(s, secrets->at[0], id, timestamp, body);
}

enum fault webhook_check(struct scope *s, const struct texts *secrets,
	const struct request *request, int64_t now_s, struct str *id)
{
	const struct str sent_id = request_header(request, STR("webhook-id"));
	const struct str timestamp = request_header(request, STR("webhook-timestamp"));
	const struct str signatures = request_header(request, STR("webhook-signature"));
	int64_t time_s;

	if (sent_id.len == 0 || signatures.len == 0 || !str_to_int64(timestamp, &time_s))
		return refuse(
			s, "needs webhook-id, webhook-timestamp (seconds) and webhook-signature");
	if (time_s < now_s - WEBHOOK_SKEW_S || time_s > now_s + WEBHOOK_SKEW_S)
		return refuse(s, "was not signed just now; do the clocks agree?");
	for (size_t i = 0; i < secrets->count; i++) {
		if (!signed_by(signatures,
			    signature(s, secrets->at[i], sent_id, timestamp, request->body)))
			continue;
		if (id != NULL)
			*id = sent_id;
		return OK;
	}
	return refuse(s, "was signed by nobody we know");
}

/* Takes the next piece off the front; any number of separators stands between two. */
static bool next_piece(struct str *rest, const char *separators, struct str *piece)
{
	size_t begin = 0;
	size_t end;

	while (begin < rest->len && strchr(separators, rest->at[begin]) != NULL)
		begin++;
	end = begin;
	while (end < rest->len && strchr(separators, rest->at[end]) == NULL)
		end++;
	*piece = str_of(rest->at + begin, end - begin);
	*rest = str_skip(*rest, end);
	return piece->len > 0;
}

static bool secret_of(struct scope *s, struct str text, struct str *secret)
{
	return str_starts(text, secret_prefix) &&
	       base64_decode(s->arena, BASE64, str_skip(text, secret_prefix.len), secret) &&
	       secret->len >= WEBHOOK_SECRET_BYTES_MIN;
}

/* The timestamp as it was written: a signature is over text. */
static struct str signature(
	struct scope *s, struct str secret, struct str id, struct str timestamp, struct str body)
{
	struct buf text = buf_new(s->arena);
	uint8_t mac[SHA256_BYTES];

	buf_format(&text, "%.*s.%.*s.", STR_ARG(id), STR_ARG(timestamp));
	buf_add(&text, body);
	crypto_hmac(secret, buf_str(&text), mac);
	return scope_format(s, "%.*s%.*s", STR_ARG(version_prefix),
		STR_ARG(base64_encode(s->arena, BASE64, str_of((const char *)mac, sizeof mac))));
}

static bool signed_by(struct str signatures, struct str wanted)
{
	struct str one;

	while (next_piece(&signatures, " ", &one))
		if (str_eq_secret(one, wanted))
			return true;
	return false;
}

static enum fault refuse(struct scope *s, const char *why)
{
	return fail(s, FAULT_UNAUTHORIZED, "the webhook %s", why);
}
