/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* The dead letters of a consumer's queue (amqp/consumer.h), one after the other on a blocking
 * connection. What was taken and not redriven is in its place again when the connection ends. */
struct letters;

struct letter {
	struct str id; /* of the message */
	struct str type; /* of the event; STR_NONE when it is none */
	struct str subject;
	int64_t sequence;
	int64_t attempts;
	struct str failed_at;
	struct str reason;
	struct str body;
	uint64_t tag;
};

/* Connects; the connection ends with s. FAULT_BAD_REQUEST: the URL is none; FAULT_UNAVAILABLE: the
 * broker is away; FAULT_NOT_FOUND: no consumer has such a queue. */
enum fault letters_open(
	struct scope *s, struct str url, const char *queue, struct letters **letters) MUST_CHECK;

/* Takes the next of those that were there in the beginning; false in *found behind the last one. It
 * lives in the scope. */
enum fault letters_next(struct letters *letters, struct letter *letter, bool *found) MUST_CHECK;

/* Puts it into the queue that it came from, as if it had never failed, and takes it out of the dead
 * letters once that is confirmed. */
enum fault letters_redrive(struct letters *letters, const struct letter *letter) MUST_CHECK;
