/* SPDX-License-Identifier: Apache-2.0
 * RabbitMQ's part of a service: the relay of its outbox and its consumer on the first thread, and
 * what each thread hears. Without RABBITMQ_URL nothing is connected: events wait in the outbox, and
 * nothing is heard. The program is ready all the same, and while RabbitMQ is away. */
#include "service/internal.h"

#include "amqp/outbox.h"

enum {
	RELAY_EVERY_US = 20000, /* how long an event waits at most to be looked at */
	SWEEP_EVERY_US = 600000000,
	LEAVE_US = 1000000,
	REPLAY_EVENTS_MAX = 100,
	REPLAY_BYTES = 256 << 10 /* then the page ends */
};

/* GET /internal/events?person=&after=&limit= */
struct replay_query {
	struct uuid person;
	int64_t after;
	int32_t limit;
};

static const struct field replay_fields[] = {
	FIELD(struct replay_query, person, UUID, REQUIRED),
	FIELD(struct replay_query, after, INT64, OPTIONAL, .max = INT64_MAX),
	FIELD(struct replay_query, limit, INT32, OPTIONAL, .min = 1, .max = REPLAY_EVENTS_MAX),
};
static const struct field_table replay_table = FIELD_TABLE(struct replay_query, replay_fields);

static bool has_outbox(void);
static const struct pg_schema *make_schema(void);
static struct str page_write(struct scope *s, const struct outbox_page *page);
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

/* Before there are threads: what they share is made once. */
static const struct pg_schema *make_schema(void)
{
	static const struct pg_statement *const after = &outbox_after_statement;
	const struct pg_schema *const own = process.service->schema;
	const struct pg_statement **statements;
	struct pg_schema *schema;

	if (!has_outbox())
		return own;
	schema = scope_alloc(&process.scope, sizeof *schema);
	statements = arena_alloc_array(process.scope.arena,
		own->statement_count + relay_statement_count + consumer_statement_count + 1,
		sizeof(struct pg_statement *));
	*schema = *own;
	schema->statements = statements;
	schema->statement_count = 0;
	add_statements(schema, statements, own->statements, own->statement_count);
	add_statements(schema, statements, relay_statements, relay_statement_count);
	add_statements(schema, statements, consumer_statements, consumer_statement_count);
	add_statements(schema, statements, &after, 1);
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

	process.schema = make_schema();
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

/* ---- what a person was told ---- */

enum fault service_replay(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct replay_query query = {.after = OUTBOX_NOW, .limit = REPLAY_EVENTS_MAX};
	struct outbox_page page;

	if (!str_eq(request->caller.service, STR("gateway")))
		return fail(s, FAULT_FORBIDDEN, "only the gateway may ask for this");
	TRY(request_query(s, request, &replay_table, &query));
	TRY(outbox_after(t, &query.person, query.after, query.limit, &page));
	return reply_json(reply, 200, page_write(s, &page));
}

/* As many as fit: the rest is for the next page. */
static struct str page_write(struct scope *s, const struct outbox_page *page)
{
	struct buf json = buf_new(s->arena);
	size_t i = 0;

	buf_add(&json, STR("{\"events\":["));
	for (; i < page->count && json.len < REPLAY_BYTES; i++) {
		page->events[i].source = str_from(process.service->events->source);
		if (i > 0)
			buf_char(&json, ',');
		event_write(&json, &page->events[i]);
	}
	buf_format(&json, "],\"position\":\"%lld\",\"has_more\":%s,\"resync\":%s}",
		(long long)page->position, page->has_more || i < page->count ? "true" : "false",
		page->resync ? "true" : "false");
	return buf_str(&json);
}

bool service_hears(void)
{
	return process.feed != NULL && feed_is_open(process.feed);
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
