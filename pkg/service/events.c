/* SPDX-License-Identifier: Apache-2.0
 * RabbitMQ's part of a service. Without RABBITMQ_URL nothing is connected: events wait in the
 * outbox, and nothing is heard. The program is ready all the same, and while RabbitMQ is away. */
#include "service/internal.h"

static struct broker broker(void)
{
	return (struct broker){
		.url = process.settings.rabbitmq_url,
		.url_file = config_file("RABBITMQ_URL"),
		.name = process.service->name,
	};
}

void events_open(void)
{
	const struct service_events *const events = process.service->events;

	if (events == NULL || events->live_keys == NULL || process.settings.rabbitmq_url.len == 0)
		return;
	process.feed = feed_new(&(const struct feed_config){
		.broker = broker(),
		.keys = events->live_keys,
		.key_count = events->live_key_count,
		.receive = events->receive,
		.missed = events->missed,
	});
}

void events_close(void)
{
	feed_free(process.feed);
}

void events_open_thread(struct service_thread *t)
{
	if (process.feed != NULL)
		feed_join(process.feed, t->loop);
}

void events_close_thread(struct service_thread *t)
{
	if (process.feed != NULL)
		feed_leave(process.feed, t->loop);
}
