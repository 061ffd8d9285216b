/* SPDX-License-Identifier: Apache-2.0
 * Field tables, and the checks that a table cannot say. A checked value can be stored as it is: the
 * database has the same limits as constraints. */
#include "model.h"

#include "base/buf.h"

#include <stdlib.h>

static enum fault check_name(struct scope *s, struct product *product);
static enum fault check_category(struct scope *s, struct product *product);
static enum fault check_image_url(struct scope *s, const struct product *product);
static void tidy_tags(struct scope *s, struct texts *tags);
static int compare_lines(const void *a, const void *b);

/* ---- products ---- */

#define PRODUCT_INPUT_FIELDS                                                                      \
	FIELD(struct product, name, TEXT, REQUIRED, .min = 1, .max = NAME_MAX_CHARS),             \
		FIELD(struct product, description, TEXT, OPTIONAL, .max = DESCRIPTION_MAX_CHARS), \
		FIELD(struct product, price, MONEY, REQUIRED, .min = 0, .max = MONEY_MINOR_MAX),  \
		FIELD(struct product, currency, TEXT, OPTIONAL, .max = 3),                        \
		FIELD(struct product, category, TEXT, OPTIONAL, .max = CATEGORY_MAX_CHARS),       \
		FIELD(struct product, tags, TEXTS, OPTIONAL, .max = TAGS_MAX,                     \
			.of_max = TAG_MAX_CHARS),                                                 \
		FIELD(struct product, sku, TEXT, OPTIONAL, .max = SKU_MAX_CHARS),                 \
		FIELD(struct product, image_url, TEXT, OPTIONAL, .max = IMAGE_URL_MAX_CHARS)

static const struct field product_new_fields[] = {
	PRODUCT_INPUT_FIELDS,
	FIELD(struct product, stock_quantity, INT64, OPTIONAL, .min = 0, .max = STOCK_MAX,
		.alias = "stock"),
};
const struct field_table product_new_table = FIELD_TABLE(struct product, product_new_fields);

static const struct field product_fields[] = {
	FIELD(struct product, id, UUID, OUTPUT),
	FIELD(struct product, seller_id, UUID, OUTPUT),
	PRODUCT_INPUT_FIELDS,
	FIELD(struct product, stock_quantity, INT64, OUTPUT),
	FIELD_IGNORE("stock"),
	FIELD(struct product, created_at, TIME, OUTPUT),
	FIELD(struct product, updated_at, TIME, OUTPUT),
};
const struct field_table product_table = FIELD_TABLE(struct product, product_fields);

enum fault product_check(struct scope *s, struct product *product)
{
	const struct currency *shop = currency_of_shop();
	enum fault fault = OK;

	if (product->currency.len > 0 && !str_eq_fold(product->currency, str_from(shop->code)))
		return fail(s, FAULT_CURRENCY_NOT_SUPPORTED, "prices are in %s, not in %.*s",
			shop->code, STR_ARG(product->currency));
	product->currency = str_from(shop->code);

	tidy_tags(s, &product->tags);
	if (check_name(s, product) != OK)
		fault = FAULT_INVALID;
	if (check_category(s, product) != OK)
		fault = FAULT_INVALID;
	if (check_image_url(s, product) != OK)
		fault = FAULT_INVALID;
	product->sku = str_trim(product->sku);
	if (product->sku.len == 0)
		product->sku = STR_NONE;
	return fault;
}

static enum fault check_name(struct scope *s, struct product *product)
{
	product->name = str_trim(product->name);
	if (product->name.len > 0)
		return OK;
	return fail_field(s, STR("name"), "length", "must not be blank");
}

static enum fault check_category(struct scope *s, struct product *product)
{
	product->category_name = str_trim(product->category);
	if (product->category_name.len == 0) {
		product->category = product->category_name = STR_NONE;
		return OK;
	}
	product->category = slug_of(s, product->category_name);
	if (product->category.len > 0)
		return OK;
	return fail_field(s, STR("category"), "format", "must have a letter or a digit");
}

/* Anything else could be a script where a page shows it as a link. */
static enum fault check_image_url(struct scope *s, const struct product *product)
{
	struct str url = product->image_url;

	if (url.len == 0 || str_starts(url, STR("https://")) || str_starts(url, STR("http://")) ||
		(url.at[0] == '/' && !str_starts(url, STR("//"))))
		return OK;
	return fail_field(
		s, STR("image_url"), "format", "must begin with https://, http:// or a single /");
}

