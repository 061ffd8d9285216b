/* SPDX-License-Identifier: Apache-2.0
 * The API's document and Swagger UI. The files are mapped once, before threads start, and answered
 * from there: their bytes live as long as the process. */
#include "auth/cursor.h"
#include "gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE, OPENAPI }; /* in files[] */

static struct {
	const char *name;
	const char *type;
	struct str bytes;
	struct str etag;
} files[] = {
	[PAGE] = {.name = "index.html", .type = "text/html; charset=utf-8"},
	[OPENAPI] = {.name = "openapi.json", .type = "application/json"},
	{.name = "swagger-initializer.js", .type = "text/javascript; charset=utf-8"},
	{.name = "swagger-ui.css", .type = "text/css; charset=utf-8"},
	{.name = "swagger-ui-bundle.js", .type = "text/javascript; charset=utf-8"},
	{.name = "swagger-ui-standalone-preset.js", .type = "text/javascript; charset=utf-8"},
	{.name = "favicon-32x32.png", .type = "image/png"},
};
enum { FILES = sizeof files / sizeof *files };

static enum fault map_file(struct scope *s, size_t i);
static enum fault answer(struct reply *reply, size_t i);

enum fault docs_open(struct scope *s)
{
	if (settings.docs_dir.at == NULL)
		return OK;
	for (size_t i = 0; i < FILES; i++)
		TRY(map_file(s, i));
	return OK;
}

static enum fault map_file(struct scope *s, size_t i)
{
	const struct str path =
		scope_format(s, "%.*s/%s", STR_ARG(settings.docs_dir), files[i].name);
	const int fd = open(path.at, O_RDONLY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) != 0 || stat.st_size == 0) {
		const char *why = fd < 0 ? strerror(errno) : "it is empty";

		if (fd >= 0)
			close(fd);
		return fail_field(s, STR("DOCS_DIR"), "value", "%.*s: %s", STR_ARG(path), why);
	}
	void *bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED)
		return fail_field(
			s, STR("DOCS_DIR"), "value", "%.*s: cannot be mapped", STR_ARG(path));
	files[i].bytes = str_of(bytes, (size_t)stat.st_size);
	files[i].etag =
		scope_format(s, "%016llx", (unsigned long long)cursor_hash(0, files[i].bytes));
	return OK;
}

enum fault docs_page(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	if (files[PAGE].bytes.at == NULL)
		return fail(&t->scope, FAULT_NOT_FOUND, "this gateway has no documentation");
	reply_header(reply, "content-security-policy",
		STR("default-src 'self'; style-src 'self' 'unsafe-inline'; "
		    "img-src 'self' data:; frame-ancestors 'none'"));
	return answer(reply, PAGE);
}

enum fault docs_file(struct task *t, const struct request *request, struct reply *reply)
{
	for (size_t i = 0; i < FILES; i++)
		if (files[i].bytes.at != NULL &&
			str_eq(request->params[0], str_from(files[i].name)))
			return answer(reply, i);
	return fail(&t->scope, FAULT_NOT_FOUND, "there is no such file");
}

enum fault docs_openapi(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	if (files[OPENAPI].bytes.at == NULL)
		return fail(&t->scope, FAULT_NOT_FOUND, "this gateway has no documentation");
	return answer(reply, OPENAPI);
}

static enum fault answer(struct reply *reply, size_t i)
{
	reply->status = 200;
	reply->content_type = str_from(files[i].type);
	reply->etag = files[i].etag;
	reply->body = files[i].bytes;
	return OK;
}
