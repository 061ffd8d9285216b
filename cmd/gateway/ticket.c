/* SPDX-License-Identifier: Apache-2.0
 * Tickets: browsers cannot send an access token with a WebSocket or an EventSource, and in a URL it
 * would end up in logs. A ticket is random and good once, within half a minute. Redis has it under
 * its digest, with what the token said; GETDEL makes it good once on all replicas together. */
#include "live.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "auth/role.h"
#include "base/clock.h"
#include "base/random.h"

enum { TICKET_BYTES = 32 };

static struct str key_of(struct scope *s, struct str ticket);
static bool read(struct str text, struct caller *caller);

enum fault ticket_make(struct task *t, const struct caller *caller, struct str *ticket)
{
	struct scope *s = &t->scope;
	char user[UUID_TEXT_LEN + 1], session[UUID_TEXT_LEN + 1], bytes[TICKET_BYTES];
	struct redis_reply reply;

	random_bytes(bytes, sizeof bytes);
	*ticket = base64_encode(s->arena, BASE64URL, str_of(bytes, sizeof bytes));
	const struct str words[] = {STR("SET"), key_of(s, *ticket),
		scope_format(s, "%s %s %.*s %lld", uuid_format(&caller->user_id, user).at,
			uuid_format(&caller->session_id, session).at,
			STR_ARG(role_name(caller->role)), (long long)caller->expires_s),
		STR("EX"), scope_format(s, "%d", TICKET_S)};
	if (redis_here() == NULL)
		return fail(s, FAULT_UNAVAILABLE, "tickets need Redis");
	return redis_command(t, words, sizeof words / sizeof *words, &reply);
}

enum fault ticket_take(struct task *t, struct str ticket, struct caller *caller)
{
	struct scope *s = &t->scope;
	const struct str words[] = {STR("GETDEL"), key_of(s, ticket)};
	const int64_t now_s = clock_wall_us() / 1000000;
	struct redis_reply reply;

	if (redis_here() == NULL)
		return fail(s, FAULT_UNAVAILABLE, "tickets need Redis");
	TRY(redis_command(t, words, sizeof words / sizeof *words, &reply));
	if (reply.type != REDIS_TEXT || !read(reply.text, caller))
		return fail(s, FAULT_UNAUTHORIZED, "the ticket is not good, or was used");
	if (caller->expires_s <= now_s)
		return fail(s, FAULT_TOKEN_EXPIRED, "the ticket's access token has expired");
	if (verifier_session_refused(service_verifier(), &caller->session_id, now_s))
		return fail(s, FAULT_UNAUTHORIZED, "the ticket's session has ended");
	return OK;
}

/* With the version of what stands there. Who reads Redis' memory finds no ticket. */
static struct str key_of(struct scope *s, struct str ticket)
{
	uint8_t digest[SHA256_BYTES];

	crypto_sha256(ticket, digest);
	return scope_format(s, "bodega:1:ticket:%.*s",
		STR_ARG(base64_encode(
			s->arena, BASE64URL, str_of((const char *)digest, sizeof digest))));
}

static bool read(struct str text, struct caller *caller)
{
	struct str user, session, role;

	*caller = (struct caller){0};
	if (!str_cut(&text, ' ', &user) || !str_cut(&text, ' ', &session) ||
		!str_cut(&text, ' ', &role))
		return false;
	caller->role = role_parse(role);
	return uuid_parse(user, &caller->user_id) && uuid_parse(session, &caller->session_id) &&
	       caller->role != ROLE_NONE && str_to_int64(text, &caller->expires_s);
}
