/* SPDX-License-Identifier: Apache-2.0
 * bodegactl migrate: up, down, status and new, on the databases that the options or the environment
 * name. */
#include "migrate/migrate.h"

#include "command.h"
#include "config/config.h"
#include "folders.h"
#include "json/field.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] = "up|down|status|new [SERVICE...|NAME] [OPTION...]";

static const char help[] =
	"  up       apply what is missing, in order\n"
	"  down     undo the newest one of one database (with --to: all that are newer)\n"
	"  status   say what is applied and what is not; changes nothing\n"
	"  new      make the folder's next file: new NAME --dir DIR\n"
	"\n"
	"Each SERVICE (users, products, orders, payments) has its URL in USERS_DATABASE_URL and so "
	"on, or "
	"in\n"
	"the file that USERS_DATABASE_URL_FILE names, and its files in DIR/SERVICE. No SERVICE "
	"means\n"
	"each whose URL is set. With --database it is that database, and DIR holds its files.\n"
	"\n"
	"URLs must lead to PostgreSQL itself: a pooler loses the lock that keeps two of these "
	"apart.\n"
	"Files and table are goose's (github.com/pressly/goose): either program can go on where "
	"the\n"
	"other stopped.\n";

struct options {
	char *database;
	char *folder;
	char *output;
	char *to;
	char *wait;
};

/* A database to work on. */
struct target {
	struct str name;
	struct str url;
	struct str folder;
};

enum { TARGETS_MAX = 4, WAIT_S = 300, WAIT_S_MAX = 86400 };

struct run {
	struct scope s;
	struct options options;
	enum output output;
	int64_t wait_s;
	bool has_to;
	int64_t to;
	struct str action;
	struct target targets[TARGETS_MAX];
	size_t target_count;
	const struct target *target; /* the one at work */
};

/* ---- the environment ---- */

struct settings {
	struct str urls[TARGETS_MAX];
};

#define SCHEMES "postgresql postgres"
static const struct config_field settings_fields[TARGETS_MAX] = {
	CONFIG(struct settings, urls[0], URL, "USERS_DATABASE_URL", CONFIG_OPTIONAL,
		"Database of users.", .choices = SCHEMES),
	CONFIG(struct settings, urls[1], URL, "PRODUCTS_DATABASE_URL", CONFIG_OPTIONAL,
		"Database of products.", .choices = SCHEMES),
	CONFIG(struct settings, urls[2], URL, "ORDERS_DATABASE_URL", CONFIG_OPTIONAL,
		"Database of orders.", .choices = SCHEMES),
	CONFIG(struct settings, urls[3], URL, "PAYMENTS_DATABASE_URL", CONFIG_OPTIONAL,
		"Database of payments.", .choices = SCHEMES),
};
static const char *const services[TARGETS_MAX] = {"users", "products", "orders", "payments"};

/* ---- what is printed as JSON ---- */

static const char *const states[] = {"pending", "applied", NULL};

struct row {
	int64_t version;
	struct str name;
	int state;
	struct str applied_at;
};

static const struct field row_fields[] = {
	FIELD(struct row, version, INT64, OUTPUT),
	FIELD(struct row, name, TEXT, OUTPUT),
	FIELD(struct row, state, ENUM, OUTPUT, .names = states),
	FIELD(struct row, applied_at, TEXT, OUTPUT),
};
static const struct field_table row_table = FIELD_TABLE(struct row, row_fields);

struct database {
	struct str database;
	int64_t version;
	struct items migrations;
};

static const struct field database_fields[] = {
	FIELD(struct database, database, TEXT, OUTPUT),
	FIELD(struct database, version, INT64, OUTPUT),
	FIELD(struct database, migrations, ARRAY, OUTPUT, .of = &row_table),
};
static const struct field_table database_table = FIELD_TABLE(struct database, database_fields);

/* What the option --wait holds when it was not given; NULL is one without its seconds. */
static char no_wait[] = "0";

static int run_action(struct run *r, poptContext context);
static int make_file(struct run *r, poptContext context);
static int find_targets(struct run *r, poptContext context);
static int targets_from_environment(struct run *r, poptContext context);
static int service_index(const char *name);
static int check_action(struct run *r);
static bool parse_wait(struct run *r);
static int run_targets(struct run *r);
static enum fault run_target(struct run *r, struct database *database);
static void report(void *arg, const char *sentence);
static void print_databases(struct run *r, const struct database *databases);
static void print_table(struct run *r, const struct database *databases);

