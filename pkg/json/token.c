/* SPDX-License-Identifier: Apache-2.0
 * jsmn behind json_scan: it is given nothing but a well-formed object of known size, for which it
 * needs linear time (with parent links) and exactly the tokens counted. */
#include "json/token.h"

#include "base/check.h"
#include "json/scan.h"

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

static enum fault not_an_object(struct scope *s, struct str text);
static const jsmntok_t *token_at(const struct json_doc *doc, int token);
static struct str unescape(struct scope *s, struct str raw);
static size_t put_escape(struct str raw, char *out, size_t *len);
static size_t put_code_point(uint32_t c, char *out);

enum fault json_tokens(struct scope *s, struct str text, size_t tokens_max, struct json_doc *doc)
{
	size_t count;

	text = str_trim(text);
	TRY(json_scan(s, text, tokens_max, &count));
	if (*text.at != '{')
		return not_an_object(s, text);

	jsmntok_t *tokens = arena_alloc_array(s->arena, count, sizeof *tokens);
	jsmn_parser parser;
	jsmn_init(&parser);
	const int parsed = jsmn_parse(&parser, text.at, text.len, tokens, (unsigned)count);
	CHECK(parsed == (int)count);
	*doc = (struct json_doc){.text = text, .tokens = tokens, .count = parsed};
	return OK;
}

enum json_kind json_kind(const struct json_doc *doc, int token)
{
	const jsmntok_t *at = token_at(doc, token);

	switch (at->type) {
	case JSMN_OBJECT:
		return JSON_OBJECT;
	case JSMN_ARRAY:
		return JSON_ARRAY;
	case JSMN_STRING:
		return JSON_TEXT;
	case JSMN_PRIMITIVE:
	case JSMN_UNDEFINED:
		break;
	}
	switch (doc->text.at[at->start]) {
	case 'n':
		return JSON_NULL;
	case 't':
	case 'f':
		return JSON_BOOL;
	default:
		return JSON_NUMBER;
	}
}

const char *json_kind_name(enum json_kind kind)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",
		[JSON_BOOL] = "true or false",
		[JSON_NUMBER] = "a number",
		[JSON_TEXT] = "a text",
		[JSON_ARRAY] = "an array",
		[JSON_OBJECT] = "an object",
	};

	return names[kind];
}

int json_next(const struct json_doc *doc, int token)
{
	const int end = token_at(doc, token)->end;
	int next = token + 1;

	while (next < doc->count && token_at(doc, next)->start < end)
		next++;
	return next;
}

size_t json_size(const struct json_doc *doc, int token)
{
	return (size_t)token_at(doc, token)->size;
}

struct str json_raw(const struct json_doc *doc, int token)
{
	const jsmntok_t *at = token_at(doc, token);

	return str_of(doc->text.at + at->start, (size_t)(at->end - at->start));
}

struct str json_text(struct scope *s, const struct json_doc *doc, int token)
{
	const struct str raw = json_raw(doc, token);
	const struct str text = json_text_borrowed(s, doc, token);

	return text.at == raw.at ? scope_dup(s, raw) : text;
}

struct str json_text_borrowed(struct scope *s, const struct json_doc *doc, int token)
{
	const struct str raw = json_raw(doc, token);

	return memchr(raw.at, '\\', raw.len) == NULL ? raw : unescape(s, raw);
}

static enum fault not_an_object(struct scope *s, struct str text)
{
	return fail(s, FAULT_INVALID, "the JSON must be an object, not %s",
		*text.at == '[' ? "an array" : "a single value");
}

static const jsmntok_t *token_at(const struct json_doc *doc, int token)
{
	return (const jsmntok_t *)doc->tokens + token;
}

/* An escape is never shorter than what it stands for. */
static struct str unescape(struct scope *s, struct str raw)
{
	char *out = arena_bytes(s->arena, raw.len);
	size_t len = 0;

	while (raw.len > 0) {
		const char *escape = memchr(raw.at, '\\', raw.len);
		const size_t plain = escape != NULL ? (size_t)(escape - raw.at) : raw.len;
		memcpy(out + len, raw.at, plain);
		len += plain;
		raw = str_skip(raw, plain);
		if (raw.len > 0)
			raw = str_skip(raw, put_escape(raw, out, &len));
	}
	return str_of(out, len);
}

/* Appends what the escape at the front of raw stands for; returns the escape's length. */
static size_t put_escape(struct str raw, char *out, size_t *len)
{
	static const char letters[] = "bfnrt";
	static const char meanings[] = "\b\f\n\r\t";
	const char c = raw.at[1];

	if (c != 'u') {
		const char *letter = strchr(letters, c);
		out[(*len)++] = letter != NULL ? meanings[letter - letters] : c;
		return 2;
	}

	uint32_t point = (uint32_t)json_hex4(str_skip(raw, 2));
	size_t taken = 6;
	if (point >= 0xd800 && point <= 0xdbff) {
		const uint32_t low = (uint32_t)json_hex4(str_skip(raw, 8));
		point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
		taken = 12;
	}
	*len += put_code_point(point, out + *len);
	return taken;
}

static size_t put_code_point(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}
