/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "fiber/dns.h"
#include "fiber/lookup.h"

#define SECOND INT64_C(1000000)

static struct loop *loop;

struct result {
	struct lookup *lookup;
	bool done;
	const char *error;
	char addresses[128]; /* with spaces between */
	int64_t at_us;
};

static void on_done(void *arg, const struct lookup_answer *answer)
{
	struct result *r = arg;

	r->done = true;
	r->error = answer->error;
	r->at_us = answer->at_us;
	for (size_t i = 0; i < answer->count; i++) {
		const struct lookup_address *a = &answer->addresses[i];
		char text[INET6_ADDRSTRLEN];
		const size_t len = strlen(r->addresses);

		inet_ntop(a->at.any.sa_family,
			a->at.any.sa_family == AF_INET ? (const void *)&a->at.v4.sin_addr
						       : (const void *)&a->at.v6.sin6_addr,
			text, sizeof text);
		snprintf(r->addresses + len, sizeof r->addresses - len, "%s%s", len > 0 ? " " : "",
			text);
	}
}

static void begin(struct result *r, const char *name)
{
	*r = (struct result){0};
	r->lookup = lookup_start(loop, str_from(name), on_done, r);
}

static void wait_for(const struct result *r)
{
	while (!r->done)
		loop_turn(loop, 100);
}

static struct result look_up(const char *name)
{
	struct result r;

	begin(&r, name);
	assert_false(r.done); /* never within the call */
	wait_for(&r);
	return r;
}

/* The next look-up asks anew. */
static void let_time_pass(void)
{
	clock_advance_us(LOOKUP_SHARED_US);
	loop_turn(loop, 0);
}

static void need_dns(void)
{
	if (!dns.runs)
		skip();
}

