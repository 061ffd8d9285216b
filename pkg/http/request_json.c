/* SPDX-License-Identifier: Apache-2.0
 * Bodies and queries read by field tables. People are told of what we do not know; another service
 * of ours may be a release ahead, and what we do not know is for that release. */
#include "http/route.h"

static bool is_internal(const struct request *request);
static bool is_media_type(struct str header, struct str type);

enum fault request_json(struct scope *s, const struct request *request,
	const struct field_table *table, void *value)
{
	const struct str type = request_header(request, STR("content-type"));

	if (type.at != NULL && !is_media_type(type, STR("application/json")))
		return fail(s, FAULT_UNSUPPORTED_MEDIA_TYPE,
			"the body is %.*s, application/json is understood", STR_ARG(type));
	if (request->body.len == 0)
		return fail(s, FAULT_BAD_JSON, "the body is empty");
	return is_internal(request) ? json_read_internal(s, request->body, table, value)
	                            : json_read(s, request->body, table, value);
}

enum fault request_merge(struct scope *s, const struct request *request,
	const struct field_table *table, void *value)
{
	const struct str type = request_header(request, STR("content-type"));

	if (type.at != NULL && !is_media_type(type, STR("application/json")) &&
		!is_media_type(type, STR("application/merge-patch+json")))
		return fail(s, FAULT_UNSUPPORTED_MEDIA_TYPE,
			"the body is %.*s, application/merge-patch+json is understood",
			STR_ARG(type));
	if (request->body.len == 0)
		return fail(s, FAULT_BAD_JSON, "the body is empty");
	return json_merge(s, request->body, table, value);
}

enum fault request_query(struct scope *s, const struct request *request,
	const struct field_table *table, void *value)
{
	return is_internal(request) ? query_read_internal(s, request->query, table, value)
	                            : query_read(s, request->query, table, value);
}

/* By its route: an operation that only services may call. */
static bool is_internal(const struct request *request)
{
	return request->route != NULL && request->route->who == SERVICE;
}

/* Without regard to parameters such as charset. */
static bool is_media_type(struct str header, struct str type)
{
	struct str essence;

	return str_cut(&header, ';', &essence) && str_eq_fold(str_trim(essence), type);
}
