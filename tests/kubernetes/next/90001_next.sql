-- What a next version would add: the programs of the version before must not mind.
-- +goose Up
ALTER TABLE orders ADD COLUMN next_version text NOT NULL DEFAULT 'unknown to version N';

-- +goose Down
ALTER TABLE orders DROP COLUMN next_version;
