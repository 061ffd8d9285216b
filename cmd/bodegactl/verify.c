/* SPDX-License-Identifier: Apache-2.0
 * bodegactl verify: asks the databases whether orders, stock and payments agree. Several databases
 * are never seen at one moment, so while the shop works a finding counts only when a second look
 * finds the very same. It reads only, and holds no more than a row of each side at a time. */
#include "checks.h"
#include "command.h"
#include "config/config.h"
#include "database.h"
#include "json/write.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	FINDINGS_MAX = 1000, /* are told one by one; what is beyond is counted */
	SECOND_LOOK_MS = 1500,
	EVERY_MS = 5000,
};

static const char usage[] = "[OPTION...]";

static const char help_head[] =
	"Compares the databases of PRODUCTS_DATABASE_URL, ORDERS_DATABASE_URL and\n"
	"PAYMENTS_DATABASE_URL and says what is broken: which check, which order, product or "
	"payment,\n"
	"what was expected and what was found.\n"
	"\n"
	"Exit status: 0 nothing is wrong, 1 something is, 69 a database cannot be asked.\n"
	"\n";

struct options {
	char *output;
	int settled;
	int watch;
};

struct settings {
	struct str urls[PLACES];
};

#define SCHEMES "postgresql postgres"
static const struct config_field settings_fields[] = {
	CONFIG(struct settings, urls[IN_PRODUCTS], URL, "PRODUCTS_DATABASE_URL", CONFIG_REQUIRED,
		"Database of products.", .choices = SCHEMES),
	CONFIG(struct settings, urls[IN_ORDERS], URL, "ORDERS_DATABASE_URL", CONFIG_REQUIRED,
		"Database of orders.", .choices = SCHEMES),
	CONFIG(struct settings, urls[IN_PAYMENTS], URL, "PAYMENTS_DATABASE_URL", CONFIG_REQUIRED,
		"Database of payments.", .choices = SCHEMES),
};
static const char *const place_names[PLACES] = {"products", "orders", "payments"};

struct finding {
	struct str check;
	struct str database;
	struct str subject;
	struct str id;
	struct str expected;
	struct str found;
};

/* What one look found; lives in its scope. */
struct look {
	struct scope s;
	struct database *db[PLACES];
	struct finding *findings;
	size_t count;
	int64_t beyond;
};

struct report {
	struct items findings;
	int64_t beyond;
	int64_t checks;
};

static const struct field finding_fields[] = {
	FIELD(struct finding, check, TEXT, OUTPUT),
	FIELD(struct finding, database, TEXT, OUTPUT),
	FIELD(struct finding, subject, TEXT, OUTPUT),
	FIELD(struct finding, id, TEXT, OUTPUT),
	FIELD(struct finding, expected, TEXT, OUTPUT),
	FIELD(struct finding, found, TEXT, OUTPUT),
};
static const struct field_table finding_table = FIELD_TABLE(struct finding, finding_fields);
static const struct field report_fields[] = {
	FIELD(struct report, findings, ARRAY, OUTPUT, .of = &finding_table),
	FIELD(struct report, beyond, INT64, OUTPUT),
	FIELD(struct report, checks, INT64, OUTPUT),
};
static const struct field_table report_table = FIELD_TABLE(struct report, report_fields);

struct verify {
	struct scope s;
	struct options options;
	enum output output;
	struct settings settings;
};

/* One side of a comparison: where it stands. */
struct side {
	struct rows *rows;
	bool there;
	struct str id;
	struct str words;
	struct str facts;
};

static volatile sig_atomic_t stopped;

static void print_help(void);
static int read_options(struct verify *v, poptContext context);
static int watch(struct verify *v);
static int verify(struct verify *v);
static enum fault look_around(struct verify *v, struct look *look);
static enum fault ask(struct look *look, const struct check *check);
static enum fault ask_one(struct look *look, const struct check *check);
static enum fault compare(struct look *look, const struct check *check);
static void compare_pair(struct look *look, const struct check *check, int order,
	const struct side *left, const struct side *right);
static enum fault side_open(
	struct look *look, enum place place, const char *sql, struct side *side);
static enum fault side_next(struct side *side);
static void note(struct look *look, const struct check *check, struct str id, struct str expected,
	struct str found);
static void keep_confirmed(struct look *now, const struct look *before);
static void print(const struct verify *v, struct look *look);
static bool wait_ms(long ms);

