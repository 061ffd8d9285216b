/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* A text that is JSON, cut into tokens: number 0 is the whole value; a name of an object is
 * followed by its value, a container by what it contains. */
struct json_doc {
	struct str text;
	const void *tokens;
	int count;
};

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT };

/* FAULT_BAD_JSON when the text is not JSON by json_scan, FAULT_INVALID when it is no object.
 * Borrows the text. */
enum fault json_tokens(
	struct scope *s, struct str text, size_t tokens_max, struct json_doc *doc) MUST_CHECK;

enum json_kind json_kind(const struct json_doc *doc, int token);

/* "a text", "null": for messages. */
const char *json_kind_name(enum json_kind kind);

/* The token behind this one and all that it contains. */
int json_next(const struct json_doc *doc, int token);

/* How many members or elements. */
size_t json_size(const struct json_doc *doc, int token);

/* As it came, without a string's quotes. */
struct str json_raw(const struct json_doc *doc, int token);

/* A string unescaped, living in s; or borrowed where that needs no copy. */
struct str json_text(struct scope *s, const struct json_doc *doc, int token);
struct str json_text_borrowed(struct scope *s, const struct json_doc *doc, int token);
