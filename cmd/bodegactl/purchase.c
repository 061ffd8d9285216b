/* SPDX-License-Identifier: Apache-2.0
 * A purchase through the gateway: register, find a product, order it twice with one key (it is one
 * order), pay by a test card, see it happen on the WebSocket, cancel, leave. It leaves behind a
 * cancelled order and nothing else. */
#include "purchase.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/uuid.h"
#include "fetch.h"
#include "scrape.h"
#include "watch.h"
#include "json/field.h"

enum { CALL_MS = 15000, EVENTS_MS = 30000, SHOWN_BYTES_MAX = 300, PASSWORD_BYTES = 16 };

struct purchase {
	struct checklist *list;
	struct scope *s;
	const struct purchase_config *config;
	struct str token;
	struct str product;
	struct str order;
	struct watch *watch;
};

/* ---- what is read of answers ---- */

struct session {
	struct str access_token;
};
static const struct field session_fields[] = {FIELD(struct session, access_token, TEXT, REQUIRED)};
static const struct field_table session_table = FIELD_TABLE(struct session, session_fields);

struct thing {
	struct str id;
	struct str status;
};
static const struct field thing_fields[] = {
	FIELD(struct thing, id, TEXT, REQUIRED),
	FIELD(struct thing, status, TEXT, OPTIONAL),
};
static const struct field_table thing_table = FIELD_TABLE(struct thing, thing_fields);

struct page {
	struct items data;
};
static const struct field page_fields[] = {
	FIELD(struct page, data, ARRAY, REQUIRED, .of = &thing_table)};
static const struct field_table page_table = FIELD_TABLE(struct page, page_fields);

struct event {
	struct str type;
	struct str subject;
};
static const struct field event_fields[] = {
	FIELD(struct event, type, TEXT, OPTIONAL),
	FIELD(struct event, subject, TEXT, OPTIONAL),
};
static const struct field_table event_table = FIELD_TABLE(struct event, event_fields);

struct message {
	struct str type;
	struct event event;
};
static const struct field message_fields[] = {
	FIELD(struct message, type, TEXT, REQUIRED),
	FIELD(struct message, event, OBJECT, OPTIONAL, .of = &event_table),
};
static const struct field_table message_table = FIELD_TABLE(struct message, message_fields);

/* ---- the steps ---- */

static enum fault sign_up(struct purchase *p, struct str *told);
static enum fault begin_watching(struct purchase *p, struct str *told);
static enum fault find_product(struct purchase *p, struct str *told);
static enum fault make_product(struct purchase *p, struct str *told);
static enum fault place_order(struct purchase *p, struct str *told);
static enum fault pay(struct purchase *p, struct str *told);
static enum fault see_events(struct purchase *p, struct str *told);
static enum fault take_back(struct purchase *p, struct str *told);
static enum fault leave(struct purchase *p, struct str *told);
static bool run_step(struct purchase *p, const char *name,
	enum fault (*step)(struct purchase *p, struct str *told));
static void look_at_metrics(struct purchase *p, struct str url);
static enum fault metrics_of(struct purchase *p, struct str url, struct str *told);
static enum fault await_events(
	struct purchase *p, const char *const *types, size_t count, struct str *told);
static enum fault call(
	struct purchase *p, const struct fetch *request, long wanted, struct str *body);

static const struct step {
	const char *name;
	enum fault (*run)(struct purchase *p, struct str *told);
} steps[] = {
	{"register", sign_up},
	{"watch", begin_watching},
	{"product", find_product},
	{"order", place_order},
	{"pay", pay},
	{"events", see_events},
};

void purchase_run(struct checklist *list, const struct purchase_config *config)
{
	struct purchase p = {.list = list, .s = list->s, .config = config};
	bool well = true;

	for (size_t i = 0; i < sizeof steps / sizeof *steps && well; i++)
		well = run_step(&p, steps[i].name, steps[i].run);
	if (p.order.at != NULL)
		(void)run_step(&p, "cancel", take_back);
	if (p.token.at != NULL)
		(void)run_step(&p, "leave", leave);
	for (size_t i = 0; i < config->metrics.count; i++)
		look_at_metrics(&p, config->metrics.at[i]);
}

static bool run_step(struct purchase *p, const char *name,
	enum fault (*step)(struct purchase *p, struct str *told))
{
	const int64_t start_us = clock_monotonic_us();
	struct str told = STR_NONE;
	const enum fault fault = step(p, &told);
	const long long ms = (clock_monotonic_us() - start_us) / 1000;

