-- +goose Up
-- A provider of payments: what it was asked for (payments, refunds), what it really did (ledger), and what it has to tell
-- (webhooks). Each operation is a function that locks the payment first and then decides, so that it is one round trip
-- and repeats and races of the same payment have one outcome. Triggers write the ledger and the webhooks, so that nothing
-- changes without them.

-- How payments begin (from NULL) and go on.
CREATE TABLE payment_transitions (
	from_status text,
	to_status text NOT NULL,
	CONSTRAINT payment_transitions_key UNIQUE NULLS NOT DISTINCT (from_status, to_status)
);
INSERT INTO payment_transitions (from_status, to_status) VALUES
	(NULL, 'processing'),
	(NULL, 'authorised'),
	(NULL, 'declined'),
	(NULL, 'voided'),
	('processing', 'authorised'),
	('processing', 'declined'),
	('processing', 'voided'),
	('authorised', 'captured'),
	('authorised', 'voided');

-- key is the caller's name for it. A row without an order is a tombstone: voided before it was made, so that a late
-- authorisation finds it. stumbles: each operation fails the first time. settle_at and settle_as are what becomes of a
-- payment in processing; webhooks says how its changes are told: not at all (NULL), once, twice, or the first one last.
-- sequence counts the changes.
CREATE TABLE payments (
	key text CONSTRAINT payments_pkey PRIMARY KEY,
	order_id uuid,
	status text NOT NULL,
	amount_minor bigint NOT NULL,
	captured_minor bigint NOT NULL DEFAULT 0,
	refunded_minor bigint NOT NULL DEFAULT 0,
	currency text NOT NULL,
	token text,
	stumbles boolean NOT NULL DEFAULT false,
	decline_code text,
	decline_message text,
	settle_at timestamptz,
	settle_as text,
	webhooks text,
	webhook_delay interval NOT NULL DEFAULT '0',
	sequence bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT payments_key_check CHECK (key ~ '^[A-Za-z0-9._-]{1,64}$'),
	CONSTRAINT payments_status_check CHECK (status IN ('processing', 'authorised', 'captured', 'declined', 'voided')),
	CONSTRAINT payments_amount_check CHECK (amount_minor BETWEEN 0 AND 1000000000000),
	CONSTRAINT payments_captured_check CHECK (captured_minor BETWEEN 0 AND amount_minor
		AND captured_minor = CASE status WHEN 'captured' THEN amount_minor ELSE 0 END),
	CONSTRAINT payments_refunded_check CHECK (refunded_minor BETWEEN 0 AND captured_minor),
	CONSTRAINT payments_tombstone_check CHECK ((order_id IS NULL) = (token IS NULL)
		AND (order_id IS NOT NULL OR status = 'voided' AND amount_minor = 0)),
	CONSTRAINT payments_declined_check CHECK (status <> 'declined' OR decline_code IS NOT NULL),
	CONSTRAINT payments_settle_check CHECK ((status = 'processing') = (settle_at IS NOT NULL)),
	CONSTRAINT payments_settle_as_check CHECK (settle_as IN ('authorised', 'declined') AND settle_as IS NOT NULL
		OR settle_at IS NULL),
	CONSTRAINT payments_webhooks_check CHECK (webhooks IN ('once', 'twice', 'reordered'))
);
CREATE INDEX payments_due ON payments (settle_at) WHERE status = 'processing';
CREATE INDEX payments_of_order ON payments (order_id);

-- sequence is the payment's, of the change that the refund made.
CREATE TABLE refunds (
	payment_key text NOT NULL CONSTRAINT refunds_payment_fkey REFERENCES payments (key),
	id uuid NOT NULL,
	amount_minor bigint NOT NULL,
	sequence bigint NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT refunds_pkey PRIMARY KEY (payment_key, id),
	CONSTRAINT refunds_amount_check CHECK (amount_minor BETWEEN 1 AND 1000000000000)
);

