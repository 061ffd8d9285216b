/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "fiber/dns.h"
#include "fiber/lookup.h"
#include "upstream/connection.h"
#include "upstream/probe.h"

/* Replicas on 127.0.0.2, 127.0.0.3 … at one port, known by a name; the addresses that it has change
 * as those of a headless Service do. */
enum { REPLICAS_MAX = 4, LOOK_UP_LATEST_US = LOOK_UP_US + LOOK_UP_US / 10 };

static struct raw_server replicas[REPLICAS_MAX];
static size_t replica_count;
static uint16_t port;
static char text[64];

static void start_replicas(size_t count, raw_serve_fn *serve, const void *arg)
{
	if (!dns.runs)
		skip();
	clock_advance_us(LOOKUP_SHARED_US); /* past the answers of the test before */
	loop_turn(loop, 0);
	port = 0;
	for (replica_count = 0; replica_count < count; replica_count++) {
		char host[16];

		snprintf(host, sizeof host, "127.0.0.%zu", replica_count + 2);
		raw_server_start_at(&replicas[replica_count], host, port, serve, arg);
		const char *colon = strchr(replicas[0].address, ':');
		port = (uint16_t)strtoul(colon + 1, NULL, 10);
	}
	snprintf(text, sizeof text, "http://products:%u/", port);
}

static void stop_replicas(void)
{
	for (size_t i = 0; i < replica_count; i++)
		raw_server_stop(&replicas[i]);
}

static int requests(size_t replica)
{
	return atomic_load(&replicas[replica].requests);
}

static struct upstream *upstream_by_name(unsigned connections)
{
	const struct str name = str_from(text);

	return upstream_to(&name, 1, connections);
}

static size_t count_addresses(const struct upstream *u)
{
	struct upstream_address_state *states;
	struct scope s;

	scope_begin(&s);
	const size_t count = upstream_states(u, &s, &states);
	scope_end(&s);
	return count;
}

static void wait_for_addresses(const struct upstream *u, size_t count)
{
	while (count_addresses(u) != count)
		loop_turn(loop, 10);
}

/* What the name server says now is known. */
static void look_up_again(const struct upstream *u, const char *addresses, size_t count)
{
	dns_set("products", addresses);
	clock_advance_us(LOOK_UP_LATEST_US);
	wait_for_addresses(u, count);
}

static void calls_end_well(struct upstream *u, const char *method, int count)
{
	for (int i = 0; i < count; i++) {
		const struct probe p = call(u, method);

		assert_outcome(&p, OK, 200, "ok");
	}
}

static uint64_t failed_lookups(void)
{
	return counter_value(counter_get("bodega_upstream_lookups_failed_total",
		"Look-ups of other services' names that failed", LABELS({"peer", STR("peer")})));
}

static uint64_t refused_connects(void)
{
	return counter_value(counter_get("bodega_upstream_connects_failed_total",
		"Connections that an address did not take", LABELS({"peer", STR("peer")})));
}

static int64_t metric_addresses(void)
{
	return gauge_value(gauge_get("bodega_upstream_addresses", "Addresses of other services",
		LABELS({"peer", STR("peer")})));
}

static void a_name_is_all_its_addresses(void **state)
{
	char last[RAW_REQUEST_MAX], host[64];

	(void)state;
	start_replicas(3, serve_text, GOOD);
	dns_set("products", "127.0.0.2 127.0.0.3 127.0.0.4");
	struct upstream *u = upstream_by_name(4);
	calls_end_well(u, "POST", 9); /* the first waits for the name */
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(requests(i), 3);
	assert_int_equal(metric_addresses(), 3);
	snprintf(host, sizeof host, "host: products:%u\r\n", port);
	assert_non_null(strstr(raw_last(&replicas[1], last), host));
	upstream_free(u);
	assert_int_equal(metric_addresses(), 0);
	stop_replicas();
}

