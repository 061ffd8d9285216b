/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests: products and payments, each played by a thread of its own that keeps the contract of
 * api/internal.yaml, and fails as it is told. */
#include "charge.h"
#include "stock.h"
#include "upstream/testing.h"

struct refusal {
	const char *status;
	const char *body;
};
static const struct refusal away = {"503 Service Unavailable", "{\"code\":\"unavailable\"}"};

struct peer {
	struct raw_server server;
	struct upstream *upstream;
	void (*answer)(struct raw_connection *c, const char *request);
	unsigned calls;
	/* how the next calls go: */
	bool is_down; /* nothing is done or answered */
	unsigned lose; /* that many are done, and their answers lost */
	const struct refusal *refuse; /* the next one of which the answer comes is refused so */
	const char *sql; /* run before an answer, on a connection of its own */
	unsigned sql_after; /* so many other calls */
};

/* ---- what all peers do ---- */

static inline void run_sql(const char *sql)
{
	PGconn *connection = PQconnectdb(world.url);
	PGresult *result = PQexec(connection, sql);

	CHECK(PQresultStatus(result) == PGRES_COMMAND_OK);
	PQclear(result);
	PQfinish(connection);
}

/* In one piece, for a second one would be another wait. */
static inline void write_reply(struct raw_connection *c, const char *status, struct str body)
{
	struct arena *arena = arena_new();
	struct buf text = buf_new(arena);

	buf_format(&text,
		"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
		status, body.len);
	buf_add(&text, body);
	raw_write(c, buf_str(&text));
	arena_unref(arena);
}

static inline void serve_peer(struct raw_connection *c)
{
	struct peer *peer = CONTAINER_OF(c->server, struct peer, server);
	char request[RAW_REQUEST_MAX];

	while (raw_read(c)) {
		raw_last(c->server, request);
		peer->calls++;
		if (peer->is_down)
			return;
		if (peer->sql != NULL && peer->sql_after-- == 0) {
			run_sql(peer->sql);
			peer->sql = NULL;
		}
		if (peer->refuse != NULL && peer->lose == 0) {
			write_reply(c, peer->refuse->status, str_from(peer->refuse->body));
			peer->refuse = NULL;
			continue;
		}
		if (peer->lose > 0) {
			struct raw_connection nowhere = {.server = c->server, .fd = -1};
			peer->lose--;
			peer->answer(&nowhere, request);
			return;
		}
		peer->answer(c, request);
	}
}

static inline void start_peer(struct peer *peer, const char *name)
{
	raw_server_start(&peer->server, serve_peer, NULL);
	const struct str address = str_from(peer->server.address);
	peer->upstream = upstream_new(world.loop, &(struct upstream_config){.name = name,
							  .addresses = &address,
							  .address_count = 1,
							  .connections_max = 4,
							  .queue_max = 16,
							  .body_bytes_max = 1 << 20});
}

static inline void stop_peer(struct peer *peer)
{
	upstream_free(peer->upstream);
	raw_server_stop(&peer->server);
}

static inline void forget_peer(struct peer *peer)
{
	peer->calls = 0;
	peer->is_down = false;
	peer->lose = 0;
	peer->refuse = NULL;
	peer->sql = NULL;
	peer->sql_after = 0;
}

/* ---- products ---- */

enum { RESERVATIONS_MAX = 512 };

static struct reservation {
	char order_id[UUID_TEXT_LEN + 1];
	const char *state;
	int revision;
	int units;
} reservations[RESERVATIONS_MAX];
static size_t reservation_count;

static inline struct reservation *reservation_of(const char *order_id)
{
	for (size_t i = 0; i < reservation_count; i++) {
		if (strncmp(reservations[i].order_id, order_id, UUID_TEXT_LEN) == 0)
			return &reservations[i];
	}
	CHECK(reservation_count < RESERVATIONS_MAX);
	struct reservation *made = &reservations[reservation_count++];
	snprintf(made->order_id, sizeof made->order_id, "%.*s", UUID_TEXT_LEN, order_id);
	made->state = "none";
	made->revision = 0;
	made->units = 0;
	return made;
}

