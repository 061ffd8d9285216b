/* SPDX-License-Identifier: Apache-2.0
 * A program's life: configuration, threads, a signal, draining, the end. This thread serves
 * nothing; it waits for signals, which all others have blocked. */
#include "service/internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "log/log.h"
#include "metrics/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	ARENAS_MAX = 2, /* of malloc: each costs memory that only its threads use */
	CONNECTIONS_MAX = 8192, /* a thread */
	REQUESTS_MAX = 3072, /* a thread; the loop's tasks_max is 4096 */
	STREAMS_MAX = 4096, /* live ones, a thread */
	HEAD_TIMEOUT_US = 10000000,
	STALL_TIMEOUT_US = 30000000
};

struct process process;

static void set_up_process(sigset_t *signals);
static bool configure(void);
static bool open_server(void);
static bool ports_are_free(void);
static bool port_is_free(uint16_t port);
static void show_process(void);
static void serve(const sigset_t *signals);
static void drain(const sigset_t *signals);
static int wait_for_signal(const sigset_t *signals, int64_t until_us);

int service_main(int argc, char **argv, const struct service *service)
{
	int status = arguments_answer(argc, argv, service);
	sigset_t signals;

	if (status >= 0)
		return status;
	process.service = service;
	process.begun_us = clock_monotonic_us();
	set_up_process(&signals);
	if (!configure())
		return CONFIG_EXIT;
	log_start(service->name, STDOUT_FILENO);
	show_process();
	status = EXIT_FAILURE;
	if (open_server()) {
		events_open();
		reload_show(); /* before anybody can ask for metrics */
		if (ports_are_free() && threads_start()) {
			serve(&signals);
			status = EXIT_SUCCESS;
		}
		events_close();
		server_free(process.server);
	}
	if (status != EXIT_SUCCESS) {
		log_line(LEVEL_ERROR, "cannot start", LOG_TEXT("why", process.why));
		fprintf(stderr, "%s: %s\n", service->name, process.why);
	}
	if (service->stop != NULL)
		service->stop();
	log_stop();
	reload_end();
	mac_verifier_free(process.macs);
	arena_unref(process.keys.arena);
	scope_end(&process.scope);
	arena_trim();
	return status;
}

static void set_up_process(sigset_t *signals)
{
	struct rlimit files;

	mallopt(M_ARENA_MAX, ARENAS_MAX);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, THREAD_ENDED);
	pthread_sigmask(SIG_BLOCK, signals, NULL);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	CHECK(pthread_mutex_init(&process.lock, NULL) == 0);
	CHECK(pthread_cond_init(&process.changed, NULL) == 0);
	keys_init();
}

static bool configure(void)
{
	const struct service *const service = process.service;
	struct settings *const settings = &process.settings;
	struct scope *const s = &process.scope;
	enum fault fault;

	scope_begin(s);
	reload_watch_secrets();
	fault = settings_load(s, service, settings);
	if (fault == OK && service->reloaded != NULL)
		service->reloaded();
	if (fault == OK && service->start != NULL)
		fault = service->start(s);
	if (fault != OK) {
		config_print_errors(s, service->name, stderr);
		if (s->detail.len > 0)
			fprintf(stderr, "%s: %.*s\n", service->name, STR_ARG(s->detail));
		return false;
	}
	log_set_level((enum level)settings->log_level);
	process.thread_count = (unsigned)settings->workers;
	process.macs = mac_verifier_new(str_from(service->name), &settings->macs);
	reload_watch_live();
	return true;
}

static bool open_server(void)
{
	const struct service *const service = process.service;
	const struct settings *const settings = &process.settings;
	struct server_config config = {
		.admin_routes = admin_routes,
		.admin_route_count = admin_route_count,
		.fallback = service->fallback,
		.authenticate = authenticate,
		.receive = service->receive,
		.before_reply = service->before_reply,
		.address = settings->listen_address,
		.port = settings->port,
		.admin_port = settings->admin_port,
		.tls_port = settings->tls_port,
		.tls_cert_file = settings->tls_cert_file.at,
		.tls_key_file = settings->tls_key_file.at,
		.connections_max = CONNECTIONS_MAX,
		.requests_max = REQUESTS_MAX,
		.streams_max = STREAMS_MAX,
		.head_timeout_us = HEAD_TIMEOUT_US,
		.idle_timeout_us = settings->keep_alive_us,
		.connection_age_us = settings->connection_age_us,
		.stall_timeout_us = STALL_TIMEOUT_US,
	};
	struct str error = STR_NONE;

	reload_watch_certificate();
	config.routes = routes_with_health(&process.scope, service, &config.route_count);
	process.server = server_new(&config, &error);
	if (process.server == NULL)
		snprintf(process.why, sizeof process.why, "%.*s", STR_ARG(error));
	return process.server != NULL;
}

