/* SPDX-License-Identifier: Apache-2.0
 * posix_spawn with pipes. What is written to a child is small enough for its pipe, so nothing waits
 * for anything in a circle. */
#include "child.h"

#include "base/buf.h"
#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PIECE_BYTES = 64 << 10, INPUT_BYTES_MAX = 60 << 10 };

static enum fault start(
	struct scope *s, const char *const *argv, int input, int output, pid_t *pid);
static enum fault open_pipe(struct scope *s, int ends[2]);
static enum fault give(struct scope *s, struct str input, int *from);
static enum fault read_all(struct scope *s, int from, struct str *output);
static int await(pid_t pid);

enum fault child_run(
	struct scope *s, const char *const *argv, struct str input, struct str *output, int *status)
{
	enum fault fault;
	int ends[2], from = -1;
	pid_t pid = -1;

	TRY(give(s, input, &from));
	fault = open_pipe(s, ends);
	if (fault != OK) {
		close(from);
		return fault;
	}
	fault = start(s, argv, from, ends[1], &pid);
	close(from);
	close(ends[1]);
	if (fault == OK) {
		fault = read_all(s, ends[0], output);
		close(ends[0]); /* whoever still writes ends now */
		*status = await(pid);
		return fault;
	}
	close(ends[0]);
	return fault;
}

enum fault child_show(struct scope *s, const char *const *argv, int *status)
{
	pid_t pid = -1;

	TRY(start(s, argv, STDIN_FILENO, STDOUT_FILENO, &pid));
	*status = await(pid);
	return OK;
}

static enum fault start(struct scope *s, const char *const *argv, int input, int output, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int error;

	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	/* adddup2 of a descriptor to itself only takes its FD_CLOEXEC away */
	CHECK(posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO) == 0);
	CHECK(posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO) == 0);
	error = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return error == 0 ? OK : fail(s, FAULT_UNAVAILABLE, "%s: %s", argv[0], strerror(error));
}

static enum fault open_pipe(struct scope *s, int ends[2])
{
	return pipe2(ends, O_CLOEXEC) == 0
	               ? OK
	               : fail(s, FAULT_UNAVAILABLE, "no pipe: %s", strerror(errno));
}

/* A descriptor from which the child reads the input. */
static enum fault give(struct scope *s, struct str input, int *from)
{
	int ends[2];

	if (input.len > INPUT_BYTES_MAX)
		return fail(s, FAULT_TOO_LARGE, "%zu bytes are too much to hand on", input.len);
	TRY(open_pipe(s, ends));
	const ssize_t written = write(ends[1], input.at != NULL ? input.at : "", input.len);
	close(ends[1]);
	*from = ends[0];
	CHECK(written == (ssize_t)input.len); /* a pipe has room for 64 KiB */
	return OK;
}

static enum fault read_all(struct scope *s, int from, struct str *output)
{
	struct buf text = buf_new(s->arena);

	for (;;) {
		const ssize_t got = read(from, buf_room(&text, PIECE_BYTES), PIECE_BYTES);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		text.len += (size_t)got;
		if (text.len > CHILD_OUTPUT_BYTES_MAX)
			return fail(s, FAULT_TOO_LARGE, "more than %d bytes were printed",
				CHILD_OUTPUT_BYTES_MAX);
	}
	*output = buf_str(&text);
	return OK;
}

static int await(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
