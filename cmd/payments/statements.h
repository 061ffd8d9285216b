/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pg/pg.h"

/* Of statements.c; what they take and give stands beside each use. */
extern const struct pg_statement payment_authorise;
extern const struct pg_statement payment_capture;
extern const struct pg_statement payment_void;
extern const struct pg_statement payment_refund;
extern const struct pg_statement payment_get;
extern const struct pg_statement payments_settle;
extern const struct pg_statement webhook_claim;
extern const struct pg_statement webhook_delivered;
extern const struct pg_statement webhook_failed;
extern const struct pg_statement webhooks_forget;
extern const struct pg_statement webhooks_waiting;
