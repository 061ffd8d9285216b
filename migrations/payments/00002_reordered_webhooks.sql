-- +goose Up
-- Out of order: the first change is told after the second, however late that happens. Its webhook waits until there is a
-- second change, and then half a second longer than that one's.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION payments_book() RETURNS trigger
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

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION payments_book() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
	is_refund boolean := TG_OP = 'UPDATE' AND new.status = 'captured' AND new.refunded_minor > old.refunded_minor;
BEGIN
	INSERT INTO ledger (payment_key, sequence, order_id, entry, amount_minor, captured_minor, refunded_minor)
	VALUES (new.key, new.sequence, new.order_id, CASE WHEN is_refund THEN 'refunded' ELSE new.status END,
		CASE WHEN is_refund THEN new.refunded_minor - old.refunded_minor
			WHEN new.status IN ('declined', 'processing') THEN 0
			WHEN new.status = 'voided' AND (TG_OP = 'INSERT' OR old.status <> 'authorised') THEN 0
			ELSE new.amount_minor END,
		new.captured_minor, new.refunded_minor);
	INSERT INTO webhooks (payment_key, sequence, due_at, deliveries_wanted)
	SELECT new.key, new.sequence,
		now() + new.webhook_delay + CASE WHEN new.webhooks = 'reordered' AND new.status = 'processing'
			THEN new.settle_at - now() + greatest(new.webhook_delay, interval '100 milliseconds') ELSE '0' END,
		CASE new.webhooks WHEN 'twice' THEN 2 ELSE 1 END
	WHERE new.webhooks IS NOT NULL;
	RETURN NULL;
END
$$;
-- +goose StatementEnd
