/* SPDX-License-Identifier: Apache-2.0
 * A run is: keep the lease, look, number, publish, mark. Nothing here needs to be undone: what a
 * run leaves behind the next one finds, here or in another replica. That the lease is ours is
 * checked by the database in the statement that writes, never by what we remember. */
#include "amqp/relay.h"

#include "amqp/outbox.h"
#include "base/check.h"
#include "base/clock.h"
#include "metrics/metrics.h"

#include <stdlib.h>

enum {
	RENEW_US = RELAY_LEASE_S * 1000000 / 3,
	SWEEP_ROWS = 1000,
	SWEEPS_MAX = 100, /* a run */
};

struct relay {
	struct publisher *publisher;
	struct str source;
	char owner[UUID_TEXT_LEN + 1];
	int64_t renew_us; /* loop_now_us's clock */
	size_t partitions; /* that are ours */
	struct gauge *owned;
	struct gauge *unpublished;
	struct gauge *lag;
	struct gauge *parked;
	struct counter *published;
	struct histogram *delay;
};

/* What was read: messages in the order of publishing, and the event that each is of. */
struct batch {
	struct message *messages;
	struct event *events;
	size_t count;
};

static enum fault keep_lease(struct task *t, struct relay *r);
static enum fault measure(struct task *t, struct relay *r);
static enum fault run_round(struct task *t, struct relay *r, bool *moved);
static enum fault publish(struct task *t, struct relay *r, bool *moved);
static enum fault read_batch(struct task *t, struct relay *r, struct batch *batch);
static enum fault mark(
	struct task *t, struct relay *r, const struct batch *batch, size_t confirmed);

static const struct pg_statement lease = {"outbox_lease", PG_WRITE,
	"SELECT count(*) FROM outbox_lease($1::text, make_interval(secs => $2::integer))"};

static const struct pg_statement leave = {
	"outbox_leave", PG_WRITE, "SELECT outbox_leave($1::text)"};

/* Whether events of ours have no position yet; whether some with one are not published. */
static const struct pg_statement look = {"outbox_look", PG_READ,
	"SELECT EXISTS (\n"
	"		SELECT FROM outbox_partitions p WHERE p.owner = $1::text AND EXISTS (\n"
	"			SELECT FROM outbox o\n"
	"			WHERE o.partition = p.partition AND o.position IS NULL)),\n"
	"	EXISTS (SELECT FROM outbox_partitions WHERE owner = $1::text AND published < "
	"position)"};

static const struct pg_statement number = {
	"outbox_number", PG_WRITE, "SELECT outbox_number($1::text, $2::integer)"};

static const struct pg_statement read_events = {"outbox_read", PG_SLOW,
	"SELECT " OUTBOX_EVENT "\n"
	"FROM outbox_partitions p\n"
	"CROSS JOIN LATERAL (\n"
	"	SELECT * FROM outbox e\n"
	"	WHERE e.partition = p.partition AND e.position > p.published\n"
	"	ORDER BY e.position LIMIT $2::integer) o\n"
	"WHERE p.owner = $1::text AND p.lease_until > clock_timestamp()\n"
	"ORDER BY p.partition, o.position"};

/* The mark need not survive a crash of the server: then what it covers is published once more. */
static const struct pg_statement mark_published = {"outbox_mark", PG_WRITE,
	"UPDATE outbox_partitions p SET published = v.position\n"
	"FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS v (partition, epoch, position)\n"
	"WHERE p.partition = v.partition AND p.epoch = v.epoch AND p.published < v.position\n"
	"	AND set_config('synchronous_commit', 'off', true) IS NOT NULL"};

/* How many of ours are not published, and for how many seconds the oldest has not been. */
static const struct pg_statement backlog = {"outbox_backlog", PG_SLOW,
	"SELECT coalesce(sum(p.position - p.published + waiting.count), 0)::bigint,\n"
	"	coalesce(extract(epoch FROM now() - least(min(oldest.at), min(waiting.at))), "
	"0)::bigint\n"
	"FROM outbox_partitions p\n"
	"LEFT JOIN outbox oldest ON oldest.partition = p.partition\n"
	"	AND oldest.position = p.published + 1\n"
	"CROSS JOIN LATERAL (\n"
	"	SELECT count(*) AS count, min(at) AS at FROM (\n"
	"		SELECT at FROM outbox\n"
	"		WHERE partition = p.partition AND position IS NULL\n"
	"		ORDER BY id LIMIT 10000) w) waiting\n"
	"WHERE p.owner = $1::text"};

