/* SPDX-License-Identifier: Apache-2.0
 * A node stands for a path, its children for the next segment: literal ones by name and at most one
 * for a parameter of any value. Parameters are told apart by their order, so templates that name
 * the same segment differently share a node. */
#include "http/route_table.h"

#include "base/check.h"
#include "http/method.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALLOW_MAX = 64 };

struct node {
	struct str literal; /* STR_NONE for the parameter's node */
	struct node *sibling;
	struct node *children; /* literal ones */
	struct node *param;
	const struct route *routes[METHOD_COUNT];
	char allow[ALLOW_MAX]; /* empty: no route ends here */
};

struct route_table {
	struct node root;
};

static bool add_route(struct node *root, const struct route *route, struct str *error);
static struct node *enter(struct node *node, struct str segment);
static struct node *literal_child(const struct node *node, struct str segment);
static void write_allow(struct node *node);
static const struct node *find(const struct node *node, const struct target *target, size_t at,
	struct str *params, size_t param_count);
static void free_children(struct node *node);
static bool refuse(struct str *error, const struct route *route, const char *why);

struct route_table *route_table_new(const struct route *routes, size_t count, struct str *error)
{
	struct route_table *table = calloc(1, sizeof *table);

	CHECK(table != NULL);
	for (size_t i = 0; i < count; i++) {
		if (!add_route(&table->root, &routes[i], error)) {
			route_table_free(table);
			return NULL;
		}
	}
	return table;
}

void route_table_free(struct route_table *table)
{
	if (table == NULL)
		return;
	free_children(&table->root);
	free(table);
}

struct route_match route_table_match(
	const struct route_table *table, const struct target *target, struct str method)
{
	struct route_match match = {0};
	const struct node *node = NULL;
	const enum method m = method_of(method);

	if (target->count <= TARGET_SEGMENTS_MAX)
		node = find(&table->root, target, 0, match.params, 0);
	if (node == NULL)
		return match;
	match.allow = str_from(node->allow);
	if (m != METHOD_OTHER)
		match.route = node->routes[m];
	if (m == METHOD_HEAD && match.route == NULL)
		match.route = node->routes[METHOD_GET];
	return match;
}

static const struct node *find(const struct node *node, const struct target *target, size_t at,
	struct str *params, size_t param_count)
{
	const struct node *found = NULL;
	const struct node *child;

	if (at == target->count)
		return node->allow[0] != '\0' ? node : NULL;
	if (target->segments[at].len == 0)
		return NULL;
	child = literal_child(node, target->segments[at]);
	if (child != NULL)
		found = find(child, target, at + 1, params, param_count);
	if (found == NULL && node->param != NULL) {
		found = find(node->param, target, at + 1, params, param_count + 1);
		if (found != NULL)
			params[param_count] = target->segments[at];
	}
	return found;
}

static bool add_route(struct node *root, const struct route *route, struct str *error)
{
	const enum method method = method_of(str_from(route->method));
	struct str rest = str_from(route->path);
	struct str segment;
	struct node *node = root;
	size_t params = 0, depth = 0;

	if (method == METHOD_OTHER)
		return refuse(error, route, "its method is none that http knows");
	if (route->handler == NULL)
		return refuse(error, route, "it has no handler");
	if (route->who == 0)
		return refuse(error, route, "it does not say who may call");
	if (rest.len == 0 || rest.at[0] != '/' || (rest.len > 1 && rest.at[rest.len - 1] == '/'))
		return refuse(error, route, "a path starts with '/' and ends without one");
	rest = str_skip(rest, 1);
	while (rest.len > 0 && str_cut(&rest, '/', &segment)) {
		if (segment.len == 0 || ++depth > TARGET_SEGMENTS_MAX)
			return refuse(error, route, "it has an empty segment, or too many");
		if (segment.at[0] == '{' && ++params > REQUEST_PARAMS_MAX)
			return refuse(error, route, "it has more parameters than a request keeps");
		if ((segment.at[0] == '{') != (segment.at[segment.len - 1] == '}'))
			return refuse(error, route, "a parameter is a whole segment: {name}");
		node = enter(node, segment);
	}
	if (node->routes[method] != NULL)
		return refuse(error, route, "it is there twice");
	node->routes[method] = route;
	write_allow(node);
	return true;
}

static struct node *enter(struct node *node, struct str segment)
{
	const bool is_param = segment.at[0] == '{';
	struct node *child = is_param ? node->param : literal_child(node, segment);

	if (child != NULL)
		return child;
	child = calloc(1, sizeof *child);
	CHECK(child != NULL);
	if (is_param) {
		node->param = child;
		return child;
	}
	child->literal = segment;
	child->sibling = node->children;
	node->children = child;
	return child;
}

static struct node *literal_child(const struct node *node, struct str segment)
{
	for (struct node *child = node->children; child != NULL; child = child->sibling)
		if (str_eq(child->literal, segment))
			return child;
	return NULL;
}

static void write_allow(struct node *node)
{
	size_t len = 0;

	for (enum method m = 0; m < METHOD_OTHER; m++) {
		const bool has = node->routes[m] != NULL || m == METHOD_OPTIONS ||
		                 (m == METHOD_HEAD && node->routes[METHOD_GET] != NULL);

		if (has)
			len += (size_t)snprintf(node->allow + len, sizeof node->allow - len, "%s%s",
				len > 0 ? ", " : "", method_name(m));
	}
	CHECK(len < sizeof node->allow);
}

static void free_children(struct node *node)
{
	for (struct node *child = node->children, *next; child != NULL; child = next) {
		next = child->sibling;
		free_children(child);
		free(child);
	}
	if (node->param != NULL)
		free_children(node->param);
	free(node->param);
}

static bool refuse(struct str *error, const struct route *route, const char *why)
{
	static _Thread_local char sentence[256];

	snprintf(sentence, sizeof sentence, "route %s %s: %s",
		route->method != NULL ? route->method : "?",
		route->path != NULL ? route->path : "?", why);
	*error = str_from(sentence);
	return false;
}