/* Each tag once, in the order they were given, without spaces around it. */
static void tidy_tags(struct scope *s, struct texts *tags)
{
	struct texts tidy = {arena_alloc_array(s->arena, tags->count + 1, sizeof *tidy.at), 0};

	for (size_t i = 0; i < tags->count; i++) {
		struct str tag = str_trim(tags->at[i]);
		bool known = tag.len == 0;

		for (size_t j = 0; j < tidy.count && !known; j++)
			known = str_eq(tidy.at[j], tag);
		if (!known)
			tidy.at[tidy.count++] = tag;
	}
	*tags = tidy;
}

/* ---- lists ---- */

static const char *const sort_names[SORT_COUNT + 1] = {
	[SORT_NEWEST] = "newest",
	[SORT_PRICE] = "price",
	[SORT_PRICE_DOWN] = "-price",
	[SORT_NAME] = "name",
	[SORT_RELEVANCE] = "relevance",
};

#define PAGE_FIELDS(owner)                                                          \
	FIELD(owner, limit, INT32, OPTIONAL, .min = 1, .max = LIMIT_MAX),           \
		FIELD(owner, offset, INT32, OPTIONAL, .min = 0, .max = OFFSET_MAX), \
		FIELD(owner, cursor, TEXT, OPTIONAL, .max = CURSOR_MAX_CHARS)

static const struct field product_query_fields[] = {
	FIELD(struct product_query, q, TEXT, OPTIONAL, .max = NAME_MAX_CHARS),
	FIELD(struct product_query, category, TEXT, OPTIONAL, .max = CATEGORY_MAX_CHARS),
	FIELD(struct product_query, tags, TEXTS, OPTIONAL, .max = TAGS_MAX,
		.of_max = TAG_MAX_CHARS),
	FIELD(struct product_query, min_price, MONEY, OPTIONAL, .min = 0, .max = MONEY_MINOR_MAX),
	FIELD(struct product_query, max_price, MONEY, OPTIONAL, .min = 0, .max = MONEY_MINOR_MAX),
	FIELD(struct product_query, in_stock, BOOL, OPTIONAL),
	FIELD(struct product_query, seller, UUID, OPTIONAL),
	FIELD(struct product_query, ids, UUIDS, OPTIONAL, .max = IDS_MAX),
	FIELD(struct product_query, sort, ENUM, OPTIONAL, .names = sort_names),
	PAGE_FIELDS(struct product_query),
};
const struct field_table product_query_table =
	FIELD_TABLE(struct product_query, product_query_fields);

static const struct field search_query_fields[] = {
	FIELD(struct product_query, q, TEXT, REQUIRED, .min = 1, .max = NAME_MAX_CHARS),
	PAGE_FIELDS(struct product_query),
};
const struct field_table search_query_table =
	FIELD_TABLE(struct product_query, search_query_fields);

static const struct field tags_query_fields[] = {
	FIELD(struct product_query, tags, TEXTS, OPTIONAL, .max = TAGS_MAX,
		.of_max = TAG_MAX_CHARS),
	PAGE_FIELDS(struct product_query),
};
const struct field_table tags_query_table = FIELD_TABLE(struct product_query, tags_query_fields);

static const struct field page_fields[] = {
	PAGE_FIELDS(struct page),
};
const struct field_table page_table = FIELD_TABLE(struct page, page_fields);

struct product_query product_query_any(void)
{
	return (struct product_query){
		.max_price = MONEY_MINOR_MAX, .sort = -1, .limit = LIMIT_DEFAULT};
}

/* ---- categories ---- */

#define CATEGORY_INPUT_FIELDS                                                              \
	FIELD(struct category, name, TEXT, REQUIRED, .min = 1, .max = CATEGORY_MAX_CHARS), \
		FIELD(struct category, parent, TEXT, OPTIONAL, .max = CATEGORY_MAX_CHARS)

static const struct field category_new_fields[] = {
	FIELD(struct category, slug, TEXT, OPTIONAL, .min = 1, .max = CATEGORY_MAX_CHARS),
	CATEGORY_INPUT_FIELDS,
};
const struct field_table category_new_table = FIELD_TABLE(struct category, category_new_fields);

static const struct field category_fields[] = {
	FIELD(struct category, slug, TEXT, OUTPUT),
	CATEGORY_INPUT_FIELDS,
};
const struct field_table category_table = FIELD_TABLE(struct category, category_fields);

struct str slug_of(struct scope *s, struct str name)
{
	char *slug = arena_bytes(s->arena, name.len + 1);
	size_t len = 0;
	bool gap = false;

	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.at[i];
		bool upper = c >= 'A' && c <= 'Z';

