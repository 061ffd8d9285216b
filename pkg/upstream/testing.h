/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests: a TCP server that says exactly what it is told, with a thread for each connection, so
 * that peers can be played that no library would play. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/str.h"

enum { RAW_CONNECTIONS_MAX = 16, RAW_REQUEST_MAX = 1024 };

struct raw_server;

struct raw_connection {
	struct raw_server *server;
	int fd;
	int nth; /* from 0, in the order of arrival */
	pthread_t thread;
};

typedef void raw_serve_fn(struct raw_connection *c);

struct raw_server {
	raw_serve_fn *serve;
	const void *arg;
	int listener;
	char address[64];
	pthread_t thread;
	struct raw_connection connections[RAW_CONNECTIONS_MAX];
	atomic_int accepted;
	atomic_int requests;
	sem_t closed; /* posted for each connection that we have closed */
	pthread_mutex_t mutex; /* of the request read last */
	char last[RAW_REQUEST_MAX];
};

static inline void *raw_connection_run(void *arg)
{
	struct raw_connection *c = arg;

	c->server->serve(c);
	close(c->fd);
	sem_post(&c->server->closed);
	return NULL;
}

static inline void *raw_server_run(void *arg)
{
	struct raw_server *s = arg;
	int fd;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		const int nth = atomic_load(&s->accepted);
		struct raw_connection *c = &s->connections[nth];

		CHECK(nth < RAW_CONNECTIONS_MAX);
		*c = (struct raw_connection){.server = s, .fd = fd, .nth = nth};
		atomic_fetch_add(&s->accepted, 1);
		CHECK(pthread_create(&c->thread, NULL, raw_connection_run, c) == 0);
	}
	return NULL;
}

/* A listening socket on a port (0: a free one) of a loopback address; the text goes into address.
 */
static inline int raw_listen_at(const char *host, uint16_t port, char address[64])
{
	static const int on = 1;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t len = sizeof at;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && inet_pton(AF_INET, host, &at.sin_addr) == 1);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
	CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	snprintf(address, 64, "%s:%u", host, ntohs(at.sin_port));
	return fd;
}

static inline int raw_listen(char address[64])
{
	return raw_listen_at("127.0.0.1", 0, address);
}

/* The same on a Unix socket; the address is given: "unix:/path". */
static inline int raw_listen_unix(const char *address)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(snprintf(at.sun_path, sizeof at.sun_path, "%s", address + strlen("unix:")) <
		(int)sizeof at.sun_path);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0);
	return fd;
}

static inline void raw_server_run_on(
	struct raw_server *s, int listener, raw_serve_fn *serve, const void *arg)
{
	s->listener = listener;
	s->serve = serve;
	s->arg = arg;
	CHECK(sem_init(&s->closed, 0, 0) == 0);
	CHECK(pthread_create(&s->thread, NULL, raw_server_run, s) == 0);
}

/* On the Unix socket that s->address names already. */
static inline void raw_server_start_there(
	struct raw_server *s, raw_serve_fn *serve, const void *arg)
{
	raw_server_run_on(s, raw_listen_unix(s->address), serve, arg);
}

static inline void raw_server_start_at(
	struct raw_server *s, const char *host, uint16_t port, raw_serve_fn *serve, const void *arg)
{
	memset(s, 0, sizeof *s);
	pthread_mutex_init(&s->mutex, NULL);
	raw_server_run_on(s, raw_listen_at(host, port, s->address), serve, arg);
}

/* On a free port. */
static inline void raw_server_start(struct raw_server *s, raw_serve_fn *serve, const void *arg)
{
	raw_server_start_at(s, "127.0.0.1", 0, serve, arg);
}

/* After the clients have closed their connections: waits for the threads. */
static inline void raw_server_stop(struct raw_server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	for (int i = 0; i < atomic_load(&s->accepted); i++)
		pthread_join(s->connections[i].thread, NULL);
	sem_destroy(&s->closed);
}

/* Reads one request with its body into server->last; false when the client has closed. */
static inline bool raw_read(struct raw_connection *c)
{
	char text[RAW_REQUEST_MAX];
	size_t len = 0;

	for (;;) {
		const ssize_t n = read(c->fd, text + len, sizeof text - 1 - len);

		if (n <= 0)
			return false;
		len += (size_t)n;
		text[len] = '\0';
		const char *end = strstr(text, "\r\n\r\n"),
			   *length = strstr(text, "content-length: ");
		if (end == NULL)
			continue;
		const size_t body =
			length != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0;
		if (len >= (size_t)(end - text) + 4 + body)
			break;
	}
	pthread_mutex_lock(&c->server->mutex);
	memcpy(c->server->last, text, len + 1);
	pthread_mutex_unlock(&c->server->mutex);
	atomic_fetch_add(&c->server->requests, 1);
	return true;
}

/* Copies the request read last. */
static inline const char *raw_last(struct raw_server *s, char out[RAW_REQUEST_MAX])
{
	pthread_mutex_lock(&s->mutex);
	memcpy(out, s->last, RAW_REQUEST_MAX);
	pthread_mutex_unlock(&s->mutex);
	return out;
}

static inline void raw_write(struct raw_connection *c, struct str bytes)
{
	while (bytes.len > 0) {
		const ssize_t n = send(c->fd, bytes.at, bytes.len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		bytes = str_skip(bytes, (size_t)n);
	}
}

/* Waits until the client has closed. */
static inline void raw_wait_closed(struct raw_connection *c)
{
	char byte;

	while (read(c->fd, &byte, 1) > 0)
		continue;
}
