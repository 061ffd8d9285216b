/* SPDX-License-Identifier: Apache-2.0
 * A line a check, for people or for programs. */
#include "checklist.h"

#include "base/check.h"
#include "json/field.h"

#include <stdio.h>

static const struct field checked_fields[] = {
	FIELD(struct checked, check, TEXT, OUTPUT),
	FIELD(struct checked, subject, TEXT, OUTPUT),
	FIELD(struct checked, ok, BOOL, OUTPUT),
	FIELD(struct checked, detail, TEXT, OUTPUT),
};
static const struct field_table checked_table = FIELD_TABLE(struct checked, checked_fields);

static void print_line(const struct checked *line);

void checklist_begin(struct checklist *c, struct scope *s, enum output output)
{
	*c = (struct checklist){.s = s, .output = output};
	if (output == OUTPUT_TABLE)
		printf("%-10s %-40s %-6s %s\n", "CHECK", "OF", "RESULT", "DETAIL");
}

void checklist_add(
	struct checklist *c, const char *check, struct str subject, bool ok, struct str detail)
{
	CHECK(c->count < CHECKLIST_MAX);
	struct checked *const line = &c->lines[c->count++];

	*line = (struct checked){
		.check = scope_dup(c->s, str_from(check)),
		.subject = scope_dup(c->s, subject),
		.ok = ok,
		.detail = scope_dup(c->s, detail),
	};
	c->wrong += ok ? 0 : 1;
	if (c->output == OUTPUT_TABLE)
		print_line(line);
}

bool checklist_fault(struct checklist *c, const char *check, struct str subject, enum fault fault,
	struct str detail)
{
	const struct str title = str_from(fault_info(fault)->title);

	if (fault != OK)
		detail = c->s->detail.at != NULL ? c->s->detail : title;
	checklist_add(c, check, subject, fault == OK, detail);
	scope_forgive(c->s);
	return fault == OK;
}

int checklist_end(struct checklist *c)
{
	if (c->output == OUTPUT_JSON)
		output_json(c->s, &checked_table, c->lines, c->count);
	else
		printf("%zu of %zu are well\n", c->count - c->wrong, c->count);
	return c->wrong == 0 ? COMMAND_FINE : COMMAND_FAILED;
}

static void print_line(const struct checked *line)
{
	printf("%-10.*s %-40.*s %-6s %.*s\n", STR_ARG(line->check), STR_ARG(line->subject),
		line->ok ? "ok" : "WRONG", STR_ARG(line->detail));
	fflush(stdout);
}
