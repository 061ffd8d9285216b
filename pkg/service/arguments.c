/* SPDX-License-Identifier: Apache-2.0
 * The command line: questions about the program, answered without configuration. */
#include "base/crash.h"
#include "service/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static void print_help(const struct service *service);
static void print_routes(const struct service *service);
static void print_who(unsigned who);
static void print_line(const char *text);

int arguments_answer(int argc, char **argv, const struct service *service)
{
	const struct str asked = str_from(argc == 2 ? argv[1] : NULL);

	if (argc <= 1)
		return -1;
	if (str_eq(asked, STR("--version"))) {
		printf("%s %s\n", service->name, BODEGA_VERSION);
		return EXIT_SUCCESS;
	}
	if (str_eq(asked, STR("--help"))) {
		print_help(service);
		return EXIT_SUCCESS;
	}
	if (str_eq(asked, STR("--routes"))) {
		print_routes(service);
		return EXIT_SUCCESS;
	}
	if (str_eq(asked, STR("--crash-points"))) {
		crash_points_list(print_line);
		return EXIT_SUCCESS;
	}
	fprintf(stderr,
		"usage: %s [--help | --version | --routes | --crash-points]\n"
		"Everything else is configured by the environment; --help lists it.\n",
		service->name);
	return EX_USAGE;
}

static void print_help(const struct service *service)
{
	struct scope s;

	printf("usage: %s [--help | --version | --routes | --crash-points]\n\n%s\n\n"
	       "Configuration, from the environment (NAME_FILE names a file with the value):\n\n",
		service->name, service->summary);
	scope_begin(&s);
	settings_help(&s, service, stdout);
	scope_end(&s);
}

/* "GET /api/v1/users/{id} customer,seller,support,admin" */
static void print_routes(const struct service *service)
{
	const struct route *routes;
	struct scope s;
	size_t count;

	scope_begin(&s);
	routes = routes_with_health(&s, service, &count);
	for (size_t i = 0; i < count; i++) {
		printf("%s %s ", routes[i].method, routes[i].path);
		print_who(routes[i].who);
		putchar('\n');
	}
	scope_end(&s);
}

static void print_who(unsigned who)
{
	static const struct {
		unsigned who;
		const char *name;
	} names[] = {{ANYONE, "anyone"}, {SERVICE, "service"}, {CUSTOMER, "customer"},
		{SELLER, "seller"}, {SUPPORT, "support"}, {ADMIN, "admin"}};
	const char *comma = "";

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if ((who & names[i].who) == 0)
			continue;
		printf("%s%s", comma, names[i].name);
		comma = ",";
	}
}

static void print_line(const char *text)
{
	puts(text);
}
