/* SPDX-License-Identifier: Apache-2.0
 * The configuration that all programs share. Everything is looked at before anything is reported,
 * so that one start names all mistakes. */
#include "service/settings.h"

#include "auth/cursor.h"
#include "base/check.h"
#include "base/crash.h"
#include "config/live.h"
#include "service/cpu.h"
#include "service/keyed.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdatomic.h>

enum { VARIABLES_MAX = 40 };

/* The tables of one service, put together. */
struct fields {
	struct config_field at[VARIABLES_MAX];
	size_t count;
};

static const struct config_field common_fields[] = {
	CONFIG(struct settings, listen_address, TEXT, "LISTEN_ADDRESS", "0.0.0.0",
		"The address to listen on."),
	CONFIG(struct settings, tls_cert_file, TEXT, "TLS_CERT_FILE", CONFIG_OPTIONAL,
		"The certificate chain of the TLS port, in PEM."),
	CONFIG(struct settings, tls_key_file, TEXT, "TLS_KEY_FILE", CONFIG_OPTIONAL,
		"The private key of the TLS port, in PEM."),
	CONFIG(struct settings, workers, INT, "WORKERS", "0",
		"Threads that serve; 0: as many as the container has CPUs, at most 8.",
		.max = WORKERS_MAX),
	CONFIG(struct settings, log_level, CHOICE, "LOG_LEVEL", "info", "What is logged, at first.",
		.choices = "debug info warn error", .live = true),
	CONFIG(struct settings, live_directory, TEXT, "LIVE_CONFIG_DIR", CONFIG_OPTIONAL,
		"A folder with a file for each variable that may change at run time."),
	CONFIG(struct settings, drain_delay_us, DURATION, "DRAIN_DELAY", "0s",
		"How long to go on serving after a signal to stop, not ready any more.",
		.max = INT64_C(600000000)),
	CONFIG(struct settings, drain_timeout_us, DURATION, "DRAIN_TIMEOUT", "20s",
		"How long requests that run may take to finish then.", .max = INT64_C(600000000)),
	CONFIG(struct settings, keep_alive_us, DURATION, "KEEP_ALIVE", "75s",
		"How long a connection may be idle.", .min = 1000000, .max = INT64_C(3600000000)),
	CONFIG(struct settings, connection_age_us, DURATION, "CONNECTION_AGE", "0s",
		"When a connection is told to go, a tenth sooner or later; 0s: never.",
		.max = INT64_C(86400000000)),
	CONFIG(struct settings, currency, TEXT, "CURRENCY", "USD",
		"The shop's currency (ISO 4217)."),
	CONFIG(struct settings, token_rules.issuer, TEXT, "TOKEN_ISSUER", "bodega",
		"The issuer (iss) of access tokens."),
	CONFIG(struct settings, token_rules.audience, TEXT, "TOKEN_AUDIENCE", "bodega",
		"The audience (aud) of access tokens."),
	CONFIG(struct settings, internal_secrets, SECRET, "INTERNAL_SECRETS", CONFIG_OPTIONAL,
		"Who may call whom inside: lines of caller, callee, secret, previous secret."),
};

static const struct config_field database_fields[] = {
	CONFIG(struct settings, database_url, URL, "DATABASE_URL", CONFIG_REQUIRED,
		"The PostgreSQL database.", .choices = "postgresql postgres"),
	CONFIG(struct settings, read_connections, INT, "READ_CONNECTIONS", "2",
		"Connections a thread for short reads.", .min = 1, .max = 64),
	CONFIG(struct settings, slow_connections, INT, "SLOW_CONNECTIONS", "2",
		"Connections a thread for lists and searches.", .min = 1, .max = 64),
	CONFIG(struct settings, write_connections, INT, "WRITE_CONNECTIONS", "4",
		"Connections a thread for writes.", .min = 1, .max = 64),
};

/* Of what people get from a database, and send to it twice. */
static const struct config_field people_fields[] = {
	CONFIG(struct settings, cursor_secret, SECRET, "CURSOR_SECRET", CONFIG_REQUIRED,
		"Signs the cursors of lists and fingerprints requests with an Idempotency-Key: 32 "
		"bytes or more in base64, the same on each replica; the one before may follow."),
};

static const struct config_field redis_fields[] = {
	CONFIG(struct settings, redis_url, URL, "REDIS_URL", CONFIG_OPTIONAL,
		"Redis; without it nothing is cached.", .choices = "redis unix"),
};

