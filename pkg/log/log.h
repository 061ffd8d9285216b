/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/fault.h"

/* One line of JSON an event: time, level, service, message, then what is known of the request, then
 * the caller's own pairs. Never blocks: a line goes to a bounded buffer of the thread and a writer
 * thread takes it from there; when the writer falls behind, lines are dropped and counted. Before
 * log_start and after log_stop lines are written at once, to standard error. */

/* Names the service and starts the writer on a descriptor. */
void log_start(const char *service, int fd);

/* Writes out what is left and ends the writer; also runs at exit. */
void log_stop(void);

/* Lines below that level are not made; LEVEL_INFO at the start. At any time, from any thread. */
void log_set_level(enum level level);
enum level log_level(void);

/* "debug", "info", "warn", "error". */
bool log_level_parse(struct str name, enum level *level);
const char *log_level_name(enum level level);

/* Lines dropped since the start; the log itself tells of them. */
uint64_t log_dropped(void);

/* A key and its value. Values of keys that name secrets (password, token, authorization, cookie, …)
 * and passwords inside URLs are replaced. Longer values than LOG_VALUE_MAX are cut. */
struct log_pair {
	const char *key; /* a literal, lower_snake */
	enum { LOG_TYPE_STR, LOG_TYPE_INT, LOG_TYPE_MS, LOG_TYPE_BOOL } type;
	struct str text;
	int64_t number;
};
enum { LOG_VALUE_MAX = 2048, LOG_LINE_MAX = 8192 };

#define LOG_STR(key_, value) \
	((struct log_pair){.key = (key_), .type = LOG_TYPE_STR, .text = (value)})
#define LOG_TEXT(key_, value) LOG_STR(key_, str_from(value))
#define LOG_INT(key_, value) \
	((struct log_pair){.key = (key_), .type = LOG_TYPE_INT, .number = (int64_t)(value)})
/* Microseconds, written as milliseconds with decimals. */
#define LOG_MS(key_, us) ((struct log_pair){.key = (key_), .type = LOG_TYPE_MS, .number = (us)})
#define LOG_BOOL(key_, value) \
	((struct log_pair){.key = (key_), .type = LOG_TYPE_BOOL, .number = (value)})
#define LOG_FAULT(key_, fault) LOG_TEXT(key_, fault_info(fault)->code)

/* Of whom a line speaks; STR_NONE for what is not known. */
struct log_context {
	struct str request_id;
	struct str traceparent; /* W3C; gives trace_id and span_id */
};

/* log_line(LEVEL_INFO, "listening", LOG_STR("address", address), LOG_INT("port", port)); the
 * arguments are evaluated only when the level is on. Tasks: task_log(t, …) in fiber/task.h. */
#define log_line(level, message, ...) log_line_of(NULL, level, message, ##__VA_ARGS__)

/* The first pair is there so that there may be none. */
#define log_line_of(context, level, message, ...)                                           \
	(log_is_on(level) ? log_write((context), (level), (message),                        \
				    (const struct log_pair[]){{0}, ##__VA_ARGS__, {0}} + 1) \
			  : (void)0)

bool log_is_on(enum level level);

/* `pairs` ends with a NULL key. */
void log_write(const struct log_context *context, enum level level, const char *message,
	const struct log_pair *pairs);