static void numbers_need_no_server(void **state)
{
	static const struct {
		const char *text;
		const char *address; /* NULL: it is none */
	} cases[] = {
		{"127.0.0.1", "127.0.0.1"},
		{"::1", "::1"},
		{"2001:db8::17", "2001:db8::17"},
		{"10.0.0.256", NULL},
		{"127.1", NULL},
		{"[::1]", NULL},
		{"", NULL},
		{"a b", NULL},
		{"a..b", NULL},
		{".a", NULL},
		{"a/b", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct result r = look_up(cases[i].text);

		if (cases[i].address != NULL)
			assert_string_equal(r.addresses, cases[i].address);
		else
			assert_string_equal(r.error, "it is no host's name");
	}
}

static void names_are_told_from_mistakes(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{"products", true},
		{"bodega-products-headless.shop.svc.cluster.local", true},
		{"products.", true},
		{"a_b", true},
		{"3com", true},
		{"10.0.0.1.nip.io", true},
		{"1.2.3.4x", true},
		{"", false},
		{".", false},
		{"a..b", false},
		{"a.b..", false},
		{"10.0.0.256", false},
		{"10.0.0.256.", false},
		{"pro ducts", false},
		{"pro,ducts", false},
		{"user@host", false},
		{"pr\xc3\xb6", false},
	};
	char longest[LOOKUP_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (lookup_name_valid(str_from(cases[i].text)) != cases[i].valid)
			fail_row(i, "\"%s\"", cases[i].text);
	memset(longest, 'a', sizeof longest);
	assert_true(lookup_name_valid(str_of(longest, LOOKUP_NAME_MAX)));
	assert_false(lookup_name_valid(str_of(longest, LOOKUP_NAME_MAX + 1)));
}

static void names_have_all_their_addresses(void **state)
{
	(void)state;
	need_dns();
	dns_set("products", "127.0.0.2 127.0.0.3 127.0.0.4");
	dns_set("both", "127.0.0.2 ::1");
	struct result r = look_up("products");
	assert_non_null(strstr(r.addresses, "127.0.0.2"));
	assert_non_null(strstr(r.addresses, "127.0.0.3"));
	assert_non_null(strstr(r.addresses, "127.0.0.4"));
	r = look_up("both");
	assert_non_null(strstr(r.addresses, "127.0.0.2"));
	assert_non_null(strstr(r.addresses, "::1"));
	r = look_up("from-the-file");
	assert_string_equal(r.addresses, "127.0.0.9");
	r = look_up("nobody");
	assert_string_equal(r.error, "Name or service not known");
	assert_string_equal(r.addresses, "");
}

static void addresses_change(void **state)
{
	(void)state;
	need_dns();
	dns_set("moved", "127.0.0.2");
	struct result r = look_up("moved");
	assert_string_equal(r.addresses, "127.0.0.2");
	dns_set("moved", "127.0.0.3");
	let_time_pass();
	r = look_up("moved");
	assert_string_equal(r.addresses, "127.0.0.3");
	dns_set("moved", "");
	let_time_pass();
	r = look_up("moved");
	assert_non_null(r.error);
}

/* While one runs and shortly after: many threads and pools ask for the same few names. */
static void askers_share_an_answer(void **state)
{
	struct result r[8];

	(void)state;
	need_dns();
	dns_set("shared", "127.0.0.2");
	atomic_store(&dns.queries, 0);
	for (size_t i = 0; i < 8; i++)
		begin(&r[i], "shared");
	for (size_t i = 0; i < 8; i++) {
		wait_for(&r[i]);
		assert_string_equal(r[i].addresses, "127.0.0.2");
		assert_int_equal(r[i].at_us, r[0].at_us);
	}
	const struct result later = look_up("shared");
	assert_int_equal(later.at_us, r[0].at_us);
	assert_int_equal(atomic_load(&dns.queries), 1);
	let_time_pass();
	const struct result anew = look_up("shared");
	assert_true(anew.at_us > later.at_us);
	assert_int_equal(atomic_load(&dns.queries), 2);
}

/* The loop turns on, and who asked is told in time; the thread ends when the server is back. */
static void servers_that_hang_hold_nobody_up(void **state)
{
	struct result r, next;

	(void)state;
	need_dns();
	atomic_store(&dns.queries, 0);
	atomic_store(&dns.is_silent, true);
	begin(&r, "slow");
	while (atomic_load(&dns.queries) == 0)
		loop_turn(loop, 1);
	assert_false(r.done);
	clock_advance_us(LOOKUP_US);
	loop_turn(loop, 0);
	assert_true(r.done);
	assert_string_equal(r.error, "no name server answered in time");
	dns_set("slow", "127.0.0.7");
	begin(&next, "slow"); /* waits for the same thread, whose second query is answered */
	atomic_store(&dns.is_silent, false);
	wait_for(&next);
	assert_string_equal(next.addresses, "127.0.0.7");
}

static void cancelled_ones_are_not_called(void **state)
{
	struct result waiting, answered, kept;

	(void)state;
	need_dns();
	dns_set("left", "127.0.0.2");
	begin(&waiting, "left");
	begin(&kept, "left");
	lookup_cancel(&waiting.lookup);
	assert_null(waiting.lookup);
	begin(&answered, "127.0.0.1"); /* is on its way already */
	lookup_cancel(&answered.lookup);
	lookup_cancel(&answered.lookup); /* NULL */
	wait_for(&kept);
	assert_false(waiting.done);
	assert_false(answered.done);
}

static void names_under_way_are_bounded(void **state)
{
	static struct result r[LOOKUP_NAMES_MAX + 1];

	(void)state;
	need_dns();
	let_time_pass();
	atomic_store(&dns.is_silent, true);
	for (size_t i = 0; i < sizeof r / sizeof r[0]; i++) {
		char name[32];

		snprintf(name, sizeof name, "n%zu", i);
		begin(&r[i], name);
	}
	loop_turn(loop, 0);
	assert_string_equal(r[LOOKUP_NAMES_MAX].error, "too many names are being looked up");
	assert_false(r[0].done);
	atomic_store(&dns.is_silent, false);
	for (size_t i = 0; i < LOOKUP_NAMES_MAX; i++)
		wait_for(&r[i]);
	let_time_pass();
	const struct result after = look_up("products");
	assert_null(after.error);
}

static int start(void **state)
{
	(void)state;
	dns_start();
	loop = loop_new(LOOP_LIMITS_DEFAULT);
	return 0;
}

/* One is still on its way: the loop waits for it, not for the name server. */
static int stop(void **state)
{
	struct result r, slow;

	(void)state;
	atomic_store(&dns.is_silent, true);
	begin(&r, "127.0.0.1");
	begin(&slow, "never");
	lookup_cancel(&r.lookup);
	lookup_cancel(&slow.lookup);
	loop_free(loop);
	dns_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_need_no_server),
		cmocka_unit_test(names_are_told_from_mistakes),
		cmocka_unit_test(names_have_all_their_addresses),
		cmocka_unit_test(addresses_change),
		cmocka_unit_test(askers_share_an_answer),
		cmocka_unit_test(servers_that_hang_hold_nobody_up),
		cmocka_unit_test(cancelled_ones_are_not_called),
		cmocka_unit_test(names_under_way_are_bounded),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
