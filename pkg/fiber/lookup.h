/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/str.h"
#include "fiber/loop.h"

/* Host names to addresses by getaddrinfo, so the machine's hosts file, search list and name servers
 * hold, on a thread that lives for one look-up: however long that hangs, no loop waits and no
 * program's end does. What is asked for a name while its look-up runs, and LOOKUP_SHARED_US longer,
 * has one answer in the whole process. */
enum {
	LOOKUP_US = 5000000, /* an answer that comes later is not waited for */
	LOOKUP_SHARED_US = 1000000,
	LOOKUP_ADDRESSES_MAX = 256, /* the rest of an answer is left out */
	LOOKUP_NAME_MAX = 253,
	LOOKUP_NAMES_MAX = 64, /* looked up at a time */
};

struct lookup_address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at; /* without a port */
	socklen_t len;
};

/* Never changes, and may be shared by threads. */
struct lookup_answer {
	atomic_uint users; /* private */
	int64_t at_us; /* when it came, by clock_monotonic_us */
	const char *error; /* why there is no address, else NULL; static */
	size_t count;
	bool cut; /* there were more */
	struct lookup_address addresses[];
};

struct lookup;

/* Looks up a name, or reads a numeric address. done(arg, answer) is called once on the loop's
 * thread, never within this call; the answer is lent for the call, and the lookup is gone with it.
 */
struct lookup *lookup_start(struct loop *l, struct str name,
	void (*done)(void *arg, const struct lookup_answer *answer), void *arg);

/* It is not called any more. Clears *lookup; NULL is allowed. */
void lookup_cancel(struct lookup **lookup);

/* "10.0.0.1" or "::1": needs no looking up. */
bool lookup_numeric(struct str text, struct lookup_address *address);

/* Could it be a host's name? Letters, digits, '-' and '_', with single dots between. */
bool lookup_name_valid(struct str name);
