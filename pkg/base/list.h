/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A doubly linked ring: the link is a member of the object, the anchor stands for the list. An
 * unlinked link points at itself or is all zero. */
struct list {
	struct list *next;
	struct list *prev;
};

#define CONTAINER_OF(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_linked(const struct list *l)
{
	return l->next != NULL && l->next != l;
}

static inline bool list_is_empty(const struct list *anchor)
{
	return anchor->next == anchor;
}

/* Puts l at the end of the list. */
static inline void list_append(struct list *anchor, struct list *l)
{
	l->prev = anchor->prev;
	l->next = anchor;
	anchor->prev->next = l;
	anchor->prev = l;
}

/* Puts l at the front of the list. */
static inline void list_prepend(struct list *anchor, struct list *l)
{
	list_append(anchor->next, l);
}

/* Taking out what is in no list does nothing. */
static inline void list_remove(struct list *l)
{
	if (!list_is_linked(l))
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* Takes the first link out; NULL when there is none. */
static inline struct list *list_take(struct list *anchor)
{
	struct list *first = anchor->next;

	if (first == anchor)
		return NULL;
	anchor->next = first->next;
	first->next->prev = anchor;
	list_init(first);
	return first;
}
