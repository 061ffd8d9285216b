/* SPDX-License-Identifier: Apache-2.0
 * Events as JSON and back, by one table. */
#include "amqp/event.h"

#include "json/field.h"
#include "json/write.h"

#include <stdio.h>

enum { NUMBER_CHARS = 24 };

/* As it travels. */
struct wire {
	struct str specversion;
	struct str id;
	struct str source;
	struct str type;
	struct uuid subject;
	int64_t time;
	struct str datacontenttype;
	struct str sequence;
	struct uuid partitionkey;
	int32_t partition;
	struct str position;
	struct str epoch;
	struct str traceparent;
	struct str data;
};

static const struct field fields[] = {
	FIELD(struct wire, specversion, TEXT, REQUIRED),
	FIELD(struct wire, id, TEXT, REQUIRED),
	FIELD(struct wire, source, TEXT, REQUIRED),
	FIELD(struct wire, type, TEXT, REQUIRED),
	FIELD(struct wire, subject, UUID, REQUIRED),
	FIELD(struct wire, time, TIME, REQUIRED),
	FIELD(struct wire, datacontenttype, TEXT, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct wire, sequence, TEXT, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct wire, partitionkey, UUID, REQUIRED),
	FIELD(struct wire, partition, INT32, REQUIRED),
	FIELD(struct wire, position, TEXT, REQUIRED),
	FIELD(struct wire, epoch, TEXT, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct wire, traceparent, TEXT, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct wire, data, RAW, REQUIRED),
};

static const struct field_table table = FIELD_TABLE(struct wire, fields);

static struct str number_text(int64_t number, char out[NUMBER_CHARS]);
static enum fault number_of(
	struct scope *s, const char *name, struct str text, int64_t least, int64_t *number);

void event_write(struct buf *b, const struct event *event)
{
	char sequence[NUMBER_CHARS], position[NUMBER_CHARS], epoch[NUMBER_CHARS];
	const struct wire wire = {
		.specversion = STR("1.0"),
		.id = event->id,
		.source = event->source,
		.type = event->type,
		.subject = event->subject,
		.time = event->time_us,
		.datacontenttype = STR("application/json"),
		.sequence = event->sequence > 0 ? number_text(event->sequence, sequence) : STR_NONE,
		.partitionkey = event->person,
		.partition = event->partition,
		.position = number_text(event->position, position),
		.epoch = event->epoch > 0 ? number_text(event->epoch, epoch) : STR_NONE,
		.traceparent = event->traceparent,
		.data = event->data,
	};

	json_write(b, &table, &wire);
}

enum fault event_read(struct scope *s, struct str json, struct event *event)
{
	struct wire wire = {0};

	*event = (struct event){0};
	TRY(json_read_lenient(s, json, &table, &wire));
	if (!str_eq(wire.specversion, STR("1.0")))
		return fail(s, FAULT_BAD_GATEWAY, "CloudEvents of version %.*s, not 1.0",
			STR_ARG(wire.specversion));
	if (wire.partition < 0 || wire.partition >= EVENT_PARTITIONS)
		return fail(s, FAULT_BAD_GATEWAY, "partition %d", wire.partition);
	TRY(number_of(s, "position", wire.position, 0, &event->position));
	if (wire.sequence.len > 0)
		TRY(number_of(s, "sequence", wire.sequence, 1, &event->sequence));
	if (wire.epoch.len > 0)
		TRY(number_of(s, "epoch", wire.epoch, 1, &event->epoch));
	event->id = wire.id;
	event->source = wire.source;
	event->type = wire.type;
	event->subject = wire.subject;
	event->time_us = wire.time;
	event->person = wire.partitionkey;
	event->partition = wire.partition;
	event->traceparent = wire.traceparent;
	event->data = wire.data;
	return OK;
}

struct str event_routing_key(struct str type)
{
	const struct str prefix = STR("bodega.");

	return str_starts(type, prefix) ? str_skip(type, prefix.len) : type;
}

static struct str number_text(int64_t number, char out[NUMBER_CHARS])
{
	snprintf(out, NUMBER_CHARS, "%lld", (long long)number);
	return str_from(out);
}

static enum fault number_of(
	struct scope *s, const char *name, struct str text, int64_t least, int64_t *number)
{
	if (str_to_int64(text, number) && *number >= least)
		return OK;
	return fail(s, FAULT_BAD_GATEWAY, "%s is \"%.*s\"", name, STR_ARG(text));
}
