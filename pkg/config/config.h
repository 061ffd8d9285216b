/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

#include <stdio.h>

/* The environment read into a struct by a table, one line a variable. For each NAME there is also
 * NAME_FILE, which names a file that holds the value (a line end behind it is cut off); both at
 * once are an error. An empty value counts as none. */

enum config_type {
	CONFIG_TEXT, /* struct str, ends in NUL; STR_NONE when not given and without default */
	CONFIG_SECRET, /* the same; its value is never shown */
	CONFIG_TEXTS, /* struct texts: split at commas, trimmed */
	CONFIG_LIST, /* const struct texts *, the same where it may be live; never NULL */
	CONFIG_INT, /* int64_t, min..max */
	CONFIG_DURATION, /* int64_t µs, min..max: 500us, 500ms, 10s, 30m, 2h, 7d */
	CONFIG_BOOL, /* bool: true or false */
	CONFIG_PORT, /* uint16_t; 0: none */
	CONFIG_CHOICE, /* int, an index into `choices` */
	CONFIG_URL, /* struct str, a secret as soon as it holds a password; scheme is one of
	               `choices` */
	CONFIG_URLS, /* struct texts of such */
};

/* The default of a variable that must be given, and of one that may be left out. */
#define CONFIG_REQUIRED NULL
#define CONFIG_OPTIONAL ""

struct config_field {
	const char *name; /* "ORDER_TTL" */
	enum config_type type;
	size_t offset; /* in the struct */
	const char
		*fallback; /* in the variable's own notation, CONFIG_REQUIRED or CONFIG_OPTIONAL */
	const char *help; /* a sentence for --help */
	int64_t min; /* both 0: anything from 0 */
	int64_t max;
	const char *choices; /* separated by spaces: "anyone role", "postgresql postgres" */
	bool live; /* may change while the program runs (config/live.h); an INT, DURATION, CHOICE
	              or LIST whose member is _Atomic */
};

/* One line of a table:
 * CONFIG(struct settings, order_ttl_us, DURATION, "ORDER_TTL", "30m", "How long …", .min = …)
 * The member must have the type's own C type. */
#define CONFIG(owner, member, type_, name_, fallback_, help_, ...)                 \
	{                                                                          \
		.name = (name_), .type = CONFIG_##type_,                           \
		.offset = offsetof(owner, member) +                                \
		          0 * _Generic(((owner *)0)->member, CONFIG_C_TYPE_##type_ \
				       : (size_t)1),                               \
		.fallback = (fallback_), .help = (help_), __VA_ARGS__              \
	}

#define CONFIG_C_TYPE_TEXT struct str
#define CONFIG_C_TYPE_SECRET struct str
#define CONFIG_C_TYPE_TEXTS struct texts
#define CONFIG_C_TYPE_LIST const struct texts *
#define CONFIG_C_TYPE_INT int64_t
#define CONFIG_C_TYPE_DURATION int64_t
#define CONFIG_C_TYPE_BOOL bool
#define CONFIG_C_TYPE_PORT uint16_t
#define CONFIG_C_TYPE_CHOICE int
#define CONFIG_C_TYPE_URL struct str
#define CONFIG_C_TYPE_URLS struct texts

/* Fills the struct at `into`; texts live in s, so s lives as long as the process. FAULT_INVALID:
 * each wrong or missing variable is recorded as a field error of s; several tables may be loaded
 * into one s before looking. */
enum fault config_load(
	struct scope *s, const struct config_field *fields, size_t count, void *into) MUST_CHECK;

/* One line an error, for a program that is about to exit with CONFIG_EXIT (EX_CONFIG). */
void config_print_errors(const struct scope *s, const char *program, FILE *out);
enum { CONFIG_EXIT = 78 };

/* The table for --help: name, default, sentence. */
void config_help(const struct config_field *fields, size_t count, FILE *out);

/* The file that NAME_FILE names, for what is read anew later; NULL when there is none. */
const char *config_file(const char *name);
