/* SPDX-License-Identifier: Apache-2.0
 * A struct as JSON: what the hot reads spend their time in, so each member is put down by copying
 * into room made beforehand, without a format string. */
#include "json/write.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/money.h"
#include "json/span.h"
#include "json/table.h"

static void write_name(struct buf *b, const char *name, struct str suffix, bool first);
static void write_member(struct buf *b, const struct field *field, const void *member);
static void write_money(struct buf *b, const struct field *field, int64_t minor);
static void write_time(struct buf *b, int64_t wall_us);
static void write_uuid(struct buf *b, const struct uuid *id);
static void write_enum(struct buf *b, const struct field *field, int value);
static void write_texts(struct buf *b, const struct texts *texts);
static void write_uuids(struct buf *b, const struct uuids *uuids);
static void write_object(struct buf *b, const struct field *field, const void *value);
static void write_items(
	struct buf *b, const struct field_table *table, const void *at, size_t count);
static size_t write_escape(struct buf *b, struct str text);

static const struct str json_null = {"null", 4};

void json_write(struct buf *b, const struct field_table *table, const void *value)
{
	bool first = true;

	buf_char(b, '{');
	for (size_t i = 0; i < table->count; i++) {
		const struct field *field = &table->fields[i];
		const void *member = (const char *)value + field->offset;

		if (field->kind == FIELD_IGNORED || (field->flags & FIELD_SECRET) != 0)
			continue;
		if ((field->flags & FIELD_OMIT_EMPTY) != 0 && field_is_empty(field, member))
			continue;
		write_name(b, field->name, STR(""), first);
		write_member(b, field, member);
		first = false;
	}
	buf_char(b, '}');
}

void json_write_list(struct buf *b, const struct field_table *table, const void *items,
	size_t count, struct str next_cursor)
{
	buf_add(b, STR("{\"data\":"));
	write_items(b, table, items, count);
	buf_add(b, STR(",\"next_cursor\":"));
	if (next_cursor.at == NULL) {
		buf_add(b, STR("null,\"has_more\":false}"));
		return;
	}
	json_write_text(b, next_cursor);
	buf_add(b, STR(",\"has_more\":true}"));
}

void json_write_text(struct buf *b, struct str text)
{
	buf_char(b, '"');
	for (;;) {
		const size_t plain = json_plain_span(text);
		char *at = buf_room(b, plain + 1);
		if (plain > 0)
			memcpy(at, text.at, plain);
		at[plain] = '"'; /* taken back by not counting it, if text goes on */
		b->len += plain;
		if (plain == text.len)
			break;
		text = str_skip(text, plain);
		text = str_skip(text, write_escape(b, text));
	}
	b->len++;
}

/* Names are identifiers of ours: nothing in them needs an escape. */
static void write_name(struct buf *b, const char *name, struct str suffix, bool first)
{
	const size_t len = strlen(name);
	char *at = buf_room(b, len + suffix.len + 4);
	const char *start = at;

	if (!first)
		*at++ = ',';
	*at++ = '"';
	memcpy(at, name, len);
	at += len;
	memcpy(at, suffix.at, suffix.len);
	at += suffix.len;
	*at++ = '"';
	*at++ = ':';
	b->len += (size_t)(at - start);
}

static void write_member(struct buf *b, const struct field *field, const void *member)
{
	const struct str *text = member;

	switch (field->type) {
	case FIELD_TEXT:
		if (text->at != NULL)
			json_write_text(b, *text);
		else
			buf_add(b, json_null);
		return;
	case FIELD_RAW:
		buf_add(b, text->len > 0 ? *text : json_null);
		return;
	case FIELD_INT64:
		buf_int64(b, *(const int64_t *)member);
		return;
	case FIELD_INT32:
		buf_int64(b, *(const int32_t *)member);
		return;
	case FIELD_BOOL:
		buf_add(b, *(const bool *)member ? STR("true") : STR("false"));
		return;
	case FIELD_UUID:
		write_uuid(b, member);
		return;
	case FIELD_TIME:
		write_time(b, *(const int64_t *)member);
		return;
	case FIELD_MONEY:
		write_money(b, field, *(const int64_t *)member);
		return;
	case FIELD_ENUM:
		write_enum(b, field, *(const int *)member);
		return;
	case FIELD_TEXTS:
		write_texts(b, member);
		return;
	case FIELD_UUIDS:
		write_uuids(b, member);
		return;
	case FIELD_OBJECT:
		write_object(b, field, member);
		return;
	case FIELD_ARRAY: {
		const struct items *items = member;
		write_items(b, field->of, items->at, items->count);
		return;
	}
	case FIELD_TYPE_COUNT:
		break;
	}
	CHECK(!"a type of field");
}

