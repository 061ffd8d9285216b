/* SPDX-License-Identifier: Apache-2.0
 * Spreads connections over a service's replicas. Who balances by connection (a cluster's Service)
 * leads each new one to a replica by chance and never looks back: long ones stay where they are
 * when replicas come, and few of them never lie evenly. So each replica tells the others by Redis
 * how many it has, many times within CONNECTION_AGE, and one that has more than its share sheds
 * some: told to go, they come back to any. Without Redis age alone makes them move. */
#include "service/internal.h"

enum {
	ROUNDS = 20, /* within an age */
	ROUND_MIN_US = 100000,
	ROUNDS_KEPT = 3, /* then a replica that says nothing has gone */
};

/* By Redis' clock, as those of replicas may differ. Returns the replicas and their connections. */
static const char script[] =
	"local time = redis.call('TIME')\n"
	"local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
	"redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. now)\n"
	"redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
	"local all, replicas, connections = redis.call('HGETALL', KEYS[1]), 0, 0\n"
	"for i = 1, #all, 2 do\n"
	"  local count, at = all[i + 1]:match('(%d+) (%d+)')\n"
	"  if now - at > tonumber(ARGV[3]) then\n"
	"    redis.call('HDEL', KEYS[1], all[i])\n"
	"  else\n"
	"    replicas, connections = replicas + 1, connections + count\n"
	"  end\n"
	"end\n"
	"return {replicas, connections}\n";

static enum fault spread(struct task *t);

static struct service_job job = {"connection_spread", 0, spread};

const struct service_job *spread_job(void)
{
	const int64_t round_us = process.settings.connection_age_us / ROUNDS;

	if (round_us == 0 || process.settings.redis_url.len == 0)
		return NULL;
	job.every_us = round_us > ROUND_MIN_US ? round_us : ROUND_MIN_US;
	return &job;
}

static enum fault spread(struct task *t)
{
	static struct uuid replica;
	struct scope *const s = &t->scope;
	const size_t own = server_connections(process.server);
	char id[UUID_TEXT_LEN + 1];
	struct redis_reply reply;

	if (uuid_is_nil(&replica))
		replica = uuid_new();
	const struct str words[] = {STR("EVAL"), str_from(script), STR("1"),
		scope_format(s, "bodega:1:connections:%s", process.service->name),
		uuid_format(&replica, id), scope_format(s, "%zu", own),
		scope_format(s, "%lld", (long long)(ROUNDS_KEPT * job.every_us / 1000))};
	TRY(redis_command(t, words, sizeof words / sizeof *words, &reply));
	if (reply.type != REDIS_ARRAY || reply.count != 2 || reply.items[0].integer < 1)
		return fail(s, FAULT_INTERNAL, "Redis did not count the replicas");
	server_shed(process.server,
		spread_excess(own, (size_t)reply.items[0].integer, (size_t)reply.items[1].integer));
	return OK;
}

size_t spread_excess(size_t own, size_t replicas, size_t connections)
{
	const size_t share = (connections + replicas - 1) / replicas;
	const size_t more = connections * 11 / (replicas * 10);
	const size_t tolerated = share > more ? share : more;
	const size_t tenth = (own + 9) / 10;

	if (own <= tolerated)
		return 0;
	return own - tolerated < tenth ? own - tolerated : tenth;
}
