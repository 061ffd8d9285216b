/* SPDX-License-Identifier: Apache-2.0
 * bodegactl probe: asks a program's admin port, as kubelet does by HTTP, for whom can only run a
 * command: compose, systemd, a script. */
#include "command.h"
#include "config/config.h"
#include "fetch.h"

#include <stdlib.h>

enum { TIMEOUT_MS = 1000, WHY_BYTES_MAX = 300 };

static const char usage[] = "live|ready|started [OPTION...]";

static const char help[] =
	"  live      its loops turn (/livez)\n"
	"  ready     it may be sent requests (/readyz)\n"
	"  started   it listens (/startupz)\n"
	"\n"
	"Exit status 0: it is; 1: it is not, says why, or does not answer within a second.\n";

struct settings {
	uint16_t admin_port;
};
static const struct config_field settings_fields[] = {
	CONFIG(struct settings, admin_port, PORT, "ADMIN_PORT", CONFIG_OPTIONAL,
		"The program's admin port."),
};

static const struct {
	const char *name, *path;
} probes[] = {{"live", "/livez"}, {"ready", "/readyz"}, {"started", "/startupz"}};

static int run(struct scope *s, poptContext context, const char *url);
static const char *find_path(const char *name);
static int find_url(struct scope *s, struct str *url);
static int ask(struct scope *s, struct str url);

int probe_command(int argc, const char **argv)
{
	char *url = NULL;
	const struct poptOption table[] = {
		{"url", 'u', POPT_ARG_STRING, &url, 0,
			"the admin port (default: http://127.0.0.1:$ADMIN_PORT)", "URL"},
		COMMAND_HELP_OPTION,
		POPT_TABLEEND,
	};
	poptContext context;
	struct scope s;
	int status;

	argv[0] = "bodegactl probe"; /* popt says so in its help */
	context = poptGetContext(NULL, argc, argv, table, 0);
	scope_begin(&s);
	if (command_options(context, usage, help, &status))
		status = run(&s, context, url);
	scope_end(&s);
	poptFreeContext(context);
	free(url);
	return status;
}

static int run(struct scope *s, poptContext context, const char *given)
{
	const char *const path = find_path(poptGetArg(context));
	struct str url = str_from(given);
	int status;

	if (path == NULL || poptPeekArg(context) != NULL)
		return command_fail(COMMAND_USAGE, "live, ready or started? See --help");
	if (url.at == NULL && (status = find_url(s, &url)) != COMMAND_FINE)
		return status;
	if (str_ends(url, STR("/")))
		url.len--;
	return ask(s, scope_format(s, "%.*s%s", STR_ARG(url), path));
}

static const char *find_path(const char *name)
{
	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
		if (name != NULL && strcmp(name, probes[i].name) == 0)
			return probes[i].path;
	}
	return NULL;
}

static int find_url(struct scope *s, struct str *url)
{
	struct settings settings = {0};

	if (config_load(s, settings_fields, 1, &settings) != OK) {
		config_print_errors(s, "bodegactl", stderr);
		return COMMAND_CONFIG;
	}
	if (settings.admin_port == 0)
		return command_fail(COMMAND_CONFIG, "which program? Set ADMIN_PORT, or give --url");
	*url = scope_format(s, "http://127.0.0.1:%u", settings.admin_port);
	return COMMAND_FINE;
}

static int ask(struct scope *s, struct str url)
{
	struct fetched answer;
	const enum fault fault =
		fetch(s, &(struct fetch){.url = url, .timeout_ms = TIMEOUT_MS}, &answer);

	if (fault == FAULT_BAD_REQUEST)
		return command_fail_scope(s, fault, NULL);
	if (fault != OK) /* a probe knows yes and no alone */
		return command_fail(COMMAND_FAILED, "%.*s", STR_ARG(s->detail));
	if (answer.status != 200)
		return command_fail(COMMAND_FAILED, "%.*s: %ld %.*s", STR_ARG(url), answer.status,
			(int)(answer.body.len < WHY_BYTES_MAX ? answer.body.len : WHY_BYTES_MAX),
			answer.body.at);
	return COMMAND_FINE;
}