static void new_addresses_get_calls(void **state)
{
	(void)state;
	start_replicas(4, serve_text, GOOD);
	dns_set("products", "127.0.0.2 127.0.0.3");
	struct upstream *u = upstream_by_name(4);
	wait_for_addresses(u, 2);
	calls_end_well(u, "POST", 4);
	look_up_again(u, "127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5", 4);
	calls_end_well(u, "POST", 8);
	assert_int_equal(requests(0), 4);
	assert_int_equal(requests(1), 4);
	assert_int_equal(requests(2), 2);
	assert_int_equal(requests(3), 2);
	upstream_free(u);
	stop_replicas();
}

/* A call that waits for a slot need not wait for one that is given back. */
static void calls_that_wait_get_new_addresses(void **state)
{
	struct probe p[2];

	(void)state;
	gate_make();
	start_replicas(2, serve_gated, NULL);
	dns_set("products", "127.0.0.2");
	struct upstream *u = upstream_by_name(1);
	for (size_t i = 0; i < 2; i++) {
		p[i] = (struct probe){.u = u, .method = "POST"};
		probe_start(&p[i], 60 * SECOND);
	}
	turn_until(&replicas[0].requests, 1);
	look_up_again(u, "127.0.0.2 127.0.0.3", 2);
	turn_until(&replicas[1].requests, 1);
	gate_open(2);
	for (size_t i = 0; i < 2; i++) {
		probe_wait(&p[i]);
		assert_outcome(&p[i], OK, 200, "ok");
	}
	upstream_free(u);
	stop_replicas();
	gate_close();
}

/* What runs on one that vanishes ends well; its idle connections are closed. */
static void vanished_addresses_get_no_more_calls(void **state)
{
	struct probe p[4];

	(void)state;
	gate_make();
	start_replicas(2, serve_gated, NULL);
	dns_set("products", "127.0.0.2 127.0.0.3");
	struct upstream *u = upstream_by_name(4);
	wait_for_addresses(u, 2);
	for (size_t i = 0; i < 4; i++) {
		p[i] = (struct probe){.u = u, .method = "POST"};
		probe_start(&p[i], 60 * SECOND);
	}
	turn_until(&replicas[0].requests, 2);
	turn_until(&replicas[1].requests, 2);
	gate_open(2); /* two of the four, whichever */
	while ((p[0].done + p[1].done + p[2].done + p[3].done) < 2)
		loop_turn(loop, 10);
	look_up_again(u, "127.0.0.3", 1);
	gate_open(2);
	for (size_t i = 0; i < 4; i++) {
		probe_wait(&p[i]);
		assert_outcome(&p[i], OK, 200, "ok");
	}
	for (size_t i = 0; i < 2; i++) /* both connections to it are closed */
		sem_wait(&replicas[0].closed);
	gate_open(4);
	calls_end_well(u, "POST", 4);
	assert_int_equal(requests(0), 2);
	assert_int_equal(requests(1), 6);
	upstream_free(u);
	stop_replicas();
	gate_close();
}

/* Even while a call from before still runs on it. */
static void an_address_that_comes_back_is_a_new_one(void **state)
{
	static struct probe p = {.method = "POST"}; /* large for a frame */

	(void)state;
	gate_make();
	start_replicas(2, serve_gated, NULL);
	dns_set("products", "127.0.0.2");
	struct upstream *u = upstream_by_name(4);
	p.u = u;
	probe_start(&p, 600 * SECOND);
	turn_until(&replicas[0].requests, 1);
	look_up_again(u, "127.0.0.3 127.0.0.4", 2);
	look_up_again(u, "127.0.0.2 127.0.0.3 127.0.0.4", 3);
	look_up_again(u, "127.0.0.2 127.0.0.3", 2);
	gate_open(5);
	probe_wait(&p);
	assert_outcome(&p, OK, 200, "ok");
	calls_end_well(u, "POST", 4);
	assert_int_equal(requests(0), 3);
	assert_int_equal(requests(1), 2);
	upstream_free(u);
	stop_replicas();
	gate_close();
}

/* How long after the last answer the name is looked up again. */
static int64_t pause_us(const struct upstream *u)
{
	assert_null(u->names[0].lookup);
	return u->names[0].timer.at_us - u->names[0].answered_us;
}

