/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "auth/token.h"
#include "base/clock.h"
#include "service/service.h"
#include "json/write.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRET "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="

enum { ANSWER_MAX = 1 << 18, WAIT_MS = 20000 };

/* A program of its own in a child process, looked at from outside. Its keys come from a file, which
 * may not be there yet. */
static struct {
	char folder[64];
	struct signing_key *key;
	struct scope scope;
	uint16_t port;
	uint16_t admin_port;
	pid_t pid;
	int output; /* its standard output and error */
	char answer[ANSWER_MAX];
	char said[ANSWER_MAX]; /* all it wrote until it ended */
	char sent[ANSWER_MAX];
} world;

/* ---- the program ---- */

static char keys_path[128];

static enum fault fetch_keys(struct task *t, struct str *jwks)
{
	struct buf text = buf_new(t->scope.arena);
	const int fd = open(keys_path, O_RDONLY);
	ssize_t got;

	if (fd < 0)
		return fail(&t->scope, FAULT_UNAVAILABLE, "there are no keys yet");
	got = read(fd, buf_room(&text, 4096), 4096);
	close(fd);
	text.len = got > 0 ? (size_t)got : 0;
	*jwks = buf_str(&text);
	return OK;
}

static enum fault get_me(struct task *t, const struct request *request, struct reply *reply)
{
	char id[UUID_TEXT_LEN + 1];

	uuid_format(&request->caller.user_id, id);
	return reply_json(reply, 200, scope_format(&t->scope, "{\"id\":\"%s\"}", id));
}

static enum fault get_inside(struct task *t, const struct request *request, struct reply *reply)
{
	return reply_json(reply, 200,
		scope_format(&t->scope, "{\"service\":\"%.*s\",\"actor\":\"%.*s\"}",
			STR_ARG(request->caller.service), STR_ARG(request->caller.actor)));
}

static atomic_bool released; /* in the child: /slow may answer */

/* Says that it has begun, and answers when /release was asked. */
static enum fault get_slow(struct task *t, const struct request *request, struct reply *reply)
{
	(void)request;
	log_line(LEVEL_INFO, "slow begins");
	while (!atomic_load(&released))
		TRY(task_sleep(t, 1000));
	return reply_json(reply, 200, STR("{\"slow\":true}"));
}

/* Holds its whole loop up until /release was asked. */
static enum fault get_block(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t, (void)request;
	log_line(LEVEL_INFO, "block begins");
	while (!atomic_load(&released))
		usleep(1000);
	return reply_empty(reply);
}

static enum fault get_release(struct task *t, const struct request *request, struct reply *reply)
{
	(void)t, (void)request;
	atomic_store(&released, true);
	return reply_empty(reply);
}

static enum fault count_up(struct task *t)
{
	log_line(LEVEL_INFO, "job ran", LOG_STR("actor", t->actor));
	return OK;
}

/* Fails the first time. */
static enum fault stumble(struct task *t)
{
	static bool has_stumbled;
	const bool fails = !has_stumbled;

	has_stumbled = true;
	return fails ? fail(&t->scope, FAULT_UNAVAILABLE, "stumbled") : OK;
}

/* Each of them waits until there are two. */
static enum fault meet(struct task *t)
{
	static unsigned here;

	here++;
	for (int i = 0; i < 1000 && here < 2; i++)
		TRY(task_sleep(t, 10000));
	log_line(LEVEL_INFO, "job met", LOG_INT("others", here - 1));
	return OK;
}

static const struct route routes[] = {
	{.method = "GET", .path = "/me", .handler = get_me, .who = USER},
	{.method = "GET", .path = "/inside", .handler = get_inside, .who = SERVICE},
	{.method = "GET", .path = "/slow", .handler = get_slow, .who = ANYONE},
	{.method = "GET", .path = "/block", .handler = get_block, .who = ANYONE},
	{.method = "GET", .path = "/release", .handler = get_release, .who = ANYONE},
};
static const struct service_job jobs[] = {
	{"count", 10000, count_up},
	{"stumble", INT64_C(3600000000), stumble},
	{"meet", INT64_C(3600000000), meet, .at_once = 2},
};

static const struct service service = {
	.name = "sample",
	.summary = "A program for tests.",
	.port = "0",
	.admin_port = "0",
	.tls_port = "0",
	.routes = routes,
	.route_count = sizeof routes / sizeof *routes,
	.fetch_keys = fetch_keys,
	.alive_us = 1500000,
	.jobs = jobs,
	.job_count = sizeof jobs / sizeof *jobs,
};