/* What waits in the inbox for an event that has not come. */
static const struct pg_statement parked = {
	"inbox_parked", PG_SLOW, "SELECT count(*) FROM inbox WHERE parked IS NOT NULL"};

static const struct pg_statement sweep_outbox = {"outbox_sweep", PG_WRITE,
	"DELETE FROM outbox WHERE id IN (\n"
	"	SELECT o.id FROM (SELECT * FROM outbox ORDER BY id LIMIT $1::integer) o\n"
	"	JOIN outbox_partitions p ON p.partition = o.partition\n"
	"	WHERE o.at < now() - interval '7 days' AND o.position <= p.published)"};

static const struct pg_statement sweep_inbox = {"inbox_sweep", PG_WRITE,
	"DELETE FROM inbox WHERE ctid = ANY (ARRAY(\n"
	"	SELECT ctid FROM inbox\n"
	"	WHERE parked IS NULL AND at < now() - interval '30 days' LIMIT $1::integer))"};

const struct pg_statement *const relay_statements[] = {&lease, &leave, &look, &number, &read_events,
	&mark_published, &backlog, &parked, &sweep_outbox, &sweep_inbox};
const size_t relay_statement_count = sizeof relay_statements / sizeof relay_statements[0];

struct relay *relay_new(struct publisher *publisher, const char *source)
{
	struct relay *const r = calloc(1, sizeof *r);
	const struct uuid id = uuid_new();

	CHECK(r != NULL);
	r->publisher = publisher;
	r->source = str_from(source);
	uuid_format(&id, r->owner);
	r->owned = gauge_get("bodega_outbox_partitions",
		"Partitions of the outbox that this replica publishes.", NULL);
	r->unpublished = gauge_get("bodega_outbox_unpublished",
		"Events of these partitions that RabbitMQ has not confirmed.", NULL);
	r->lag = gauge_get(
		"bodega_outbox_lag_seconds", "The age of the oldest of these events.", NULL);
	r->parked =
		gauge_get("bodega_inbox_parked", "Events that wait for the one before them.", NULL);
	r->published = counter_get(
		"bodega_outbox_published_total", "Events that RabbitMQ has confirmed.", NULL);
	r->delay = histogram_get("bodega_outbox_publish_delay_seconds",
		"From the transaction that wrote an event to its confirm.", &histogram_seconds,
		NULL);
	return r;
}

void relay_free(struct relay *r)
{
	free(r);
}

enum fault relay_run(struct task *t, struct relay *r)
{
	bool moved = true;

	for (int round = 0; moved && round < RELAY_ROUNDS_MAX; round++) {
		TRY(keep_lease(t, r));
		TRY(run_round(t, r, &moved));
	}
	return OK;
}

enum fault relay_leave(struct task *t, struct relay *r)
{
	r->renew_us = 0;
	return pg_query(t, &leave, PG_VALUES(pg_text(str_from(r->owner))), NULL);
}

static enum fault keep_lease(struct task *t, struct relay *r)
{
	const int64_t now_us = loop_now_us(t->loop);
	struct pg_row row;

	if (now_us < r->renew_us)
		return OK;
	TRY(pg_query_row(
		t, &lease, PG_VALUES(pg_text(str_from(r->owner)), pg_int32(RELAY_LEASE_S)), &row));
	r->partitions = (size_t)pg_take_int64(&row);
	r->renew_us = now_us + RENEW_US;
	gauge_set(r->owned, (int64_t)r->partitions);
	return measure(t, r);
}

static enum fault measure(struct task *t, struct relay *r)
{
	struct pg_row row;

	TRY(pg_query_row(t, &backlog, PG_VALUES(pg_text(str_from(r->owner))), &row));
	gauge_set(r->unpublished, pg_take_int64(&row));
	gauge_set(r->lag, pg_take_int64(&row));
	TRY(pg_query_row(t, &parked, PG_NO_VALUES, &row));
	gauge_set(r->parked, pg_take_int64(&row));
	return OK;
}

/* *moved: something was numbered or published, so there may be more. */
static enum fault run_round(struct task *t, struct relay *r, bool *moved)
{
	struct pg_row row;
	bool unnumbered, unpublished;

