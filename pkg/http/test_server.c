/* SPDX-License-Identifier: Apache-2.0
 * See test_server.h. Ports are found by binding sockets that stay bound but never listen: the
 * server's own listeners share them by SO_REUSEPORT, and nobody else can take them meanwhile. */
#include "base/testing.h"

#include "http/test_server.h"

#include "base/check.h"
#include "base/clock.h"
#include "http/internal.h"
#include "log/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the server ---- */

static void *run_worker(void *arg);
static uint16_t hold_port(int *fd);

void test_server_init(
	struct test_server *ts, const struct route *routes, size_t count, size_t workers)
{
	*ts = (struct test_server){.worker_count = workers, .limits = LOOP_LIMITS_DEFAULT};
	ts->config = (struct server_config){
		.routes = routes,
		.route_count = count,
		.address = STR("127.0.0.1"),
		.connections_max = 1000,
		.head_timeout_us = 30000000,
		.idle_timeout_us = 30000000,
		.stall_timeout_us = 30000000,
	};
	ts->config.port = hold_port(&ts->held[0]);
	ts->config.tls_port = hold_port(&ts->held[1]);
	ts->config.admin_port = hold_port(&ts->held[2]);
	test_server_make_certificate(ts);
	ts->config.tls_cert_file = ts->cert_file;
	ts->config.tls_key_file = ts->key_file;
	log_set_level(LEVEL_ERROR);
}

void test_server_start(struct test_server *ts)
{
	struct str error = STR_NONE;

	ts->server = server_new(&ts->config, &error);
	if (ts->server == NULL)
		fail_msg("%.*s", STR_ARG(error));
	for (size_t i = 0; i < ts->worker_count; i++) {
		struct test_worker *w = &ts->workers[i];

		w->owner = ts;
		sem_init(&w->ready, 0, 0);
		CHECK(pthread_create(&w->thread, NULL, run_worker, w) == 0);
		test_wait(&w->ready);
	}
}

void test_server_stop(struct test_server *ts)
{
	for (size_t i = 0; i < ts->worker_count; i++)
		loop_stop(ts->workers[i].loop);
	for (size_t i = 0; i < ts->worker_count; i++) {
		pthread_join(ts->workers[i].thread, NULL);
		sem_destroy(&ts->workers[i].ready);
	}
	server_free(ts->server);
	for (size_t i = 0; i < 3; i++)
		close(ts->held[i]);
	unlink(ts->cert_file);
	unlink(ts->key_file);
}

static void *run_worker(void *arg)
{
	struct test_worker *w = arg;
	struct str error = STR_NONE;

	w->loop = loop_new(w->owner->limits);
	w->worker = server_worker_new(w->owner->server, w->loop, &error);
	CHECK(w->worker != NULL);
	sem_post(&w->ready);
	loop_run(w->loop);
	server_worker_free(w->worker);
	loop_free(w->loop);
	return NULL;
}

struct call {
	struct loop_message message;
	struct server_worker *worker;
	void (*fn)(struct server_worker *w, void *arg);
	void *arg;
	sem_t done;
};

static void run_call(struct loop_message *message)
{
	struct call *call = CONTAINER_OF(message, struct call, message);

	call->fn(call->worker, call->arg);
	sem_post(&call->done);
}

void test_server_call(
	struct test_server *ts, void (*fn)(struct server_worker *w, void *arg), void *arg)
{
	for (size_t i = 0; i < ts->worker_count; i++) {
		struct call call = {.message = {.run = run_call},
			.worker = ts->workers[i].worker,
			.fn = fn,
			.arg = arg};

		sem_init(&call.done, 0, 0);
		loop_post(ts->workers[i].loop, &call.message);
		while (sem_wait(&call.done) != 0)
			;
		sem_destroy(&call.done);
	}
}

static void turn(struct server_worker *w, void *arg)
{
	(void)w, (void)arg;
}

void test_server_pass(struct test_server *ts, int64_t us)
{
	clock_advance_us(us);
	test_server_call(ts, turn, NULL); /* timers come before messages */
}

static void add_connections(struct server_worker *w, void *arg)
{
	*(size_t *)arg += w->connection_count;
}

