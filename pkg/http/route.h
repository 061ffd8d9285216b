/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/reply.h"
#include "http/request.h"

/* Fills the reply or returns a fault, which http turns into a problem document. Suspends. */
typedef enum fault handler_fn(struct task *t, const struct request *request, struct reply *reply);

/* Who may call: a set of roles, checked before the handler runs. */
enum {
	ANYONE = 1, /* no token needed; a bad one is refused all the same */
	CUSTOMER = 1 << (ROLE_CUSTOMER + 1),
	SELLER = 1 << (ROLE_SELLER + 1),
	SUPPORT = 1 << (ROLE_SUPPORT + 1),
	ADMIN = 1 << (ROLE_ADMIN + 1),
	USER = CUSTOMER | SELLER | SUPPORT | ADMIN, /* anyone logged in */
	SERVICE = 2, /* another service of ours: a valid MAC; never routed by the gateway */
	LOOPBACK = 1 << 8, /* alone: whoever connects from the machine itself */
};

enum { BODY_BYTES_DEFAULT = 256 << 10, DEADLINE_MS_DEFAULT = 10000 };

/* One operation: a line of a service's routes.c. A GET route answers HEAD too; OPTIONS and 405 come
 * from the table. */
struct route {
	const char *method;
	const char *path; /* template: "/api/v1/products/{id}"; a literal segment wins over a
	                     parameter */
	handler_fn *handler;
	unsigned who;
	size_t body_bytes_max; /* 0: BODY_BYTES_DEFAULT */
	unsigned deadline_ms; /* 0: DEADLINE_MS_DEFAULT */
	const char *cache_control; /* on 200 and 304; NULL: "no-store" */
};
