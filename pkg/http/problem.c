/* SPDX-License-Identifier: Apache-2.0
 * Written by hand rather than by a field table: most members are optional, and scope.extra is
 * JSON already. */
#include "http/problem.h"

#include "base/buf.h"
#include "http/trace_context.h"
#include "json/write.h"

static void add_text(struct buf *b, const char *name, struct str value);
static void add_errors(struct buf *b, const struct field_error *errors);

struct str problem_write(
	struct scope *s, enum fault fault, struct str instance, struct str traceparent)
{
	const struct fault_info *info = fault_info(fault);
	struct buf b = buf_new(s->arena);

	buf_format(&b, "{\"type\":\"" PROBLEM_TYPE_PREFIX "%s\",\"title\":\"%s\",\"status\":%d",
		info->code, info->title, info->status);
	buf_format(&b, ",\"code\":\"%s\"", info->code);
	if (fault != FAULT_INTERNAL)
		add_text(&b, "detail", s->detail);
	add_text(&b, "instance", instance);
	add_text(&b, "trace_id", traceparent_trace_id(traceparent));
	add_errors(&b, s->errors);
	if (s->extra.len > 0) {
		buf_char(&b, ',');
		buf_add(&b, s->extra);
	}
	buf_char(&b, '}');
	return buf_str(&b);
}

static void add_text(struct buf *b, const char *name, struct str value)
{
	if (value.at == NULL)
		return;
	buf_format(b, ",\"%s\":", name);
	json_write_text(b, value);
}

static void add_errors(struct buf *b, const struct field_error *errors)
{
	if (errors == NULL)
		return;
	buf_add(b, STR(",\"errors\":["));
	for (const struct field_error *e = errors; e != NULL; e = e->next) {
		buf_add(b, e == errors ? STR("{\"field\":") : STR(",{\"field\":"));
		json_write_text(b, e->field);
		buf_format(b, ",\"code\":\"%s\",\"message\":", e->code);
		json_write_text(b, e->message);
		buf_char(b, '}');
	}
	buf_char(b, ']');
}
