/* SPDX-License-Identifier: Apache-2.0
 * bodegactl status: how each instance of each program is, by its admin port. */
#include "status.h"

#include "fetch.h"
#include "scrape.h"

#include <stdio.h>
#include <stdlib.h>

enum { WAIT_MS = 2000, INSTANCES_MAX = 512 };

static const char usage[] = "[URL...] [OPTION...]";

static const char help[] =
	"Each URL is an admin port; a name that has several addresses is as many instances. "
	"Without one:\n"
	"the shop of `make run`, http://127.0.0.1:9080 to 9084. `kubectl bodega status` asks each "
	"pod.\n"
	"\n"
	"Exit status 1: one is not ready.\n";

static const char *const local_urls[] = {"http://127.0.0.1:9080", "http://127.0.0.1:9081",
	"http://127.0.0.1:9082", "http://127.0.0.1:9083", "http://127.0.0.1:9084"};
enum { LOCAL_URLS = sizeof local_urls / sizeof *local_urls };

static const struct field instance_fields[] = {
	FIELD(struct instance, instance, TEXT, OUTPUT),
	FIELD(struct instance, service, TEXT, OUTPUT),
	FIELD(struct instance, version, TEXT, OUTPUT),
	FIELD(struct instance, ready, BOOL, OUTPUT),
	FIELD(struct instance, why, TEXT, OUTPUT),
	FIELD(struct instance, clients, INT64, OUTPUT),
	FIELD(struct instance, in_flight, INT64, OUTPUT),
	FIELD(struct instance, database_waiting, INT64, OUTPUT),
	FIELD(struct instance, unpublished, INT64, OUTPUT),
	FIELD(struct instance, lag_seconds, INT64, OUTPUT),
	FIELD(struct instance, memory_bytes, INT64, OUTPUT),
};
static const struct field_table instance_table = FIELD_TABLE(struct instance, instance_fields);

/* The list that another one printed. */
struct told {
	struct items data;
};
static const struct field told_fields[] = {
	FIELD(struct told, data, ARRAY, REQUIRED, .of = &instance_table)};
static const struct field_table told_table = FIELD_TABLE(struct told, told_fields);

/* Of readyz. */
struct readiness {
	struct str why;
};
static const struct field readiness_fields[] = {FIELD(struct readiness, why, TEXT, OPTIONAL)};
static const struct field_table readiness_table = FIELD_TABLE(struct readiness, readiness_fields);

static int run(struct scope *s, poptContext context, const char *output_name);
static void ask_all(struct scope *s, struct str url, struct items *instances);
static void ask(struct scope *s, struct str url, struct instance *instance);
static enum fault ask_readiness(struct scope *s, struct str url, struct instance *instance);
static enum fault ask_metrics(struct scope *s, struct str url, struct instance *instance);
static int64_t whole(struct str metrics, struct str name);

int status_command(int argc, const char **argv)
{
	char *output = NULL;
	const struct poptOption table[] = {
		{"output", 'o', POPT_ARG_STRING, &output, 0, "table (default) or json", "FORMAT"},
		COMMAND_HELP_OPTION,
		POPT_TABLEEND,
	};
	poptContext context;
	struct scope s;
	int status;

	argv[0] = "bodegactl status"; /* popt says so in its help */
	context = poptGetContext(NULL, argc, argv, table, 0);
	scope_begin(&s);
	if (command_options(context, usage, help, &status))
		status = run(&s, context, output);
	scope_end(&s);
	poptFreeContext(context);
	free(output);
	return status;
}

static int run(struct scope *s, poptContext context, const char *output_name)
{
	struct items instances = {
		arena_alloc_array(s->arena, INSTANCES_MAX, sizeof(struct instance)), 0};
	const bool given = poptPeekArg(context) != NULL;
	enum output output;
	const char *url;

	if (!output_parse(output_name, &output))
		return command_fail(COMMAND_USAGE, "--output must be table or json");
	while ((url = poptGetArg(context)) != NULL) {
		if (!str_starts(str_from(url), STR("http://")))
			return command_fail(COMMAND_USAGE, "%s: must be http://name:port", url);
		ask_all(s, str_from(url), &instances);
	}
	for (size_t i = 0; i < LOCAL_URLS && !given; i++)
		ask_all(s, str_from(local_urls[i]), &instances);
	return status_print(s, output, &instances);
}

