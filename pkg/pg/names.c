/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups by getaddrinfo_a: glibc's own threads do them, and we ask now and then whether they have
 * ended. Nothing signals the loop, so that a look-up that hangs outlives it without harm: then its
 * memory stays with glibc until the process ends. */
#include "pg/names.h"

#include "base/check.h"
#include "pg/libpq.h"
#include "pg/pg.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pg_lookup {
	struct gaicb requests[NAMES_MAX];
	struct gaicb *list[NAMES_MAX];
	size_t count;
	struct addrinfo hints;
	char *hosts; /* cut at its commas */
	char *ports[NAMES_MAX];
	char *port_text;
};

static struct pg_lookup *lookup_new(const char *hosts, const char *ports);
static bool is_pending(const struct pg_lookup *lookup);
static bool has_ended_soon(const struct pg_lookup *lookup);
static enum pg_names_state finish(struct pg_names *names);
static void add_address(
	struct pg_names *names, const char *host, const char *port, const struct sockaddr *address);
static bool append(char list[NAMES_TEXT_MAX], const char *word);
static void lookup_free(struct pg_lookup *lookup);
static const char *option(const PQconninfoOption *options, const char *keyword);
static bool needs_look_up(const char *hosts);

bool pg_url_valid(struct str url)
{
	PQconninfoOption *options = PQconninfoParse(url.at, NULL);
	const bool valid = options != NULL;

	PQconninfoFree(options);
	return valid;
}

enum pg_names_state pg_names_look(struct pg_names *names, const char *url, int64_t now_us)
{
	if (names->lookup != NULL) {
		if (is_pending(names->lookup))
			return NAMES_PENDING;
		names->fresh_until_us = now_us + NAMES_FRESH_US;
		return finish(names);
	}
	if (names->url != NULL && strcmp(names->url, url) == 0 && now_us < names->fresh_until_us)
		return NAMES_READY;

	char *error = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &error);

	if (options == NULL) {
		/* libpq's sentence quotes the string, and so maybe the password */
		PQfreemem(error);
		snprintf(names->error, sizeof names->error, "the database's URL is not one");
		return NAMES_FAILED;
	}

	const char *hosts = option(options, "host");
	const bool needed = *option(options, "hostaddr") == '\0' && needs_look_up(hosts);

	names->hosts[0] = names->addresses[0] = names->ports[0] = '\0';
	if (needed) {
		free(names->url);
		names->url = strdup(url);
		names->lookup = lookup_new(hosts, option(options, "port"));
	}
	PQconninfoFree(options);
	if (!needed)
		return NAMES_READY;
	snprintf(names->error, sizeof names->error, "host names cannot be looked up");
	return names->lookup != NULL ? NAMES_PENDING : NAMES_FAILED;
}

void pg_names_free(struct pg_names *names)
{
	free(names->url);
	names->url = NULL;
	if (names->lookup != NULL && has_ended_soon(names->lookup))
		lookup_free(names->lookup);
	names->lookup = NULL;
}

static struct pg_lookup *lookup_new(const char *hosts, const char *ports)
{
	struct pg_lookup *lookup = calloc(1, sizeof *lookup);
	char *rest_hosts, *rest_ports, *port = NULL;

	CHECK(lookup != NULL);
	lookup->hints.ai_socktype = SOCK_STREAM;
	rest_hosts = lookup->hosts = strdup(hosts);
	rest_ports = lookup->port_text = strdup(*ports != '\0' ? ports : "5432");
	CHECK(rest_hosts != NULL && rest_ports != NULL);
	while (rest_hosts != NULL && lookup->count < NAMES_MAX) {
		struct gaicb *request = &lookup->requests[lookup->count];

		if (rest_ports != NULL)
			port = strsep(&rest_ports, ","); /* the last one holds for what follows */
		request->ar_name = strsep(&rest_hosts, ",");
		request->ar_request = &lookup->hints;
		lookup->ports[lookup->count] = port;
		lookup->list[lookup->count++] = request;
	}

