/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store.h"
#include "upstream/upstream.h"

/* The payments service (api/internal.yaml): a claim's payment, known there as <order_id>-<attempt>.
 * A provider may act and not say so: where an answer did not come, or somebody may have been here
 * before (claim->attempts), it is asked how the payment stands before it is told anything again.
 * Each call is given CHARGE_CALL_US. Faults: FAULT_UNAVAILABLE, FAULT_DEADLINE, FAULT_BAD_GATEWAY,
 * … when it is still not known what the provider has done. All suspend. */

enum { CHARGE_CALL_US = 2000000 };

/* On each thread: the client of payments that the calls below use. */
void charge_use(struct upstream *upstream);

enum charge_status {
	CHARGE_PROCESSING, /* the provider has not decided yet */
	CHARGE_AUTHORISED,
	CHARGE_CAPTURED,
	CHARGE_DECLINED,
	CHARGE_VOIDED,
};

struct charge_state {
	int status; /* enum charge_status */
	struct str decline_code;
	struct str decline_message;
	struct items refunds; /* struct charge_refunded */
};

struct charge_refunded {
	struct uuid id;
};

/* Asks for the amount, by the card's token, and tells how the payment stands. FAULT_RELEASED: it
 * was voided before. A token that the provider does not know is declined. */
enum fault charge_authorise(
	struct task *t, const struct claim *claim, struct charge_state *state) MUST_CHECK;

/* Takes the whole amount. FAULT_CONFLICT: there is nothing authorised to take it from. */
enum fault charge_capture(struct task *t, const struct claim *claim) MUST_CHECK;

/* Lets go what is authorised, or may yet be. FAULT_CONFLICT: it is captured. */
enum fault charge_void(struct task *t, const struct claim *claim) MUST_CHECK;

/* Gives the claim's refund back. FAULT_CONFLICT: it is more than there is. */
enum fault charge_refund(struct task *t, const struct claim *claim) MUST_CHECK;
