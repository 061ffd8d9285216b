/* SPDX-License-Identifier: Apache-2.0
 * Ready means: send requests here. A service waits once for what it cannot do without (its own
 * database with its schema, the keys that verify tokens) and from then on looks at itself only: if
 * a database's outage took all replicas out of service at once, clients would get refused
 * connections instead of an honest 503. */
#include "service/internal.h"

#include "base/clock.h"

enum { ALIVE_US = 10000000 };

bool thread_is_ready(struct service_thread *t, struct str *why)
{
	if (t->pg != NULL && !pg_ready(t->pg, why))
		return false;
	if (service_knows_people(process.service) && !verifier_has_keys(t->verifier)) {
		*why = STR("the keys that verify access tokens are not there yet");
		return false;
	}
	return true;
}

bool process_is_ready(struct scope *s, struct str *why)
{
	struct service_thread *const here = thread_here();

	*why = STR_NONE;
	if (atomic_load(&process.draining)) {
		*why = STR("it is about to stop");
		return false;
	}
	if (!atomic_load(&here->ready) && !thread_is_ready(here, why))
		return false;
	atomic_store(&here->ready, true);
	for (unsigned i = 0; i < process.thread_count; i++) {
		if (atomic_load(&process.threads[i].ready))
			continue;
		*why = STR("not all of its threads are ready yet");
		return false;
	}
	return process_is_alive(s, why) &&
	       (process.service->ready == NULL || process.service->ready(why));
}

bool process_is_alive(struct scope *s, struct str *why)
{
	const int64_t alive_us =
		process.service->alive_us > 0 ? process.service->alive_us : ALIVE_US;
	const int64_t now_us = clock_monotonic_us();

	for (unsigned i = 0; i < process.thread_count; i++) {
		const int64_t since_us = now_us - atomic_load(&process.threads[i].beat_us);

		if (since_us <= alive_us)
			continue;
		*why = scope_format(
			s, "loop %u has not turned for %lld s", i, (long long)(since_us / 1000000));
		return false;
	}
	return true;
}