		if (!upper && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c < 0x80) {
			gap = true;
			continue;
		}
		if (gap && len > 0)
			slug[len++] = '-';
		gap = false;
		slug[len++] = (char)(upper ? c - 'A' + 'a' : c);
	}
	return str_of(slug, len);
}

/* ---- stock ---- */

static const struct field stock_change_fields[] = {
	FIELD(struct stock_change, quantity, INT64, OPTIONAL, .min = -STOCK_MAX, .max = STOCK_MAX),
	FIELD(struct stock_change, set, INT64, OPTIONAL, .min = 0, .max = STOCK_MAX),
};
const struct field_table stock_change_table = FIELD_TABLE(struct stock_change, stock_change_fields);

static const struct field movement_fields[] = {
	FIELD(struct movement, id, TEXT, OUTPUT),
	FIELD(struct movement, quantity, INT64, OUTPUT),
	FIELD(struct movement, reason, TEXT, OUTPUT),
	FIELD(struct movement, order_id, UUID, OUTPUT),
	FIELD(struct movement, actor, TEXT, OUTPUT),
	FIELD(struct movement, at, TIME, OUTPUT),
};
const struct field_table movement_table = FIELD_TABLE(struct movement, movement_fields);

/* ---- reservations ---- */

static const struct field line_fields[] = {
	FIELD(struct reservation_line, product_id, UUID, OUTPUT),
	FIELD(struct reservation_line, quantity, INT32, OUTPUT),
	FIELD(struct reservation_line, name, TEXT, OUTPUT),
	FIELD(struct reservation_line, price, MONEY, OUTPUT),
	FIELD(struct reservation_line, currency, TEXT, OUTPUT),
	FIELD(struct reservation_line, seller_id, UUID, OUTPUT),
};
static const struct field_table line_table = FIELD_TABLE(struct reservation_line, line_fields);

static const struct field reservation_fields[] = {
	FIELD(struct reservation, order_id, UUID, OUTPUT),
	FIELD(struct reservation, revision, INT32, OUTPUT),
	FIELD(struct reservation, state, TEXT, OUTPUT),
	FIELD(struct reservation, expires_at, TIME, OUTPUT),
	FIELD(struct reservation, lines, ARRAY, OUTPUT, .of = &line_table),
};
const struct field_table reservation_table = FIELD_TABLE(struct reservation, reservation_fields);

static const struct field line_request_fields[] = {
	FIELD(struct reservation_line, product_id, UUID, REQUIRED),
	FIELD(struct reservation_line, quantity, INT32, REQUIRED, .min = 1, .max = QUANTITY_MAX),
};
static const struct field_table line_request_table =
	FIELD_TABLE(struct reservation_line, line_request_fields);

static const struct field reservation_request_fields[] = {
	FIELD(struct reservation_request, revision, INT32, OPTIONAL, .min = 1, .max = INT32_MAX),
	FIELD(struct reservation_request, lines, ARRAY, REQUIRED, .min = 1, .max = LINES_MAX,
		.of = &line_request_table),
};
const struct field_table reservation_request_table =
	FIELD_TABLE(struct reservation_request, reservation_request_fields);

enum fault reservation_lines_merge(struct scope *s, const struct items *lines, struct items *merged)
{
	struct reservation_line *at = arena_alloc_array(s->arena, lines->count, sizeof *at);
	size_t kept = 0;

	memcpy(at, lines->at, lines->count * sizeof *at);
	qsort(at, lines->count, sizeof *at, compare_lines);
	for (size_t i = 0; i < lines->count; i++) {
		if (kept > 0 && uuid_eq(&at[kept - 1].product_id, &at[i].product_id))
			at[kept - 1].quantity += at[i].quantity;
		else
			at[kept++] = at[i];
		if (at[kept - 1].quantity > QUANTITY_MAX)
			return fail_field(s, STR("lines"), "range",
				"a product's lines may come to %d at most", QUANTITY_MAX);
	}
	*merged = (struct items){at, kept};
	return OK;
}

static int compare_lines(const void *a, const void *b)
{
	const struct reservation_line *left = a;
	const struct reservation_line *right = b;

	return uuid_compare(&left->product_id, &right->product_id);
}

static const struct field shortage_fields[] = {
	FIELD(struct shortage, product_id, UUID, OUTPUT),
	FIELD(struct shortage, requested, INT64, OUTPUT),
	FIELD(struct shortage, available, INT64, OUTPUT),
};
const struct field_table shortage_table = FIELD_TABLE(struct shortage, shortage_fields);
