/* SPDX-License-Identifier: Apache-2.0
 * bodegactl check: can a shop with this configuration work? Says all that is wrong, not the first
 * of it. */
#include "auth/crypto.h"
#include "command.h"
#include "config/config.h"
#include "folders.h"
#include "forms.h"
#include "purchase.h"
#include "reach.h"
#include "service/cpu.h"

#include <stdlib.h>

static const char usage[] = "[SERVICE] [OPTION...]";

static const char help[] =
	"In the environment of a program, SERVICE, it looks at all that is configured there: the "
	"form of\n"
	"secrets and of the TLS certificate; the database, its schema and how many connections it "
	"takes;\n"
	"Redis, RabbitMQ, each address of the other programs, the keys that verify tokens. What "
	"is not\n"
	"set is not looked at.\n"
	"\n"
	"With --purchase it buys one thing through the gateway at URL, as a customer would: makes "
	"an\n"
	"account, orders something that is in stock (twice with one Idempotency-Key: one order), "
	"pays by\n"
	"the test card tok_ok, waits until its WebSocket has told so, cancels, and deletes the "
	"account.\n"
	"\n"
	"A line each; exit status 1: something is wrong.\n";

struct options {
	char *ca_file;
	char *connections;
	char **metrics;
	char *output;
	char *purchase;
};

/* ---- the environment ---- */

enum { SERVICES = 4, PEERS = 5, METRICS_MAX = 32 };

struct settings {
	struct str database_url;
	struct str database_urls[SERVICES];
	int64_t workers, read_connections, slow_connections, write_connections;
	struct str redis_url, rabbitmq_url;
	struct texts peers[PEERS];
	struct str tls_cert_file, tls_key_file;
	struct str internal_secrets, keys_secret, password_pepper, cursor_secret, webhook_secrets;
};

#define SCHEMES "postgresql postgres"
#define OPTIONAL(member, type, name, ...) \
	CONFIG(struct settings, member, type, name, CONFIG_OPTIONAL, "", __VA_ARGS__)
static const struct config_field settings_fields[] = {
	OPTIONAL(database_url, URL, "DATABASE_URL", .choices = SCHEMES),
	OPTIONAL(database_urls[0], URL, "USERS_DATABASE_URL", .choices = SCHEMES),
	OPTIONAL(database_urls[1], URL, "PRODUCTS_DATABASE_URL", .choices = SCHEMES),
	OPTIONAL(database_urls[2], URL, "ORDERS_DATABASE_URL", .choices = SCHEMES),
	OPTIONAL(database_urls[3], URL, "PAYMENTS_DATABASE_URL", .choices = SCHEMES),
	CONFIG(struct settings, workers, INT, "WORKERS", "0", "", .max = 64),
	CONFIG(struct settings, read_connections, INT, "READ_CONNECTIONS", "2", "", .max = 64),
	CONFIG(struct settings, slow_connections, INT, "SLOW_CONNECTIONS", "2", "", .max = 64),
	CONFIG(struct settings, write_connections, INT, "WRITE_CONNECTIONS", "4", "", .max = 64),
	OPTIONAL(redis_url, URL, "REDIS_URL", .choices = "redis unix"),
	OPTIONAL(rabbitmq_url, URL, "RABBITMQ_URL", .choices = "amqp"),
	OPTIONAL(peers[0], URLS, "USERS_URL", .choices = "http"),
	OPTIONAL(peers[1], URLS, "PRODUCTS_URL", .choices = "http"),
	OPTIONAL(peers[2], URLS, "ORDERS_URL", .choices = "http"),
	OPTIONAL(peers[3], URLS, "PAYMENTS_URL", .choices = "http"),
	OPTIONAL(peers[4], URLS, "WEBHOOK_URL", .choices = "http"),
	OPTIONAL(tls_cert_file, TEXT, "TLS_CERT_FILE"),
	OPTIONAL(tls_key_file, TEXT, "TLS_KEY_FILE"),
	OPTIONAL(internal_secrets, SECRET, "INTERNAL_SECRETS"),
	OPTIONAL(keys_secret, SECRET, "KEYS_SECRET"),
	OPTIONAL(password_pepper, SECRET, "PASSWORD_PEPPER"),
	OPTIONAL(cursor_secret, SECRET, "CURSOR_SECRET"),
	OPTIONAL(webhook_secrets, SECRET, "WEBHOOK_SECRETS"),
};
enum { FIELDS = sizeof settings_fields / sizeof *settings_fields };
static const char *const services[SERVICES] = {"users", "products", "orders", "payments"};
static const char *const peers[PEERS] = {"users", "products", "orders", "payments", "webhooks"};

static int run(struct scope *s, poptContext context, const struct options *options);
static int buy(struct checklist *list, const struct options *options);
static struct str without_slash(struct str url);
static int check_all(struct checklist *list, const char *service, int64_t connections);
static void check_forms(struct checklist *list, const struct settings *settings);
static void check_databases(struct checklist *list, const struct settings *settings,
	const char *service, int64_t connections);
static bool parse_connections(const char *text, int64_t *connections);
static bool is_program(const char *name);

