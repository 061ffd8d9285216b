/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Text as a pointer and a length; never owns its bytes, need not end in NUL. `at == NULL` means
 * "not given". */
struct str {
	const char *at;
	size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})

/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).len, (s).at != NULL ? (s).at : ""

/* Several texts. */
struct texts {
	struct str *at;
	size_t count;
};

static inline struct str str_of(const char *at, size_t len)
{
	return (struct str){at, len};
}

static inline struct str str_from(const char *text)
{
	return (struct str){text, text != NULL ? strlen(text) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq(str_of(s.at, prefix.len), prefix);
}

/* Equal without regard to the case of ASCII letters. */
bool str_eq_fold(struct str a, struct str b);

/* Equal in a time that depends on the lengths only: for secrets. */
bool str_eq_secret(struct str a, struct str b);

bool str_ends(struct str s, struct str suffix);

/* What follows the first n bytes; empty when there are fewer. */
struct str str_skip(struct str s, size_t n);

/* Without spaces, tabs and line ends at both ends. */
struct str str_trim(struct str s);

/* Takes what stands before the first separator off the front of *rest, the separator too; all of it
 * when there is none. False once *rest is used up ("a,,b" gives "a", "", "b"). */
bool str_cut(struct str *rest, char separator, struct str *piece);

/* A whole decimal number with optional '-', nothing before or after it. False when it is none or
 * does not fit. */
bool str_to_int64(struct str s, int64_t *value);

/* 0 to 15; -1 when c is no hexadecimal digit. */
static inline int str_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates). */
bool str_is_utf8(struct str s);

/* The bytes of the well-formed UTF-8 sequence at the front; 0 when there is none. */
size_t str_utf8_sequence(struct str s);

/* How many code points well-formed UTF-8 has. */
size_t str_utf8_length(struct str s);
