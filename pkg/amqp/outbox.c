/* SPDX-License-Identifier: Apache-2.0
 * What a person was told, read again. Positions are given in one transaction a partition at a time,
 * so whoever sees one sees all below it: a page has no gap, and `position` says up to where it was
 * looked. */
#include "amqp/outbox.h"

/* floor: the position before the first one that is kept. */
const struct pg_statement outbox_after_statement = {"outbox_after", PG_READ,
	"SELECT p.position, coalesce(kept.position - 1, p.position), " OUTBOX_EVENT "\n"
	"FROM outbox_partitions p\n"
	"LEFT JOIN LATERAL (\n"
	"	SELECT position FROM outbox e\n"
	"	WHERE e.partition = p.partition AND e.position IS NOT NULL\n"
	"	ORDER BY e.position LIMIT 1) kept ON true\n"
	"LEFT JOIN LATERAL (\n"
	"	SELECT * FROM outbox e\n"
	"	WHERE e.person = $1::uuid AND e.position > $2::bigint\n"
	"	ORDER BY e.position LIMIT $3::bigint) o ON true\n"
	"WHERE p.partition = outbox_partition($1)\n"
	"ORDER BY o.position"};

void outbox_take(struct pg_row *row, struct event *event)
{
	event->partition = pg_take_int32(row);
	event->epoch = pg_take_int64(row);
	event->position = pg_take_int64(row);
	event->id = pg_take_text(row);
	event->type = pg_take_text(row);
	event->subject = pg_take_uuid(row);
	event->sequence = pg_take_int64(row);
	event->person = pg_take_uuid(row);
	event->time_us = pg_take_time(row);
	event->traceparent = pg_take_text(row);
	event->data = pg_take_text(row);
}

enum fault outbox_after(struct task *t, const struct uuid *person, int64_t after, int32_t limit,
	struct outbox_page *page)
{
	const int64_t rows_max = after == OUTBOX_NOW ? 0 : (int64_t)limit + 1;
	struct pg_rows rows;
	int64_t floor = 0;

	TRY(pg_query(t, &outbox_after_statement,
		PG_VALUES(pg_uuid(person), pg_int64(after), pg_int64(rows_max)), &rows));
	*page = (struct outbox_page){
		.events = arena_alloc_array(t->scope.arena, rows.count, sizeof *page->events)};
	for (size_t i = 0; i < rows.count; i++) {
		struct pg_row row = pg_row(&rows, i);
		struct event event = {0};

		page->position = pg_take_int64(&row);
		floor = pg_take_int64(&row);
		outbox_take(&row, &event);
		page->has_more = i == (size_t)limit;
		if (event.position > 0 && !page->has_more)
			page->events[page->count++] = event;
	}
	page->resync = after != OUTBOX_NOW && (after < floor || after > page->position);
	if (page->resync) {
		page->count = 0;
		page->has_more = false;
	}
	return OK;
}
