/* SPDX-License-Identifier: Apache-2.0
 * RabbitMQ's part of a service: the relay of its outbox and its consumer on the first thread, and
 * what each thread hears. Without RABBITMQ_URL nothing is connected: events wait in the outbox, and
 * nothing is heard. The program is ready all the same, and while RabbitMQ is away. */
#include "service/internal.h"

enum {
	RELAY_EVERY_US = 20000, /* how long an event waits at most to be looked at */
	SWEEP_EVERY_US = 600000000,
	LEAVE_US = 1000000
};

static bool has_outbox(void);
static void add_statements(struct pg_schema *schema, const struct pg_statement **to,
	const struct pg_statement *const *from, size_t count);
static struct broker broker(void);
static enum fault relay_events(struct task *t);
static void leave(struct loop *l);
static void run_leave(struct task *t, void *arg);
static void has_left(struct task *t, void *arg);

const struct service_job events_jobs[] = {
	{"relay", RELAY_EVERY_US, relay_events},
	{"events_sweep", SWEEP_EVERY_US, relay_sweep},
};

size_t events_job_count(void)
{
	return has_outbox() ? sizeof events_jobs / sizeof events_jobs[0] : 0;
}

const struct pg_schema *events_schema(void)
{
	const struct pg_schema *const own = process.service->schema;
	const struct pg_statement **statements;
	struct pg_schema *schema;

	if (!has_outbox())
		return own;
	schema = scope_alloc(&process.scope, sizeof *schema);
	statements = arena_alloc_array(process.scope.arena,
		own->statement_count + relay_statement_count + consumer_statement_count,
		sizeof(struct pg_statement *));
	*schema = *own;
	schema->statements = statements;
	schema->statement_count = 0;
	add_statements(schema, statements, own->statements, own->statement_count);
	add_statements(schema, statements, relay_statements, relay_statement_count);
	add_statements(schema, statements, consumer_statements, consumer_statement_count);
	return schema;
}

static void add_statements(struct pg_schema *schema, const struct pg_statement **to,
	const struct pg_statement *const *from, size_t count)
{
	memcpy(to + schema->statement_count, from, count * sizeof *from);
	schema->statement_count += count;
}

/* ---- the process ---- */

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

/* ---- a thread ---- */

void events_open_thread(struct service_thread *t)
{
	const struct service_events *const events = process.service->events;
	const struct broker at = broker();

	if (process.feed != NULL)
		feed_join(process.feed, t->loop);
	if (t->index > 0 || !has_outbox())
		return;
	if (at.url.len > 0)
		process.publisher = publisher_new(t->loop, &at);
	process.relay = relay_new(process.publisher, events->source);
	if (at.url.len > 0 && events->queue_count > 0)
		process.consumer = consumer_new(
			t->loop, &at, process.publisher, events->queues, events->queue_count);
}

/* The database is still there, the jobs have ended. */
void events_close_thread(struct service_thread *t)
{
	if (process.feed != NULL)
		feed_leave(process.feed, t->loop);
	if (t->index > 0 || process.relay == NULL)
		return;
	consumer_free(process.consumer);
	leave(t->loop);
	relay_free(process.relay);
	publisher_free(process.publisher);
}

static bool has_outbox(void)
{
	return process.service->events != NULL && process.service->events->source != NULL;
}

static struct broker broker(void)
{
	return (struct broker){
		.url = process.settings.rabbitmq_url,
		.url_file = config_file("RABBITMQ_URL"),
		.name = process.service->name,
	};
}

static enum fault relay_events(struct task *t)
{
	return relay_run(t, process.relay);
}

/* So that the other replicas need not wait for the end of our leases. */
static void leave(struct loop *l)
{
	bool running = true;

	if (task_start(l, loop_now_us(l) + LEAVE_US, run_leave, has_left, &running, NULL) != OK)
		return;
	while (running)
		loop_turn(l, 1);
}

static void run_leave(struct task *t, void *arg)
{
	(void)arg;
	if (relay_leave(t, process.relay) != OK)
		scope_forgive(&t->scope); /* they end by themselves */
}

static void has_left(struct task *t, void *arg)
{
	bool *const running = arg;

	(void)t;
	*running = false;
}