/* What the operation of the path does to the reservation; false: 409 with the code. */
static inline bool move(struct reservation *r, const char *operation, const char **code)
{
	static const struct {
		const char *operation, *from, *to, *code; /* `to` NULL: refused with the code */
	} moves[] = {
		{"reserve", "none", "held", NULL},
		{"reserve", "held", "held", NULL},
		{"reserve", "released", NULL, "released"},
		{"release", "none", "released", NULL},
		{"release", "held", "released", NULL},
		{"release", "released", "released", NULL},
		{"commit", "held", "committed", NULL},
		{"commit", "committed", "committed", NULL},
		{"commit", "released", NULL, "released"},
		{"return", "released", NULL, "conflict"},
		{"return", "committed", "returned", NULL},
		{"return", "returned", "returned", NULL},
	};

	for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
		if (strcmp(moves[i].operation, operation) == 0 &&
			strcmp(moves[i].from, r->state) == 0) {
			*code = moves[i].code;
			if (moves[i].to != NULL)
				r->state = moves[i].to;
			return moves[i].to != NULL;
		}
	}
	*code = "conflict";
	return false;
}

static inline void add_lines(const char *request, struct buf *body)
{
	static const char mark[] = "\"product_id\":\"";
	const char *at = request;

	for (int i = 0; (at = strstr(at, mark)) != NULL; i++) {
		at += sizeof mark - 1;
		const char *quantity = strstr(at, "\"quantity\":");
		CHECK(quantity != NULL);
		buf_format(body,
			"%s{\"product_id\":\"%.36s\",\"quantity\":%d,\"name\":\"Tray\","
			"\"price\":10.50,\"price_minor\":1050,\"currency\":\"USD\","
			"\"seller_id\":\"00000000-0000-7000-8000-000000000001\"}",
			i > 0 ? "," : "", at, (int)strtol(quantity + 11, NULL, 10));
	}
}

static inline int number_after(const char *request, const char *mark)
{
	const char *at = strstr(request, mark);

	CHECK(at != NULL);
	return (int)strtol(at + strlen(mark), NULL, 10);
}

/* The lines of a later revision take the place of those before; false: there was a later one. */
static inline bool revise(struct reservation *r, const char *request)
{
	static const char mark[] = "\"quantity\":";
	const int revision = number_after(request, "\"revision\":");

	if (revision < r->revision)
		return false;
	r->revision = revision;
	r->units = 0;
	for (const char *at = request; (at = strstr(at, mark)) != NULL; at += sizeof mark - 1)
		r->units += (int)strtol(at + sizeof mark - 1, NULL, 10);
	return true;
}

static inline void answer_as_products(struct raw_connection *c, const char *request)
{
	static const char root[] = "/internal/reservations/";
	const char *order_id = strstr(request, root) + sizeof root - 1;
	const char *operation = "reserve";
	const char *code = NULL;
	struct arena *arena = arena_new();
	struct buf body = buf_new(arena);
	char name[16];

	if (order_id[UUID_TEXT_LEN] == '/') {
		sscanf(order_id + UUID_TEXT_LEN + 1, "%15[a-z]", name);
		operation = name;
	}
	struct reservation *r = reservation_of(order_id);
	bool moved = move(r, operation, &code);
	if (moved && strcmp(operation, "reserve") == 0 && !revise(r, request)) {
		moved = false;
		code = "stale_revision";
	}
	buf_add(&body, STR("{\"revision\":1,\"state\":\"\",\"lines\":["));
	add_lines(request, &body);
	buf_add(&body, STR("]"));
	if (!moved)
		buf_format(&body, ",\"code\":\"%s\"", code);
	buf_char(&body, '}');
	write_reply(c, moved ? "200 OK" : "409 Conflict", buf_str(&body));
	arena_unref(arena);
}

static struct peer products = {.answer = answer_as_products};

/* ---- payments ---- */

enum { PAYMENTS_MAX = 512, KEY_LEN_MAX = 48 };

static struct payment_played {
	char key[KEY_LEN_MAX];
	const char *status; /* NULL: it was never heard of */
	const char *settles_as; /* of one in processing */
	unsigned authorised; /* how often it took effect */
	unsigned captured;
	char refunds[2][UUID_TEXT_LEN + 1];
	unsigned refund_count;
} payments_played[PAYMENTS_MAX];
static size_t payment_count;

