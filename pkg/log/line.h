/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "log/log.h"

/* Room for one line: what does not fit is left out, and the line says so. */
struct line {
	size_t len;
	bool cut;
	char at[LOG_LINE_MAX];
};

/* The whole JSON line, a line end behind it. */
void line_make(struct line *line, const char *service, const struct log_context *context,
	enum level level, const char *message, const struct log_pair *pairs);
