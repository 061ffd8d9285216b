/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fiber/lookup.h"

/* Host names in connection strings, looked up without blocking the loop: libpq would call
 * getaddrinfo. Private to the package. */
enum { NAMES_MAX = 8, NAMES_TEXT_MAX = 512, NAMES_FRESH_US = LOOKUP_SHARED_US };

enum pg_names_state {
	NAMES_READY, /* connect, with the lists if they are not empty */
	NAMES_PENDING, /* ask again when they have ended */
	NAMES_FAILED, /* error says why */
};

struct pg_names;

/* One host of the connection string. */
struct pg_name {
	struct pg_names *names;
	struct lookup *lookup; /* under way */
	char *host;
	char *port;
	char *addresses; /* that it has, with commas between; NULL: none */
};

struct pg_names {
	struct loop *loop;
	void (*ended)(struct pg_names *names); /* all look-ups have */
	char *url; /* that the lists are for; NULL: for none */
	int64_t fresh_until_us;
	struct pg_name at[NAMES_MAX];
	size_t count;
	size_t pending;
	char hosts[NAMES_TEXT_MAX]; /* as libpq's host, hostaddr and port: one entry an address */
	char addresses[NAMES_TEXT_MAX];
	char ports[NAMES_TEXT_MAX];
	char error[NAMES_TEXT_MAX];
};

/* The addresses of the hosts in a connection string, none when libpq needs no help: paths of
 * sockets, numbers, hostaddr given. */
enum pg_names_state pg_names_look(struct pg_names *names, const char *url);

void pg_names_free(struct pg_names *names);
