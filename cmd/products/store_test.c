/* SPDX-License-Identifier: Apache-2.0
 * The store on the migrated schema: products, lists and their cursors, search, categories, stock.
 * Reservations are in store_reservation_test.c. */
#include "testing.h"

#include "base/random.h"

/* A job and what its work needs. Works fill in what they found; the test asserts. */
struct store_job {
	struct job job;
	struct product product;
	struct category category;
	struct product_query query;
	struct stock_change change;
	bool versioned;
	int64_t version;
	size_t count; /* of `found` */
};

/* What the last list had. */
static struct uuid found[64];

#define OF(job_) CONTAINER_OF((job_), struct store_job, job)

static const struct uuid seller = {{1}};
static const struct uuid other_seller = {{2}};

static enum fault insert(struct task *t, struct job *job)
{
	TRY(store_category_ensure(t, &OF(job)->product));
	return store_product_insert(t, NULL, &OF(job)->product, STR("user:test"));
}

static enum fault get(struct task *t, struct job *job)
{
	struct product *product = &OF(job)->product;

	TRY(store_product_get(t, &product->id, product));
	snprintf(job->text, sizeof job->text, "%.*s|%.*s|%lld|%.*s|%zu|%lld|%lld.%lld",
		STR_ARG(product->name), STR_ARG(product->description), (long long)product->price,
		STR_ARG(product->category), product->tags.count, (long long)product->stock_quantity,
		(long long)product->version, (long long)product->stock_version);
	return OK;
}

static enum fault update(struct task *t, struct job *job)
{
	return store_product_update(t, &OF(job)->product);
}

static enum fault delete (struct task *t, struct job *job) {
	struct store_job *j = OF(job);

	return store_product_delete(t, &j->product.id, j->version, &j->version);
}

/* A product named so, with 5 units; other fields may be set before. */
static struct product offer(struct product product, const char *name)
{
	struct store_job j = {.job.work = insert, .product = product};

	j.product.id = uuid_new();
	j.product.name = str_from(name);
	j.product.currency = STR("USD");
	if (uuid_is_nil(&j.product.seller_id))
		j.product.seller_id = seller;
	if (j.product.stock_quantity == 0)
		j.product.stock_quantity = 5;
	if (j.product.category.at != NULL && j.product.category_name.at == NULL)
		j.product.category_name = j.product.category;
	job_finish(&j.job);
	assert_int_equal(j.job.fault, OK);
	return j.product;
}

/* ---- products ---- */

static void what_is_written_is_read(void **state)
{
	struct str tags[] = {STR("wood"), STR("gift")};
	const struct product made = offer((struct product){.description = STR("Oiled."),
						  .price = 2999,
						  .category = STR("home-garden"),
						  .category_name = STR("Home & Garden"),
						  .tags = {tags, 2}},
		"Walnut tray");
	struct store_job j = {.job.work = get, .product.id = made.id};

	(void)state;
	job_finish(&j.job);
	assert_int_equal(j.job.fault, OK);
	assert_string_equal(j.job.text, "Walnut tray|Oiled.|2999|home-garden|2|5|1.1");
	assert_int_equal(j.product.created_at, made.created_at);
	assert_string_equal(observe("SELECT name FROM categories"), "Home & Garden");
	assert_adds_up();
}

static void changes_move_the_version(void **state)
{
	const struct product made = offer((struct product){.price = 1}, "A");
	struct store_job first = {.job.work = update, .product = made};
	struct store_job second = {.job.work = update, .product = made};
	struct store_job look = {.job.work = get, .product.id = made.id};

	(void)state;
	first.product.name = STR("B");
	job_finish(&first.job);
	assert_int_equal(first.job.fault, OK);
	assert_int_equal(first.product.version, 2);
	job_finish(&second.job);
	assert_int_equal(second.job.fault, FAULT_PRECONDITION_FAILED);
	job_finish(&look.job);
	assert_string_equal(look.job.text, "B||1||0|5|2.1");
}

static enum fault deleted(struct product product, int64_t version, int64_t *cache_version)
{
	struct store_job j = {.job.work = delete, .product = product, .version = version};

