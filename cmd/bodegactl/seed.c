/* SPDX-License-Identifier: Apache-2.0
 * bodegactl seed: the sample catalogue, with its stock and the first lines of its ledger, written
 * in one transaction. What is there already stays as it is, so running it again adds nothing. */
#include "catalogue.h"
#include "command.h"
#include "database.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/money.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>

enum { PRODUCTS_DEFAULT = 200, COPY_BYTES = 64 << 10 };

static const char usage[] = "[OPTION...]";

static const char help[] =
	"Fills the catalogue with made-up goods: categories, products, stock and its ledger. A\n"
	"product has the same id wherever it is made; those that exist are left alone.\n"
	"\n"
	"The database is DATABASE_URL's, the currency CURRENCY's (default: USD).\n";

/* Of the shop itself, when nobody is named. */
#define SELLER_DEFAULT "01935d00-0000-7000-8000-000000000001"

struct options {
	char *database;
	char *products;
	char *seller;
};

struct settings {
	struct str database_url;
	struct str currency;
};

static const struct config_field settings_fields[] = {
	CONFIG(struct settings, database_url, URL, "DATABASE_URL", CONFIG_OPTIONAL,
		"The products' database.", .choices = "postgresql postgres"),
	CONFIG(struct settings, currency, TEXT, "CURRENCY", "USD", "The shop's currency."),
};

struct seed {
	struct scope s;
	struct options options;
	struct str url;
	struct currency currency;
	int64_t products;
	struct uuid seller;
	struct database *db;
	int64_t added;
};

static const char copy_sql[] =
	"COPY seed (id, name, description, price_minor, category, tags, sku, stock, created_at) "
	"FROM STDIN";

static const char table_sql[] =
	"CREATE TEMPORARY TABLE seed (id uuid, name text, description text, price_minor bigint, "
	"	category text, tags text[], sku text, stock bigint, created_at timestamptz) "
	"	ON COMMIT DROP";

static const char insert_sql[] =
	"WITH made AS ("
	"	INSERT INTO products (id, seller_id, name, description, price_minor, currency, "
	"		category, category_name, tags, sku, created_at, updated_at) "
	"	SELECT s.id, $1::uuid, s.name, s.description, s.price_minor, $2::text, "
	"		s.category, c.name, s.tags, s.sku, s.created_at, s.created_at "
	"	FROM seed s JOIN categories c ON c.slug = s.category "
	"	ORDER BY s.id "
	"	ON CONFLICT DO NOTHING "
	"	RETURNING id), "
	"stocked AS ("
	"	INSERT INTO stock (product_id, available, received) "
	"	SELECT m.id, s.stock, s.stock FROM made m JOIN seed s USING (id) "
	"	RETURNING product_id, available), "
	"booked AS ("
	"	INSERT INTO stock_movements (product_id, reason, quantity, available, actor) "
	"	SELECT product_id, 'received', available, available, 'system' "
	"	FROM stocked WHERE available > 0) "
	"SELECT count(*) FROM made";

/* One level a run: a category's path needs its parent's. */
static const char categories_sql[] =
	"INSERT INTO categories (slug, name, parent, path) "
	"SELECT $1::text, $2::text, $3::text, "
	"	coalesce((SELECT path FROM categories WHERE slug = $3) || '/', '') || $1 "
	"ON CONFLICT DO NOTHING";

static int seed(struct seed *seed);
static int read_options(struct seed *seed);
static enum fault write_all(struct seed *seed);
static enum fault write_categories(struct seed *seed);
static enum fault copy_products(struct seed *seed);
static void copy_product(struct scope *s, unsigned number, unsigned decimals, struct buf *text);
static int64_t minor_of(int64_t hundredths, unsigned decimals);
static enum fault insert_products(struct seed *seed);

int seed_command(int argc, const char **argv)
{
	struct seed work = {0};
	const struct poptOption table[] = {
		{"database", 'd', POPT_ARG_STRING, &work.options.database, 0,
			"this database, not the environment's", "URL"},
		{"products", 'n', POPT_ARG_STRING, &work.options.products, 0,
			"how many (default: 200)", "NUMBER"},
		{"seller", 's', POPT_ARG_STRING, &work.options.seller, 0,
			"the account that owns them (default: one that nobody has)", "USER_ID"},
		COMMAND_HELP_OPTION,
		POPT_TABLEEND,
	};
	poptContext context;
	int status;

	argv[0] = "bodegactl seed"; /* popt says so in its help */
	context = poptGetContext(NULL, argc, argv, table, 0);
	scope_begin(&work.s);
	if (command_options(context, usage, help, &status)) {
		if (poptPeekArg(context) != NULL)
			status = command_fail(COMMAND_USAGE, "seed takes options only: see --help");
		else
			status = seed(&work);
	}
	scope_end(&work.s);
	poptFreeContext(context);
	free(work.options.database);
	free(work.options.products);
	free(work.options.seller);
	return status;
}