int verify_command(int argc, const char **argv)
{
	struct verify v = {0};
	const struct poptOption table[] = {
		{"settled", 's', POPT_ARG_NONE, &v.options.settled, 0,
			"nothing is under way: one look, and unfinished orders count", NULL},
		{"watch", 'w', POPT_ARG_NONE, &v.options.watch, 0,
			"look again every 5 s, until SIGINT or SIGTERM", NULL},
		{"output", 'o', POPT_ARG_STRING, &v.options.output, 0, "table (default) or json",
			"FORMAT"},
		COMMAND_HELP_OPTION,
		POPT_TABLEEND,
	};
	poptContext context;
	int status;

	argv[0] = "bodegactl verify"; /* popt says so in its help */
	context = poptGetContext(NULL, argc, argv, table, 0);
	scope_begin(&v.s);
	if (command_options(context, usage, help_head, &status)) {
		status = read_options(&v, context);
		if (status == COMMAND_FINE)
			status = v.options.watch ? watch(&v) : verify(&v);
	} else if (status == COMMAND_FINE) {
		print_help();
	}
	scope_end(&v.s);
	poptFreeContext(context);
	free(v.options.output);
	return status;
}

static void print_help(void)
{
	puts("It looks whether");
	for (size_t i = 0; i < check_count; i++)
		printf("  %-18s %s%s\n", checks[i].name, checks[i].says,
			checks[i].at_rest ? " (--settled)" : "");
}

static int read_options(struct verify *v, poptContext context)
{
	if (poptPeekArg(context) != NULL)
		return command_fail(COMMAND_USAGE, "verify takes options only: see --help");
	if (!output_parse(v->options.output, &v->output))
		return command_fail(COMMAND_USAGE, "--output must be table or json");
	if (config_load(&v->s, settings_fields, sizeof settings_fields / sizeof *settings_fields,
		    &v->settings) == OK)
		return COMMAND_FINE;
	config_print_errors(&v->s, "bodegactl", stderr);
	return COMMAND_CONFIG;
}

static void stop(int number)
{
	stopped = number;
}

/* A database that is away is said and waited for. */
static int watch(struct verify *v)
{
	const struct sigaction action = {.sa_handler = stop};
	int status;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	do
		status = verify(v);
	while (wait_ms(EVERY_MS));
	return status;
}

static int verify(struct verify *v)
{
	struct look first = {0}, second = {0};
	struct look *last = &first;
	int status = COMMAND_FINE;

	scope_begin(&first.s);
	scope_begin(&second.s);
	enum fault fault = look_around(v, &first);
	if (fault == OK && first.count > 0 && !v->options.settled && wait_ms(SECOND_LOOK_MS)) {
		last = &second;
		fault = look_around(v, &second);
		keep_confirmed(&second, &first);
	}
	if (fault == OK)
		print(v, last);
	else
		(void)command_fail_scope(&last->s, fault, "verify");
	if (fault != OK)
		status = COMMAND_UNAVAILABLE;
	else if (last->count > 0)
		status = COMMAND_FAILED;
	scope_end(&second.s);
	scope_end(&first.s);
	return status;
}

static enum fault look_around(struct verify *v, struct look *look)
{
	struct str ignored;

	look->findings = scope_alloc(&look->s, FINDINGS_MAX * sizeof *look->findings);
	for (int place = 0; place < PLACES; place++) {
		struct database **db = &look->db[place];
		TRY(database_open(&look->s, v->settings.urls[place], db));
		TRY(database_run(*db, "SET default_transaction_read_only = on", NULL, 0, &ignored));
	}
	for (size_t i = 0; i < check_count; i++) {
		if (v->options.settled || !checks[i].at_rest)
			TRY(ask(look, &checks[i]));
	}
	return OK;
}

static enum fault ask(struct look *look, const struct check *check)
{
	const enum fault fault =
		check->other_sql != NULL ? compare(look, check) : ask_one(look, check);

	if (fault == OK)
		return OK;
	return fail(&look->s, fault, "%s: %.*s", check->name, STR_ARG(look->s.detail));
}

static enum fault ask_one(struct look *look, const struct check *check)
{
	struct rows *rows;
	bool found;

	TRY(database_rows(look->db[check->place], check->sql, &rows));
	for (;;) {
		TRY(rows_next(rows, &found));
		if (!found)
			return OK;
		note(look, check, rows_text(rows, 0), rows_text(rows, 1), rows_text(rows, 2));
	}
}

