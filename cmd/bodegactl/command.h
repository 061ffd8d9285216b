/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

#include <popt.h>

/* What the commands of bodegactl share: how they are called, what they print, how they exit. */

struct command {
	const char *name;
	const char *help;
	int (*run)(
		int argc, const char **argv); /* argv[0] is the command; returns the exit status */
};

/* By sysexits.h. */
enum command_exit {
	COMMAND_FINE = 0,
	COMMAND_FAILED = 1,
	COMMAND_USAGE = 64,
	COMMAND_UNAVAILABLE = 69,
	COMMAND_CONFIG = 78
};

enum output { OUTPUT_TABLE, OUTPUT_JSON };

/* "bodegactl: …" on stderr; returns `status`. */
int command_fail(int status, const char *format, ...) PRINTF_LIKE(2, 3);

/* What went wrong in s, after `subject` and ": " unless that is NULL; returns the exit status that
 * the fault means. */
int command_fail_scope(const struct scope *s, enum fault fault, const char *subject);

/* Reads all options of the command line into what the table points to. False: *status is the exit
 * status, all is said. "--help" prints `usage`, the options and `text`. What is no option is left
 * for poptGetArg. */
bool command_options(poptContext context, const char *usage, const char *text, int *status);

/* "table" or "json"; NULL is OUTPUT_TABLE. */
bool output_parse(const char *text, enum output *output);

/* Prints `count` structs of the table as one JSON object, {"data": […], …}. */
struct field_table;
void output_json(struct scope *s, const struct field_table *table, const void *items, size_t count);

/* The entry that tables of options end with, before POPT_TABLEEND. */
#define COMMAND_HELP_OPTION                                                                       \
	{                                                                                         \
		"help", '?', POPT_ARG_NONE, NULL, COMMAND_HELP, "say this and nothing else", NULL \
	}
enum { COMMAND_HELP = 1000 };

/* The commands. */
int check_command(int argc, const char **argv);
int events_command(int argc, const char **argv);
int migrate_command(int argc, const char **argv);
int probe_command(int argc, const char **argv);
int seed_command(int argc, const char **argv);
int status_command(int argc, const char **argv);
int user_command(int argc, const char **argv);
int verify_command(int argc, const char **argv);
