/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a client's frames, one after the other. What is taken is what a client may send, and
 * its head is read the same however many of its bytes have come. */
#include "base/check.h"
#include "http/ws_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_head(struct str bytes, const struct ws_frame *frame)
{
	CHECK(frame->head_len >= 6 && frame->head_len <= WS_HEAD_MAX);
	CHECK(frame->head_len <= bytes.len && frame->payload_len <= INT64_MAX);
	CHECK(!ws_is_control(frame->opcode) ||
		(frame->fin && frame->payload_len <= WS_CONTROL_MAX));
	for (size_t len = 0; len < frame->head_len; len++) {
		struct ws_frame part;

		CHECK(ws_frame_read(str_of(bytes.at, len), &part) == WS_PARTIAL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_of((const char *)data, size);
	struct ws_frame frame;
	char accept[WS_ACCEPT_LEN + 1];

	(void)ws_accept(rest, accept);
	while (ws_frame_read(rest, &frame) == WS_READ) {
		struct str payload;
		bool utf8;

		try_head(rest, &frame);
		payload = str_skip(rest, frame.head_len);
		if (payload.len < frame.payload_len)
			break;
		payload.len = (size_t)frame.payload_len;
		if (frame.opcode == WS_CLOSE && ws_close_is_valid(payload, &utf8))
			CHECK(payload.len != 1);
		rest = str_skip(rest, frame.head_len + payload.len);
	}
	return 0;
}
