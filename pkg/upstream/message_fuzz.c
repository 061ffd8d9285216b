/* SPDX-License-Identifier: Apache-2.0
 * Answers of peers: the first byte says in what pieces the rest arrives. Whatever it is, it ends in
 * a state, and the same bytes at once and in pieces give the same body. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "upstream/message.h"

struct outcome {
	enum upstream_read read;
	int status;
	bool stray;
	struct str body;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum upstream_read read_head(struct scope *s, struct str text, size_t piece,
	struct upstream_head *head, struct upstream_reply *reply)
{
	enum upstream_read read = READ_MORE;
	const char *why;

	for (size_t seen = 0; read == READ_MORE && seen < text.len;) {
		const size_t len = text.len - seen < piece ? text.len : seen + piece;
		char *copy = malloc(len); /* of its exact length */

		memcpy(copy, text.at, len);
		read = upstream_head_read(s, str_of(copy, len), seen, false, head, reply, &why);
		free(copy);
		seen = len;
	}
	return read;
}

static struct outcome read_answer(struct scope *s, struct str text, size_t piece)
{
	struct upstream_head head = {0};
	struct upstream_reply reply = {0};
	struct outcome o = {.read = read_head(s, text, piece, &head, &reply)};
	struct buf body = buf_new(s->arena);

	if (o.read != READ_DONE || head.status < 200)
		return o;
	o.status = reply.status;
	CHECK(head.bytes <= text.len && reply.status == head.status);
	text = str_skip(text, head.bytes);
	do {
		size_t n = text.len < piece ? text.len : piece;
		char *copy = malloc(n + 1);

		memcpy(copy, text.at, n);
		text = str_skip(text, n);
		o.read = upstream_body_read(&head.body, copy, &n, &o.stray);
		if (o.read != READ_BAD)
			buf_add(&body, str_of(copy, n));
		free(copy);
	} while (o.read == READ_MORE && text.len > 0);
	o.stray = o.stray || text.len > 0;
	o.body = buf_str(&body);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scope s;

	if (size < 2)
		return 0;
	scope_begin(&s);
	const struct str text = str_of((const char *)data + 1, size - 1);
	const struct outcome whole = read_answer(&s, text, text.len);
	const struct outcome pieces = read_answer(&s, text, (size_t)data[0] + 1);
	/* what is wrong may show later in pieces, when more is awaited first */
	CHECK((whole.read == READ_DONE) == (pieces.read == READ_DONE));
	if (whole.read == READ_DONE)
		CHECK(whole.status == pieces.status && whole.stray == pieces.stray &&
			str_eq(whole.body, pieces.body));
	scope_end(&s);
	return 0;
}
