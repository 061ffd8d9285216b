/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/uuid.h"
#include "fiber/task.h"
#include "json/field.h"

struct route;

enum role { ROLE_NONE, ROLE_CUSTOMER, ROLE_SELLER, ROLE_SUPPORT, ROLE_ADMIN, ROLE_COUNT };

/* Who sent the request, as its access token says; role ROLE_NONE and nil ids without one. `service`
 * is the name of the calling service when the request carried a valid MAC (internal routes), else
 * STR_NONE. */
struct caller {
	struct uuid user_id;
	struct uuid session_id;
	enum role role;
	int64_t expires_s; /* when the access token ends, since 1970; 0 without one */
	struct str service;
	struct str actor; /* "user:<id>", or for whom the service calls: also "system" */
};

struct header {
	struct str name; /* lower case */
	struct str value;
};

enum { REQUEST_PARAMS_MAX = 4 };

/* A request as handlers see it: copies in the task's arena. */
struct request {
	const struct route *route;
	struct str method;
	struct str path; /* normalised, without the query and a trailing slash */
	struct str query; /* raw, without '?' */
	struct str target; /* as it was sent: path and query */
	struct str body; /* whole */
	struct str params[REQUEST_PARAMS_MAX]; /* of the path template, percent-decoded, in its
	                                          order */
	const struct header *headers;
	size_t header_count;
	struct caller caller;
	struct str id; /* X-Request-Id, taken over or made */
	struct str peer; /* the client's address as text, without its port */
	bool from_loopback; /* the connection comes from this machine */
	struct str scheme; /* "http" or "https" */
	struct str authority; /* Host or :authority */
	int version; /* 0x100, 0x101, 0x200 */
	struct str upgrade; /* Upgrade, when Connection names it; it is not among the headers */
};

/* The first header of that lower-case name; STR_NONE when there is none. */
struct str request_header(const struct request *request, struct str name);

/* The path parameter as a UUID: FAULT_NOT_FOUND when it is none, because a malformed id names
 * nothing. */
enum fault request_uuid(
	struct scope *s, const struct request *request, size_t param, struct uuid *id) MUST_CHECK;

/* The body read by a field table; FAULT_UNSUPPORTED_MEDIA_TYPE unless it is application/json (an
 * absent type counts as JSON); an empty body is FAULT_BAD_JSON. What is unknown is refused, but
 * ignored in an operation for services alone, here and in queries. */
enum fault request_json(struct scope *s, const struct request *request,
	const struct field_table *table, void *value) MUST_CHECK;

/* As request_json for RFC 7396 (application/json or application/merge-patch+json). */
enum fault request_merge(struct scope *s, const struct request *request,
	const struct field_table *table, void *value) MUST_CHECK;

enum fault request_query(struct scope *s, const struct request *request,
	const struct field_table *table, void *value) MUST_CHECK;

/* If-Match against the resource's ETag (RFC 9110 13.1.1): OK when absent, "*" or equal; else
 * FAULT_PRECONDITION_FAILED. `etag` is without quotes: "3" or "3.17". */
enum fault request_precondition(
	struct scope *s, const struct request *request, struct str etag) MUST_CHECK;

/* The same for a resource tagged "<version>.<second>" (reply_versions) when the change touches the
 * first part only: the second may have moved on. */
enum fault request_precondition_version(
	struct scope *s, const struct request *request, int64_t version) MUST_CHECK;
