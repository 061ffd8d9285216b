/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pg/value.h"

#include <endian.h>

/* PostgreSQL's binary formats: everything is big-endian; a timestamp counts microseconds since
 * 2000-01-01. Private to the package. */

/* Of pg_type; these never change between versions. */
enum pg_oid {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_NAME = 19,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_JSON = 114,
	OID_TEXT_ARRAY = 1009,
	OID_VARCHAR_ARRAY = 1015,
	OID_BPCHAR = 1042,
	OID_VARCHAR = 1043,
	OID_TIMESTAMPTZ = 1184,
	OID_UUID = 2950,
	OID_JSONB = 3802,
};

#define PG_EPOCH_US INT64_C(946684800000000)

/* Dimensions, "has nulls", element type; then length and lower bound of the one dimension. */
enum { ARRAY_HEAD_EMPTY = 12, ARRAY_HEAD = 20 };

/* A call's values as libpq takes them; borrows from the values. */
struct pg_params {
	const char *at[PG_VALUES_MAX];
	int len[PG_VALUES_MAX];
	int format[PG_VALUES_MAX];
};

void pg_params_set(struct pg_params *params, const struct pg_value *values, size_t count);

static inline char *put_32(char *at, uint32_t value)
{
	const uint32_t wire = htobe32(value);

	memcpy(at, &wire, sizeof wire);
	return at + sizeof wire;
}

static inline char *put_64(char *at, uint64_t value)
{
	const uint64_t wire = htobe64(value);

	memcpy(at, &wire, sizeof wire);
	return at + sizeof wire;
}

static inline uint16_t get_16(const char *at)
{
	uint16_t wire;

	memcpy(&wire, at, sizeof wire);
	return be16toh(wire);
}

static inline uint32_t get_32(const char *at)
{
	uint32_t wire;

	memcpy(&wire, at, sizeof wire);
	return be32toh(wire);
}

static inline uint64_t get_64(const char *at)
{
	uint64_t wire;

	memcpy(&wire, at, sizeof wire);
	return be64toh(wire);
}
