/* SPDX-License-Identifier: Apache-2.0
 * The API's document and Swagger UI. The files are opened once, before threads start, and read when
 * somebody asks: that is rare, they are in the page cache then, and 2 MB of memory stay free. */
#include "auth/cursor.h"
#include "gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE, OPENAPI, LIVE }; /* in files[] */

static struct {
	const char *name;
	const char *type;
	int fd; /* 0: there are none */
	size_t size;
	struct str etag;
} files[] = {
	[PAGE] = {.name = "index.html", .type = "text/html; charset=utf-8"},
	[OPENAPI] = {.name = "openapi.json", .type = "application/json"},
	[LIVE] = {.name = "live.html", .type = "text/html; charset=utf-8"},
	{.name = "live.js", .type = "text/javascript; charset=utf-8"},
	{.name = "swagger-initializer.js", .type = "text/javascript; charset=utf-8"},
	{.name = "swagger-ui.css", .type = "text/css; charset=utf-8"},
	{.name = "swagger-ui-bundle.js", .type = "text/javascript; charset=utf-8"},
	{.name = "swagger-ui-standalone-preset.js", .type = "text/javascript; charset=utf-8"},
	{.name = "favicon-32x32.png", .type = "image/png"},
};
enum { FILES = sizeof files / sizeof *files };

static enum fault open_file(struct scope *s, size_t i);
static enum fault read_file(struct scope *s, size_t i, struct str *bytes);
static enum fault page(struct task *t, struct reply *reply, size_t i);
static enum fault answer(struct task *t, struct reply *reply, size_t i);

enum fault docs_open(struct scope *s)
{
	if (settings.docs_dir.at == NULL)
		return OK;
	for (size_t i = 0; i < FILES; i++)
		TRY(open_file(s, i));
	return OK;
}

static enum fault open_file(struct scope *s, size_t i)
{
	const struct str path =
		scope_format(s, "%.*s/%s", STR_ARG(settings.docs_dir), files[i].name);
	const int fd = open(path.at, O_RDONLY | O_CLOEXEC);
	struct scope reading;
	struct stat stat;
	struct str bytes = STR_NONE;

	if (fd < 0 || fstat(fd, &stat) != 0)
		return fail_field(
			s, STR("DOCS_DIR"), "value", "%.*s: %s", STR_ARG(path), strerror(errno));
	files[i].fd = fd;
	files[i].size = (size_t)stat.st_size;
	scope_begin(&reading);
	const enum fault fault = read_file(&reading, i, &bytes);
	if (fault == OK)
		files[i].etag =
			scope_format(s, "%016llx", (unsigned long long)cursor_hash(0, bytes));
	scope_end(&reading);
	return fault == OK ? OK
	                   : fail_field(s, STR("DOCS_DIR"), "value", "%.*s: cannot be read",
				     STR_ARG(path));
}

static enum fault read_file(struct scope *s, size_t i, struct str *bytes)
{
	char *at = arena_bytes(s->arena, files[i].size);

	if (pread(files[i].fd, at, files[i].size, 0) != (ssize_t)files[i].size)
		return fail(s, FAULT_INTERNAL, "%s has changed", files[i].name);
	*bytes = str_of(at, files[i].size);
	return OK;
}

enum fault docs_page(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	return page(t, reply, PAGE);
}

enum fault docs_live(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	return page(t, reply, LIVE);
}

/* Nothing of it comes from elsewhere, nor goes there. */
static enum fault page(struct task *t, struct reply *reply, size_t i)
{
	if (files[i].fd == 0)
		return fail(&t->scope, FAULT_NOT_FOUND, "this gateway has no documentation");
	reply_header(reply, "content-security-policy",
		STR("default-src 'self'; style-src 'self' 'unsafe-inline'; "
		    "img-src 'self' data:; frame-ancestors 'none'"));
	return answer(t, reply, i);
}

enum fault docs_file(struct task *t, const struct request *request, struct reply *reply)
{
	for (size_t i = 0; i < FILES; i++)
		if (files[i].fd != 0 && str_eq(request->params[0], str_from(files[i].name)))
			return answer(t, reply, i);
	return fail(&t->scope, FAULT_NOT_FOUND, "there is no such file");
}

enum fault docs_openapi(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	if (files[OPENAPI].fd == 0)
		return fail(&t->scope, FAULT_NOT_FOUND, "this gateway has no documentation");
	return answer(t, reply, OPENAPI);
}

static enum fault answer(struct task *t, struct reply *reply, size_t i)
{
	TRY(read_file(&t->scope, i, &reply->body));
	reply->status = 200;
	reply->content_type = str_from(files[i].type);
	reply->etag = files[i].etag;
	return OK;
}
