/* SPDX-License-Identifier: Apache-2.0
 * Where a variable's value comes from: NAME, the file that NAME_FILE names, or the table's default.
 * Nothing stops at the first mistake: whoever starts a program wants to know all of them. */
#include "config/config.h"

#include "base/check.h"
#include "config/file.h"
#include "config/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

enum { HELP_NAME_WIDTH = 30 };

static enum fault find_value(struct scope *s, const struct config_field *field, struct str *value);
static enum fault read_value(
	struct scope *s, const struct config_field *field, const char *path, struct str *value);
static const char *from_environment(const char *name, const char *suffix);

enum fault config_load(struct scope *s, const struct config_field *fields, size_t count, void *into)
{
	enum fault fault = OK;

	for (size_t i = 0; i < count; i++)
		if (config_load_member(s, &fields[i], (char *)into + fields[i].offset) != OK)
			fault = FAULT_INVALID;
	return fault;
}

void config_print_errors(const struct scope *s, const char *program, FILE *out)
{
	for (const struct field_error *e = s->errors; e != NULL; e = e->next)
		fprintf(out, "%s: %.*s %.*s\n", program, STR_ARG(e->field), STR_ARG(e->message));
}

void config_help(const struct config_field *fields, size_t count, FILE *out)
{
	for (const struct config_field *f = fields; f < fields + count; f++) {
		fprintf(out, "  %-*s %s", HELP_NAME_WIDTH, f->name, f->help);
		if (f->type == CONFIG_CHOICE)
			fprintf(out, " One of: %s.", f->choices);
		if (f->live)
			fprintf(out, " May change at run time.");
		if (f->fallback == CONFIG_REQUIRED)
			fprintf(out, " (required)\n");
		else if (f->fallback[0] == '\0')
			fprintf(out, " (optional)\n");
		else
			fprintf(out, " (default: %s)\n", f->fallback);
	}
}

const char *config_file(const char *name)
{
	return from_environment(name, "_FILE");
}

enum fault config_load_member(struct scope *s, const struct config_field *field, void *member)
{
	static const struct texts no_texts;
	struct str value;

	if (field->type == CONFIG_LIST)
		*(const struct texts **)member = &no_texts;
	TRY(find_value(s, field, &value));
	if (value.at != NULL)
		return config_parse(s, field, value, member);
	if (field->fallback == CONFIG_REQUIRED)
		return fail_field(
			s, str_from(field->name), "required", "must be set: %s", field->help);
	if (field->fallback[0] != '\0')
		CHECK(config_parse(s, field, str_from(field->fallback), member) == OK);
	return OK;
}

/* STR_NONE when it is not given. */
static enum fault find_value(struct scope *s, const struct config_field *field, struct str *value)
{
	const char *text = from_environment(field->name, "");
	const char *path = from_environment(field->name, "_FILE");

	*value = str_from(text);
	if (path == NULL)
		return OK;
	if (text != NULL)
		return fail_field(s, str_from(field->name), "duplicate",
			"and %s_FILE are both set; set one of them", field->name);
	return read_value(s, field, path, value);
}

static enum fault read_value(
	struct scope *s, const struct config_field *field, const char *path, struct str *value)
{
	const struct str name = scope_format(s, "%s_FILE", field->name);

	if (!config_read_file(s, AT_FDCWD, path, value))
		return fail_field(s, name, "value", "names %s, which cannot be read: %s", path,
			strerror(errno));
	if (value->len == 0)
		return fail_field(s, name, "value", "names %s, which is empty", path);
	return OK;
}

static const char *from_environment(const char *name, const char *suffix)
{
	char full[128];
	const char *value;
	const int len = snprintf(full, sizeof full, "%s%s", name, suffix);

	CHECK(len > 0 && (size_t)len < sizeof full);
	value = getenv(full);
	return value != NULL && *value != '\0' ? value : NULL;
}
