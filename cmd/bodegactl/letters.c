/* SPDX-License-Identifier: Apache-2.0
 * AMQP for a command: each call waits for the broker. */
#include "letters.h"

#include "amqp/consumer.h"
#include "amqp/link.h"
#include "rabbit.h"

#include <stdio.h>

enum { QUEUE_MAX = 128 };

struct letters {
	struct scope *s;
	amqp_connection_state_t connection;
	char queue[QUEUE_MAX];
	char dead[QUEUE_MAX + sizeof CONSUMER_DEAD];
	uint32_t left; /* of those that were there */
};

static enum fault find_queue(struct letters *l);
static void read_letter(struct letters *l, const amqp_message_t *message, struct letter *letter);
static struct str header(struct scope *s, const amqp_message_t *message, const char *name);
static enum fault await_confirm(struct letters *l);

enum fault letters_open(
	struct scope *s, struct str url, const char *queue, struct letters **letters)
{
	struct letters *const l = scope_alloc(s, sizeof *l);

	snprintf(l->queue, sizeof l->queue, "%s", queue);
	snprintf(l->dead, sizeof l->dead, "%s" CONSUMER_DEAD, l->queue);
	l->s = s;
	TRY(rabbit_open(s, url, &l->connection));
	TRY(find_queue(l));
	amqp_confirm_select(l->connection, LINK_CHANNEL);
	*letters = l;
	return rabbit_answered(l->s, amqp_get_rpc_reply(l->connection));
}

static enum fault find_queue(struct letters *l)
{
	const amqp_queue_declare_ok_t *const found = amqp_queue_declare(l->connection, LINK_CHANNEL,
		amqp_cstring_bytes(l->dead), true, false, false, false, amqp_empty_table);

	if (found == NULL)
		return fail(l->s, FAULT_NOT_FOUND, "there is no queue %s", l->dead);
	l->left = found->message_count;
	return OK;
}

enum fault letters_next(struct letters *l, struct letter *letter, bool *found)
{
	amqp_message_t message;
	amqp_rpc_reply_t reply;

	*found = false;
	if (l->left == 0)
		return OK;
	l->left--;
	amqp_maybe_release_buffers(l->connection);
	reply = amqp_basic_get(l->connection, LINK_CHANNEL, amqp_cstring_bytes(l->dead), false);
	TRY(rabbit_answered(l->s, reply));
	if (reply.reply.id != AMQP_BASIC_GET_OK_METHOD)
		return OK;
	*found = true;
	*letter = (struct letter){
		.tag = ((const amqp_basic_get_ok_t *)reply.reply.decoded)->delivery_tag};
	TRY(rabbit_answered(l->s, amqp_read_message(l->connection, LINK_CHANNEL, &message, 0)));
	read_letter(l, &message, letter);
	amqp_destroy_message(&message);
	return OK;
}

static void read_letter(struct letters *l, const amqp_message_t *message, struct letter *letter)
{
	char subject[UUID_TEXT_LEN + 1];
	struct event event;

	if ((message->properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0)
		letter->id = scope_dup(l->s, link_str(message->properties.message_id));
	letter->body = scope_dup(l->s, link_str(message->body));
	letter->reason = header(l->s, message, CONSUMER_REASON);
	letter->failed_at = header(l->s, message, CONSUMER_FAILED_AT);
	if (!str_to_int64(header(l->s, message, CONSUMER_ATTEMPTS), &letter->attempts))
		letter->attempts = 0;
	if (event_read(l->s, letter->body, &event) != OK) {
		scope_forgive(l->s);
		return;
	}
	letter->id = event.id;
	letter->type = event.type;
	letter->subject = scope_dup(l->s, uuid_format(&event.subject, subject));
	letter->sequence = event.sequence;
}

static struct str header(struct scope *s, const amqp_message_t *message, const char *name)
{
	const amqp_table_t *const headers = &message->properties.headers;

	if ((message->properties._flags & AMQP_BASIC_HEADERS_FLAG) == 0)
		return STR_NONE;
	for (int i = 0; i < headers->num_entries; i++)
		if (str_eq(link_str(headers->entries[i].key), str_from(name)) &&
			headers->entries[i].value.kind == AMQP_FIELD_KIND_UTF8)
			return scope_dup(s, link_str(headers->entries[i].value.value.bytes));
	return STR_NONE;
}

enum fault letters_redrive(struct letters *l, const struct letter *letter)
{
	const amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG |
	                  AMQP_BASIC_MESSAGE_ID_FLAG,
		.delivery_mode = AMQP_DELIVERY_PERSISTENT,
		.content_type = amqp_cstring_bytes(EVENT_CONTENT_TYPE),
		.message_id = link_bytes(letter->id),
	};
	int status = amqp_basic_publish(l->connection, LINK_CHANNEL, amqp_empty_bytes,
		amqp_cstring_bytes(l->queue), true, false, &properties, link_bytes(letter->body));

	if (status == AMQP_STATUS_OK) {
		TRY(await_confirm(l));
		status = amqp_basic_ack(l->connection, LINK_CHANNEL, letter->tag, false);
	}
	if (status == AMQP_STATUS_OK)
		return OK;
	return fail(l->s, FAULT_UNAVAILABLE, "%s", amqp_error_string2(status));
}

/* One message is on its way; should it be returned (no such queue) that comes before the confirm.
 */
static enum fault await_confirm(struct letters *l)
{
	const struct timeval time = {.tv_sec = RABBIT_ANSWER_S};
	amqp_frame_t frame;

	if (amqp_simple_wait_frame_noblock(l->connection, &frame, &time) != AMQP_STATUS_OK)
		return fail(l->s, FAULT_UNAVAILABLE, "RabbitMQ has not confirmed it");
	if (frame.frame_type == AMQP_FRAME_METHOD &&
		frame.payload.method.id == AMQP_BASIC_ACK_METHOD)
		return OK;
	return fail(l->s, FAULT_UNAVAILABLE, "RabbitMQ did not take it into %s", l->queue);
}
