/* SPDX-License-Identifier: Apache-2.0
 * A log line as JSON, whatever bytes come in: control characters and quotes are escaped, what is
 * not UTF-8 becomes U+FFFD, secrets become "[redacted]". A member is written whole or not at all,
 * so a line that was cut is JSON still. */
#include "log/line.h"

#include "base/clock.h"

#include <string.h>

/* What is kept free for the end: ,"cut":true}\n */
enum { END_ROOM = 16, TRACEPARENT_LEN = 55, TRACE_ID_LEN = 32, SPAN_ID_LEN = 16 };

/* A key that holds one of these has a secret as its value. */
static const char *const secret_words[] = {
	"password",
	"passwd",
	"passphrase",
	"secret",
	"token",
	"authorization",
	"cookie",
	"credential",
	"api_key",
	"apikey",
	"private_key",
	"pepper",
	"signature",
};

static void add_context(struct line *line, const struct log_context *context);
static void add_pair(struct line *line, const struct log_pair *pair);
static void add_text(struct line *line, const char *key, struct str value);
static void add_number(
	struct line *line, const char *key, bool negative, uint64_t size, unsigned decimals);
static void add_member(struct line *line, const char *key, struct str value);
static void add_value(struct line *line, struct str value);
static void add_escaped(struct line *line, struct str value);
static void add_char(struct line *line, unsigned char c);
static void add_raw(struct line *line, struct str s);
static size_t plain_bytes(struct str value);
static struct str add_odd(struct line *line, struct str value);
static bool names_secret(const char *key);
static bool has_secret_word(const char *key);
static struct str url_password(struct str value);
static struct str authority_password(struct str value);
static const char *find_scheme_end(struct str value);

void line_make(struct line *line, const char *service, const struct log_context *context,
	enum level level, const char *message, const struct log_pair *pairs)
{
	char time[TIME_TEXT_MAX];

	line->len = 0;
	line->cut = false;
	add_raw(line, STR("{\"time\":\""));
	add_raw(line, time_format(clock_wall_us(), time));
	add_raw(line, STR("\""));
	add_text(line, "level", str_from(log_level_name(level)));
	add_text(line, "service", str_from(service));
	add_text(line, "message", str_from(message));
	if (context != NULL)
		add_context(line, context);
	for (; pairs->key != NULL; pairs++)
		add_pair(line, pairs);
	if (line->cut)
		memcpy(line->at + line->len, ",\"cut\":true}\n", 13);
	else
		memcpy(line->at + line->len, "}\n", 2);
	line->len += line->cut ? 13 : 2;
}

/* traceparent: 00-<trace id>-<span id>-<flags> */
static void add_context(struct line *line, const struct log_context *context)
{
	const struct str trace = context->traceparent;

	if (context->request_id.at != NULL)
		add_text(line, "request_id", context->request_id);
	if (trace.len < TRACEPARENT_LEN)
		return;
	add_text(line, "trace_id", str_of(trace.at + 3, TRACE_ID_LEN));
	add_text(line, "span_id", str_of(trace.at + 4 + TRACE_ID_LEN, SPAN_ID_LEN));
}

static void add_pair(struct line *line, const struct log_pair *pair)
{
	const int64_t n = pair->number;
	const uint64_t size = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

	switch (pair->type) {
	case LOG_TYPE_STR:
		add_text(line, pair->key, pair->text);
		break;
	case LOG_TYPE_INT:
		add_number(line, pair->key, n < 0, size, 0);
		break;
	case LOG_TYPE_MS:
		add_number(line, pair->key, n < 0, size, 3);
		break;
	case LOG_TYPE_BOOL:
		add_member(line, pair->key, n != 0 ? STR("true") : STR("false"));
		break;
	}
}

static void add_text(struct line *line, const char *key, struct str value)
{
	const size_t start = line->len;

	if (line->cut)
		return;
	add_raw(line, STR(",\""));
	add_raw(line, str_from(key));
	add_raw(line, STR("\":"));
	if (value.at == NULL)
		add_raw(line, STR("null"));
	else if (names_secret(key))
		add_raw(line, STR("\"[redacted]\""));
	else
		add_value(line, value);
	if (line->cut)
		line->len = start;
}

static void add_number(
	struct line *line, const char *key, bool negative, uint64_t size, unsigned decimals)
{
	char text[32];
	char *at = text + sizeof text;

	for (unsigned digits = 0; size > 0 || digits <= decimals; digits++, size /= 10) {
		if (decimals > 0 && digits == decimals)
			*--at = '.';
		*--at = (char)('0' + size % 10);
	}
	if (negative)
		*--at = '-';
	add_member(line, key, str_of(at, (size_t)(text + sizeof text - at)));
}

/* The value is JSON already. */
static void add_member(struct line *line, const char *key, struct str value)
{
	const size_t start = line->len;

	if (line->cut)
		return;
	add_raw(line, STR(",\""));
	add_raw(line, str_from(key));
	add_raw(line, STR("\":"));
	add_raw(line, value);
	if (line->cut)
		line->len = start;
}

