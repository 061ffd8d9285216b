/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"
#include "base/uuid.h"

/* The sample catalogue: a shop's categories and products, made up by us. The same number is the
 * same product, everywhere and for ever. */

enum { SAMPLES_MAX = 100000, SAMPLE_TAGS = 3 };

struct sample_category {
	const char *slug;
	const char *name;
	const char *parent; /* a slug; NULL: a root */
};

/* Parents before children. */
extern const struct sample_category sample_categories[];
extern const size_t sample_category_count;

struct sample_product {
	struct uuid id;
	struct str name;
	struct str description;
	int64_t price; /* hundredths */
	const char *category;
	struct str sku;
	const char *tags[SAMPLE_TAGS];
	int64_t stock;
	int64_t created_at; /* wall clock, µs */
};

/* The product with that number (below SAMPLES_MAX); texts live in s. */
struct sample_product sample_product(struct scope *s, unsigned number);