/* Missing at the start: no reason to end, nor to wait; once it is there calls go to it. */
static void a_name_may_come_later(void **state)
{
	(void)state;
	start_replicas(1, serve_text, GOOD);
	dns_set("products", "");
	const uint64_t before = failed_lookups();
	struct upstream *u = upstream_by_name(4);
	struct probe p = call(u, "GET"); /* waits for the first answer */
	assert_outcome(&p, FAULT_UNAVAILABLE, 0, "");
	assert_string_equal(p.detail, "peer is away");
	assert_int_equal(failed_lookups(), before + 1);
	assert_in_range(pause_us(u), 900000, 1100000);
	p = call(u, "GET");
	assert_outcome(&p, FAULT_UNAVAILABLE, 0, "");
	assert_in_range(p.took_us, 0, SECOND);
	dns_set("products", "127.0.0.2");
	clock_advance_us(LOOKUP_SHARED_US + LOOKUP_SHARED_US / 10);
	wait_for_addresses(u, 1);
	assert_in_range(pause_us(u), 4500000, 5500000);
	calls_end_well(u, "GET", 1);
	upstream_free(u);
	stop_replicas();
}

/* Neither errors nor silence of the name server change anything, nor do they hold the loop up. */
static void without_a_name_server_the_addresses_stay(void **state)
{
	(void)state;
	start_replicas(2, serve_text, GOOD);
	dns_set("products", "127.0.0.2 127.0.0.3");
	struct upstream *u = upstream_by_name(4);
	wait_for_addresses(u, 2);
	calls_end_well(u, "POST", 2);
	const uint64_t before = failed_lookups();
	atomic_store(&dns.is_broken, true);
	clock_advance_us(LOOK_UP_LATEST_US);
	while (failed_lookups() == before)
		loop_turn(loop, 10);
	atomic_store(&dns.is_broken, false);
	calls_end_well(u, "POST", 2);

	atomic_store(&dns.is_silent, true);
	const int queries = atomic_load(&dns.queries);
	clock_advance_us(LOOK_UP_LATEST_US);
	while (atomic_load(&dns.queries) == queries)
		loop_turn(loop, 1);
	calls_end_well(u, "POST", 100);
	assert_int_equal(failed_lookups(), before + 1); /* it hung all the time */
	clock_advance_us(LOOKUP_US);
	while (failed_lookups() == before + 1)
		loop_turn(loop, 10);
	calls_end_well(u, "POST", 2);
	assert_int_equal(count_addresses(u), 2);
	atomic_store(&dns.is_silent, false);
	upstream_free(u);
	stop_replicas();
}

/* The name has an address at which nobody is: no call fails for it, not even one that must not be
 * sent twice, and after the first it is left alone for 10 s. */
static void dead_addresses_cost_no_call(void **state)
{
	struct probe p[8];

	(void)state;
	start_replicas(2, serve_text, GOOD);
	dns_set("products", "127.0.0.2 127.0.0.77 127.0.0.3");
	const uint64_t before = refused_connects();
	struct upstream *u = upstream_by_name(8);
	wait_for_addresses(u, 3);
	calls_end_well(u, "POST", 12);
	assert_int_equal(refused_connects(), before + 1);
	clock_advance_us(OUT_US);
	loop_turn(loop, 0);
	for (size_t i = 0; i < 8; i++) { /* one of them tries it again */
		p[i] = (struct probe){.u = u, .method = "POST"};
		probe_start(&p[i], 5 * SECOND);
	}
	for (size_t i = 0; i < 8; i++) {
		probe_wait(&p[i]);
		assert_outcome(&p[i], OK, 200, "ok");
	}
	assert_int_equal(refused_connects(), before + 2);
	upstream_free(u);
	stop_replicas();
}

/* The only pod was replaced: its new address is asked for as soon as the old one refuses. */
static void a_refusal_brings_the_next_look_up_forward(void **state)
{
	(void)state;
	start_replicas(1, serve_text, GOOD);
	dns_set("products", "127.0.0.77");
	struct upstream *u = upstream_by_name(4);
	wait_for_addresses(u, 1);
	struct probe p = call(u, "POST");
	assert_outcome(&p, FAULT_UNAVAILABLE, 0, "");
	assert_int_equal(pause_us(u), LOOKUP_SHARED_US);
	dns_set("products", "127.0.0.2");
	clock_advance_us(LOOKUP_SHARED_US);
	do {
		loop_turn(loop, 10);
		p = call(u, "POST");
	} while (p.fault != OK);
	assert_outcome(&p, OK, 200, "ok");
	assert_int_equal(count_addresses(u), 1);
	upstream_free(u);
	stop_replicas();
}

