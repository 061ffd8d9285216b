/* SPDX-License-Identifier: Apache-2.0
 * GET /api/v1/ws and GET /api/v1/events: one's own events as they happen; POST
 * /api/v1/events/ticket. A stream is as good as the access token it began with: it ends with it, or
 * with its session. */
#include "live.h"

#include "base/check.h"
#include "base/clock.h"
#include "json/write.h"

#include <stdlib.h>

struct live_query {
	struct str ticket;
	struct str last_event_id;
};

static const struct field query_fields[] = {
	FIELD(struct live_query, ticket, TEXT, OPTIONAL, .max = 64),
	FIELD(struct live_query, last_event_id, TEXT, OPTIONAL, .max = LIVE_ID_MAX),
};
static const struct field_table query_table = FIELD_TABLE(struct live_query, query_fields);

static enum fault open_stream(
	struct task *t, const struct request *request, struct reply *reply, enum live_kind kind);
static enum fault find_caller(
	struct task *t, const struct request *request, struct str ticket, struct caller *caller);
static enum fault check_origin(struct scope *s, const struct request *request);
static enum fault begin(struct task *t, const struct request *request, struct reply *reply,
	enum live_kind kind, const struct caller *caller, struct str last_id);
static void on_ended(void *owner, enum live_end why);

enum fault live_ws(struct task *t, const struct request *request, struct reply *reply)
{
	return open_stream(t, request, reply, LIVE_WEBSOCKET);
}

enum fault live_sse(struct task *t, const struct request *request, struct reply *reply)
{
	return open_stream(t, request, reply, LIVE_EVENTS);
}

enum fault live_ticket(struct task *t, const struct request *request, struct reply *reply)
{
	struct buf json = buf_new(reply->arena);
	struct str ticket;

	TRY(ticket_make(t, &request->caller, &ticket));
	buf_add(&json, STR("{\"ticket\":"));
	json_write_text(&json, ticket);
	buf_format(&json, ",\"expires_in\":%d}", TICKET_S);
	return reply_json(reply, 201, buf_str(&json));
}

static enum fault open_stream(
	struct task *t, const struct request *request, struct reply *reply, enum live_kind kind)
{
	const struct str header = request_header(request, STR("last-event-id"));
	struct live_query query = {0};
	struct caller caller;

	TRY(check_origin(&t->scope, request));
	TRY(request_query(&t->scope, request, &query_table, &query));
	TRY(find_caller(t, request, query.ticket, &caller));
	return begin(
		t, request, reply, kind, &caller, header.len > 0 ? header : query.last_event_id);
}

static enum fault find_caller(
	struct task *t, const struct request *request, struct str ticket, struct caller *caller)
{
	*caller = request->caller;
	if (caller->role != ROLE_NONE)
		return OK;
	if (ticket.len == 0)
		return fail(&t->scope, FAULT_UNAUTHORIZED,
			"this needs an access token, or a ticket of POST /api/v1/events/ticket");
	return ticket_take(t, ticket, caller);
}

/* Browsers say which page they act for; nobody else need. */
static enum fault check_origin(struct scope *s, const struct request *request)
{
	const struct str origin = request_header(request, STR("origin"));
	const struct str own = scope_format(
		s, "%.*s://%.*s", STR_ARG(request->scheme), STR_ARG(request->authority));

	if (origin.len == 0 || str_eq_fold(origin, own) || cors_allows(origin))
		return OK;
	return fail(s, FAULT_FORBIDDEN, "pages of %.*s may not listen here", STR_ARG(origin));
}

static enum fault begin(struct task *t, const struct request *request, struct reply *reply,
	enum live_kind kind, const struct caller *caller, struct str last_id)
{
	struct scope *s = &t->scope;
	struct listener *listener = calloc(1, sizeof *listener);
	const struct live_config config = {
		.kind = kind,
		.until_us = loop_now_us(t->loop) + caller->expires_s * 1000000 - clock_wall_us(),
		.user_id = caller->user_id,
		.owner = listener,
		.ended = on_ended,
	};
	enum fault fault;

	CHECK(listener != NULL);
	listener->person = caller->user_id;
	listener->session = caller->session_id;
	if (last_id.len > 0 && !replay_id_read(last_id, listener->progress)) {
		free(listener);
		return fail_field(s, STR("last_event_id"), "format",
			"must be the id of a message, such as o:17,p:3");
	}
	if (!persons_enter(&listener->person)) {
		free(listener);
		return fail(s, FAULT_RATE_LIMITED, "%d streams are open already",
			LIVE_STREAMS_A_PERSON);
	}
	fault = live_open(s, request, reply, &config, &listener->live);
	if (fault != OK) {
		persons_leave(&listener->person);
		free(listener);
		return fault;
	}
	hub_add(listener);
	return OK;
}

static void on_ended(void *owner, enum live_end why)
{
	struct listener *const listener = owner;

	(void)why;
	listener->live = NULL;
	persons_leave(&listener->person);
	hub_drop(listener);
}
