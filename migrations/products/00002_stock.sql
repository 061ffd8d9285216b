-- +goose Up
-- Stock: one row a product, with a version of its own, and the ledger of everything that changed it. A unit that was
-- received is available, held by a reservation, or sold: the row cannot say otherwise.
CREATE TABLE stock (
	product_id uuid CONSTRAINT stock_pkey PRIMARY KEY CONSTRAINT stock_product_fkey REFERENCES products (id),
	available bigint NOT NULL,
	held bigint NOT NULL DEFAULT 0,
	sold bigint NOT NULL DEFAULT 0,
	received bigint NOT NULL,
	version bigint NOT NULL DEFAULT 1,
	CONSTRAINT stock_available_check CHECK (available >= 0),
	CONSTRAINT stock_available_max_check CHECK (available <= 1000000000),
	CONSTRAINT stock_held_check CHECK (held >= 0),
	CONSTRAINT stock_sold_check CHECK (sold >= 0),
	CONSTRAINT stock_adds_up CHECK (available + held + sold = received)
) WITH (fillfactor = 50);

-- quantity units moved for a reason: received (into the shop), removed (out of it), held, released, expired (by and from a
-- reservation), committed (held units sold), returned (sold units back). delta is what that did to available, and
-- available is what it came to. Lines of a product are in id order, because each is written under the lock of its stock.
CREATE TABLE stock_movements (
	id bigint GENERATED ALWAYS AS IDENTITY,
	product_id uuid NOT NULL,
	reason text NOT NULL,
	quantity bigint NOT NULL,
	delta bigint NOT NULL GENERATED ALWAYS AS (
		CASE WHEN reason IN ('received', 'released', 'expired', 'returned') THEN quantity
			WHEN reason IN ('removed', 'held') THEN -quantity
			ELSE 0 END) STORED,
	available bigint NOT NULL,
	order_id uuid,
	actor text NOT NULL,
	at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT stock_movements_pkey PRIMARY KEY (product_id, id),
	CONSTRAINT stock_movements_product_fkey FOREIGN KEY (product_id) REFERENCES stock (product_id),
	CONSTRAINT stock_movements_reason_check CHECK (
		reason IN ('received', 'removed', 'held', 'released', 'expired', 'committed', 'returned')),
	CONSTRAINT stock_movements_quantity_check CHECK (quantity > 0)
);

-- Products whose ledger does not add up to their stock: always empty.
CREATE VIEW stock_imbalances AS
SELECT s.product_id, s.available, s.held, s.sold, s.received,
	m.available AS ledger_available, m.held AS ledger_held, m.sold AS ledger_sold, m.received AS ledger_received
FROM stock s
CROSS JOIN LATERAL (
	SELECT coalesce(sum(delta), 0) AS available,
		coalesce(sum(CASE WHEN reason = 'held' THEN quantity
			WHEN reason IN ('released', 'expired', 'committed') THEN -quantity END), 0) AS held,
		coalesce(sum(CASE reason WHEN 'committed' THEN quantity WHEN 'returned' THEN -quantity END), 0) AS sold,
		coalesce(sum(CASE reason WHEN 'received' THEN quantity WHEN 'removed' THEN -quantity END), 0) AS received
	FROM stock_movements
	WHERE product_id = s.product_id) m
WHERE (s.available, s.held, s.sold, s.received) IS DISTINCT FROM (m.available, m.held, m.sold, m.received);

-- +goose Down
DROP VIEW stock_imbalances;
DROP TABLE stock_movements;
DROP TABLE stock;
