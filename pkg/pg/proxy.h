/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/* A proxy for tests, on a thread of its own: a TCP port of loopback before the test's PostgreSQL
 * or RabbitMQ, whose connections can be cut, refused or made mute. */
struct proxy;

enum proxy_mode {
	PROXY_PASS,
	PROXY_REFUSE, /* new connections are closed at once */
	PROXY_MUTE, /* what the server says goes nowhere; new connections are taken and left alone
	             */
};

/* `url` is the PostgreSQL server's. */
struct proxy *proxy_new(const char *url);

/* On an address and port of the caller's choice. */
struct proxy *proxy_new_at(const char *url, const char *address, int port);

/* Before a TCP port of loopback. */
struct proxy *proxy_new_to_port(int port);
void proxy_free(struct proxy *p);

int proxy_port(const struct proxy *p);

/* Both return when it is so. */
void proxy_set(struct proxy *p, enum proxy_mode mode);
void proxy_cut(struct proxy *p);

/* Connections taken since the start. */
unsigned proxy_taken(const struct proxy *p);
