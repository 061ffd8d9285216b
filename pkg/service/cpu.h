/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* CPUs that the cgroups of this process give it (v1 and v2, the tightest quota on the way up to
 * the root), a part of one counted as one; 0 when there is no quota. `root` is "" but in tests. */
unsigned cpu_quota(const char *root);

enum { WORKERS_BY_ITSELF_MAX = 8 };

/* Threads to serve with: the quota, at most the CPUs that the process may run on and
 * WORKERS_BY_ITSELF_MAX. */
unsigned cpu_workers(void);

/* The same of these numbers; 0: not known. */
unsigned cpu_workers_of(unsigned cpus, unsigned quota);
