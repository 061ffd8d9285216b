/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "base/buf.h"
#include "migrate/files.h"
#include "migrate/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* "line:statement" of each, separated by '|'; '!' before all that runs outside a transaction. */
static struct str shown(struct scope *s, const struct script *script)
{
	struct buf b = buf_new(s->arena);

	if (!script->transaction)
		buf_char(&b, '!');
	for (size_t i = 0; i < script->count; i++)
		buf_format(&b, "%s%zu:%.*s", i > 0 ? "|" : "", script->statements[i].line,
			STR_ARG(script->statements[i].sql));
	return buf_str(&b);
}

static void good_scripts(void **state)
{
	static const struct {
		const char *text, *up, *down;
	} rows[] = {
		{"-- +goose Up\nA;\n-- +goose Down\nB;\n", "2:A;", "4:B;"},
		{"-- +goose Up\n", "", ""},
		{"-- +goose Up\nA;", "2:A;", ""},
		{"\n-- a comment\n-- +goose Up\n-- another\n\nA\n  -- kept\n\nB;\nC; -- why\nD;\n",
			"6:A\n  -- kept\n\nB;|10:C; -- why|11:D;", ""},
		{"-- +goose NO TRANSACTION\n-- +goose Up\nA;\n", "!3:A;", "!"},
		{"-- +goose Up\n-- +goose StatementBegin\n-- kept out\nA;\nB;\n-- +goose "
		 "StatementEnd\nC;\n-- +goose Down\nD;\n",
			"4:A;\nB;|7:C;", "9:D;"},
		{"--+goose Up\nA ;\n--  +goose Down\nB\n;\n", "2:A ;", "4:B\n;"},
		{"-- +goose Up\r\nA;\r\n-- +goose Down\r\nB;\r\n", "2:A;", "4:B;"},
		{"-- +goose Up\nA; B\nC;\n", "2:A; B\nC;", ""},
		{"-- +goose Up\nA -- no end;\n;\n", "2:A -- no end;\n;", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scope s;
		struct script up = {0}, down = {0};

		scope_begin(&s);
		const struct str text = str_from(rows[i].text);
		if (script_parse(&s, text, DIRECTION_UP, &up) != OK ||
			script_parse(&s, text, DIRECTION_DOWN, &down) != OK)
			fail_row(i, "%.*s", STR_ARG(s.detail));
		assert_str_equal(shown(&s, &up), str_from(rows[i].up));
		assert_str_equal(shown(&s, &down), str_from(rows[i].down));
		scope_end(&s);
	}
}

static void bad_scripts(void **state)
{
	static const struct {
		const char *text, *detail;
	} rows[] = {
		{"", "there is no `-- +goose Up`"},
		{"-- nothing\n", "there is no `-- +goose Up`"},
		{"A;\n-- +goose Up\n",
			"line 1: nothing but comments may stand before `-- +goose Up`"},
		{"-- +goose Down\nA;\n", "line 1: `-- +goose Up` and `-- +goose Down` come once "
					 "each, Up first"},
		{"-- +goose Up\n-- +goose Up\n", "line 2: `-- +goose Up` and `-- +goose Down` come "
						 "once each, Up first"},
		{"-- +goose Up\n-- +goose Down\n-- +goose Down\n",
			"line 3: `-- +goose Up` and `-- +goose Down` come once each, Up first"},
		{"-- +goose Up\nA\n-- +goose Down\n",
			"line 3: the statement before this has no ';' at a line's end"},
		{"-- +goose Up\nA;\n-- +goose Down\nB\n",
			"line 5: the statement before this has no ';' at a line's end"},
		{"-- +goose Up\nA\n-- +goose StatementBegin\n",
			"line 3: the statement before this has no ';' at a line's end"},
		{"-- +goose Up\n-- +goose StatementBegin\nA;\n",
			"line 4: `-- +goose StatementEnd` is missing"},
		{"-- +goose Up\n-- +goose StatementBegin\nA;\n-- +goose Down\n",
			"line 4: `-- +goose StatementEnd` is missing"},
		{"-- +goose Up\n-- +goose StatementEnd\n",
			"line 2: `-- +goose StatementEnd` without its StatementBegin"},
		{"-- +goose StatementBegin\n", "line 1: `-- +goose StatementBegin` stands in Up or "
					       "Down, not in itself"},
		{"-- +goose Up\n-- +goose ENVSUBST ON\n",
			"line 2: an annotation must be Up, Down, StatementBegin, StatementEnd or "
			"NO TRANSACTION"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct scope s;
		struct script script = {0};

		scope_begin(&s);
		if (script_parse(&s, str_from(rows[i].text), DIRECTION_UP, &script) !=
			FAULT_INVALID)
			fail_row(i, "%s was taken", rows[i].text);
		assert_str_equal(s.detail, str_from(rows[i].detail));
		scope_end(&s);
	}
}

static void many_statements(void **state)
{
	struct scope s;
	struct script script = {0};

	(void)state;
	scope_begin(&s);
	struct buf b = buf_new(s.arena);
	buf_add(&b, STR("-- +goose Up\n"));
	for (int i = 0; i < 1000; i++)
		buf_format(&b, "S%d;\n", i);
	assert_int_equal(script_parse(&s, buf_str(&b), DIRECTION_UP, &script), OK);
	assert_int_equal(script.count, 1000);
	assert_str_equal(script.statements[999].sql, STR("S999;"));
	scope_end(&s);
}

static void concurrent_indexes(void **state)
{
	static const struct {
		const char *sql, *index;
	} rows[] = {
		{"CREATE INDEX CONCURRENTLY a ON t (x);", "a"},
		{"create unique\n index concurrently if not exists b.c on t (x);", "b.c"},
		{"CREATE INDEX a ON t (x);", NULL},
		{"CREATE INDEX CONCURRENTLY ON t (x);", NULL},
		{"CREATE INDEX CONCURRENTLY", NULL},
		{"DROP INDEX CONCURRENTLY a;", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_str_equal(
			script_concurrent_index(str_from(rows[i].sql)), str_from(rows[i].index));
}

static void write_file(struct scope *s, const char *folder, const char *name, const char *text)
{
	FILE *file = fopen(scope_format(s, "%s/%s", folder, name).at, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void folders(void **state)
{
	char folder[] = "/tmp/bodega-migrate-XXXXXX";
	struct migrations migrations;
	struct str path, text;
	struct scope s;

	(void)state;
	assert_non_null(mkdtemp(folder));
	scope_begin(&s);
	const struct str at = str_from(folder);
	assert_int_equal(migrate_new(&s, at, STR("first"), &path), OK);
	assert_true(str_ends(path, STR("/00001_first.sql")));
	write_file(&s, folder, "00010_tenth.sql", "");
	write_file(&s, folder, "README", "");
	assert_int_equal(migrate_new(&s, at, STR("next_1"), &path), OK);
	assert_int_equal(files_list(&s, at, &migrations), OK);
	assert_int_equal(migrations.count, 3);
	assert_str_equal(migrations.at[1].name, STR("00010_tenth.sql"));
	assert_int_equal(migrations.at[2].version, 11);
	assert_int_equal(files_read(&s, at, migrations.at[2].name, &text), OK);
	assert_str_equal(text, STR("-- +goose Up\n\n-- +goose Down\n"));

	assert_int_equal(migrate_new(&s, at, STR("Next"), &path), FAULT_INVALID);
	scope_forgive(&s);
	assert_int_equal(migrate_new(&s, at, STR("../x"), &path), FAULT_INVALID);
	scope_forgive(&s);
	assert_int_equal(files_read(&s, at, STR("none.sql"), &text), FAULT_INVALID);
	scope_forgive(&s);
	write_file(&s, folder, "10_again.sql", "");
	assert_int_equal(files_list(&s, at, &migrations), FAULT_INVALID);
	assert_true(str_ends(s.detail, STR("are of the same version")));
	scope_forgive(&s);
	write_file(&s, folder, "x_1.sql", "");
	assert_int_equal(files_list(&s, at, &migrations), FAULT_INVALID);
	assert_int_equal(files_list(&s, STR("/nowhere"), &migrations), FAULT_INVALID);

	static const char *const names[] = {"00001_first.sql", "00010_tenth.sql", "README",
		"00011_next_1.sql", "10_again.sql", "x_1.sql"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(scope_format(&s, "%s/%s", folder, names[i]).at);
	assert_int_equal(rmdir(folder), 0);
	scope_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_scripts),
		cmocka_unit_test(bad_scripts),
		cmocka_unit_test(many_statements),
		cmocka_unit_test(concurrent_indexes),
		cmocka_unit_test(folders),
	};

	return cmocka_run_group_tests_name("migrate_script", tests, NULL, NULL);
}
