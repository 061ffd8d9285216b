/* SPDX-License-Identifier: Apache-2.0 */
/* One thread, one poll. The test's thread gives an order by a byte in a pipe and waits for its
 * answer in another, so that an order has been carried out when the call returns. */
#include "pg/proxy.h"

#include "base/check.h"
#include "pg/libpq.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PAIRS_MAX = 32, ORDER_CUT = 'c', ORDER_END = 'e', ORDER_MODE = '0' };

struct pair {
	int client; /* -1: free */
	int server; /* -1: taken while mute */
};

struct proxy {
	pthread_t thread;
	struct sockaddr_storage server;
	socklen_t server_len;
	int listener;
	int port;
	int orders[2];
	int answers[2];
	enum proxy_mode mode;
	struct pair pairs[PAIRS_MAX];
	atomic_uint taken;
};

static struct proxy *start(const void *server, socklen_t server_len, const char *address, int port);
static void *serve(void *arg);
static bool obey(struct proxy *p);
static void take(struct proxy *p);
static void drop(struct pair *pair);
static void pump(struct proxy *p, struct pair *pair, bool from_server);
static void order(struct proxy *p, char what);

struct proxy *proxy_new(const char *url)
{
	return proxy_new_at(url, "127.0.0.1", 0);
}

struct proxy *proxy_new_at(const char *url, const char *address, int port)
{
	PGconn *server = PQconnectdb(url);
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	CHECK(PQstatus(server) == CONNECTION_OK && PQhost(server)[0] == '/');
	snprintf(at.sun_path, sizeof at.sun_path, "%s/.s.PGSQL.%s", PQhost(server), PQport(server));
	PQfinish(server);
	return start(&at, sizeof at, address, port);
}

struct proxy *proxy_new_to_port(int port)
{
	const struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return start(&at, sizeof at, "127.0.0.1", 0);
}

static struct proxy *start(const void *server, socklen_t server_len, const char *address, int port)
{
	struct proxy *p = calloc(1, sizeof *p);
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	socklen_t size = sizeof own;

	CHECK(p != NULL && inet_pton(AF_INET, address, &own.sin_addr) == 1);
	memcpy(&p->server, server, server_len);
	p->server_len = server_len;
	for (size_t i = 0; i < PAIRS_MAX; i++)
		p->pairs[i] = (struct pair){-1, -1};
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(p->listener, (struct sockaddr *)&own, sizeof own) == 0 &&
		listen(p->listener, PAIRS_MAX) == 0 &&
		getsockname(p->listener, (struct sockaddr *)&own, &size) == 0);
	p->port = ntohs(own.sin_port);
	CHECK(pipe(p->orders) == 0 && pipe(p->answers) == 0);
	CHECK(pthread_create(&p->thread, NULL, serve, p) == 0);
	return p;
}

void proxy_free(struct proxy *p)
{
	order(p, ORDER_END);
	pthread_join(p->thread, NULL);
	for (size_t i = 0; i < PAIRS_MAX; i++)
		drop(&p->pairs[i]);
	close(p->listener);
	for (size_t i = 0; i < 2; i++) {
		close(p->orders[i]);
		close(p->answers[i]);
	}
	free(p);
}

int proxy_port(const struct proxy *p)
{
	return p->port;
}

void proxy_set(struct proxy *p, enum proxy_mode mode)
{
	order(p, (char)(ORDER_MODE + mode));
}

void proxy_cut(struct proxy *p)
{
	order(p, ORDER_CUT);
}

unsigned proxy_taken(const struct proxy *p)
{
	return atomic_load(&p->taken);
}

static void order(struct proxy *p, char what)
{
	CHECK(write(p->orders[1], &what, 1) == 1);
	CHECK(read(p->answers[0], &what, 1) == 1);
}

static void *serve(void *arg)
{
	struct proxy *p = arg;

	for (;;) {
		struct pollfd fds[2 + 2 * PAIRS_MAX] = {
			{.fd = p->orders[0], .events = POLLIN},
			{.fd = p->listener, .events = POLLIN},
		};

		for (size_t i = 0; i < PAIRS_MAX; i++) {
			fds[2 + 2 * i] =
				(struct pollfd){.fd = p->pairs[i].client, .events = POLLIN};
			fds[3 + 2 * i] =
				(struct pollfd){.fd = p->pairs[i].server, .events = POLLIN};
		}
		CHECK(poll(fds, 2 + 2 * PAIRS_MAX, -1) > 0);
		for (size_t i = 0; i < PAIRS_MAX; i++) {
			if (fds[2 + 2 * i].revents != 0)
				pump(p, &p->pairs[i], false);
			if (fds[3 + 2 * i].revents != 0 && p->pairs[i].client >= 0)
				pump(p, &p->pairs[i], true);
		}
		if (fds[1].revents != 0)
			take(p);
		if (fds[0].revents != 0 && !obey(p))
			return NULL;
	}
}

/* False: that was the end. */
static bool obey(struct proxy *p)
{
	char what;

	CHECK(read(p->orders[0], &what, 1) == 1);
	if (what == ORDER_CUT)
		for (size_t i = 0; i < PAIRS_MAX; i++)
			drop(&p->pairs[i]);
	else if (what != ORDER_END)
		p->mode = (enum proxy_mode)(what - ORDER_MODE);
	CHECK(write(p->answers[1], &what, 1) == 1);
	return what != ORDER_END;
}

static void take(struct proxy *p)
{
	const int client = accept(p->listener, NULL, NULL);
	struct pair *pair = p->pairs;

	atomic_fetch_add(&p->taken, 1);
	if (p->mode == PROXY_REFUSE) {
		close(client);
		return;
	}
	while (pair->client >= 0)
		CHECK(++pair < p->pairs + PAIRS_MAX);
	pair->client = client;
	if (p->mode == PROXY_MUTE)
		return;
	pair->server = socket(p->server.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(pair->server, (struct sockaddr *)&p->server, p->server_len) != 0)
		drop(pair);
}

static void drop(struct pair *pair)
{
	if (pair->client >= 0)
		close(pair->client);
	if (pair->server >= 0)
		close(pair->server);
	*pair = (struct pair){-1, -1};
}

static void pump(struct proxy *p, struct pair *pair, bool from_server)
{
	const int from = from_server ? pair->server : pair->client;
	const int to = from_server ? pair->client : pair->server;
	char bytes[2048];
	const ssize_t len = recv(from, bytes, sizeof bytes, 0);

	if (len <= 0)
		drop(pair);
	else if (to >= 0 && !(from_server && p->mode == PROXY_MUTE) &&
		 send(to, bytes, (size_t)len, MSG_NOSIGNAL) != len)
		drop(pair);
}
