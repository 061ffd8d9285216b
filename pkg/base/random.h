/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* From the kernel's generator: for keys, tokens and identifiers. Ends the process when there is
 * none. */
void random_bytes(void *out, size_t size);

/* Evenly below `bound` (> 0), from a fast generator of the thread: for jitter, never for secrets.
 */
uint64_t random_below(uint64_t bound);

/* Tests only: makes random_below repeatable on this thread. */
void random_seed(uint64_t seed);
