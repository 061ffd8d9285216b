/* SPDX-License-Identifier: Apache-2.0
 * The folder of migration files. A file's version is the number before the first '_' of its name,
 * as goose takes it. */
#include "migrate/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 4 << 20 };

static const char template[] = "-- +goose Up\n"
			       "\n"
			       "-- +goose Down\n";

static enum fault add_file(
	struct scope *s, const char *name, struct migrations *migrations, size_t *room);
static int compare_versions(const void *a, const void *b);
static bool is_name(struct str name);

enum fault files_list(struct scope *s, struct str folder, struct migrations *migrations)
{
	const struct str path = scope_dup(s, folder);
	DIR *directory = opendir(path.at);
	enum fault fault = OK;
	size_t room = 0;
	struct dirent *entry;

	*migrations = (struct migrations){0};
	if (directory == NULL)
		return fail(s, FAULT_INVALID, "%s: %s", path.at, strerror(errno));
	while (fault == OK && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] != '.' && str_ends(str_from(entry->d_name), STR(".sql")))
			fault = add_file(s, entry->d_name, migrations, &room);
	}
	closedir(directory);
	TRY(fault);

	if (migrations->count > 0)
		qsort(migrations->at, migrations->count, sizeof *migrations->at, compare_versions);
	for (size_t i = 1; i < migrations->count; i++) {
		const struct migration *a = &migrations->at[i - 1], *b = &migrations->at[i];
		if (a->version == b->version)
			return fail(s, FAULT_INVALID, "%s: %.*s and %.*s are of the same version",
				path.at, STR_ARG(a->name), STR_ARG(b->name));
	}
	return OK;
}

enum fault files_read(struct scope *s, struct str folder, struct str name, struct str *text)
{
	const struct str path = scope_format(s, "%.*s/%.*s", STR_ARG(folder), STR_ARG(name));
	const int fd = open(path.at, O_RDONLY | O_CLOEXEC);
	struct stat info;

	if (fd < 0)
		return fail(s, FAULT_INVALID, "%s: %s", path.at, strerror(errno));
	if (fstat(fd, &info) != 0 || info.st_size > FILE_BYTES_MAX) {
		close(fd);
		return fail(s, FAULT_INVALID, "%s: larger than %d bytes", path.at, FILE_BYTES_MAX);
	}

	char *at = arena_bytes(s->arena, (size_t)info.st_size + 1);
	size_t len = 0;
	ssize_t got;
	while ((got = read(fd, at + len, (size_t)info.st_size - len)) > 0)
		len += (size_t)got;
	close(fd);
	if (got < 0)
		return fail(s, FAULT_INVALID, "%s: %s", path.at, strerror(errno));
	*text = str_of(at, len);
	return OK;
}

enum fault migrate_new(struct scope *s, struct str folder, struct str name, struct str *path)
{
	struct migrations migrations;
	int64_t version = 1;

	if (!is_name(name))
		return fail(s, FAULT_INVALID,
			"a migration's name is of lower-case letters, digits and '_', such as "
			"add_sku");
	TRY(files_list(s, folder, &migrations));
	if (migrations.count > 0)
		version = migrations.at[migrations.count - 1].version + 1;
	*path = scope_format(
		s, "%.*s/%05" PRId64 "_%.*s.sql", STR_ARG(folder), version, STR_ARG(name));

	const int fd = open(path->at, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail(s, FAULT_INVALID, "%s: %s", path->at, strerror(errno));
	const bool written = write(fd, template, sizeof template - 1) == sizeof template - 1;
	if (close(fd) != 0 || !written)
		return fail(s, FAULT_INTERNAL, "%s: %s", path->at, strerror(errno));
	return OK;
}

static enum fault add_file(
	struct scope *s, const char *name, struct migrations *migrations, size_t *room)
{
	struct str rest = str_from(name), number;
	int64_t version;

	str_cut(&rest, '_', &number);
	if (rest.at == NULL || !str_to_int64(number, &version) || version < 1)
		return fail(
			s, FAULT_INVALID, "%s: a migration's file is called NNNNN_name.sql", name);
	if (migrations->count == *room) {
		struct migration *more;
		*room = *room * 2 + 32;
		more = arena_alloc_array(s->arena, *room, sizeof *more);
		if (migrations->count > 0)
			memcpy(more, migrations->at, migrations->count * sizeof *more);
		migrations->at = more;
	}
	migrations->at[migrations->count++] =
		(struct migration){.version = version, .name = scope_dup(s, str_from(name))};
	return OK;
}

static int compare_versions(const void *a, const void *b)
{
	const struct migration *x = a, *y = b;

	return (x->version > y->version) - (x->version < y->version);
}

static bool is_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		const char c = name.at[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return name.len > 0 && name.len <= 100;
}
