/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests: a Redis of the test's own, on a Unix socket and a loopback port, that can be stopped,
 * killed and started again; and tasks run from the test's stack. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "redis/redis.h"

struct redis_server {
	pid_t pid;
	char folder[32];
	char socket[64];
	char url[80];
	char port[8];
};

static inline void redis_server_start(struct redis_server *s)
{
	s->pid = fork();
	CHECK(s->pid >= 0);
	if (s->pid > 0)
		return;
	const int null = open("/dev/null", O_WRONLY);
	dup2(null, STDOUT_FILENO);
	execlp("redis-server", "redis-server", "--port", s->port, "--bind", "127.0.0.1",
		"--unixsocket", s->socket, "--save", "", "--appendonly", "no", "--dir", s->folder,
		(char *)NULL);
	_exit(127);
}

static inline void redis_server_make(struct redis_server *s)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof at;
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(bind(fd, (struct sockaddr *)&at, len) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	close(fd);
	snprintf(s->port, sizeof s->port, "%u", ntohs(at.sin_port));
	snprintf(s->folder, sizeof s->folder, "/tmp/bodega-redis-XXXXXX");
	CHECK(mkdtemp(s->folder) != NULL);
	snprintf(s->socket, sizeof s->socket, "%s/socket", s->folder);
	snprintf(s->url, sizeof s->url, "unix://%s", s->socket);
	redis_server_start(s);
}

static inline void redis_server_signal(const struct redis_server *s, int number)
{
	int status;

	kill(s->pid, number);
	if (number == SIGKILL)
		waitpid(s->pid, &status, 0);
	else if (number == SIGSTOP) /* returns when it stands still */
		waitpid(s->pid, &status, WUNTRACED);
}

static inline void redis_server_end(struct redis_server *s)
{
	redis_server_signal(s, SIGKILL);
	unlink(s->socket);
	rmdir(s->folder);
}

/* Turns the loop until the client is up, or down. */
static inline void redis_wait_up(struct loop *l, const struct redis *r, bool up)
{
	while (redis_up(r) != up)
		loop_turn(l, 10);
}

/* ---- tasks ---- */

struct job {
	enum fault (*run)(struct task *t, struct job *job);
	const void *arg;
	int64_t deadline_us; /* from the start; 0: five seconds */
	struct task *task;
	enum fault fault;
	bool done;
	char text[512];
	size_t len;
	int64_t number;
};

static inline void job_run(struct task *t, void *arg)
{
	struct job *job = arg;

	job->fault = job->run(t, job);
	if (job->fault != OK)
		snprintf(job->text, sizeof job->text, "%.*s", STR_ARG(t->scope.detail));
}

static inline void job_done(struct task *t, void *arg)
{
	(void)t;
	((struct job *)arg)->done = true;
}

static inline void job_start(struct loop *l, struct job *job)
{
	const int64_t for_us = job->deadline_us > 0 ? job->deadline_us : 5000000;

	CHECK(task_start(l, loop_now_us(l) + for_us, job_run, job_done, job, &job->task) == OK);
}

static inline void job_wait(struct loop *l, struct job *job)
{
	while (!job->done)
		loop_turn(l, 10);
}

static inline void job_keep(struct job *job, struct str text)
{
	CHECK(text.len < sizeof job->text);
	if (text.len > 0)
		memcpy(job->text, text.at, text.len);
	job->text[text.len] = '\0';
	job->len = text.len;
}
