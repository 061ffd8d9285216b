-- +goose Up
-- Events: what others are told of changes here, written in the transaction of the change (outbox) and published in order
-- (pkg/amqp); and what was heard of others (inbox). The same text in each database that has them.

-- An event belongs to the partition of the person it concerns: the first byte of the SHA-256 of the person's id, as its 16
-- bytes, mod 16. For ever: streams resume by the position in it.
-- +goose StatementBegin
CREATE FUNCTION outbox_partition(person uuid) RETURNS smallint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
	SELECT (get_byte(sha256(uuid_send(person)), 0) & 15)::smallint
$$;
-- +goose StatementEnd

-- id is the order of writing: of one subject, whose row is locked while it changes, also that of committing. position is
-- the order of publishing, counted in the partition without gaps, given once the event is committed. sequence is the
-- subject's version, each of which has exactly one event; NULL: the event stands alone.
CREATE TABLE outbox (
	id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_pkey PRIMARY KEY,
	partition smallint NOT NULL,
	position bigint,
	type text NOT NULL,
	subject uuid NOT NULL,
	sequence bigint,
	person uuid NOT NULL,
	data json NOT NULL,
	traceparent text,
	at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02,
	autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX outbox_waiting ON outbox (partition, id) WHERE position IS NULL;
CREATE UNIQUE INDEX outbox_position ON outbox (partition, position) WHERE position IS NOT NULL;
CREATE INDEX outbox_of_person ON outbox (person, position) WHERE position IS NOT NULL;

-- A partition is published by one relay at a time: the one that leases it, by the database's clock. epoch goes up when
-- another takes over; what the earlier one still writes finds no row. position: the last one given; published: the last
-- one that the broker has confirmed.
CREATE TABLE outbox_partitions (
	partition smallint CONSTRAINT outbox_partitions_pkey PRIMARY KEY,
	owner text,
	lease_until timestamptz,
	epoch bigint NOT NULL DEFAULT 0,
	position bigint NOT NULL DEFAULT 0,
	published bigint NOT NULL DEFAULT 0,
	CONSTRAINT outbox_partitions_range_check CHECK (partition BETWEEN 0 AND 15),
	CONSTRAINT outbox_partitions_published_check CHECK (published <= position)
) WITH (fillfactor = 50);
INSERT INTO outbox_partitions (partition) SELECT generate_series(0, 15);

-- Relays that are alive, so that they share the partitions fairly.
CREATE TABLE outbox_relays (
	owner text CONSTRAINT outbox_relays_pkey PRIMARY KEY,
	alive_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- For triggers and statements: writes an event. Its trace is that of the transaction's setting bodega.traceparent, which
-- a statement sets on its way: set_config('bodega.traceparent', $1, true).
-- +goose StatementBegin
CREATE FUNCTION outbox_add(type text, subject uuid, sequence bigint, person uuid, data json) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO outbox (partition, type, subject, sequence, person, data, traceparent)
	VALUES (outbox_partition(outbox_add.person), outbox_add.type, outbox_add.subject, outbox_add.sequence, outbox_add.person,
		outbox_add.data, nullif(current_setting('bodega.traceparent', true), ''));
END
$$;
-- +goose StatementEnd

-- Keeps the relay's partitions for that long, gives up those beyond its share and takes free ones up to it; gives those
-- that are now its own.
-- +goose StatementBegin
CREATE FUNCTION outbox_lease(by_owner text, lasting interval) RETURNS TABLE (leased smallint, leased_epoch bigint)
LANGUAGE plpgsql AS $$
DECLARE
	relays bigint;
	share bigint;
BEGIN
	PERFORM FROM outbox_partitions ORDER BY partition FOR NO KEY UPDATE;
	DELETE FROM outbox_relays WHERE alive_until < clock_timestamp() AND owner <> by_owner;
	INSERT INTO outbox_relays VALUES (by_owner, clock_timestamp() + lasting)
		ON CONFLICT (owner) DO UPDATE SET alive_until = excluded.alive_until;
	SELECT count(*) INTO relays FROM outbox_relays;
	share := (16 + relays - 1) / relays;

	UPDATE outbox_partitions p SET
		owner = CASE WHEN mine.nth <= share THEN by_owner END,
		lease_until = CASE WHEN mine.nth <= share THEN clock_timestamp() + lasting END
	FROM (SELECT partition, row_number() OVER (ORDER BY partition) AS nth FROM outbox_partitions WHERE owner = by_owner) mine
	WHERE p.partition = mine.partition;

	UPDATE outbox_partitions p SET owner = by_owner, lease_until = clock_timestamp() + lasting, epoch = epoch + 1
	FROM (SELECT partition FROM outbox_partitions WHERE owner IS NULL OR lease_until < clock_timestamp() ORDER BY partition
		LIMIT share - (SELECT count(*) FROM outbox_partitions WHERE owner = by_owner)) free
	WHERE p.partition = free.partition;

	RETURN QUERY SELECT partition, epoch FROM outbox_partitions WHERE owner = by_owner ORDER BY partition;
END
$$;
-- +goose StatementEnd

-- Gives up all that the relay has: others need not wait for the lease to end.
-- +goose StatementBegin
CREATE FUNCTION outbox_leave(by_owner text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM outbox_partitions ORDER BY partition FOR NO KEY UPDATE;
	UPDATE outbox_partitions SET owner = NULL, lease_until = NULL WHERE owner = by_owner;
	DELETE FROM outbox_relays WHERE owner = by_owner;
END
$$;
-- +goose StatementEnd

-- Gives positions to events that have none, at most so many a partition, in the order they were written; how many it gave.
-- The row of the partition is locked first, so that the events are looked for after any other relay has committed. Goes
-- from key to key whatever is known of the tables.
-- +goose StatementBegin
CREATE FUNCTION outbox_number(by_owner text, at_most integer) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
	given bigint;
BEGIN
	PERFORM FROM outbox_partitions WHERE owner = by_owner AND lease_until >= clock_timestamp()
		ORDER BY partition FOR NO KEY UPDATE;
	WITH numbered AS (
		UPDATE outbox o SET position = waiting.position
		FROM (
			SELECT e.id, p.position + row_number() OVER (PARTITION BY p.partition ORDER BY e.id) AS position
			FROM outbox_partitions p
			CROSS JOIN LATERAL (SELECT id FROM outbox WHERE partition = p.partition AND outbox.position IS NULL
				ORDER BY id LIMIT at_most) e
			WHERE p.owner = by_owner AND p.lease_until >= clock_timestamp()
		) waiting
		WHERE o.id = waiting.id
		RETURNING o.partition, o.position
	), moved AS (
		UPDATE outbox_partitions p SET position = n.position
		FROM (SELECT partition, max(position) AS position FROM numbered GROUP BY partition) n
		WHERE p.partition = n.partition
	)
	SELECT count(*) INTO given FROM numbered;
	RETURN given;
END
$$;
-- +goose StatementEnd

-- What was heard, by queue: of an event that stands alone (sequence NULL) its id, once it was applied; of one that came
-- before its turn the whole event, until the one before it has been applied.
CREATE TABLE inbox (
	queue text NOT NULL,
	source text NOT NULL,
	id text COLLATE "C" NOT NULL,
	subject text COLLATE "C" NOT NULL,
	sequence bigint,
	parked json,
	at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT inbox_pkey PRIMARY KEY (queue, source, id),
	CONSTRAINT inbox_parked_check CHECK ((sequence IS NULL) = (parked IS NULL))
);
CREATE UNIQUE INDEX inbox_parked ON inbox (queue, source, subject, sequence) WHERE parked IS NOT NULL;
CREATE INDEX inbox_age ON inbox (at) WHERE parked IS NULL;

-- The last sequence that was applied, by subject.
CREATE TABLE inbox_subjects (
	queue text NOT NULL,
	source text NOT NULL,
	subject text COLLATE "C" NOT NULL,
	sequence bigint NOT NULL,
	CONSTRAINT inbox_subjects_pkey PRIMARY KEY (queue, source, subject)
);

-- Whether the event is to be applied now, in this transaction ('apply'), was applied before ('seen'), or waits for the one
-- before it ('parked'). event is the whole of it.
-- +goose StatementBegin
CREATE FUNCTION inbox_take(queue text, source text, id text, subject text, sequence bigint, event json) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	last bigint;
BEGIN
	IF inbox_take.sequence IS NULL THEN
		INSERT INTO inbox (queue, source, id, subject)
		VALUES (inbox_take.queue, inbox_take.source, inbox_take.id, inbox_take.subject)
		ON CONFLICT ON CONSTRAINT inbox_pkey DO NOTHING;
		RETURN CASE WHEN FOUND THEN 'apply' ELSE 'seen' END;
	END IF;
	INSERT INTO inbox_subjects (queue, source, subject, sequence)
	VALUES (inbox_take.queue, inbox_take.source, inbox_take.subject, 0)
	ON CONFLICT ON CONSTRAINT inbox_subjects_pkey DO NOTHING;
	SELECT s.sequence INTO last FROM inbox_subjects s
	WHERE s.queue = inbox_take.queue AND s.source = inbox_take.source AND s.subject = inbox_take.subject FOR NO KEY UPDATE;
	IF inbox_take.sequence <= last THEN
		RETURN 'seen';
	ELSIF inbox_take.sequence > last + 1 THEN
		INSERT INTO inbox (queue, source, id, subject, sequence, parked)
		VALUES (inbox_take.queue, inbox_take.source, inbox_take.id, inbox_take.subject, inbox_take.sequence, inbox_take.event)
		ON CONFLICT DO NOTHING;
		RETURN 'parked';
	END IF;
	UPDATE inbox_subjects s SET sequence = inbox_take.sequence
	WHERE s.queue = inbox_take.queue AND s.source = inbox_take.source AND s.subject = inbox_take.subject;
	DELETE FROM inbox i WHERE i.queue = inbox_take.queue AND i.source = inbox_take.source AND i.id = inbox_take.id;
	RETURN 'apply';
END
$$;
-- +goose StatementEnd

-- After an event of the subject was applied: the next one if it waits here, to be applied now; else NULL.
-- +goose StatementBegin
CREATE FUNCTION inbox_next(queue text, source text, subject text) RETURNS json
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	event json;
BEGIN
	DELETE FROM inbox i USING inbox_subjects s
	WHERE s.queue = inbox_next.queue AND s.source = inbox_next.source AND s.subject = inbox_next.subject
		AND i.queue = s.queue AND i.source = s.source AND i.subject = s.subject AND i.parked IS NOT NULL
		AND i.sequence = s.sequence + 1
	RETURNING i.parked INTO event;
	IF FOUND THEN
		UPDATE inbox_subjects s SET sequence = s.sequence + 1
		WHERE s.queue = inbox_next.queue AND s.source = inbox_next.source AND s.subject = inbox_next.subject;
	END IF;
	RETURN event;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION inbox_next(text, text, text);
DROP FUNCTION inbox_take(text, text, text, text, bigint, json);
DROP TABLE inbox_subjects;
DROP TABLE inbox;
DROP FUNCTION outbox_number(text, integer);
DROP FUNCTION outbox_leave(text);
DROP FUNCTION outbox_lease(text, interval);
DROP FUNCTION outbox_add(text, uuid, bigint, uuid, json);
DROP TABLE outbox_relays;
DROP TABLE outbox_partitions;
DROP TABLE outbox;
DROP FUNCTION outbox_partition(uuid);
