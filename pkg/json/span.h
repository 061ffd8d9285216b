/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* How many bytes at the front may stand in a JSON string as they are: well-formed UTF-8 without
 * control characters, '"' and '\'. */
size_t json_plain_span(struct str text);
