/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/request.h"
#include "http/stream.h"

/* Calls to another service: HTTP/1.1 over a thread's pool of kept-alive connections, each call
 * bounded by the task's deadline. A name's addresses are looked up every 5 s, off the loop; while
 * that fails the last ones are kept. Least outstanding calls choose the address. One that refuses
 * or resets a connect (no byte of the request sent) is a last choice for 10 s, and the call goes on
 * to another one whatever its method; so is one whose answer says `Connection: close`, for there a
 * program drains. A kept-alive connection that turns out dead before any byte of the answer is
 * tried once more for idempotent methods and requests with an Idempotency-Key. */
struct upstream;
struct upstream_request;

struct upstream_config {
	const char *name; /* "products": in metrics, logs and the MAC */
	const struct str *addresses; /* "127.0.0.1:8082", "products:8082", "unix:/path" */
	size_t address_count; /* at most UPSTREAM_ADDRESSES_MAX */
	bool first; /* the process' one pool of this peer that counts and logs what all of them see
	               alike: addresses and look-ups */
	unsigned connections_max; /* an address and thread */
	unsigned queue_max; /* calls waiting for a connection; more: FAULT_OVERLOADED */
	size_t body_bytes_max; /* of an answer read whole */
	/* Adds the caller's MAC (internal calls), anew for each attempt; must not suspend. NULL:
	 * none. */
	void (*sign)(struct task *t, const struct upstream_config *config,
		struct upstream_request *request);
	void *sign_key;
};

enum { UPSTREAM_ADDRESSES_MAX = 64, UPSTREAM_HEADERS_MAX = 48 };

struct upstream_request {
	struct str method;
	struct str target; /* path and query */
	struct str body;
	struct header headers[UPSTREAM_HEADERS_MAX];
	size_t header_count;
	bool idempotent; /* may be sent once more although the first may have arrived; GET, HEAD,
	                    PUT and DELETE are anyway */
	bool keyed; /* the same, by an Idempotency-Key: but what became of it only a repeat tells */
};

struct upstream_reply {
	int status; /* 200–599 */
	bool repeated; /* it was sent before on a connection that died: that one may have had
	                  another answer */
	struct header *headers; /* names in lower case; hop-by-hop ones are gone */
	size_t header_count;
	struct str body; /* of upstream_call */
	int64_t body_bytes; /* Content-Length, -1 when not known */
};

/* One a thread. Copies the configuration; each address must be valid. */
struct upstream *upstream_new(struct loop *l, const struct upstream_config *config);
void upstream_free(struct upstream *u);

/* Sends the request and reads the whole answer into the task's scope; adds Host, Content-Length,
 * X-Request-Id, traceparent and Bodega-Deadline-Ms (what remains, less 200 ms for this hop). Any
 * status is OK. FAULT_UNAVAILABLE: no address took the connection; FAULT_BAD_GATEWAY: the answer is
 * not HTTP or too large; FAULT_UNKNOWN: sent, but the connection was lost before the answer (not
 * for idempotent requests: FAULT_UNAVAILABLE); FAULT_DEADLINE. Suspends. */
enum fault upstream_call(struct task *t, struct upstream *u, struct upstream_request *request,
	struct upstream_reply *reply) MUST_CHECK;

/* As upstream_call, but returns with the head; the body comes by *body, with back-pressure down to
 * the peer's socket; each piece may take as long as the task had left at the call. *body belongs to
 * the caller (close it); it is NULL when the whole body came with the head and is in reply->body.
 * Suspends. */
enum fault upstream_open(struct task *t, struct upstream *u, struct upstream_request *request,
	struct upstream_reply *reply, struct stream **body) MUST_CHECK;

/* What the calling thread knows of an address. */
struct upstream_address_state {
	struct str address;
	int32_t calls; /* under way */
	int32_t idle; /* connections kept */
	bool refused; /* lately: it is the last choice */
	bool closing; /* it said so lately: it is the last choice but for those */
};

/* One for each address in rotation, in s. */
size_t upstream_states(
	const struct upstream *u, struct scope *s, struct upstream_address_state **states);

/* An address or a name with a port ("127.0.0.1:8082", "[::1]:8082", "products:8082"; "http://"
 * before and '/' behind it are allowed) or "unix:/path". */
bool upstream_address_valid(struct str address);

/* Name in lower case; both live until the call has ended. */
void upstream_header(struct upstream_request *request, struct str name, struct str value);

/* The problem document's code of a 4xx or 5xx answer as one of our faults (by fault.def's codes;
 * else by status), with its detail recorded in s: for handing a peer's refusal on. */
enum fault upstream_fault(struct scope *s, const struct upstream_reply *reply) MUST_CHECK;
