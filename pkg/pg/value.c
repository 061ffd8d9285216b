/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters in PostgreSQL's binary format. A value carries no type: the statement's own casts say
 * what each parameter is, and the server refuses bytes of another length. */
#include "pg/wire.h"

#include "base/check.h"

#include <limits.h>

static struct pg_value strings(
	struct scope *s, enum pg_oid element, const struct str *at, size_t count);
static struct pg_value borrowed(const char *at, size_t len);
static struct pg_value array(const char *at, const char *end);
static char *array_head(char *at, enum pg_oid element, size_t count, bool nulls);

struct pg_value pg_null(void)
{
	return (struct pg_value){0};
}

struct pg_value pg_text(struct str text)
{
	return borrowed(text.at, text.len);
}

struct pg_value pg_bytes(struct str bytes)
{
	return borrowed(bytes.at, bytes.len);
}

struct pg_value pg_int64(int64_t value)
{
	struct pg_value v = {.len = 8, .is_small = true};

	put_64(v.small, (uint64_t)value);
	return v;
}

struct pg_value pg_int32(int32_t value)
{
	struct pg_value v = {.len = 4, .is_small = true};

	put_32(v.small, (uint32_t)value);
	return v;
}

struct pg_value pg_bool(bool value)
{
	return (struct pg_value){.len = 1, .is_small = true, .small = {(char)value}};
}

struct pg_value pg_uuid(const struct uuid *id)
{
	struct pg_value v = {.len = sizeof id->bytes, .is_small = true};

	if (uuid_is_nil(id))
		return pg_null();
	memcpy(v.small, id->bytes, sizeof id->bytes);
	return v;
}

struct pg_value pg_time(int64_t wall_us)
{
	return wall_us == 0 ? pg_null() : pg_int64(wall_us - PG_EPOCH_US);
}

struct pg_value pg_texts(struct scope *s, const struct str *at, size_t count)
{
	return strings(s, OID_TEXT, at, count);
}

struct pg_value pg_byteas(struct scope *s, const struct str *at, size_t count)
{
	return strings(s, OID_BYTEA, at, count);
}

static struct pg_value strings(
	struct scope *s, enum pg_oid element, const struct str *at, size_t count)
{
	size_t size = ARRAY_HEAD + 4 * count;
	bool nulls = false;

	for (size_t i = 0; i < count; i++) {
		size += at[i].len;
		nulls |= at[i].at == NULL;
	}

	char *bytes = arena_bytes(s->arena, size);
	char *end = array_head(bytes, element, count, nulls);

	for (size_t i = 0; i < count; i++) {
		if (at[i].at == NULL) {
			end = put_32(end, UINT32_MAX);
			continue;
		}
		end = put_32(end, (uint32_t)at[i].len);
		memcpy(end, at[i].at, at[i].len);
		end += at[i].len;
	}
	return array(bytes, end);
}

struct pg_value pg_uuids(struct scope *s, const struct uuid *at, size_t count)
{
	char *bytes = arena_bytes(s->arena, ARRAY_HEAD + (4 + sizeof(struct uuid)) * count);
	char *end = array_head(bytes, OID_UUID, count, false);

	for (size_t i = 0; i < count; i++) {
		end = put_32(end, sizeof at[i].bytes);
		memcpy(end, at[i].bytes, sizeof at[i].bytes);
		end += sizeof at[i].bytes;
	}
	return array(bytes, end);
}

struct pg_value pg_int64s(struct scope *s, const int64_t *at, size_t count)
{
	char *bytes = arena_bytes(s->arena, ARRAY_HEAD + (4 + sizeof(int64_t)) * count);
	char *end = array_head(bytes, OID_INT8, count, false);

	for (size_t i = 0; i < count; i++)
		end = put_64(put_32(end, sizeof *at), (uint64_t)at[i]);
	return array(bytes, end);
}

struct pg_value pg_int32s(struct scope *s, const int32_t *at, size_t count)
{
	char *bytes = arena_bytes(s->arena, ARRAY_HEAD + (4 + sizeof(int32_t)) * count);
	char *end = array_head(bytes, OID_INT4, count, false);

	for (size_t i = 0; i < count; i++)
		end = put_32(put_32(end, sizeof *at), (uint32_t)at[i]);
	return array(bytes, end);
}

void pg_params_set(struct pg_params *params, const struct pg_value *values, size_t count)
{
	CHECK(count <= PG_VALUES_MAX);
	for (size_t i = 0; i < count; i++) {
		params->at[i] = values[i].is_small ? values[i].small : values[i].at;
		params->len[i] = values[i].len;
		params->format[i] = 1;
	}
}

static struct pg_value borrowed(const char *at, size_t len)
{
	CHECK(len <= INT_MAX);
	return (struct pg_value){.at = at, .len = (int)len};
}

static struct pg_value array(const char *at, const char *end)
{
	return borrowed(at, (size_t)(end - at));
}

/* An empty array has no dimension at all. */
static char *array_head(char *at, enum pg_oid element, size_t count, bool nulls)
{
	CHECK(count <= INT_MAX);
	at = put_32(at, count > 0);
	at = put_32(at, nulls);
	at = put_32(at, element);
	if (count == 0)
		return at;
	at = put_32(at, (uint32_t)count);
	return put_32(at, 1);
}
