/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/fault.h"

/* Bytes that come over time, on one loop, with back-pressure: the consumer pulls, the producer
 * gives one piece a pull. An object of the loop, not of a task. */
enum stream_state { STREAM_MORE, STREAM_END, STREAM_ERROR };

struct stream;

struct stream_ops {
	/* Asks for the next piece; the producer calls `give` once, now or later. */
	void (*pull)(struct stream *stream);
	/* The consumer is done with it, at the end or before; frees it. Not called from inside
	 * `give`. */
	void (*close)(struct stream *stream);
};

struct stream {
	const struct stream_ops *ops;
	/* Set by the consumer before its first pull. The bytes are valid until the next pull or
	 * close; they may be empty, but then nothing is sent, not even the head of a reply that has
	 * not begun. ERROR before anything was sent makes the reply a 502, later it breaks the
	 * connection off. After END or ERROR nothing follows but close. */
	void (*give)(struct stream *stream, struct str bytes, enum stream_state state);
	void *consumer;
};
