/* SPDX-License-Identifier: Apache-2.0
 * A scope is an arena and a list of clean-ups whose records lie in that arena; the clean-ups run
 * before it goes. */
#include "base/scope.h"

#include "base/check.h"

#include <stdio.h>

struct deferred {
	void (*fn)(void *arg);
	void *arg;
	struct deferred *next;
	struct deferred **at; /* what points here */
};

static void unlink_deferred(struct deferred *d);

void scope_begin(struct scope *s)
{
	*s = (struct scope){.arena = arena_new()};
	s->errors_end = &s->errors;
}

void scope_end(struct scope *s)
{
	while (s->deferred != NULL) {
		struct deferred *d = s->deferred;

		unlink_deferred(d);
		d->fn(d->arg);
	}
	arena_unref(s->arena);
	s->arena = NULL;
}

struct deferred *scope_defer(struct scope *s, void (*fn)(void *arg), void *arg)
{
	struct deferred *d = scope_alloc(s, sizeof *d);

	*d = (struct deferred){.fn = fn, .arg = arg, .next = s->deferred, .at = &s->deferred};
	if (d->next != NULL)
		d->next->at = &d->next;
	s->deferred = d;
	return d;
}

void scope_undefer(struct scope *s, struct deferred **deferred)
{
	(void)s;
	if (*deferred == NULL)
		return;
	unlink_deferred(*deferred);
	*deferred = NULL;
}

struct str scope_format(struct scope *s, const char *format, ...)
{
	va_list args;
	struct str text;

	va_start(args, format);
	text = scope_vformat(s, format, args);
	va_end(args);
	return text;
}

struct str scope_vformat(struct scope *s, const char *format, va_list args)
{
	char small[256];
	va_list again;
	char *text;
	int len;

	va_copy(again, args);
	len = vsnprintf(small, sizeof small, format, again);
	va_end(again);
	CHECK(len >= 0);
	if ((size_t)len < sizeof small)
		return scope_dup(s, str_of(small, (size_t)len));
	text = arena_bytes(s->arena, (size_t)len + 1);
	vsnprintf(text, (size_t)len + 1, format, args);
	return str_of(text, (size_t)len);
}

static void unlink_deferred(struct deferred *d)
{
	CHECK(d->at != NULL);
	*d->at = d->next;
	if (d->next != NULL)
		d->next->at = d->at;
	d->at = NULL;
}
