/* SPDX-License-Identifier: Apache-2.0
 * Targets are refused rather than repaired: libh2o's own normalisation resolves dots and decodes
 * slashes, and two readers of one path that differ are how authorisation is passed by. So nothing
 * here rewrites a path but the decoding of escapes, and those that could change its segments
 * (an escaped slash, dots) are errors. */
#include "http/target.h"

static enum fault read_bytes(struct scope *s, struct str raw);
static enum fault decode(struct scope *s, struct str raw, struct str *decoded);
static enum fault split(struct scope *s, struct target *target);

enum fault target_read(struct scope *s, struct str raw, struct target *target)
{
	const char *question;
	struct str path = raw;

	target->query = STR_NONE;
	target->count = 0;
	TRY(read_bytes(s, raw));
	question = memchr(raw.at, '?', raw.len);
	if (question != NULL) {
		path.len = (size_t)(question - raw.at);
		target->query = str_skip(raw, path.len + 1);
	}
	if (path.len > 1 && path.at[path.len - 1] == '/')
		path.len--;
	TRY(decode(s, path, &target->path));
	return split(s, target);
}

static enum fault read_bytes(struct scope *s, struct str raw)
{
	if (raw.len > TARGET_BYTES_MAX)
		return fail(s, FAULT_URI_TOO_LONG, "the target has %zu bytes, at most %d are read",
			raw.len, TARGET_BYTES_MAX);
	if (raw.len == 0 || raw.at[0] != '/')
		return fail(s, FAULT_BAD_REQUEST, "the target must start with '/'");
	for (size_t i = 0; i < raw.len; i++) {
		const unsigned char c = (unsigned char)raw.at[i];

		if (c <= ' ' || c >= 0x7f || c == '#')
			return fail(s, FAULT_BAD_REQUEST,
				"byte %zu of the target must be percent-encoded", i + 1);
	}
	return OK;
}

static enum fault decode(struct scope *s, struct str raw, struct str *decoded)
{
	char *out;
	size_t len = 0;

	*decoded = raw;
	if (memchr(raw.at, '%', raw.len) == NULL)
		return OK;
	out = arena_bytes(s->arena, raw.len + 1);
	for (size_t i = 0; i < raw.len; i++) {
		int value = (unsigned char)raw.at[i];

		if (value == '%') {
			const int high = i + 2 < raw.len ? str_hex_value(raw.at[i + 1]) : -1;
			const int low = i + 2 < raw.len ? str_hex_value(raw.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return fail(s, FAULT_BAD_REQUEST,
					"'%%' in the path must be followed by two hex digits");
			value = high << 4 | low;
			if (value < ' ' || value == 0x7f || value == '/')
				return fail(s, FAULT_BAD_REQUEST, "%%%02X may not stand in a path",
					(unsigned)value);
			i += 2;
		}
		out[len++] = (char)value;
	}
	out[len] = '\0';
	*decoded = str_of(out, len);
	if (!str_is_utf8(*decoded))
		return fail(s, FAULT_BAD_REQUEST, "the path is not UTF-8");
	return OK;
}

static enum fault split(struct scope *s, struct target *target)
{
	struct str rest = str_skip(target->path, 1);
	struct str segment;

	if (rest.len == 0)
		return OK;
	while (str_cut(&rest, '/', &segment)) {
		if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
			return fail(s, FAULT_BAD_REQUEST,
				"the path may not have \"%.*s\" as a segment", STR_ARG(segment));
		if (target->count < TARGET_SEGMENTS_MAX)
			target->segments[target->count++] = segment;
		else
			target->count = TARGET_SEGMENTS_MAX + 1;
	}
	return OK;
}