	job_finish(&j.job);
	*cache_version = j.version;
	return j.job.fault;
}

static void deleting_hides(void **state)
{
	const struct product made = offer((struct product){.sku = STR("x")}, "A");
	struct store_job look = {.job.work = get, .product.id = made.id};
	int64_t version;

	(void)state;
	assert_int_equal(deleted(made, 7, &version), FAULT_PRECONDITION_FAILED);
	assert_int_equal(deleted(made, 1, &version), OK);
	assert_int_equal(version, 3);
	assert_int_equal(deleted(made, 0, &version), FAULT_NOT_FOUND);
	job_finish(&look.job);
	assert_int_equal(look.job.fault, FAULT_NOT_FOUND);
	(void)offer((struct product){.sku = STR("x")}, "B"); /* the SKU is free again */
}

static void a_sku_is_a_seller_s_once(void **state)
{
	struct store_job j = {.job.work = insert,
		.product = {.id = uuid_new(),
			.seller_id = seller,
			.name = STR("B"),
			.currency = STR("USD"),
			.sku = STR("x")}};

	(void)state;
	(void)offer((struct product){.sku = STR("x")}, "A");
	job_finish(&j.job);
	assert_int_equal(j.job.fault, FAULT_SKU_TAKEN);
	assert_int_equal(j.job.errors, 1);
	(void)offer((struct product){.sku = STR("x"), .seller_id = other_seller}, "C");
}

/* Many first products of a category at once: one of them makes it, nobody fails. */
static void a_new_category_is_made_once(void **state)
{
	static struct store_job jobs[20];

	(void)state;
	for (size_t i = 0; i < COUNT(jobs); i++) {
		jobs[i] = (struct store_job){.job.work = insert,
			.product = {.id = uuid_new(),
				.seller_id = seller,
				.name = STR("A"),
				.currency = STR("USD"),
				.category = STR("new"),
				.category_name = STR("New")}};
		job_start(&jobs[i].job);
	}
	for (size_t i = 0; i < COUNT(jobs); i++)
		turn_until(jobs[i].job.task == NULL);
	for (size_t i = 0; i < COUNT(jobs); i++)
		assert_int_equal(jobs[i].job.fault, OK);
	assert_int_equal(observe_number("SELECT count(*) FROM categories"), 1);
	assert_int_equal(
		observe_number("SELECT count(*) FROM products WHERE category_name = 'New'"), 20);
}

/* ---- lists ---- */

static struct cursor beginning(const struct product_query *query)
{
	struct cursor after = {.text = STR("")};

	after.number = query->sort == SORT_PRICE       ? -1
	               : query->sort == SORT_RELEVANCE ? 0
	                                               : INT64_C(253402300799000000);
	memset(after.id.bytes, 0xff, sizeof after.id.bytes);
	return after;
}

/* Reads the whole list page by page, as product.c does. */
static enum fault walk(struct task *t, struct job *job)
{
	struct store_job *j = OF(job);
	struct cursor after = beginning(&j->query);
	const size_t limit = (size_t)j->query.limit;
	struct items page;

	do {
		const struct product *at;

		TRY(store_products_list(t, &j->query, &after, &page));
		at = page.at;
		for (size_t i = 0; i < page.count && i < limit && j->count < COUNT(found); i++) {
			found[j->count++] = at[i].id;
			after.id = at[i].id;
			after.text = at[i].name_folded;
			if (j->query.sort == SORT_NEWEST)
				after.number = at[i].created_at;
			else if (j->query.sort != SORT_RELEVANCE)
				after.number = at[i].price;
		}
		if (j->query.sort == SORT_RELEVANCE)
			after.number += j->query.limit;
	} while (page.count > limit && j->count < COUNT(found));
	return OK;
}

static size_t walked(struct store_job *j)
{
	j->job.work = walk;
	j->count = 0;
	job_finish(&j->job);
	assert_int_equal(j->job.fault, OK);
	return j->count;
}