	return checklist_fault(p->list, name, p->config->gateway, fault,
		scope_format(p->s, "%.*s in %lld ms", STR_ARG(told), ms));
}

static enum fault sign_up(struct purchase *p, struct str *told)
{
	uint8_t bytes[PASSWORD_BYTES];
	struct session session = {0};
	char name[UUID_TEXT_LEN + 1];
	const struct uuid id = uuid_new();
	struct str body, password = STR_NONE;

	random_bytes(bytes, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++)
		password = scope_format(p->s, "%.*s%02x", STR_ARG(password), bytes[i]);
	const struct str json = scope_format(p->s,
		"{\"email\":\"check-%.*s@example.com\",\"password\":\"%.*s\",\"full_name\":"
		"\"bodegactl check\"}",
		STR_ARG(uuid_format(&id, name)), STR_ARG(password));
	TRY(call(
		p, &(struct fetch){.url = STR("/api/v1/auth/register"), .json = json}, 201, &body));
	TRY(json_read_lenient(p->s, body, &session_table, &session));
	p->token = session.access_token;
	*told = STR("an account");
	return OK;
}

static enum fault begin_watching(struct purchase *p, struct str *told)
{
	const struct str url = scope_format(p->s, "%.*s/api/v1/ws", STR_ARG(p->config->gateway));
	struct message message = {0};
	struct str text;

	TRY(watch_open(p->s, url, p->config->ca_file, p->token, CALL_MS, &p->watch));
	TRY(watch_next(p->watch, clock_monotonic_us() + CALL_MS * INT64_C(1000), &text));
	TRY(json_read_lenient(p->s, text, &message_table, &message));
	if (!str_eq(message.type, STR("ready")))
		return fail(p->s, FAULT_BAD_GATEWAY, "the WebSocket began with %.*s, not ready",
			STR_ARG(message.type));
	*told = STR("a WebSocket");
	return OK;
}

static enum fault find_product(struct purchase *p, struct str *told)
{
	const struct fetch request = {.url = STR("/api/v1/products?in_stock=true&limit=1")};
	struct page page = {0};
	struct str body;

	TRY(call(p, &request, 200, &body));
	TRY(json_read_lenient(p->s, body, &page_table, &page));
	if (page.data.count == 0)
		return make_product(p, told);
	p->product = ((const struct thing *)page.data.at)->id;
	*told = p->product;
	return OK;
}

/* In an empty shop, where everybody may offer something. */
static enum fault make_product(struct purchase *p, struct str *told)
{
	const struct fetch request = {.url = STR("/api/v1/products"),
		.json = STR("{\"name\":\"A thing to check with\",\"price\":1.00,"
			    "\"stock_quantity\":10}")};
	struct thing product = {0};
	struct str body;

	if (call(p, &request, 201, &body) != OK)
		return fail(p->s, FAULT_NOT_FOUND,
			"nothing is in stock, and this account may not offer anything: "
			"`bodegactl seed` makes samples");
	TRY(json_read_lenient(p->s, body, &thing_table, &product));
	p->product = product.id;
	*told = scope_format(p->s, "%.*s, made", STR_ARG(product.id));
	return OK;
}

/* The same request again is answered with the same order. */
static enum fault place_order(struct purchase *p, struct str *told)
{
	char key[UUID_TEXT_LEN + 1];
	const struct uuid id = uuid_new();
	const struct fetch request = {
		.url = STR("/api/v1/orders"),
		.json = scope_format(p->s, "{\"items\":[{\"product_id\":\"%.*s\",\"quantity\":1}]}",
			STR_ARG(p->product)),
		.key = uuid_format(&id, key),
	};
	struct thing order = {0}, again = {0};
	struct str body;

	TRY(call(p, &request, 201, &body));
	TRY(json_read_lenient(p->s, body, &thing_table, &order));
	p->order = order.id;
	TRY(call(p, &request, 201, &body));
	TRY(json_read_lenient(p->s, body, &thing_table, &again));
	if (!str_eq(order.id, again.id))
		return fail(p->s, FAULT_CONFLICT,
			"one Idempotency-Key made two orders: %.*s and %.*s", STR_ARG(order.id),
			STR_ARG(again.id));
	*told = order.id;
	return OK;
}

