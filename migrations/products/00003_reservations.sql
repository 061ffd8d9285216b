-- +goose Up
-- Reservations: what orders hold of the stock. held -> committed | released, committed -> returned. Each operation is a
-- function, so that it is one round trip and a hot product's lock lasts no longer than the call and its commit, and each
-- of its statements sees what was committed while the one before it waited for a lock. All of them lock reservations
-- first, in the order of their ids, and then the stock in the order of the products' ids.
--
-- Their statements have to be planned from key to key, whatever is known of the tables: before the first ANALYZE an order
-- is thought to have a hundred lines, and joining those with all of the stock takes eight times as long. The sessions of
-- pkg/pg that write see to it.

-- revision 0 is a tombstone: released before it was made, so that a late create finds it; none comes a day later, and then it
-- goes. expired: released by the
-- sweep, not by orders; a commit may then take the stock once more.
CREATE TABLE reservations (
	order_id uuid CONSTRAINT reservations_pkey PRIMARY KEY,
	revision integer NOT NULL,
	state text NOT NULL,
	expired boolean NOT NULL DEFAULT false,
	expires_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT reservations_state_check CHECK (state IN ('held', 'committed', 'released', 'returned')),
	CONSTRAINT reservations_expired_check CHECK (NOT expired OR state = 'released'),
	CONSTRAINT reservations_expires_check CHECK ((state = 'held') = (expires_at IS NOT NULL))
);
CREATE INDEX reservations_expiry ON reservations (expires_at) WHERE state = 'held';
CREATE INDEX reservations_tombstones ON reservations (created_at) WHERE revision = 0;

-- name, price and seller are those of the moment when the product was first reserved.
CREATE TABLE reservation_lines (
	order_id uuid NOT NULL CONSTRAINT reservation_lines_order_fkey REFERENCES reservations (order_id),
	product_id uuid NOT NULL CONSTRAINT reservation_lines_product_fkey REFERENCES stock (product_id),
	quantity integer NOT NULL,
	name text NOT NULL,
	price_minor bigint NOT NULL,
	currency text NOT NULL,
	seller_id uuid NOT NULL,
	CONSTRAINT reservation_lines_pkey PRIMARY KEY (order_id, product_id),
	CONSTRAINT reservation_lines_quantity_check CHECK (quantity BETWEEN 1 AND 10000)
);

-- What each operation answers, a row a line. outcome: ok; short (the lines there is not enough of; available NULL: no such
-- product); released, stale, differs, settled (why the reservation may not change: see reserve); missing. A row with
-- quantity 0 is a product that the reservation has given up. version is the product's, as caches count it.
CREATE TYPE reservation_answer AS (
	outcome text,
	revision integer,
	state text,
	expires_at timestamptz,
	product_id uuid,
	quantity integer,
	name text,
	price_minor bigint,
	currency text,
	seller_id uuid,
	available bigint,
	version bigint
);

-- The reservation as it is; one row without a product when it has no lines.
-- +goose StatementBegin
CREATE FUNCTION reservation_get(for_order uuid, with_outcome text) RETURNS SETOF reservation_answer
LANGUAGE sql STABLE AS $$
	SELECT with_outcome, r.revision, r.state, r.expires_at, l.product_id, l.quantity, l.name, l.price_minor, l.currency,
		l.seller_id, s.available, p.version + s.version
	FROM reservations r
	LEFT JOIN reservation_lines l ON l.order_id = r.order_id
	LEFT JOIN stock s ON s.product_id = l.product_id
	LEFT JOIN products p ON p.id = l.product_id
	WHERE r.order_id = for_order
	ORDER BY l.product_id
$$;
-- +goose StatementEnd