/* Names and prices repeat, so that ids have to decide; the database's own order is the truth. */
static void lists_have_neither_gap_nor_repeat(void **state)
{
	static const char *const orders[] = {
		[SORT_NEWEST] = "created_at DESC, id DESC",
		[SORT_PRICE] = "price_minor, id",
		[SORT_PRICE_DOWN] = "price_minor DESC, id DESC",
		[SORT_NAME] = "lower(name) COLLATE \"C\", id",
	};
	static const char *const names[] = {"apple", "Apple", "banana", "\xc3\x84pfel", "Zebra"};

	(void)state;
	for (int i = 0; i < 33; i++)
		(void)offer((struct product){.price = 100 * (i % 4)}, names[i % 5]);
	observe("UPDATE products SET created_at = date_trunc('second', created_at)");
	for (int sort = SORT_NEWEST; sort <= SORT_NAME; sort++) {
		struct store_job j = {.query = product_query_any()};
		char sql[256];
		char id[UUID_TEXT_LEN + 1];

		j.query.sort = sort;
		j.query.limit = 4;
		j.query.in_stock = sort == SORT_NEWEST; /* both ways to the newest */
		assert_int_equal(walked(&j), 33);
		for (size_t i = 0; i < j.count; i++) {
			snprintf(sql, sizeof sql,
				"SELECT id FROM products ORDER BY %s OFFSET %zu LIMIT 1",
				orders[sort], i);
			assert_string_equal(observe(sql), uuid_format(&found[i], id).at);
		}
		if (sort == SORT_NEWEST) {
			struct uuid before[33];

			memcpy(before, found, sizeof before);
			j.query.in_stock = false;
			assert_int_equal(walked(&j), 33);
			assert_memory_equal(before, found, sizeof before);
		}
	}
}

static void filters_hold_together(void **state)
{
	struct str blue[] = {STR("blue"), STR("big")};
	const struct product a = offer(
		(struct product){.price = 1000, .tags = {blue, 1}, .category = STR("a")}, "A");
	const struct product b = offer(
		(struct product){.price = 2000, .tags = {blue, 2}, .category = STR("a-b")}, "B");
	struct store_job j = {.query = product_query_any()};
	struct product_query *query = &j.query;

	(void)state;
	observe("UPDATE stock SET available = 0, received = 0");
	observe("UPDATE stock SET available = 1, received = 1 FROM products"
		" WHERE id = product_id AND name = 'B'");
	query->sort = SORT_PRICE;

#define ONLY(product_)                                           \
	do {                                                     \
		assert_int_equal(walked(&j), 1);                 \
		assert_true(uuid_eq(&found[0], &(product_).id)); \
		*query = product_query_any();                    \
		query->sort = SORT_PRICE;                        \
	} while (0)

	assert_int_equal(walked(&j), 2);
	query->tags = (struct texts){blue, 2};
	ONLY(b);
	query->min_price = 1001;
	ONLY(b);
	query->max_price = 1999;
	ONLY(a);
	query->in_stock = true;
	ONLY(b);
	query->category = STR("a");
	ONLY(a);
	query->q = STR("b");
	ONLY(b);
	query->seller = other_seller;
	assert_int_equal(walked(&j), 0);
	*query = product_query_any();
	query->sort = SORT_PRICE;
	query->offset = 1;
	ONLY(b);
	query->category = STR("nothing");
	assert_int_equal(walked(&j), 0);
}

static void search_ranks_and_forgives(void **state)
{
	const struct product in_text =
		offer((struct product){.description = STR("Goes well with headphones.")}, "Stand");
	const struct product in_category =
		offer((struct product){.category = STR("headphones")}, "Cushions");
	const struct product in_name = offer((struct product){0}, "Studio Headphones");
	struct store_job j = {.query = product_query_any()};

	(void)state;
	j.query.sort = SORT_RELEVANCE;
	j.query.limit = 2;
	j.query.q = STR("headphone");
	assert_int_equal(walked(&j), 3);
	assert_true(uuid_eq(&found[0], &in_name.id));
	assert_true(uuid_eq(&found[1], &in_category.id));
	assert_true(uuid_eq(&found[2], &in_text.id));
	j.query.q = STR("hedphones"); /* a letter is missing */
	assert_int_equal(walked(&j), 1);
	assert_true(uuid_eq(&found[0], &in_name.id));
	j.query.q = STR("udio"); /* a part of a word */
	assert_int_equal(walked(&j), 1);
	j.query.q = STR("%"); /* no pattern */
	assert_int_equal(walked(&j), 0);
	j.query.q = STR("a:* & !b ' \\");
	(void)walked(&j);
	j.query.q = STR("headphones -studio");
	assert_int_equal(walked(&j), 2);
}

