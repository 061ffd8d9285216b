/* SPDX-License-Identifier: Apache-2.0
 * Resolving a host's name blocks, so it happens on a thread that lives just for that; at most one
 * for a client. The record belongs to the message that comes back. */
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "redis/link.h"

struct redis_resolve {
	struct loop_message message;
	struct redis *redis; /* NULL: nobody waits any more */
	struct loop *loop;
	char host[256];
	char port[8];
	pthread_t thread;
	struct addrinfo *found;
	int error;
};

static void *run(void *arg);
static void deliver(struct loop_message *message);

struct redis_resolve *redis_resolve_start(struct redis *r, struct str host, uint16_t port)
{
	struct redis_resolve *resolve = calloc(1, sizeof *resolve);

	CHECK(resolve != NULL);
	resolve->message.run = deliver;
	resolve->redis = r;
	resolve->loop = r->loop;
	snprintf(resolve->host, sizeof resolve->host, "%.*s", STR_ARG(host));
	snprintf(resolve->port, sizeof resolve->port, "%u", port);
	if (pthread_create(&resolve->thread, NULL, run, resolve) != 0) {
		free(resolve);
		return NULL;
	}
	return resolve;
}

void redis_resolve_drop(struct redis_resolve *resolve)
{
	pthread_join(resolve->thread, NULL); /* it uses the loop, which may end next */
	resolve->redis = NULL;
}

static void *run(void *arg)
{
	struct redis_resolve *resolve = arg;
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

	resolve->error = getaddrinfo(resolve->host, resolve->port, &hints, &resolve->found);
	loop_post(resolve->loop, &resolve->message);
	return NULL;
}

/* Another one of the name's addresses at each try: a host may be reachable by one only. */
static const struct addrinfo *choose(const struct addrinfo *found, unsigned nth)
{
	const struct addrinfo *a = found;

	for (; nth > 0; nth--)
		a = a->ai_next != NULL ? a->ai_next : found;
	return a;
}

static void deliver(struct loop_message *message)
{
	struct redis_resolve *resolve = CONTAINER_OF(message, struct redis_resolve, message);

	if (resolve->redis != NULL) {
		pthread_join(resolve->thread, NULL);
		if (resolve->error != 0) {
			redis_resolved(resolve->redis, NULL, 0, gai_strerror(resolve->error));
		} else {
			const struct addrinfo *a =
				choose(resolve->found, resolve->redis->attempts++);
			redis_resolved(resolve->redis, a->ai_addr, a->ai_addrlen, NULL);
		}
	}
	if (resolve->found != NULL)
		freeaddrinfo(resolve->found);
	free(resolve);
}
