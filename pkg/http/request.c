/* SPDX-License-Identifier: Apache-2.0
 * What handlers ask of a request. Bodies and queries are in request_json.c. */
#include "http/request.h"

#include "http/etag.h"

struct str request_header(const struct request *request, struct str name)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (str_eq(request->headers[i].name, name))
			return request->headers[i].value;
	return STR_NONE;
}

enum fault request_uuid(
	struct scope *s, const struct request *request, size_t param, struct uuid *id)
{
	if (!uuid_parse(request->params[param], id))
		return fail(
			s, FAULT_NOT_FOUND, "\"%.*s\" is no id", STR_ARG(request->params[param]));
	return OK;
}

enum fault request_precondition(struct scope *s, const struct request *request, struct str etag)
{
	const struct str expected = request_header(request, STR("if-match"));

	if (expected.at == NULL || etag_list_has_resource(expected, etag))
		return OK;
	return fail(s, FAULT_PRECONDITION_FAILED, "If-Match is %.*s, the resource is at \"%.*s\"",
		STR_ARG(expected), STR_ARG(etag));
}

enum fault request_precondition_version(
	struct scope *s, const struct request *request, int64_t version)
{
	const struct str expected = request_header(request, STR("if-match"));

	if (expected.at == NULL ||
		etag_list_has_version(expected, scope_format(s, "%lld", (long long)version)))
		return OK;
	return fail(s, FAULT_PRECONDITION_FAILED,
		"If-Match is %.*s, the resource is at version %lld", STR_ARG(expected),
		(long long)version);
}