-- Every change of a payment, with the money that it moved (held by authorised, taken by captured, given back by
-- refunded, let go by voided) and what was captured and refunded after it. Lines are only ever added.
CREATE TABLE ledger (
	payment_key text NOT NULL CONSTRAINT ledger_payment_fkey REFERENCES payments (key),
	sequence bigint NOT NULL,
	order_id uuid,
	entry text NOT NULL,
	amount_minor bigint NOT NULL,
	captured_minor bigint NOT NULL,
	refunded_minor bigint NOT NULL,
	at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT ledger_pkey PRIMARY KEY (payment_key, sequence),
	CONSTRAINT ledger_entry_check CHECK (entry IN ('processing', 'authorised', 'declined', 'captured', 'voided', 'refunded')),
	CONSTRAINT ledger_amount_check CHECK (amount_minor >= 0)
);
CREATE INDEX ledger_of_order ON ledger (order_id);

-- What is to be told, one a change: the payment as the ledger's line of that sequence has it. due_at is when it is tried
-- next; whoever tries puts it off first, so that nobody else does at the same time, and after a crash somebody will. Once it
-- was taken as often as is wanted it has a delivered_at instead, and goes a day later.
CREATE TABLE webhooks (
	id uuid CONSTRAINT webhooks_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
	payment_key text NOT NULL,
	sequence bigint NOT NULL,
	due_at timestamptz,
	delivered_at timestamptz,
	attempts integer NOT NULL DEFAULT 0,
	deliveries integer NOT NULL DEFAULT 0,
	deliveries_wanted integer NOT NULL,
	CONSTRAINT webhooks_change_key UNIQUE (payment_key, sequence),
	CONSTRAINT webhooks_change_fkey FOREIGN KEY (payment_key, sequence) REFERENCES ledger (payment_key, sequence),
	CONSTRAINT webhooks_due_check CHECK ((deliveries < deliveries_wanted) = (due_at IS NOT NULL)
		AND (due_at IS NULL) = (delivered_at IS NOT NULL))
);
CREATE INDEX webhooks_due ON webhooks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhooks_delivered ON webhooks (delivered_at) WHERE delivered_at IS NOT NULL;

-- Which operations have failed their first time; an authorisation before there is a payment.
CREATE TABLE stumbled (
	payment_key text NOT NULL,
	operation text NOT NULL,
	CONSTRAINT stumbled_pkey PRIMARY KEY (payment_key, operation)
);

-- Payments stay for ever, go by payment_transitions, count their changes, and never change what was asked for.
-- +goose StatementBegin
CREATE FUNCTION payments_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		RAISE EXCEPTION 'a payment stays' USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_stay_check';
	END IF;
	IF TG_OP = 'INSERT' OR new.status <> old.status THEN
		PERFORM FROM payment_transitions
		WHERE to_status = new.status
			AND from_status IS NOT DISTINCT FROM CASE TG_OP WHEN 'UPDATE' THEN old.status END;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'a payment does not come to %', new.status
				USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_transition_check';
		END IF;
	END IF;
	IF TG_OP = 'UPDATE' THEN
		IF (new.key, new.order_id, new.amount_minor, new.currency, new.token, new.created_at)
			IS DISTINCT FROM (old.key, old.order_id, old.amount_minor, old.currency, old.token, old.created_at) THEN
			RAISE EXCEPTION 'what was asked for stays'
				USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_asked_check';
		ELSIF new.refunded_minor < old.refunded_minor THEN
			RAISE EXCEPTION 'a refund is not taken back'
				USING ERRCODE = 'check_violation', CONSTRAINT = 'payments_refunded_check';
		END IF;
		new.sequence := old.sequence + 1;
		new.updated_at := now();
	END IF;
	RETURN new;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER payments_guard BEFORE INSERT OR UPDATE OR DELETE ON payments FOR EACH ROW EXECUTE FUNCTION payments_guard();

