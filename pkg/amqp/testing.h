/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the package's tests share, beside pg/testing.h: the broker of the test run, a proxy before
 * it, and a connection of the test's own that looks at queues from outside. */
#include "pg/testing.h"

#include "amqp/link.h"
#include "amqp/publisher.h"
#include "pg/proxy.h"

#include <amqp_tcp_socket.h>

static struct {
	struct proxy *proxy;
	struct broker broker; /* the server itself */
	struct broker proxied; /* the same through the proxy */
	char url[256];
	amqp_connection_state_t observer;
} rabbit;

static inline void observer_check(const char *what)
{
	if (amqp_get_rpc_reply(rabbit.observer).reply_type != AMQP_RESPONSE_NORMAL)
		fail_msg("the observer: %s", what);
}

static inline int rabbit_begin(void)
{
	const char *const url = getenv("TEST_RABBITMQ_URL");
	struct amqp_connection_info to;
	static char parsed[256];

	if (url == NULL) {
		print_error("TEST_RABBITMQ_URL is not set: run this under tools/with-servers "
			    "--rabbitmq\n");
		return -1;
	}
	snprintf(parsed, sizeof parsed, "%s", url);
	amqp_default_connection_info(&to);
	assert_int_equal(amqp_parse_url(parsed, &to), AMQP_STATUS_OK);
	rabbit.proxy = proxy_new_to_port(to.port);
	snprintf(rabbit.url, sizeof rabbit.url, "amqp://%s:%s@127.0.0.1:%d/%%2f", to.user,
		to.password, proxy_port(rabbit.proxy));
	rabbit.broker = (struct broker){.url = str_from(url), .name = world.name};
	rabbit.proxied = (struct broker){.url = str_from(rabbit.url), .name = world.name};
	rabbit.observer = amqp_new_connection();
	assert_int_equal(
		amqp_socket_open(amqp_tcp_socket_new(rabbit.observer), to.host, to.port), 0);
	assert_int_equal(amqp_login(rabbit.observer, "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0,
				 AMQP_SASL_METHOD_PLAIN, to.user, to.password)
				 .reply_type,
		AMQP_RESPONSE_NORMAL);
	amqp_channel_open(rabbit.observer, 1);
	observer_check("channel");
	amqp_exchange_declare(rabbit.observer, 1, amqp_cstring_bytes(BROKER_EXCHANGE),
		amqp_cstring_bytes("topic"), false, true, false, false, amqp_empty_table);
	observer_check("exchange");
	return 0;
}

static inline void rabbit_end(void)
{
	amqp_destroy_connection(rabbit.observer);
	proxy_free(rabbit.proxy);
}

/* A new queue of the observer's, bound to the exchange by the key. */
static inline void observe_key(const char *queue, const char *key)
{
	amqp_queue_delete(rabbit.observer, 1, amqp_cstring_bytes(queue), false, false);
	amqp_queue_declare(rabbit.observer, 1, amqp_cstring_bytes(queue), false, false, true, false,
		amqp_empty_table);
	observer_check(queue);
	amqp_queue_bind(rabbit.observer, 1, amqp_cstring_bytes(queue),
		amqp_cstring_bytes(BROKER_EXCHANGE), amqp_cstring_bytes(key), amqp_empty_table);
	observer_check(key);
}

static inline void forget_queue(const char *queue)
{
	amqp_queue_delete(rabbit.observer, 1, amqp_cstring_bytes(queue), false, false);
	observer_check(queue);
}

/* Messages that are ready there. */
static inline unsigned queue_depth(const char *queue)
{
	const amqp_queue_declare_ok_t *const ok = amqp_queue_declare(rabbit.observer, 1,
		amqp_cstring_bytes(queue), true, false, false, false, amqp_empty_table);

	observer_check(queue);
	return ok->message_count;
}

/* Those that are subscribed. */
static inline unsigned queue_consumers(const char *queue)
{
	const amqp_queue_declare_ok_t *const ok = amqp_queue_declare(rabbit.observer, 1,
		amqp_cstring_bytes(queue), true, false, false, false, amqp_empty_table);

	observer_check(queue);
	return ok->consumer_count;
}

/* Takes the queue's first message; NULL when it is empty. The caller frees the body's copy. */
static inline char *queue_get(const char *queue, amqp_message_t *message)
{
	const amqp_rpc_reply_t reply =
		amqp_basic_get(rabbit.observer, 1, amqp_cstring_bytes(queue), true);
	char *body;

	assert_int_equal(reply.reply_type, AMQP_RESPONSE_NORMAL);
	if (reply.reply.id != AMQP_BASIC_GET_OK_METHOD)
		return NULL;
	assert_int_equal(
		amqp_read_message(rabbit.observer, 1, message, 0).reply_type, AMQP_RESPONSE_NORMAL);
	body = strndup(message->body.bytes, message->body.len);
	return body;
}