static void ask_all(struct scope *s, struct str url, struct items *instances)
{
	struct instance *const all = instances->at;
	struct texts addresses;

	if (fetch_addresses(s, url, &addresses) != OK) {
		if (instances->count < INSTANCES_MAX)
			all[instances->count++] =
				(struct instance){.instance = url, .why = s->detail};
		scope_forgive(s);
	}
	for (size_t i = 0; i < addresses.count && instances->count < INSTANCES_MAX; i++)
		ask(s, addresses.at[i], &all[instances->count++]);
}

static void ask(struct scope *s, struct str url, struct instance *instance)
{
	*instance = (struct instance){.instance = str_skip(url, strlen("http://"))};
	if (ask_readiness(s, url, instance) != OK || ask_metrics(s, url, instance) != OK) {
		instance->ready = false;
		instance->why = s->detail;
	}
	scope_forgive(s);
}

static enum fault ask_readiness(struct scope *s, struct str url, struct instance *instance)
{
	const struct str at = scope_format(s, "%.*s/readyz", STR_ARG(url));
	struct readiness readiness = {0};
	struct fetched answer;

	TRY(fetch(s, &(struct fetch){.url = at, .timeout_ms = WAIT_MS}, &answer));
	TRY(json_read_lenient(s, answer.body, &readiness_table, &readiness));
	instance->ready = answer.status == 200;
	instance->why = readiness.why;
	return OK;
}

static enum fault ask_metrics(struct scope *s, struct str url, struct instance *instance)
{
	const struct str at = scope_format(s, "%.*s/metrics", STR_ARG(url));
	const struct str info = STR("bodega_build_info");
	struct fetched answer;

	TRY(fetch(s, &(struct fetch){.url = at, .timeout_ms = WAIT_MS}, &answer));
	instance->service = scrape_label(answer.body, info, STR("service"));
	instance->version = scrape_label(answer.body, info, STR("version"));
	instance->clients = whole(answer.body, STR("bodega_http_connections"));
	instance->in_flight = whole(answer.body, STR("bodega_http_requests_in_flight"));
	instance->database_waiting = whole(answer.body, STR("bodega_pg_waiting"));
	instance->unpublished = whole(answer.body, STR("bodega_outbox_unpublished"));
	instance->lag_seconds = whole(answer.body, STR("bodega_outbox_lag_seconds"));
	instance->memory_bytes = whole(answer.body, STR("process_resident_memory_bytes"));
	return instance->service.at != NULL
	               ? OK
	               : fail(s, FAULT_BAD_GATEWAY, "%.*s: no program of ours", STR_ARG(url));
}

static int64_t whole(struct str metrics, struct str name)
{
	double sum;

	return scrape_sum(metrics, name, &sum) ? (int64_t)sum : 0;
}

enum fault status_read(struct scope *s, struct str json, struct items *instances)
{
	struct told told = {0};

	TRY(json_read_lenient(s, json, &told_table, &told));
	*instances = told.data;
	return OK;
}

int status_print(struct scope *s, enum output output, const struct items *instances)
{
	const struct instance *const end =
		(const struct instance *)instances->at + instances->count;
	bool well = instances->count > 0;

	for (const struct instance *i = instances->at; i < end; i++)
		well = well && i->ready;
	if (output == OUTPUT_JSON) {
		output_json(s, &instance_table, instances->at, instances->count);
		return well ? COMMAND_FINE : COMMAND_FAILED;
	}
	printf("%-36s %-9s %-8s %-5s %7s %9s %7s %6s %6s %7s\n", "INSTANCE", "SERVICE", "VERSION",
		"READY", "CLIENTS", "IN FLIGHT", "WAITING", "EVENTS", "LAG, S", "MIB");
	for (const struct instance *i = instances->at; i < end; i++) {
		printf("%-36.*s %-9.*s %-8.*s %-5s %7lld %9lld %7lld %6lld %6lld %7.1f%s%.*s\n",
			STR_ARG(i->instance), STR_ARG(i->service), STR_ARG(i->version),
			i->ready ? "yes" : "NO", (long long)i->clients, (long long)i->in_flight,
			(long long)i->database_waiting, (long long)i->unpublished,
			(long long)i->lag_seconds, (double)i->memory_bytes / (1 << 20),
			i->why.len > 0 ? "  " : "", STR_ARG(i->why));
	}
	return well ? COMMAND_FINE : COMMAND_FAILED;
}
