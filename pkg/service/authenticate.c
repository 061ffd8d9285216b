/* SPDX-License-Identifier: Apache-2.0
 * Who calls: a person by an access token, a service of ours by its MAC, or both at once. What is
 * shown must be good; what is not shown is not asked for here but by the route. */
#include "service/internal.h"

#include "base/clock.h"

static enum fault check_token(struct task *t, struct str authorization, struct caller *caller);
static enum fault verify(struct task *t, struct str token, struct caller *caller);
static struct str person(struct scope *s, const struct caller *caller);

enum fault authenticate(struct task *t, const struct request *request, struct caller *caller)
{
	const struct str authorization = request_header(request, STR("authorization"));
	const struct str mac = request_header(request, STR("bodega-mac"));
	struct caller service = {0};

	if (mac.at != NULL)
		TRY(mac_check(
			process.macs, &t->scope, request, clock_wall_us() / 1000000, &service));
	if (authorization.at != NULL)
		TRY(check_token(t, authorization, caller));
	caller->service = service.service;
	caller->actor = service.actor.at != NULL ? service.actor : person(&t->scope, caller);
	t->actor = caller->actor;
	return OK;
}

/* As the calls to other services name them, which are made for the caller. */
static struct str person(struct scope *s, const struct caller *caller)
{
	char id[UUID_TEXT_LEN + 1];

	if (caller->role == ROLE_NONE)
		return STR_NONE;
	return scope_format(s, "user:%s", uuid_format(&caller->user_id, id).at);
}

static enum fault check_token(struct task *t, struct str authorization, struct caller *caller)
{
	struct str rest = authorization;
	struct str scheme;

	if (!str_cut(&rest, ' ', &scheme) || !str_eq_fold(scheme, STR("Bearer")))
		return fail(&t->scope, FAULT_UNAUTHORIZED,
			"Authorization must be Bearer with an access token");
	return verify(t, str_trim(rest), caller);
}

static enum fault verify(struct task *t, struct str token, struct caller *caller)
{
	struct service_thread *const here = thread_here();
	const int64_t now_s = clock_wall_us() / 1000000;
	enum fault fault;

	if (!service_knows_people(process.service))
		return fail(&t->scope, FAULT_UNAUTHORIZED, "no access tokens are taken here");
	keys_take(here);
	fault = verifier_check(here->verifier, &t->scope, token, now_s, caller);
	if (fault != FAULT_NOT_FOUND)
		return fault;
	scope_forgive(&t->scope);
	fault = keys_fetch_soon(t);
	if (fault != OK && !verifier_has_keys(here->verifier))
		return fault;
	scope_forgive(&t->scope);
	keys_take(here);
	fault = verifier_check(here->verifier, &t->scope, token, now_s, caller);
	if (fault != FAULT_NOT_FOUND)
		return fault;
	scope_forgive(&t->scope);
	if (!verifier_has_keys(here->verifier))
		return fail(&t->scope, FAULT_UNAVAILABLE,
			"the keys that verify access tokens are not there yet");
	return fail(
		&t->scope, FAULT_UNAUTHORIZED, "the access token is refused: its key is not known");
}