/* Both sides come in the order of their ids, so each step takes the smaller one, or both. */
static enum fault compare(struct look *look, const struct check *check)
{
	struct side left, right;

	TRY(side_open(look, check->place, check->sql, &left));
	TRY(side_open(look, check->other, check->other_sql, &right));
	while (left.there || right.there) {
		const int order = !left.there    ? 1
		                  : !right.there ? -1
		                                 : strcmp(left.id.at, right.id.at);

		compare_pair(look, check, order, &left, &right);
		if (order <= 0)
			TRY(side_next(&left));
		if (order >= 0)
			TRY(side_next(&right));
	}
	return OK;
}

static bool has_word(struct str words, struct str wanted)
{
	struct str word;

	while (str_cut(&words, ' ', &word)) {
		if (str_eq(word, wanted))
			return true;
	}
	return false;
}

/* order: below 0 the id is on the left only, above 0 on the right only. */
static void compare_pair(struct look *look, const struct check *check, int order,
	const struct side *left, const struct side *right)
{
	const struct str id = order <= 0 ? left->id : right->id;
	const struct str allowed = order <= 0 ? left->words : str_from(check->alone);
	const struct str found = order >= 0 ? right->words : STR("none");

	if (!has_word(allowed, found))
		note(look, check, id, allowed, found);
	else if (order == 0 && left->facts.at != NULL && right->facts.at != NULL &&
		 !str_eq(left->facts, right->facts))
		note(look, check, id, left->facts, right->facts);
}

static enum fault side_open(struct look *look, enum place place, const char *sql, struct side *side)
{
	TRY(database_rows(look->db[place], sql, &side->rows));
	return side_next(side);
}

static enum fault side_next(struct side *side)
{
	TRY(rows_next(side->rows, &side->there));
	if (!side->there)
		return OK;
	side->id = rows_text(side->rows, 0);
	side->words = rows_text(side->rows, 1);
	side->facts = rows_text(side->rows, 2);
	return OK;
}

static void note(struct look *look, const struct check *check, struct str id, struct str expected,
	struct str found)
{
	if (look->count == FINDINGS_MAX) {
		look->beyond++;
		return;
	}
	look->findings[look->count++] = (struct finding){
		.check = str_from(check->name),
		.database = str_from(place_names[check->place]),
		.subject = str_from(check->subject),
		.id = scope_dup(&look->s, id),
		.expected = scope_dup(&look->s, expected),
		.found = scope_dup(&look->s, found),
	};
}

static bool is_same(const struct finding *a, const struct finding *b)
{
	return str_eq(a->check, b->check) && str_eq(a->id, b->id) &&
	       str_eq(a->expected, b->expected) && str_eq(a->found, b->found);
}

static void keep_confirmed(struct look *now, const struct look *before)
{
	size_t kept = 0;

	for (size_t i = 0; i < now->count; i++) {
		size_t j = 0;
		while (j < before->count && !is_same(&now->findings[i], &before->findings[j]))
			j++;
		if (j < before->count)
			now->findings[kept++] = now->findings[i];
	}
	now->count = kept;
}

static void print(const struct verify *v, struct look *look)
{
	const struct report report = {
		.findings = {.at = look->findings, .count = look->count},
		.beyond = look->beyond,
		.checks = (int64_t)check_count,
	};

	if (v->output == OUTPUT_JSON) {
		struct buf json = buf_new(look->s.arena);
		json_write(&json, &report_table, &report);
		printf("%.*s\n", STR_ARG(buf_str(&json)));
	} else {
		for (const struct finding *f = look->findings; f < look->findings + look->count;
			f++)
			printf("%.*s: %.*s %.*s: expected %.*s, found %.*s\n", STR_ARG(f->check),
				STR_ARG(f->subject), STR_ARG(f->id), STR_ARG(f->expected),
				STR_ARG(f->found));
		if (look->beyond > 0)
			printf("and %lld more\n", (long long)look->beyond);
		if (look->count == 0)
			printf("nothing is wrong (%zu checks)\n", check_count);
	}
	fflush(stdout);
}

/* False once a signal asks to stop. */
static bool wait_ms(long ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	if (!stopped)
		nanosleep(&time, NULL);
	return !stopped;
}
