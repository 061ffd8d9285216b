/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "json/field.h"

/* Appends the struct as a JSON object; absent texts, nil UUIDs, zero times and optional objects
 * that are all empty are written as null. */
void json_write(struct buf *b, const struct field_table *table, const void *value);

/* Appends text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void json_write_text(struct buf *b, struct str text);

/* {"data": […], "next_cursor": "…"|null, "has_more": bool}: `items` are `count` structs of the
 * table. */
void json_write_list(struct buf *b, const struct field_table *table, const void *items,
	size_t count, struct str next_cursor);