static enum fault pay(struct purchase *p, struct str *told)
{
	const struct fetch request = {
		.url = scope_format(p->s, "/api/v1/orders/%.*s/pay", STR_ARG(p->order)),
		.json = STR("{\"method\":\"card\",\"token\":\"tok_ok\"}"),
	};
	struct thing order = {0};
	struct str body;

	TRY(call(p, &request, 200, &body));
	TRY(json_read_lenient(p->s, body, &thing_table, &order));
	if (!str_eq(order.status, STR("paid")))
		return fail(
			p->s, FAULT_CONFLICT, "the order is %.*s, not paid", STR_ARG(order.status));
	*told = STR("paid by tok_ok");
	return OK;
}

static enum fault see_events(struct purchase *p, struct str *told)
{
	static const char *const types[] = {"bodega.order.created", "bodega.order.paid"};

	return await_events(p, types, sizeof types / sizeof *types, told);
}

/* Waits until the stream has told these types of the order, in this order; others may come
 * between. */
static enum fault await_events(
	struct purchase *p, const char *const *types, size_t count, struct str *told)
{
	const int64_t until_us = clock_monotonic_us() + EVENTS_MS * INT64_C(1000);

	for (size_t seen = 0; seen < count;) {
		struct message message = {0};
		struct str text;
		if (watch_next(p->watch, until_us, &text) != OK) {
			const struct str why = p->s->detail;
			return fail(p->s, FAULT_UNAVAILABLE, "no %s on the WebSocket: %.*s",
				types[seen], STR_ARG(why));
		}
		TRY(json_read_lenient(p->s, text, &message_table, &message));
		if (str_eq(message.event.subject, p->order) &&
			str_eq(message.event.type, str_from(types[seen])))
			seen++;
	}
	*told = STR("created and paid seen");
	return OK;
}

static enum fault take_back(struct purchase *p, struct str *told)
{
	const struct fetch request = {
		.url = scope_format(p->s, "/api/v1/orders/%.*s/cancel", STR_ARG(p->order)),
		.json = STR("{}"),
	};
	struct thing order = {0};
	struct str body;

	TRY(call(p, &request, 200, &body));
	TRY(json_read_lenient(p->s, body, &thing_table, &order));
	*told = order.status;
	return OK;
}

static enum fault leave(struct purchase *p, struct str *told)
{
	struct str body;

	*told = STR("account deleted");
	return call(
		p, &(struct fetch){.method = "DELETE", .url = STR("/api/v1/users/me")}, 204, &body);
}

/* ---- metrics ---- */

static void look_at_metrics(struct purchase *p, struct str url)
{
	struct str told = STR_NONE;
	const enum fault fault = metrics_of(p, url, &told);

	(void)checklist_fault(p->list, "metrics", url, fault, told);
}

static enum fault metrics_of(struct purchase *p, struct str url, struct str *told)
{
	const struct str at = scope_format(p->s, "%.*s/metrics", STR_ARG(url));
	const struct fetch request = {.url = at, .timeout_ms = CALL_MS};
	struct fetched answer;
	const struct str info = STR("bodega_build_info");

	TRY(fetch(p->s, &request, &answer));
	if (answer.status != 200 || scrape_label(answer.body, info, STR("service")).at == NULL)
		return fail(p->s, FAULT_BAD_GATEWAY, "%ld, and no metrics of ours", answer.status);
	*told = scope_format(p->s, "%.*s %.*s",
		STR_ARG(scrape_label(answer.body, info, STR("service"))),
		STR_ARG(scrape_label(answer.body, info, STR("version"))));
	return OK;
}

/* ---- calls ---- */

/* Any other status than `wanted` is a fault that says what was answered. */
static enum fault call(
	struct purchase *p, const struct fetch *request, long wanted, struct str *body)
{
	struct fetch whole = *request;
	struct fetched answer;

	whole.url =
		scope_format(p->s, "%.*s%.*s", STR_ARG(p->config->gateway), STR_ARG(request->url));
	whole.ca_file = p->config->ca_file;
	whole.token = p->token;
	whole.timeout_ms = CALL_MS;
	TRY(fetch(p->s, &whole, &answer));
	*body = answer.body;
	if (answer.status == wanted)
		return OK;
	return fail(p->s, FAULT_BAD_GATEWAY, "%.*s: %ld %.*s", STR_ARG(request->url), answer.status,
		(int)(answer.body.len < SHOWN_BYTES_MAX ? answer.body.len : SHOWN_BYTES_MAX),
		answer.body.at);
}
