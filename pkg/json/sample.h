/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests, fuzzers and the benchmark: a struct with a member of every type. */

#include "json/field.h"

struct sample_line {
	struct uuid product_id;
	int32_t quantity;
};

struct sample_place {
	struct str city;
	struct str country;
};

struct sample {
	struct uuid id;
	struct str name;
	struct str description;
	int64_t count;
	int32_t quantity;
	bool active;
	struct uuid owner;
	int64_t at;
	int64_t price;
	int64_t discount;
	int state;
	struct texts tags;
	struct uuids ids;
	struct sample_place place;
	struct items items;
	struct str metadata;
	struct str password;
	struct str note;
	int64_t version;
};

static const char *const sample_states[] = {"pending", "paid", "shipped", NULL};

static const struct field sample_line_fields[] = {
	FIELD(struct sample_line, product_id, UUID, REQUIRED),
	FIELD(struct sample_line, quantity, INT32, REQUIRED, .min = 1, .max = 10000),
	FIELD_IGNORE("price"),
};
static const struct field_table sample_line_table =
	FIELD_TABLE(struct sample_line, sample_line_fields);

static const struct field sample_place_fields[] = {
	FIELD(struct sample_place, city, TEXT, REQUIRED, .min = 1, .max = 50),
	FIELD(struct sample_place, country, TEXT, OPTIONAL, .max = 2),
};
static const struct field_table sample_place_table =
	FIELD_TABLE(struct sample_place, sample_place_fields);

static const struct field sample_fields[] = {
	FIELD(struct sample, id, UUID, OUTPUT),
	FIELD(struct sample, name, TEXT, REQUIRED, .min = 1, .max = 10, .alias = "title"),
	FIELD(struct sample, description, TEXT, OPTIONAL, .max = 20),
	FIELD(struct sample, count, INT64, OPTIONAL),
	FIELD(struct sample, quantity, INT32, OPTIONAL, .min = 1, .max = 10000, .alias = "stock"),
	FIELD(struct sample, active, BOOL, OPTIONAL),
	FIELD(struct sample, owner, UUID, OPTIONAL),
	FIELD(struct sample, at, TIME, OPTIONAL),
	FIELD(struct sample, price, MONEY, REQUIRED, .min = 1, .max = 1000000),
	FIELD(struct sample, discount, MONEY, OPTIONAL, .alias = "rebate"),
	FIELD(struct sample, state, ENUM, OPTIONAL, .names = sample_states),
	FIELD(struct sample, tags, TEXTS, OPTIONAL, .max = 3, .of_max = 5),
	FIELD(struct sample, ids, UUIDS, OPTIONAL, .max = 2),
	FIELD(struct sample, place, OBJECT, OPTIONAL, .of = &sample_place_table),
	FIELD(struct sample, items, ARRAY, OPTIONAL, .min = 1, .max = 3, .of = &sample_line_table),
	FIELD(struct sample, metadata, RAW, OPTIONAL, .max = 64),
	FIELD(struct sample, password, TEXT, OPTIONAL, .flags = FIELD_SECRET),
	FIELD(struct sample, note, TEXT, OPTIONAL, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct sample, version, INT64, OUTPUT),
	FIELD_IGNORE("legacy"),
};
static const struct field_table sample_table = FIELD_TABLE(struct sample, sample_fields);

/* For query strings. */
struct sample_filter {
	struct str q;
	int32_t limit;
	bool in_stock;
	int64_t min_price;
	struct uuid seller;
	struct uuids ids;
	struct texts tags;
	int sort;
	int64_t since;
	int64_t version;
};

static const char *const sample_sorts[] = {"newest", "price", "-price", NULL};

static const struct field sample_filter_fields[] = {
	FIELD(struct sample_filter, q, TEXT, OPTIONAL, .min = 1, .max = 10, .alias = "query"),
	FIELD(struct sample_filter, limit, INT32, OPTIONAL, .min = 1, .max = 100),
	FIELD(struct sample_filter, in_stock, BOOL, OPTIONAL),
	FIELD(struct sample_filter, min_price, MONEY, OPTIONAL, .min = 0, .max = 1000000),
	FIELD(struct sample_filter, seller, UUID, OPTIONAL),
	FIELD(struct sample_filter, ids, UUIDS, OPTIONAL, .max = 2),
	FIELD(struct sample_filter, tags, TEXTS, OPTIONAL, .max = 2, .of_max = 5),
	FIELD(struct sample_filter, sort, ENUM, OPTIONAL, .names = sample_sorts),
	FIELD(struct sample_filter, since, TIME, OPTIONAL),
	FIELD(struct sample_filter, version, INT64, OUTPUT),
	FIELD_IGNORE("utm_source"),
};
static const struct field_table sample_filter_table =
	FIELD_TABLE(struct sample_filter, sample_filter_fields);
