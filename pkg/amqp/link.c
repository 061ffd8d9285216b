/* SPDX-License-Identifier: Apache-2.0
 * The thread's life: connect, work until the connection breaks, pause, again. It sleeps in poll()
 * on the socket and an eventfd; it wakes at least every few seconds, because librabbitmq sends and
 * watches heartbeats only while it is called. */
#include "amqp/link.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "log/log.h"

#include <amqp_tcp_socket.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BACK_OFF_MIN_US = 100000,
	BACK_OFF_MAX_US = 5000000,
	CONNECT_S = 3,
	HANDSHAKE_S = 5,
	ANSWER_S = 10,
	UNSENT_MS = 30000, /* what the broker does not take ends the connection */
	NAP_MS = LINK_HEARTBEAT_S * 1000 / 4,
	CHANNELS_MAX = 8,
	URL_MAX = 1024,
};

static void *run(void *arg);
static bool open_connection(struct link *l);
static bool connect_to(struct link *l, const struct amqp_connection_info *to);
static bool log_in(struct link *l, const struct amqp_connection_info *to);
static void close_connection(struct link *l);
static void set_socket(struct link *l, int socket);
static bool read_url(struct link *l, char url[URL_MAX]);
static void nap(struct link *l, int timeout_ms);
static int64_t next_back_off_us(struct link *l);
static struct str reply_text(const amqp_rpc_reply_t *reply, char out[256]);
static struct str method_text(const amqp_method_t *method, char out[256]);

void link_start(
	struct link *l, const struct link_use *use, void *owner, const struct broker *broker)
{
	const struct metric_label *const labels = LABELS({"connection", str_from(use->name)});
	sigset_t all, before;

