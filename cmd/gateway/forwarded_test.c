/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "gateway.h"

struct settings settings;

enum { HEADERS_MAX = 4 };

static enum fault open_with(struct scope *s, const char *networks)
{
	static struct str texts[8];
	struct str rest = str_from(networks), text;
	size_t count = 0;

	while (rest.len > 0 && str_cut(&rest, ',', &text))
		texts[count++] = str_trim(text);
	settings.trusted_proxies = (struct texts){texts, count};
	return forwarded_open(s);
}

static void networks(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"", true},
		{"10.0.0.0/8", true},
		{"10.0.0.0/8, fd00::/8, 192.0.2.1, ::1", true},
		{"0.0.0.0/0", true},
		{"::/0", true},
		{"10.1.2.3/8", true},
		{"10.0.0.0/33", false},
		{"10.0.0.0/", false},
		{"10.0.0.0/-1", false},
		{"10.0.0.0/8/8", false},
		{"10.0.0/8", false},
		{"fd00::/129", false},
		{"ingress", false},
		{"10.0.0.1:80", false},
		{"10.0.0.0/8,oops", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scope s;

		scope_begin(&s);
		if ((open_with(&s, rows[i].text) == OK) != rows[i].good ||
			(s.error_count == 0) != rows[i].good)
			fail_row(i, "%s", rows[i].text);
		scope_end(&s);
	}
}

static void clients(void **state)
{
	static const struct {
		const char *trusted, *peer, *forwarded[2], *proto;
		const char *client, *scheme;
	} rows[] = {
		/* nobody is trusted, or not this one */
		{"", "10.0.0.1", {"203.0.113.9"}, "https", "10.0.0.1", "http"},
		{"10.0.0.0/8", "11.0.0.1", {"203.0.113.9"}, "https", "11.0.0.1", "http"},
		{"fd00::/8", "10.0.0.1", {"203.0.113.9"}, "https", "10.0.0.1", "http"},
		/* one proxy: what stands before its own entry it has only handed on */
		{"10.0.0.0/8", "10.0.0.1", {"203.0.113.9"}, "https", "203.0.113.9", "https"},
		{"10.0.0.0/8", "10.255.255.255", {"203.0.113.9"}, "http", "203.0.113.9", "http"},
		{"10.0.0.0/8", "10.0.0.1", {"192.0.2.66, 203.0.113.9"}, NULL, "203.0.113.9",
			"http"},
		{"10.0.0.0/8", "10.0.0.1", {"10.0.0.7, 203.0.113.9"}, NULL, "203.0.113.9", "http"},
		/* a chain of them */
		{"10.0.0.0/8, 198.51.100.7", "10.0.0.1", {"192.0.2.66, 203.0.113.9,198.51.100.7"},
			"https", "203.0.113.9", "https"},
		{"10.0.0.0/8", "10.0.0.1", {"192.0.2.66", "203.0.113.9"}, NULL, "203.0.113.9",
			"http"},
		{"10.0.0.0/8", "10.0.0.1", {"203.0.113.9", "10.2.2.2"}, NULL, "203.0.113.9",
			"http"},
		{"10.0.0.0/8", "10.0.0.1", {"10.3.3.3, 10.2.2.2"}, NULL, "10.3.3.3", "http"},
		/* prefixes that do not end with a byte */
		{"172.16.0.0/12", "172.31.0.1", {"203.0.113.9"}, NULL, "203.0.113.9", "http"},
		{"172.16.0.0/12", "172.32.0.1", {"203.0.113.9"}, NULL, "172.32.0.1", "http"},
		{"192.0.2.1", "192.0.2.1", {"203.0.113.9"}, NULL, "203.0.113.9", "http"},
		{"192.0.2.1", "192.0.2.2", {"203.0.113.9"}, NULL, "192.0.2.2", "http"},
		/* IPv6, ports, and both in one line */
		{"fd00::/8", "fd12::1", {"2001:DB8::9"}, NULL, "2001:db8::9", "http"},
		{"fd00::/8", "fd12::1", {"[2001:db8::9]:4711"}, NULL, "2001:db8::9", "http"},
		{"fd00::/8", "fd12::1", {"203.0.113.9:4711"}, NULL, "203.0.113.9", "http"},
		{"::ffff:10.0.0.0/104", "10.0.0.1", {"203.0.113.9"}, NULL, "203.0.113.9", "http"},
		{"10.0.0.0/8", "10.0.0.1", {"::ffff:203.0.113.9"}, NULL, "203.0.113.9", "http"},
		{"0.0.0.0/0", "fd12::1", {"203.0.113.9"}, NULL, "fd12::1", "http"},
		/* what is no address ends the walk */
		{"10.0.0.0/8", "10.0.0.1", {NULL}, NULL, "10.0.0.1", "http"},
		{"10.0.0.0/8", "10.0.0.1", {""}, NULL, "10.0.0.1", "http"},
		{"10.0.0.0/8", "10.0.0.1", {"203.0.113.9, unknown"}, NULL, "10.0.0.1", "http"},
		{"10.0.0.0/8", "10.0.0.1", {"203.0.113.9,"}, NULL, "10.0.0.1", "http"},
		{"10.0.0.0/8", "10.0.0.1", {"203.0.113.9, oops, 10.2.2.2"}, NULL, "10.2.2.2",
			"http"},
		{"10.0.0.0/8", "10.0.0.1", {"203.0.113.9", "oops"}, NULL, "10.0.0.1", "http"},
		/* schemes */
		{"10.0.0.0/8", "10.0.0.1", {NULL}, "HTTPS", "10.0.0.1", "https"},
		{"10.0.0.0/8", "10.0.0.1", {NULL}, "https, http", "10.0.0.1", "http"},
		{"10.0.0.0/8", "10.0.0.1", {NULL}, "gopher", "10.0.0.1", "http"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct header headers[HEADERS_MAX];
		struct request request = {.target = STR("/"),
			.peer = str_from(rows[i].peer),
			.scheme = STR("http"),
			.headers = headers};
		struct scope s;

		for (size_t k = 0; k < 2; k++)
			if (rows[i].forwarded[k] != NULL)
				headers[request.header_count++] = (struct header){
					STR("x-forwarded-for"), str_from(rows[i].forwarded[k])};
		if (rows[i].proto != NULL)
			headers[request.header_count++] =
				(struct header){STR("x-forwarded-proto"), str_from(rows[i].proto)};
		scope_begin(&s);
		assert_int_equal(open_with(&s, rows[i].trusted), OK);
		receive(&s, &request);
		if (!str_eq(request.peer, str_from(rows[i].client)) ||
			!str_eq(request.scheme, str_from(rows[i].scheme)))
			fail_row(i, "%.*s by %.*s", STR_ARG(request.peer), STR_ARG(request.scheme));
		assert_int_equal(request.header_count, 0); /* whoever sent them */
		scope_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks),
		cmocka_unit_test(clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
