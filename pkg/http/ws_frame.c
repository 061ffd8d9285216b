/* SPDX-License-Identifier: Apache-2.0
 * The codec of WebSocket frames, without any state: what a stream keeps between reads is the bytes
 * in its socket's buffer. libwslay's context would take 8.8 kB for each stream, idle or not; an
 * idle stream here takes a tenth of that. */
#include "http/ws_frame.h"

#include <openssl/evp.h>

enum { FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0f, MASKED = 0x80, KEY_LEN = 24 };

static bool is_opcode(unsigned opcode);
static uint64_t read_length(const unsigned char *at, size_t bytes);

enum ws_read ws_frame_read(struct str bytes, struct ws_frame *frame)
{
	const unsigned char *at = (const unsigned char *)bytes.at;
	size_t more = 0; /* bytes of the extended length */

	if (bytes.len >= 1) {
		frame->fin = (at[0] & FIN) != 0;
		frame->opcode = at[0] & OPCODE;
		if ((at[0] & RESERVED) != 0 || !is_opcode(at[0] & OPCODE))
			return WS_MALFORMED;
	}
	if (bytes.len < 2)
		return WS_PARTIAL;
	frame->payload_len = at[1] & 0x7f;
	if ((at[1] & MASKED) == 0)
		return WS_MALFORMED;
	if (ws_is_control(frame->opcode) && (!frame->fin || frame->payload_len > WS_CONTROL_MAX))
		return WS_MALFORMED;
	if (frame->payload_len > 125)
		more = frame->payload_len == 126 ? 2 : 8;
	frame->head_len = 2 + more + sizeof frame->mask;
	if (bytes.len < frame->head_len)
		return WS_PARTIAL;
	if (more > 0)
		frame->payload_len = read_length(at + 2, more);
	if ((more == 2 && frame->payload_len <= 125) || (more == 8 && frame->payload_len <= 0xffff))
		return WS_MALFORMED;
	if (frame->payload_len > INT64_MAX)
		return WS_MALFORMED;
	memcpy(frame->mask, at + 2 + more, sizeof frame->mask);
	return WS_READ;
}

void ws_unmask(char *payload, size_t len, const uint8_t mask[4])
{
	for (size_t i = 0; i < len; i++)
		payload[i] = (char)((unsigned char)payload[i] ^ mask[i % 4]);
}

size_t ws_head_write(char out[WS_HEAD_MAX], enum ws_opcode opcode, size_t payload_len)
{
	const uint64_t len = payload_len;
	const size_t more = len <= 125 ? 0 : len <= 0xffff ? 2 : 8;

	out[0] = (char)(FIN | opcode);
	out[1] = (char)(more == 0 ? len : more == 2 ? 126 : 127);
	for (size_t i = 0; i < more; i++)
		out[2 + i] = (char)(len >> (8 * (more - 1 - i)));
	return 2 + more;
}

bool ws_close_is_valid(struct str payload, bool *utf8)
{
	const unsigned char *at = (const unsigned char *)payload.at;
	unsigned code;

	*utf8 = true;
	if (payload.len < 2)
		return payload.len == 0;
	code = (unsigned)(at[0] << 8 | at[1]);
	if (!((code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
		    (code >= 3000 && code <= 4999)))
		return false;
	*utf8 = str_is_utf8(str_skip(payload, 2));
	return *utf8;
}

bool ws_accept(struct str key, char out[WS_ACCEPT_LEN + 1])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char text[KEY_LEN + sizeof guid - 1], nonce[KEY_LEN], digest[EVP_MAX_MD_SIZE];

	if (key.len != KEY_LEN || !str_ends(key, STR("==")))
		return false;
	memcpy(text, key.at, KEY_LEN);
	memcpy(text + KEY_LEN, guid, sizeof guid - 1);
	return EVP_DecodeBlock(nonce, text, KEY_LEN) == 18 && /* two of them are padding */
	       EVP_Digest(text, sizeof text, digest, NULL, EVP_sha1(), NULL) == 1 &&
	       EVP_EncodeBlock((unsigned char *)out, digest, 20) == WS_ACCEPT_LEN;
}

static bool is_opcode(unsigned opcode)
{
	return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

static uint64_t read_length(const unsigned char *at, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | at[i];
	return value;
}