-- Books the change, and has it told when it is to be told. Out of order: the first change is told after the second,
-- however late that happens. Its webhook waits until there is a second change, and then half a second longer than that one's.
-- +goose StatementBegin
CREATE FUNCTION payments_book() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
	is_refund boolean := TG_OP = 'UPDATE' AND new.status = 'captured' AND new.refunded_minor > old.refunded_minor;
	is_first boolean := TG_OP = 'INSERT';
BEGIN
	INSERT INTO ledger (payment_key, sequence, order_id, entry, amount_minor, captured_minor, refunded_minor)
	VALUES (new.key, new.sequence, new.order_id, CASE WHEN is_refund THEN 'refunded' ELSE new.status END,
		CASE WHEN is_refund THEN new.refunded_minor - old.refunded_minor
			WHEN new.status IN ('declined', 'processing') THEN 0
			WHEN new.status = 'voided' AND (is_first OR old.status <> 'authorised') THEN 0
			ELSE new.amount_minor END,
		new.captured_minor, new.refunded_minor);
	IF new.webhooks IS NULL THEN
		RETURN NULL;
	END IF;
	INSERT INTO webhooks (payment_key, sequence, due_at, deliveries_wanted)
	VALUES (new.key, new.sequence,
		CASE WHEN is_first AND new.webhooks = 'reordered' THEN 'infinity' ELSE now() + new.webhook_delay END,
		CASE new.webhooks WHEN 'twice' THEN 2 ELSE 1 END);
	IF new.sequence = 2 AND new.webhooks = 'reordered' THEN
		UPDATE webhooks
		SET due_at = now() + new.webhook_delay + interval '500 milliseconds'
		WHERE payment_key = new.key AND sequence = 1;
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER payments_book AFTER INSERT OR UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION payments_book();

-- +goose StatementBegin
CREATE FUNCTION stays_as_written() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME
		USING ERRCODE = 'check_violation', CONSTRAINT = 'stays_as_written_check';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER ledger_stays BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION stays_as_written();
CREATE TRIGGER ledger_whole BEFORE TRUNCATE ON ledger FOR EACH STATEMENT EXECUTE FUNCTION stays_as_written();
CREATE TRIGGER refunds_stay BEFORE UPDATE OR DELETE ON refunds FOR EACH ROW EXECUTE FUNCTION stays_as_written();

-- Payments that their ledger does not bear out; always empty.
CREATE VIEW payment_imbalances AS
SELECT p.key, p.order_id, p.status, p.sequence, p.captured_minor, p.refunded_minor, l.lines, l.captured AS ledger_captured,
	l.refunded AS ledger_refunded, coalesce(r.refunded, 0) AS refunds
FROM payments p
LEFT JOIN LATERAL (
	SELECT count(*) AS lines, max(sequence) AS sequence,
		coalesce(sum(amount_minor) FILTER (WHERE entry = 'captured'), 0) AS captured,
		coalesce(sum(amount_minor) FILTER (WHERE entry = 'refunded'), 0) AS refunded,
		count(*) FILTER (WHERE entry = 'captured') AS captures,
		(array_agg(entry ORDER BY sequence DESC) FILTER (WHERE entry <> 'refunded'))[1] AS status
	FROM ledger
	WHERE payment_key = p.key) l ON true
LEFT JOIN LATERAL (SELECT sum(amount_minor) AS refunded FROM refunds WHERE payment_key = p.key) r ON true
WHERE l.lines <> p.sequence OR l.sequence <> p.sequence OR l.captured <> p.captured_minor OR l.refunded <> p.refunded_minor
	OR l.captures > 1 OR l.status IS DISTINCT FROM p.status OR coalesce(r.refunded, 0) <> p.refunded_minor;

-- What each operation answers, a row a refund (one row without any). outcome: done (it took effect now); ok (nothing to
-- do: it is so already); stumbled (it failed its first time); released (a tombstone), differs (the key was used for something else),
-- settled (its state does not allow it), exceeds (more than is left to refund); found (only looked at).
CREATE TYPE payment_answer AS (
	outcome text,
	key text,
	order_id uuid,
	status text,
	amount_minor bigint,
	captured_minor bigint,
	refunded_minor bigint,
	currency text,
	token text,
	decline_code text,
	decline_message text,
	sequence bigint,
	created_at timestamptz,
	updated_at timestamptz,
	refund_id uuid,
	refund_minor bigint,
	refund_at timestamptz
);

