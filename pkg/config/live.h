/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "config/config.h"

/* What may change while the program runs: the live fields of its tables, from a directory with a
 * file for each, named as the variable, as Kubernetes mounts a ConfigMap. A variable without a file
 * keeps the value that it has from the environment. */

struct config_table {
	const struct config_field *fields;
	size_t count;
	void *into;
};

enum { CONFIG_LIVE_FILES_MAX = 64 };

/* All files of the directory as one text, for config_live_take and for seeing whether anything has
 * changed; names that begin with ".." are Kubernetes' own. FAULT_INVALID: a field error named
 * LIVE_CONFIG_DIR, or after the file that cannot be read. */
enum fault config_live_read(struct scope *s, const char *directory, struct str *whole) MUST_CHECK;

/* Takes over all values at once, or none: FAULT_INVALID, each wrong one and each file that is no
 * live variable is a field error. The members are set atomically; what a LIST points to lives in
 * s. */
enum fault config_live_take(struct scope *s, struct str whole, const struct config_table *tables,
	size_t count) MUST_CHECK;
