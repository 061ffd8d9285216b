/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "metrics/metrics.h"

/* Numbers of which each thread has its own copy: only that thread writes it, so adding is a plain
 * load and store; reading sums all copies. */

void cells_add(size_t cell, int64_t n);
void cells_set(size_t cell, int64_t value);
int64_t cells_sum(size_t cell);

/* The process' own metrics: CPU, memory, descriptors, start time. */
void process_write(struct buf *out);
