/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* libh2o exports its parsers (picohttpparser) but does not ship their header. All return -1 for
 * what is malformed and -2 for what is not whole yet; last_len is how much was there at the try
 * before, 0 at the first. */

struct phr_header {
	const char *name; /* NULL: the line continues the one before */
	size_t name_len;
	const char *value;
	size_t value_len;
};

struct phr_chunked_decoder {
	size_t bytes_left_in_chunk;
	char consume_trailer;
	char _hex_count;
	char _state;
};

/* The length of the head; header_count is the array's room before and what was found after. */
int phr_parse_request(const char *bytes, size_t len, const char **method, size_t *method_len,
	const char **path, size_t *path_len, int *minor_version, struct phr_header *headers,
	size_t *header_count, size_t last_len);
int phr_parse_response(const char *bytes, size_t len, int *minor_version, int *status,
	const char **message, size_t *message_len, struct phr_header *headers, size_t *header_count,
	size_t last_len);

/* Decodes in place; *len becomes the payload's. What follows the last chunk: its length. */
ssize_t phr_decode_chunked(struct phr_chunked_decoder *decoder, char *bytes, size_t *len);
