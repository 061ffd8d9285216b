/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of this package know of each other: the process' server, a loop's worker, its
 * connections, and the exchange of one request for one reply. */

#include "http/live.h"
#include "http/route_table.h"
#include "http/server.h"

#include <h2o.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

struct route_metrics;

/* What a port serves: the public routes, or the admin ones. */
struct site {
	const struct server *server;
	struct route_table *routes;
	struct route fallback; /* handler NULL: none */
	struct route_metrics *metrics; /* of each route, then of the fallback, then of what matched
	                                  none */
	bool admin;
	h2o_hostconf_t *hosts[2];
};

struct server {
	struct server_config config;
	h2o_globalconf_t h2o;
	struct site site;
	struct site admin;
	pthread_mutex_t tls_lock; /* over the pointer */
	SSL_CTX *tls; /* NULL: no TLS port */
	unsigned deadline_ms_max; /* of all routes: a task starts with it, its route shortens it */
	atomic_size_t staying; /* connections; see connection_stays */
	atomic_size_t to_shed; /* of them */
};

struct listener {
	h2o_socket_t *socket;
	struct server_worker *worker;
	struct site *site;
	bool tls;
	h2o_accept_ctx_t accept;
};

enum { LISTENERS_MAX = 3 };

/* HTTP/2: streams that a client may have open at a time, on a connection. */
enum { HTTP2_STREAMS_MAX = 100 };

/* Streams by the time of their next visit; see live.c. */
enum { LIVE_SLOTS = 32 };

struct live_wheel {
	struct list slots[LIVE_SLOTS];
	size_t at;
	struct loop_timer tick; /* set while there are streams */
	size_t count; /* of streams */
};

struct server_worker {
	h2o_context_t h2o; /* first: libh2o hands it back */
	struct server *server;
	struct loop *loop;
	struct listener listeners[LISTENERS_MAX];
	size_t listener_count;
	struct list connections;
	size_t connection_count;
	size_t admin_connection_count;
	struct list exchanges;
	struct list spare; /* of exchanges, not in use */
	size_t spare_count;
	size_t exchange_count;
	size_t public_exchange_count;
	struct live_wheel live;
	struct lingering *lingering;
	size_t lingering_count;
	struct z_stream_s *deflate; /* NULL until it is needed */
	struct loop_timer sweep;
	struct loop_timer resume; /* set while accepting is paused */
	int64_t accepted_us; /* the last connection */
	int64_t streams_until_us; /* while announced: when the last live stream has ended */
	bool announced;
	bool closing;
	bool patient; /* it listens until it is quiet, even if no connection is left */
	bool quiet; /* nobody listens on the public ports any more */
};

/* ---- connection.c ---- */

enum connection_state {
	CONNECTION_TLS,
	CONNECTION_SNIFF,
	CONNECTION_HTTP1,
	CONNECTION_HTTP2,
	CONNECTION_WEBSOCKET
};

/* What a connection is doing as far as its times go; worked out anew by each sweep. */
enum connection_phase { PHASE_IDLE, PHASE_HEAD, PHASE_BODY, PHASE_RUNNING, PHASE_SENDING };

/* Ours beside libh2o's own: from accept to close, found as socket->on_close.data. */
struct connection {
	uint32_t magic;
	enum connection_state state;
	struct list link;
	struct listener *listener;
	h2o_socket_t *socket;
	struct timeval accepted_at;
	size_t exchanges; /* not yet answered whole */
	size_t unsent; /* of those, whose bytes libh2o still holds */
	uint64_t requests; /* so far */
	size_t sniffed; /* bytes of the first head that were there at the last look */
	struct arena *refusal; /* of the answer when that was no head; NULL: none */
	struct live *live; /* a stream that has the connection to itself */
	struct st_h2o_http2_conn_t *http2; /* libh2o's, by the last sweep; NULL: none, or closing */
	h2o_socket_cb read; /* HTTP/2: libh2o's, which upload.c calls */
	struct uploads *uploads; /* its streams whose bodies are too large; NULL: none yet */
	bool *gone; /* set when it goes while libh2o reads; NULL: it does not */
	bool greeted; /* HTTP/2: the preface is there */
	int64_t old_us; /* when it is old enough to go */
	int64_t retired_us; /* since when it is */
	bool cut; /* by the sweep */
	bool retiring; /* no request after those that are under way */
	bool staying; /* counted in the server's */
	/* the sweep's */
	enum connection_phase phase;
	int64_t phase_us; /* since when */
	uint64_t phase_requests; /* `requests` then */
	uint64_t moved; /* bytes at the last progress */
	int linger_fd; /* -1: none */
	char peer[INET6_ADDRSTRLEN];
};

