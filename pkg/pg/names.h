/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Host names in connection strings, looked up without blocking the loop: libpq would call
 * getaddrinfo. Private to the package. */
enum { NAMES_MAX = 8, NAMES_TEXT_MAX = 512, NAMES_POLL_US = 5000, NAMES_FRESH_US = 1000000 };

enum pg_names_state {
	NAMES_READY, /* connect, with the lists if they are not empty */
	NAMES_PENDING, /* ask again after NAMES_POLL_US */
	NAMES_FAILED,
};

/* A look-up that glibc's resolver threads may still write to. */
struct pg_lookup;

struct pg_names {
	struct pg_lookup *lookup; /* under way */
	char *url; /* that the lists are for */
	int64_t fresh_until_us;
	char hosts[NAMES_TEXT_MAX]; /* as libpq's host, hostaddr and port: one entry an address */
	char addresses[NAMES_TEXT_MAX];
	char ports[NAMES_TEXT_MAX];
	char error[NAMES_TEXT_MAX];
};

/* The addresses of the hosts in a connection string, none when libpq needs no help: paths of
 * sockets, numbers, hostaddr given. */
enum pg_names_state pg_names_look(struct pg_names *names, const char *url, int64_t now_us);

void pg_names_free(struct pg_names *names);
