/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/scope.h"
#include "base/uuid.h"

/* What happened to one thing, as others are told of it: a CloudEvent 1.0 in structured JSON, with
 * the extensions sequence, partitionkey (the person), partition, position, epoch and traceparent.
 * Whole numbers are text there, but for partition, because CloudEvents has none of 64 bits. The
 * types are registered in api/events/. */

#define EVENT_CONTENT_TYPE "application/cloudevents+json"

enum { EVENT_PARTITIONS = 16 };

struct event {
	struct str id; /* unique in its source */
	struct str source; /* "/orders" */
	struct str type; /* "bodega.order.paid" */
	struct uuid subject;
	int64_t time_us; /* wall clock */
	int64_t sequence; /* the subject's version, from 1 on each has one event; 0: stands alone */
	struct uuid person; /* whom it concerns */
	int32_t partition; /* the person's */
	int64_t position; /* in the partition of its source: from 1 on without gaps; 0: none yet */
	int64_t epoch;
	struct str traceparent; /* W3C, or STR_NONE */
	struct str data; /* a JSON object */
};

/* Appends it as JSON. */
void event_write(struct buf *b, const struct event *event);

/* Reads what event_write wrote; texts live in s. FAULT_BAD_GATEWAY: it is none, and why. */
enum fault event_read(struct scope *s, struct str json, struct event *event) MUST_CHECK;

/* The routing key of a type: what follows "bodega.". */
struct str event_routing_key(struct str type);