static const struct config_field events_fields[] = {
	CONFIG(struct settings, rabbitmq_url, URL, "RABBITMQ_URL", CONFIG_OPTIONAL,
		"RabbitMQ (amqp://user:password@host:port/vhost); without it events wait.",
		.choices = "amqp"),
};

static void gather(struct scope *s, const struct service *service, struct settings *settings,
	struct fields *fields);
static void add(struct fields *fields, const struct config_field *field, size_t count);
static void add_port(struct fields *fields, const char *name, size_t offset, const char *fallback,
	const char *help);
static void add_peer(struct scope *s, struct settings *settings, const struct service_peer *peer,
	struct fields *f);
static bool is_peer(const struct service *service, const char *name);
static void check_address(struct scope *s, const struct settings *settings);
static void check_database(struct scope *s, const struct settings *settings);
static void check_redis(struct scope *s, const struct settings *settings);
static void check_tls(struct scope *s, struct settings *settings);
static void check_currency(struct scope *s, const struct settings *settings);
static enum fault load_live(
	struct scope *s, const struct service *service, struct settings *settings);
static enum fault load_secrets(
	struct scope *s, const struct service *service, struct settings *settings);
static struct str text_of(const struct service *service, const char *variable);
static void check_rabbitmq(struct scope *s, const struct settings *settings);
static void check_peer(
	struct scope *s, const struct service *service, struct settings *settings, size_t index);
static struct str address_of(struct scope *s, struct str url);

enum fault settings_load(struct scope *s, const struct service *service, struct settings *settings)
{
	struct fields fields = {0};
	enum fault fault, own, armed, secrets, live;

	*settings = (struct settings){0};
	gather(s, service, settings, &fields);
	fault = config_load(s, fields.at, fields.count, settings);
	own = config_load(s, service->config, service->config_count, service->config_struct);
	armed = crash_points_arm(s);
	check_address(s, settings);
	check_tls(s, settings);
	check_currency(s, settings);
	check_database(s, settings);
	check_redis(s, settings);
	check_rabbitmq(s, settings);
	for (size_t i = 0; i < settings->peer_count; i++)
		check_peer(s, service, settings, i);
	secrets = load_secrets(s, service, settings);
	live = load_live(s, service, settings);
	if (settings->workers == 0)
		settings->workers = cpu_workers();
	return fault == OK && own == OK && armed == OK && secrets == OK && live == OK &&
	                       s->error_count == 0
	               ? OK
	               : FAULT_INVALID;
}

int64_t settings_connections(const struct settings *settings)
{
	return settings->workers * (settings->read_connections + settings->slow_connections +
					   settings->write_connections);
}

void settings_help(struct scope *s, const struct service *service, FILE *out)
{
	struct settings settings = {0};
	struct fields fields = {0};

	gather(s, service, &settings, &fields);
	config_help(fields.at, fields.count, out);
	config_help(service->config, service->config_count, out);
}

static void gather(struct scope *s, const struct service *service, struct settings *settings,
	struct fields *fields)
{
	static const struct service_peer users = {.name = "users"};

	add_port(
		fields, "PORT", offsetof(struct settings, port), service->port, "The public port.");
	add_port(fields, "ADMIN_PORT", offsetof(struct settings, admin_port), service->admin_port,
		"The port of probes and metrics; never to be reached from outside.");
	add_port(fields, "TLS_PORT", offsetof(struct settings, tls_port), service->tls_port,
		"The public port with TLS; 0: none.");
	add(fields, common_fields, sizeof common_fields / sizeof *common_fields);
	if (service->schema != NULL)
		add(fields, database_fields, sizeof database_fields / sizeof *database_fields);
	if (service->schema != NULL && service_knows_people(service))
		add(fields, people_fields, sizeof people_fields / sizeof *people_fields);
	if (service->redis)
		add(fields, redis_fields, sizeof redis_fields / sizeof *redis_fields);
	if (service->events != NULL)
		add(fields, events_fields, sizeof events_fields / sizeof *events_fields);
	for (size_t i = 0; i < service->peer_count; i++)
		add_peer(s, settings, &service->peers[i], fields);
	if (service_knows_people(service) && service->fetch_keys == NULL &&
		!is_peer(service, users.name))
		add_peer(s, settings, &users, fields);
}

bool service_knows_people(const struct service *service)
{
	for (size_t i = 0; i < service->route_count; i++)
		if (service->routes[i].who != SERVICE)
			return true;
	return service->fallback != NULL;
}

