/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* The methods that routes may have, in the order of an Allow header. */
enum method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OPTIONS,
	METHOD_OTHER, /* valid HTTP, but nothing here has it */
	METHOD_COUNT = METHOD_OTHER
};

enum method method_of(struct str name);

/* "other" for METHOD_OTHER, as in metrics. */
const char *method_name(enum method method);
