/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/request.h"

/* Webhooks after Standard Webhooks: a POST whose headers webhook-id, webhook-timestamp and
 * webhook-signature prove who sent its body and when. The signature is "v1," and the base64 of
 * HMAC-SHA-256 over "<id>.<timestamp>.<body>"; several may stand side by side with spaces between.
 */

enum { WEBHOOK_SECRETS_MAX = 8, WEBHOOK_SECRET_BYTES_MIN = 24, WEBHOOK_SKEW_S = 300 };

/* The value of the variable WEBHOOK_SECRETS: "whsec_<base64>", several with spaces, commas or line
 * ends between them. FAULT_INVALID: a field error of that name, which shows none of them. */
enum fault webhook_secrets_read(struct scope *s, struct str text, struct texts *secrets) MUST_CHECK;

/* The signature by the first secret, as webhook-signature has it; in s. */
struct str webhook_sign(struct scope *s, const struct texts *secrets, struct str id,
	int64_t timestamp_s, struct str body);

/* Whether any of the secrets has signed the request within WEBHOOK_SKEW_S of now; `id` (may be
 * NULL) gets the webhook-id. A webhook comes more than once under the same id. FAULT_UNAUTHORIZED
 * with a sentence. */
enum fault webhook_check(struct scope *s, const struct texts *secrets,
	const struct request *request, int64_t now_s, struct str *id) MUST_CHECK;