int migrate_command(int argc, const char **argv)
{
	struct run r = {.options.wait = no_wait};
	const struct poptOption table[] = {
		{"database", 'd', POPT_ARG_STRING, &r.options.database, 0,
			"this database, not the environment's", "URL"},
		{"dir", 0, POPT_ARG_STRING, &r.options.folder, 0,
			"where the files are (default: " FOLDERS_HERE
			" here, or else those installed)",
			"DIR"},
		{"to", 0, POPT_ARG_STRING, &r.options.to, 0,
			"up or down to this version; down to 0 undoes all", "VERSION"},
		{"wait", 'w', POPT_ARG_STRING | POPT_ARGFLAG_OPTIONAL, &r.options.wait, 0,
			"wait for a database that is away or starting (alone: 5 minutes)",
			"SECONDS"},
		{"output", 'o', POPT_ARG_STRING, &r.options.output, 0, "table (default) or json",
			"FORMAT"},
		COMMAND_HELP_OPTION,
		POPT_TABLEEND,
	};
	poptContext context;
	int status;

	argv[0] = "bodegactl migrate"; /* popt says so in its help */
	context = poptGetContext(NULL, argc, argv, table, 0);
	scope_begin(&r.s);
	if (command_options(context, usage, help, &status))
		status = run_action(&r, context);
	scope_end(&r.s);
	poptFreeContext(context);
	free(r.options.database);
	free(r.options.folder);
	free(r.options.output);
	free(r.options.to);
	if (r.options.wait != no_wait)
		free(r.options.wait);
	return status;
}

static int run_action(struct run *r, poptContext context)
{
	int status;

	r->action = str_from(poptGetArg(context));
	if (r->action.at == NULL)
		return command_fail(COMMAND_USAGE, "up, down, status or new? See --help");
	if (str_eq(r->action, STR("new")))
		return make_file(r, context);
	if ((status = check_action(r)) != COMMAND_FINE ||
		(status = find_targets(r, context)) != COMMAND_FINE)
		return status;
	if (str_eq(r->action, STR("down")) && r->target_count > 1)
		return command_fail(COMMAND_USAGE, "down works on one database: name its service");
	return run_targets(r);
}

static int make_file(struct run *r, poptContext context)
{
	const char *name = poptGetArg(context);
	struct str path;

	if (name == NULL || poptPeekArg(context) != NULL || r->options.folder == NULL)
		return command_fail(COMMAND_USAGE, "new needs a NAME and the folder: --dir DIR");
	const enum fault fault =
		migrate_new(&r->s, str_from(r->options.folder), str_from(name), &path);
	if (fault != OK)
		return command_fail_scope(&r->s, fault, NULL);
	printf("%s\n", path.at);
	return COMMAND_FINE;
}

static int check_action(struct run *r)
{
	if (!str_eq(r->action, STR("up")) && !str_eq(r->action, STR("down")) &&
		!str_eq(r->action, STR("status")))
		return command_fail(COMMAND_USAGE, "migrate has no %s, but up, down, status, new",
			r->action.at);
	if (!output_parse(r->options.output, &r->output))
		return command_fail(COMMAND_USAGE, "--output must be table or json");
	if (!parse_wait(r))
		return command_fail(
			COMMAND_USAGE, "--wait must be from 0 to %d seconds", WAIT_S_MAX);
	r->has_to = r->options.to != NULL;
	if (r->has_to && (!str_to_int64(str_from(r->options.to), &r->to) || r->to < 0))
		return command_fail(COMMAND_USAGE, "--to must be a version, such as 3 or 00003");
	if (r->has_to && str_eq(r->action, STR("status")))
		return command_fail(COMMAND_USAGE, "--to is for up and down");
	return COMMAND_FINE;
}

static bool parse_wait(struct run *r)
{
	r->wait_s = WAIT_S;
	return r->options.wait == NULL || (str_to_int64(str_from(r->options.wait), &r->wait_s) &&
						  r->wait_s >= 0 && r->wait_s <= WAIT_S_MAX);
}

static int find_targets(struct run *r, poptContext context)
{
	if (r->options.database == NULL)
		return targets_from_environment(r, context);
	if (poptPeekArg(context) != NULL)
		return command_fail(
			COMMAND_USAGE, "either --database or a SERVICE, not both; see --help");
	if (r->options.folder == NULL)
		return command_fail(
			COMMAND_USAGE, "--database needs the folder of its files: --dir DIR");

	struct str folder = str_from(r->options.folder), name = STR_NONE;
	while (folder.len > 1 && str_ends(folder, STR("/")))
		folder.len--;
	for (struct str rest = folder, piece; str_cut(&rest, '/', &piece);)
		name = piece;
	r->targets[r->target_count++] = (struct target){
		.name = name,
		.url = str_from(r->options.database),
		.folder = folder,
	};
	return COMMAND_FINE;
}

