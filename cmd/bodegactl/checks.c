/* SPDX-License-Identifier: Apache-2.0
 * The invariants of docs/orders.md in SQL. They are asked of the tables, not of the services, and
 * take nothing for granted that a constraint or a trigger should have prevented. */
#include "checks.h"

/* ---- units: products_db ---- */

static const char stock_adds_up[] =
	"SELECT product_id, received || ' received',\n"
	"	available || ' available + ' || held || ' held + ' || sold || ' sold'\n"
	"FROM stock\n"
	"WHERE available + held + sold <> received OR least(available, held, sold) < 0\n"
	"ORDER BY product_id";

static const char ledger[] =
	"SELECT product_id, format('%s available, %s held, %s sold, %s received',\n"
	"		ledger_available, ledger_held, ledger_sold, ledger_received),\n"
	"	format('%s available, %s held, %s sold, %s received',\n"
	"		available, held, sold, received)\n"
	"FROM stock_imbalances\n"
	"ORDER BY product_id";

static const char ledger_runs[] =
	"SELECT product_id, format('movement %s: %s available', id, before + delta),\n"
	"	available || ' available'\n"
	"FROM (\n"
	"	SELECT product_id, id, delta, available, coalesce(\n"
	"		lag(available) OVER (PARTITION BY product_id ORDER BY id), 0) AS before\n"
	"	FROM stock_movements) m\n"
	"WHERE available <> before + delta\n"
	"ORDER BY product_id, id";

static const char held_units[] =
	"SELECT s.product_id, coalesce(r.units, 0) || ' by reservations', s.held || ' held'\n"
	"FROM stock s\n"
	"LEFT JOIN (\n"
	"	SELECT product_id, sum(quantity) AS units\n"
	"	FROM reservation_lines JOIN reservations USING (order_id)\n"
	"	WHERE state = 'held'\n"
	"	GROUP BY product_id) r USING (product_id)\n"
	"WHERE s.held <> coalesce(r.units, 0)\n"
	"ORDER BY s.product_id";

static const char sold_units[] =
	"SELECT s.product_id, coalesce(r.units, 0) || ' by reservations', s.sold || ' sold'\n"
	"FROM stock s\n"
	"LEFT JOIN (\n"
	"	SELECT product_id, sum(quantity) AS units\n"
	"	FROM reservation_lines JOIN reservations USING (order_id)\n"
	"	WHERE state = 'committed'\n"
	"	GROUP BY product_id) r USING (product_id)\n"
	"WHERE s.sold <> coalesce(r.units, 0)\n"
	"ORDER BY s.product_id";

static const char reservation_ledger[] =
	"WITH booked AS (\n"
	"	SELECT order_id, product_id,\n"
	"		sum(CASE WHEN reason = 'held' THEN quantity\n"
	"			WHEN reason IN ('released', 'expired', 'committed')\n"
	"			THEN -quantity ELSE 0 END) AS held,\n"
	"		sum(CASE reason WHEN 'committed' THEN quantity\n"
	"			WHEN 'returned' THEN -quantity ELSE 0 END) AS sold\n"
	"	FROM stock_movements\n"
	"	WHERE order_id IS NOT NULL\n"
	"	GROUP BY order_id, product_id),\n"
	"kept AS (\n"
	"	SELECT order_id, product_id,\n"
	"		CASE state WHEN 'held' THEN quantity ELSE 0 END AS held,\n"
	"		CASE state WHEN 'committed' THEN quantity ELSE 0 END AS sold\n"
	"	FROM reservations JOIN reservation_lines USING (order_id))\n"
	"SELECT order_id, format('%s held, %s sold of product %s', coalesce(k.held, 0),\n"
	"		coalesce(k.sold, 0), product_id),\n"
	"	format('%s held, %s sold in the ledger', coalesce(b.held, 0),\n"
	"		coalesce(b.sold, 0))\n"
	"FROM kept k FULL JOIN booked b USING (order_id, product_id)\n"
	"WHERE (coalesce(k.held, 0), coalesce(k.sold, 0))\n"
	"	<> (coalesce(b.held, 0), coalesce(b.sold, 0))\n"
	"ORDER BY order_id, product_id";

