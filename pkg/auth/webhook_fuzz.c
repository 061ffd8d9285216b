/* SPDX-License-Identifier: Apache-2.0
 * Webhooks of strangers: id, timestamp and signature, a line each, then the body. None is taken,
 * but the same with our signature is. The input is tried as a list of secrets too. */
#include "auth/webhook.h"
#include "base/check.h"

enum { NOW_S = 1800000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum fault check(struct scope *s, const struct texts *secrets, struct str id,
	struct str timestamp, struct str signature, struct str body)
{
	const struct header headers[] = {{STR("webhook-id"), id},
		{STR("webhook-timestamp"), timestamp}, {STR("webhook-signature"), signature}};
	const struct request request = {.headers = headers, .header_count = 3, .body = body};

	return webhook_check(s, secrets, &request, NOW_S, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_of((const char *)data, size);
	struct str line[3] = {STR_NONE, STR_NONE, STR_NONE};
	struct texts secrets, others;
	struct scope s;

	scope_begin(&s);
	CHECK(webhook_secrets_read(&s, STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &secrets) ==
		OK);
	if (webhook_secrets_read(&s, rest, &others) == OK)
		CHECK(others.count > 0 && others.count <= WEBHOOK_SECRETS_MAX);
	for (size_t i = 0; i < 3; i++)
		(void)str_cut(&rest, '\n', &line[i]);
	CHECK(check(&s, &secrets, line[0], line[1], line[2], rest) == FAULT_UNAUTHORIZED);
	if (line[0].len > 0)
		CHECK(check(&s, &secrets, line[0], STR("1800000000"),
			      webhook_sign(&s, &secrets, line[0], NOW_S, rest), rest) == OK);
	scope_end(&s);
	return 0;
}
