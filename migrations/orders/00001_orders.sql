-- +goose Up
-- The changes of status that exist: cmd/orders/states.c has the same table, with who may ask for each. An order begins as
-- an intent (reserving), which nobody sees and which may vanish; once placed it stays for ever.
CREATE TABLE order_transitions (
	from_status text NOT NULL,
	to_status text NOT NULL,
	CONSTRAINT order_transitions_pkey PRIMARY KEY (from_status, to_status)
);
INSERT INTO order_transitions (from_status, to_status) VALUES
	('reserving', 'pending'),
	('pending', 'confirmed'),
	('pending', 'paid'),
	('pending', 'cancelled'),
	('pending', 'expired'),
	('pending', 'payment_failed'),
	('confirmed', 'paid'),
	('confirmed', 'cancelled'),
	('confirmed', 'expired'),
	('confirmed', 'payment_failed'),
	('paid', 'processing'),
	('paid', 'cancelled'),
	('processing', 'shipped'),
	('processing', 'cancelled'),
	('shipped', 'delivered'),
	('delivered', 'refunded');

-- version is what readers see of it: it moves with status, items, payment and tracking. step is what is being done to it
-- in other services; while it is not idle, lease_until and lease_token say who may go on (a later token has taken over,
-- and the earlier one's writes find no row), and goal, actor and note what is to become of it and at whose wish.
-- confirmed is pending under another name, for older clients.
CREATE TABLE orders (
	id uuid CONSTRAINT orders_pkey PRIMARY KEY,
	user_id uuid NOT NULL,
	status text NOT NULL DEFAULT 'reserving',
	version bigint NOT NULL DEFAULT 0,
	currency text NOT NULL,
	subtotal_minor bigint NOT NULL DEFAULT 0,
	shipping_minor bigint NOT NULL DEFAULT 0,
	tax_minor bigint NOT NULL DEFAULT 0,
	total_minor bigint NOT NULL DEFAULT 0,
	shipping_address json,
	metadata json,
	tracking_number text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL,
	step text NOT NULL DEFAULT 'reserving',
	step_goal text,
	step_actor text,
	step_note text,
	lease_until timestamptz,
	lease_token bigint NOT NULL DEFAULT 1,
	attempts integer NOT NULL DEFAULT 0,
	needs_attention boolean NOT NULL DEFAULT false,
	CONSTRAINT orders_status_check CHECK (status IN ('reserving', 'pending', 'confirmed', 'paid', 'processing', 'shipped',
		'delivered', 'cancelled', 'expired', 'payment_failed', 'refunded')),
	CONSTRAINT orders_step_check CHECK (step IN ('idle', 'reserving', 'amending', 'authorising', 'committing', 'capturing',
		'cancelling', 'refunding')),
	CONSTRAINT orders_intent_check CHECK ((status = 'reserving') = (step = 'reserving')),
	CONSTRAINT orders_lease_check CHECK ((step = 'idle') = (lease_until IS NULL)),
	CONSTRAINT orders_amounts_check CHECK (subtotal_minor >= 0 AND shipping_minor >= 0 AND tax_minor >= 0),
	CONSTRAINT orders_total_check CHECK (total_minor = subtotal_minor + shipping_minor + tax_minor
		AND total_minor <= 1000000000000)
);
CREATE INDEX orders_newest ON orders (created_at DESC, id DESC) WHERE status <> 'reserving';
CREATE INDEX orders_of_user ON orders (user_id, created_at DESC, id DESC) WHERE status <> 'reserving';
CREATE INDEX orders_in_status ON orders (status, created_at DESC, id DESC) WHERE status <> 'reserving';
CREATE INDEX orders_leased ON orders (lease_until) WHERE step <> 'idle';
CREATE INDEX orders_unpaid ON orders (expires_at) WHERE step = 'idle' AND status IN ('pending', 'confirmed');
CREATE INDEX orders_attention ON orders (id) WHERE needs_attention;

-- +goose StatementBegin
CREATE FUNCTION orders_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		IF new.status <> 'reserving' THEN
			RAISE EXCEPTION 'an order begins as reserving, not as %', new.status
				USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_transition_check';
		END IF;
		RETURN new;
	ELSIF TG_OP = 'DELETE' THEN
		IF old.status <> 'reserving' THEN
			RAISE EXCEPTION 'an order that was placed stays'
				USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_stay_check';
		END IF;
		RETURN old;
	END IF;
	PERFORM FROM order_transitions WHERE from_status = old.status AND to_status = new.status;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'an order does not go from % to %', old.status, new.status
			USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_transition_check';
	END IF;
	RETURN new;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER orders_begin BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION orders_guard();
CREATE TRIGGER orders_move BEFORE UPDATE OF status ON orders FOR EACH ROW
	WHEN (old.status IS DISTINCT FROM new.status) EXECUTE FUNCTION orders_guard();
CREATE TRIGGER orders_stay BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION orders_guard();

-- What was bought, as it was called and what it cost then; one line a product. Lines made together sort by id as they
-- were asked for.
CREATE TABLE order_items (
	id uuid CONSTRAINT order_items_pkey PRIMARY KEY,
	order_id uuid NOT NULL CONSTRAINT order_items_order_fkey REFERENCES orders (id),
	product_id uuid NOT NULL,
	seller_id uuid NOT NULL,
	name text NOT NULL,
	unit_price_minor bigint NOT NULL,
	quantity integer NOT NULL,
	CONSTRAINT order_items_product_key UNIQUE (order_id, product_id),
	CONSTRAINT order_items_price_check CHECK (unit_price_minor BETWEEN 0 AND 1000000000000),
	CONSTRAINT order_items_quantity_check CHECK (quantity BETWEEN 1 AND 10000)
);

-- Each attempt to pay; the last one is the order's payment.
CREATE TABLE order_payments (
	order_id uuid NOT NULL CONSTRAINT order_payments_order_fkey REFERENCES orders (id),
	attempt integer NOT NULL,
	method text NOT NULL,
	status text NOT NULL,
	amount_minor bigint NOT NULL,
	reference text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT order_payments_pkey PRIMARY KEY (order_id, attempt),
	CONSTRAINT order_payments_method_check CHECK (method IN ('manual')),
	CONSTRAINT order_payments_status_check CHECK (status IN ('processing', 'captured', 'failed'))
);
CREATE UNIQUE INDEX order_payments_once ON order_payments (order_id) WHERE status <> 'failed';

-- Every change of status, written in the transaction that makes it; version is the order's after it.
CREATE TABLE order_history (
	order_id uuid NOT NULL CONSTRAINT order_history_order_fkey REFERENCES orders (id),
	version bigint NOT NULL,
	from_status text,
	to_status text NOT NULL,
	actor text NOT NULL,
	note text,
	at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT order_history_pkey PRIMARY KEY (order_id, version)
);

-- +goose Down
DROP TABLE order_history;
DROP TABLE order_payments;
DROP TABLE order_items;
DROP TABLE orders;
DROP FUNCTION orders_guard();
DROP TABLE order_transitions;
