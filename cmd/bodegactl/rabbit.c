/* SPDX-License-Identifier: Apache-2.0
 * librabbitmq's blocking calls for commands. */
#include "rabbit.h"

#include "amqp/link.h"

#include <amqp_tcp_socket.h>
#include <stdio.h>

enum { CONNECT_S = 5, URL_MAX = 1024 };

static void end(void *arg);

enum fault rabbit_open(struct scope *s, struct str url, amqp_connection_state_t *connection)
{
	const struct timeval connect_time = {.tv_sec = CONNECT_S},
			     answer_time = {.tv_sec = RABBIT_ANSWER_S};
	amqp_connection_state_t c;
	struct amqp_connection_info to;
	char copy[URL_MAX];
	int status;

	if (!broker_url_valid(url) || url.len >= sizeof copy)
		return fail(s, FAULT_BAD_REQUEST,
			"RABBITMQ_URL must be amqp://user:password@host:port/vhost");
	snprintf(copy, sizeof copy, "%.*s", STR_ARG(url));
	amqp_default_connection_info(&to);
	amqp_parse_url(copy, &to);
	*connection = c = amqp_new_connection();
	scope_defer(s, end, c);
	amqp_set_handshake_timeout(c, &connect_time);
	amqp_set_rpc_timeout(c, &answer_time);
	status = amqp_socket_open_noblock(amqp_tcp_socket_new(c), to.host, to.port, &connect_time);
	if (status != AMQP_STATUS_OK)
		return fail(s, FAULT_UNAVAILABLE, "%s", amqp_error_string2(status));
	TRY(rabbit_answered(s, amqp_login(c, to.vhost, 0, AMQP_DEFAULT_FRAME_SIZE, 0,
				       AMQP_SASL_METHOD_PLAIN, to.user, to.password)));
	amqp_channel_open(c, LINK_CHANNEL);
	return rabbit_answered(s, amqp_get_rpc_reply(c));
}

static void end(void *arg)
{
	amqp_connection_state_t c = arg;

	amqp_connection_close(c, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(c);
}

enum fault rabbit_answered(struct scope *s, amqp_rpc_reply_t reply)
{
	if (reply.reply_type == AMQP_RESPONSE_NORMAL)
		return OK;
	if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
		return fail(s, FAULT_UNAVAILABLE, "%s", amqp_error_string2(reply.library_error));
	return fail(s, FAULT_UNAVAILABLE, "RabbitMQ refuses");
}