static const char reservation_lines[] =
	"SELECT order_id, 'lines', state || ' without any'\n"
	"FROM reservations r\n"
	"WHERE state <> 'released'\n"
	"	AND NOT EXISTS (SELECT FROM reservation_lines WHERE order_id = r.order_id)\n"
	"ORDER BY order_id";

/* ---- orders_db ---- */

static const char order_amounts[] =
	"SELECT o.id, coalesce(i.amount, 0) || ' by its items',\n"
	"	o.subtotal_minor || ' as subtotal, ' || o.total_minor || ' as total'\n"
	"FROM orders o\n"
	"LEFT JOIN (\n"
	"	SELECT order_id, sum(unit_price_minor * quantity) AS amount\n"
	"	FROM order_items\n"
	"	GROUP BY order_id) i ON i.order_id = o.id\n"
	"WHERE o.status <> 'reserving' AND (i.amount IS DISTINCT FROM o.subtotal_minor\n"
	"	OR o.total_minor <> o.subtotal_minor + o.shipping_minor + o.tax_minor)\n"
	"ORDER BY o.id";

static const char history_ends[] =
	"SELECT o.id, o.status || ' at version ' || o.version || ' or before',\n"
	"	coalesce(h.to_status || ' at version ' || h.version, 'no history')\n"
	"FROM orders o\n"
	"LEFT JOIN LATERAL (\n"
	"	SELECT to_status, version\n"
	"	FROM order_history\n"
	"	WHERE order_id = o.id\n"
	"	ORDER BY version DESC\n"
	"	LIMIT 1) h ON true\n"
	"WHERE o.status <> 'reserving'\n"
	"	AND (h.to_status IS DISTINCT FROM o.status OR h.version > o.version)\n"
	"ORDER BY o.id";

static const char history_runs[] =
	"SELECT order_id, 'from ' || coalesce(before, 'nothing') || ' at version ' || version,\n"
	"	'from ' || coalesce(from_status, 'nothing') || ' to ' || to_status\n"
	"FROM (\n"
	"	SELECT order_id, version, from_status, to_status, lag(to_status) OVER (\n"
	"		PARTITION BY order_id ORDER BY version) AS before\n"
	"	FROM order_history) h\n"
	"WHERE before IS DISTINCT FROM from_status OR (before IS NOT NULL AND NOT EXISTS (\n"
	"	SELECT FROM order_transitions t\n"
	"	WHERE t.from_status = h.from_status AND t.to_status = h.to_status))\n"
	"ORDER BY order_id, version";

static const char paid_once[] =
	"SELECT o.id, CASE WHEN o.status IN ('paid', 'processing', 'shipped', 'delivered')\n"
	"		THEN 'one payment of ' || o.total_minor\n"
	"		WHEN o.status IN ('cancelled', 'refunded') THEN 'none, or all given "
	"back,'\n"
	"		ELSE 'no payment' END || ' for an order that is ' || o.status,\n"
	"	format('%s of together %s, %s given back', coalesce(p.count, 0),\n"
	"		coalesce(p.amount, 0), coalesce(p.refunded, 0))\n"
	"FROM orders o\n"
	"LEFT JOIN (\n"
	"	SELECT order_id, count(*) AS count, sum(amount_minor) AS amount,\n"
	"		sum(refunded_minor) AS refunded\n"
	"	FROM order_payments\n"
	"	WHERE status = 'captured'\n"
	"	GROUP BY order_id) p ON p.order_id = o.id\n"
	"WHERE CASE\n"
	"	WHEN o.status IN ('paid', 'processing', 'shipped', 'delivered')\n"
	"		THEN (p.count, p.amount) IS DISTINCT FROM (1, o.total_minor)\n"
	"			OR p.refunded = p.amount AND p.amount > 0 AND o.step = 'idle'\n"
	"	WHEN o.status IN ('cancelled', 'refunded')\n"
	"		THEN p.count > 1 OR p.refunded <> p.amount\n"
	"	ELSE p.count > 0 AND o.step = 'idle' END\n"
	"ORDER BY o.id";

