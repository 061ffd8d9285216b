/* SPDX-License-Identifier: Apache-2.0
 * bodegactl events: what waits to be published, and what could not be applied. */
#include "command.h"
#include "config/config.h"
#include "database.h"
#include "letters.h"
#include "json/field.h"

#include <stdio.h>
#include <stdlib.h>

enum { LETTERS_MAX = 1000, SERVICES = 3 };

static const char usage[] = "backlog|dead|redrive [QUEUE] [OPTION...]";

static const char help[] =
	"  backlog         what each service's outbox holds that RabbitMQ has not confirmed\n"
	"  dead QUEUE      the dead letters of a consumer, with the reasons; they stay where they "
	"are\n"
	"  redrive QUEUE   puts dead letters back into the queue: those of --id, or all of them\n"
	"\n"
	"QUEUE is the consumer's queue, such as orders.users, without \".dead\". backlog asks the\n"
	"databases of USERS_, PRODUCTS_ and ORDERS_DATABASE_URL, those of them that are set; the "
	"others\n"
	"need RABBITMQ_URL. Each may be in a file instead, which NAME_FILE names.\n";

static const char backlog_sql[] =
	"SELECT sum(w.count), sum(p.position - p.published),\n"
	"	coalesce(extract(epoch FROM now() - least(min(w.at), min(o.at))), 0)::bigint,\n"
	"	(SELECT count(*) FROM outbox_relays WHERE alive_until > now()),\n"
	"	(SELECT count(*) FROM inbox WHERE parked IS NOT NULL)\n"
	"FROM outbox_partitions p\n"
	"LEFT JOIN outbox o ON o.partition = p.partition AND o.position = p.published + 1\n"
	"CROSS JOIN LATERAL (SELECT count(*) AS count, min(at) AS at FROM outbox\n"
	"	WHERE partition = p.partition AND position IS NULL) w";

struct options {
	char *id;
	char *output;
	int all;
};

struct settings {
	struct str database_urls[SERVICES];
	struct str rabbitmq_url;
};

#define SCHEMES "postgresql postgres"
static const struct config_field settings_fields[] = {
	CONFIG(struct settings, database_urls[0], URL, "USERS_DATABASE_URL", CONFIG_OPTIONAL,
		"Database of users.", .choices = SCHEMES),
	CONFIG(struct settings, database_urls[1], URL, "PRODUCTS_DATABASE_URL", CONFIG_OPTIONAL,
		"Database of products.", .choices = SCHEMES),
	CONFIG(struct settings, database_urls[2], URL, "ORDERS_DATABASE_URL", CONFIG_OPTIONAL,
		"Database of orders.", .choices = SCHEMES),
	CONFIG(struct settings, rabbitmq_url, URL, "RABBITMQ_URL", CONFIG_OPTIONAL, "RabbitMQ.",
		.choices = "amqp"),
};
static const char *const services[SERVICES] = {"users", "products", "orders"};

struct backlog {
	struct str service;
	int64_t unnumbered; /* committed, but no relay has seen them */
	int64_t unpublished; /* have a position, but no confirm */
	int64_t oldest_seconds;
	int64_t relays;
	int64_t parked; /* in its inbox */
};

static const struct field backlog_fields[] = {
	FIELD(struct backlog, service, TEXT, OUTPUT),
	FIELD(struct backlog, unnumbered, INT64, OUTPUT),
	FIELD(struct backlog, unpublished, INT64, OUTPUT),
	FIELD(struct backlog, oldest_seconds, INT64, OUTPUT),
	FIELD(struct backlog, relays, INT64, OUTPUT),
	FIELD(struct backlog, parked, INT64, OUTPUT),
};
static const struct field_table backlog_table = FIELD_TABLE(struct backlog, backlog_fields);

