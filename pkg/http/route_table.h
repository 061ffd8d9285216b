/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/route.h"
#include "http/target.h"

/* A service's routes compiled into a tree of path segments. Immutable: all threads share it. */
struct route_table;

/* NULL with a sentence in *error (valid until the thread's next call) when a template is malformed,
 * has more than REQUEST_PARAMS_MAX parameters, or is there twice with one method. */
struct route_table *route_table_new(const struct route *routes, size_t count, struct str *error);
void route_table_free(struct route_table *table);

struct route_match {
	const struct route *route; /* NULL: no such path, or not with this method */
	struct str allow; /* methods of the path as the Allow header has them; STR_NONE: no such
	                     path */
	struct str params[REQUEST_PARAMS_MAX];
};

/* A literal segment wins over a parameter; HEAD finds the GET route. */
struct route_match route_table_match(
	const struct route_table *table, const struct target *target, struct str method);