-- The payment as it is; no row when there is none.
-- +goose StatementBegin
CREATE FUNCTION payment_get(for_key text, with_outcome text) RETURNS SETOF payment_answer
LANGUAGE sql STABLE AS $$
	SELECT with_outcome, p.key, p.order_id, p.status, p.amount_minor, p.captured_minor, p.refunded_minor, p.currency, p.token,
		CASE WHEN p.status = 'declined' THEN p.decline_code END, CASE WHEN p.status = 'declined' THEN p.decline_message END,
		p.sequence, p.created_at, p.updated_at, r.id, r.amount_minor, r.created_at
	FROM payments p
	LEFT JOIN refunds r ON r.payment_key = p.key
	WHERE p.key = for_key
	ORDER BY r.sequence
$$;
-- +goose StatementEnd

-- The payment as it was after that change.
-- +goose StatementBegin
CREATE FUNCTION payment_at(for_key text, at_sequence bigint) RETURNS SETOF payment_answer
LANGUAGE sql STABLE AS $$
	SELECT 'found', p.key, p.order_id, s.entry, p.amount_minor, l.captured_minor, l.refunded_minor, p.currency, p.token,
		CASE WHEN s.entry = 'declined' THEN p.decline_code END, CASE WHEN s.entry = 'declined' THEN p.decline_message END,
		l.sequence, p.created_at, l.at, r.id, r.amount_minor, r.created_at
	FROM payments p
	JOIN ledger l ON l.payment_key = p.key AND l.sequence = at_sequence
	JOIN LATERAL (
		SELECT entry FROM ledger
		WHERE payment_key = p.key AND sequence <= at_sequence AND entry <> 'refunded'
		ORDER BY sequence DESC
		LIMIT 1) s ON true
	LEFT JOIN refunds r ON r.payment_key = p.key AND r.sequence <= at_sequence
	WHERE p.key = for_key
	ORDER BY r.sequence
$$;
-- +goose StatementEnd