/* ---- from outside ---- */

static uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof address;
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static void put_number(const char *name, unsigned value)
{
	char text[16];

	snprintf(text, sizeof text, "%u", value);
	setenv(name, text, 1);
}

static void put_keys(const struct signing_key *key)
{
	const struct str jwk = signing_key_jwk(key, world.scope.arena);
	char path[160];
	FILE *file;

	snprintf(path, sizeof path, "%s.new", keys_path);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "{\"keys\":[%.*s]}", STR_ARG(jwk));
	fclose(file);
	assert_int_equal(rename(path, keys_path), 0);
}

/* Starts the program; it ends with the test at the latest. */
static void start(const char *argument)
{
	char *argv[] = {(char *)(uintptr_t) "sample", (char *)(uintptr_t)argument, NULL};
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	world.pid = fork();
	assert_true(world.pid >= 0);
	if (world.pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		exit(service_main(argument != NULL ? 2 : 1, argv, &service));
	}
	close(ends[1]);
	world.output = ends[0];
}

/* Its exit status; world.said gets what it has written and nobody has read. */
static int wait_end(void)
{
	size_t len = 0;
	ssize_t got;
	int status;

	while (len < ANSWER_MAX - 1 &&
		(got = read(world.output, world.said + len, ANSWER_MAX - 1 - len)) > 0)
		len += (size_t)got;
	world.said[len] = '\0';
	assert_int_equal(waitpid(world.pid, &status, 0), world.pid);
	world.pid = 0;
	close(world.output);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Reads its output until it has said this; a line that never comes fails the test. */
static void wait_said(const char *what)
{
	char *const seen = world.said;
	size_t len = 0;

	while (len < ANSWER_MAX - 1) {
		struct pollfd fd = {.fd = world.output, .events = POLLIN};

		assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
		if (read(world.output, seen + len, 1) != 1)
			break;
		seen[++len] = '\0';
		if (strstr(seen, what) != NULL)
			return;
		if (seen[len - 1] == '\n')
			len = 0;
	}
	fail_msg("it ended, or never said %s", what);
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

static int send_request(
	uint16_t port, const char *method, const char *path, const char *headers, const char *body)
{
	const int fd = connect_to(port);
	int len;

	if (fd < 0)
		return -1;
	len = snprintf(world.sent, sizeof world.sent,
		"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
		method, path, strlen(body), headers, body);
	assert_true(len > 0 && (size_t)len < sizeof world.sent);
	assert_int_equal(write(fd, world.sent, (size_t)len), len);
	return fd;
}

/* The status; world.answer gets the body. -1: no answer. */
static int receive(int fd)
{
	size_t len = 0;
	ssize_t got;
	int status;
	char *body;

	if (fd < 0)
		return -1;
	while (len < ANSWER_MAX - 1 &&
		(got = read(fd, world.answer + len, ANSWER_MAX - 1 - len)) > 0)
		len += (size_t)got;
	close(fd);
	world.answer[len] = '\0';
	if (sscanf(world.answer, "HTTP/1.1 %d", &status) != 1)
		return -1;
	body = strstr(world.answer, "\r\n\r\n");
	assert_non_null(body);
	memmove(world.answer, body + 4, strlen(body + 4) + 1);
	return status;
}

static int get(uint16_t port, const char *path)
{
	return receive(send_request(port, "GET", path, "", ""));
}

static void wait_status(uint16_t port, const char *path, int status)
{
	const int64_t end_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
	int got;

	while ((got = get(port, path)) != status) {
		if (clock_monotonic_us() > end_us)
			fail_msg("%s: %d, not %d: %s", path, got, status, world.answer);
		poll(NULL, 0, 1); /* asked again until it is so */
	}
}

static void start_ready(void)
{
	put_keys(world.key);
	start(NULL);
	wait_status(world.admin_port, "/readyz", 200);
}

static int stop(void)
{
	kill(world.pid, SIGTERM);
	return wait_end();
}

static struct str token(const struct signing_key *key)
{
	const struct token_rules rules = {STR("bodega"), STR("bodega")};
	const struct caller caller = {.user_id = {{1}}, .session_id = {{2}}, .role = ROLE_CUSTOMER};

	return token_sign(key, &rules, &caller, clock_wall_us() / 1000000, world.scope.arena);
}

static int get_me_with(struct str token_text)
{
	const struct str header =
		scope_format(&world.scope, "Authorization: Bearer %.*s\r\n", STR_ARG(token_text));

	return receive(send_request(world.port, "GET", "/me", header.at, ""));
}

static int set_up(void **state)
{
	(void)state;
	scope_begin(&world.scope);
	strcpy(world.folder, "/tmp/bodega-service-XXXXXX");
	assert_non_null(mkdtemp(world.folder));
	snprintf(keys_path, sizeof keys_path, "%s/keys", world.folder);
	world.port = free_port();
	world.admin_port = free_port();
	clearenv();
	put_number("PORT", world.port);
	put_number("ADMIN_PORT", world.admin_port);
	setenv("LISTEN_ADDRESS", "127.0.0.1", 1);
	setenv("WORKERS", "2", 1);
	setenv("INTERNAL_SECRETS", "orders sample " SECRET, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (world.pid > 0) {
		kill(world.pid, SIGKILL);
		waitpid(world.pid, NULL, 0);
		close(world.output);
		world.pid = 0;
	}
	unlink(keys_path);
	rmdir(world.folder);
	scope_end(&world.scope);
	return 0;
}

/* ---- tests ---- */

static void probes_and_health(void **state)
{
	(void)state;
	start_ready();
	assert_string_equal(world.answer, "{\"status\":\"ready\"}");
	assert_int_equal(get(world.admin_port, "/livez"), 200);
	assert_int_equal(get(world.admin_port, "/startupz"), 200);
	assert_int_equal(get(world.port, "/health"), 200);
	assert_non_null(strstr(world.answer, "\"service\":\"sample\""));
	assert_int_equal(get(world.port, "/health-check/"), 200);
	assert_int_equal(get(world.port, "/status"), 200);
	/* what is inside stays inside */
	assert_int_equal(get(world.port, "/readyz"), 404);
	assert_int_equal(get(world.port, "/metrics"), 404);
	assert_int_equal(get(world.admin_port, "/me"), 404);
	assert_int_equal(stop(), 0);
}

static void it_waits_for_its_keys_once(void **state)
{
	(void)state;
	start(NULL);
	wait_status(world.admin_port, "/readyz", 503);
	assert_non_null(strstr(world.answer, "keys"));
	assert_int_equal(get(world.admin_port, "/livez"), 200);
	assert_int_equal(get(world.port, "/health"), 503);
	assert_null(strstr(world.answer, "keys"));
	assert_int_equal(get_me_with(token(world.key)), 503);
	put_keys(world.key);
	wait_status(world.admin_port, "/readyz", 200);
	unlink(keys_path);
	assert_int_equal(get(world.admin_port, "/readyz"), 200);
	assert_int_equal(get_me_with(token(world.key)), 200);
	assert_int_equal(stop(), 0);
}

/* As wait_status, but who gets to the loop that is stuck asks once more. */
static void wait_status_elsewhere(uint16_t port, const char *path, int status)
{
	const int64_t end_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
	const struct timeval patience = {.tv_usec = 100000};
	int fd;

	do {
		assert_true(clock_monotonic_us() < end_us);
		fd = send_request(port, "GET", path, "", "");
		assert_int_equal(
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	} while (receive(fd) != status);
}

static void a_stuck_loop_is_a_fault_of_its_own(void **state)
{
	int blocked;

	(void)state;
	start_ready();
	blocked = send_request(world.port, "GET", "/block", "", "");
	wait_said("block begins");
	wait_status_elsewhere(world.admin_port, "/livez", 503);
	assert_non_null(strstr(world.answer, "has not turned for"));
	wait_status_elsewhere(world.admin_port, "/readyz", 503);
	assert_non_null(strstr(world.answer, "has not turned for"));
	wait_status_elsewhere(world.port, "/release", 204);
	assert_int_equal(receive(blocked), 204);
	wait_status(world.admin_port, "/livez", 200);
	wait_status(world.admin_port, "/readyz", 200);
	assert_int_equal(stop(), 0);
}

static void callers_are_known(void **state)
{
	struct signing_key *const other = signing_key_new();
	const struct str forged = token(other);

	(void)state;
	start_ready();
	assert_int_equal(get(world.port, "/me"), 401);
	/* each thread on its own; connections are spread over them */
	for (int i = 0; i < 20; i++) {
		assert_int_equal(get_me_with(token(world.key)), 200);
		assert_non_null(strstr(world.answer, "01000000-"));
		assert_int_equal(get_me_with(forged), 401);
	}
	assert_int_equal(get_me_with(STR("garbage")), 401);
	assert_int_equal(receive(send_request(
				 world.port, "GET", "/me", "Authorization: Basic eDp5\r\n", "")),
		401);
	/* a person is no service */
	assert_int_equal(get(world.port, "/inside"), 401);
	assert_int_equal(stop(), 0);
	signing_key_free(other);
}

/* A new key: published, then used. */
static void an_unknown_key_is_fetched(void **state)
{
	struct signing_key *const next = signing_key_new();

	(void)state;
	start_ready();
	put_keys(next);
	assert_int_equal(get_me_with(token(next)), 200);
	for (int i = 0; i < 20; i++)
		assert_int_equal(get_me_with(token(next)), 200);
	/* removed ones are forgotten by then */
	assert_int_equal(get_me_with(token(world.key)), 401);
	assert_int_equal(stop(), 0);
	signing_key_free(next);
}

static int get_inside_with(const char *secret)
{
	struct upstream_request request = {.method = STR("GET"), .target = STR("/inside")};
	struct mac_secrets secrets;
	const struct mac_ring ring = {&secrets};
	struct mac_pair pair = {&ring, STR("orders"), STR("sample")};
	struct upstream_config config = {.name = "sample", .sign_key = &pair};
	struct task t = {.scope = world.scope, .actor = STR("user:7")};
	const struct str line = scope_format(&world.scope, "orders sample %s", secret);
	struct str header;

	assert_int_equal(mac_secrets_read(&world.scope, line, &secrets), OK);
	mac_sign(&t, &config, &request);
	header = scope_format(
		&world.scope, "Bodega-Mac: %.*s\r\n", STR_ARG(request.headers[0].value));
	return receive(send_request(world.port, "GET", "/inside", header.at, ""));
}

static void services_are_known(void **state)
{
	(void)state;
	start_ready();
	assert_int_equal(get_inside_with(SECRET), 200);
	assert_string_equal(world.answer, "{\"service\":\"orders\",\"actor\":\"user:7\"}");
	assert_int_equal(get_inside_with("YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="), 401);
	assert_int_equal(stop(), 0);
}

static void metrics_and_log_level(void **state)
{
	(void)state;
	start_ready();
	assert_int_equal(get(world.admin_port, "/metrics"), 200);
	assert_non_null(strstr(world.answer, "bodega_build_info{"));
	assert_non_null(strstr(world.answer, "bodega_job_runs_total{job=\"count\"}"));
	assert_int_equal(get(world.admin_port, "/loglevel"), 200);
	assert_string_equal(world.answer, "{\"level\":\"info\"}");
	assert_int_equal(receive(send_request(world.admin_port, "PUT", "/loglevel", "",
				 "{\"level\":\"debug\"}")),
		200);
	assert_int_equal(get(world.admin_port, "/loglevel"), 200);
	assert_string_equal(world.answer, "{\"level\":\"debug\"}");
	assert_int_equal(receive(send_request(
				 world.admin_port, "PUT", "/loglevel", "", "{\"level\":\"loud\"}")),
		422);
	assert_int_equal(stop(), 0);
}

/* ---- what changes while it runs ---- */

static void put_file(const char *name, const char *text)
{
	char path[160], next[160];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", world.folder, name);
	snprintf(next, sizeof next, "%s/next", world.folder);
	file = fopen(next, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(rename(next, path), 0);
}

static void wait_answer(const char *path, const char *text)
{
	const int64_t end_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);

	do {
		if (clock_monotonic_us() > end_us)
			fail_msg("%s: never %s: %s", path, text, world.answer);
		poll(NULL, 0, 10); /* asked again until it is so */
		assert_int_equal(get(world.admin_port, path), 200);
	} while (strstr(world.answer, text) == NULL);
}

#define REFUSED(source, is) "bodega_config_reload_refused{source=\"" source "\"} " is "\n"
#define FAILURES(source, count) \
	"bodega_config_reload_failures_total{source=\"" source "\"} " count "\n"

static void live_configuration(void **state)
{
	char live[80];

	(void)state;
	snprintf(live, sizeof live, "%s/live", world.folder);
	assert_int_equal(mkdir(live, 0755), 0);
	put_file("live/LOG_LEVEL", "warn\n");
	setenv("LIVE_CONFIG_DIR", live, 1);
	start_ready();
	assert_int_equal(get(world.admin_port, "/loglevel"), 200);
	assert_string_equal(world.answer, "{\"level\":\"warn\"}");
	assert_int_equal(get(world.admin_port, "/metrics"), 200);
	assert_non_null(strstr(world.answer, REFUSED("LIVE_CONFIG_DIR", "0")));
	put_file("live/LOG_LEVEL", "debug");
	wait_answer("/loglevel", "{\"level\":\"debug\"}");
	/* what is wrong changes nothing, and is told */
	put_file("live/PORT", "80");
	put_file("live/LOG_LEVEL", "error");
	wait_answer("/metrics", REFUSED("LIVE_CONFIG_DIR", "1"));
	assert_non_null(strstr(world.answer, FAILURES("LIVE_CONFIG_DIR", "1")));
	wait_said("LIVE_CONFIG_DIR/PORT is not known; what may change at run time: LOG_LEVEL");
	assert_int_equal(get(world.admin_port, "/loglevel"), 200);
	assert_string_equal(world.answer, "{\"level\":\"debug\"}");
	snprintf(live, sizeof live, "%s/live/PORT", world.folder);
	unlink(live);
	wait_answer("/loglevel", "{\"level\":\"error\"}");
	wait_answer("/metrics", REFUSED("LIVE_CONFIG_DIR", "0"));
	snprintf(live, sizeof live, "%s/live/LOG_LEVEL", world.folder);
	unlink(live);
	wait_answer("/loglevel", "{\"level\":\"info\"}"); /* as the environment has it */
	assert_int_equal(stop(), 0);
	snprintf(live, sizeof live, "%s/live", world.folder);
	rmdir(live);
}

static void wrong_live_configuration_is_named(void **state)
{
	char live[80];

	(void)state;
	snprintf(live, sizeof live, "%s/live", world.folder);
	assert_int_equal(mkdir(live, 0755), 0);
	put_file("live/LOG_LEVEL", "loud");
	setenv("LIVE_CONFIG_DIR", live, 1);
	start(NULL);
	assert_int_equal(wait_end(), 78);
	assert_non_null(strstr(world.said, "LIVE_CONFIG_DIR/LOG_LEVEL must be one of"));
	snprintf(live, sizeof live, "%s/live/LOG_LEVEL", world.folder);
	unlink(live);
	snprintf(live, sizeof live, "%s/live", world.folder);
	rmdir(live);
}

#define NEXT "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="

/* In the order of docs/operations.md: at no moment is a call refused. */
static void a_secret_is_rotated(void **state)
{
	char path[80];

	(void)state;
	snprintf(path, sizeof path, "%s/secrets", world.folder);
	put_file("secrets", "orders sample " SECRET "\n");
	unsetenv("INTERNAL_SECRETS");
	setenv("INTERNAL_SECRETS_FILE", path, 1);
	start_ready();
	assert_int_equal(get_inside_with(SECRET), 200);
	assert_int_equal(get_inside_with(NEXT), 401);
	put_file("secrets", "orders sample " SECRET " " NEXT "\n");
	while (get_inside_with(NEXT) != 200)
		assert_int_equal(get_inside_with(SECRET), 200);
	put_file("secrets", "orders sample short\n");
	wait_answer("/metrics", REFUSED("INTERNAL_SECRETS", "1"));
	assert_int_equal(get_inside_with(SECRET), 200);
	unlink(path);
	wait_answer("/metrics", FAILURES("INTERNAL_SECRETS", "2"));
	assert_int_equal(get_inside_with(SECRET), 200);
	put_file("secrets", "orders sample " NEXT "\n");
	while (get_inside_with(SECRET) != 401)
		assert_int_equal(get_inside_with(NEXT), 200);
	assert_int_equal(stop(), 0);
	unlink(path);
}

static void jobs_run_again_and_again(void **state)
{
	(void)state;
	put_keys(world.key);
	start(NULL);
	for (int i = 0; i < 3; i++)
		wait_said("\"job ran\"");
	assert_int_equal(stop(), 0);
}

static void a_job_may_go_on_beside_itself(void **state)
{
	(void)state;
	put_keys(world.key);
	start(NULL);
	wait_said("\"job met\",\"others\":1");
	wait_said("\"job met\",\"others\":1");
	assert_int_equal(stop(), 0);
}

static void a_job_that_failed_runs_soon_again(void **state)
{
	(void)state;
	put_keys(world.key);
	start(NULL);
	wait_said("\"job failed\",\"job\":\"stumble\"");
	wait_said("\"job works again\",\"job\":\"stumble\"");
	assert_int_equal(stop(), 0);
}

static void stopping_is_gentle(void **state)
{
	int slow, idle;

	(void)state;
	setenv("DRAIN_DELAY", "60s", 1);
	start_ready();
	idle = connect_to(world.port);
	slow = send_request(world.port, "GET", "/slow", "", "");
	wait_said("slow begins");
	kill(world.pid, SIGTERM);
	wait_status(world.admin_port, "/readyz", 503);
	assert_non_null(strstr(world.answer, "about to stop"));
	assert_int_equal(get(world.admin_port, "/livez"), 200);
	/* it still serves who has not heard of it */
	assert_int_equal(get_me_with(token(world.key)), 200);
	assert_int_equal(get(world.port, "/release"), 204);
	assert_int_equal(receive(slow), 200);
	assert_int_equal(stop(), 0); /* the second signal: load balancers need no more time */
	assert_non_null(strstr(world.said, "\"stopped\""));
	close(idle);
}

/* A request that takes longer than anyone waits for is given up, not the program's exit. */
static void stopping_has_an_end(void **state)
{
	int64_t begun_us;
	int slow, status;

	(void)state;
	setenv("DRAIN_TIMEOUT", "50ms", 1);
	start_ready();
	slow = send_request(world.port, "GET", "/slow", "", "");
	wait_said("slow begins");
	begun_us = clock_monotonic_us();
	assert_int_equal(stop(), 0);
	assert_in_range(clock_monotonic_us() - begun_us, 50000, INT64_MAX);
	status =
		receive(slow); /* cut off; had it been waited for, its deadline would make it 504 */
	assert_true(status == -1 || status == 503);
}

static void a_taken_port_is_told(void **state)
{
	const uint16_t port = world.port;
	const pid_t first = (start_ready(), world.pid);
	const int first_output = world.output;

	(void)state;
	put_number("ADMIN_PORT", free_port());
	start(NULL);
	assert_int_equal(wait_end(), 1);
	assert_non_null(strstr(world.said, "taken"));
	world.pid = first;
	world.output = first_output;
	assert_int_equal(get(port, "/health"), 200);
	assert_int_equal(stop(), 0);
}

static void wrong_configuration_is_named(void **state)
{
	(void)state;
	setenv("WORKERS", "many", 1);
	setenv("LOG_LEVEL", "loud", 1);
	start(NULL);
	assert_int_equal(wait_end(), 78);
	assert_non_null(strstr(world.said, "WORKERS"));
	assert_non_null(strstr(world.said, "LOG_LEVEL"));
}

static void questions_are_answered(void **state)
{
	static const struct {
		const char *argument;
		int status;
		const char *text;
	} rows[] = {
		{"--version", 0, "sample "},
		{"--help", 0, "DRAIN_TIMEOUT"},
		{"--routes", 0, "GET /me customer,seller,support,admin\n"},
		{"--routes", 0, "GET /inside service\n"},
		{"--routes", 0, "GET /health anyone\n"},
		{"--nonsense", 64, "usage"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		start(rows[i].argument);
		assert_int_equal(wait_end(), rows[i].status);
		if (strstr(world.said, rows[i].text) == NULL)
			fail_row(i, "%s", world.said);
	}
}

static int set_up_group(void **state)
{
	(void)state;
	world.key = signing_key_new();
	return 0;
}

static int tear_down_group(void **state)
{
	(void)state;
	signing_key_free(world.key);
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(questions_are_answered),
		TEST(wrong_configuration_is_named),
		TEST(probes_and_health),
		TEST(it_waits_for_its_keys_once),
		TEST(a_stuck_loop_is_a_fault_of_its_own),
		TEST(callers_are_known),
		TEST(an_unknown_key_is_fetched),
		TEST(services_are_known),
		TEST(metrics_and_log_level),
		TEST(live_configuration),
		TEST(wrong_live_configuration_is_named),
		TEST(a_secret_is_rotated),
		TEST(jobs_run_again_and_again),
		TEST(a_job_may_go_on_beside_itself),
		TEST(a_job_that_failed_runs_soon_again),
		TEST(stopping_is_gentle),
		TEST(stopping_has_an_end),
		TEST(a_taken_port_is_told),
	};

	return cmocka_run_group_tests(tests, set_up_group, tear_down_group);
}