static const char refunds[] = "SELECT p.order_id, coalesce(r.amount, 0) || ' by refunds',\n"
			      "	p.refunded_minor || ' given back of attempt ' || p.attempt\n"
			      "FROM order_payments p\n"
			      "LEFT JOIN (\n"
			      "	SELECT order_id, attempt, sum(amount_minor) AS amount\n"
			      "	FROM order_refunds\n"
			      "	WHERE status = 'done'\n"
			      "	GROUP BY order_id, attempt) r USING (order_id, attempt)\n"
			      "WHERE p.refunded_minor <> coalesce(r.amount, 0)\n"
			      "ORDER BY p.order_id, p.attempt";

static const char nothing_pays[] =
	"SELECT id, 'nothing under way while the order is idle', p.what\n"
	"FROM orders\n"
	"JOIN (\n"
	"	SELECT order_id, 'payment ' || attempt AS what FROM order_payments\n"
	"	WHERE status = 'processing'\n"
	"	UNION ALL\n"
	"	SELECT order_id, 'refund ' || id FROM order_refunds\n"
	"	WHERE status = 'processing') p ON p.order_id = id\n"
	"WHERE step = 'idle'\n"
	"ORDER BY id";

static const char unfinished[] =
	"SELECT id, 'idle', step || CASE WHEN needs_attention\n"
	"	THEN ', needs attention after ' || attempts || ' attempts' ELSE '' END\n"
	"FROM orders\n"
	"WHERE step <> 'idle'\n"
	"ORDER BY id";

/* ---- money: payments_db ---- */

static const char payment_ledger[] =
	"SELECT key, format('%s captured, %s refunded in %s changes',\n"
	"		ledger_captured, ledger_refunded, lines),\n"
	"	format('%s captured, %s refunded (%s by refunds) in %s changes, %s',\n"
	"		captured_minor, refunded_minor, refunds, sequence, status)\n"
	"FROM payment_imbalances\n"
	"ORDER BY key COLLATE \"C\"";

static const char charged_once[] = "SELECT order_id, 'one charge', string_agg(captured_minor - "
				   "refunded_minor || ' by ' || key,\n"
				   "		', ' ORDER BY key)\n"
				   "FROM payments\n"
				   "WHERE captured_minor > refunded_minor\n"
				   "GROUP BY order_id\n"
				   "HAVING count(*) > 1\n"
				   "ORDER BY order_id";

/* ---- events, in each database that has an outbox ---- */

static const char events_numbered[] =
	"SELECT p.partition, 'positions up to ' || p.position || ' without a gap',\n"
	"	format('%s from %s to %s', o.count, o.first, o.last)\n"
	"FROM outbox_partitions p\n"
	"JOIN (\n"
	"	SELECT partition, count(*) AS count, min(position) AS first, max(position) AS "
	"last\n"
	"	FROM outbox\n"
	"	WHERE position IS NOT NULL\n"
	"	GROUP BY partition) o USING (partition)\n"
	"WHERE o.last <> p.position OR o.count <> o.last - o.first + 1\n"
	"ORDER BY p.partition";

static const char events_published[] =
	"SELECT p.partition, 'no event that waits', p.position - p.published + o.waiting\n"
	"FROM outbox_partitions p\n"
	"CROSS JOIN LATERAL (\n"
	"	SELECT count(*) AS waiting\n"
	"	FROM outbox\n"
	"	WHERE partition = p.partition AND position IS NULL) o\n"
	"WHERE p.published < p.position OR o.waiting > 0\n"
	"ORDER BY p.partition";

/* An order from before there were events has none; the oldest are swept. */
static const char events_of_history[] =
	"SELECT order_id, 'an event of version ' || version || ', ' || to_status, 'none'\n"
	"FROM order_history h\n"
	"WHERE at >= (SELECT min(at) FROM outbox) AND NOT EXISTS (\n"
	"	SELECT FROM outbox WHERE subject = h.order_id AND sequence = h.version)\n"
	"ORDER BY order_id, version";

