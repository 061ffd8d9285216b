/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "migrate/migrate.h"

/* The folder's migrations by version, none of them applied. FAULT_INVALID names a file whose name
 * is no NNNNN_name.sql, or two of the same version. */
enum fault files_list(struct scope *s, struct str folder, struct migrations *migrations) MUST_CHECK;

/* The text of one. */
enum fault files_read(
	struct scope *s, struct str folder, struct str name, struct str *text) MUST_CHECK;
