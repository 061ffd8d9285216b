/* SPDX-License-Identifier: Apache-2.0
 * Calls to products. Every one carries our order's id as its key, so that a repeat is harmless and
 * may be sent as such. */
#include "stock.h"

#include "json/write.h"

static _Thread_local struct upstream *products;

/* ---- what products reads and writes ---- */

struct line {
	struct uuid product_id;
	int32_t quantity;
	struct str name;
	int64_t price;
	struct str currency;
	struct uuid seller_id;
};

struct reservation {
	int32_t revision;
	struct items lines; /* struct line */
};

static const struct field wanted_line_fields[] = {
	FIELD(struct line, product_id, UUID, OUTPUT),
	FIELD(struct line, quantity, INT32, OUTPUT),
};
static const struct field_table wanted_line_table = FIELD_TABLE(struct line, wanted_line_fields);

static const struct field wanted_fields[] = {
	FIELD(struct reservation, revision, INT32, OUTPUT),
	FIELD(struct reservation, lines, ARRAY, OUTPUT, .of = &wanted_line_table),
};
static const struct field_table wanted_table = FIELD_TABLE(struct reservation, wanted_fields);

static const struct field line_fields[] = {
	FIELD(struct line, product_id, UUID, REQUIRED),
	FIELD(struct line, quantity, INT32, REQUIRED),
	FIELD(struct line, name, TEXT, REQUIRED),
	FIELD(struct line, price, MONEY, REQUIRED),
	FIELD(struct line, currency, TEXT, REQUIRED),
	FIELD(struct line, seller_id, UUID, REQUIRED),
};
static const struct field_table line_table = FIELD_TABLE(struct line, line_fields);

static const struct field reservation_fields[] = {
	FIELD(struct reservation, revision, INT32, REQUIRED),
	FIELD(struct reservation, lines, ARRAY, REQUIRED, .of = &line_table),
};
static const struct field_table reservation_table =
	FIELD_TABLE(struct reservation, reservation_fields);

struct short_line {
	struct uuid product_id;
	int64_t requested;
	int64_t available;
};

struct bad_field {
	struct str field; /* "lines[2].product_id" */
};

struct refusal {
	struct items lines; /* struct short_line */
	struct items errors; /* struct bad_field */
};

static const struct field short_line_fields[] = {
	FIELD(struct short_line, product_id, UUID, REQUIRED),
	FIELD(struct short_line, requested, INT64, REQUIRED),
	FIELD(struct short_line, available, INT64, REQUIRED),
};
static const struct field_table short_line_table =
	FIELD_TABLE(struct short_line, short_line_fields);

static const struct field bad_field_fields[] = {
	FIELD(struct bad_field, field, TEXT, REQUIRED),
};
static const struct field_table bad_field_table = FIELD_TABLE(struct bad_field, bad_field_fields);

static const struct field refusal_fields[] = {
	FIELD(struct refusal, lines, ARRAY, OPTIONAL, .of = &short_line_table),
	FIELD(struct refusal, errors, ARRAY, OPTIONAL, .of = &bad_field_table),
};
static const struct field_table refusal_table = FIELD_TABLE(struct refusal, refusal_fields);

static enum fault call(struct task *t, struct str method, const struct uuid *order_id,
	const char *operation, struct str body, struct upstream_reply *reply);
static struct str reservation_wanted(struct scope *s, const struct order *order, int32_t revision);
static enum fault take_over_lines(
	struct scope *s, const struct upstream_reply *reply, struct order *order);
static enum fault fault_of(struct scope *s, const struct upstream_reply *reply);
static enum fault unknown_products(
	struct scope *s, const struct upstream_reply *reply, const struct order *order);

void stock_use(struct upstream *upstream)
{
	products = upstream;
}

enum fault stock_reserve(struct task *t, struct order *order, bool *refused)
{
	return stock_reserve_anew(t, order, REVISION_FIRST, refused);
}

enum fault stock_reserve_anew(struct task *t, struct order *order, int32_t revision, bool *refused)
{
	struct scope *s = &t->scope;
	struct upstream_reply reply;

	*refused = false;
	TRY(call(t, STR("PUT"), &order->id, "", reservation_wanted(s, order, revision), &reply));
	if (reply.status == 200)
		return take_over_lines(s, &reply, order);

	const enum fault fault = reply.status == fault_info(FAULT_INVALID)->status
	                                 ? unknown_products(s, &reply, order)
	                                 : fault_of(s, &reply);
	/* the first of two may have been granted */
	*refused = !reply.repeated && (fault == FAULT_INSUFFICIENT_STOCK || fault == FAULT_INVALID);
	return fault;
}

static enum fault settle(struct task *t, const struct uuid *order_id, const char *operation)
{
	struct upstream_reply reply;

	TRY(call(t, STR("POST"), order_id, operation, STR("{}"), &reply));
	return reply.status == 200 ? OK : fault_of(&t->scope, &reply);
}

enum fault stock_release(struct task *t, const struct uuid *order_id)
{
	return settle(t, order_id, "/release");
}