static void add(struct fields *fields, const struct config_field *field, size_t count)
{
	CHECK(fields->count + count <= VARIABLES_MAX);
	memcpy(&fields->at[fields->count], field, count * sizeof *field);
	fields->count += count;
}

static void add_port(struct fields *fields, const char *name, size_t offset, const char *fallback,
	const char *help)
{
	const struct config_field field = {.name = name,
		.type = CONFIG_PORT,
		.offset = offset,
		.fallback = fallback,
		.help = help};

	add(fields, &field, 1);
}

/* "products" → PRODUCTS_URL */
static void add_peer(struct scope *s, struct settings *settings, const struct service_peer *peer,
	struct fields *f)
{
	const struct str name = scope_format(s, "%s_URL", peer->name);
	const struct str help = scope_format(s,
		"Where %s is: http://address:port, several with commas between them.", peer->name);
	const struct config_field field = {.name = name.at,
		.type = CONFIG_URLS,
		.offset = offsetof(struct settings, peer_urls) +
	                  settings->peer_count * sizeof settings->peer_urls[0],
		.fallback = CONFIG_REQUIRED,
		.help = help.at,
		.choices = "http"};

	CHECK(settings->peer_count < SERVICE_PEERS_MAX);
	for (char *c = (char *)(uintptr_t)name.at; *c != '\0'; c++)
		*c = (char)toupper((unsigned char)*c);
	settings->peers[settings->peer_count++] = *peer;
	add(f, &field, 1);
}

static bool is_peer(const struct service *service, const char *name)
{
	for (size_t i = 0; i < service->peer_count; i++)
		if (strcmp(service->peers[i].name, name) == 0)
			return true;
	return false;
}

/* ---- checks: of what was read; what is missing was told already ---- */

static void check_address(struct scope *s, const struct settings *settings)
{
	struct in6_addr address; /* has room for either */

	if (settings->listen_address.at != NULL &&
		inet_pton(AF_INET, settings->listen_address.at, &address) != 1 &&
		inet_pton(AF_INET6, settings->listen_address.at, &address) != 1)
		fail_field(s, STR("LISTEN_ADDRESS"), "format",
			"must be a numeric address such as 0.0.0.0, 127.0.0.1 or ::");
}

static void check_database(struct scope *s, const struct settings *settings)
{
	if (settings->database_url.at != NULL && !pg_url_valid(settings->database_url))
		fail_field(s, STR("DATABASE_URL"), "format",
			"must be a URL of PostgreSQL: postgresql://user@host:5432/database");
}

static void check_redis(struct scope *s, const struct settings *settings)
{
	if (settings->redis_url.at != NULL && !redis_url_valid(settings->redis_url))
		fail_field(
			s, STR("REDIS_URL"), "format", "must be redis://host:port or unix:///path");
}

static void check_tls(struct scope *s, struct settings *settings)
{
	if (settings->tls_port == 0)
		return;
	if (settings->tls_cert_file.len == 0)
		fail_field(s, STR("TLS_CERT_FILE"), "required",
			"must be given, or TLS_PORT must be 0");
	if (settings->tls_key_file.len == 0)
		fail_field(
			s, STR("TLS_KEY_FILE"), "required", "must be given, or TLS_PORT must be 0");
}

static void check_currency(struct scope *s, const struct settings *settings)
{
	struct currency currency;

	if (settings->currency.at == NULL)
		return;
	if (currency_find(settings->currency, &currency))
		currency_set_shop(currency);
	else
		fail_field(s, STR("CURRENCY"), "value",
			"must be a currency of ISO 4217 such as USD, in upper case");
}

static void check_rabbitmq(struct scope *s, const struct settings *settings)
{
	if (settings->rabbitmq_url.len > 0 && !broker_url_valid(settings->rabbitmq_url))
		fail_field(s, STR("RABBITMQ_URL"), "format",
			"must be amqp://user:password@host:port/vhost");
}

static void check_peer(
	struct scope *s, const struct service *service, struct settings *settings, size_t index)
{
	const struct texts urls = settings->peer_urls[index];
	const struct service_peer *const peer = &settings->peers[index];
	struct str *const addresses = arena_alloc_array(s->arena, urls.count, sizeof *addresses);