	*moved = false;
	if (r->partitions == 0)
		return OK;
	TRY(pg_query_row(t, &look, PG_VALUES(pg_text(str_from(r->owner))), &row));
	unnumbered = pg_take_bool(&row);
	unpublished = pg_take_bool(&row);
	if (unnumbered) {
		TRY(pg_query_row(t, &number,
			PG_VALUES(pg_text(str_from(r->owner)), pg_int32(RELAY_BATCH_MAX)), &row));
		*moved = pg_take_int64(&row) > 0;
	}
	if ((unpublished || *moved) && r->publisher != NULL && publisher_is_open(r->publisher))
		TRY(publish(t, r, moved));
	return OK;
}

static enum fault publish(struct task *t, struct relay *r, bool *moved)
{
	struct batch batch;
	size_t confirmed = 0;
	enum fault fault;

	TRY(read_batch(t, r, &batch));
	if (batch.count == 0)
		return OK;
	fault = publisher_send(t, r->publisher, batch.messages, batch.count, &confirmed);
	if (confirmed > 0) {
		TRY(mark(t, r, &batch, confirmed));
		*moved = true;
	}
	return fault;
}

static enum fault read_batch(struct task *t, struct relay *r, struct batch *batch)
{
	struct scope *s = &t->scope;
	struct pg_rows rows;

	TRY(pg_query(t, &read_events,
		PG_VALUES(pg_text(str_from(r->owner)), pg_int32(RELAY_BATCH_MAX)), &rows));
	batch->count = rows.count;
	batch->events = arena_alloc_array(s->arena, rows.count, sizeof *batch->events);
	batch->messages = arena_alloc_array(s->arena, rows.count, sizeof *batch->messages);
	for (size_t i = 0; i < rows.count; i++) {
		struct event *const event = &batch->events[i];
		struct pg_row row = pg_row(&rows, i);
		struct buf b = buf_new(s->arena);

		event->source = r->source;
		outbox_take(&row, event);
		event_write(&b, event);
		batch->messages[i] = (struct message){
			.exchange = STR(BROKER_EXCHANGE),
			.key = event_routing_key(event->type),
			.body = buf_str(&b),
			.content_type = STR(EVENT_CONTENT_TYPE),
			.id = event->id,
			.headers = {{"traceparent", event->traceparent}},
		};
	}
	return OK;
}

/* The first `confirmed` messages are with the broker: the last one of each partition counts. */
static enum fault mark(struct task *t, struct relay *r, const struct batch *batch, size_t confirmed)
{
	struct scope *s = &t->scope;
	int32_t partitions[EVENT_PARTITIONS];
	int64_t epochs[EVENT_PARTITIONS], positions[EVENT_PARTITIONS];
	const int64_t now_us = clock_wall_us();
	struct pg_rows rows;
	size_t count = 0;

	for (size_t i = 0; i < confirmed; i++) {
		const struct event *const event = &batch->events[i];

		if (count == 0 || partitions[count - 1] != event->partition)
			count++;
		partitions[count - 1] = event->partition;
		epochs[count - 1] = event->epoch;
		positions[count - 1] = event->position;
		histogram_observe(r->delay, now_us - event->time_us);
	}
	counter_add(r->published, confirmed);
	TRY(pg_query(t, &mark_published,
		PG_VALUES(pg_int32s(s, partitions, count), pg_int64s(s, epochs, count),
			pg_int64s(s, positions, count)),
		&rows));
	if (rows.affected < count)
		r->renew_us = 0; /* another has taken over: see what is still ours */
	return OK;
}

enum fault relay_sweep(struct task *t)
{
	struct pg_rows rows = {.affected = SWEEP_ROWS};

	for (int i = 0; i < SWEEPS_MAX && rows.affected == SWEEP_ROWS; i++)
		TRY(pg_query(t, &sweep_outbox, PG_VALUES(pg_int32(SWEEP_ROWS)), &rows));
	rows.affected = SWEEP_ROWS;
	for (int i = 0; i < SWEEPS_MAX && rows.affected == SWEEP_ROWS; i++)
		TRY(pg_query(t, &sweep_inbox, PG_VALUES(pg_int32(SWEEP_ROWS)), &rows));
	return OK;
}
