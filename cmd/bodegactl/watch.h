/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* A WebSocket (RFC 6455) as a command follows one: each call waits. */
struct watch;

/* Connects; `url` is http:// or https://. The connection ends with s. FAULT_UNAVAILABLE: there is
 * no server, or it does not open a WebSocket: what it answered is in the detail. */
enum fault watch_open(struct scope *s, struct str url, struct str ca_file, struct str token,
	int64_t timeout_ms, struct watch **watch) MUST_CHECK;

/* The next text message, which lives in the scope of the watch. FAULT_DEADLINE: none came until
 * then by the monotonic clock; FAULT_UNAVAILABLE: the connection has ended. */
enum fault watch_next(struct watch *w, int64_t until_us, struct str *message) MUST_CHECK;
