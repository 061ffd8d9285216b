/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/route.h"

/* An HTTP/1.1 and HTTP/2 server on libh2o: one for a process, one worker of it for each loop
 * thread. The accept path is ours (protocol sniffing, own connection records, strict HTTP/1 heads).
 */
struct server;
struct server_worker;

struct server_config {
	const struct route *routes;
	size_t route_count;
	const struct route *admin_routes; /* on the admin port only */
	size_t admin_route_count;
	handler_fn *fallback; /* for what no route matches (the gateway's proxy); NULL: 404 */
	/* Who calls; runs on the fiber before the handler when the request has an Authorization
	 * header or the route needs a caller. */
	enum fault (*authenticate)(
		struct task *t, const struct request *request, struct caller *caller);
	/* Looks at a request before it is routed and may change what its task will see: its target
	 * (paths that older clients use), its headers (what strangers must not send). On the loop,
	 * it must not suspend; texts live in s. NULL: nothing. */
	void (*receive)(struct scope *s, struct request *request);
	/* Adds headers to a reply just before it is sent, a problem document's and the answer to
	 * OPTIONS included (CORS, RateLimit); on the loop, it must not suspend. NULL: nothing. */
	void (*before_reply)(const struct request *request, struct reply *reply);
	struct str address; /* to listen on: "0.0.0.0", "127.0.0.1", "::" */
	uint16_t port; /* 0: none */
	uint16_t admin_port; /* 0: none */
	uint16_t tls_port; /* 0: none */
	const char *tls_cert_file;
	const char *tls_key_file;
	size_t connections_max; /* a worker, without the admin port's */
	size_t requests_max; /* running at a time, a worker, without the admin port's; more: 503.
	                        Below the loop's tasks_max, so that probes and background work still
	                        find room. 0: no bound but that one */
	int64_t head_timeout_us; /* from the first byte of a head to its last: 10 s */
	int64_t idle_timeout_us; /* keep-alive: 75 s */
	int64_t connection_age_us; /* then a public connection is told to go, a tenth sooner or
	                              later; live streams go on. 0: never */
	size_t streams_max; /* live ones, a worker; more: 503. 0: no bound */
	int64_t heartbeat_us; /* of live streams; 0: 25 s */
	int64_t stall_timeout_us; /* with unsent output or a half-received request: 30 s */
};

/* Compiles the routes, reads the certificate, binds nothing yet. NULL with a sentence in error. */
struct server *server_new(const struct server_config *config, struct str *error);
void server_free(struct server *s);

/* Reads the certificate and its key anew: handshakes that begin from now on get it. False with a
 * sentence in error: they cannot be read or do not belong together, and the one before stays. The
 * same thread each time. */
bool server_load_certificate(struct server *s, struct str *error);

/* Listens and serves on the calling thread's loop (SO_REUSEPORT). NULL with a sentence in error. */
struct server_worker *server_worker_new(struct server *s, struct loop *l, struct str *error);

/* Public connections that clients go on with: not told to go, no WebSockets. Any thread. */
size_t server_connections(const struct server *s);

/* That many of them, the oldest of each worker first, are told to go soon, as old ones are. Counts
 * anew: what the last call has left over is forgotten. Any thread. */
void server_shed(struct server *s, size_t count);

/* The steps of draining, on the worker's thread. announce: HTTP/1 answers carry Connection: close;
 * new connections are still served; live streams are told to connect again, spread over that time
 * (0: when closing). close: live streams end, HTTP/2 gets GOAWAY, idle HTTP/1 connections are
 * closed, and the public listeners once no new connection has come for SERVER_QUIET_US, or, unless
 * `patient`, when no connection is left; requests go on. The admin port is served to the end. */
enum { SERVER_QUIET_US = 2000000 };
void server_worker_announce(struct server_worker *w, int64_t over_us);
void server_worker_close(struct server_worker *w, bool patient);

/* The last step, to be asked again and again after close: true once no public connection is left
 * and nobody listens. Who waits in the queue of a listener that closes is taken in and served
 * first. */
bool server_worker_drain(struct server_worker *w);

/* Cuts the connections that are left, cancels their tasks and waits for them (turns the loop). */
void server_worker_free(struct server_worker *w);