static enum fault get_many(struct task *t, struct job *job)
{
	struct store_job *j = OF(job);
	struct uuid ids[3] = {found[1], {{9}}, found[0]};
	struct items products;
	const struct product *at;

	TRY(store_products_get(t, &(struct uuids){ids, 3}, &products));
	at = products.at;
	j->count = products.count;
	for (size_t i = 0; i < products.count; i++)
		found[i] = at[i].id;
	return OK;
}

static void ids_keep_their_order(void **state)
{
	const struct product a = offer((struct product){0}, "A");
	const struct product b = offer((struct product){0}, "B");
	struct store_job j = {.job.work = get_many};

	(void)state;
	found[0] = a.id;
	found[1] = b.id;
	job_finish(&j.job);
	assert_int_equal(j.job.fault, OK);
	assert_int_equal(j.count, 2);
	assert_true(uuid_eq(&found[0], &b.id));
	assert_true(uuid_eq(&found[1], &a.id));
}

/* ---- categories ---- */

static enum fault category_make(struct task *t, struct job *job)
{
	return store_category_insert(t, NULL, &OF(job)->category);
}

static enum fault category_move(struct task *t, struct job *job)
{
	return store_category_update(t, &OF(job)->category, OF(job)->version);
}

static enum fault category_drop(struct task *t, struct job *job)
{
	return store_category_delete(t, OF(job)->category.slug, OF(job)->version);
}

static enum fault category_do(enum fault (*work)(struct task *t, struct job *job), const char *slug,
	const char *name, const char *parent)
{
	struct store_job j = {.job.work = work,
		.category = {.slug = str_from(slug),
			.name = str_from(name),
			.parent = str_from(parent)}};

	job_finish(&j.job);
	return j.job.fault;
}

static void categories_are_a_tree(void **state)
{
	struct store_job j = {.query = product_query_any()};

	(void)state;
	assert_int_equal(category_do(category_make, "a", "A", NULL), OK);
	assert_int_equal(category_do(category_make, "b", "B", "a"), OK);
	assert_int_equal(category_do(category_make, "c", "C", "b"), OK);
	assert_int_equal(category_do(category_make, "x", "X", NULL), OK);
	assert_int_equal(category_do(category_make, "c", "C", "a"), FAULT_CATEGORY_TAKEN);
	assert_int_equal(category_do(category_make, "d", "D", "nothing"), FAULT_NOT_FOUND);
	(void)offer((struct product){.category = STR("c")}, "P");
	j.query.sort = SORT_NEWEST;
	j.query.category = STR("a");
	assert_int_equal(walked(&j), 1);
	j.query.category = STR("x");
	assert_int_equal(walked(&j), 0);

	assert_int_equal(category_do(category_move, "b", "Bee", "x"), OK);
	assert_int_equal(walked(&j), 1);
	assert_string_equal(observe("SELECT string_agg(path, ' ' ORDER BY path) FROM categories"),
		"a x x/b x/b/c");
	assert_int_equal(category_do(category_move, "x", "X", "c"), FAULT_INVALID);
	assert_int_equal(category_do(category_move, "b", "B", "b"), FAULT_INVALID);
	assert_int_equal(category_do(category_move, "b", "B", "nothing"), FAULT_INVALID);
	assert_int_equal(category_do(category_move, "nothing", "N", NULL), FAULT_NOT_FOUND);
	assert_int_equal(category_do(category_move, "c", "Cutlery", NULL), OK);
	j.query = product_query_any();
	j.query.sort = SORT_RELEVANCE;
	j.query.q = STR("cutlery"); /* search knows the new name */
	assert_int_equal(walked(&j), 1);

	assert_int_equal(category_do(category_drop, "c", NULL, NULL), FAULT_CATEGORY_IN_USE);
	assert_int_equal(category_do(category_drop, "x", NULL, NULL), FAULT_CATEGORY_IN_USE);
	observe("UPDATE products SET status = 'deleted', version = version + 1");
	assert_int_equal(category_do(category_drop, "c", NULL, NULL), OK);
	assert_int_equal(category_do(category_drop, "c", NULL, NULL), FAULT_NOT_FOUND);
	assert_whole();
}

