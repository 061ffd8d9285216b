/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the migrations of the databases are: the folder that was given, else a checkout's
 * "migrations" here, else those installed. */
const char *folders_find(const char *given);

#define FOLDERS_HERE "migrations"
