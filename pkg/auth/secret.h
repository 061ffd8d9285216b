/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* A secret that is changed while programs run: its variable holds one value, or two with a space
 * between. The first is what things are made with, both are accepted. */
struct secret {
	struct str current;
	struct str previous; /* STR_NONE: none */
};

/* Each value is 32 bytes or more in base64. FAULT_INVALID: a field error of that name. */
enum fault secret_read(
	struct scope *s, const char *variable, struct str text, struct secret *secret) MUST_CHECK;
