/* SPDX-License-Identifier: Apache-2.0
 * Methods are case-sensitive (RFC 9110 9.1), and few: a search by length and bytes is enough. */
#include "http/method.h"

static const char *const names[] = {
	"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"};

enum method method_of(struct str name)
{
	for (enum method m = 0; m < METHOD_OTHER; m++)
		if (str_eq(name, str_from(names[m])))
			return m;
	return METHOD_OTHER;
}

const char *method_name(enum method method)
{
	return names[method];
}
