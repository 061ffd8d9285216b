/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* What GET /metrics answers: Prometheus' text format, as our programs write it. */

/* The sum of all series of this name; false when there is none. */
bool scrape_sum(struct str text, struct str name, double *sum);

/* The value of a label of the first series of this name; STR_NONE when there is none. Escapes stay
 * as they are. */
struct str scrape_label(struct str text, struct str name, struct str label);
