-- +goose Up
-- Requests that came with an Idempotency-Key (pkg/service/keyed.h, cmd/orders/keys.h) and their answers, kept for a day.
-- operation is the method and the path. Without a status the operation is under way: the order's row says how far it is,
-- and whoever ends its step writes the answer. There is room in a page for the answer, which comes after the row.
CREATE TABLE idempotency_keys (
	caller uuid NOT NULL,
	operation text NOT NULL,
	key text COLLATE "C" NOT NULL,
	fingerprint bytea NOT NULL,
	order_id uuid,
	status integer,
	content_type text,
	etag text,
	location text,
	body text,
	created_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT idempotency_keys_pkey PRIMARY KEY (caller, operation, key),
	CONSTRAINT idempotency_keys_answer_check CHECK ((status IS NULL) = (body IS NULL)),
	CONSTRAINT idempotency_keys_order_check CHECK (status IS NOT NULL OR order_id IS NOT NULL)
) WITH (fillfactor = 50);
CREATE INDEX idempotency_keys_order ON idempotency_keys (order_id);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- +goose Down
DROP TABLE idempotency_keys;