static const char events_of_versions[] =
	"SELECT o.id, 'an event of each version up to ' || o.version,\n"
	"	format('%s, from %s to %s', e.count, e.first, e.last)\n"
	"FROM orders o\n"
	"JOIN (\n"
	"	SELECT subject, count(*) AS count, count(DISTINCT sequence) AS versions,\n"
	"		min(sequence) AS first, max(sequence) AS last\n"
	"	FROM outbox\n"
	"	WHERE sequence IS NOT NULL\n"
	"	GROUP BY subject) e ON e.subject = o.id\n"
	"WHERE e.last <> o.version OR e.versions <> e.count OR e.count <> e.last - e.first + 1\n"
	"ORDER BY o.id";

/* ---- Idempotency-Key ---- */

static const char keys[] =
	"SELECT order_id, 'one key', count(*) || ' keys: ' || string_agg(key, ', ' ORDER BY key)\n"
	"FROM idempotency_keys\n"
	"WHERE operation = 'POST /api/v1/orders' AND order_id IS NOT NULL\n"
	"GROUP BY order_id\n"
	"HAVING count(*) > 1\n"
	"ORDER BY order_id";

static const char answers[] =
	"SELECT k.order_id, coalesce(o.status, 'no such order'),\n"
	"	'key ' || key || ' of ' || operation || ' was answered ' || k.status\n"
	"FROM idempotency_keys k\n"
	"LEFT JOIN orders o ON o.id = k.order_id AND o.status <> 'reserving'\n"
	"WHERE k.status BETWEEN 200 AND 299 AND k.order_id IS NOT NULL AND o.id IS NULL\n"
	"ORDER BY k.order_id";

static const char unanswered[] =
	"SELECT k.order_id, 'an answer', 'key ' || key || ' of ' || operation || ' is open'\n"
	"FROM idempotency_keys k\n"
	"LEFT JOIN orders o ON o.id = k.order_id\n"
	"WHERE k.status IS NULL AND o.step IS NOT DISTINCT FROM 'idle'\n"
	"ORDER BY k.order_id";

/* ---- orders and their reservations ---- */

static const char orders_reservation[] =
	"SELECT id::text, CASE\n"
	"	WHEN step = 'reserving' THEN 'none held released expired'\n"
	"	WHEN step <> 'idle' THEN 'held expired released committed returned'\n"
	"	WHEN status IN ('pending', 'confirmed') THEN 'held expired'\n"
	"	WHEN status IN ('paid', 'processing', 'shipped', 'delivered') THEN 'committed'\n"
	"	WHEN status = 'refunded' THEN 'committed returned'\n"
	"	WHEN EXISTS (\n"
	"		SELECT FROM order_history WHERE order_id = o.id AND to_status = 'paid')\n"
	"		OR EXISTS (SELECT FROM order_payments WHERE order_id = o.id AND sold)\n"
	"		THEN 'returned'\n"
	"	ELSE 'released' END,\n"
	"	CASE WHEN step = 'idle' THEN (\n"
	"		SELECT string_agg(quantity || ' of ' || product_id, ', ' ORDER BY "
	"product_id)\n"
	"		FROM order_items WHERE order_id = o.id) END\n"
	"FROM orders o\n"
	"ORDER BY id";

static const char reservations[] =
	"SELECT order_id::text, CASE WHEN expired THEN 'expired' ELSE state END, (\n"
	"	SELECT string_agg(quantity || ' of ' || product_id, ', ' ORDER BY product_id)\n"
	"	FROM reservation_lines WHERE order_id = r.order_id)\n"
	"FROM reservations r\n"
	"ORDER BY order_id";

/* ---- orders and the provider's payments ---- */

