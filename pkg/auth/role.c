/* SPDX-License-Identifier: Apache-2.0
 * The names of roles, as tokens, rows and bodies have them. */
#include "auth/role.h"

const char *const role_names[ROLE_COUNT + 1] = {"none", "customer", "seller", "support", "admin"};

struct str role_name(enum role role)
{
	return str_from(role_names[role]);
}

enum role role_parse(struct str name)
{
	for (enum role role = ROLE_CUSTOMER; role < ROLE_COUNT; role++)
		if (str_eq(name, role_name(role)))
			return role;
	return ROLE_NONE;
}