static const struct field letter_fields[] = {
	FIELD(struct letter, id, TEXT, OUTPUT),
	FIELD(struct letter, type, TEXT, OUTPUT),
	FIELD(struct letter, subject, TEXT, OUTPUT),
	FIELD(struct letter, sequence, INT64, OUTPUT),
	FIELD(struct letter, attempts, INT64, OUTPUT),
	FIELD(struct letter, failed_at, TEXT, OUTPUT),
	FIELD(struct letter, reason, TEXT, OUTPUT),
	FIELD(struct letter, body, TEXT, OUTPUT),
};
static const struct field_table letter_table = FIELD_TABLE(struct letter, letter_fields);

struct run {
	struct scope s;
	struct options options;
	enum output output;
	struct settings settings;
};

static int run_action(struct run *r, poptContext context);
static int run_on_letters(struct run *r, struct str action, const char *queue);
static enum fault show_backlog(struct run *r);
static enum fault read_backlog(struct run *r, size_t service, struct backlog *backlog);
static enum fault show_dead(struct run *r, const char *queue);
static enum fault redrive(struct run *r, const char *queue);

int events_command(int argc, const char **argv)
{
	struct run r = {0};
	const struct poptOption table[] = {
		{"id", 'i', POPT_ARG_STRING, &r.options.id, 0, "of the event to redrive", "ID"},
		{"all", 'a', POPT_ARG_NONE, &r.options.all, 0, "redrive all dead letters", NULL},
		{"output", 'o', POPT_ARG_STRING, &r.options.output, 0, "table (default) or json",
			"FORMAT"},
		COMMAND_HELP_OPTION,
		POPT_TABLEEND,
	};
	poptContext context;
	int status;

	argv[0] = "bodegactl events"; /* popt says so in its help */
	context = poptGetContext(NULL, argc, argv, table, 0);
	scope_begin(&r.s);
	if (command_options(context, usage, help, &status))
		status = run_action(&r, context);
	scope_end(&r.s);
	poptFreeContext(context);
	free(r.options.id);
	free(r.options.output);
	return status;
}

static int run_action(struct run *r, poptContext context)
{
	const struct str action = str_from(poptGetArg(context));
	const char *const queue = poptGetArg(context);
	enum fault fault;

	if (!output_parse(r->options.output, &r->output))
		return command_fail(COMMAND_USAGE, "--output must be table or json");
	if (poptPeekArg(context) != NULL)
		return command_fail(
			COMMAND_USAGE, "%s is too much; see --help", poptPeekArg(context));
	if (config_load(&r->s, settings_fields, sizeof settings_fields / sizeof *settings_fields,
		    &r->settings) != OK) {
		config_print_errors(&r->s, "bodegactl", stderr);
		return COMMAND_CONFIG;
	}
	if (!str_eq(action, STR("backlog")))
		return run_on_letters(r, action, queue);
	if (queue != NULL)
		return command_fail(COMMAND_USAGE, "%s is too much; see --help", queue);
	fault = show_backlog(r);
	return fault == OK ? COMMAND_FINE : command_fail_scope(&r->s, fault, "events");
}

static int run_on_letters(struct run *r, struct str action, const char *queue)
{
	const bool drives = str_eq(action, STR("redrive"));
	enum fault fault;

	if (!drives && !str_eq(action, STR("dead")))
		return command_fail(COMMAND_USAGE, "backlog, dead or redrive? See --help");
	if (queue == NULL)
		return command_fail(COMMAND_USAGE, "of which queue? See --help");
	if (drives != (r->options.all || r->options.id != NULL))
		return command_fail(
			COMMAND_USAGE, "redrive, and nothing else, takes --id or --all");
	if (r->settings.rabbitmq_url.len == 0)
		return command_fail(COMMAND_CONFIG, "RABBITMQ_URL is not set");
	fault = drives ? redrive(r, queue) : show_dead(r, queue);
	return fault == OK ? COMMAND_FINE : command_fail_scope(&r->s, fault, "events");
}

/* ---- backlog ---- */

