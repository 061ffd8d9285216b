/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* Whether the value of If-Match or If-None-Match ("*" or a list of entity tags, RFC 9110 8.8.3)
 * names that tag, which is without quotes. Weakly: W/ is not looked at. A list that is malformed
 * names nothing from the defect on. */
bool etag_list_has(struct str list, struct str etag);

/* What the tag of a resource ends in when it is that of its body in gzip. */
#define ETAG_GZIP "-gz"

/* The same for If-Match and a resource's own tag, which its body in gzip has with a suffix. */
bool etag_list_has_resource(struct str list, struct str etag);

/* The same for resources whose tag is "<version>.<second>": a tag in the list counts up to its dot.
 */
bool etag_list_has_version(struct str list, struct str version);
