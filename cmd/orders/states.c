/* SPDX-License-Identifier: Apache-2.0
 * The order's states as one table. migrations/orders has the same pairs, and store_test proves
 * that the two agree on every pair. */
#include "states.h"

#include "base/check.h"

static const struct transition transitions[] = {
	{STATUS_RESERVING, STATUS_PENDING, 0, STEP_RESERVING},
	{STATUS_PENDING, STATUS_CONFIRMED, BY_STAFF, STEP_IDLE},
	{STATUS_PENDING, STATUS_PAID, 0, STEP_COMMITTING},
	{STATUS_PENDING, STATUS_CANCELLED, BY_OWNER | BY_STAFF, STEP_CANCELLING},
	{STATUS_PENDING, STATUS_EXPIRED, 0, STEP_CANCELLING},
	{STATUS_PENDING, STATUS_PAYMENT_FAILED, 0, STEP_CANCELLING},
	{STATUS_CONFIRMED, STATUS_PAID, 0, STEP_COMMITTING},
	{STATUS_CONFIRMED, STATUS_CANCELLED, BY_OWNER | BY_STAFF, STEP_CANCELLING},
	{STATUS_CONFIRMED, STATUS_EXPIRED, 0, STEP_CANCELLING},
	{STATUS_CONFIRMED, STATUS_PAYMENT_FAILED, 0, STEP_CANCELLING},
	{STATUS_PAID, STATUS_PROCESSING, BY_STAFF, STEP_IDLE},
	{STATUS_PAID, STATUS_CANCELLED, BY_OWNER | BY_STAFF, STEP_CANCELLING},
	{STATUS_PROCESSING, STATUS_SHIPPED, BY_STAFF, STEP_IDLE},
	{STATUS_PROCESSING, STATUS_CANCELLED, BY_OWNER | BY_STAFF, STEP_CANCELLING},
	{STATUS_SHIPPED, STATUS_DELIVERED, BY_STAFF, STEP_IDLE},
	{STATUS_DELIVERED, STATUS_REFUNDED, 0, STEP_REFUNDING},
};

const char *const status_names[STATUS_COUNT + 1] = {
	[STATUS_RESERVING] = "reserving",
	[STATUS_PENDING] = "pending",
	[STATUS_CONFIRMED] = "confirmed",
	[STATUS_PAID] = "paid",
	[STATUS_PROCESSING] = "processing",
	[STATUS_SHIPPED] = "shipped",
	[STATUS_DELIVERED] = "delivered",
	[STATUS_CANCELLED] = "cancelled",
	[STATUS_EXPIRED] = "expired",
	[STATUS_PAYMENT_FAILED] = "payment_failed",
	[STATUS_REFUNDED] = "refunded",
};

const char *const step_names[STEP_COUNT + 1] = {
	[STEP_IDLE] = "idle",
	[STEP_RESERVING] = "reserving",
	[STEP_AMENDING] = "amending",
	[STEP_AUTHORISING] = "authorising",
	[STEP_COMMITTING] = "committing",
	[STEP_CAPTURING] = "capturing",
	[STEP_CANCELLING] = "cancelling",
	[STEP_REFUNDING] = "refunding",
};

static int index_of(const char *const *names, struct str name);

enum status status_of(struct str name)
{
	return (enum status)index_of(status_names, name);
}

enum step step_of(struct str name)
{
	return (enum step)index_of(step_names, name);
}

struct str status_name(enum status status)
{
	CHECK(status < STATUS_COUNT);
	return str_from(status_names[status]);
}

struct str step_name(enum step step)
{
	CHECK(step < STEP_COUNT);
	return str_from(step_names[step]);
}

const struct transition *transition_find(enum status from, enum status to)
{
	for (size_t i = 0; i < sizeof transitions / sizeof transitions[0]; i++) {
		if (transitions[i].from == from && transitions[i].to == to)
			return &transitions[i];
	}
	return NULL;
}

static int index_of(const char *const *names, struct str name)
{
	for (int i = 0; names[i] != NULL; i++) {
		if (str_eq(name, str_from(names[i])))
			return i;
	}
	check_failed("the name of a status or step", __FILE__, __LINE__);
}