static enum fault show_backlog(struct run *r)
{
	struct backlog backlogs[SERVICES] = {0};
	size_t count = 0;

	for (size_t i = 0; i < SERVICES; i++)
		if (r->settings.database_urls[i].len > 0)
			TRY(read_backlog(r, i, &backlogs[count++]));
	if (count == 0)
		return fail(&r->s, FAULT_BAD_REQUEST, "no service's DATABASE_URL is set");
	if (r->output == OUTPUT_JSON) {
		output_json(&r->s, &backlog_table, backlogs, count);
		return OK;
	}
	printf("%-10s %11s %12s %10s %7s %7s\n", "SERVICE", "UNNUMBERED", "UNPUBLISHED",
		"OLDEST, S", "RELAYS", "PARKED");
	for (const struct backlog *b = backlogs; b < backlogs + count; b++)
		printf("%-10.*s %11lld %12lld %10lld %7lld %7lld\n", STR_ARG(b->service),
			(long long)b->unnumbered, (long long)b->unpublished,
			(long long)b->oldest_seconds, (long long)b->relays, (long long)b->parked);
	return OK;
}

static enum fault read_backlog(struct run *r, size_t service, struct backlog *backlog)
{
	int64_t *const numbers[] = {&backlog->unnumbered, &backlog->unpublished,
		&backlog->oldest_seconds, &backlog->relays, &backlog->parked};
	struct database *db;
	struct rows *rows;
	bool found;

	backlog->service = str_from(services[service]);
	TRY(database_open(&r->s, r->settings.database_urls[service], &db));
	TRY(database_rows(db, backlog_sql, &rows));
	TRY(rows_next(rows, &found));
	for (int i = 0; i < (int)(sizeof numbers / sizeof numbers[0]); i++)
		if (!found || !str_to_int64(rows_text(rows, i), numbers[i]))
			return fail(&r->s, FAULT_INTERNAL, "no numbers from %s", services[service]);
	return rows_next(rows, &found);
}

/* ---- dead letters ---- */

static enum fault show_dead(struct run *r, const char *queue)
{
	struct letter *const all = arena_alloc_array(r->s.arena, LETTERS_MAX, sizeof *all);
	struct letters *letters;
	size_t count = 0;
	bool found = true;

	TRY(letters_open(&r->s, r->settings.rabbitmq_url, queue, &letters));
	while (count < LETTERS_MAX) {
		TRY(letters_next(letters, &all[count], &found));
		if (!found)
			break;
		count++;
	}
	if (r->output == OUTPUT_JSON) {
		output_json(&r->s, &letter_table, all, count);
		return OK;
	}
	for (const struct letter *l = all; l < all + count; l++)
		printf("%.*s  %.*s of %.*s (%lld), failed %lld times, last at %.*s\n    %.*s\n",
			STR_ARG(l->id), STR_ARG(l->type), STR_ARG(l->subject),
			(long long)l->sequence, (long long)l->attempts, STR_ARG(l->failed_at),
			STR_ARG(l->reason));
	printf("%zu dead letter%s in %s%s\n", count, count == 1 ? "" : "s", queue,
		found ? ", or more" : "");
	return OK;
}

static enum fault redrive(struct run *r, const char *queue)
{
	struct letters *letters;
	struct letter letter;
	size_t count = 0;
	bool found;

	TRY(letters_open(&r->s, r->settings.rabbitmq_url, queue, &letters));
	for (;;) {
		TRY(letters_next(letters, &letter, &found));
		if (!found)
			break;
		if (r->options.id != NULL && !str_eq(letter.id, str_from(r->options.id)))
			continue;
		TRY(letters_redrive(letters, &letter));
		count++;
	}
	if (r->options.id != NULL && count == 0)
		return fail(&r->s, FAULT_NOT_FOUND, "no dead letter of %s has the id %s", queue,
			r->options.id);
	printf("%zu redriven\n", count);
	return OK;
}