void connection_accept(struct listener *l, h2o_socket_t *socket);
struct connection *connection_of(const h2o_req_t *req);

/* Hands the connection with what was read of it over to libh2o. May close it. */
void connection_begin_http1(struct connection *c);
void connection_begin_http2(struct connection *c);

/* The connection will be closed with input unread: keeps a copy of its descriptor to take that in
 * for a while, or the peer would get a reset instead of our answer. */
void connection_will_linger(struct connection *c);

/* Ends what has used up its time or is old; as part of closing, what is idle. */
void connection_sweep(struct connection *c, int64_t now_us);

/* Says whether its client goes on with it, as with a public one of HTTP until that is told to go;
 * server_connections counts those. */
void connection_stays(struct connection *c, bool stays);

/* Cuts it off from outside libh2o's callbacks: libh2o closes it when it looks next. */
void connection_cut(struct connection *c);

/* ---- retire.c ---- */

enum ended { ENDED_HEAD, ENDED_STALL, ENDED_IDLE, ENDED_AGE, ENDED_SHED, ENDED_STOP };

/* Finds libh2o's HTTP/2 connections: with TLS a socket outlives its own. Before each sweep, within
 * which alone the functions below may be called. */
void retire_look(struct server_worker *w);

/* Tells the peer that it goes; what is under way is finished. Once is enough. */
void connection_retire(struct connection *c, enum ended why, int64_t now_us);

/* The next step, to be asked again and again. */
void connection_retire_further(struct connection *c, int64_t now_us);

/* Ends one on which nothing is under way; a request that is on its way already is still read and
 * answered. */
void connection_end_idle(struct connection *c, enum ended why, int64_t now_us);

/* HTTP/2: whether a request is half received. */
bool connection_is_receiving(const struct connection *c);

/* ---- upload.c ---- */

/* HTTP/2: looks at what comes before libh2o does; again when libh2o has put itself first. */
void upload_watch(struct connection *c);

/* The request's answer is out. */
void upload_answered(struct connection *c, const h2o_req_t *req);

/* The connection goes. */
void upload_forget(struct connection *c);

/* ---- tls.c ---- */

void tls_begin(struct server *s);
void tls_end(struct server *s);

/* With the certificate of the moment. Any thread. */
void tls_handshake(struct server *s, h2o_socket_t *socket, h2o_socket_cb done);

/* ---- sniff.c ---- */

/* Finds out which protocol is spoken, and begins it. May close the connection. */
void sniff_start(struct connection *c);

/* ---- linger.c ---- */

void linger_start(struct server_worker *w, int fd);
void linger_sweep(struct server_worker *w, int64_t now_us);
void linger_end(struct server_worker *w);

/* ---- exchange.c ---- */

/* One request and its reply. It ends when both its task and libh2o's request are gone, whichever
 * is later; until then the other side's pointer may be NULL. */