-- Whether this is the first time of an operation that is to fail the first time.
-- +goose StatementBegin
CREATE FUNCTION payment_stumbles(for_key text, stumbling boolean, at_operation text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
	IF stumbling IS NOT TRUE THEN
		RETURN false;
	END IF;
	INSERT INTO stumbled (payment_key, operation) VALUES (for_key, at_operation) ON CONFLICT DO NOTHING;
	RETURN FOUND;
END
$$;
-- +goose StatementEnd

-- Makes the payment in the state that its token gives it.
-- +goose StatementBegin
CREATE FUNCTION payment_authorise(for_key text, for_order uuid, amount bigint, in_currency text, with_token text,
	stumbling boolean, as_status text, code text, message text, settled_as text, settled_in_us bigint, told text,
	told_after_us bigint) RETURNS SETOF payment_answer
LANGUAGE plpgsql AS $$
DECLARE
	p payments;
	a payment_answer;
	is_new boolean;
BEGIN
	IF payment_stumbles(for_key, stumbling, 'authorise') THEN
		a.outcome := 'stumbled';
		RETURN NEXT a;
		RETURN;
	END IF;
	INSERT INTO payments (key, order_id, status, amount_minor, currency, token, stumbles, decline_code, decline_message,
		settle_as, settle_at, webhooks, webhook_delay)
	VALUES (for_key, for_order, as_status, amount, in_currency, with_token, stumbling, code, message, settled_as,
		CASE as_status WHEN 'processing' THEN now() + settled_in_us * interval '1 microsecond' END, told,
		told_after_us * interval '1 microsecond')
	ON CONFLICT (key) DO NOTHING;
	is_new := FOUND;
	SELECT * INTO STRICT p FROM payments WHERE key = for_key;
	RETURN QUERY SELECT * FROM payment_get(for_key, CASE
		WHEN is_new THEN 'done'
		WHEN p.order_id IS NULL THEN 'released'
		WHEN (p.order_id, p.amount_minor, p.currency, p.token) = (for_order, amount, in_currency, with_token) THEN 'ok'
		ELSE 'differs' END);
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION payment_capture(for_key text) RETURNS SETOF payment_answer
LANGUAGE plpgsql AS $$
DECLARE
	p payments;
	outcome text := 'settled';
BEGIN
	SELECT * INTO p FROM payments WHERE key = for_key FOR NO KEY UPDATE;
	IF payment_stumbles(for_key, p.stumbles, 'capture') THEN
		outcome := 'stumbled';
	ELSIF p.status = 'captured' THEN
		outcome := 'ok';
	ELSIF p.status = 'authorised' THEN
		UPDATE payments SET status = 'captured', captured_minor = amount_minor WHERE key = for_key;
		outcome := 'done';
	END IF;
	RETURN QUERY SELECT * FROM payment_get(for_key, outcome);
END
$$;
-- +goose StatementEnd

-- Of a payment that is not known it leaves a tombstone. One that was declined holds nothing: that is as good.
-- +goose StatementBegin
CREATE FUNCTION payment_void(for_key text, in_currency text) RETURNS SETOF payment_answer
LANGUAGE plpgsql AS $$
DECLARE
	p payments;
	outcome text := 'ok';
BEGIN
	INSERT INTO payments (key, status, amount_minor, currency)
	VALUES (for_key, 'voided', 0, in_currency)
	ON CONFLICT (key) DO NOTHING;
	SELECT * INTO STRICT p FROM payments WHERE key = for_key FOR NO KEY UPDATE;
	IF payment_stumbles(for_key, p.stumbles, 'void') THEN
		outcome := 'stumbled';
	ELSIF p.status = 'captured' THEN
		outcome := 'settled';
	ELSIF p.status IN ('processing', 'authorised') THEN
		UPDATE payments SET status = 'voided', settle_at = NULL WHERE key = for_key;
		outcome := 'done';
	END IF;
	RETURN QUERY SELECT * FROM payment_get(for_key, outcome);
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION payment_refund(for_key text, as_id uuid, amount bigint) RETURNS SETOF payment_answer
LANGUAGE plpgsql AS $$
DECLARE
	p payments;
	before bigint;
	outcome text := 'done';
BEGIN
	SELECT * INTO p FROM payments WHERE key = for_key FOR NO KEY UPDATE;
	SELECT amount_minor INTO before FROM refunds WHERE payment_key = for_key AND id = as_id;
	IF payment_stumbles(for_key, p.stumbles, 'refund ' || as_id) THEN
		outcome := 'stumbled';
	ELSIF before IS NOT NULL THEN
		outcome := CASE before WHEN amount THEN 'ok' ELSE 'differs' END;
	ELSIF p.status IS DISTINCT FROM 'captured' THEN
		outcome := 'settled';
	ELSIF amount > p.captured_minor - p.refunded_minor THEN
		outcome := 'exceeds';
	ELSE
		INSERT INTO refunds (payment_key, id, amount_minor, sequence) VALUES (for_key, as_id, amount, p.sequence + 1);
		UPDATE payments SET refunded_minor = refunded_minor + amount WHERE key = for_key;
	END IF;
	RETURN QUERY SELECT * FROM payment_get(for_key, outcome);
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION payment_refund, payment_void, payment_capture, payment_authorise, payment_stumbles, payment_at,
	payment_get;
DROP TYPE payment_answer;
DROP VIEW payment_imbalances;
DROP TABLE stumbled;
DROP TABLE webhooks;
DROP TABLE ledger;
DROP TABLE refunds;
DROP TABLE payments;
DROP FUNCTION payments_guard, payments_book, stays_as_written;
DROP TABLE payment_transitions;
