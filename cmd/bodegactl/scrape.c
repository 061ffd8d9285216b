/* SPDX-License-Identifier: Apache-2.0
 * Reads metrics line by line: name{label="value",…} number. */
#include "scrape.h"

#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_LEN_MAX = 40 };

static bool next_series(struct str *text, struct str name, struct str *labels, struct str *value);
static bool cut_labels(struct str *rest, struct str *labels);
static bool to_number(struct str text, double *number);

bool scrape_sum(struct str text, struct str name, double *sum)
{
	struct str labels, value;
	bool found = false;
	double number;

	*sum = 0;
	while (next_series(&text, name, &labels, &value)) {
		if (!to_number(value, &number))
			continue;
		*sum += number;
		found = true;
	}
	return found;
}

struct str scrape_label(struct str text, struct str name, struct str label)
{
	struct str labels, value, key;

	if (!next_series(&text, name, &labels, &value))
		return STR_NONE;
	while (str_cut(&labels, '=', &key)) {
		labels = str_skip(labels, 1); /* the quote */
		size_t len = 0;
		while (len < labels.len && labels.at[len] != '"')
			len += labels.at[len] == '\\' ? 2 : 1;
		if (len >= labels.len)
			return STR_NONE;
		if (str_eq(key, label))
			return str_of(labels.at, len);
		labels = str_skip(labels, len + 2); /* quote and comma */
	}
	return STR_NONE;
}

/* Takes lines off the front of *text up to and with the next one of the name. */
static bool next_series(struct str *text, struct str name, struct str *labels, struct str *value)
{
	struct str line;

	while (str_cut(text, '\n', &line)) {
		if (!str_starts(line, name))
			continue;
		line = str_skip(line, name.len);
		if (!cut_labels(&line, labels))
			continue; /* another name, which begins alike */
		*value = str_trim(line);
		return true;
	}
	return false;
}

/* Values may hold braces and, escaped, quotes. */
static bool cut_labels(struct str *rest, struct str *labels)
{
	bool quoted = false;

	*labels = STR_NONE;
	if (str_starts(*rest, STR(" ")))
		return true;
	if (!str_starts(*rest, STR("{")))
		return false;
	for (size_t i = 1; i < rest->len; i++) {
		const char c = rest->at[i];
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (c == '}' && !quoted) {
			*labels = str_of(rest->at + 1, i - 1);
			*rest = str_skip(*rest, i + 1);
			return true;
		}
	}
	return false;
}

static bool to_number(struct str text, double *number)
{
	char copy[NUMBER_LEN_MAX + 1], *end;

	if (text.len == 0 || text.len > NUMBER_LEN_MAX)
		return false;
	snprintf(copy, sizeof copy, "%.*s", STR_ARG(text));
	*number = strtod(copy, &end);
	return *end == '\0';
}
