-- +goose Up
-- Payments by card, refunds and changes of items. step_waits: nobody works at the step, it waits for its time or for a
-- poke. step_items: the lines that are wanted while the step is amending. revision: of the reservation. cancel_by and
-- cancel_note: who asked, while a payment was under way, that the order be cancelled; honoured at the saga's next write.
ALTER TABLE orders
	ADD COLUMN step_waits boolean NOT NULL DEFAULT false,
	ADD COLUMN step_items json,
	ADD COLUMN revision integer NOT NULL DEFAULT 1,
	ADD COLUMN cancel_by text,
	ADD COLUMN cancel_note text,
	ADD CONSTRAINT orders_step_status_check CHECK (step IN ('idle', 'reserving')
		OR step IN ('amending', 'authorising', 'committing', 'capturing') AND status IN ('pending', 'confirmed')
		OR step = 'cancelling' AND status IN ('pending', 'confirmed', 'paid', 'processing')
		OR step = 'refunding' AND status = 'delivered'),
	ADD CONSTRAINT orders_items_check CHECK (step_items IS NULL OR step = 'amending'),
	ADD CONSTRAINT orders_cancel_check CHECK (cancel_by IS NULL OR step IN ('authorising', 'committing', 'capturing'));

-- By card: the provider knows the payment as <order_id>-<attempt>. What is captured is always the whole amount. token
-- stands for the card, and is forgotten as soon as the provider has decided. is_last: if it fails, so does the order. sold:
-- its goods are, too. sequence: of the provider's newest webhook.
ALTER TABLE order_payments
	ADD COLUMN refunded_minor bigint NOT NULL DEFAULT 0,
	ADD COLUMN token text,
	ADD COLUMN is_last boolean NOT NULL DEFAULT false,
	ADD COLUMN sold boolean NOT NULL DEFAULT false,
	ADD COLUMN decline_code text,
	ADD COLUMN decline_message text,
	ADD COLUMN sequence bigint NOT NULL DEFAULT 0,
	DROP CONSTRAINT order_payments_method_check,
	DROP CONSTRAINT order_payments_status_check,
	ADD CONSTRAINT order_payments_method_check CHECK (method IN ('manual', 'card')),
	ADD CONSTRAINT order_payments_status_check CHECK (status IN ('processing', 'captured', 'declined', 'voided', 'failed')),
	ADD CONSTRAINT order_payments_token_check CHECK (token IS NULL OR method = 'card' AND status = 'processing'),
	ADD CONSTRAINT order_payments_declined_check CHECK ((status = 'declined') = (decline_code IS NOT NULL)),
	ADD CONSTRAINT order_payments_refunded_check CHECK (refunded_minor = 0
		OR status = 'captured' AND refunded_minor BETWEEN 0 AND amount_minor);
DROP INDEX order_payments_once;
CREATE UNIQUE INDEX order_payments_once ON order_payments (order_id) WHERE status IN ('processing', 'captured');

-- Money given back, of the payment that was captured; the id is the provider's key too. One at a time.
CREATE TABLE order_refunds (
	id uuid CONSTRAINT order_refunds_pkey PRIMARY KEY,
	order_id uuid NOT NULL,
	attempt integer NOT NULL,
	amount_minor bigint NOT NULL,
	restock boolean NOT NULL DEFAULT false,
	status text NOT NULL DEFAULT 'processing',
	actor text NOT NULL,
	note text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT order_refunds_payment_fkey FOREIGN KEY (order_id, attempt) REFERENCES order_payments (order_id, attempt),
	CONSTRAINT order_refunds_amount_check CHECK (amount_minor > 0),
	CONSTRAINT order_refunds_status_check CHECK (status IN ('processing', 'done'))
);
CREATE INDEX order_refunds_of_order ON order_refunds (order_id, created_at);
CREATE UNIQUE INDEX order_refunds_once ON order_refunds (order_id) WHERE status = 'processing';

-- +goose Down
DROP TABLE order_refunds;
DROP INDEX order_payments_once;
CREATE UNIQUE INDEX order_payments_once ON order_payments (order_id) WHERE status <> 'failed';
ALTER TABLE order_payments
	DROP CONSTRAINT order_payments_method_check,
	DROP CONSTRAINT order_payments_status_check,
	ADD CONSTRAINT order_payments_method_check CHECK (method IN ('manual')),
	ADD CONSTRAINT order_payments_status_check CHECK (status IN ('processing', 'captured', 'failed')),
	DROP COLUMN sequence,
	DROP COLUMN decline_message,
	DROP COLUMN decline_code,
	DROP COLUMN sold,
	DROP COLUMN is_last,
	DROP COLUMN token,
	DROP COLUMN refunded_minor;
ALTER TABLE orders
	DROP CONSTRAINT orders_step_status_check,
	DROP CONSTRAINT orders_items_check,
	DROP CONSTRAINT orders_cancel_check,
	DROP COLUMN cancel_note,
	DROP COLUMN cancel_by,
	DROP COLUMN revision,
	DROP COLUMN step_items,
	DROP COLUMN step_waits;
