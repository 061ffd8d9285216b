/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "json/token.h"

/* Why PostgreSQL's jsonb could not hold this value, or would not keep all of it: a name given
 * twice, U+0000 in a string, a number past what a double holds. NULL: it can. */
const char *raw_refused(struct scope *s, const struct json_doc *doc, int token);

/* The value without the white space between its tokens; lives in s. */
struct str raw_compact(struct scope *s, struct str raw);