static void write_money(struct buf *b, const struct field *field, int64_t minor)
{
	char *at = buf_room(b, MONEY_TEXT_MAX);

	b->len += money_format(minor, currency_of_shop()->decimals, at).len;
	write_name(b, field->name, STR("_minor"), false);
	buf_int64(b, minor);
}

static void write_time(struct buf *b, int64_t wall_us)
{
	if (wall_us == 0) {
		buf_add(b, json_null);
		return;
	}
	char *at = buf_room(b, TIME_TEXT_MAX + 2);
	const size_t len = time_format(wall_us, at + 1).len;
	at[0] = at[1 + len] = '"';
	b->len += len + 2;
}

static void write_uuid(struct buf *b, const struct uuid *id)
{
	if (uuid_is_nil(id)) {
		buf_add(b, json_null);
		return;
	}
	char *at = buf_room(b, UUID_TEXT_LEN + 2);
	uuid_format(id, at + 1);
	at[0] = at[1 + UUID_TEXT_LEN] = '"';
	b->len += UUID_TEXT_LEN + 2;
}

static void write_enum(struct buf *b, const struct field *field, int value)
{
	CHECK(value >= 0);
	for (int i = 0; i <= value; i++)
		CHECK(field->names[i] != NULL);
	json_write_text(b, str_from(field->names[value]));
}

static void write_texts(struct buf *b, const struct texts *texts)
{
	buf_char(b, '[');
	for (size_t i = 0; i < texts->count; i++) {
		if (i > 0)
			buf_char(b, ',');
		json_write_text(b, texts->at[i]);
	}
	buf_char(b, ']');
}

static void write_uuids(struct buf *b, const struct uuids *uuids)
{
	buf_char(b, '[');
	for (size_t i = 0; i < uuids->count; i++) {
		if (i > 0)
			buf_char(b, ',');
		write_uuid(b, &uuids->at[i]);
	}
	buf_char(b, ']');
}

static void write_object(struct buf *b, const struct field *field, const void *value)
{
	if (field->kind == FIELD_OPTIONAL && table_is_empty(field->of, value))
		buf_add(b, json_null);
	else
		json_write(b, field->of, value);
}

static void write_items(
	struct buf *b, const struct field_table *table, const void *at, size_t count)
{
	buf_char(b, '[');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_char(b, ',');
		json_write(b, table, (const char *)at + i * table->size);
	}
	buf_char(b, ']');
}

/* Writes what stands for the one byte at the front that may not stand as it is. */
static size_t write_escape(struct buf *b, struct str text)
{
	static const char letters[] = "\"\\\b\f\n\r\t";
	static const char escapes[] = "\"\\bfnrt";
	const unsigned char c = (unsigned char)*text.at;
	const char *letter = memchr(letters, c, sizeof letters - 1);
	char *at = buf_room(b, 6);

	if (c >= 0x80) {
		memcpy(at, "\xef\xbf\xbd", 3);
		b->len += 3;
	} else if (letter != NULL) {
		at[0] = '\\';
		at[1] = escapes[letter - letters];
		b->len += 2;
	} else {
		memcpy(at, "\\u00", 4);
		at[4] = "0123456789abcdef"[c >> 4];
		at[5] = "0123456789abcdef"[c & 15];
		b->len += 6;
	}
	return 1;
}