	struct sigevent nobody = {.sigev_notify = SIGEV_NONE};

	if (getaddrinfo_a(GAI_NOWAIT, lookup->list, (int)lookup->count, &nobody) != 0) {
		lookup_free(lookup);
		return NULL;
	}
	return lookup;
}

static bool is_pending(const struct pg_lookup *lookup)
{
	for (size_t i = 0; i < lookup->count; i++)
		if (gai_error(lookup->list[i]) == EAI_INPROGRESS)
			return true;
	return false;
}

/* Waits: only for the end of a program. */
static bool has_ended_soon(const struct pg_lookup *lookup)
{
	const struct timespec limit = {.tv_nsec = 500000000};

	for (size_t i = 0; i < lookup->count; i++) {
		const struct gaicb *one = lookup->list[i];

		(void)gai_suspend(&one, 1, &limit);
	}
	return !is_pending(lookup);
}

static enum pg_names_state finish(struct pg_names *names)
{
	struct pg_lookup *lookup = names->lookup;

	for (size_t i = 0; i < lookup->count; i++) {
		const struct gaicb *request = lookup->list[i];
		const int error = gai_error(lookup->list[i]);

		if (error != 0)
			snprintf(names->error, sizeof names->error, "host %.200s: %s",
				request->ar_name, gai_strerror(error));
		for (const struct addrinfo *a = request->ar_result; a != NULL; a = a->ai_next)
			add_address(names, request->ar_name, lookup->ports[i], a->ai_addr);
	}
	lookup_free(lookup);
	names->lookup = NULL;
	if (names->addresses[0] == '\0')
		names->fresh_until_us = 0;
	return names->addresses[0] != '\0' ? NAMES_READY : NAMES_FAILED;
}

/* One entry in each of the three lists, or in none when one is full. */
static void add_address(
	struct pg_names *names, const char *host, const char *port, const struct sockaddr *address)
{
	const socklen_t size = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
	                                                      : sizeof(struct sockaddr_in);
	const size_t hosts = strlen(names->hosts);
	const size_t addresses = strlen(names->addresses);
	char text[NI_MAXHOST];

	if (getnameinfo(address, size, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
		return;
	if (append(names->hosts, host) && append(names->addresses, text) &&
		append(names->ports, port))
		return;
	names->hosts[hosts] = '\0';
	names->addresses[addresses] = '\0';
}

static bool append(char list[NAMES_TEXT_MAX], const char *word)
{
	const size_t len = strlen(list);
	const size_t room = NAMES_TEXT_MAX - len;

	if (strlen(word) + 2 > room)
		return false;
	snprintf(list + len, room, "%s%s", len > 0 ? "," : "", word);
	return true;
}

static void lookup_free(struct pg_lookup *lookup)
{
	for (size_t i = 0; i < lookup->count; i++)
		if (lookup->requests[i].ar_result != NULL)
			freeaddrinfo(lookup->requests[i].ar_result);
	free(lookup->hosts);
	free(lookup->port_text);
	free(lookup);
}

static const char *option(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword != NULL; options++)
		if (strcmp(options->keyword, keyword) == 0 && options->val != NULL)
			return options->val;
	return "";
}

/* Sockets' paths and numeric addresses need none. */
static bool needs_look_up(const char *hosts)
{
	char bytes[sizeof(struct in6_addr)];
	char *copy = strdup(hosts);
	char *rest = copy;
	bool needed = false;

	CHECK(copy != NULL);
	while (rest != NULL) {
		const char *host = strsep(&rest, ",");

		needed |= *host != '\0' && *host != '/' && *host != '@' &&
		          inet_pton(AF_INET, host, bytes) != 1 &&
		          inet_pton(AF_INET6, host, bytes) != 1;
	}
	free(copy);
	return needed;
}