static void add_value(struct line *line, struct str value)
{
	const bool too_long = value.len > LOG_VALUE_MAX;
	struct str rest = too_long ? str_of(value.at, LOG_VALUE_MAX) : value;
	struct str password;

	add_raw(line, STR("\""));
	while ((password = url_password(rest)).at != NULL) {
		const size_t before = (size_t)(password.at - rest.at);

		add_escaped(line, str_of(rest.at, before));
		add_raw(line, STR("[redacted]"));
		rest = str_skip(rest, before + password.len);
	}
	add_escaped(line, rest);
	add_raw(line, too_long ? STR("…\"") : STR("\""));
}

static void add_escaped(struct line *line, struct str value)
{
	while (value.len > 0 && !line->cut) {
		const size_t plain = plain_bytes(value);

		add_raw(line, str_of(value.at, plain));
		value = str_skip(value, plain);
		if (value.len > 0)
			value = add_odd(line, value);
	}
}

/* How many bytes from the front stand for themselves. */
static size_t plain_bytes(struct str value)
{
	size_t n = 0;

	while (n < value.len && value.at[n] >= 0x20 && value.at[n] < 0x7f && value.at[n] != '"' &&
		value.at[n] != '\\')
		n++;
	return n;
}

/* One character that does not; returns what follows it. */
static struct str add_odd(struct line *line, struct str value)
{
	const unsigned char c = (unsigned char)*value.at;
	const size_t size = str_utf8_sequence(value);

	if (size > 1)
		add_raw(line, str_of(value.at, size));
	else if (c < 0x80)
		add_char(line, c);
	else
		add_raw(line, STR("\xef\xbf\xbd"));
	return str_skip(value, size > 0 ? size : 1);
}

static void add_char(struct line *line, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char escaped[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
	size_t len = sizeof escaped;

	if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
		escaped[0] = (char)c;
		len = 1;
	} else if (c == '"' || c == '\\' || c == '\n' || c == '\t' || c == '\r') {
		escaped[1] = (char)(c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : c);
		len = 2;
	}
	add_raw(line, str_of(escaped, len));
}

static void add_raw(struct line *line, struct str s)
{
	if (line->cut || s.len > sizeof line->at - END_ROOM - line->len) {
		line->cut = true;
		return;
	}
	memcpy(line->at + line->len, s.at, s.len);
	line->len += s.len;
}

/* Keys are few and come again and again; looking them through each time would cost more than the
 * rest of the line. What finds no place is looked through. */
static bool names_secret(const char *key)
{
	enum { SLOTS = 64, PROBES = 4, KEY_BYTES = 24 };
	static _Thread_local struct {
		char key[KEY_BYTES];
		bool secret;
	} seen[SLOTS];
	uint32_t hash = 2166136261; /* FNV-1a */
	size_t len;

	for (len = 0; key[len] != '\0'; len++)
		hash = (hash ^ (unsigned char)key[len]) * 16777619;
	for (size_t i = 0; i < PROBES && len > 0 && len < KEY_BYTES; i++) {
		const size_t slot = (hash + i) % SLOTS;

		if (seen[slot].key[0] == '\0') {
			memcpy(seen[slot].key, key, len + 1);
			seen[slot].secret = has_secret_word(key);
		}
		if (strcmp(seen[slot].key, key) == 0)
			return seen[slot].secret;
	}
	return has_secret_word(key);
}

static bool has_secret_word(const char *key)
{
	for (size_t i = 0; i < sizeof secret_words / sizeof *secret_words; i++)
		if (strcasestr(key, secret_words[i]) != NULL)
			return true;
	return false;
}

/* The first in the text: in scheme://user:password@host, wherever that stands. */
static struct str url_password(struct str value)
{
	const char *scheme;

	while ((scheme = find_scheme_end(value)) != NULL) {
		struct str password;

		value = str_skip(value, (size_t)(scheme + 3 - value.at));
		password = authority_password(value);
		if (password.at != NULL)
			return password;
	}
	return STR_NONE;
}

/* Up to the last '@' before the path: whoever forgot to escape one in the password meant that. */
static struct str authority_password(struct str value)
{
	const char *end = value.at + value.len;
	const char *colon = NULL;
	struct str password = STR_NONE;

	for (const char *at = value.at; at < end && *at != '/' && *at > ' '; at++) {
		if (*at == ':' && colon == NULL)
			colon = at;
		if (*at == '@' && colon != NULL)
			password = str_of(colon + 1, (size_t)(at - colon) - 1);
	}
	return password;
}

static const char *find_scheme_end(struct str value)
{
	const char *end = value.at + value.len;

	for (const char *at = value.at; at != NULL && end - at >= 3; at++) {
		at = memchr(at, ':', (size_t)(end - at) - 2);
		if (at == NULL || (at[1] == '/' && at[2] == '/'))
			return at;
	}
	return NULL;
}
