/* SPDX-License-Identifier: Apache-2.0
 * Reservations: what orders asks of the stock (api/internal.yaml). The database decides in one call
 * each; here its answers become replies, and the cache learns which products have changed. */
#include "products.h"

#include "store.h"

#include "log/log.h"
#include "json/write.h"

static enum fault from_orders(struct scope *s, const struct caller *caller);
static enum fault reply_answer(struct scope *s, const struct reservation_answer *answer,
	const struct items *lines, struct reply *reply);
static enum fault short_of(struct scope *s, const struct items *shortages);
static enum fault unknown_products(
	struct scope *s, const struct items *shortages, const struct items *lines);
static void drop_touched(const struct reservation_answer *answer);
static enum fault step(struct task *t, const struct request *request, struct reply *reply,
	enum reservation_step which);

/* PUT /internal/reservations/{order_id} {revision, lines}, POST for revision 1: all lines or none.
 */
enum fault reservation_put(struct task *t, const struct request *request, struct reply *reply)
{
	struct scope *s = &t->scope;
	struct reservation_request wanted = {.revision = 1};
	struct reservation_answer answer;
	struct items lines;
	struct uuid order_id;

	TRY(from_orders(s, &request->caller));
	TRY(request_uuid(s, request, 0, &order_id));
	TRY(request_json(s, request, &reservation_request_table, &wanted));
	TRY(reservation_lines_merge(s, &wanted.lines, &lines));
	TRY(store_reserve(t, &order_id, wanted.revision, &lines,
		products_settings.reservation_ttl_us, request->caller.actor, &answer));
	return reply_answer(s, &answer, &wanted.lines, reply);
}

enum fault reservation_read(struct task *t, const struct request *request, struct reply *reply)
{
	struct reservation_answer answer;
	struct uuid order_id;

	TRY(from_orders(&t->scope, &request->caller));
	TRY(request_uuid(&t->scope, request, 0, &order_id));
	TRY(store_reservation_get(t, &order_id, &answer));
	answer.touched.count = 0;
	return reply_answer(&t->scope, &answer, NULL, reply);
}

/* POST …/commit */
enum fault reservation_do_commit(struct task *t, const struct request *request, struct reply *reply)
{
	return step(t, request, reply, STEP_COMMIT);
}

/* POST …/release */
enum fault reservation_do_release(
	struct task *t, const struct request *request, struct reply *reply)
{
	return step(t, request, reply, STEP_RELEASE);
}

/* POST …/return */
enum fault reservation_do_return(struct task *t, const struct request *request, struct reply *reply)
{
	return step(t, request, reply, STEP_RETURN);
}

static enum fault step(struct task *t, const struct request *request, struct reply *reply,
	enum reservation_step which)
{
	struct scope *s = &t->scope;
	struct reservation_answer answer;
	struct uuid order_id;

	TRY(from_orders(s, &request->caller));
	TRY(request_uuid(s, request, 0, &order_id));
	TRY(store_reservation_step(t, which, &order_id, request->caller.actor, &answer));
	return reply_answer(s, &answer, NULL, reply);
}

static enum fault from_orders(struct scope *s, const struct caller *caller)
{
	if (str_eq(caller->service, STR("orders")))
		return OK;
	return fail(s, FAULT_FORBIDDEN, "only orders may ask for this, not \"%.*s\"",
		STR_ARG(caller->service));
}

/* ---- answers ---- */

/* `lines`: as they were asked for, NULL when none were. */
static enum fault reply_answer(struct scope *s, const struct reservation_answer *answer,
	const struct items *lines, struct reply *reply)
{
	const struct reservation *reservation = &answer->reservation;

	switch (answer->outcome) {
	case RESERVATION_OK:
		drop_touched(answer);
		return reply_object(reply, 200, &reservation_table, reservation);
	case RESERVATION_SHORT:
		if (lines != NULL)
			TRY(unknown_products(s, &answer->shortages, lines));
		return short_of(s, &answer->shortages);
	case RESERVATION_RELEASED:
		return fail(s, FAULT_RELEASED, "the reservation has been released");
	case RESERVATION_STALE:
		return fail(s, FAULT_STALE_REVISION, "the reservation is at revision %d",
			reservation->revision);
	case RESERVATION_DIFFERS:
		return fail(
			s, FAULT_CONFLICT, "revision %d has other lines", reservation->revision);
	case RESERVATION_SETTLED:
		return fail(
			s, FAULT_CONFLICT, "the reservation is %.*s", STR_ARG(reservation->state));
	case RESERVATION_MISSING:
		break;
	}
	return fail(s, FAULT_NOT_FOUND, "nobody has reserved for this order");
}

/* Names each line as it was asked for whose product is not for sale. */
static enum fault unknown_products(
	struct scope *s, const struct items *shortages, const struct items *lines)
{
	const struct shortage *shortage = shortages->at;
	const struct reservation_line *line = lines->at;
	enum fault fault = OK;

	for (size_t i = 0; i < lines->count; i++)
		for (size_t j = 0; j < shortages->count; j++)
			if (shortage[j].available < 0 &&
				uuid_eq(&shortage[j].product_id, &line[i].product_id))
				fault = fail_field(s, scope_format(s, "lines[%zu].product_id", i),
					"unknown_product", "is no product that is for sale");
	return fault;
}

/* 409 insufficient_stock; the problem document has each short line in "lines". */
static enum fault short_of(struct scope *s, const struct items *shortages)
{
	const struct shortage *shortage = shortages->at;
	struct buf b = buf_new(s->arena);
	enum fault fault = fail(s, FAULT_INSUFFICIENT_STOCK,
		"there is not enough of %zu of the products", shortages->count);

	buf_add(&b, STR("\"lines\":["));
	for (size_t i = 0; i < shortages->count; i++) {
		if (i > 0)
			buf_char(&b, ',');
		json_write(&b, &shortage_table, &shortage[i]);
	}
	buf_char(&b, ']');
	s->extra = buf_str(&b);
	return fault;
}

static void drop_touched(const struct reservation_answer *answer)
{
	const struct touched *touched = answer->touched.at;

	for (size_t i = 0; i < answer->touched.count; i++)
		product_cache_drop(&touched[i].product_id, touched[i].cache_version);
}

/* ---- expiry ---- */

enum fault reservations_sweep(struct task *t)
{
	struct uuids due;
	size_t released = 0;

	TRY(store_reservations_due(t, &due));
	for (size_t i = 0; i < due.count; i++) {
		struct reservation_answer answer;

		TRY(store_reservation_expire(t, &due.at[i], &answer));
		if (answer.outcome != RESERVATION_OK)
			continue;
		drop_touched(&answer);
		released++;
	}
	if (released > 0)
		task_log(t, LEVEL_INFO, "reservations expired", LOG_INT("count", released));
	return OK;
}

enum fault tombstones_sweep(struct task *t)
{
	size_t count;

	do
		TRY(store_tombstones_forget(t, &count));
	while (count == TOMBSTONES_SWEPT);
	return OK;
}
