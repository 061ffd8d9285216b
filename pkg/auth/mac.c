/* SPDX-License-Identifier: Apache-2.0
 * Bodega-Mac: v1 CALLER ACTOR TIME NONCE MAC — words without spaces; TIME in seconds since 1970,
 * NONCE 16 bytes and MAC 32 bytes in base64url. What is signed has each part with its length before
 * it, so that no part can lend bytes to its neighbour. */
#include "auth/mac.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "auth/nonces.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { SKEW_S = 60, NONCE_BYTES = 16, SECRETS_MAX = 64, WORDS = 6 };

struct mac_verifier {
	struct str callee;
	const struct mac_ring *ring;
	struct nonces *nonces;
};

/* Everything that a MAC covers. */
struct mac_parts {
	struct str caller;
	struct str callee;
	struct str actor;
	struct str time;
	struct str nonce;
	struct str deadline;
	struct str method;
	struct str target;
	struct str body;
};

static const struct str header_name = {"bodega-mac", 10};
static const struct str deadline_name = {"bodega-deadline-ms", 18};

static enum fault secret_line(
	struct scope *s, struct str line, unsigned number, struct mac_secret *secret);
static bool next_word(struct str *rest, struct str *word);
static bool secret_of(struct scope *s, struct str text, struct str *secret);
static struct str mac_text(struct scope *s, struct str key, const struct mac_parts *parts);
static struct str header_of(const struct header *headers, size_t count, struct str name);
static bool fits(struct scope *s, const struct mac_secret *secret, const struct mac_parts *parts,
	struct str mac);
static enum fault refuse(struct scope *s, const char *why);

enum fault mac_secrets_read(struct scope *s, struct str text, struct mac_secrets *secrets)
{
	unsigned number = 0;
	struct str line;

	secrets->at = arena_alloc_array(s->arena, SECRETS_MAX, sizeof *secrets->at);
	secrets->count = 0;
	while (str_cut(&text, '\n', &line)) {
		number++;
		line = str_trim(line);
		if (line.len == 0 || line.at[0] == '#')
			continue;
		if (secrets->count == SECRETS_MAX)
			return fail(s, FAULT_INVALID, "more than %d secrets", SECRETS_MAX);
		TRY(secret_line(s, line, number, &secrets->at[secrets->count++]));
	}
	return OK;
}

const struct mac_secret *mac_secret_find(
	const struct mac_secrets *secrets, struct str caller, struct str callee)
{
	for (size_t i = 0; i < secrets->count; i++)
		if (str_eq(secrets->at[i].caller, caller) && str_eq(secrets->at[i].callee, callee))
			return &secrets->at[i];
	return NULL;
}

void mac_sign(
	struct task *t, const struct upstream_config *config, struct upstream_request *request)
{
	const struct mac_pair *const pair = config->sign_key;
	const struct mac_secret *const secret =
		mac_secret_find(atomic_load(&pair->ring->secrets), pair->caller, pair->callee);
	struct scope *const s = &t->scope;
	char nonce[NONCE_BYTES];
	struct mac_parts parts = {
		.caller = pair->caller,
		.callee = pair->callee,
		.actor = t->actor.len > 0 ? t->actor : STR("system"),
		.time = scope_format(s, "%lld", (long long)(clock_wall_us() / 1000000)),
		.deadline = header_of(request->headers, request->header_count, deadline_name),
		.method = request->method,
		.target = request->target,
		.body = request->body,
	};

	CHECK(secret != NULL);
	random_bytes(nonce, sizeof nonce);
	parts.nonce = base64_encode(s->arena, BASE64URL, str_of(nonce, sizeof nonce));
	upstream_header(request, header_name,
		scope_format(s, "v1 %.*s %.*s %.*s %.*s %.*s", STR_ARG(parts.caller),
			STR_ARG(parts.actor), STR_ARG(parts.time), STR_ARG(parts.nonce),
			STR_ARG(mac_text(s, secret->current, &parts))));
}

struct mac_verifier *mac_verifier_new(struct str callee, const struct mac_ring *ring)
{
	struct mac_verifier *const v = calloc(1, sizeof *v);

	CHECK(v != NULL);
	*v = (struct mac_verifier){.callee = callee, .ring = ring, .nonces = nonces_new()};
	return v;
}

void mac_verifier_free(struct mac_verifier *v)
{
	if (v == NULL)
		return;
	nonces_free(v->nonces);
	free(v);
}

