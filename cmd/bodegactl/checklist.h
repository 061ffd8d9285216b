/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "command.h"

/* What a command looked at, a line each: as a table each line is printed as soon as it is known,
 * as JSON all at the end. */

enum { CHECKLIST_MAX = 256 };

struct checked {
	struct str check; /* "database" */
	struct str subject; /* which one: "orders_db at 10.0.0.7" */
	bool ok;
	struct str detail;
};

struct checklist {
	struct scope *s; /* in which its texts live */
	enum output output;
	struct checked lines[CHECKLIST_MAX];
	size_t count;
	size_t wrong;
};

void checklist_begin(struct checklist *c, struct scope *s, enum output output);

/* Adds a line; the texts are copied. */
void checklist_add(
	struct checklist *c, const char *check, struct str subject, bool ok, struct str detail);

/* Adds what a call ended with: after OK `detail`, else what s says went wrong, which is forgiven.
 * Returns whether it was OK. */
bool checklist_fault(struct checklist *c, const char *check, struct str subject, enum fault fault,
	struct str detail);

/* Prints what is left to print; COMMAND_FINE, or COMMAND_FAILED when a line is wrong. */
int checklist_end(struct checklist *c);
