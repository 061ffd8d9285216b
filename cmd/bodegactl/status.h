/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "command.h"
#include "json/field.h"

/* How one instance of a program is. */
struct instance {
	struct str instance; /* its address, or its pod */
	struct str service;
	struct str version;
	bool ready;
	struct str why; /* it is not, or STR_NONE */
	int64_t clients; /* connections */
	int64_t in_flight; /* requests */
	int64_t database_waiting; /* statements without a connection */
	int64_t unpublished; /* events */
	int64_t lag_seconds; /* of the oldest of these */
	int64_t memory_bytes;
};

/* Of another bodegactl's --output json; they live in s. */
enum fault status_read(struct scope *s, struct str json, struct items *instances) MUST_CHECK;

/* COMMAND_FINE, or COMMAND_FAILED when there is none or one is not ready. */
int status_print(struct scope *s, enum output output, const struct items *instances);
