/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "checklist.h"

struct purchase_config {
	struct str gateway; /* its URL */
	struct str ca_file; /* STR_NONE: the system's authorities */
	struct texts metrics; /* admin ports whose metrics are looked at */
};

/* Buys one thing as a customer would, watches it happen, and takes it back: a line a step, up to
 * the first that is wrong. The order is cancelled and the account deleted in any case. */
void purchase_run(struct checklist *list, const struct purchase_config *config);