-- Moves the units of all its lines for one reason, and books them.
-- +goose StatementBegin
CREATE FUNCTION reservation_move(for_order uuid, for_reason text, by_actor text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM stock
	WHERE product_id IN (SELECT product_id FROM reservation_lines WHERE order_id = for_order)
	ORDER BY product_id
	FOR NO KEY UPDATE;

	WITH moved AS (
		UPDATE stock s
		SET available = available + l.quantity * CASE for_reason WHEN 'held' THEN -1 WHEN 'committed' THEN 0 ELSE 1 END,
			held = held + l.quantity * CASE for_reason WHEN 'held' THEN 1 WHEN 'returned' THEN 0 ELSE -1 END,
			sold = sold + l.quantity * CASE for_reason WHEN 'committed' THEN 1 WHEN 'returned' THEN -1 ELSE 0 END,
			version = version + 1
		FROM reservation_lines l
		WHERE l.order_id = for_order AND s.product_id = l.product_id
		RETURNING s.product_id, l.quantity, s.available)
	INSERT INTO stock_movements (product_id, reason, quantity, available, order_id, actor)
	SELECT product_id, for_reason, quantity, available, for_order, by_actor FROM moved;
END
$$;
-- +goose StatementEnd

-- Holds all the lines or none. A higher revision replaces the lines while the reservation is held; the same one with the
-- same lines is answered as before (whatever became of the reservation since, but released).
-- +goose StatementBegin
CREATE FUNCTION reserve(for_order uuid, as_revision integer, products_wanted uuid[], quantities_wanted integer[],
	ttl_ms bigint, by_actor text) RETURNS SETOF reservation_answer
LANGUAGE plpgsql AS $$
DECLARE
	until timestamptz := now() + ttl_ms * interval '1 millisecond';
	is_new boolean;
	r reservations;
	refused text;
	dropped_products uuid[] := '{}';
BEGIN
	INSERT INTO reservations (order_id, revision, state, expires_at)
	VALUES (for_order, as_revision, 'held', until)
	ON CONFLICT (order_id) DO NOTHING;
	is_new := FOUND;

	IF NOT is_new THEN
		SELECT * INTO STRICT r FROM reservations WHERE order_id = for_order FOR NO KEY UPDATE;
		refused := CASE WHEN r.state = 'released' THEN 'released'
			WHEN as_revision < r.revision THEN 'stale'
			WHEN as_revision = r.revision AND (
				cardinality(products_wanted) <> (SELECT count(*) FROM reservation_lines WHERE order_id = for_order)
				OR EXISTS (
					SELECT FROM unnest(products_wanted, quantities_wanted) AS w (product_id, quantity)
					LEFT JOIN (SELECT * FROM reservation_lines WHERE order_id = for_order) l USING (product_id)
					WHERE w.quantity IS DISTINCT FROM l.quantity)) THEN 'differs'
			WHEN as_revision = r.revision THEN 'ok'
			WHEN r.state <> 'held' THEN 'settled'
			END;
		IF refused IS NOT NULL THEN
			RETURN QUERY SELECT * FROM reservation_get(for_order, refused);
			RETURN;
		END IF;
		dropped_products := ARRAY(
			SELECT product_id FROM reservation_lines
			WHERE order_id = for_order AND product_id <> ALL (products_wanted));
	END IF;

	PERFORM FROM stock
	WHERE product_id = ANY (products_wanted || dropped_products)
	ORDER BY product_id
	FOR NO KEY UPDATE;

	RETURN QUERY
	WITH lines AS MATERIALIZED (
		SELECT product_id, w.quantity, w.quantity - coalesce(o.quantity, 0) AS more,
			coalesce(o.name, p.name) AS name, coalesce(o.price_minor, p.price_minor) AS price_minor,
			coalesce(o.currency, p.currency) AS currency, p.seller_id, s.available, p.version + s.version AS version
		FROM (
			SELECT * FROM unnest(products_wanted, quantities_wanted)
			UNION ALL SELECT unnest(dropped_products), 0) AS w (product_id, quantity)
		LEFT JOIN (SELECT * FROM reservation_lines WHERE order_id = for_order) o USING (product_id)
		LEFT JOIN stock s USING (product_id)
		LEFT JOIN products p ON p.id = product_id AND (p.status = 'active' OR o.order_id IS NOT NULL)),
	short AS MATERIALIZED (
		SELECT * FROM lines WHERE version IS NULL OR available < more),
	taken AS MATERIALIZED (
		SELECT * FROM lines WHERE more <> 0 AND NOT EXISTS (SELECT FROM short)),
	moved AS (
		UPDATE stock s
		SET available = s.available - t.more, held = s.held + t.more, version = s.version + 1
		FROM taken t
		WHERE s.product_id = t.product_id
		RETURNING s.product_id, t.more, s.available),
	booked AS (
		INSERT INTO stock_movements (product_id, reason, quantity, available, order_id, actor)
		SELECT product_id, CASE WHEN more > 0 THEN 'held' ELSE 'released' END, abs(more), available, for_order, by_actor
		FROM moved),
	kept AS (
		INSERT INTO reservation_lines (order_id, product_id, quantity, name, price_minor, currency, seller_id)
		SELECT for_order, product_id, quantity, name, price_minor, currency, seller_id
		FROM taken
		WHERE quantity > 0
		ON CONFLICT (order_id, product_id) DO UPDATE SET quantity = excluded.quantity),
	dropped AS (
		DELETE FROM reservation_lines l USING taken t
		WHERE l.order_id = for_order AND l.product_id = t.product_id AND t.quantity = 0),
	revised AS (
		UPDATE reservations
		SET revision = as_revision, expires_at = until, updated_at = now()
		WHERE order_id = for_order AND NOT is_new AND NOT EXISTS (SELECT FROM short))
	SELECT 'ok', as_revision, 'held', until, product_id, quantity, name, price_minor, currency, seller_id,
		available - more, version + (more <> 0)::integer
	FROM lines
	WHERE NOT EXISTS (SELECT FROM short)
	UNION ALL
	SELECT 'short', as_revision, 'held', until, product_id, quantity, name, price_minor, currency, seller_id,
		CASE WHEN version IS NOT NULL THEN available + quantity - more END, version
	FROM short
	ORDER BY product_id;

	IF is_new THEN
		DELETE FROM reservations
		WHERE order_id = for_order AND NOT EXISTS (SELECT FROM reservation_lines WHERE order_id = for_order);
	END IF;
END
$$;
-- +goose StatementEnd

-- Reserves for several orders at once, in one transaction, so that what an order costs by itself is shared by all; each
-- gets all its lines or none. line_orders says whose each line is, by its place in for_orders. It answers in that order,
-- and not at all for those that it leaves to reserve(): somebody has reserved for the order before, or not everybody
-- can have what is wanted of a product.
CREATE TYPE reservation_answer_of AS (nth integer, answer reservation_answer);

-- +goose StatementBegin
CREATE FUNCTION reserve_new(for_orders uuid[], by_actors text[], line_orders integer[], products_wanted uuid[],
	quantities_wanted integer[], ttl_ms bigint) RETURNS SETOF reservation_answer_of
LANGUAGE plpgsql AS $$
DECLARE
	until timestamptz := now() + ttl_ms * interval '1 millisecond';
	made uuid[];
BEGIN
	WITH new AS (
		INSERT INTO reservations (order_id, revision, state, expires_at)
		SELECT order_id, 1, 'held', until
		FROM unnest(for_orders) AS wanted (order_id)
		ORDER BY order_id
		ON CONFLICT (order_id) DO NOTHING
		RETURNING order_id)
	SELECT array_agg(order_id) INTO made FROM new;

	PERFORM FROM stock
	WHERE product_id = ANY (products_wanted)
	ORDER BY product_id
	FOR NO KEY UPDATE;

	RETURN QUERY
	WITH lines AS MATERIALIZED (
		SELECT nth, for_orders[nth] AS order_id, product_id, quantity, p.name, p.price_minor, p.currency, p.seller_id,
			s.available, p.version + s.version AS version, sum(quantity) OVER (PARTITION BY product_id) AS wanted,
			sum(quantity) OVER (PARTITION BY product_id ORDER BY nth) AS wanted_so_far
		FROM unnest(line_orders, products_wanted, quantities_wanted) AS w (nth, product_id, quantity)
		LEFT JOIN stock s USING (product_id)
		LEFT JOIN products p ON p.id = product_id AND p.status = 'active'
		WHERE for_orders[nth] = ANY (made) AND nth = array_position(for_orders, for_orders[nth])),
	judged AS MATERIALIZED (
		SELECT *, version IS NULL OR available < quantity AS is_short,
			CASE WHEN bool_or(version IS NULL OR available < quantity) OVER (PARTITION BY nth) THEN 'short'
				WHEN bool_or(available < wanted) OVER (PARTITION BY nth) THEN 'alone'
				ELSE 'ok' END AS outcome
		FROM lines),
	moved AS (
		UPDATE stock s
		SET available = s.available - m.quantity, held = s.held + m.quantity, version = s.version + 1
		FROM (SELECT product_id, sum(quantity) AS quantity FROM judged WHERE outcome = 'ok' GROUP BY product_id) m
		WHERE s.product_id = m.product_id),
	booked AS (
		INSERT INTO stock_movements (product_id, reason, quantity, available, order_id, actor)
		SELECT product_id, 'held', quantity, available - wanted_so_far, order_id, by_actors[nth]
		FROM judged
		WHERE outcome = 'ok'
		ORDER BY nth),
	kept AS (
		INSERT INTO reservation_lines (order_id, product_id, quantity, name, price_minor, currency, seller_id)
		SELECT order_id, product_id, quantity, name, price_minor, currency, seller_id
		FROM judged
		WHERE outcome = 'ok'),
	undone AS (
		DELETE FROM reservations r USING judged j
		WHERE j.outcome <> 'ok' AND r.order_id = j.order_id)
	SELECT nth, ROW(outcome, 1, 'held', until, product_id, quantity, name, price_minor, currency, seller_id,
		CASE WHEN is_short THEN CASE WHEN version IS NOT NULL THEN available END ELSE available - wanted END,
		version + (outcome = 'ok')::integer)::reservation_answer
	FROM judged
	WHERE outcome = 'ok' OR outcome = 'short' AND is_short
	ORDER BY nth, product_id;
END
$$;
-- +goose StatementEnd

-- Sells what is held. One that expired takes its units again if they are still there.
-- +goose StatementBegin
CREATE FUNCTION reservation_commit(for_order uuid, by_actor text) RETURNS SETOF reservation_answer
LANGUAGE plpgsql AS $$
DECLARE
	r reservations;
BEGIN
	SELECT * INTO r FROM reservations WHERE order_id = for_order FOR NO KEY UPDATE;
	IF NOT FOUND OR r.state <> 'held' AND NOT r.expired THEN
		RETURN QUERY SELECT * FROM reservation_get(for_order, CASE r.state
			WHEN 'committed' THEN 'ok' WHEN 'released' THEN 'released' ELSE 'settled' END);
		RETURN;
	END IF;

	IF r.expired THEN
		PERFORM FROM stock
		WHERE product_id IN (SELECT product_id FROM reservation_lines WHERE order_id = for_order)
		ORDER BY product_id
		FOR NO KEY UPDATE;

		RETURN QUERY
		SELECT 'short', r.revision, r.state, NULL::timestamptz, l.product_id, l.quantity, l.name, NULL::bigint, NULL::text,
			NULL::uuid, s.available, NULL::bigint
		FROM reservation_lines l
		JOIN stock s USING (product_id)
		WHERE l.order_id = for_order AND s.available < l.quantity
		ORDER BY l.product_id;
		IF FOUND THEN
			RETURN;
		END IF;
		PERFORM reservation_move(for_order, 'held', by_actor);
	END IF;

	PERFORM reservation_move(for_order, 'committed', by_actor);
	UPDATE reservations
	SET state = 'committed', expired = false, expires_at = NULL, updated_at = now()
	WHERE order_id = for_order;
	RETURN QUERY SELECT * FROM reservation_get(for_order, 'ok');
END
$$;
-- +goose StatementEnd

-- Gives back what is held. Of an order that is not known it leaves a tombstone.
-- +goose StatementBegin
CREATE FUNCTION reservation_release(for_order uuid, by_actor text) RETURNS SETOF reservation_answer
LANGUAGE plpgsql AS $$
DECLARE
	r reservations;
BEGIN
	INSERT INTO reservations (order_id, revision, state)
	VALUES (for_order, 0, 'released')
	ON CONFLICT (order_id) DO NOTHING;
	SELECT * INTO STRICT r FROM reservations WHERE order_id = for_order FOR NO KEY UPDATE;

	IF r.state = 'held' THEN
		PERFORM reservation_move(for_order, 'released', by_actor);
	END IF;
	IF r.state = 'held' OR r.expired THEN
		UPDATE reservations
		SET state = 'released', expired = false, expires_at = NULL, updated_at = now()
		WHERE order_id = for_order;
	END IF;
	RETURN QUERY SELECT * FROM reservation_get(
		for_order, CASE WHEN r.state IN ('held', 'released') THEN 'ok' ELSE 'settled' END);
END
$$;
-- +goose StatementEnd

-- Puts sold units back into the stock.
-- +goose StatementBegin
CREATE FUNCTION reservation_return(for_order uuid, by_actor text) RETURNS SETOF reservation_answer
LANGUAGE plpgsql AS $$
DECLARE
	r reservations;
BEGIN
	SELECT * INTO r FROM reservations WHERE order_id = for_order FOR NO KEY UPDATE;
	IF r.state = 'committed' THEN
		PERFORM reservation_move(for_order, 'returned', by_actor);
		UPDATE reservations SET state = 'returned', updated_at = now() WHERE order_id = for_order;
	END IF;
	RETURN QUERY SELECT * FROM reservation_get(for_order, CASE
		WHEN r.state IN ('committed', 'returned') THEN 'ok' WHEN r.state = 'released' THEN 'released' ELSE 'settled' END);
END
$$;
-- +goose StatementEnd

-- Releases a reservation whose time is over, unless somebody is busy with it; no row when there was nothing to do.
-- +goose StatementBegin
CREATE FUNCTION reservation_expire(for_order uuid) RETURNS SETOF reservation_answer
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM reservations
	WHERE order_id = for_order AND state = 'held' AND expires_at <= now()
	FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN;
	END IF;

	PERFORM reservation_move(for_order, 'expired', 'system');
	UPDATE reservations
	SET state = 'released', expired = true, expires_at = NULL, updated_at = now()
	WHERE order_id = for_order;
	RETURN QUERY SELECT * FROM reservation_get(for_order, 'ok');
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION reservation_expire, reservation_return, reservation_release, reservation_commit, reserve_new, reserve,
	reservation_move, reservation_get;
DROP TYPE reservation_answer_of;
DROP TYPE reservation_answer;
DROP TABLE reservation_lines;
DROP TABLE reservations;
