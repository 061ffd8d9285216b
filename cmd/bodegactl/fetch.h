/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

#include <curl/curl.h>

/* An HTTP request as a command makes it: one after the other, each waited for. Certificates are
 * verified; redirects are not followed; proxies of the environment are not used. */

struct fetch {
	const char *method; /* NULL: GET */
	struct str url;
	struct str ca_file; /* authorities to trust in place of the system's; or STR_NONE */
	struct str json; /* the body; STR_NONE: none */
	struct str token; /* for Authorization: Bearer; STR_NONE: none */
	struct str key; /* Idempotency-Key; STR_NONE: none */
	int64_t timeout_ms; /* for all of it */
};

struct fetched {
	long status;
	struct str body; /* lives in s */
};

enum { FETCH_BODY_BYTES_MAX = 8 << 20 };

/* Any status is OK. FAULT_UNAVAILABLE: there was no answer in time; FAULT_BAD_REQUEST: the URL is
 * none; FAULT_TOO_LARGE: more than FETCH_BODY_BYTES_MAX. */
enum fault fetch(struct scope *s, const struct fetch *request, struct fetched *answer) MUST_CHECK;

/* What every handle of libcurl here is told: the URL, whom to trust, and not to use signals or
 * proxies. */
void fetch_prepare(struct scope *s, CURL *curl, struct str url, struct str ca_file);

/* The URL of each address that the name in an http:// URL has, without a path. FAULT_UNAVAILABLE:
 * it has none. */
enum fault fetch_addresses(struct scope *s, struct str url, struct texts *urls) MUST_CHECK;