static inline struct payment_played *payment_of(const char *key)
{
	const size_t len = strcspn(key, "/ ");

	for (size_t i = 0; i < payment_count; i++) {
		if (strncmp(payments_played[i].key, key, len) == 0 &&
			payments_played[i].key[len] == '\0')
			return &payments_played[i];
	}
	CHECK(payment_count < PAYMENTS_MAX && len < KEY_LEN_MAX);
	struct payment_played *made = &payments_played[payment_count++];
	*made = (struct payment_played){0};
	snprintf(made->key, sizeof made->key, "%.*s", (int)len, key);
	return made;
}

static inline const char *authorise_played(struct payment_played *p, const char *request)
{
	if (p->status != NULL)
		return p->authorised == 0 ? "409 released" : "200";
	p->authorised++;
	p->status = strstr(request, "\"tok_declined\"") != NULL ? "declined"
	            : strstr(request, "\"tok_async\"") != NULL  ? "processing"
	                                                        : "authorised";
	return "200";
}

static inline const char *capture_played(struct payment_played *p)
{
	if (p->status == NULL)
		return "404 not_found";
	if (strcmp(p->status, "authorised") == 0) {
		p->status = "captured";
		p->captured++;
	}
	return strcmp(p->status, "captured") == 0 ? "200" : "409 conflict";
}

static inline const char *void_played(struct payment_played *p)
{
	if (p->status != NULL && strcmp(p->status, "captured") == 0)
		return "409 conflict";
	if (p->status == NULL || strcmp(p->status, "declined") != 0)
		p->status = "voided";
	return "200";
}

static inline const char *refund_played(struct payment_played *p, const char *id)
{
	if (p->status == NULL || strcmp(p->status, "captured") != 0)
		return "409 conflict";
	for (unsigned i = 0; i < p->refund_count; i++) {
		if (strncmp(p->refunds[i], id, UUID_TEXT_LEN) == 0)
			return "200";
	}
	CHECK(p->refund_count < 2);
	snprintf(p->refunds[p->refund_count++], UUID_TEXT_LEN + 1, "%.*s", UUID_TEXT_LEN, id);
	return "200";
}

static inline void answer_as_payments(struct raw_connection *c, const char *request)
{
	static const char root[] = "/internal/payments/";
	const char *key = strstr(request, root) + sizeof root - 1;
	const char *operation = key + strcspn(key, "/ ");
	struct payment_played *p = payment_of(key);
	const char *outcome = strncmp(operation, "/capture", 8) == 0 ? capture_played(p)
	                      : strncmp(operation, "/void", 5) == 0  ? void_played(p)
	                      : strncmp(operation, "/refunds/", 9) == 0
	                              ? refund_played(p, operation + 9)
	                      : strncmp(request, "GET", 3) != 0 ? authorise_played(p, request)
	                      : p->status == NULL               ? "404 not_found"
	                                                        : "200";
	struct arena *arena = arena_new();
	struct buf body = buf_new(arena);

	if (strcmp(outcome, "200") != 0) {
		buf_format(&body, "{\"code\":\"%s\"}", outcome + 4);
	} else {
		buf_format(&body,
			"{\"status\":\"%s\",\"decline_code\":\"card_declined\",\"refunds\":[",
			p->status);
		for (unsigned i = 0; i < p->refund_count; i++)
			buf_format(&body, "%s{\"id\":\"%s\"}", i > 0 ? "," : "", p->refunds[i]);
		buf_add(&body, STR("]}"));
	}
	char status[16];
	snprintf(status, sizeof status, "%.3s X", outcome);
	write_reply(c, status, buf_str(&body));
	arena_unref(arena);
}

static struct peer payments = {.answer = answer_as_payments};

/* ---- both ---- */

static inline void start_peers(void)
{
	start_peer(&products, "products");
	start_peer(&payments, "payments");
	stock_use(products.upstream);
	charge_use(payments.upstream);
}

static inline void stop_peers(void)
{
	stop_peer(&products);
	stop_peer(&payments);
}

static inline void forget_peers(void)
{
	forget_peer(&products);
	forget_peer(&payments);
	reservation_count = 0;
	payment_count = 0;
}
