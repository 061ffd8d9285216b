/* SPDX-License-Identifier: Apache-2.0
 * Values that change at run time. All are parsed before one is set, so that a mistake changes
 * nothing. Kubernetes swaps the link "..data" from one directory to the next: reading within the
 * one that it names now sees all files of one moment. */
#include "config/live.h"

#include "base/buf.h"
#include "base/check.h"
#include "config/file.h"
#include "config/parse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define VARIABLE "LIVE_CONFIG_DIR"

enum { LIVE_FIELDS_MAX = 64 };

/* A field's next value, in its own type. */
union value {
	int64_t number;
	int choice;
	const struct texts *list;
};

struct file {
	struct str name;
	struct str text;
};

static int open_directory(const char *path);
static enum fault list_names(struct scope *s, DIR *directory, struct texts *names);
static int by_name(const void *a, const void *b);
static enum fault read_files(
	struct scope *s, int directory, const struct texts *names, struct str *whole);
static bool next_file(struct str *whole, struct file *file);
static const struct config_field *find_live(
	const struct config_table *tables, size_t count, struct str name);
static enum fault refuse_unknown(
	struct scope *s, const struct config_table *tables, size_t count, struct str name);
static enum fault parse_value(
	struct scope *s, struct str whole, const struct config_field *field, union value *value);
static void set_value(const struct config_field *field, void *member, const union value *value);

/* ---- reading ---- */

enum fault config_live_read(struct scope *s, const char *directory, struct str *whole)
{
	const int fd = open_directory(directory);
	DIR *const listed = fd >= 0 ? fdopendir(fd) : NULL;
	struct texts names = {0};
	enum fault fault;

	if (listed == NULL) {
		fault = fail_field(s, STR(VARIABLE), "value", "names %s, which cannot be read: %s",
			directory, strerror(errno));
		if (fd >= 0)
			close(fd);
		return fault;
	}
	fault = list_names(s, listed, &names);
	if (fault == OK)
		fault = read_files(s, dirfd(listed), &names, whole);
	closedir(listed);
	return fault;
}

/* The one that is valid now. */
static int open_directory(const char *path)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int data = fd >= 0 ? openat(fd, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (data < 0)
		return fd;
	close(fd);
	return data;
}

static enum fault list_names(struct scope *s, DIR *directory, struct texts *names)
{
	const struct dirent *entry;

	names->at = arena_alloc_array(s->arena, CONFIG_LIVE_FILES_MAX, sizeof *names->at);
	while ((entry = readdir(directory)) != NULL) {
		const struct str name = str_from(entry->d_name);

		if (str_starts(name, STR("..")) || str_eq(name, STR(".")))
			continue;
		if (names->count == CONFIG_LIVE_FILES_MAX)
			return fail_field(s, STR(VARIABLE), "length", "must have %d files at most",
				CONFIG_LIVE_FILES_MAX);
		names->at[names->count++] = scope_format(s, "%s", entry->d_name);
	}
	qsort(names->at, names->count, sizeof *names->at, by_name);
	return OK;
}

static int by_name(const void *a, const void *b)
{
	const struct str *const x = a, *const y = b;

	return strcmp(x->at, y->at);
}

/* Each as its name, its length and its bytes, with NUL between them: no name has one. */
static enum fault read_files(
	struct scope *s, int directory, const struct texts *names, struct str *whole)
{
	struct buf all = buf_new(s->arena);
	enum fault fault = OK;

	for (size_t i = 0; i < names->count; i++) {
		struct str text;

		if (!config_read_file(s, directory, names->at[i].at, &text)) {
			fault = fail_field(s,
				scope_format(s, VARIABLE "/%.*s", STR_ARG(names->at[i])), "value",
				"cannot be read: %s", strerror(errno));
			continue;
		}
		buf_add(&all, names->at[i]);
		buf_char(&all, '\0');
		buf_format(&all, "%zu", text.len);
		buf_char(&all, '\0');
		buf_add(&all, text);
	}
	*whole = buf_str(&all);
	return fault;
}