static int seed(struct seed *seed)
{
	enum fault fault;
	int status = read_options(seed);

	if (status != COMMAND_FINE)
		return status;
	fault = database_open(&seed->s, seed->url, &seed->db);
	if (fault == OK)
		fault = write_all(seed);
	if (fault != OK)
		return command_fail_scope(&seed->s, fault, "seed");
	printf("%lld products added, %lld were there\n", (long long)seed->added,
		(long long)(seed->products - seed->added));
	return COMMAND_FINE;
}

static int read_options(struct seed *seed)
{
	const struct options *options = &seed->options;
	struct settings settings = {0};

	if (config_load(&seed->s, settings_fields, sizeof settings_fields / sizeof *settings_fields,
		    &settings) != OK) {
		config_print_errors(&seed->s, "bodegactl", stderr);
		return COMMAND_CONFIG;
	}
	seed->url = options->database != NULL ? str_from(options->database) : settings.database_url;
	if (seed->url.at == NULL)
		return command_fail(
			COMMAND_CONFIG, "no database: set DATABASE_URL or give --database");
	if (!currency_find(settings.currency, &seed->currency))
		return command_fail(COMMAND_CONFIG,
			"CURRENCY must be a currency of ISO 4217 such as USD, in upper case");
	seed->products = PRODUCTS_DEFAULT;
	if (options->products != NULL &&
		(!str_to_int64(str_from(options->products), &seed->products) ||
			seed->products < 0 || seed->products > SAMPLES_MAX))
		return command_fail(COMMAND_USAGE, "--products must be from 0 to %d", SAMPLES_MAX);
	if (!uuid_parse(str_from(options->seller != NULL ? options->seller : SELLER_DEFAULT),
		    &seed->seller))
		return command_fail(COMMAND_USAGE, "--seller must be an account's id, a UUID");
	return COMMAND_FINE;
}

static enum fault run(struct seed *seed, const char *sql)
{
	struct str ignored;

	return database_run(seed->db, sql, NULL, 0, &ignored);
}

static enum fault write_all(struct seed *seed)
{
	TRY(run(seed, "BEGIN"));
	TRY(run(seed, table_sql));
	TRY(write_categories(seed));
	TRY(copy_products(seed));
	TRY(insert_products(seed));
	TRY(run(seed, "COMMIT"));
	/* so that the first searches are planned by what is there */
	return seed->added > 0 ? run(seed, "ANALYZE categories, products, stock") : OK;
}

static enum fault write_categories(struct seed *seed)
{
	for (size_t i = 0; i < sample_category_count; i++) {
		const struct sample_category *category = &sample_categories[i];
		const struct str values[] = {str_from(category->slug), str_from(category->name),
			str_from(category->parent)};
		struct str ignored;

		TRY(database_run(seed->db, categories_sql, values, 3, &ignored));
	}
	return OK;
}

static enum fault copy_products(struct seed *seed)
{
	for (unsigned number = 0; number < seed->products;) {
		struct scope batch;
		struct buf rows;
		enum fault fault;

		scope_begin(&batch);
		rows = buf_new(batch.arena);
		while (number < seed->products && rows.len < COPY_BYTES)
			copy_product(&batch, number++, seed->currency.decimals, &rows);
		fault = database_copy(seed->db, copy_sql, buf_str(&rows));
		scope_end(&batch);
		TRY(fault);
	}
	return OK;
}

/* A line of COPY's text format; the catalogue has no character that needs escaping in it. */
static void copy_product(struct scope *s, unsigned number, unsigned decimals, struct buf *text)
{
	const struct sample_product product = sample_product(s, number);
	char id[UUID_TEXT_LEN + 1];
	char at[TIME_TEXT_MAX];

	buf_format(text, "%s\t%.*s\t%.*s\t%lld\t%s\t{%s,%s,%s}\t%.*s\t%lld\t%s\n",
		uuid_format(&product.id, id).at, STR_ARG(product.name),
		STR_ARG(product.description), (long long)minor_of(product.price, decimals),
		product.category, product.tags[0], product.tags[1], product.tags[2],
		STR_ARG(product.sku), (long long)product.stock,
		time_format(product.created_at, at).at);
}

static int64_t minor_of(int64_t hundredths, unsigned decimals)
{
	for (; decimals > 2; decimals--)
		hundredths *= 10;
	for (; decimals < 2; decimals++)
		hundredths /= 10;
	return hundredths;
}

static enum fault insert_products(struct seed *seed)
{
	char seller[UUID_TEXT_LEN + 1];
	const struct str values[] = {
		uuid_format(&seed->seller, seller), str_from(seed->currency.code)};
	struct str added;

	TRY(database_run(seed->db, insert_sql, values, 2, &added));
	CHECK(str_to_int64(added, &seed->added));
	return OK;
}
