/* SPDX-License-Identifier: Apache-2.0
 * What a listener has not seen yet, from the services that own it, a page a task at the pace of its
 * client; and what a message looks like. A new listener first learns where each source is now, so
 * that from its first message on there is an id to resume by. */
#include "live.h"

#include "json/token.h"
#include "json/write.h"

#include <inttypes.h>

enum {
	PAGE_EVENTS = 100,
	PIECE_BYTES = LIVE_QUEUE_BYTES_MAX / 4, /* of a page, handed to the client at once */
};

static const struct {
	struct str source; /* of its events */
	const char *peer;
	char letter;
} sources[LIVE_SOURCES] = {
	[LIVE_ORDERS] = {{"/orders", 7}, "orders", 'o'},
	[LIVE_PRODUCTS] = {{"/products", 9}, "products", 'p'},
};

/* An answer to GET /internal/events. */
struct page {
	struct texts events; /* as they came */
	int64_t position; /* the last one given in the person's partition */
	bool has_more;
	bool resync; /* what followed is not kept any more */
};

static enum fault find_now(struct task *t, struct listener *listener, size_t source);
static enum fault read_on(struct task *t, struct listener *listener, size_t source);
static enum fault send_page(
	struct task *t, struct listener *listener, size_t source, const struct page *page);
static enum fault wait_sent(struct task *t, struct listener *listener);
static enum fault still_there(struct scope *s, const struct listener *listener);
static enum fault get_page(struct task *t, const struct listener *listener, size_t source,
	bool from_now, struct page *page);
static enum fault page_read(struct scope *s, struct str json, struct page *page);
static enum fault page_member(
	struct scope *s, const struct json_doc *doc, int name, struct page *page);
static void say(struct scope *s, struct listener *listener, const char *type);

enum fault replay(struct task *t, struct listener *listener)
{
	enum fault first = OK;

	for (size_t i = 0; i < LIVE_SOURCES; i++) {
		const enum fault fault = find_now(t, listener, i);

		if (first == OK)
			first = fault;
	}
	for (size_t i = 0; i < LIVE_SOURCES; i++) {
		const enum fault fault = read_on(t, listener, i);

		if (first == OK)
			first = fault;
	}
	if (first == OK && !listener->again && !listener->greeted) {
		say(&t->scope, listener, "ready");
		listener->greeted = true;
	}
	return first;
}

static enum fault find_now(struct task *t, struct listener *listener, size_t source)
{
	struct progress *const progress = &listener->progress[source];
	struct page page = {0};

	if (progress->known)
		return OK;
	TRY(get_page(t, listener, source, true, &page));
	progress->last = page.position;
	progress->known = true;
	return OK;
}

/* One page. When there is more, or something was heard of that was not read, it is not live yet. */
static enum fault read_on(struct task *t, struct listener *listener, size_t source)
{
	struct progress *const progress = &listener->progress[source];
	struct page page = {0};

	if (!progress->known)
		return FAULT_UNAVAILABLE;
	if (progress->live)
		return OK;
	TRY(get_page(t, listener, source, false, &page));
	if (page.resync || page.position < progress->last) {
		progress->last = progress->heard = page.position;
		say(&t->scope, listener, "resync");
	}
	TRY(send_page(t, listener, source, &page));
	if (page.has_more || progress->heard > progress->last)
		listener->again = true;
	progress->live = !listener->again;
	return OK;
}

static enum fault send_page(
	struct task *t, struct listener *listener, size_t source, const struct page *page)
{
	size_t bytes = 0;

	for (size_t i = 0; i < page->events.count; i++) {
		struct event event;

		TRY(event_read(&t->scope, page->events.at[i], &event));
		replay_send(&t->scope, listener, source, &event);
		bytes += page->events.at[i].len;
		if (bytes >= PIECE_BYTES || i + 1 == page->events.count)
			TRY(wait_sent(t, listener));
		if (bytes >= PIECE_BYTES)
			bytes = 0;
	}
	return OK;
}

/* One that takes nothing does not keep others from catching up. */
static enum fault wait_sent(struct task *t, struct listener *listener)
{
	const enum fault fault = live_wait_sent(t, listener->live);

	TRY(still_there(&t->scope, listener));
	if (fault == FAULT_DEADLINE)
		live_end(listener->live, LIVE_SLOW);
	return fault;
}

/* Asked after each wait: its client may have left when what was waited for had come already, in the
 * same turn, so that there was nothing left to cancel. */
static enum fault still_there(struct scope *s, const struct listener *listener)
{
	return listener->live != NULL ? OK : fail(s, FAULT_CANCELED, "the listener has left");
}

