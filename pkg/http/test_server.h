/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For the tests of this package: a server on threads of its own, and a blocking client. */

#include "http/server.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <semaphore.h>

enum { TEST_WORKERS_MAX = 2, TEST_WAIT_S = 20 };

struct test_worker {
	pthread_t thread;
	struct test_server *owner;
	struct loop *loop;
	struct server_worker *worker;
	sem_t ready;
};

struct test_server {
	struct server_config config; /* times, bounds and hooks may be changed before the start */
	struct loop_limits limits;
	struct server *server;
	struct test_worker workers[TEST_WORKERS_MAX];
	size_t worker_count;
	int held[3]; /* keep the ports ours: bound, not listening */
	char cert_file[64];
	char key_file[64];
};

/* Sets free ports and short but safe times; test_server_start starts it. */
void test_server_init(
	struct test_server *ts, const struct route *routes, size_t count, size_t workers);
void test_server_start(struct test_server *ts);

/* A new certificate and its key in files of their own; test_server_init has made the first. */
void test_server_make_certificate(struct test_server *ts);

/* Also proves that nothing is left. */
void test_server_stop(struct test_server *ts);

/* Runs fn(worker, arg) on each worker's loop and waits for it. */
void test_server_call(
	struct test_server *ts, void (*fn)(struct server_worker *w, void *arg), void *arg);

/* As if that time had passed: what is due then is done on each worker when this returns. */
void test_server_pass(struct test_server *ts, int64_t us);

/* Waits until that many connections are left, on all workers together. */
void test_server_wait_connections(struct test_server *ts, size_t count);

/* Fails the test when it is not posted within TEST_WAIT_S. */
void test_wait(sem_t *event);

/* ---- the client; everything fails the test after TEST_WAIT_S ---- */

struct client {
	int fd;
	SSL *ssl;
	char *data; /* received and not yet taken */
	size_t len;
	size_t room;
	size_t credit; /* HTTP/2: bytes of bodies that the server takes by all WINDOW_UPDATE */
};

struct client client_open(uint16_t port);
struct client client_open_tls(uint16_t port, const char *alpn);
void client_close(struct client *c);
void client_send(struct client *c, const void *bytes, size_t len);
void client_say(struct client *c, const char *format, ...) PRINTF_LIKE(2, 3);

/* At least that many bytes into data; false at the end of the stream or a reset. */
bool client_fill(struct client *c, size_t len);
void client_take(struct client *c, size_t len);

/* True when the peer ends the stream, with nothing before it. */
bool client_is_closed(struct client *c);

struct answer {
	int status; /* 0: none came */
	char *head; /* with NUL, as body; answer_free gives both back */
	char *body;
	size_t body_len;
	bool broken; /* the connection ended before the body did */
};

/* Reads one HTTP/1 answer. `bodiless` for HEAD. */
struct answer client_read(struct client *c, bool bodiless);

/* One request on a connection of its own. */
struct answer client_get(uint16_t port, const char *target);
void answer_free(struct answer *a);

/* Value of a header, NULL when it is not there; valid until the next call. */
const char *answer_header(const struct answer *a, const char *name);

/* ---- HTTP/2, as much as a test needs ---- */

enum {
	FRAME_DATA,
	FRAME_HEADERS,
	FRAME_PRIORITY,
	FRAME_RST_STREAM,
	FRAME_SETTINGS,
	FRAME_PUSH,
	FRAME_PING,
	FRAME_GOAWAY,
	FRAME_WINDOW_UPDATE
};

struct frame {
	unsigned type; /* -1: the connection has ended */
	unsigned flags;
	unsigned stream;
	size_t len;
	const unsigned char *payload; /* until the next call */
};

/* Preface and SETTINGS with that initial window. */
void http2_begin(struct client *c, unsigned window);
void http2_frame(struct client *c, unsigned type, unsigned flags, unsigned stream,
	const void *payload, size_t len);

/* HEADERS of a request, with END_STREAM unless a body follows. */
void http2_request(
	struct client *c, unsigned stream, const char *method, const char *path, bool body);

/* The same HEADERS as bytes, with a body of that length to follow; below stream 256. Returns how
 * many. */
size_t http2_head(
	char *out, unsigned stream, const char *method, const char *path, size_t body_len);

/* The next frame that is not SETTINGS, WINDOW_UPDATE or PING. type 255: the connection has ended.
 */
struct frame http2_next(struct client *c);

/* Reads until that stream has ended; status 0 when it was reset. Others' frames are skipped. */
struct answer http2_read(struct client *c, unsigned stream);
