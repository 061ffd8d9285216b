/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What must hold in the shop's databases, as questions to them. */

enum place { IN_PRODUCTS, IN_ORDERS, IN_PAYMENTS, PLACES };

/* With one statement: a row for each thing that is wrong: its id, what is expected, what is found.
 *
 * With two, of two databases: `sql` gives ids, the words of which the other side may have one, and
 * further facts; `other_sql` gives ids, the word that is there, and its facts. Both are in the
 * order of the ids. A side without the id counts as "none" there, and lets `alone` be here; facts
 * must be equal where both sides have any. */
struct check {
	const char *name;
	const char *says; /* what holds, a sentence */
	const char *subject; /* what an id names */
	enum place place;
	const char *sql;
	enum place other;
	const char *other_sql;
	const char *alone;
	bool at_rest; /* holds only while nothing is under way */
};

extern const struct check checks[];
extern const size_t check_count;
