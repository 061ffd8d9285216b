-- The statements of one order of two lines, for pgbench: what PostgreSQL alone can do. One database has both schemas,
-- and bench_ids the products' ids by number.
\set a random(1, 5000)
\set b random(5001, 10000)
INSERT INTO orders (id, user_id, currency, shipping_address, metadata, step_goal, step_actor, expires_at, lease_until)
VALUES (gen_random_uuid(), '01a1fefd-8d01-79e7-8bdb-b8ae69cc452f', 'USD', NULL::text::json, NULL::text::json, 'pending',
	'user:01a1fefd-8d01-79e7-8bdb-b8ae69cc452f', now() + 1800000000::bigint * interval '1 microsecond',
	now() + 30000000::bigint * interval '1 microsecond')
RETURNING id AS order_id, lease_token \gset
SELECT array_agg(product_id) AS product_ids, array_agg(seller_id) AS seller_ids, array_agg(name) AS names,
	array_agg(price_minor) AS prices, sum(price_minor) AS total
FROM reserve(:order_id::uuid, 1, ARRAY(SELECT id FROM bench_ids WHERE n IN (:a, :b)), ARRAY[1, 1], 3600000,
	'user:01a1fefd-8d01-79e7-8bdb-b8ae69cc452f') \gset
WITH placed AS (
	UPDATE orders
	SET status = 'pending', version = 1, subtotal_minor = :total::bigint, shipping_minor = 0, tax_minor = 0,
		total_minor = :total::bigint, updated_at = now(), step = 'idle', step_goal = NULL, step_actor = NULL,
		lease_until = NULL, attempts = 0, needs_attention = false
	WHERE id = :order_id::uuid AND lease_token = :lease_token::bigint AND status = 'reserving'
	RETURNING id, version, created_at, updated_at, expires_at),
lines AS (
	INSERT INTO order_items (id, order_id, product_id, seller_id, name, unit_price_minor, quantity)
	SELECT gen_random_uuid(), p.id, l.product_id, l.seller_id, l.name, l.unit_price_minor, 1
	FROM placed p, unnest(:product_ids::uuid[], :seller_ids::uuid[], :names::text[], :prices::bigint[]) AS l
		(product_id, seller_id, name, unit_price_minor)),
event AS (
	INSERT INTO order_history (order_id, version, to_status, actor)
	SELECT id, version, 'pending', 'user:01a1fefd-8d01-79e7-8bdb-b8ae69cc452f' FROM placed)
SELECT version, created_at, updated_at, expires_at FROM placed;
