-- +goose Up
-- Answers to requests that came with an Idempotency-Key (pkg/service/keyed.h), written in the transaction that they
-- tell of and kept for a day. operation is the method and the path.
CREATE TABLE idempotency_keys (
	caller uuid NOT NULL,
	operation text NOT NULL,
	key text COLLATE "C" NOT NULL,
	fingerprint bytea NOT NULL,
	status integer,
	content_type text,
	etag text,
	location text,
	body text,
	created_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT idempotency_keys_pkey PRIMARY KEY (caller, operation, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- +goose Down
DROP TABLE idempotency_keys;
