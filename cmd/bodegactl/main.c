/* SPDX-License-Identifier: Apache-2.0
 * bodegactl, the operators' tool: picks the command. Called kubectl-bodega it is
 * kubectl's plugin. */
#include "command.h"
#include "plugin.h"

#include <stdio.h>

static const struct command commands[] = {
	{"check", "look whether a configuration reaches all it needs, or buy something",
		check_command},
	{"events", "show events that wait or could not be applied", events_command},
	{"migrate", "apply and undo the databases' migrations", migrate_command},
	{"probe", "ask a program whether it lives or is ready", probe_command},
	{"seed", "fill the catalogue with sample products", seed_command},
	{"status", "how each instance of each program is", status_command},
	{"user", "make accounts and give roles", user_command},
	{"verify", "look for orders, stock and payments that disagree", verify_command},
};

static int help(FILE *out)
{
	fputs("Usage: bodegactl COMMAND [OPTION...]\n\n", out);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	fputs("\n`bodegactl COMMAND --help` says more. `bodegactl --version` says which one this "
	      "is.\n"
	      "Exit status: 0 done, 1 failed, 64 wrong usage, 69 a server is away, 78 wrong "
	      "configuration.\n",
		out);
	return out == stdout ? COMMAND_FINE : COMMAND_USAGE;
}

int main(int argc, const char **argv)
{
	if (str_ends(str_from(argv[0]), STR("kubectl-bodega")))
		return plugin_main(argc, argv);
	const struct str name = str_from(argc > 1 ? argv[1] : "");

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (str_eq(name, str_from(commands[i].name)))
			return commands[i].run(argc - 1, argv + 1);
	}
	if (str_eq(name, STR("--version"))) {
		puts("bodegactl " BODEGA_VERSION);
		return COMMAND_FINE;
	}
	if (str_eq(name, STR("--help")) || str_eq(name, STR("help")))
		return help(stdout);
	if (name.len > 0)
		command_fail(COMMAND_USAGE, "there is no command %s", argv[1]);
	return help(stderr);
}
