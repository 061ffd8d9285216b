/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* Frames of a WebSocket (RFC 6455 5.2) as a server reads and writes them. */

enum ws_opcode {
	WS_CONTINUATION = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10
};

enum { WS_HEAD_MAX = 14, WS_CONTROL_MAX = 125 };

struct ws_frame {
	enum ws_opcode opcode;
	bool fin;
	size_t head_len;
	uint64_t payload_len;
	uint8_t mask[4];
};

enum ws_read { WS_PARTIAL, WS_READ, WS_MALFORMED };

/* The head of a client's frame: masked, without extensions, its length in the shortest form; a
 * control frame is whole and at most WS_CONTROL_MAX. */
enum ws_read ws_frame_read(struct str bytes, struct ws_frame *frame);

/* The payload in the clear, in place. */
void ws_unmask(char *payload, size_t len, const uint8_t mask[4]);

static inline bool ws_is_control(enum ws_opcode opcode)
{
	return opcode >= WS_CLOSE;
}

/* The head of a whole frame of ours; its length. */
size_t ws_head_write(char out[WS_HEAD_MAX], enum ws_opcode opcode, size_t payload_len);

/* A Close frame's payload: nothing, or a code that may be sent and a reason in UTF-8. False if it
 * is not; `utf8` says whether that was the reason's fault. */
bool ws_close_is_valid(struct str payload, bool *utf8);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key; false when that is no 16 bytes in base64. */
enum { WS_ACCEPT_LEN = 28 };
bool ws_accept(struct str key, char out[WS_ACCEPT_LEN + 1]);
