/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* Microseconds of a clock that never steps: for deadlines and durations. */
int64_t clock_monotonic_us(void);

/* Microseconds since 1970-01-01T00:00:00Z: for what people and other machines read. */
int64_t clock_wall_us(void);

/* Tests only: both clocks run ahead by this much more from now on (negative takes it back). */
void clock_advance_us(int64_t by_us);

enum { TIME_TEXT_MAX = 25 };

/* RFC 3339 in UTC with milliseconds, "2026-11-21T06:25:22.123Z", into out with a NUL; returns the
 * text. Years 0–9999. */
struct str time_format(int64_t wall_us, char out[TIME_TEXT_MAX]);

/* RFC 3339 with any offset and up to nine decimals (more than six are cut off). False when it is
 * none. */
bool time_parse(struct str text, int64_t *wall_us);
