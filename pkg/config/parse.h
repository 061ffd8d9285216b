/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "config/config.h"

/* Reads a value by its field's type into the member; a wrong one is recorded in s by what would be
 * right. */
enum fault config_parse(struct scope *s, const struct config_field *field, struct str value,
	void *member) MUST_CHECK;

/* The member from the environment or the table's default, as config_load. */
enum fault config_load_member(
	struct scope *s, const struct config_field *field, void *member) MUST_CHECK;
