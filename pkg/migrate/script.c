/* SPDX-License-Identifier: Apache-2.0
 * goose reads a file by lines and does not parse SQL; so that either program reads the same
 * statements, neither does this. */
#include "migrate/script.h"

#include "base/buf.h"

#define ANNOTATION "+goose "

enum section { SECTION_NONE, SECTION_UP, SECTION_DOWN };

struct parser {
	struct scope *s;
	enum direction direction;
	struct script *script;
	enum section section;
	bool in_block; /* between StatementBegin and StatementEnd */
	struct buf sql; /* the statement so far */
	size_t line;
	size_t first_line; /* of the statement */
	size_t room; /* for statements */
};

static enum fault parse_line(struct parser *p, struct str line);
static enum fault parse_annotation(struct parser *p, struct str word);
static enum fault begin_section(struct parser *p, enum section section);
static enum fault end_of_section(struct parser *p);
static enum fault begin_block(struct parser *p);
static enum fault end_block(struct parser *p);
static void store_statement(struct parser *p);
static bool ends_statement(struct str line);
static bool next_word(struct str *rest, struct str *word);
static enum fault line_fail(struct parser *p, const char *sentence);

enum fault script_parse(
	struct scope *s, struct str text, enum direction direction, struct script *script)
{
	struct parser p = {
		.s = s, .direction = direction, .script = script, .sql = buf_new(s->arena)};
	struct str line;

	*script = (struct script){.transaction = true};
	while (str_cut(&text, '\n', &line)) {
		p.line++;
		TRY(parse_line(&p, line));
	}
	if (p.section == SECTION_NONE)
		return fail(s, FAULT_INVALID, "there is no `-- +goose Up`");
	return end_of_section(&p);
}

static enum fault parse_line(struct parser *p, struct str line)
{
	const struct str trimmed = str_trim(line);

	if (str_starts(line, STR("--"))) {
		const struct str comment = str_trim(str_skip(line, 2));
		if (str_starts(comment, STR(ANNOTATION)))
			return parse_annotation(p, str_skip(comment, sizeof ANNOTATION - 1));
	}
	if (p->sql.len == 0 && (trimmed.len == 0 || str_starts(trimmed, STR("--"))))
		return OK;
	if (p->section == SECTION_NONE)
		return line_fail(p, "nothing but comments may stand before `-- +goose Up`");
	if (p->sql.len == 0)
		p->first_line = p->line;
	buf_add(&p->sql, line);
	buf_char(&p->sql, '\n');
	if (!p->in_block && ends_statement(line))
		store_statement(p);
	return OK;
}

static enum fault parse_annotation(struct parser *p, struct str word)
{
	if (str_eq(word, STR("Up")))
		return begin_section(p, SECTION_UP);
	if (str_eq(word, STR("Down")))
		return begin_section(p, SECTION_DOWN);
	if (str_eq(word, STR("StatementBegin")))
		return begin_block(p);
	if (str_eq(word, STR("StatementEnd")))
		return end_block(p);
	if (str_eq(word, STR("NO TRANSACTION"))) {
		p->script->transaction = false;
		return OK;
	}
	return line_fail(p,
		"an annotation must be Up, Down, StatementBegin, StatementEnd or NO TRANSACTION");
}

/* Up comes first, and each once. */
static enum fault begin_section(struct parser *p, enum section section)
{
	if ((int)p->section != (int)section - 1)
		return line_fail(p, "`-- +goose Up` and `-- +goose Down` come once each, Up first");
	TRY(end_of_section(p));
	p->section = section;
	return OK;
}

static enum fault end_of_section(struct parser *p)
{
	if (p->in_block)
		return line_fail(p, "`-- +goose StatementEnd` is missing");
	if (p->sql.len > 0)
		return line_fail(p, "the statement before this has no ';' at a line's end");
	return OK;
}

static enum fault begin_block(struct parser *p)
{
	if (p->section == SECTION_NONE || p->in_block)
		return line_fail(
			p, "`-- +goose StatementBegin` stands in Up or Down, not in itself");
	if (p->sql.len > 0)
		return line_fail(p, "the statement before this has no ';' at a line's end");
	p->in_block = true;
	return OK;
}

static enum fault end_block(struct parser *p)
{
	if (!p->in_block)
		return line_fail(p, "`-- +goose StatementEnd` without its StatementBegin");
	p->in_block = false;
	if (p->sql.len > 0)
		store_statement(p);
	return OK;
}

/* Takes the statement if it is of the direction that is asked for, and begins the next. */
static void store_statement(struct parser *p)
{
	const enum section wanted = p->direction == DIRECTION_UP ? SECTION_UP : SECTION_DOWN;
	struct script *script = p->script;

	if (p->section == wanted) {
		if (script->count == p->room) {
			struct script_statement *more;
			p->room = p->room * 2 + 16;
			more = arena_alloc_array(p->s->arena, p->room, sizeof *more);
			if (script->count > 0)
				memcpy(more, script->statements, script->count * sizeof *more);
			script->statements = more;
		}
		script->statements[script->count++] = (struct script_statement){
			.sql = scope_dup(p->s, str_trim(buf_str(&p->sql))),
			.line = p->first_line,
		};
	}
	p->sql.len = 0;
}

/* The last word before a comment ends in ';'. */
static bool ends_statement(struct str line)
{
	struct str word, last = STR("");

	while (next_word(&line, &word) && !str_starts(word, STR("--")))
		last = word;
	return str_ends(last, STR(";"));
}

struct str script_concurrent_index(struct str sql)
{
	static const struct {
		const char *word;
		bool optional;
	} grammar[] = {{"create", false}, {"unique", true}, {"index", false},
		{"concurrently", false}, {"if", true}, {"not", true}, {"exists", true}};
	struct str word;

	if (!next_word(&sql, &word))
		return STR_NONE;
	for (size_t i = 0; i < sizeof grammar / sizeof *grammar; i++) {
		if (str_eq_fold(word, str_from(grammar[i].word))) {
			if (!next_word(&sql, &word))
				return STR_NONE;
		} else if (!grammar[i].optional) {
			return STR_NONE;
		}
	}
	return str_eq_fold(word, STR("on")) ? STR_NONE : word;
}

static bool next_word(struct str *rest, struct str *word)
{
	size_t len = 0;

	*rest = str_trim(*rest);
	while (len < rest->len && memchr(" \t\r\n", rest->at[len], 4) == NULL)
		len++;
	*word = str_of(rest->at, len);
	*rest = str_skip(*rest, len);
	return len > 0;
}

static enum fault line_fail(struct parser *p, const char *sentence)
{
	return fail(p->s, FAULT_INVALID, "line %zu: %s", p->line, sentence);
}
