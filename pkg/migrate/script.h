/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* One direction of a migration file in goose's format. */

struct script_statement {
	struct str sql;
	size_t line; /* of its first one, from 1 */
};

struct script {
	struct script_statement *statements;
	size_t count;
	bool transaction; /* false: the file says `-- +goose NO TRANSACTION` */
};

enum direction { DIRECTION_UP, DIRECTION_DOWN };

/* Cuts the text of a file into the statements of one direction, by goose's rules: a statement ends
 * with a line whose last word, comments aside, ends in ';', or stands between StatementBegin and
 * StatementEnd. FAULT_INVALID says which line is wrong. The statements live in s. */
enum fault script_parse(struct scope *s, struct str text, enum direction direction,
	struct script *script) MUST_CHECK;

/* The index that `CREATE [UNIQUE] INDEX CONCURRENTLY [IF NOT EXISTS] name …` makes, as it is
 * written; STR_NONE for any other statement. */
struct str script_concurrent_index(struct str sql);
