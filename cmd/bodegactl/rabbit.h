/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

#include <amqp.h>

/* RabbitMQ as a command uses it: each call waits. */

enum { RABBIT_ANSWER_S = 10 };

/* Connects, with the channel LINK_CHANNEL open; the connection ends with s. FAULT_BAD_REQUEST: the
 * URL is none; FAULT_UNAVAILABLE: the broker is away, or refuses. */
enum fault rabbit_open(
	struct scope *s, struct str url, amqp_connection_state_t *connection) MUST_CHECK;

/* FAULT_UNAVAILABLE unless the last call went well. */
enum fault rabbit_answered(struct scope *s, amqp_rpc_reply_t reply) MUST_CHECK;