/* Our own listeners share their ports (SO_REUSEPORT), and would do so with another instance of the
 * same user that somebody has forgotten. */
static bool ports_are_free(void)
{
	const struct settings *const settings = &process.settings;

	return port_is_free(settings->port) && port_is_free(settings->admin_port) &&
	       port_is_free(settings->tls_port);
}

static bool port_is_free(uint16_t port)
{
	char address[INET6_ADDRSTRLEN];
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	const int on = 1;
	bool is_v4, taken;
	int fd;

	snprintf(address, sizeof address, "%.*s", STR_ARG(process.settings.listen_address));
	is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
	if (port == 0 || (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1))
		return true; /* none; or http says what is wrong with it */
	fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	taken = bind(fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
			is_v4 ? sizeof v4 : sizeof v6) != 0 &&
	        errno == EADDRINUSE;
	close(fd);
	if (taken)
		snprintf(process.why, sizeof process.why,
			"port %u of %s is taken: by another instance?", port, address);
	return !taken;
}

static int64_t log_lines_dropped(void *unused)
{
	(void)unused;
	return (int64_t)log_dropped();
}

static void show_process(void)
{
	metric_callback("bodega_log_lines_dropped_total",
		"Log lines that found no room: whoever reads them is too slow.", NULL,
		log_lines_dropped, NULL);
	gauge_set(gauge_get("bodega_build_info", "The program and its version.",
			  LABELS({"service", str_from(process.service->name)},
				  {"version", STR(BODEGA_VERSION)})),
		1);
}

static void serve(const sigset_t *signals)
{
	const struct settings *const settings = &process.settings;
	int number;

	log_line(LEVEL_INFO, "started", LOG_TEXT("version", BODEGA_VERSION),
		LOG_INT("threads", process.thread_count),
		LOG_STR("address", settings->listen_address), LOG_INT("port", settings->port),
		LOG_INT("admin_port", settings->admin_port),
		LOG_INT("tls_port", settings->tls_port),
		LOG_INT("database_connections", settings_connections(settings)),
		LOG_MS("start_ms", clock_monotonic_us() - process.begun_us));
	while ((number = wait_for_signal(signals, clock_monotonic_us() + RELOAD_LOOK_US)) == 0)
		reload_look();
	log_line(LEVEL_INFO, "stopping", LOG_TEXT("signal", number == SIGTERM ? "TERM" : "INT"));
	drain(signals);
	log_line(LEVEL_INFO, "stopped");
}

/* Not ready any more, but serving, until load balancers know; then what runs may finish. A second
 * signal ends all of that at once. Without load balancers (no delay) nobody comes any more when
 * the last connection has gone. */
static void drain(const sigset_t *signals)
{
	const int64_t delay_us = process.settings.drain_delay_us;
	const int64_t begun_us = clock_monotonic_us();
	int64_t timeout_us = process.settings.drain_timeout_us;

	atomic_store(&process.draining, true);
	threads_announce();
	if (wait_for_signal(signals, begun_us + delay_us) != 0)
		timeout_us = 0;
	threads_close(clock_monotonic_us() + timeout_us);
	if (wait_for_signal(signals, INT64_MAX) != 0)
		threads_hurry();
	threads_join();
}

/* SIGTERM or SIGINT; 0: it is that late, or all threads have ended. */
static int wait_for_signal(const sigset_t *signals, int64_t until_us)
{
	int number = 0;

	while (number != SIGTERM && number != SIGINT) {
		const int64_t left_us = until_us - clock_monotonic_us();
		const struct timespec left = {
			.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};

		if (left_us <= 0 || threads_have_ended())
			return 0;
		number = sigtimedwait(signals, NULL, &left);
	}
	return number;
}

const struct token_rules *service_token_rules(void)
{
	return &process.settings.token_rules;
}