/* Two moves that would each be fine and together a circle. */
static void moves_at_once_make_no_circle(void **state)
{
	struct store_job ab = {.job.work = category_move,
		.category = {.slug = STR("a"), .name = STR("A"), .parent = STR("b")}};
	struct store_job ba = {.job.work = category_move,
		.category = {.slug = STR("b"), .name = STR("B"), .parent = STR("a")}};

	(void)state;
	assert_int_equal(category_do(category_make, "a", "A", NULL), OK);
	assert_int_equal(category_do(category_make, "b", "B", NULL), OK);
	job_start(&ab.job);
	job_start(&ba.job);
	turn_until(ab.job.task == NULL && ba.job.task == NULL);
	assert_int_equal((ab.job.fault == OK) + (ba.job.fault == OK), 1);
	assert_int_equal(observe_number("SELECT count(*) FROM categories WHERE parent IS NULL"), 1);
	assert_whole();
}

/* ---- stock ---- */

static enum fault change_stock(struct task *t, struct job *job)
{
	struct store_job *j = OF(job);

	return store_stock_change(t, NULL, &j->product, &j->change, j->versioned, STR("user:test"));
}

static enum fault list_movements(struct task *t, struct job *job)
{
	struct store_job *j = OF(job);
	const struct page page = {.limit = 10};
	struct items movements;
	const struct movement *at;

	TRY(store_movements_list(t, &j->product.id, INT64_MAX, &page, &movements));
	at = movements.at;
	job->text[0] = '\0';
	for (size_t i = 0; i < movements.count; i++)
		snprintf(job->text + strlen(job->text), sizeof job->text - strlen(job->text),
			"%.*s %lld;", STR_ARG(at[i].reason), (long long)at[i].quantity);
	return OK;
}

static void stock_is_added_and_set(void **state)
{
	const struct product made = offer((struct product){.price = 1}, "A");
	struct store_job j = {.job.work = change_stock, .product = made};
	struct store_job look = {.job.work = list_movements, .product = j.product};

	(void)state;
	j.change = (struct stock_change){3, STOCK_NOT_GIVEN};
	job_finish(&j.job);
	assert_int_equal(j.job.fault, OK);
	assert_int_equal(j.product.stock_quantity, 8);
	assert_int_equal(j.product.stock_version, 2);
	j.change = (struct stock_change){-9, STOCK_NOT_GIVEN};
	job_finish(&j.job);
	assert_int_equal(j.job.fault, FAULT_INSUFFICIENT_STOCK);
	j.change = (struct stock_change){STOCK_NOT_GIVEN, 2};
	job_finish(&j.job);
	assert_int_equal(j.job.fault, OK);
	assert_int_equal(j.product.stock_quantity, 2);
	j.change = (struct stock_change){STOCK_MAX, STOCK_NOT_GIVEN};
	job_finish(&j.job);
	assert_int_equal(j.job.fault, FAULT_INVALID);
	job_finish(&look.job);
	assert_string_equal(look.job.text, "removed -6;received 3;received 5;");

	j.change = (struct stock_change){1, STOCK_NOT_GIVEN};
	j.versioned = true;
	j.product.stock_version = 2;
	job_finish(&j.job);
	assert_int_equal(j.job.fault, FAULT_PRECONDITION_FAILED);
	j.product.stock_version = 3;
	job_finish(&j.job);
	assert_int_equal(j.job.fault, OK);
	assert_adds_up();
}

