/* SPDX-License-Identifier: Apache-2.0
 * Descriptors of other libraries, watched by libh2o through a duplicate: closing a socket of libh2o
 * closes its descriptor, and libpq and hiredis close theirs when they like. */
#include "base/check.h"
#include "fiber/private.h"

#include <fcntl.h>
#include <stdlib.h>

enum { WATCH_MAGIC = 0x57415443 };

struct loop_watch {
	unsigned magic;
	struct loop *loop;
	h2o_socket_t *socket;
	const struct loop_watch_events *events;
	void *owner;
};

static void on_readable(h2o_socket_t *socket, const char *error);
static void on_writable(h2o_socket_t *socket, const char *error);

struct loop_watch *loop_watch_new(
	struct loop *l, int fd, const struct loop_watch_events *events, void *owner)
{
	const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct loop_watch *watch;

	if (duplicate < 0)
		return NULL;
	watch = malloc(sizeof *watch);
	CHECK(watch != NULL);
	*watch = (struct loop_watch){
		.magic = WATCH_MAGIC,
		.loop = l,
		.socket = h2o_evloop_socket_create(l->h2o, duplicate, H2O_SOCKET_FLAG_DONT_READ),
		.events = events,
		.owner = owner,
	};
	watch->socket->data = watch;
	l->watch_count++;
	if (events->readable != NULL)
		loop_watch_read(watch, true);
	return watch;
}

void loop_watch_write(struct loop_watch *watch)
{
	CHECK_MAGIC(watch, WATCH_MAGIC);
	CHECK(watch->events->writable != NULL);
	if (!h2o_socket_is_writing(watch->socket)) /* libh2o asserts that none is pending */
		h2o_socket_notify_write(watch->socket, on_writable);
}

void loop_watch_read(struct loop_watch *watch, bool on)
{
	CHECK_MAGIC(watch, WATCH_MAGIC);
	if (on && !h2o_socket_is_reading(watch->socket))
		h2o_socket_read_start(watch->socket, on_readable);
	else if (!on && h2o_socket_is_reading(watch->socket))
		h2o_socket_read_stop(watch->socket);
}

void loop_watch_free(struct loop_watch **watch)
{
	struct loop_watch *gone = *watch;

	if (gone == NULL)
		return;
	CHECK_MAGIC(gone, WATCH_MAGIC);
	*watch = NULL;
	gone->magic = 0;
	gone->loop->watch_count--;
	h2o_socket_close(gone->socket); /* calls neither event any more, now or in this turn */
	free(gone);
}

static void on_readable(h2o_socket_t *socket, const char *error)
{
	struct loop_watch *watch = socket->data;

	(void)error; /* the library meets it when it reads */
	CHECK_MAGIC(watch, WATCH_MAGIC);
	watch->events->readable(watch->owner);
}

static void on_writable(h2o_socket_t *socket, const char *error)
{
	struct loop_watch *watch = socket->data;

	(void)error;
	CHECK_MAGIC(watch, WATCH_MAGIC);
	watch->events->writable(watch->owner);
}
