/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* An order's status is what people see; its step is what is being done to it in other services. */

enum status {
	STATUS_RESERVING, /* an intent: not an order yet, nobody sees it */
	STATUS_PENDING,
	STATUS_CONFIRMED, /* pending under another name, for older clients */
	STATUS_PAID,
	STATUS_PROCESSING,
	STATUS_SHIPPED,
	STATUS_DELIVERED,
	STATUS_CANCELLED,
	STATUS_EXPIRED,
	STATUS_PAYMENT_FAILED,
	STATUS_REFUNDED,
	STATUS_COUNT
};

enum step {
	STEP_IDLE,
	STEP_RESERVING,
	STEP_AMENDING,
	STEP_AUTHORISING,
	STEP_COMMITTING,
	STEP_CAPTURING,
	STEP_CANCELLING,
	STEP_REFUNDING,
	STEP_COUNT
};

/* Who may ask for a change; what only the saga does is nobody's. */
enum mover { BY_OWNER = 1, BY_STAFF = 2 };

struct transition {
	enum status from;
	enum status to;
	unsigned by; /* movers; 0: the saga alone */
	enum step step; /* what other services must do for it; STEP_IDLE: nothing */
};

/* In the order of the enums, NULL at the end: as the database and clients write them. */
extern const char *const status_names[STATUS_COUNT + 1];
extern const char *const step_names[STEP_COUNT + 1];

/* By their names; our own bug when there is no such name, for they come from the database. */
enum status status_of(struct str name);
enum step step_of(struct str name);

struct str status_name(enum status status);
struct str step_name(enum step step);

/* NULL: an order never goes from one to the other. */
const struct transition *transition_find(enum status from, enum status to);

/* Waiting for its payment, its goods held. */
static inline bool status_is_unpaid(enum status status)
{
	return status == STATUS_PENDING || status == STATUS_CONFIRMED;
}
