/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "service/service.h"

/* What the files of the gateway know of each other. */

struct settings {
	_Atomic(const struct texts *) cors_origins; /* who may call from a browser; "*": anyone */
	struct texts trusted_proxies; /* addresses and networks */
	struct str docs_dir; /* Swagger UI's files and openapi.json; STR_NONE: no /docs */
};

extern struct settings settings;

extern const struct route routes[];
extern const size_t route_count;

/* ---- proxy.c ---- */

handler_fn proxy_to_users, proxy_to_products, proxy_to_orders;

/* ---- receive.c: before a request is routed ---- */

void receive(struct scope *s, struct request *request);

/* The target (path and query) of the operation that an older client's target stands for; the same
 * when it is none of these. */
struct str older_target(struct scope *s, struct str target);

/* ---- forwarded.c ---- */

/* Reads TRUSTED_PROXIES; FAULT_INVALID. */
enum fault forwarded_open(struct scope *s) MUST_CHECK;

/* Makes the client's address and scheme those that trusted proxies tell. */
void forwarded_read(struct scope *s, struct request *request);

/* ---- headers.c ---- */

/* Headers that only our own programs may send: whoever is outside cannot. */
bool header_is_internal(struct str name);

/* The request as the service gets it: what belongs to the client's connection is gone, what we know
 * of the client is added. FAULT_HEAD_TOO_LARGE. */
enum fault headers_forward(
	struct scope *s, const struct request *request, struct upstream_request *up) MUST_CHECK;

/* The service's headers into the reply; what the gateway says itself is left out. */
void headers_return(const struct upstream_reply *up, struct reply *reply);

/* ---- proxy.c ---- */

/* The operation takes an Idempotency-Key and the request has one: it may be sent once more. */
bool request_is_keyed(const struct request *request);

/* ---- cors.c ---- */

/* Whether pages of that origin may call. */
bool cors_allows(struct str origin);

/* Just before a reply is sent. */
void before_reply(const struct request *request, struct reply *reply);

/* ---- docs.c ---- */

/* Opens the files of DOCS_DIR; FAULT_INVALID when one is missing. */
enum fault docs_open(struct scope *s) MUST_CHECK;

handler_fn docs_page, docs_live, docs_file, docs_openapi;

/* ---- health.c ---- */

/* Background checks of each service, what GET /health tells of them, and GET /services. */
extern const struct service_job health_jobs[];
extern const size_t health_job_count;

void health_write(struct buf *json);
handler_fn list_services;