enum fault mac_check(struct mac_verifier *v, struct scope *s, const struct request *request,
	int64_t now_s, struct caller *caller)
{
	struct str rest = header_of(request->headers, request->header_count, header_name);
	struct str words[WORDS];
	const struct mac_secret *secret;
	struct mac_parts parts;
	int64_t time_s;

	for (size_t i = 0; i < WORDS; i++)
		if (!next_word(&rest, &words[i]))
			return refuse(s, "does not have six words");
	if (rest.len > 0 || !str_eq(words[0], STR("v1")) || !str_to_int64(words[3], &time_s))
		return refuse(s, "is in an unknown format");
	secret = mac_secret_find(atomic_load(&v->ring->secrets), words[1], v->callee);
	if (secret == NULL)
		return refuse(s, "is from a service that may not call this one");
	if (time_s < now_s - SKEW_S || time_s > now_s + SKEW_S)
		return refuse(s, "is not from this minute; do the clocks agree?");
	parts = (struct mac_parts){
		.caller = words[1],
		.callee = v->callee,
		.actor = words[2],
		.time = words[3],
		.nonce = words[4],
		.deadline = header_of(request->headers, request->header_count, deadline_name),
		.method = request->method,
		.target = request->target,
		.body = request->body,
	};
	if (!fits(s, secret, &parts, words[5]))
		return refuse(s, "does not fit the request");
	switch (nonces_add(v->nonces, parts.nonce, time_s, now_s)) {
	case NONCE_NEW:
		break;
	case NONCE_SEEN:
		return refuse(s, "has been used before");
	case NONCE_FULL:
		return fail(s, FAULT_OVERLOADED, "too many calls between services in a minute");
	}
	caller->service = scope_dup(s, secret->caller);
	caller->actor = scope_dup(s, parts.actor);
	return OK;
}

static enum fault secret_line(
	struct scope *s, struct str line, unsigned number, struct mac_secret *secret)
{
	struct str current;
	struct str previous = STR_NONE;
	struct str rest = line;

	*secret = (struct mac_secret){0};
	if (!next_word(&rest, &secret->caller) || !next_word(&rest, &secret->callee) ||
		!next_word(&rest, &current))
		return fail(s, FAULT_INVALID,
			"line %u: must be \"caller callee secret [previous secret]\"", number);
	if (next_word(&rest, &previous) && !secret_of(s, previous, &secret->previous))
		return fail(s, FAULT_INVALID,
			"line %u: the previous secret must be %d bytes or more in base64", number,
			SECRET_BYTES_MIN);
	if (rest.len > 0)
		return fail(s, FAULT_INVALID, "line %u: has more than four words", number);
	if (!secret_of(s, current, &secret->current))
		return fail(s, FAULT_INVALID,
			"line %u: the secret must be %d bytes or more in base64", number,
			SECRET_BYTES_MIN);
	secret->caller = scope_dup(s, secret->caller);
	secret->callee = scope_dup(s, secret->callee);
	return OK;
}

/* Takes the next word off the front; any number of spaces and tabs stands between two. */
static bool next_word(struct str *rest, struct str *word)
{
	const struct str text = str_trim(*rest);
	size_t len = 0;

	while (len < text.len && text.at[len] != ' ' && text.at[len] != '\t')
		len++;
	*word = str_of(text.at, len);
	*rest = str_trim(str_skip(text, len));
	return len > 0;
}

static bool secret_of(struct scope *s, struct str text, struct str *secret)
{
	return base64_decode(s->arena, BASE64, text, secret) && secret->len >= SECRET_BYTES_MIN;
}

static struct str mac_text(struct scope *s, struct str key, const struct mac_parts *parts)
{
	uint8_t digest[SHA256_BYTES];
	uint8_t mac[SHA256_BYTES];
	const struct str body = str_of((const char *)digest, sizeof digest);
	const struct str covered[] = {parts->caller, parts->callee, parts->actor, parts->time,
		parts->nonce, parts->deadline, parts->method, parts->target, body};
	struct buf text = buf_new(s->arena);

	crypto_sha256(parts->body, digest);
	buf_add(&text, STR("bodega-mac-v1"));
	for (size_t i = 0; i < sizeof covered / sizeof *covered; i++) {
		buf_format(&text, " %zu ", covered[i].len);
		buf_add(&text, covered[i]);
	}
	crypto_hmac(key, buf_str(&text), mac);
	return base64_encode(s->arena, BASE64URL, str_of((const char *)mac, sizeof mac));
}

static bool fits(struct scope *s, const struct mac_secret *secret, const struct mac_parts *parts,
	struct str mac)
{
	if (str_eq_secret(mac, mac_text(s, secret->current, parts)))
		return true;
	return secret->previous.at != NULL &&
	       str_eq_secret(mac, mac_text(s, secret->previous, parts));
}

static struct str header_of(const struct header *headers, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(headers[i].name, name))
			return headers[i].value;
	return STR_NONE;
}

static enum fault refuse(struct scope *s, const char *why)
{
	return fail(s, FAULT_UNAUTHORIZED, "the MAC of the call %s", why);
}