static void names_and_addresses_mix(void **state)
{
	struct raw_server given;

	(void)state;
	start_replicas(2, serve_text, GOOD);
	raw_server_start(&given, serve_text, GOOD);
	dns_set("products", "127.0.0.2 127.0.0.3");
	const struct str addresses[] = {str_from(text), str_from(given.address)};
	struct upstream *u = upstream_to(addresses, 2, 4);
	wait_for_addresses(u, 3);
	calls_end_well(u, "POST", 6);
	assert_int_equal(atomic_load(&given.requests), 2);
	look_up_again(u, "127.0.0.3", 2);
	calls_end_well(u, "POST", 4);
	assert_int_equal(atomic_load(&given.requests), 4);
	assert_int_equal(requests(1), 4);
	upstream_free(u);
	raw_server_stop(&given);
	stop_replicas();
}

/* Each holds it for itself. */
static void names_may_share_an_address(void **state)
{
	char other[64];

	(void)state;
	start_replicas(2, serve_text, GOOD);
	dns_set("products", "127.0.0.2 127.0.0.3");
	dns_set("goods", "127.0.0.2");
	snprintf(other, sizeof other, "goods:%u", port);
	const struct str addresses[] = {str_from(other), str_from(text)};
	struct upstream *u = upstream_to(addresses, 2, 4);
	wait_for_addresses(u, 3);
	look_up_again(u, "127.0.0.3", 2);
	calls_end_well(u, "POST", 4);
	assert_int_equal(requests(0), 2);
	assert_int_equal(requests(1), 2);
	upstream_free(u);
	stop_replicas();
}

static void names_have_ipv6_addresses(void **state)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	static struct raw_server server = {.mutex = PTHREAD_MUTEX_INITIALIZER};
	struct upstream_address_state *states;
	socklen_t len = sizeof at;
	struct scope s;
	char expected[64];

	(void)state;
	if (!dns.runs)
		skip();
	const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&at, len) != 0) {
		close(fd);
		skip(); /* a kernel without IPv6 */
	}
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	raw_server_run_on(&server, fd, serve_text, GOOD);
	snprintf(text, sizeof text, "six:%u", ntohs(at.sin6_port));
	snprintf(expected, sizeof expected, "[::1]:%u", ntohs(at.sin6_port));
	dns_set("six", "::1");
	struct upstream *u = upstream_by_name(4);
	calls_end_well(u, "POST", 2);
	scope_begin(&s);
	assert_int_equal(upstream_states(u, &s, &states), 1);
	assert_str_equal(states[0].address, str_from(expected));
	scope_end(&s);
	upstream_free(u);
	raw_server_stop(&server);
}

static int start_all(void **state)
{
	dns_start();
	return start(state);
}

static int stop_all(void **state)
{
	const int result = stop(state);

	dns_stop();
	return result;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_all_its_addresses),
		cmocka_unit_test(new_addresses_get_calls),
		cmocka_unit_test(calls_that_wait_get_new_addresses),
		cmocka_unit_test(vanished_addresses_get_no_more_calls),
		cmocka_unit_test(an_address_that_comes_back_is_a_new_one),
		cmocka_unit_test(a_name_may_come_later),
		cmocka_unit_test(without_a_name_server_the_addresses_stay),
		cmocka_unit_test(dead_addresses_cost_no_call),
		cmocka_unit_test(a_refusal_brings_the_next_look_up_forward),
		cmocka_unit_test(names_and_addresses_mix),
		cmocka_unit_test(names_may_share_an_address),
		cmocka_unit_test(names_have_ipv6_addresses),
	};
	return cmocka_run_group_tests(tests, start_all, stop_all);
}