	for (size_t i = 0; i < urls.count; i++) {
		addresses[i] = address_of(s, urls.at[i]);
		if (addresses[i].at == NULL || !upstream_address_valid(addresses[i]))
			fail_field(s, scope_format(s, "the URL of %s", peer->name), "format",
				"must be http://host:port with a name or a numeric address, "
				"without a path; number %zu is not",
				i + 1); /* not shown: it may hold a password */
	}
	if (urls.count > UPSTREAM_ADDRESSES_MAX)
		fail_field(s, scope_format(s, "the URL of %s", peer->name), "length",
			"must be %d addresses at most", UPSTREAM_ADDRESSES_MAX);
	settings->peer_addresses[index] = (struct texts){addresses, urls.count};
	if (peer->internal)
		settings->peer_macs[index] = (struct mac_pair){
			&settings->macs, str_from(service->name), str_from(peer->name)};
}

/* STR_NONE when the URL has anything behind the port. */
static struct str address_of(struct scope *s, struct str url)
{
	struct str rest = str_skip(url, strlen("http://"));

	if (str_ends(rest, STR("/")))
		rest.len--;
	if (rest.len == 0 || memchr(rest.at, '/', rest.len) != NULL ||
		memchr(rest.at, '@', rest.len) != NULL)
		return STR_NONE;
	if (rest.at[rest.len - 1] == ']' || memchr(rest.at, ':', rest.len) == NULL)
		return scope_format(s, "%.*s:80", STR_ARG(rest));
	return rest;
}

/* ---- what may change while the program runs ---- */

static enum fault load_live(
	struct scope *s, const struct service *service, struct settings *settings)
{
	if (settings->live_directory.len == 0)
		return OK;
	TRY(config_live_read(s, settings->live_directory.at, &settings->live));
	return settings_take_live(s, service, settings, settings->live);
}

enum fault settings_take_live(
	struct scope *s, const struct service *service, struct settings *settings, struct str whole)
{
	const struct config_table tables[] = {
		{common_fields, sizeof common_fields / sizeof *common_fields, settings},
		{service->config, service->config_count, service->config_struct},
	};

	return config_live_take(s, whole, tables, sizeof tables / sizeof *tables);
}

/* All of them, so that all mistakes are named; what was not given is one already. */
static enum fault load_secrets(
	struct scope *s, const struct service *service, struct settings *settings)
{
	enum fault fault = settings_take_internal(s, service, settings, settings->internal_secrets);

	if (settings->cursor_secret.at != NULL &&
		settings_take_cursor(s, settings->cursor_secret) != OK)
		fault = FAULT_INVALID;
	for (size_t i = 0; i < service->secret_count; i++) {
		const struct service_secret *const secret = &service->secrets[i];
		const struct str text = text_of(service, secret->variable);

		if (text.at != NULL && secret->take(s, text) != OK)
			fault = FAULT_INVALID;
	}
	return fault;
}

static struct str text_of(const struct service *service, const char *variable)
{
	for (size_t i = 0; i < service->config_count; i++) {
		const struct config_field *const field = &service->config[i];

		if (strcmp(field->name, variable) == 0 && field->type == CONFIG_SECRET)
			return *(struct str *)((char *)service->config_struct + field->offset);
	}
	CHECK(!"a secret among the service's own variables");
	return STR_NONE;
}

enum fault settings_take_internal(
	struct scope *s, const struct service *service, struct settings *settings, struct str text)
{
	struct mac_secrets *const secrets = scope_alloc(s, sizeof *secrets);
	const struct str name = str_from(service->name);
	enum fault fault = OK;

	if (mac_secrets_read(s, text, secrets) != OK) {
		const struct str why = s->detail;

		s->detail = STR_NONE;
		return fail_field(s, STR("INTERNAL_SECRETS"), "format", "%.*s", STR_ARG(why));
	}
	for (size_t i = 0; i < settings->peer_count; i++) {
		const struct str peer = str_from(settings->peers[i].name);

		if (settings->peers[i].internal && mac_secret_find(secrets, name, peer) == NULL)
			fault = fail_field(s, STR("INTERNAL_SECRETS"), "required",
				"must have a line that begins with \"%.*s %.*s\"", STR_ARG(name),
				STR_ARG(peer));
	}
	if (fault == OK)
		atomic_store(&settings->macs.secrets, secrets);
	return fault;
}

enum fault settings_take_cursor(struct scope *s, struct str text)
{
	struct secret *const secret = scope_alloc(s, sizeof *secret);

	TRY(secret_read(s, "CURSOR_SECRET", text, secret));
	cursor_set_secret(secret);
	keyed_set_secret(s, secret);
	return OK;
}
