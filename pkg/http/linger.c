/* SPDX-License-Identifier: Apache-2.0
 * Lingering close (RFC 9112 9.6). When a connection is closed with input unread, the kernel resets
 * it, and the peer may lose the answer that says why. So the descriptor is kept for a moment: its
 * sending side is shut, and what still comes is read and thrown away. */
#include "http/internal.h"

#include "base/check.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LINGERING_MAX = 1024, /* a worker; more are closed at once */
	LINGER_US = 2000000,
	LINGER_BYTES_MAX = 16 << 20,
};

struct lingering {
	h2o_socket_t *socket;
	struct server_worker *worker;
	struct lingering *next;
	int64_t until_us;
	size_t bytes;
};

static void on_input(h2o_socket_t *socket, const char *error);
static void end(struct lingering *l);

void linger_start(struct server_worker *w, int fd)
{
	struct lingering *l;

	(void)shutdown(fd, SHUT_WR);
	if (w->lingering_count >= LINGERING_MAX) {
		close(fd);
		return;
	}
	w->lingering_count++;
	l = calloc(1, sizeof *l);
	CHECK(l != NULL);
	l->worker = w;
	l->until_us = loop_now_us(w->loop) + LINGER_US;
	l->next = w->lingering;
	w->lingering = l;
	l->socket = h2o_evloop_socket_create(loop_h2o(w->loop), fd, 0);
	l->socket->data = l;
	h2o_socket_read_start(l->socket, on_input);
}

static void on_input(h2o_socket_t *socket, const char *error)
{
	struct lingering *l = socket->data;

	l->bytes += socket->input->size;
	h2o_buffer_consume(&socket->input, socket->input->size);
	if (error != NULL || l->bytes > LINGER_BYTES_MAX)
		end(l);
}

void linger_sweep(struct server_worker *w, int64_t now_us)
{
	for (struct lingering *l = w->lingering, *next; l != NULL; l = next) {
		next = l->next;
		if (now_us >= l->until_us)
			end(l);
	}
}

void linger_end(struct server_worker *w)
{
	linger_sweep(w, INT64_MAX);
}

static void end(struct lingering *l)
{
	struct lingering **at = &l->worker->lingering;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	l->worker->lingering_count--;
	h2o_socket_close(l->socket);
	free(l);
}
