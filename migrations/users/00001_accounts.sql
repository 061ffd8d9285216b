-- +goose Up
-- Accounts. email_folded and username_folded are what is compared: two spellings of one address are one account. A
-- deleted account keeps its row, because orders point at it, and nothing of the person. session_epoch goes up when all
-- sessions end: those of an earlier epoch are over, also one that is being opened at that very moment. registration_key
-- and _body are HMACs of the Idempotency-Key that the account was made with and of what was sent but the password.
CREATE TABLE users (
	id uuid CONSTRAINT users_pkey PRIMARY KEY,
	email text,
	email_folded text COLLATE "C" GENERATED ALWAYS AS (lower(email)) STORED,
	username text,
	username_folded text COLLATE "C" GENERATED ALWAYS AS (lower(username)) STORED,
	full_name text,
	phone text,
	address json,
	role text NOT NULL DEFAULT 'customer',
	password_hash text,
	password_cost integer,
	registration_key bytea,
	registration_body bytea,
	session_epoch integer NOT NULL DEFAULT 1,
	version bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz,
	CONSTRAINT users_email_key UNIQUE (email_folded),
	CONSTRAINT users_username_key UNIQUE (username_folded),
	CONSTRAINT users_role_check CHECK (role IN ('customer', 'seller', 'support', 'admin')),
	CONSTRAINT users_deleted_check CHECK (CASE WHEN deleted_at IS NULL
		THEN email IS NOT NULL AND password_hash IS NOT NULL AND password_cost IS NOT NULL
		ELSE num_nonnulls(email, username, full_name, phone, address, password_hash, password_cost, registration_key,
			registration_body) = 0 END)
);
CREATE INDEX users_newest ON users (created_at DESC, id DESC) WHERE deleted_at IS NULL;
-- The highest cost in use decides how long each login takes.
CREATE INDEX users_cost ON users (password_cost DESC) WHERE deleted_at IS NULL;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX users_found ON users USING gin (
	(coalesce(username_folded, '') || ' ' || lower(coalesce(full_name, ''))) gin_trgm_ops) WHERE deleted_at IS NULL;
CREATE INDEX users_email_found ON users USING gin (email_folded gin_trgm_ops) WHERE deleted_at IS NULL;

-- A session is a family of refresh tokens, each made from the one before; its id is the `sid` of access tokens. The row's
-- lock is what orders concurrent refreshes.
CREATE TABLE sessions (
	id uuid CONSTRAINT sessions_pkey PRIMARY KEY,
	user_id uuid NOT NULL CONSTRAINT sessions_user_fkey REFERENCES users (id),
	epoch integer NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL,
	revoked_at timestamptz
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Only the SHA-256 of a token is kept. successor is the token it was exchanged for, used_at when.
CREATE TABLE refresh_tokens (
	hash bytea CONSTRAINT refresh_tokens_pkey PRIMARY KEY,
	session_id uuid NOT NULL CONSTRAINT refresh_tokens_session_fkey REFERENCES sessions (id) ON DELETE CASCADE,
	created_at timestamptz NOT NULL DEFAULT now(),
	used_at timestamptz,
	successor bytea,
	revoked_at timestamptz,
	CONSTRAINT refresh_tokens_hash_check CHECK (octet_length(hash) = 32),
	CONSTRAINT refresh_tokens_used_check CHECK ((used_at IS NULL) = (successor IS NULL))
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);

-- Keys that sign access tokens: the private part sealed with KEYS_SECRET, the public part as a JWK. At most one key is
-- made at the first start, whichever replica comes first (slot); it signs from signs_at on.
CREATE TABLE signing_keys (
	kid text COLLATE "C" CONSTRAINT signing_keys_pkey PRIMARY KEY,
	slot integer NOT NULL,
	sealed bytea NOT NULL,
	jwk json NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	signs_at timestamptz NOT NULL DEFAULT now(),
	retired_at timestamptz,
	CONSTRAINT signing_keys_slot_key UNIQUE (slot)
);

-- +goose Down
DROP TABLE signing_keys;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE users;
DROP EXTENSION pg_trgm;
