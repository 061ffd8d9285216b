/* SPDX-License-Identifier: Apache-2.0
 * Events written and read back, and what is none. */
#include "base/testing.h"

#include "amqp/event.h"

static struct event sample(void)
{
	struct event event = {
		.id = STR("17"),
		.source = STR("/orders"),
		.type = STR("bodega.order.paid"),
		.time_us = INT64_C(1795242322123000),
		.sequence = 3,
		.partition = 11,
		.position = INT64_C(9007199254740993),
		.epoch = 2,
		.traceparent = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
		.data = STR("{\"status\":\"paid\"}"),
	};

	assert_true(uuid_parse(STR("018f2f9e-7c00-7000-8000-000000000001"), &event.subject));
	assert_true(uuid_parse(STR("018f2f9e-7c00-7000-8000-000000000002"), &event.person));
	return event;
}

static void it_is_a_cloud_event(void **state)
{
	const struct event event = sample();
	struct scope s;
	struct buf b;

	(void)state;
	scope_begin(&s);
	b = buf_new(s.arena);
	event_write(&b, &event);
	assert_str_equal(buf_str(&b),
		STR("{\"specversion\":\"1.0\",\"id\":\"17\",\"source\":\"/orders\","
		    "\"type\":\"bodega.order.paid\","
		    "\"subject\":\"018f2f9e-7c00-7000-8000-000000000001\","
		    "\"time\":\"2026-11-21T06:25:22.123Z\","
		    "\"datacontenttype\":\"application/json\",\"sequence\":\"3\","
		    "\"partitionkey\":\"018f2f9e-7c00-7000-8000-000000000002\",\"partition\":11,"
		    "\"position\":\"9007199254740993\",\"epoch\":\"2\","
		    "\"traceparent\":"
		    "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\","
		    "\"data\":{\"status\":\"paid\"}}"));
	scope_end(&s);
}

static void what_was_written_is_read(void **state)
{
	const struct event event = sample();
	struct event again;
	struct scope s;
	struct buf b;

	(void)state;
	scope_begin(&s);
	b = buf_new(s.arena);
	event_write(&b, &event);
	assert_int_equal(event_read(&s, buf_str(&b), &again), OK);
	assert_str_equal(again.id, event.id);
	assert_str_equal(again.source, event.source);
	assert_str_equal(again.type, event.type);
	assert_true(uuid_eq(&again.subject, &event.subject));
	assert_true(uuid_eq(&again.person, &event.person));
	assert_int_equal(again.time_us, event.time_us);
	assert_int_equal(again.sequence, event.sequence);
	assert_int_equal(again.partition, event.partition);
	assert_int_equal(again.position, event.position);
	assert_int_equal(again.epoch, event.epoch);
	assert_str_equal(again.traceparent, event.traceparent);
	assert_str_equal(again.data, event.data);
	scope_end(&s);
}

#define EVENT_START                                                                    \
	"{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/orders\",\"type\":\"t\"," \
	"\"subject\":\"018f2f9e-7c00-7000-8000-000000000001\","                        \
	"\"time\":\"2026-11-21T06:25:22Z\","                                           \
	"\"partitionkey\":\"018f2f9e-7c00-7000-8000-000000000002\",\"data\":{},"

static void what_is_none(void **state)
{
	static const struct {
		const char *json;
		enum fault fault;
	} cases[] = {
		{EVENT_START "\"partition\":0,\"position\":\"1\"}", OK},
		{EVENT_START "\"partition\":0,\"position\":\"1\",\"new\":true}", OK},
		{EVENT_START "\"partition\":16,\"position\":\"1\"}", FAULT_BAD_GATEWAY},
		{EVENT_START "\"partition\":0,\"position\":\"x\"}", FAULT_BAD_GATEWAY},
		{EVENT_START "\"partition\":0,\"position\":\"1\",\"sequence\":\"0\"}",
			FAULT_BAD_GATEWAY},
		{EVENT_START "\"partition\":0}", FAULT_BAD_GATEWAY},
		{"{\"specversion\":\"1.0\"}", FAULT_BAD_GATEWAY},
		{"[]", FAULT_BAD_GATEWAY},
		{"poison", FAULT_BAD_GATEWAY},
		{"", FAULT_BAD_GATEWAY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct event event;
		enum fault fault;
		struct scope s;

		scope_begin(&s);
		fault = event_read(&s, str_from(cases[i].json), &event);
		if (fault != cases[i].fault || (fault != OK && s.detail.len == 0))
			fail_row(i, "%d, \"%.*s\"", fault, STR_ARG(s.detail));
		scope_end(&s);
	}
}

static void routing_keys(void **state)
{
	(void)state;
	assert_str_equal(event_routing_key(STR("bodega.order.paid")), STR("order.paid"));
	assert_str_equal(event_routing_key(STR("com.example.thing")), STR("com.example.thing"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_a_cloud_event),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(routing_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
