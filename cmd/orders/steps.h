/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store.h"

/* Goes from step to step until none is left (claim->step is STEP_IDLE) or only time helps
 * (claim->waits). OK also when the order did not come to what was wished: then claim->refusal says
 * why. Any fault: the claim is where the row is, and may be taken up from there. Suspends. */
enum fault steps_go_on(struct task *t, struct claim *claim) MUST_CHECK;

/* claim->refusal, recorded in the scope with its words. */
enum fault steps_refusal(struct scope *s, const struct claim *claim) MUST_CHECK;

/* FAULT_CARD_DECLINED, with what the provider said and of which order. */
enum fault refuse_card(struct scope *s, const struct uuid *order_id, struct str reason,
	struct str message) MUST_CHECK;