int check_command(int argc, const char **argv)
{
	struct options options = {0};
	const struct poptOption table[] = {
		{"purchase", 'p', POPT_ARG_STRING, &options.purchase, 0,
			"buy something through the gateway at URL", "URL"},
		{"metrics", 'm', POPT_ARG_ARGV, &options.metrics, 0,
			"and look at this admin port's metrics; may be repeated", "URL"},
		{"connections", 'c', POPT_ARG_STRING, &options.connections, 0,
			"how many all programs together may open on the databases' server "
			"(default: what one instance may)",
			"COUNT"},
		{"ca-file", 0, POPT_ARG_STRING, &options.ca_file, 0,
			"authorities to trust in place of the system's", "FILE"},
		{"output", 'o', POPT_ARG_STRING, &options.output, 0, "table (default) or json",
			"FORMAT"},
		COMMAND_HELP_OPTION,
		POPT_TABLEEND,
	};
	poptContext context;
	struct scope s;
	int status;

	argv[0] = "bodegactl check"; /* popt says so in its help */
	context = poptGetContext(NULL, argc, argv, table, 0);
	scope_begin(&s);
	if (command_options(context, usage, help, &status))
		status = run(&s, context, &options);
	scope_end(&s);
	poptFreeContext(context);
	free(options.ca_file);
	free(options.connections);
	for (char **url = options.metrics; url != NULL && *url != NULL; url++)
		free(*url);
	free(options.metrics);
	free(options.output);
	free(options.purchase);
	return status;
}

static int run(struct scope *s, poptContext context, const struct options *options)
{
	struct checklist *const list = scope_alloc(s, sizeof *list);
	const char *const service = poptGetArg(context);
	int64_t connections = 0;
	enum output output;

	if (!output_parse(options->output, &output))
		return command_fail(COMMAND_USAGE, "--output must be table or json");
	if (!parse_connections(options->connections, &connections))
		return command_fail(COMMAND_USAGE, "--connections must be a number above 0");
	if (service != NULL && !is_program(service))
		return command_fail(COMMAND_USAGE,
			"there is no service %s, but gateway, users, products, orders, payments",
			service);
	if (poptPeekArg(context) != NULL)
		return command_fail(
			COMMAND_USAGE, "%s is too much; see --help", poptPeekArg(context));
	checklist_begin(list, s, output);
	return options->purchase != NULL ? buy(list, options)
	                                 : check_all(list, service, connections);
}

static int buy(struct checklist *list, const struct options *options)
{
	struct purchase_config config = {
		.gateway = without_slash(str_from(options->purchase)),
		.ca_file = str_from(options->ca_file),
	};
	struct str urls[METRICS_MAX];

	for (char **url = options->metrics; url != NULL && *url != NULL; url++) {
		if (config.metrics.count == METRICS_MAX)
			return command_fail(
				COMMAND_USAGE, "--metrics at most %d times", METRICS_MAX);
		urls[config.metrics.count++] = without_slash(str_from(*url));
	}
	config.metrics.at = urls;
	purchase_run(list, &config);
	return checklist_end(list);
}

static struct str without_slash(struct str url)
{
	if (str_ends(url, STR("/")))
		url.len--;
	return url;
}

/* ---- the configuration ---- */

static int check_all(struct checklist *list, const char *service, int64_t connections)
{
	struct settings settings = {0};

	if (config_load(list->s, settings_fields, FIELDS, &settings) != OK) {
		const struct field_error *error = list->s->errors;
		for (; error != NULL; error = error->next)
			checklist_add(list, "variable", error->field, false, error->message);
		scope_forgive(list->s);
	}
	check_forms(list, &settings);
	check_databases(list, &settings, service, connections);
	if (settings.redis_url.len > 0)
		reach_redis(list, settings.redis_url);
	if (settings.rabbitmq_url.len > 0)
		reach_rabbitmq(list, settings.rabbitmq_url);
	for (size_t i = 0; i < PEERS; i++)
		reach_peers(list, peers[i], settings.peers[i]);
	if (settings.peers[0].count > 0)
		reach_keys(list, settings.peers[0].at[0]);
	if (list->count == 0)
		return command_fail(COMMAND_CONFIG,
			"nothing is configured here: run it in the environment of a program");
	return checklist_end(list);
}

static void check_forms(struct checklist *list, const struct settings *settings)
{
	if (settings->keys_secret.len > 0)
		form_secret(list, "KEYS_SECRET", settings->keys_secret, SECRET_BYTES_MIN);
	if (settings->password_pepper.len > 0)
		form_bytes(list, "PASSWORD_PEPPER", settings->password_pepper);
	if (settings->cursor_secret.len > 0)
		form_secret(list, "CURSOR_SECRET", settings->cursor_secret, 0);
	if (settings->internal_secrets.len > 0)
		form_internal_secrets(list, settings->internal_secrets);
	if (settings->webhook_secrets.len > 0)
		form_webhook_secrets(list, settings->webhook_secrets);
	if (settings->tls_cert_file.len > 0 || settings->tls_key_file.len > 0)
		form_tls_pair(list, settings->tls_cert_file, settings->tls_key_file);
}

static void check_databases(struct checklist *list, const struct settings *settings,
	const char *service, int64_t connections)
{
	const int64_t workers = settings->workers > 0 ? settings->workers : cpu_workers();
	const int64_t of_one = workers * (settings->read_connections + settings->slow_connections +
						 settings->write_connections);
	const char *const root = folders_find(NULL);
	struct reach_database database = {.connections = connections > 0 ? connections : of_one};

	if (settings->database_url.len > 0) {
		database.url = settings->database_url;
		database.service = service;
		database.folder =
			scope_format(list->s, "%s/%s", root, service != NULL ? service : "");
		reach_database(list, &database);
	}
	for (size_t i = 0; i < SERVICES; i++) {
		if (settings->database_urls[i].len == 0)
			continue;
		database.url = settings->database_urls[i];
		database.service = services[i];
		database.folder = scope_format(list->s, "%s/%s", root, services[i]);
		reach_database(list, &database);
	}
}

static bool parse_connections(const char *text, int64_t *connections)
{
	return text == NULL || (str_to_int64(str_from(text), connections) && *connections > 0);
}

static bool is_program(const char *name)
{
	for (size_t i = 0; i < SERVICES; i++)
		if (strcmp(name, services[i]) == 0)
			return true;
	return strcmp(name, "gateway") == 0;
}
