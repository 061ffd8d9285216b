/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/request.h"

/* "customer", "seller", "support", "admin"; "none" for ROLE_NONE. */
struct str role_name(enum role role);

/* By its name; ROLE_NONE when there is no such role. */
enum role role_parse(struct str name);

/* For field tables (FIELD_ENUM): indexed by enum role, NULL at the end. */
extern const char *const role_names[ROLE_COUNT + 1];
