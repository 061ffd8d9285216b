/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/phr.h"
#include "upstream/upstream.h"

/* HTTP/1.1 messages as bytes: requests written, answers read. Pure; everything that a peer may send
 * ends in a state, never in an assertion. */

/* ---- requests ---- */

/* FAULT_BAD_REQUEST when the target or a header holds a byte that would end its line. */
enum fault upstream_request_check(
	struct scope *s, const struct upstream_request *request) MUST_CHECK;

/* The head up to its empty line, in s. `host` is used unless the request has a Host of its own. */
struct str upstream_head_write(
	struct scope *s, const struct upstream_request *request, struct str host);

/* ---- answers ---- */

enum { UPSTREAM_HEAD_BYTES_MAX = 8 << 10, UPSTREAM_REPLY_HEADERS_MAX = 64 };

enum upstream_body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

/* How far the body of an answer has come. */
struct upstream_body {
	enum upstream_body_kind kind;
	int64_t left; /* of BODY_LENGTH */
	struct phr_chunked_decoder decoder;
};

struct upstream_head {
	size_t bytes; /* that the head took */
	int status; /* 100–599 */
	bool keep; /* the connection may carry another request */
	bool closing; /* the peer says that it will not */
	struct upstream_body body;
};

enum upstream_read { READ_MORE, READ_DONE, READ_BAD };

/* Reads the head at the front of `bytes`, of which `seen` were there at the last try; a final
 * answer fills *reply in s. `why` says what is wrong with a bad one. */
enum upstream_read upstream_head_read(struct scope *s, struct str bytes, size_t seen,
	bool of_head_request, struct upstream_head *head, struct upstream_reply *reply,
	const char **why);

/* Takes *len more bytes of the body, decodes them in place and sets *len to what is payload.
 * *stray: bytes follow that belong to no answer. */
enum upstream_read upstream_body_read(
	struct upstream_body *body, char *bytes, size_t *len, bool *stray);