static const char orders_payments[] =
	"SELECT order_id || '-' || attempt, CASE p.status\n"
	"	WHEN 'processing' THEN 'none processing authorised captured declined voided'\n"
	"	WHEN 'captured' THEN 'captured'\n"
	"	WHEN 'declined' THEN 'declined'\n"
	"	ELSE 'voided declined' END,\n"
	"	CASE WHEN p.status = 'captured' AND step = 'idle'\n"
	"		THEN format('%s captured, %s refunded', amount_minor, refunded_minor) END\n"
	"FROM order_payments p JOIN orders ON id = order_id\n"
	"WHERE method = 'card'\n"
	"ORDER BY (order_id || '-' || attempt) COLLATE \"C\"";

static const char payments[] =
	"SELECT key, status, CASE WHEN status = 'captured'\n"
	"	THEN format('%s captured, %s refunded', captured_minor, refunded_minor) END\n"
	"FROM payments\n"
	"ORDER BY key COLLATE \"C\"";

const struct check checks[] = {
	{"stock_adds_up", "units available, held and sold are the units received, none below 0",
		"product", IN_PRODUCTS, stock_adds_up},
	{"ledger", "the stock is what its ledger comes to", "product", IN_PRODUCTS, ledger},
	{"ledger_runs", "each line of the ledger goes on from the one before", "product",
		IN_PRODUCTS, ledger_runs},
	{"held_units", "units are held by reservations only", "product", IN_PRODUCTS, held_units},
	{"sold_units", "units are sold to committed reservations only", "product", IN_PRODUCTS,
		sold_units},
	{"reservation_ledger", "a reservation has what the ledger gave it", "order", IN_PRODUCTS,
		reservation_ledger},
	{"reservation_lines", "a reservation has lines", "order", IN_PRODUCTS, reservation_lines},
	{"order_amounts", "an order's total is that of its items", "order", IN_ORDERS,
		order_amounts},
	{"history_ends", "the newest entry of an order's history is its status", "order", IN_ORDERS,
		history_ends},
	{"history_runs", "each entry of a history goes on from the one before, as states may",
		"order", IN_ORDERS, history_runs},
	{"paid_once", "an order that was paid has one payment of its total, others have none",
		"order", IN_ORDERS, paid_once},
	{"refunds", "what was given back are the order's refunds", "order", IN_ORDERS, refunds},
	{"nothing_pays", "no payment or refund is under way while its order is idle", "order",
		IN_ORDERS, nothing_pays},
	{"payment_ledger", "a payment is what its ledger comes to", "payment", IN_PAYMENTS,
		payment_ledger},
	{"charged_once", "nobody is charged twice for an order", "order", IN_PAYMENTS,
		charged_once},
	{"events_numbered", "the events of a partition are numbered without a gap", "partition",
		IN_ORDERS, events_numbered},
	{"events_numbered", "those of products too", "partition", IN_PRODUCTS, events_numbered},
	{"events_of_history", "each entry of a history has its event", "order", IN_ORDERS,
		events_of_history},
	{"events_of_versions", "each version of an order has one event", "order", IN_ORDERS,
		events_of_versions},
	{"keys", "an order was made by one key", "order", IN_ORDERS, keys},
	{"answers", "an order that was answered is there", "order", IN_ORDERS, answers},
	{"unanswered", "no key waits for an operation that is over", "order", IN_ORDERS, unanswered,
		.at_rest = true},
	{"events_published", "no event waits for its relay", "partition", IN_ORDERS,
		events_published, .at_rest = true},
	{"events_published", "nor one of products", "partition", IN_PRODUCTS, events_published,
		.at_rest = true},
	{"unfinished", "no order waits for its recovery", "order", IN_ORDERS, unfinished,
		.at_rest = true},
	{"reservations", "an order has the reservation that its state calls for, with its items",
		"order", IN_ORDERS, orders_reservation, IN_PRODUCTS, reservations, "released"},
	{"payments", "a payment by card is at the provider what the order says of it", "payment",
		IN_ORDERS, orders_payments, IN_PAYMENTS, payments, "voided"},
};
const size_t check_count = sizeof checks / sizeof *checks;
