/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "http/head.h"

struct row {
	const char *head;
	enum fault fault;
};

#define GOOD "GET / HTTP/1.1\r\nHost: shop.example:8080\r\n"

static const struct row rows[] = {
	{GOOD "\r\n", OK},
	{"\r\n" GOOD "\r\n", OK},
	{GOOD "Accept: */*\r\nX-Empty:\r\n\r\n", OK},
	{GOOD "Content-Length: 3\r\n\r\nabc", OK},
	{GOOD "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", OK},
	{"GET / HTTP/1.0\r\n\r\n", OK},
	{"GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", OK},
	{"GET / HTTP/1.1\r\nHost:\r\n\r\n", OK},
	{GOOD "X: caf\xc3\xa9\r\n\r\n", OK},
	{GOOD "\r\nGET / HTTP/1.1\nbad", OK}, /* what follows is another request */
	/* framing that two readers may understand in two ways */
	{GOOD "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Content-Length: 3, 3\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Content-Length: +3\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Content-Length: -3\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Content-Length: 0x3\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Content-Length:\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Content-Length: 9999999999999999999\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Transfer-Encoding: chunked\r\ncontent-length: 3\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		FAULT_BAD_REQUEST},
	{GOOD "Transfer-Encoding: gzip, chunked\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Transfer-Encoding: xchunked\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", FAULT_BAD_REQUEST},
	/* hosts */
	{"GET / HTTP/1.1\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "Host: other\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: user@host\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", FAULT_BAD_REQUEST},
	/* lines */
	{GOOD "X: a\r\n folded\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "X: a\r\n\tfolded\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "X: a\nY: b\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET / HTTP/1.1\nHost: a\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET / HTTP/1.1\nHost: a\n\n", FAULT_BAD_REQUEST},
	{GOOD "X: a\rb\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "X : a\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD ": a\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "no colon\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "X(y): a\r\n\r\n", FAULT_BAD_REQUEST},
	{GOOD "X: a\x01\r\n\r\n", FAULT_BAD_REQUEST},
	/* request lines */
	{"GET * HTTP/1.1\r\nHost: a\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", FAULT_BAD_REQUEST},
	{"G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET / HTTP/1.2\r\nHost: a\r\n\r\n", FAULT_BAD_REQUEST},
	{"GET /\r\n\r\n", FAULT_BAD_REQUEST},
	{"\r\n\r\n", FAULT_BAD_REQUEST},
	{"", FAULT_BAD_REQUEST},
};

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct scope s;
		enum fault fault;

		scope_begin(&s);
		fault = head_check(&s, str_from(rows[i].head));
		if (fault != rows[i].fault)
			fail_row(i, "\"%s\" is %s (%.*s)", rows[i].head, fault_info(fault)->code,
				STR_ARG(s.detail));
		if (fault != OK && s.detail.at == NULL)
			fail_row(i, "\"%s\": nothing says why", rows[i].head);
		scope_end(&s);
	}
}

static void test_size(void **state)
{
	static char head[HEAD_BYTES_MAX + 1];
	struct scope s;

	(void)state;
	scope_begin(&s);
	memset(head, 'a', sizeof head);
	memcpy(head, GOOD "X: ", sizeof GOOD "X: " - 1);
	memcpy(head + HEAD_BYTES_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(head_check(&s, str_of(head, HEAD_BYTES_MAX)), OK);
	memcpy(head + HEAD_BYTES_MAX - 4, "a\r\n\r\n", 5);
	assert_int_equal(head_check(&s, str_of(head, HEAD_BYTES_MAX + 1)), FAULT_HEAD_TOO_LARGE);
	scope_end(&s);
}

static void test_nul(void **state)
{
	static const char head[] = GOOD "X: a\0b\r\n\r\n";
	struct scope s;

	(void)state;
	scope_begin(&s);
	assert_int_equal(head_check(&s, str_of(head, sizeof head - 1)), FAULT_BAD_REQUEST);
	scope_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
