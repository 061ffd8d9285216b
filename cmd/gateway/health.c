/* SPDX-License-Identifier: Apache-2.0
 * How the services are, as a background check last saw them. It is told, and changes nothing: the
 * gateway is healthy when it can answer, be it with 503. */
#include "gateway.h"

#include <stdatomic.h>

enum {
	CHECK_EVERY_US = 2000000,
	CHECK_US = 1000000, /* a slower answer is none */
};

enum state { UNKNOWN, UP, DOWN };

static struct {
	const char *name;
	atomic_int state; /* written by the first loop, read by all */
} peers[] = {{.name = "users"}, {.name = "products"}, {.name = "orders"}};
enum { PEERS = sizeof peers / sizeof *peers };

static const char *const state_names[] = {"unknown", "ok", "unavailable", NULL};

static enum fault check(struct task *t, size_t peer);

static enum fault check_users(struct task *t)
{
	return check(t, 0);
}

static enum fault check_products(struct task *t)
{
	return check(t, 1);
}

static enum fault check_orders(struct task *t)
{
	return check(t, 2);
}

const struct service_job health_jobs[] = {
	{"check users", CHECK_EVERY_US, check_users},
	{"check products", CHECK_EVERY_US, check_products},
	{"check orders", CHECK_EVERY_US, check_orders},
};
const size_t health_job_count = sizeof health_jobs / sizeof *health_jobs;

static enum fault check(struct task *t, size_t peer)
{
	struct upstream_request request = {.method = STR("GET"), .target = STR("/health")};
	struct upstream_reply reply;

	task_deadline_within(t, CHECK_US);
	const enum fault fault =
		upstream_call(t, service_proxied(peers[peer].name), &request, &reply);
	atomic_store(&peers[peer].state, fault == OK && reply.status == 200 ? UP : DOWN);
	return OK; /* a service that is away is no failure of the check */
}

void health_write(struct buf *json)
{
	buf_add(json, STR(",\"services\":{"));
	for (size_t i = 0; i < PEERS; i++)
		buf_format(json, "%s\"%s\":\"%s\"", i > 0 ? "," : "", peers[i].name,
			state_names[atomic_load(&peers[i].state)]);
	buf_char(json, '}');
}

/* ---- GET /services ---- */

struct listed_service {
	struct str name;
	int status;
	struct items addresses;
};

static const struct field address_fields[] = {
	FIELD(struct upstream_address_state, address, TEXT, OUTPUT),
	FIELD(struct upstream_address_state, calls, INT32, OUTPUT),
	FIELD(struct upstream_address_state, idle, INT32, OUTPUT),
	FIELD(struct upstream_address_state, refused, BOOL, OUTPUT),
	FIELD(struct upstream_address_state, closing, BOOL, OUTPUT),
};
static const struct field_table address_table =
	FIELD_TABLE(struct upstream_address_state, address_fields);

static const struct field service_fields[] = {
	FIELD(struct listed_service, name, TEXT, OUTPUT),
	FIELD(struct listed_service, status, ENUM, OUTPUT, .names = state_names),
	FIELD(struct listed_service, addresses, ARRAY, OUTPUT, .of = &address_table),
};
static const struct field_table service_table = FIELD_TABLE(struct listed_service, service_fields);

/* GET /services: each service and its addresses as the answering thread knows them. */
enum fault list_services(struct task *t, const struct request *request, struct reply *reply)
{
	struct listed_service listed[PEERS];

	for (size_t i = 0; i < PEERS; i++) {
		struct upstream_address_state *states;
		const size_t count =
			upstream_states(service_proxied(peers[i].name), &t->scope, &states);

		listed[i] = (struct listed_service){.name = str_from(peers[i].name),
			.status = atomic_load(&peers[i].state),
			.addresses = {.at = states, .count = count}};
	}
	return reply_list(reply, request, &service_table, listed, PEERS, STR_NONE);
}
