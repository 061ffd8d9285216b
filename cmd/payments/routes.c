/* SPDX-License-Identifier: Apache-2.0
 * The service as a table: its operations, its own configuration, its background work. */
#include "handlers.h"

#include "store.h"
#include "webhook.h"

#define PAYMENT "/internal/payments/{key}"

/* All by services of ours alone: the provider knows no accounts. */
static const struct route routes[] = {
	{"PUT", PAYMENT, payment_put, SERVICE},
	{"GET", PAYMENT, payment_read, SERVICE},
	{"POST", PAYMENT "/capture", payment_do_capture, SERVICE},
	{"POST", PAYMENT "/void", payment_do_void, SERVICE},
	{"PUT", PAYMENT "/refunds/{refund_id}", refund_put, SERVICE},
	{"POST", PAYMENT "/refunds/{refund_id}", refund_put, SERVICE},
};

struct payments_settings payments_settings;

static const struct config_field config[] = {
	CONFIG(struct payments_settings, seed, INT, "SEED", "1",
		"Decides, with a payment's key, when tok_async is settled and how that is told.",
		.max = INT64_MAX),
	CONFIG(struct payments_settings, slow_delay_us, DURATION, "SLOW_DELAY", "2s",
		"How late tok_slow answers.", .max = INT64_C(60000000)),
	CONFIG(struct payments_settings, async_delay_us, DURATION, "ASYNC_DELAY", "2s",
		"About how long tok_async stays in processing.", .max = INT64_C(3600000000)),
	CONFIG(struct payments_settings, webhook_secrets, SECRET, "WEBHOOK_SECRETS",
		CONFIG_REQUIRED,
		"Signs webhooks: whsec_ and base64; of several with spaces between the first."),
};

/* orders, as whoever wants to hear of changes: WEBHOOK_URL. */
static const struct service_peer peers[] = {{.name = "webhook"}};

static const struct service_job jobs[] = {
	{"settle", 200000, payments_do_settle},
	{"webhooks", 200000, webhooks_deliver},
	{"webhooks_sweep", INT64_C(3600000000), webhooks_sweep},
};

static const struct service_secret secrets[] = {{"WEBHOOK_SECRETS", webhook_set_secrets}};

static void start_thread(struct loop *l)
{
	(void)l;
	webhook_use(service_peer("webhook"));
}

const struct service payments_service = {
	.name = "payments",
	.summary = "A simulated payment provider: authorises, captures, voids and refunds.",
	.port = "8084",
	.admin_port = "9084",
	.tls_port = "0",
	.routes = routes,
	.route_count = sizeof routes / sizeof *routes,
	.config = config,
	.config_count = sizeof config / sizeof *config,
	.config_struct = &payments_settings,
	.secrets = secrets,
	.secret_count = sizeof secrets / sizeof *secrets,
	.schema = &store_schema,
	.peers = peers,
	.peer_count = sizeof peers / sizeof *peers,
	.jobs = jobs,
	.job_count = sizeof jobs / sizeof *jobs,
	.start_thread = start_thread,
};
