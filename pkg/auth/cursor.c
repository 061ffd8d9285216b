/* SPDX-License-Identifier: Apache-2.0
 * A cursor is bytes in base64url: version, sort, flags, filters, number, id, text, MAC. Whoever
 * changes one of them, or takes it to another list, is refused, so what is read needs no further
 * checks. */
#include "auth/cursor.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "base/check.h"

#include <stdatomic.h>

enum {
	VERSION = 1,
	FLAG_TEXT = 1, /* text is given, perhaps empty */
	HEAD_BYTES = 3 + 8 + 8 + 16,
	MAC_BYTES = 8,
	TEXT_BYTES_MAX = 4096
};

static _Atomic(const struct secret *) secret;

static char *put_uint64(char *at, uint64_t value);
static uint64_t take_uint64(const char **at);
static bool is_signed(struct str key, struct str bytes, struct str mac);
static void sign(struct str key, struct str bytes, char mac[MAC_BYTES]);
static enum fault bad(struct scope *s, const char *why);

void cursor_set_secret(const struct secret *next)
{
	atomic_store(&secret, next);
}

struct str cursor_write(struct scope *s, const struct cursor *cursor)
{
	const size_t text_bytes = cursor->text.len;
	char *const bytes = scope_alloc(s, HEAD_BYTES + text_bytes + MAC_BYTES);
	char *at = bytes;

	CHECK(text_bytes <= TEXT_BYTES_MAX);
	*at++ = VERSION;
	*at++ = (char)cursor->sort;
	*at++ = cursor->text.at != NULL ? FLAG_TEXT : 0;
	at = put_uint64(at, cursor->filters);
	at = put_uint64(at, (uint64_t)cursor->number);
	memcpy(at, cursor->id.bytes, sizeof cursor->id.bytes);
	at += sizeof cursor->id.bytes;
	if (cursor->text.at != NULL)
		memcpy(at, cursor->text.at, text_bytes);
	at += text_bytes;
	sign(atomic_load(&secret)->current, str_of(bytes, (size_t)(at - bytes)), at);
	return base64_encode(s->arena, BASE64URL, str_of(bytes, (size_t)(at - bytes) + MAC_BYTES));
}

enum fault cursor_read(
	struct scope *s, struct str text, uint8_t sort, uint64_t filters, struct cursor *cursor)
{
	const struct secret *const keys = atomic_load(&secret);
	struct str bytes, mac;
	const char *at;
	char flags;

	if (!base64_decode(s->arena, BASE64URL, text, &bytes) ||
		bytes.len < HEAD_BYTES + MAC_BYTES ||
		bytes.len > HEAD_BYTES + TEXT_BYTES_MAX + MAC_BYTES)
		return bad(s, "is not one of ours");
	bytes.len -= MAC_BYTES;
	mac = str_of(bytes.at + bytes.len, MAC_BYTES);
	if (!is_signed(keys->current, bytes, mac) &&
		(keys->previous.at == NULL || !is_signed(keys->previous, bytes, mac)))
		return bad(s, "is not one of ours");

	at = bytes.at;
	if (*at++ != VERSION)
		return bad(s, "is from another version");
	if ((uint8_t)*at++ != sort)
		return bad(s, "belongs to a list in another order");
	flags = *at++;
	if (take_uint64(&at) != filters)
		return bad(s, "belongs to a list with other filters");
	*cursor = (struct cursor){.sort = sort, .filters = filters};
	cursor->number = (int64_t)take_uint64(&at);
	memcpy(cursor->id.bytes, at, sizeof cursor->id.bytes);
	at += sizeof cursor->id.bytes;
	if (flags & FLAG_TEXT)
		cursor->text = str_of(at, (size_t)(bytes.at + bytes.len - at));
	return OK;
}

/* FNV-1a over the length and the bytes, so that "ab", "c" and "a", "bc" differ, and so do an empty
 * filter and one that is not given. */
uint64_t cursor_hash(uint64_t hash, struct str text)
{
	const uint64_t len = text.at != NULL ? text.len : UINT64_MAX;
	const uint64_t prime = UINT64_C(0x100000001b3);

	hash ^= UINT64_C(0xcbf29ce484222325);
	for (unsigned shift = 0; shift < 64; shift += 8)
		hash = (hash ^ (len >> shift & 0xff)) * prime;
	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (uint8_t)text.at[i]) * prime;
	return hash;
}

static char *put_uint64(char *at, uint64_t value)
{
	for (int shift = 56; shift >= 0; shift -= 8)
		*at++ = (char)(value >> shift & 0xff);
	return at;
}

static uint64_t take_uint64(const char **at)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | (uint8_t) * (*at)++;
	return value;
}

static bool is_signed(struct str key, struct str bytes, struct str mac)
{
	char wanted[MAC_BYTES];

	sign(key, bytes, wanted);
	return str_eq_secret(str_of(wanted, MAC_BYTES), mac);
}

static void sign(struct str key, struct str bytes, char mac[MAC_BYTES])
{
	uint8_t whole[SHA256_BYTES];

	crypto_hmac(key, bytes, whole);
	memcpy(mac, whole, MAC_BYTES);
}

static enum fault bad(struct scope *s, const char *why)
{
	return fail(s, FAULT_BAD_CURSOR, "the cursor %s; begin again without one", why);
}
