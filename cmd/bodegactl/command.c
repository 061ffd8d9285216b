/* SPDX-License-Identifier: Apache-2.0
 * What the commands have in common. Results go to stdout, what went wrong to stderr in one line. */
#include "command.h"

#include "json/write.h"

#include <stdarg.h>
#include <stdio.h>

int command_fail(int status, const char *format, ...)
{
	va_list args;

	fputs("bodegactl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

int command_fail_scope(const struct scope *s, enum fault fault, const char *subject)
{
	const int status = fault == FAULT_UNAVAILABLE   ? COMMAND_UNAVAILABLE
	                   : fault == FAULT_BAD_REQUEST ? COMMAND_CONFIG
	                                                : COMMAND_FAILED;
	const struct str detail =
		s->detail.at != NULL ? s->detail : str_from(fault_info(fault)->title);

	return command_fail(status, "%s%s%.*s", subject != NULL ? subject : "",
		subject != NULL ? ": " : "", STR_ARG(detail));
}

bool command_options(poptContext context, const char *usage, const char *text, int *status)
{
	const int code = poptGetNextOpt(context);

	if (code == COMMAND_HELP) {
		poptSetOtherOptionHelp(context, usage);
		poptPrintHelp(context, stdout, 0);
		printf("\n%s", text);
		*status = COMMAND_FINE;
		return false;
	}
	if (code == -1)
		return true;
	*status = command_fail(COMMAND_USAGE, "%s: %s; see --help",
		poptBadOption(context, POPT_BADOPTION_NOALIAS), poptStrerror(code));
	return false;
}

bool output_parse(const char *text, enum output *output)
{
	const struct str name = str_from(text);

	*output = str_eq(name, STR("json")) ? OUTPUT_JSON : OUTPUT_TABLE;
	return text == NULL || *output == OUTPUT_JSON || str_eq(name, STR("table"));
}

void output_json(struct scope *s, const struct field_table *table, const void *items, size_t count)
{
	struct buf json = buf_new(s->arena);

	json_write_list(&json, table, items, count, STR_NONE);
	printf("%.*s\n", STR_ARG(buf_str(&json)));
}
