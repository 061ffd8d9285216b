-- +goose Up
-- What the outbox tells of products and their stock (api/events/README.md), to their sellers: one event for each version
-- of a product, whose sequence it is. Stock has a version of its own, and most changes of it are told to nobody: its events
-- stand alone (no sequence), and say the stock's version, so that an older one can be told from a newer one.

-- +goose StatementBegin
CREATE FUNCTION products_tell() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
	type text := CASE WHEN TG_OP = 'INSERT' THEN 'created' WHEN new.status = 'deleted' THEN 'deleted' ELSE 'changed' END;
	data jsonb := jsonb_build_object('product_id', new.id, 'seller_id', new.seller_id);
BEGIN
	IF TG_OP = 'UPDATE' AND new.version <> old.version + 1 THEN
		RAISE EXCEPTION 'version % of a product is followed by %', old.version, new.version
			USING ERRCODE = 'check_violation', CONSTRAINT = 'products_version_check';
	END IF;
	IF type <> 'deleted' THEN
		data := data || jsonb_build_object(
			'currency', new.currency, 'price_minor', new.price_minor, 'category', new.category);
	END IF;
	IF type = 'changed' THEN
		data := data || jsonb_build_object('changed', array_remove(ARRAY[
			CASE WHEN new.name <> old.name THEN 'name' END,
			CASE WHEN new.description <> old.description THEN 'description' END,
			CASE WHEN new.price_minor <> old.price_minor THEN 'price' END,
			CASE WHEN new.category IS DISTINCT FROM old.category THEN 'category' END,
			CASE WHEN new.tags <> old.tags THEN 'tags' END,
			CASE WHEN new.sku IS DISTINCT FROM old.sku THEN 'sku' END,
			CASE WHEN new.image_url IS DISTINCT FROM old.image_url THEN 'image_url' END], NULL));
	END IF;
	PERFORM outbox_add('bodega.product.' || type, new.id, new.version, new.seller_id, data::json);
	RETURN NULL;
END
$$;
-- +goose StatementEnd

-- What falls past 5 to nothing at once is told once, as out.
-- +goose StatementBegin
CREATE FUNCTION stock_tell() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	IF new.available < old.available AND (old.available > 5 OR new.available = 0) THEN
		PERFORM outbox_add('bodega.product.' || CASE new.available WHEN 0 THEN 'stock_out' ELSE 'stock_low' END,
			id, NULL, seller_id, json_build_object(
				'product_id', id, 'seller_id', seller_id, 'available', new.available, 'stock_version', new.version))
		FROM products
		WHERE id = new.product_id;
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER products_tell_new AFTER INSERT ON products FOR EACH ROW EXECUTE FUNCTION products_tell();
CREATE TRIGGER products_tell AFTER UPDATE OF version, status ON products FOR EACH ROW EXECUTE FUNCTION products_tell();

-- Every sale comes by here: the condition is read anew for each statement, so the whole of it cost reserve() 8 %, and this
-- part of it nothing that could be measured.
CREATE TRIGGER stock_tell AFTER UPDATE OF available ON stock FOR EACH ROW
	WHEN (new.available <= 5) EXECUTE FUNCTION stock_tell();

-- +goose Down
DROP TRIGGER stock_tell ON stock;
DROP TRIGGER products_tell ON products;
DROP TRIGGER products_tell_new ON products;
DROP FUNCTION stock_tell(), products_tell();
