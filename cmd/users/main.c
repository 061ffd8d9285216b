/* SPDX-License-Identifier: Apache-2.0
 * users: accounts, sessions, roles and the keys of access tokens. Its data are in users_db. */
#include "auth/base64.h"
#include "auth/crypto.h"
#include "auth/cursor.h"
#include "handlers.h"
#include "keys.h"
#include "metrics/metrics.h"
#include "orders.h"
#include "service/cpu.h"
#include "service/service.h"

enum {
	HASHES_WAITING_MAX = 256, /* about ten seconds of work for one CPU at cost 12 */
	SIGNATURES_WAITING_MAX = 1024,
	HASH_NICENESS = 19, /* whoever else wants the CPU goes first */
};

static struct settings {
	struct str keys_secret;
	struct str pepper;
	int64_t bcrypt_cost;
} settings;

static const struct config_field config[] = {
	CONFIG(struct settings, keys_secret, SECRET, "KEYS_SECRET", CONFIG_REQUIRED,
		"32 bytes in base64 that seal the private signing keys in the database; the ones "
		"before may follow."),
	CONFIG(struct settings, pepper, SECRET, "PASSWORD_PEPPER", CONFIG_REQUIRED,
		"At least 32 bytes in base64 that every password is mixed with; never changes."),
	CONFIG(struct settings, bcrypt_cost, INT, "BCRYPT_COST", "12",
		"Work of a password hash, as a power of two.", .min = 4, .max = 16),
};

static const struct service_events events = {.source = "/users"};

static const struct service_peer peers[] = {{.name = "orders", .internal = true}};

static const struct service_job jobs[] = {
	{.name = "keys", .every_us = 60000000, .run = keys_load},
	{.name = "sessions", .every_us = 600000000, .run = session_sweep},
};

static const struct service_secret secrets[] = {{"KEYS_SECRET", keys_take_secret}};

/* It never changes. */
static enum fault pepper_read(struct scope *s, struct str *pepper)
{
	if (base64_decode(s->arena, BASE64, str_trim(settings.pepper), pepper) &&
		pepper->len >= SECRET_BYTES_MIN)
		return OK;
	return fail_field(s, STR("PASSWORD_PEPPER"), "format",
		"must be base64 of at least %d bytes", SECRET_BYTES_MIN);
}

static int64_t hash_rounds(void *arg)
{
	(void)arg;
	return (int64_t)password_rounds();
}

static int64_t hashes_waiting(void *arg)
{
	(void)arg;
	return (int64_t)blocking_queued(passwords.threads);
}

static enum fault start(struct scope *s)
{
	const unsigned threads = cpu_workers();
	struct str pepper;

	TRY(pepper_read(s, &pepper));
	passwords = (struct password_config){
		.pepper = pepper,
		.cost = (unsigned)settings.bcrypt_cost,
		.threads = blocking_pool_new("hash", threads, HASHES_WAITING_MAX, HASH_NICENESS),
	};
	keys_use(blocking_pool_new("sign", threads, SIGNATURES_WAITING_MAX, 0),
		service_token_rules());
	metric_callback(
		"bodega_password_rounds_total", "Rounds of bcrypt done.", NULL, hash_rounds, NULL);
	metric_callback("bodega_password_hashes_waiting", "Hashes that wait for a thread.", NULL,
		hashes_waiting, NULL);
	return OK;
}

static void start_thread(struct loop *l)
{
	(void)l;
	orders_use(service_peer("orders"));
}

static void stop(void)
{
	blocking_pool_free(passwords.threads);
	keys_free();
}

int main(int argc, char **argv)
{
	const struct service service = {
		.name = "users",
		.summary = "Accounts, sessions, roles and the keys of access tokens.",
		.port = "8081",
		.admin_port = "9081",
		.tls_port = "0",
		.routes = routes,
		.route_count = route_count,
		.config = config,
		.config_count = sizeof config / sizeof config[0],
		.config_struct = &settings,
		.secrets = secrets,
		.secret_count = sizeof secrets / sizeof secrets[0],
		.schema = &store_schema,
		.events = &events,
		.fetch_keys = keys_document,
		.peers = peers,
		.peer_count = sizeof peers / sizeof peers[0],
		.jobs = jobs,
		.job_count = sizeof jobs / sizeof jobs[0],
		.start = start,
		.start_thread = start_thread,
		.stop = stop,
		.ready = keys_ready,
	};

	return service_main(argc, argv, &service);
}