static int targets_from_environment(struct run *r, poptContext context)
{
	const char *root = folders_find(r->options.folder);
	bool wanted[TARGETS_MAX] = {false}, any = false;
	struct settings settings = {0};
	const char *name;

	if (config_load(&r->s, settings_fields, TARGETS_MAX, &settings) != OK) {
		config_print_errors(&r->s, "bodegactl", stderr);
		return COMMAND_CONFIG;
	}
	while ((name = poptGetArg(context)) != NULL) {
		const int index = service_index(name);
		if (index < 0)
			return command_fail(COMMAND_USAGE,
				"there is no service %s, but users, products, orders, payments",
				name);
		if (settings.urls[index].at == NULL)
			return command_fail(
				COMMAND_CONFIG, "%s is not set", settings_fields[index].name);
		wanted[index] = any = true;
	}
	for (size_t i = 0; i < TARGETS_MAX; i++) {
		if (settings.urls[i].at != NULL && (wanted[i] || !any))
			r->targets[r->target_count++] = (struct target){
				.name = str_from(services[i]),
				.url = settings.urls[i],
				.folder = scope_format(&r->s, "%s/%s", root, services[i]),
			};
	}
	if (r->target_count == 0)
		return command_fail(COMMAND_CONFIG,
			"no database: set USERS_DATABASE_URL, PRODUCTS_DATABASE_URL, "
			"ORDERS_DATABASE_URL or PAYMENTS_DATABASE_URL, or give --database and "
			"--dir");
	return COMMAND_FINE;
}

static int service_index(const char *name)
{
	for (int i = 0; i < TARGETS_MAX; i++) {
		if (strcmp(name, services[i]) == 0)
			return i;
	}
	return -1;
}

static int run_targets(struct run *r)
{
	struct database databases[TARGETS_MAX];

	for (size_t i = 0; i < r->target_count; i++) {
		r->target = &r->targets[i];
		const enum fault fault = run_target(r, &databases[i]);
		if (fault != OK)
			return command_fail_scope(&r->s, fault,
				scope_format(&r->s, "%.*s", STR_ARG(r->target->name)).at);
	}
	print_databases(r, databases);
	return COMMAND_FINE;
}

static enum fault run_target(struct run *r, struct database *database)
{
	const struct migrate_config config = {
		.url = r->target->url,
		.folder = r->target->folder,
		.wait_us = r->wait_s * INT64_C(1000000),
		.report = report,
		.arg = r,
	};
	struct scope *s = &r->s;
	struct migrations migrations;
	struct migrate *m;

	TRY(migrate_open(s, &config, &m));
	if (str_eq(r->action, STR("up")))
		TRY(migrate_up(m, r->has_to ? r->to : INT64_MAX));
	if (str_eq(r->action, STR("down"))) {
		TRY(migrate_status(m, &migrations));
		TRY(migrate_down(m, r->has_to ? r->to : migrations_previous(&migrations)));
	}
	TRY(migrate_status(m, &migrations));

	struct row *rows = arena_alloc_array(s->arena, migrations.count, sizeof *rows);
	for (size_t i = 0; i < migrations.count; i++) {
		const struct migration *migration = &migrations.at[i];
		rows[i] = (struct row){migration->version, migration->name, migration->is_applied,
			migration->applied_at};
	}
	*database = (struct database){r->target->name, migrations.newest, {rows, migrations.count}};
	return OK;
}

static void report(void *arg, const char *sentence)
{
	const struct run *r = arg;
	FILE *out = r->output == OUTPUT_JSON ? stderr : stdout;

	fprintf(out, "%.*s: %s\n", STR_ARG(r->target->name), sentence);
	fflush(out);
}

/* up and down tell in the table form where they have come to, in one line a database. */
static void print_databases(struct run *r, const struct database *databases)
{
	if (r->output == OUTPUT_JSON) {
		output_json(&r->s, &database_table, databases, r->target_count);
	} else if (str_eq(r->action, STR("status"))) {
		print_table(r, databases);
	} else {
		for (size_t i = 0; i < r->target_count; i++)
			printf("%.*s: version %lld\n", STR_ARG(databases[i].database),
				(long long)databases[i].version);
	}
}

static void print_table(struct run *r, const struct database *databases)
{
	printf("%-10s %-8s %-25s %s\n", "DATABASE", "STATE", "APPLIED AT", "MIGRATION");
	for (size_t i = 0; i < r->target_count; i++) {
		const struct row *rows = databases[i].migrations.at;
		for (size_t k = 0; k < databases[i].migrations.count; k++)
			printf("%-10.*s %-8s %-25.*s %.*s\n", STR_ARG(databases[i].database),
				states[rows[k].state],
				STR_ARG(rows[k].applied_at.at != NULL ? rows[k].applied_at
								      : STR("-")),
				STR_ARG(rows[k].name));
	}
}