void test_server_wait_connections(struct test_server *ts, size_t count)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	size_t now = 0;

	for (int i = 0; i < TEST_WAIT_S * 500; i++) {
		now = 0;
		test_server_call(ts, add_connections, &now);
		if (now == count)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("%zu connections are left, not %zu", now, count);
}

void test_wait(sem_t *event)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += TEST_WAIT_S;
	while (sem_timedwait(event, &until) != 0)
		if (errno != EINTR)
			fail_msg("waited in vain: %s", strerror(errno));
}

static uint16_t hold_port(int *fd)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	const int on = 1;

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
	CHECK(bind(*fd, (struct sockaddr *)&address, sizeof address) == 0);
	CHECK(getsockname(*fd, (struct sockaddr *)&address, &len) == 0);
	return ntohs(address.sin_port);
}

static FILE *temporary(char path[64])
{
	int fd;

	strcpy(path, "/tmp/bodega_http_test_XXXXXX");
	fd = mkstemp(path);
	CHECK(fd >= 0);
	return fdopen(fd, "w");
}

void test_server_make_certificate(struct test_server *ts)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	FILE *out;

	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
		(const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
	out = temporary(ts->cert_file);
	PEM_write_X509(out, cert);
	fclose(out);
	out = temporary(ts->key_file);
	PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	fclose(out);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* ---- the client ---- */

struct client client_open(uint16_t port)
{
	const struct timeval wait = {.tv_sec = TEST_WAIT_S};
	const struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int on = 1;
	struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	setsockopt(c.fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(c.fd, (const struct sockaddr *)&address, sizeof address) != 0)
		fail_msg("connect: %s", strerror(errno));
	return c;
}

struct client client_open_tls(uint16_t port, const char *alpn)
{
	struct client c = client_open(port);
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	unsigned char list[32];
	const size_t len = strlen(alpn);

	list[0] = (unsigned char)len;
	memcpy(list + 1, alpn, len);
	SSL_CTX_set_alpn_protos(tls, list, (unsigned)len + 1);
	c.ssl = SSL_new(tls);
	SSL_set_fd(c.ssl, c.fd);
	if (SSL_connect(c.ssl) != 1)
		fail_msg("no TLS handshake");
	SSL_CTX_free(tls);
	return c;
}

void client_close(struct client *c)
{
	SSL_free(c->ssl);
	close(c->fd);
	free(c->data);
	*c = (struct client){.fd = -1};
}

void client_send(struct client *c, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		const ssize_t sent = c->ssl != NULL ? SSL_write(c->ssl, at, (int)len)
		                                    : send(c->fd, at, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return; /* the peer has closed: what it said can still be read */
		at += sent;
		len -= (size_t)sent;
	}
}

void client_say(struct client *c, const char *format, ...)
{
	char *text;
	va_list args;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	CHECK(len >= 0);
	client_send(c, text, (size_t)len);
	free(text);
}

bool client_fill(struct client *c, size_t len)
{
	while (c->len < len) {
		ssize_t got;

		if (c->room - c->len < 65536) {
			c->room = c->room * 2 + 65536;
			c->data = realloc(c->data, c->room);
			CHECK(c->data != NULL);
		}
		got = c->ssl != NULL ? SSL_read(c->ssl, c->data + c->len, 65536)
		                     : recv(c->fd, c->data + c->len, 65536, 0);
		if (got < 0 && c->ssl == NULL && (errno == EAGAIN || errno == EWOULDBLOCK))
			fail_msg("the server said nothing for %d s", TEST_WAIT_S);
		if (got <= 0)
			return false;
		c->len += (size_t)got;
	}
	return true;
}

void client_take(struct client *c, size_t len)
{
	memmove(c->data, c->data + len, c->len - len);
	c->len -= len;
}

bool client_is_closed(struct client *c)
{
	return !client_fill(c, 1);
}

/* ---- HTTP/1 ---- */

static void read_body(struct client *c, struct answer *a, size_t len);
static void read_chunks(struct client *c, struct answer *a);
static void read_to_end(struct client *c, struct answer *a);
static void append_body(struct answer *a, const char *bytes, size_t len);

struct answer client_read(struct client *c, bool bodiless)
{
	struct answer a = {0};
	const char *end = NULL;
	const char *length;
	size_t head;

	while (c->len == 0 || (end = memmem(c->data, c->len, "\r\n\r\n", 4)) == NULL)
		if (!client_fill(c, c->len + 1))
			return a;
	head = (size_t)(end - c->data) + 4;
	a.head = strndup(c->data, head);
	client_take(c, head);
	CHECK(sscanf(a.head, "HTTP/1.1 %d", &a.status) == 1);
	append_body(&a, "", 0);
	if (bodiless || a.status == 204 || a.status == 304)
		return a;
	length = answer_header(&a, "content-length");
	if (length != NULL)
		read_body(c, &a, (size_t)atol(length));
	else if (answer_header(&a, "transfer-encoding") != NULL)
		read_chunks(c, &a);
	else
		read_to_end(c, &a);
	return a;
}

struct answer client_get(uint16_t port, const char *target)
{
	struct client c = client_open(port);
	struct answer a;

	client_say(&c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", target);
	a = client_read(&c, false);
	client_close(&c);
	return a;
}

void answer_free(struct answer *a)
{
	free(a->head);
	free(a->body);
	a->head = a->body = NULL;
}

const char *answer_header(const struct answer *a, const char *name)
{
	static _Thread_local char value[1024];
	const size_t len = strlen(name);

	if (a->head == NULL)
		return NULL;
	for (const char *line = strstr(a->head, "\r\n"); line != NULL;
		line = strstr(line + 2, "\r\n")) {
		if (strncasecmp(line + 2, name, len) != 0 || line[2 + len] != ':')
			continue;
		snprintf(value, sizeof value, "%.*s", (int)strcspn(line + len + 4, "\r"),
			line + len + 4);
		return value;
	}
	return NULL;
}

static void read_body(struct client *c, struct answer *a, size_t len)
{
	a->broken = !client_fill(c, len);
	if (a->broken)
		len = c->len;
	append_body(a, c->data, len);
	client_take(c, len);
}

static void read_chunks(struct client *c, struct answer *a)
{
	for (;;) {
		const char *end = NULL;
		size_t size;

		while (c->len == 0 || (end = memmem(c->data, c->len, "\r\n", 2)) == NULL) {
			if (!client_fill(c, c->len + 1)) {
				a->broken = true;
				return;
			}
		}
		size = strtoul(c->data, NULL, 16);
		client_take(c, (size_t)(end - c->data) + 2);
		if (!client_fill(c, size + 2)) {
			a->broken = true;
			return;
		}
		append_body(a, c->data, size);
		client_take(c, size + 2);
		if (size == 0)
			return;
	}
}

static void read_to_end(struct client *c, struct answer *a)
{
	while (client_fill(c, c->len + 1))
		;
	append_body(a, c->data, c->len);
	client_take(c, c->len);
}

static void append_body(struct answer *a, const char *bytes, size_t len)
{
	a->body = realloc(a->body, a->body_len + len + 1);
	CHECK(a->body != NULL);
	if (len > 0)
		memcpy(a->body + a->body_len, bytes, len);
	a->body_len += len;
	a->body[a->body_len] = '\0';
}

/* ---- HTTP/2 ---- */

static int status_of(const struct frame *f);
static size_t put_literal(unsigned char *out, unsigned index, const char *value);

void http2_begin(struct client *c, unsigned window)
{
	const unsigned char settings[] = {0, 4, (unsigned char)(window >> 24),
		(unsigned char)(window >> 16), (unsigned char)(window >> 8), (unsigned char)window};
	const unsigned more = window > 65535 ? window - 65535 : 0;
	const unsigned char by[] = {
		0, (unsigned char)(more >> 16), (unsigned char)(more >> 8), (unsigned char)more};

	client_say(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	http2_frame(c, FRAME_SETTINGS, 0, 0, settings, sizeof settings);
	if (more > 0) /* the connection's own window is not a setting */
		http2_frame(c, FRAME_WINDOW_UPDATE, 0, 0, by, sizeof by);
}

void http2_frame(struct client *c, unsigned type, unsigned flags, unsigned stream,
	const void *payload, size_t len)
{
	unsigned char head[9] = {(unsigned char)(len >> 16), (unsigned char)(len >> 8),
		(unsigned char)len, (unsigned char)type, (unsigned char)flags,
		(unsigned char)(stream >> 24), (unsigned char)(stream >> 16),
		(unsigned char)(stream >> 8), (unsigned char)stream};

	client_send(c, head, sizeof head);
	client_send(c, payload, len);
}

void http2_request(
	struct client *c, unsigned stream, const char *method, const char *path, bool body)
{
	unsigned char block[256];
	size_t len = 0;

	len += put_literal(block + len, 2, method); /* :method */
	len += put_literal(block + len, 4, path); /* :path */
	len += put_literal(block + len, 6, "http"); /* :scheme */
	len += put_literal(block + len, 1, "test"); /* :authority */
	http2_frame(c, FRAME_HEADERS, body ? 4 : 5, stream, block, len);
}

size_t http2_head(char *out, unsigned stream, const char *method, const char *path, size_t body_len)
{
	unsigned char *const block = (unsigned char *)out + 9;
	char text[24];
	size_t len = 0;

	len += put_literal(block + len, 2, method); /* :method */
	len += put_literal(block + len, 4, path); /* :path */
	len += put_literal(block + len, 6, "http"); /* :scheme */
	len += put_literal(block + len, 1, "test"); /* :authority */
	snprintf(text, sizeof text, "%zu", body_len);
	block[len++] = 0x0f; /* 15 and 13: content-length */
	len += put_literal(block + len, 13, text);
	memcpy(out,
		(const unsigned char[]){
			0, 0, (unsigned char)len, FRAME_HEADERS, 4, 0, 0, 0, (unsigned char)stream},
		9);
	return len + 9;
}

struct frame http2_next(struct client *c)
{
	static _Thread_local unsigned char payload[1 << 17];
	const struct frame ended = {.type = 255};
	struct frame f;

	do {
		const unsigned char *head;

		if (!client_fill(c, 9))
			return ended;
		head = (const unsigned char *)c->data;
		f = (struct frame){.len = (size_t)(head[0] << 16 | head[1] << 8 | head[2]),
			.type = head[3],
			.flags = head[4],
			.stream =
				(unsigned)(head[5] << 24 | head[6] << 16 | head[7] << 8 | head[8]),
			.payload = payload};
		CHECK(f.len <= sizeof payload);
		if (!client_fill(c, 9 + f.len))
			return ended;
		memcpy(payload, c->data + 9, f.len);
		client_take(c, 9 + f.len);
		if (f.type == FRAME_WINDOW_UPDATE && f.stream == 0)
			c->credit += (size_t)(payload[0] << 24 | payload[1] << 16 |
					      payload[2] << 8 | payload[3]);
	} while (f.type == FRAME_SETTINGS || f.type == FRAME_WINDOW_UPDATE || f.type == FRAME_PING);
	return f;
}

struct answer http2_read(struct client *c, unsigned stream)
{
	struct answer a = {0};
	struct frame f;

	append_body(&a, "", 0);
	do {
		f = http2_next(c);
		if (f.type == 255) {
			a.broken = true;
			return a;
		}
		if (f.stream != stream)
			continue;
		if (f.type == FRAME_HEADERS)
			a.status = status_of(&f);
		else if (f.type == FRAME_DATA)
			append_body(&a, (const char *)f.payload, f.len);
		else if (f.type == FRAME_RST_STREAM)
			a.broken = true;
	} while (f.stream != stream || (f.type != FRAME_RST_STREAM && (f.flags & 1) == 0));
	return a;
}

/* The first field of libh2o's header block is :status, indexed or as a literal. */
static int status_of(const struct frame *f)
{
	static const int indexed[] = {200, 204, 206, 304, 400, 404, 500};

	if (f->payload[0] >= 0x88 && f->payload[0] <= 0x8e)
		return indexed[f->payload[0] - 0x88];
	CHECK(f->len > 5 && f->payload[1] == 3);
	return atoi((char[]){(char)f->payload[2], (char)f->payload[3], (char)f->payload[4], '\0'});
}

static size_t put_literal(unsigned char *out, unsigned index, const char *value)
{
	const size_t len = strlen(value);

	CHECK(len < 127);
	out[0] = (unsigned char)index;
	out[1] = (unsigned char)len;
	memcpy(out + 2, value, len);
	return len + 2;
}

#if defined(__SANITIZE_ADDRESS__)
/* libh2o keeps a few free chunks for each thread and never gives them back. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:h2o_mem_alloc_recycle\n";
}
#endif
