/* SPDX-License-Identifier: Apache-2.0
 * Secrets as variables hold them. What is wrong is said without showing any of it. */
#include "auth/secret.h"

#include "auth/base64.h"
#include "auth/crypto.h"

static struct str next_value(struct str *rest);
static bool decode(struct scope *s, struct str text, struct str *value);

enum fault secret_read(
	struct scope *s, const char *variable, struct str text, struct secret *secret)
{
	const struct str current = next_value(&text);
	const struct str previous = next_value(&text);

	*secret = (struct secret){0};
	if (decode(s, current, &secret->current) &&
		(previous.len == 0 || decode(s, previous, &secret->previous)) &&
		next_value(&text).len == 0)
		return OK;
	return fail_field(s, str_from(variable), "format",
		"must be %d bytes or more in base64, or two such values with a space between",
		SECRET_BYTES_MIN);
}

/* Takes it off the front; empty when there is none. */
static struct str next_value(struct str *rest)
{
	const struct str text = str_trim(*rest);
	size_t len = 0;

	while (len < text.len && strchr(" \t\r\n", text.at[len]) == NULL)
		len++;
	*rest = str_skip(text, len);
	return str_of(text.at, len);
}

static bool decode(struct scope *s, struct str text, struct str *value)
{
	return base64_decode(s->arena, BASE64, text, value) && value->len >= SECRET_BYTES_MIN;
}
