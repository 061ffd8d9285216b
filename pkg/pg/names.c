/* SPDX-License-Identifier: Apache-2.0 */
/* All hosts of a connection string are looked up at once; when the last answer is there the lists
 * are put together in the string's order, for libpq tries them in that order. */
#include "pg/names.h"

#include "base/check.h"
#include "base/clock.h"
#include "pg/libpq.h"
#include "pg/pg.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void look_all_up(struct pg_names *names, const char *hosts, const char *ports);
static void on_answer(void *arg, const struct lookup_answer *answer);
static char *write_addresses(const struct lookup_answer *answer);
static void put_together(struct pg_names *names);
static void add_address(struct pg_names *names, const struct pg_name *name, const char *address);
static bool append(char list[NAMES_TEXT_MAX], const char *word);
static void forget(struct pg_names *names);
static const char *option(const PQconninfoOption *options, const char *keyword);
static bool needs_look_up(const char *hosts);

bool pg_url_valid(struct str url)
{
	PQconninfoOption *options = PQconninfoParse(url.at, NULL);
	const bool valid = options != NULL;

	PQconninfoFree(options);
	return valid;
}

enum pg_names_state pg_names_look(struct pg_names *names, const char *url)
{
	char *error = NULL;

	if (names->pending > 0)
		return NAMES_PENDING;
	if (names->url != NULL && strcmp(names->url, url) == 0 &&
		clock_monotonic_us() < names->fresh_until_us)
		return names->addresses[0] != '\0' ? NAMES_READY : NAMES_FAILED;
	forget(names);
	PQconninfoOption *options = PQconninfoParse(url, &error);
	if (options == NULL) {
		/* libpq's sentence quotes the string, and so maybe the password */
		PQfreemem(error);
		snprintf(names->error, sizeof names->error, "the database's URL is not one");
		return NAMES_FAILED;
	}

	const char *hosts = option(options, "host");
	const bool needed = *option(options, "hostaddr") == '\0' && needs_look_up(hosts);

	if (needed) {
		names->url = strdup(url);
		look_all_up(names, hosts, option(options, "port"));
	}
	PQconninfoFree(options);
	return needed ? NAMES_PENDING : NAMES_READY;
}

void pg_names_free(struct pg_names *names)
{
	forget(names);
}

static void look_all_up(struct pg_names *names, const char *hosts, const char *ports)
{
	char *rest_hosts, *rest_ports, *host, *port = NULL;
	char *const all_hosts = rest_hosts = strdup(hosts);
	char *const all_ports = rest_ports = strdup(*ports != '\0' ? ports : "5432");

	CHECK(all_hosts != NULL && all_ports != NULL);
	while (names->count < NAMES_MAX && (host = strsep(&rest_hosts, ",")) != NULL) {
		struct pg_name *name = &names->at[names->count++];

		if (rest_ports != NULL)
			port = strsep(&rest_ports, ","); /* the last one holds for what follows */
		*name = (struct pg_name){
			.names = names, .host = strdup(host), .port = strdup(port)};
		CHECK(name->host != NULL && name->port != NULL);
		names->pending++;
		name->lookup = lookup_start(names->loop, str_from(host), on_answer, name);
	}
	free(all_hosts);
	free(all_ports);
}

static void on_answer(void *arg, const struct lookup_answer *answer)
{
	struct pg_name *name = arg;
	struct pg_names *names = name->names;

	name->lookup = NULL;
	if (answer->error != NULL)
		snprintf(names->error, sizeof names->error, "host %.200s: %s", name->host,
			answer->error);
	else
		name->addresses = write_addresses(answer);
	if (--names->pending > 0)
		return;
	put_together(names);
	names->fresh_until_us = answer->at_us + NAMES_FRESH_US;
	names->ended(names);
}

/* As many as one list could take. */
static char *write_addresses(const struct lookup_answer *answer)
{
	char list[NAMES_TEXT_MAX] = "";

	for (size_t i = 0; i < answer->count; i++) {
		const struct lookup_address *a = &answer->addresses[i];
		char text[NI_MAXHOST];

		if (getnameinfo(&a->at.any, a->len, text, sizeof text, NULL, 0, NI_NUMERICHOST) ==
			0)
			(void)append(list, text);
	}

	char *addresses = strdup(list);

	CHECK(addresses != NULL);
	return addresses;
}

static void put_together(struct pg_names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		char *rest = names->at[i].addresses;
		const char *address;

		while ((address = strsep(&rest, ",")) != NULL)
			add_address(names, &names->at[i], address);
	}
}

/* One entry in each of the three lists, or in none when one is full. */
static void add_address(struct pg_names *names, const struct pg_name *name, const char *address)
{
	const size_t hosts = strlen(names->hosts);
	const size_t addresses = strlen(names->addresses);

	if (append(names->hosts, name->host) && append(names->addresses, address) &&
		append(names->ports, name->port))
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

static void forget(struct pg_names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		lookup_cancel(&names->at[i].lookup);
		free(names->at[i].host);
		free(names->at[i].port);
		free(names->at[i].addresses);
	}
	free(names->url);
	names->url = NULL;
	names->count = names->pending = 0;
	names->hosts[0] = names->addresses[0] = names->ports[0] = names->error[0] = '\0';
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
	struct lookup_address numeric;
	char *copy = strdup(hosts);
	char *rest = copy;
	bool needed = false;

	CHECK(copy != NULL);
	while (rest != NULL) {
		const char *host = strsep(&rest, ",");

		needed |= *host != '\0' && *host != '/' && *host != '@' &&
		          !lookup_numeric(str_from(host), &numeric);
	}
	free(copy);
	return needed;
}
