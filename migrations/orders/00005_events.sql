-- +goose Up
-- What the outbox tells of orders (api/events/README.md): one event for each version of each order, in the transaction
-- that makes it, by whatever statement. So no statement can forget its event, and an event's sequence is its order's
-- version. An intent (reserving, version 0) is nobody's business yet.

-- +goose StatementBegin
CREATE FUNCTION orders_tell() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	IF new.version = old.version AND new.status = old.status THEN
		RETURN NULL;
	ELSIF new.version <> old.version + 1 THEN
		RAISE EXCEPTION 'version % of an order is followed by %', old.version, new.version
			USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_version_check';
	END IF;
	PERFORM outbox_add('bodega.order.' || CASE
			WHEN old.status = 'reserving' THEN 'created'
			WHEN old.status = new.status THEN 'updated'
			ELSE new.status END,
		new.id, new.version, new.user_id,
		json_build_object(
			'order_id', new.id,
			'user_id', new.user_id,
			'status', new.status,
			'previous_status', nullif(old.status, 'reserving'),
			'currency', new.currency,
			'subtotal_minor', new.subtotal_minor,
			'shipping_minor', new.shipping_minor,
			'tax_minor', new.tax_minor,
			'total_minor', new.total_minor,
			'payment', (
				SELECT json_build_object('method', method, 'status', status, 'amount_minor', amount_minor,
					'refunded_minor', refunded_minor)
				FROM order_payments
				WHERE order_id = new.id
				ORDER BY attempt DESC
				LIMIT 1),
			'items', (
				SELECT coalesce(json_agg(json_build_object('id', id, 'product_id', product_id, 'seller_id', seller_id,
					'quantity', quantity, 'price_minor', unit_price_minor) ORDER BY id), '[]')
				FROM order_items
				WHERE order_id = new.id)));
	RETURN NULL;
END
$$;
-- +goose StatementEnd

-- After the statement, so that items and payments that it writes beside the order are in the event.
CREATE TRIGGER orders_tell AFTER UPDATE OF version, status ON orders FOR EACH ROW EXECUTE FUNCTION orders_tell();

-- +goose Down
DROP TRIGGER orders_tell ON orders;
DROP FUNCTION orders_tell();
