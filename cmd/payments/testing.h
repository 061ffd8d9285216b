/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the service's tests share: a migrated schema of the test's own with pools on it, and one
 * payment at a time. */
#include "migrate/testing.h"

#include "store.h"

/* One server session for each of those that come at once. */
enum { CALLERS = 20 };

static inline int payments_world_begin(const char *name)
{
	return migrated_world_begin(name, "payments", &store_schema, CALLERS);
}

static inline int payments_world_end(void **state)
{
	(void)state;
	migrated_world_end();
	return 0;
}

/* The ledger may not be emptied but by whoever owns the schema, past its guards. */
static inline void forget_payments(void)
{
	observe("SET session_replication_role = replica");
	observe("TRUNCATE payments, refunds, ledger, webhooks, stumbled");
	observe("RESET session_replication_role");
}

/* The ledger bears out every payment, nobody got stuck, nothing is open. */
static inline void assert_borne_out(void)
{
	assert_whole();
	assert_int_equal(observe_number("SELECT count(*) FROM payment_imbalances"), 0);
}