enum fault stock_commit(struct task *t, const struct uuid *order_id)
{
	return settle(t, order_id, "/commit");
}

enum fault stock_return(struct task *t, const struct uuid *order_id)
{
	return settle(t, order_id, "/return");
}

static enum fault call(struct task *t, struct str method, const struct uuid *order_id,
	const char *operation, struct str body, struct upstream_reply *reply)
{
	struct scope *s = &t->scope;
	char id[UUID_TEXT_LEN + 1];
	struct upstream_request request = {
		.method = method,
		.target = scope_format(
			s, "/internal/reservations/%s%s", uuid_format(order_id, id).at, operation),
		.body = body,
		.idempotent = true,
	};

	upstream_header(&request, STR("content-type"), STR("application/json"));
	return upstream_call(t, products, &request, reply);
}

static struct str reservation_wanted(struct scope *s, const struct order *order, int32_t revision)
{
	const struct order_item *item = order->items.at;
	struct line *lines = arena_alloc_array(s->arena, order->items.count, sizeof *lines);
	const struct reservation wanted = {
		.revision = revision, .lines = {lines, order->items.count}};
	struct buf body = buf_new(s->arena);

	for (size_t i = 0; i < order->items.count; i++, item++) {
		lines[i].product_id = item->product_id;
		lines[i].quantity = item->quantity;
	}
	json_write(&body, &wanted_table, &wanted);
	return buf_str(&body);
}

static const struct line *find_line(const struct items *lines, const struct uuid *product_id)
{
	const struct line *line = lines->at;

	for (size_t i = 0; i < lines->count; i++, line++) {
		if (uuid_eq(&line->product_id, product_id))
			return line;
	}
	return NULL;
}

static enum fault take_over_lines(
	struct scope *s, const struct upstream_reply *reply, struct order *order)
{
	struct order_item *item = order->items.at;
	struct reservation held = {0};

	TRY(json_read_lenient(s, reply->body, &reservation_table, &held));
	for (size_t i = 0; i < order->items.count; i++, item++) {
		const struct line *line = find_line(&held.lines, &item->product_id);
		if (line == NULL || line->quantity != item->quantity ||
			!str_eq(line->currency, order->currency))
			return fail(s, FAULT_BAD_GATEWAY,
				"products holds something else than the order asks for");
		item->name = line->name;
		item->price = line->price;
		item->seller_id = line->seller_id;
	}
	return OK;
}

/* ---- refusals ---- */

/* Other 4xx than 409 are between us and products: no business of the client's. */
static enum fault fault_of(struct scope *s, const struct upstream_reply *reply)
{
	struct refusal refusal = {0};

	if (reply->status < 500 && reply->status != fault_info(FAULT_CONFLICT)->status)
		return fail(s, FAULT_BAD_GATEWAY, "products answered with %d", reply->status);

	const enum fault fault = upstream_fault(s, reply);
	if (fault != FAULT_INSUFFICIENT_STOCK)
		return fault;

	TRY(json_read_lenient(s, reply->body, &refusal_table, &refusal));
	struct buf lines = buf_new(s->arena);
	const struct short_line *line = refusal.lines.at;
	buf_add(&lines, STR("\"lines\":["));
	for (size_t i = 0; i < refusal.lines.count; i++, line++) {
		if (i > 0)
			buf_char(&lines, ',');
		json_write(&lines, &short_line_table, line);
	}
	buf_char(&lines, ']');
	s->extra = buf_str(&lines);
	return fault;
}

/* "lines[2].product_id" → 2; false when it is no line of ours. */
static bool line_index(struct str field, size_t count, size_t *index)
{
	int64_t number;
	struct str text;

	if (!str_cut(&field, '[', &text) || !str_eq(text, STR("lines")) ||
		!str_cut(&field, ']', &text) || !str_to_int64(text, &number) || number < 0 ||
		(uint64_t)number >= count)
		return false;
	*index = (size_t)number;
	return true;
}

/* Names the client's own fields: our lines are its items, added up by product. */
static enum fault unknown_products(
	struct scope *s, const struct upstream_reply *reply, const struct order *order)
{
	const struct order_item *items = order->items.at;
	struct refusal refusal = {0};
	char id[UUID_TEXT_LEN + 1];
	size_t named = 0;

	TRY(json_read_lenient(s, reply->body, &refusal_table, &refusal));
	const struct bad_field *error = refusal.errors.at;
	for (size_t i = 0; i < refusal.errors.count; i++, error++) {
		size_t index;
		if (!line_index(error->field, order->items.count, &index))
			continue;
		named++;
		(void)fail_field(s, scope_format(s, "items[%zu].product_id", items[index].asked_at),
			"unknown_product", "there is no product %s for sale",
			uuid_format(&items[index].product_id, id).at);
	}
	if (named == 0)
		return fail(s, FAULT_BAD_GATEWAY, "products refused the reservation as malformed");
	return FAULT_INVALID;
}
