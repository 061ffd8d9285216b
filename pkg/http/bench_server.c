/* SPDX-License-Identifier: Apache-2.0
 * The smallest service there can be, for measuring what http itself costs and for trying it by
 * hand: bench_server PORT [WORKERS [LOG_LEVEL]]. GET /hello answers at once, /items/{id} with a
 * JSON object, /slow after 100 ms. Access lines go to standard output. */
#include "base/check.h"
#include "http/server.h"
#include "log/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORKERS_MAX = 8 };

static enum fault hello(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t, (void)request;
	reply->status = 200;
	reply->content_type = STR("text/plain");
	reply->body = STR("Hello, World!\n");
	return OK;
}

static enum fault item(struct task *t, const struct request *request, struct reply *reply)
{
	struct uuid id;

	TRY(request_uuid(&t->scope, request, 0, &id));
	reply_version(reply, 3);
	return reply_json(reply, 200,
		scope_format(&t->scope, "{\"id\":\"%.*s\",\"name\":\"Lamp\",\"price\":29.99}",
			STR_ARG(request->params[0])));
}

static enum fault slow(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	TRY(task_sleep(t, 100000));
	return reply_empty(reply);
}

static const struct route routes[] = {
	{"GET", "/hello", hello, ANYONE, 0, 0, NULL},
	{"GET", "/items/{id}", item, ANYONE, 0, 0, NULL},
	{"GET", "/slow", slow, ANYONE, 0, 0, NULL},
};

static struct server *server;
static struct loop *loops[WORKERS_MAX];

static void *work(void *arg)
{
	struct loop *l = loop_new(LOOP_LIMITS_DEFAULT);
	struct str error = STR_NONE;
	struct server_worker *w = server_worker_new(server, l, &error);

	if (w == NULL) {
		fprintf(stderr, "%.*s\n", STR_ARG(error));
		exit(1);
	}
	*(struct loop **)arg = l;
	loop_run(l);
	server_worker_free(w);
	loop_free(l);
	return NULL;
}

int main(int argc, char **argv)
{
	struct server_config config = {
		.routes = routes,
		.route_count = sizeof routes / sizeof routes[0],
		.address = STR("127.0.0.1"),
		.port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 8080),
		.connections_max = 10000,
		.head_timeout_us = 10000000,
		.idle_timeout_us = 75000000,
		.stall_timeout_us = 30000000,
	};
	const int workers = argc > 2 ? atoi(argv[2]) : 1;
	enum level level = LEVEL_INFO;
	pthread_t threads[WORKERS_MAX];
	struct str error;
	sigset_t signals;
	int signal;

	CHECK(workers > 0 && workers <= WORKERS_MAX);
	if (argc > 3 && !log_level_parse(str_from(argv[3]), &level))
		return 1;
	log_set_level(level);
	log_start("bench", 1);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	server = server_new(&config, &error);
	CHECK(server != NULL);
	for (int i = 0; i < workers; i++)
		CHECK(pthread_create(&threads[i], NULL, work, &loops[i]) == 0);
	sigwait(&signals, &signal);
	for (int i = 0; i < workers; i++)
		loop_stop(loops[i]);
	for (int i = 0; i < workers; i++)
		pthread_join(threads[i], NULL);
	server_free(server);
	log_stop();
	return 0;
}
