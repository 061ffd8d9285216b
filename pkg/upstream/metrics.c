/* SPDX-License-Identifier: Apache-2.0
 * What is counted about a peer. The outcome of a call is the class of its status, or the code of
 * the fault that it ended with. */
#include "base/clock.h"
#include "upstream/connection.h"

static struct counter *outcome_counter(const char *peer, const char *outcome)
{
	return counter_get("bodega_upstream_calls_total", "Calls to other services by outcome",
		LABELS({"peer", str_from(peer)}, {"outcome", str_from(outcome)}));
}

static struct counter *out_counter(const char *peer, struct str why)
{
	return counter_get("bodega_upstream_ejections_total",
		"Addresses of other services that became a last choice for a while",
		LABELS({"peer", str_from(peer)}, {"why", why}));
}

void upstream_metrics_init(struct upstream_metrics *m, const char *peer)
{
	static const char *const classes[UPSTREAM_CLASSES] = {"2xx", "3xx", "4xx", "5xx"};
	const struct metric_label *of_peer = LABELS({"peer", str_from(peer)});

	for (size_t i = 0; i < UPSTREAM_CLASSES; i++)
		m->answers[i] = outcome_counter(peer, classes[i]);
	m->seconds = histogram_get("bodega_upstream_call_duration_seconds",
		"Time until a call's answer was there", &histogram_seconds, of_peer);
	m->connections = gauge_get(
		"bodega_upstream_connections", "Open connections to other services", of_peer);
	m->waiting =
		gauge_get("bodega_upstream_waiting", "Calls that wait for a connection", of_peer);
	m->retries = counter_get("bodega_upstream_retries_total",
		"Calls sent again because a kept-alive connection was dead", of_peer);
	m->refused = counter_get("bodega_upstream_connects_failed_total",
		"Connections that an address did not take", of_peer);
	m->connect_retries = counter_get("bodega_upstream_connect_retries_total",
		"Calls that went on to another address because one took no connection", of_peer);
	m->out[OUT_REFUSED] = out_counter(peer, STR("refused"));
	m->out[OUT_CLOSING] = out_counter(peer, STR("closing"));
	m->addresses =
		gauge_get("bodega_upstream_addresses", "Addresses of other services", of_peer);
	m->lookups_failed = counter_get("bodega_upstream_lookups_failed_total",
		"Look-ups of other services' names that failed", of_peer);
}

void upstream_metrics_addresses(struct upstream *u, int more)
{
	if (u->config.first)
		gauge_add(u->metrics.addresses, more);
}

void upstream_metrics_call(struct upstream *u, enum fault fault, int status, int64_t began_us)
{
	struct upstream_metrics *m = &u->metrics;

	if (fault == OK) {
		counter_inc(m->answers[status / 100 - 2]);
	} else {
		if (m->faults[fault] == NULL) /* most never happen */
			m->faults[fault] = outcome_counter(u->config.name, fault_info(fault)->code);
		counter_inc(m->faults[fault]);
	}
	histogram_observe(m->seconds, clock_monotonic_us() - began_us);
}