/* What is set is exact and what is booked is the difference, however many come at once. */
static void stock_changes_at_once_add_up(void **state)
{
	static struct store_job jobs[60];
	const struct product product = offer((struct product){.stock_quantity = 1000}, "A");

	(void)state;
	for (size_t i = 0; i < COUNT(jobs); i++) {
		jobs[i] = (struct store_job){.job.work = change_stock, .product = product};
		jobs[i].change =
			i % 3 == 0 ? (struct stock_change){STOCK_NOT_GIVEN, 500}
				   : (struct stock_change){i % 3 == 1 ? 7 : -7, STOCK_NOT_GIVEN};
		job_start(&jobs[i].job);
	}
	for (size_t i = 0; i < COUNT(jobs); i++)
		turn_until(jobs[i].job.task == NULL);
	for (size_t i = 0; i < COUNT(jobs); i++)
		assert_int_equal(jobs[i].job.fault, OK);
	assert_int_equal(observe_number("SELECT version FROM stock"), 61);
	assert_adds_up();
}

/* Every statement was prepared when the pools came up; here on one by one, to name a bad one. */
/* ---- events ---- */

static void sell(struct product *product, int64_t quantity)
{
	struct store_job j = {.job.work = change_stock,
		.product = *product,
		.change = {-quantity, STOCK_NOT_GIVEN}};

	job_finish(&j.job);
	assert_int_equal(j.job.fault, OK);
}

static const char *told(const char *what)
{
	char sql[512];

	snprintf(sql, sizeof sql,
		"SELECT string_agg(concat_ws(' ', replace(type,"
		" 'bodega.product.', ''), sequence, %s), ', ' ORDER BY id) FROM outbox",
		what);
	return observe(sql);
}

static void each_version_is_told_to_the_seller(void **state)
{
	const struct product made = offer((struct product){.price = 2999, .sku = STR("x")}, "A");
	struct store_job change = {.job.work = update, .product = made};
	int64_t version;

	(void)state;
	change.product.name = STR("B");
	change.product.price = 5;
	change.product.sku = STR_NONE;
	job_finish(&change.job);
	assert_int_equal(change.job.fault, OK);
	assert_int_equal(deleted(made, 0, &version), OK);
	assert_string_equal(told("data->>'price_minor', data->>'changed'"),
		"created 1 2999, changed 2 5 [\"name\", \"price\", \"sku\"], deleted 3");
	assert_int_equal(
		observe_number("SELECT count(*) FROM outbox JOIN products ON products.id = subject"
			       " AND person = seller_id"),
		3);
	assert_string_equal(observe("SELECT count(*) FROM outbox WHERE data::text ~ 'Tray'"), "0");
}

/* Told are the ways down past 5 and to 0, not those that stay on one side, nor those up. */
static void stock_that_runs_out_is_told(void **state)
{
	struct product made = offer((struct product){.stock_quantity = 20}, "A");

	(void)state;
	sell(&made, 14);
	sell(&made, 1);
	sell(&made, 1);
	sell(&made, 4);
	sell(&made, -6);
	sell(&made, 6);
	assert_string_equal(told("data->>'available', data->>'stock_version'"),
		"created 1, stock_low 5 3, stock_out 0 5, stock_out 0 7");
}

static void statements_fit_the_schema(void **state)
{
	(void)state;
	assert_statements_fit(&products_schema, "categories");
}

int main(void)
{
#define TEST(name_) cmocka_unit_test_setup(name_, store_empty)
	const struct CMUnitTest tests[] = {
		TEST(statements_fit_the_schema),
		TEST(what_is_written_is_read),
		TEST(each_version_is_told_to_the_seller),
		TEST(stock_that_runs_out_is_told),
		TEST(changes_move_the_version),
		TEST(deleting_hides),
		TEST(a_sku_is_a_seller_s_once),
		TEST(a_new_category_is_made_once),
		TEST(lists_have_neither_gap_nor_repeat),
		TEST(filters_hold_together),
		TEST(search_ranks_and_forgives),
		TEST(ids_keep_their_order),
		TEST(categories_are_a_tree),
		TEST(moves_at_once_make_no_circle),
		TEST(stock_is_added_and_set),
		TEST(stock_changes_at_once_add_up),
	};
	int failed = cmocka_run_group_tests_name("store", tests, store_begin, store_end);

	return failed + reservation_tests_run() + keyed_tests_run();
}
