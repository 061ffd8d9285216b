/* SPDX-License-Identifier: Apache-2.0
 * Replies written by field tables. */
#include "http/reply.h"

#include "json/write.h"

enum fault reply_object(
	struct reply *reply, int status, const struct field_table *table, const void *value)
{
	struct buf b = buf_new(reply->arena);

	json_write(&b, table, value);
	return reply_json(reply, status, buf_str(&b));
}

enum fault reply_list(struct reply *reply, const struct request *request,
	const struct field_table *table, const void *items, size_t count, struct str next_cursor)
{
	struct buf b = buf_new(reply->arena);

	json_write_list(&b, table, items, count, next_cursor);
	if (next_cursor.at != NULL)
		reply_next_page(reply, request, next_cursor);
	return reply_json(reply, 200, buf_str(&b));
}
