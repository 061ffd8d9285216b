# SPDX-License-Identifier: Apache-2.0
"""What must hold over the databases of a shop, asked by SQL."""

import time

IDLE_IN_TRANSACTION = """SELECT pid, datname, state, query FROM pg_stat_activity
WHERE state LIKE 'idle in transaction%' AND datname IN ('users_db', 'products_db', 'orders_db', 'payments_db')"""

# Orders whose goods are promised to somebody or on their way.
LIVE = ("pending", "confirmed", "paid", "processing", "shipped", "delivered")


def eventually(condition, seconds, what):
    """Asks again until it holds; the last answer is in the failure."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if not found:
            return
        assert time.monotonic() < end, f"{what} after {seconds} s: {found}"
        time.sleep(0.05)


def assert_no_open_transaction(shop):
    """A rollback is sent, not waited for, so it may be under way for a moment."""
    eventually(lambda: shop.postgres.sql(IDLE_IN_TRANSACTION), 3, "a transaction stays open")


def stray_holds(shop):
    """Reservations that hold units for no live order."""
    held = {row[0] for row in shop.postgres.sql(
        "SELECT order_id FROM reservations WHERE state = 'held'", "products_db")}
    states = "', '".join(LIVE)
    live = {row[0] for row in shop.postgres.sql(f"SELECT id FROM orders WHERE status IN ('{states}')", "orders_db")}
    return sorted(held - live)


def unfinished(shop):
    """Orders that recovery still has to finish."""
    return shop.postgres.sql("SELECT id, status, step FROM orders WHERE status = 'reserving' OR step <> 'idle'", "orders_db")


def settle(shop, seconds):
    """Waits until nothing is unfinished and no hold is stray."""
    eventually(lambda: unfinished(shop), seconds, "unfinished orders")
    eventually(lambda: stray_holds(shop), seconds, "stray holds")


def assert_stock_adds_up(shop):
    """Units sold + held + available = units received, and the ledger says the same, for every product."""
    wrong = shop.postgres.sql("SELECT * FROM stock_imbalances", "products_db")
    assert not wrong, wrong
    wrong = shop.postgres.sql("SELECT * FROM stock WHERE available + held + sold <> received OR available < 0", "products_db")
    assert not wrong, wrong
    wrong = shop.postgres.sql(
        """SELECT s.product_id, s.held, coalesce(h.units, 0) FROM stock s
        LEFT JOIN (SELECT l.product_id, sum(l.quantity) AS units FROM reservation_lines l
                   JOIN reservations r USING (order_id) WHERE r.state = 'held' GROUP BY 1) h USING (product_id)
        WHERE s.held <> coalesce(h.units, 0)""", "products_db")
    assert not wrong, wrong


PAID = ("paid", "processing", "shipped", "delivered", "refunded")


def assert_money_adds_up(shop):
    """Captured - refunded by the provider's own book is what each order says; nobody pays for an order that is not
    theirs to have, and what is paid for was sold."""
    said = {row[0]: row for row in shop.postgres.sql(
        """SELECT o.id || '-' || p.attempt, p.status, p.amount_minor, p.refunded_minor, o.status, o.step
        FROM orders o JOIN order_payments p ON p.order_id = o.id WHERE p.method = 'card'""", "orders_db")}
    taken = {row[0]: row for row in shop.postgres.sql(
        "SELECT key, captured_minor, refunded_minor, status FROM payments WHERE key ~ '^[0-9a-f-]{36}-[0-9]+$'",
        "payments_db")}
    for key, (_, captured, refunded, status) in taken.items():
        assert key in said, f"{key}: charged for an order that is not there"
        _, says, amount, gave_back, order, step = said[key]
        if step != "idle":
            continue
        assert (captured, refunded) == ((amount, gave_back) if says == "captured" else ("0", "0")), (taken[key], said[key])
        assert status != "authorised", f"{key}: held for ever"
        assert captured == refunded or order in PAID, (taken[key], said[key])
    wrong = shop.postgres.sql(
        f"""SELECT o.id, o.status, o.total_minor, p.amount_minor FROM orders o
        LEFT JOIN order_payments p ON p.order_id = o.id AND p.status = 'captured'
        WHERE o.status IN {PAID} AND p.amount_minor IS DISTINCT FROM o.total_minor""", "orders_db")
    assert not wrong, wrong
    wrong = shop.postgres.sql("SELECT * FROM payment_imbalances", "payments_db")
    assert not wrong, wrong
