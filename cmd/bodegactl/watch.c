/* SPDX-License-Identifier: Apache-2.0
 * A client's end of a WebSocket: libcurl connects (and speaks TLS), wslay speaks frames. The socket
 * does not block; whoever waits polls it. */
#include "watch.h"

#include "auth/base64.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "fetch.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <poll.h>
#include <wslay/wslay.h>

enum { HEAD_BYTES_MAX = 16 << 10, KEY_BYTES = 16, MESSAGES_MAX = 1024 };

#define ACCEPT_SUFFIX "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct watch {
	struct scope *s;
	CURL *curl;
	wslay_event_context_ptr frames;
	int64_t until_us;
	char head[HEAD_BYTES_MAX];
	struct str early; /* in head: came with the answer to the handshake */
	struct str messages[MESSAGES_MAX]; /* from first to last, round */
	size_t first, count;
	bool ended;
};

static void end(void *arg);
static enum fault connect_to(struct watch *w, struct str url, struct str ca_file);
static enum fault shake_hands(struct watch *w, struct str url, struct str token);
static enum fault send_all(struct watch *w, struct str text);
static enum fault read_head(struct watch *w, struct str *head);
static enum fault check_head(struct watch *w, struct str head, struct str key);
static bool accepts(struct watch *w, struct str head, struct str key);
static enum fault await(struct watch *w, short what);
static ssize_t take_bytes(
	wslay_event_context_ptr frames, uint8_t *at, size_t room, int flags, void *arg);
static ssize_t give_bytes(
	wslay_event_context_ptr frames, const uint8_t *at, size_t size, int flags, void *arg);
static int make_mask(wslay_event_context_ptr frames, uint8_t *at, size_t size, void *arg);
static void take_message(wslay_event_context_ptr frames,
	const struct wslay_event_on_msg_recv_arg *message, void *arg);

enum fault watch_open(struct scope *s, struct str url, struct str ca_file, struct str token,
	int64_t timeout_ms, struct watch **watch)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = take_bytes,
		.send_callback = give_bytes,
		.genmask_callback = make_mask,
		.on_msg_recv_callback = take_message,
	};
	struct watch *const w = scope_alloc(s, sizeof *w);

	*w = (struct watch){.s = s, .curl = curl_easy_init()};
	w->until_us = clock_monotonic_us() + timeout_ms * 1000;
	CHECK(w->curl != NULL);
	CHECK(wslay_event_context_client_init(&w->frames, &callbacks, w) == 0);
	scope_defer(s, end, w);
	(void)curl_easy_setopt(w->curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	TRY(connect_to(w, url, ca_file));
	TRY(shake_hands(w, url, token));
	*watch = w;
	return OK;
}

static void end(void *arg)
{
	struct watch *const w = arg;

	wslay_event_context_free(w->frames);
	curl_easy_cleanup(w->curl);
}

static enum fault connect_to(struct watch *w, struct str url, struct str ca_file)
{
	CURLcode code;