static bool next_file(struct str *whole, struct file *file)
{
	struct str length;
	int64_t bytes;

	if (whole->len == 0)
		return false;
	CHECK(str_cut(whole, '\0', &file->name) && str_cut(whole, '\0', &length));
	CHECK(str_to_int64(length, &bytes) && (size_t)bytes <= whole->len);
	file->text = str_of(whole->at, (size_t)bytes);
	*whole = str_skip(*whole, (size_t)bytes);
	return true;
}

/* ---- taking over ---- */

enum fault config_live_take(
	struct scope *s, struct str whole, const struct config_table *tables, size_t count)
{
	union value values[LIVE_FIELDS_MAX] = {{0}}; /* of what is optional and not given */
	struct str rest = whole;
	struct file file;
	enum fault fault = OK;
	size_t n = 0;

	while (next_file(&rest, &file))
		if (find_live(tables, count, file.name) == NULL)
			fault = refuse_unknown(s, tables, count, file.name);
	for (size_t t = 0; t < count; t++) {
		for (size_t i = 0; i < tables[t].count; i++) {
			if (!tables[t].fields[i].live)
				continue;
			CHECK(n < LIVE_FIELDS_MAX);
			if (parse_value(s, whole, &tables[t].fields[i], &values[n++]) != OK)
				fault = FAULT_INVALID;
		}
	}
	TRY(fault);
	n = 0;
	for (size_t t = 0; t < count; t++) {
		for (size_t i = 0; i < tables[t].count; i++) {
			const struct config_field *const field = &tables[t].fields[i];

			if (field->live)
				set_value(field, (char *)tables[t].into + field->offset,
					&values[n++]);
		}
	}
	return OK;
}

static const struct config_field *find_live(
	const struct config_table *tables, size_t count, struct str name)
{
	for (size_t t = 0; t < count; t++)
		for (size_t i = 0; i < tables[t].count; i++)
			if (tables[t].fields[i].live &&
				str_eq(str_from(tables[t].fields[i].name), name))
				return &tables[t].fields[i];
	return NULL;
}

static enum fault refuse_unknown(
	struct scope *s, const struct config_table *tables, size_t count, struct str name)
{
	struct buf known = buf_new(s->arena);

	for (size_t t = 0; t < count; t++)
		for (size_t i = 0; i < tables[t].count; i++)
			if (tables[t].fields[i].live)
				buf_format(&known, "%s%s", known.len > 0 ? ", " : "",
					tables[t].fields[i].name);
	return fail_field(s, scope_format(s, VARIABLE "/%.*s", STR_ARG(name)), "unknown",
		"is not known; what may change at run time: %.*s", STR_ARG(buf_str(&known)));
}

/* From its file, else from the environment, else its default. An empty file counts as none. */
static enum fault parse_value(
	struct scope *s, struct str whole, const struct config_field *field, union value *value)
{
	struct field_error **const wrong = s->errors_end;
	struct file file;

	while (next_file(&whole, &file)) {
		if (!str_eq(file.name, str_from(field->name)) || file.text.len == 0)
			continue;
		if (config_parse(s, field, file.text, value) == OK)
			return OK;
		if (*wrong != NULL) /* they have a bound */
			(*wrong)->field = scope_format(s, VARIABLE "/%s", field->name);
		return FAULT_INVALID;
	}
	return config_load_member(s, field, value);
}

/* Other threads may be reading it. */
static void set_value(const struct config_field *field, void *member, const union value *value)
{
	switch (field->type) {
	case CONFIG_INT:
	case CONFIG_DURATION:
		__atomic_store_n((int64_t *)member, value->number, __ATOMIC_RELAXED);
		return;
	case CONFIG_CHOICE:
		__atomic_store_n((int *)member, value->choice, __ATOMIC_RELAXED);
		return;
	case CONFIG_LIST:
		__atomic_store_n((const struct texts **)member, value->list, __ATOMIC_RELEASE);
		return;
	default:
		CHECK(!"a type that may be live");
	}
}
