/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "json/field.h"

enum { NOT_A_FIELD = -1 };

/* The number of the field that this name means; NOT_A_FIELD when none. `first` is where to begin to
 * look (names mostly come in the table's order); *minor: it is the x_minor of a FIELD_MONEY x. */
int table_find(const struct field_table *table, size_t first, struct str name, bool *minor);

/* "name, price, price_minor": what may be sent. Lives in s. */
struct str table_names(struct scope *s, const struct field_table *table);

/* Bytes of the field's member. */
size_t field_size(const struct field *field);

/* No text, 0, false, nil, no elements, an object of nothing but such. */
bool field_is_empty(const struct field *field, const void *member);
bool table_is_empty(const struct field_table *table, const void *value);