	*l = (struct link){.use = use, .owner = owner, .broker = *broker, .socket = -1};
	l->up = gauge_get(
		"bodega_rabbitmq_up", "Whether a connection to RabbitMQ is open.", labels);
	l->lost = counter_get("bodega_rabbitmq_connections_lost_total",
		"Connections to RabbitMQ that broke or could not be opened.", labels);
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(l->wake >= 0);
	CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	CHECK(pthread_create(&l->thread, NULL, run, l) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void link_stop(struct link *l)
{
	atomic_store(&l->stopping, true);
	link_wake(l);
	pthread_mutex_lock(&l->lock);
	if (l->socket >= 0)
		shutdown(l->socket, SHUT_RDWR);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	pthread_mutex_destroy(&l->lock);
	close(l->wake);
}

void link_wake(struct link *l)
{
	const uint64_t one = 1;

	while (write(l->wake, &one, sizeof one) < 0 && errno == EINTR) {
	}
}

static void *run(void *arg)
{
	struct link *const l = arg;

	pthread_setname_np(pthread_self(), l->use->name);
	while (!atomic_load(&l->stopping)) {
		bool good = open_connection(l) && l->use->opened(l, l->owner);

		if (good) {
			log_line(LEVEL_INFO, "RabbitMQ is there",
				LOG_TEXT("connection", l->use->name));
			l->told = false;
			l->back_off_us = 0;
			atomic_store(&l->open, true);
			gauge_set(l->up, 1);
		}
		while (good && !atomic_load(&l->stopping)) {
			good = l->use->work(l, l->owner);
			if (good && !amqp_frames_enqueued(l->connection) &&
				!amqp_data_in_buffer(l->connection))
				nap(l, NAP_MS);
		}
		atomic_store(&l->open, false);
		gauge_set(l->up, 0);
		close_connection(l);
		l->use->closed(l, l->owner);
		if (atomic_load(&l->stopping))
			break;
		counter_inc(l->lost);
		nap(l, (int)(next_back_off_us(l) / 1000));
	}
	return NULL;
}

/* Until something happens, or the time is up. While there is no connection a wake-up is no reason
 * to hurry. */
static void nap(struct link *l, int timeout_ms)
{
	const int64_t end_us = clock_monotonic_us() + timeout_ms * INT64_C(1000);
	struct pollfd fds[2] = {{.fd = l->wake, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
	uint64_t count;

	if (l->connection != NULL)
		fds[1].fd = amqp_get_sockfd(l->connection);
	do {
		const int64_t left_us = end_us - clock_monotonic_us();

		if (left_us <= 0)
			break;
		(void)poll(fds, 2, (int)(left_us / 1000) + 1);
		if (fds[0].revents != 0 && read(l->wake, &count, sizeof count) < 0)
			CHECK(errno == EAGAIN || errno == EINTR);
	} while (l->connection == NULL && !atomic_load(&l->stopping));
}

/* From half of it to all of it, twice as long each time. */
static int64_t next_back_off_us(struct link *l)
{
	l->back_off_us = l->back_off_us == 0 ? BACK_OFF_MIN_US : 2 * l->back_off_us;
	if (l->back_off_us > BACK_OFF_MAX_US)
		l->back_off_us = BACK_OFF_MAX_US;
	return l->back_off_us / 2 + (int64_t)random_below((uint64_t)l->back_off_us / 2 + 1);
}

/* ---- opening and closing ---- */

static bool open_connection(struct link *l)
{
	struct amqp_connection_info to;
	char url[URL_MAX];

	amqp_default_connection_info(&to);
	if (!read_url(l, url))
		return false;
	if (amqp_parse_url(url, &to) != AMQP_STATUS_OK || to.ssl)
		return link_failed(
			l, "RABBITMQ_URL", STR("not amqp://user:password@host:port/vhost"));
	l->connection = amqp_new_connection();
	CHECK(l->connection != NULL);
	return connect_to(l, &to) && log_in(l, &to);
}

static bool read_url(struct link *l, char url[URL_MAX])
{
	ssize_t got;
	int fd;

	if (l->broker.url_file == NULL) {
		snprintf(url, URL_MAX, "%.*s", STR_ARG(l->broker.url));
		return true;
	}
	fd = open(l->broker.url_file, O_RDONLY | O_CLOEXEC);
	got = fd >= 0 ? read(fd, url, URL_MAX - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (got <= 0)
		return link_failed(l, "RABBITMQ_URL_FILE", STR("cannot be read"));
	url[str_trim(str_of(url, (size_t)got)).len] = '\0';
	return true;
}

static bool connect_to(struct link *l, const struct amqp_connection_info *to)
{
	const struct timeval connect_time = {.tv_sec = CONNECT_S};
	const struct timeval handshake_time = {.tv_sec = HANDSHAKE_S};
	const struct timeval answer_time = {.tv_sec = ANSWER_S};
	const unsigned unsent_ms = UNSENT_MS;
	amqp_socket_t *const socket = amqp_tcp_socket_new(l->connection);
	int status;

	CHECK(socket != NULL);
	amqp_set_handshake_timeout(l->connection, &handshake_time);
	amqp_set_rpc_timeout(l->connection, &answer_time);
	status = amqp_socket_open_noblock(socket, to->host, to->port, &connect_time);
	if (!link_sent(l, status, "connect"))
		return false;
	setsockopt(amqp_get_sockfd(l->connection), IPPROTO_TCP, TCP_USER_TIMEOUT, &unsent_ms,
		sizeof unsent_ms);
	set_socket(l, amqp_get_sockfd(l->connection));
	return true;
}

static bool log_in(struct link *l, const struct amqp_connection_info *to)
{
	char name[64];
	amqp_table_entry_t entry = {
		.key = amqp_cstring_bytes("connection_name"), .value.kind = AMQP_FIELD_KIND_UTF8};
	const amqp_table_t properties = {.num_entries = 1, .entries = &entry};
	amqp_rpc_reply_t reply;
	char text[256];

	snprintf(name, sizeof name, "%s %s", l->broker.name, l->use->name);
	entry.value.value.bytes = amqp_cstring_bytes(name);
	reply = amqp_login_with_properties(l->connection, to->vhost, CHANNELS_MAX,
		AMQP_DEFAULT_FRAME_SIZE, LINK_HEARTBEAT_S, &properties, AMQP_SASL_METHOD_PLAIN,
		to->user, to->password);
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		return link_failed(l, "log-in", reply_text(&reply, text));
	amqp_channel_open(l->connection, LINK_CHANNEL);
	return link_done(l, "channel") &&
	       (amqp_exchange_declare(l->connection, LINK_CHANNEL,
			amqp_cstring_bytes(BROKER_EXCHANGE), amqp_cstring_bytes("topic"), false,
			true, false, false, amqp_empty_table),
		       link_done(l, "exchange " BROKER_EXCHANGE));
}

/* Without good-byes: they would wait for an answer. */
static void close_connection(struct link *l)
{
	set_socket(l, -1);
	if (l->connection != NULL)
		amqp_destroy_connection(l->connection);
	l->connection = NULL;
}

static void set_socket(struct link *l, int socket)
{
	pthread_mutex_lock(&l->lock);
	l->socket = socket;
	if (socket >= 0 && atomic_load(&l->stopping))
		shutdown(socket, SHUT_RDWR);
	pthread_mutex_unlock(&l->lock);
}

/* ---- what its users share ---- */

bool link_frame(struct link *l, amqp_frame_t *frame, int64_t wait_us, bool *got)
{
	const struct timeval time = {.tv_sec = wait_us / 1000000, .tv_usec = wait_us % 1000000};
	int status;
	char text[256];

	amqp_maybe_release_buffers(l->connection);
	status = amqp_simple_wait_frame_noblock(l->connection, frame, &time);
	*got = status == AMQP_STATUS_OK;
	if (status == AMQP_STATUS_TIMEOUT)
		return true;
	if (!link_sent(l, status, "read"))
		return false;
	if (frame->frame_type == AMQP_FRAME_METHOD &&
		(frame->payload.method.id == AMQP_CONNECTION_CLOSE_METHOD ||
			frame->payload.method.id == AMQP_CHANNEL_CLOSE_METHOD))
		return link_failed(
			l, "closed by the broker", method_text(&frame->payload.method, text));
	return true;
}

bool link_delivery(struct link *l, amqp_envelope_t *envelope, bool *got)
{
	const struct timeval none = {0};
	amqp_rpc_reply_t reply;
	amqp_frame_t frame;
	bool other;

	amqp_maybe_release_buffers(l->connection);
	reply = amqp_consume_message(l->connection, envelope, &none, 0);
	*got = reply.reply_type == AMQP_RESPONSE_NORMAL;
	if (*got || (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
			    reply.library_error == AMQP_STATUS_TIMEOUT))
		return true;
	if (reply.reply_type != AMQP_RESPONSE_LIBRARY_EXCEPTION ||
		reply.library_error != AMQP_STATUS_UNEXPECTED_STATE) {
		char text[256];

		return link_failed(l, "read", reply_text(&reply, text));
	}
	/* something else stands before it: the broker closes, or has ended the subscription */
	return link_frame(l, &frame, 0, &other) &&
	       (!other || link_failed(l, "subscription", STR("ended by the broker")));
}

bool link_done(struct link *l, const char *what)
{
	const amqp_rpc_reply_t reply = amqp_get_rpc_reply(l->connection);
	char text[256];

	return reply.reply_type == AMQP_RESPONSE_NORMAL ||
	       link_failed(l, what, reply_text(&reply, text));
}

bool link_sent(struct link *l, int status, const char *what)
{
	return status == AMQP_STATUS_OK ||
	       link_failed(l, what, str_from(amqp_error_string2(status)));
}

/* Once an outage. */
bool link_failed(struct link *l, const char *what, struct str why)
{
	if (!l->told && !atomic_load(&l->stopping))
		log_line(LEVEL_WARN, "RabbitMQ is away", LOG_TEXT("connection", l->use->name),
			LOG_TEXT("at", what), LOG_STR("why", why));
	l->told = true;
	return false;
}

static struct str reply_text(const amqp_rpc_reply_t *reply, char out[256])
{
	if (reply->reply_type == AMQP_RESPONSE_SERVER_EXCEPTION)
		return method_text(&reply->reply, out);
	if (reply->reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
		return str_from(amqp_error_string2(reply->library_error));
	return STR("no answer");
}

static struct str method_text(const amqp_method_t *method, char out[256])
{
	struct str text = STR("an unexpected method");
	int code = (int)method->id;

	if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
		const amqp_connection_close_t *const m = method->decoded;

		code = m->reply_code;
		text = link_str(m->reply_text);
	} else if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
		const amqp_channel_close_t *const m = method->decoded;

		code = m->reply_code;
		text = link_str(m->reply_text);
	}
	snprintf(out, 256, "%d %.*s", code, STR_ARG(text));
	return str_from(out);
}

bool broker_url_valid(struct str url)
{
	struct amqp_connection_info to;
	char copy[URL_MAX];

	if (url.len >= sizeof copy)
		return false;
	snprintf(copy, sizeof copy, "%.*s", STR_ARG(url));
	amqp_default_connection_info(&to);
	return amqp_parse_url(copy, &to) == AMQP_STATUS_OK && !to.ssl;
}
