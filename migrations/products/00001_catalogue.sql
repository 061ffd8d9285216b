-- +goose Up
-- The catalogue: categories and products. What a product costs and is called lives here; how many there are lives in
-- stock (00002), so that a sale never touches these rows nor their indexes.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- path is the slugs from the root down, "electronics/audio/headphones": a subtree is what its path begins.
CREATE TABLE categories (
	slug text COLLATE "C" CONSTRAINT categories_pkey PRIMARY KEY,
	name text NOT NULL,
	parent text COLLATE "C" CONSTRAINT categories_parent_fkey REFERENCES categories (slug),
	path text COLLATE "C" NOT NULL,
	version bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT categories_slug_check CHECK (char_length(slug) BETWEEN 1 AND 200 AND slug !~ '[/%_\\]'),
	CONSTRAINT categories_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
	CONSTRAINT categories_parent_check CHECK (parent <> slug),
	CONSTRAINT categories_path_check CHECK (
		CASE WHEN parent IS NULL THEN path = slug ELSE right(path, length(slug) + 1) = '/' || slug END),
	CONSTRAINT categories_depth_check CHECK (cardinality(string_to_array(path, '/')) <= 8)
);
CREATE INDEX categories_path ON categories (path);
CREATE INDEX categories_parent ON categories (parent);

-- category_name is the category's name, copied so that search and reads need no join; renaming a category rewrites it.
-- version moves with every change of the row.
CREATE TABLE products (
	id uuid CONSTRAINT products_pkey PRIMARY KEY,
	seller_id uuid NOT NULL,
	name text NOT NULL,
	name_folded text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(name)) STORED,
	description text NOT NULL DEFAULT '',
	price_minor bigint NOT NULL,
	currency text NOT NULL,
	category text COLLATE "C" CONSTRAINT products_category_fkey REFERENCES categories (slug),
	category_name text,
	tags text[] NOT NULL DEFAULT '{}',
	sku text,
	image_url text,
	status text NOT NULL DEFAULT 'active',
	version bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	search tsvector NOT NULL GENERATED ALWAYS AS (
		setweight(to_tsvector('english', name), 'A')
		|| setweight(to_tsvector('english', coalesce(category_name, '')), 'B')
		|| setweight(to_tsvector('english', description), 'C')) STORED,
	CONSTRAINT products_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
	CONSTRAINT products_description_check CHECK (char_length(description) <= 10000),
	CONSTRAINT products_price_check CHECK (price_minor BETWEEN 0 AND 1000000000000),
	CONSTRAINT products_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
	CONSTRAINT products_category_check CHECK ((category IS NULL) = (category_name IS NULL)),
	CONSTRAINT products_tags_check CHECK (cardinality(tags) <= 20 AND array_position(tags, NULL) IS NULL),
	CONSTRAINT products_status_check CHECK (status IN ('active', 'deleted'))
);

-- A seller may use the SKU of a deleted product again.
CREATE UNIQUE INDEX products_sku ON products (seller_id, sku) WHERE status = 'active';

-- The orders of lists; each is walked in both directions, ties by id.
CREATE INDEX products_newest ON products (created_at, id) WHERE status = 'active';
CREATE INDEX products_price ON products (price_minor, id) WHERE status = 'active';
CREATE INDEX products_name ON products (name_folded, id) WHERE status = 'active';

-- What lists are filtered by. category is not partial: it serves the foreign key too.
CREATE INDEX products_category ON products (category, created_at, id);
CREATE INDEX products_seller ON products (seller_id, created_at, id) WHERE status = 'active';
CREATE INDEX products_tags ON products USING gin (tags) WHERE status = 'active';
CREATE INDEX products_search ON products USING gin (search) WHERE status = 'active';
CREATE INDEX products_name_trigrams ON products USING gin (name_folded gin_trgm_ops) WHERE status = 'active';

-- For searches that find no word: names that have the text in them, or a part that is spelt much like it (at 0.4 two
-- letters of a short word may have changed places).
-- +goose StatementBegin
CREATE FUNCTION products_like(wanted text) RETURNS TABLE (id uuid, likeness real)
LANGUAGE sql STABLE ROWS 50 SET pg_trgm.word_similarity_threshold = 0.4 AS $$
	SELECT id, word_similarity(lower(wanted), name_folded)
	FROM products
	WHERE status = 'active'
		AND (name_folded %> lower(wanted)
			OR name_folded LIKE '%' || regexp_replace(lower(wanted), '([\\%_])', '\\\1', 'g') || '%')
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION products_like;
DROP TABLE products;
DROP TABLE categories;
DROP EXTENSION pg_trgm;
