/* SPDX-License-Identifier: Apache-2.0
 * orders: checkout, the states of orders, their history. Its data are in orders_db; the goods are
 * held by products. */
#include "charge.h"
#include "handlers.h"
#include "saga.h"
#include "service/service.h"
#include "stock.h"
#include "webhook.h"

static struct settings {
	int64_t order_ttl_us;
	int64_t lease_us;
	int64_t payment_ttl_us;
	struct str webhook_secrets;
} settings;

static const struct config_field config[] = {
	CONFIG(struct settings, order_ttl_us, DURATION, "ORDER_TTL", "30m",
		"How long an order may stay unpaid before it expires.", .min = 1000000,
		.max = INT64_C(86400000000), .live = true),
	CONFIG(struct settings, lease_us, DURATION, "LEASE", "30s",
		"How long a change under way is left to the replica that began it.", .min = 1000000,
		.max = INT64_C(600000000)),
	CONFIG(struct settings, payment_ttl_us, DURATION, "PAYMENT_TTL", "15m",
		"How long a payment may stay undecided before it is voided.", .min = 1000000,
		.max = INT64_C(86400000000), .live = true),
	CONFIG(struct settings, webhook_secrets, SECRET, "WEBHOOK_SECRETS", CONFIG_REQUIRED,
		"Whose webhooks are taken: whsec_ and base64, several with spaces between."),
};

static const char *const of_users[] = {"user.deleted"};

static const struct consumer_queue queues[] = {
	{.name = "orders.users", .keys = of_users, .key_count = 1, .apply = user_deleted},
};

static const struct service_events events = {
	.source = "/orders",
	.queues = queues,
	.queue_count = sizeof queues / sizeof queues[0],
};

static const struct service_peer peers[] = {
	{.name = "products", .internal = true},
	{.name = "payments", .internal = true},
};

/* Whoever waits for a provider that hangs keeps the others waiting for nothing. */
enum { RECOVERIES_AT_ONCE = 6, EXPIRIES_AT_ONCE = 2 };

static const struct service_job jobs[] = {
	{.name = "recover",
		.every_us = 1000000,
		.run = saga_recover,
		.at_once = RECOVERIES_AT_ONCE},
	{.name = "expire", .every_us = 1000000, .run = saga_expire, .at_once = EXPIRIES_AT_ONCE},
	{.name = "attention", .every_us = 5000000, .run = saga_attention},
	{.name = "idempotency_keys_sweep", .every_us = INT64_C(3600000000), .run = keyed_sweep},
};

static const struct service_secret secrets[] = {{"WEBHOOK_SECRETS", webhook_set_secrets}};

static void reloaded(void)
{
	store_set_times(settings.order_ttl_us, settings.lease_us, settings.payment_ttl_us);
}

static void start_thread(struct loop *l)
{
	(void)l;
	stock_use(service_peer("products"));
	charge_use(service_peer("payments"));
}

int main(int argc, char **argv)
{
	const struct service service = {
		.name = "orders",
		.summary = "Checkout, the states of orders and their history.",
		.routes = routes,
		.route_count = route_count,
		.config = config,
		.config_count = sizeof config / sizeof config[0],
		.config_struct = &settings,
		.secrets = secrets,
		.secret_count = sizeof secrets / sizeof secrets[0],
		.reloaded = reloaded,
		.schema = &store_schema,
		.events = &events,
		.port = "8083",
		.admin_port = "9083",
		.tls_port = "0",
		.peers = peers,
		.peer_count = sizeof peers / sizeof peers[0],
		.jobs = jobs,
		.job_count = sizeof jobs / sizeof jobs[0],
		.start_thread = start_thread,
	};

	return service_main(argc, argv, &service);
}