void replay_send(
	struct scope *s, struct listener *listener, size_t source, const struct event *event)
{
	struct progress *const progress = &listener->progress[source];
	struct buf json;
	struct str id;

	if (event->position <= progress->last || !uuid_eq(&event->person, &listener->person))
		return;
	progress->last = event->position;
	id = replay_id(s, listener->progress);
	json = buf_new(s->arena);
	buf_format(&json, "{\"id\":\"%.*s\",\"type\":", STR_ARG(id));
	json_write_text(&json, event->type);
	buf_add(&json, STR(",\"event\":"));
	event_write(&json, event);
	buf_char(&json, '}');
	live_send(listener->live, id, buf_str(&json));
}

static void say(struct scope *s, struct listener *listener, const char *type)
{
	const struct str id = replay_id(s, listener->progress);

	live_send(listener->live, id,
		scope_format(s, "{\"id\":\"%.*s\",\"type\":\"%s\"}", STR_ARG(id), type));
}

/* ---- ids ---- */

struct str replay_id(struct scope *s, const struct progress progress[LIVE_SOURCES])
{
	struct buf id = buf_new(s->arena);

	for (size_t i = 0; i < LIVE_SOURCES; i++)
		if (progress[i].known)
			buf_format(&id, "%s%c:%" PRId64, id.len > 0 ? "," : "", sources[i].letter,
				progress[i].last);
	return buf_str(&id);
}

bool replay_id_read(struct str id, struct progress progress[LIVE_SOURCES])
{
	struct str part;

	if (id.len == 0 || id.len > LIVE_ID_MAX)
		return false;
	while (str_cut(&id, ',', &part)) {
		size_t i = 0;

		while (i < LIVE_SOURCES && (part.len < 3 || part.at[0] != sources[i].letter))
			i++;
		if (i == LIVE_SOURCES || progress[i].known || part.at[1] != ':' ||
			!str_to_int64(str_skip(part, 2), &progress[i].last) || progress[i].last < 0)
			return false;
		progress[i].known = true;
	}
	return true;
}

size_t replay_source(struct str source)
{
	size_t i = 0;

	while (i < LIVE_SOURCES && !str_eq(source, sources[i].source))
		i++;
	return i;
}

/* ---- GET /internal/events ---- */

static enum fault get_page(struct task *t, const struct listener *listener, size_t source,
	bool from_now, struct page *page)
{
	struct scope *s = &t->scope;
	char person[UUID_TEXT_LEN + 1];
	struct upstream_request request = {.method = STR("GET")};
	struct upstream_reply reply;

	request.target = scope_format(s, "/internal/events?person=%s&limit=%d",
		uuid_format(&listener->person, person).at, PAGE_EVENTS);
	if (!from_now)
		request.target = scope_format(s, "%.*s&after=%" PRId64, STR_ARG(request.target),
			listener->progress[source].last);
	TRY(upstream_call(t, service_peer(sources[source].peer), &request, &reply));
	TRY(still_there(s, listener));
	if (reply.status != 200)
		return upstream_fault(s, &reply);
	return page_read(s, reply.body, page);
}

static enum fault page_read(struct scope *s, struct str json, struct page *page)
{
	struct json_doc doc;
	int name = 1;

	*page = (struct page){.position = -1};
	TRY(json_tokens(s, json, JSON_LENIENT_TOKENS_MAX, &doc));
	for (size_t left = json_size(&doc, 0); left > 0; left--) {
		TRY(page_member(s, &doc, name, page));
		name = json_next(&doc, name + 1);
	}
	if (page->position < 0)
		return fail(s, FAULT_BAD_GATEWAY, "a page of events has no position");
	return OK;
}

static enum fault page_member(
	struct scope *s, const struct json_doc *doc, int name, struct page *page)
{
	const struct str is = json_raw(doc, name), raw = json_raw(doc, name + 1);
	int at = name + 2;

	if (str_eq(is, STR("has_more")))
		page->has_more = str_eq(raw, STR("true"));
	else if (str_eq(is, STR("resync")))
		page->resync = str_eq(raw, STR("true"));
	else if (str_eq(is, STR("position")) &&
		 (!str_to_int64(raw, &page->position) || page->position < 0))
		return fail(s, FAULT_BAD_GATEWAY, "no position: %.*s", STR_ARG(raw));
	if (!str_eq(is, STR("events")) || json_kind(doc, name + 1) != JSON_ARRAY)
		return OK;
	page->events.count = json_size(doc, name + 1);
	page->events.at = arena_alloc_array(s->arena, page->events.count, sizeof(struct str));
	for (size_t i = 0; i < page->events.count; i++) {
		page->events.at[i] = json_raw(doc, at);
		at = json_next(doc, at);
	}
	return OK;
}
