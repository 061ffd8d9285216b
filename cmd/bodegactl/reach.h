/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "checklist.h"

/* Checks of what a configuration names: does it answer, and is it what is needed? */

struct reach_database {
	const char *service; /* whose schema it must have; NULL: any */
	struct str url;
	struct str folder; /* of the migrations that this version brings */
	int64_t connections; /* that may be opened on its server */
};
void reach_database(struct checklist *list, const struct reach_database *database);

void reach_redis(struct checklist *list, struct str url);
void reach_rabbitmq(struct checklist *list, struct str url);

/* Each address of each URL is asked for itself, as the programs do. */
void reach_peers(struct checklist *list, const char *name, struct texts urls);

/* The keys that verify access tokens. */
void reach_keys(struct checklist *list, struct str users_url);