	fetch_prepare(w->s, w->curl, url, ca_file);
	(void)curl_easy_setopt(w->curl, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_setopt(w->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	code = curl_easy_perform(w->curl);
	return code == CURLE_OK ? OK
	                        : fail(w->s, FAULT_UNAVAILABLE, "%.*s: %s", STR_ARG(url),
					  curl_easy_strerror(code));
}

static enum fault shake_hands(struct watch *w, struct str url, struct str token)
{
	const char *const slashes = memmem(url.at, url.len, "://", 3);
	struct str rest = str_skip(url, slashes != NULL ? (size_t)(slashes + 3 - url.at) : 0);
	uint8_t bytes[KEY_BYTES];
	struct str authority, head = STR_NONE;

	random_bytes(bytes, sizeof bytes);
	const struct str key =
		base64_encode(w->s->arena, BASE64, str_of((const char *)bytes, sizeof bytes));
	str_cut(&rest, '/', &authority);
	TRY(send_all(w, scope_format(w->s,
				"GET /%.*s HTTP/1.1\r\n"
				"Host: %.*s\r\n"
				"Upgrade: websocket\r\n"
				"Connection: Upgrade\r\n"
				"Sec-WebSocket-Key: %.*s\r\n"
				"Sec-WebSocket-Version: 13\r\n"
				"Authorization: Bearer %.*s\r\n"
				"User-Agent: bodegactl/" BODEGA_VERSION "\r\n\r\n",
				STR_ARG(rest), STR_ARG(authority), STR_ARG(key), STR_ARG(token))));
	TRY(read_head(w, &head));
	return check_head(w, head, key);
}

static enum fault send_all(struct watch *w, struct str text)
{
	while (text.len > 0) {
		size_t sent = 0;
		const CURLcode code = curl_easy_send(w->curl, text.at, text.len, &sent);
		if (code == CURLE_AGAIN)
			TRY(await(w, POLLOUT));
		else if (code != CURLE_OK)
			return fail(w->s, FAULT_UNAVAILABLE, "%s", curl_easy_strerror(code));
		text = str_skip(text, sent);
	}
	return OK;
}

static enum fault read_head(struct watch *w, struct str *head)
{
	const char *behind;
	size_t len = 0;

	for (;;) {
		size_t got = 0;
		const CURLcode code =
			curl_easy_recv(w->curl, w->head + len, sizeof w->head - len, &got);
		if (code == CURLE_AGAIN) {
			TRY(await(w, POLLIN));
			continue;
		}
		if (code != CURLE_OK || got == 0)
			return fail(w->s, FAULT_UNAVAILABLE,
				"the connection ended before a WebSocket began");
		len += got;
		behind = memmem(w->head, len, "\r\n\r\n", 4);
		if (behind != NULL)
			break;
		if (len == sizeof w->head)
			return fail(w->s, FAULT_UNAVAILABLE, "the answer's head is too long");
	}
	*head = str_of(w->head, (size_t)(behind - w->head));
	w->early = str_skip(str_of(w->head, len), head->len + 4);
	return OK;
}

static enum fault check_head(struct watch *w, struct str head, struct str key)
{
	struct str rest = head, line;

	str_cut(&rest, '\r', &line);
	if (!str_starts(line, STR("HTTP/1.1 101 ")))
		return fail(w->s, FAULT_UNAVAILABLE, "no WebSocket, but %.*s %.*s", STR_ARG(line),
			STR_ARG(w->early));
	if (!accepts(w, rest, key))
		return fail(w->s, FAULT_UNAVAILABLE,
			"what answers speaks no WebSocket: Sec-WebSocket-Accept is wrong");
	return OK;
}

static bool accepts(struct watch *w, struct str head, struct str key)
{
	const struct str both = scope_format(w->s, "%.*s" ACCEPT_SUFFIX, STR_ARG(key));
	uint8_t digest[SHA_DIGEST_LENGTH];
	struct str line, name;

	CHECK(EVP_Digest(both.at, both.len, digest, NULL, EVP_sha1(), NULL) == 1);
	const struct str wanted =
		base64_encode(w->s->arena, BASE64, str_of((const char *)digest, sizeof digest));
	while (str_cut(&head, '\n', &line)) {
		if (str_cut(&line, ':', &name) &&
			str_eq_fold(str_trim(name), STR("Sec-WebSocket-Accept")))
			return str_eq(str_trim(line), wanted);
	}
	return false;
}

static enum fault await(struct watch *w, short what)
{
	const int64_t left_us = w->until_us - clock_monotonic_us();
	struct pollfd socket = {.events = what};

	(void)curl_easy_getinfo(w->curl, CURLINFO_ACTIVESOCKET, &socket.fd);
	if (left_us <= 0 || poll(&socket, 1, (int)(left_us / 1000) + 1) == 0)
		return fail(w->s, FAULT_DEADLINE, "nothing came in time");
	return OK;
}

/* ---- frames ---- */

enum fault watch_next(struct watch *w, int64_t until_us, struct str *message)
{
	w->until_us = until_us;
	while (w->count == 0) {
		if (wslay_event_recv(w->frames) != 0 || wslay_event_send(w->frames) != 0)
			w->ended = true;
		if (w->count > 0)
			break;
		if (w->ended || wslay_event_get_close_received(w->frames))
			return fail(w->s, FAULT_UNAVAILABLE, "the WebSocket was closed with %d",
				wslay_event_get_status_code_received(w->frames));
		TRY(await(w, POLLIN));
	}
	*message = w->messages[w->first];
	w->first = (w->first + 1) % MESSAGES_MAX;
	w->count--;
	return OK;
}

static ssize_t take_bytes(
	wslay_event_context_ptr frames, uint8_t *at, size_t room, int flags, void *arg)
{
	struct watch *const w = arg;
	size_t got = w->early.len < room ? w->early.len : room;
	CURLcode code = CURLE_OK;

	(void)flags;
	if (got > 0) {
		memcpy(at, w->early.at, got);
		w->early = str_skip(w->early, got);
		return (ssize_t)got;
	}
	code = curl_easy_recv(w->curl, at, room, &got);
	if (code == CURLE_OK && got > 0)
		return (ssize_t)got;
	w->ended = code != CURLE_AGAIN;
	wslay_event_set_error(frames, w->ended ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
	return -1;
}

static ssize_t give_bytes(
	wslay_event_context_ptr frames, const uint8_t *at, size_t size, int flags, void *arg)
{
	struct watch *const w = arg;
	size_t sent = 0;
	const CURLcode code = curl_easy_send(w->curl, at, size, &sent);

	(void)flags;
	if (code == CURLE_OK)
		return (ssize_t)sent;
	wslay_event_set_error(
		frames, code == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static int make_mask(wslay_event_context_ptr frames, uint8_t *at, size_t size, void *arg)
{
	(void)frames;
	(void)arg;
	random_bytes(at, size);
	return 0;
}

static void take_message(wslay_event_context_ptr frames,
	const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
	struct watch *const w = arg;

	(void)frames;
	if (message->opcode != WSLAY_TEXT_FRAME)
		return;
	if (w->count == MESSAGES_MAX) { /* nobody has asked for them */
		w->ended = true;
		return;
	}
	w->messages[(w->first + w->count++) % MESSAGES_MAX] =
		scope_dup(w->s, str_of((const char *)message->msg, message->msg_length));
}