struct exchange {
	uint32_t magic;
	struct list link; /* in worker.exchanges or worker.spare */
	struct server_worker *worker;
	const struct site *site;
	struct connection *connection; /* NULL once req is */
	h2o_req_t *req; /* NULL once libh2o has disposed of it */
	struct task *task; /* NULL before it starts and after it has ended */
	struct arena *arena; /* counted for req */
	h2o_generator_t generator; /* how libh2o asks for more */
	struct request request;
	struct reply reply;
	enum fault fault;
	struct str detail;
	struct str traceparent;
	bool close; /* HTTP/1: the connection ends with this reply */
	bool sending; /* counted in connection.unsent */
	bool compresses;
	int status; /* sent; 0: none yet */
	unsigned waits; /* of the task, when fault injection asked for them */
	bool tells_waits;
	size_t bytes_sent;
	int64_t started_us;
	/* of a reply that is a stream */
	struct loop_hook piece_hook;
	struct str piece;
	enum stream_state piece_state;
	bool piece_given;
	int64_t streamed;
	bool began;
	bool broken; /* by stream_break */
	bool live; /* the stream is a live one */
	bool detached; /* it has begun: as a request it has been accounted for */
};

/* libh2o's handler: starts a task for the request. */
int exchange_on_request(h2o_handler_t *handler, h2o_req_t *req);
struct site_handler {
	h2o_handler_t super;
	const struct site *site;
};

/* What goes on is no request any more, but a stream. */
void exchange_detach(struct exchange *e);

/* Cancels the tasks of all, breaks off their streams. */
void exchange_cancel_all(struct server_worker *w);
void exchange_free_spare(struct server_worker *w);

/* ---- receive.c ---- */

/* Copies the request into s, checks it and finds its route; on the loop. */
enum fault exchange_receive(struct exchange *e, struct scope *s) MUST_CHECK;

/* ---- respond.c ---- */

/* Sends the reply, or the fault as a problem document. e->req is there; s is the task's. */
void exchange_respond(struct exchange *e, struct scope *s);

/* libh2o's filter: makes problem documents of the errors that it answers itself. */
void respond_setup_filter(h2o_filter_t *filter, h2o_req_t *req, h2o_ostream_t **slot);
struct site_filter {
	h2o_filter_t super;
	const struct site *site;
};

/* Status, headers and X-… of a reply into libh2o's; `length` -1 when not known. */
void respond_head(struct exchange *e, int64_t length);

/* ---- compress.c ---- */

/* Whether the body will go out compressed: its tag says so, and the reply that it depends. */
void compress_decide(struct exchange *e);
void compress_body(struct exchange *e);
void compress_end(struct server_worker *w);

/* ---- send_stream.c ---- */

void stream_begin(struct exchange *e);
void stream_proceed(struct exchange *e);
void stream_break(struct exchange *e); /* as if its producer had failed; harmless without one */
void stream_end(struct exchange *e); /* closes it, and what is live; harmless without one */

/* ---- live.c, live_events.c, live_websocket.c ---- */

void live_wheel_init(struct server_worker *w);
void live_end_all(struct server_worker *w, enum live_end why);

/* The worker has announced its end: each stream gets a moment of its own until streams_until_us. */
void live_end_by(struct server_worker *w);

/* The connection is the stream's alone: both know of each other. */
void live_bind(struct live *l, struct connection *c);

/* The peer of its HTTP/1 connection has left. */
void live_events_lost(struct live *l);

void live_events_begin(struct live *l, struct exchange *e);
void live_websocket_begin(struct live *l, struct exchange *e);
void live_gone(struct live *l);

/* ---- account.c ---- */

struct route_metrics *account_new(
	const struct site *site, const struct route *routes, size_t count);
void account_free(struct route_metrics *metrics);
void account_start(const struct exchange *e);
void account_end(const struct exchange *e);
void account_refused_head(const struct site *site, const char *peer, int version, enum fault fault);
void account_connection(int by);
enum refused { REFUSED_CONNECTIONS, REFUSED_DESCRIPTORS, REFUSED_TASKS, REFUSED_STREAMS };
void account_refused(enum refused why);
void account_ended(enum ended why);
void account_live_opened(enum live_kind kind);
void account_live_ended(const struct live *l);
