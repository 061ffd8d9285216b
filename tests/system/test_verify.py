# SPDX-License-Identifier: Apache-2.0
"""bodegactl verify finds each kind of damage, names it, and finds nothing where nothing is wrong.

The shop makes orders in every state and stops; each test damages a copy of its databases, where no constraint or
trigger is in the way."""

import itertools
import subprocess
import time

import pytest

from conftest import close_shop, http_client, log_in, make_product, make_shop, place_order
from invariants import eventually
from shop import PROGRAMS, Failed

STOCK = 20
NO_GUARDS = {
    "orders": """ALTER TABLE orders DISABLE TRIGGER USER; ALTER TABLE orders DROP CONSTRAINT orders_total_check;
        DROP INDEX IF EXISTS order_payments_once; ALTER TABLE order_items DROP CONSTRAINT order_items_order_fkey;
        ALTER TABLE order_history DROP CONSTRAINT order_history_order_fkey;""",
    "products": """ALTER TABLE stock DISABLE TRIGGER USER; ALTER TABLE stock DROP CONSTRAINT stock_adds_up; ALTER TABLE stock DROP CONSTRAINT stock_available_check;
        ALTER TABLE reservation_lines DROP CONSTRAINT reservation_lines_order_fkey;""",
    "payments": "",
}


@pytest.fixture(scope="module")
def shop():
    running = make_shop()
    yield running
    close_shop(running)


def order_in(status, buyer, support, product):
    """An order of two units, moved to that status."""
    made = place_order(buyer, product, 2).json()["id"]
    steps = {"pending": [], "cancelled": ["cancel"], "paid": ["pay"], "returned": ["pay", "cancel"],
             "shipped": ["pay", "processing", "shipped"], "charged": ["card"], "given back": ["card", "cancel"],
             "failed": ["declined"]}[status]
    for step in steps:
        if step == "pay":
            answer = support.post(f"/api/v1/orders/{made}/pay", {"method": "manual", "reference": "r"})
        elif step == "card":
            answer = buyer.post(f"/api/v1/orders/{made}/pay", {"method": "card", "token": "tok_ok"})
        elif step == "declined":
            assert buyer.post(f"/api/v1/orders/{made}/pay", {"method": "card", "token": "tok_declined"}).status_code == 402
            continue
        elif step == "cancel":
            answer = buyer.post(f"/api/v1/orders/{made}/cancel")
        else:
            answer = support("PUT", f"/api/v1/orders/{made}/status", json={"status": step})
        assert answer.status_code == 200, answer.text
    return made


@pytest.fixture(scope="module")
def stopped(shop):
    """The shop's orders by status and their product; its programs have ended."""
    with http_client(shop.url()) as client:
        buyer, support, seller = (log_in(client, shop, role) for role in ("customer", "support", "seller"))
        product = make_product(seller, stock_quantity=STOCK)["id"]
        orders = {status: order_in(status, buyer, support, product)
                  for status in ("pending", "cancelled", "paid", "returned", "shipped", "charged", "given back", "failed")}
    eventually(lambda: shop.verify("--settled"), 30, "something is wrong")
    for program in reversed(PROGRAMS):
        shop.stop_program(program)
    nobody = "019a0000-0000-7000-8000-000000000001"
    shipped = shop.postgres.sql(f"SELECT outbox_partition(user_id) FROM orders WHERE id = '{orders['shipped']}'", "orders_db")
    return {**orders, "partition of shipped": shipped[0][0], "product": product, "nobody": nobody, "payment": nobody + "-1", "partition": "7", "first of charged": orders["charged"] + "-1",
            "first of given back": orders["given back"] + "-1", "first of failed": orders["failed"] + "-1",
            "second of charged": orders["charged"] + "-2", "second of failed": orders["failed"] + "-2"}


@pytest.fixture
def copies(shop, stopped):
    """Makes copies of the databases without their guards; gives their URLs and runs SQL in them."""
    names = {service: f"{service}_copy" for service in NO_GUARDS}
    for service, name in names.items():
        shop.postgres.sql(f'DROP DATABASE IF EXISTS "{name}"')
        shop.postgres.sql(f'CREATE DATABASE "{name}" TEMPLATE {service}_db OWNER {service}')
        if NO_GUARDS[service]:
            shop.postgres.sql(NO_GUARDS[service], name)

    class Copies:
        urls = {service: shop.postgres.url(name) for service, name in names.items()}

        @staticmethod
        def damage(service, sql):
            shop.postgres.sql(sql.format(**stopped), names[service])

    return Copies


def test_nothing_is_wrong(shop, stopped):
    assert shop.verify() == [] and shop.verify("--settled") == []


# What is done to which database, and the findings that it makes: check and what the id names.
DAMAGES = {
    "a unit is lost": ("products", "UPDATE stock SET available = available - 1 WHERE product_id = '{product}'",
                       {("stock_adds_up", "product"), ("ledger", "product")}),
    "a unit is made up, in the ledger too": (
        "products", """UPDATE stock SET available = available + 1, received = received + 1 WHERE product_id = '{product}';
        INSERT INTO stock_movements (product_id, reason, quantity, available, actor)
        VALUES ('{product}', 'received', 1, 999, 'test')""", {("ledger_runs", "product")}),
    "stock below zero": (
        "products", """UPDATE stock SET available = available - 100, received = received - 100 WHERE product_id = '{product}';
        INSERT INTO stock_movements (product_id, reason, quantity, available, actor)
        SELECT product_id, 'removed', 100, available, 'test' FROM stock WHERE product_id = '{product}'""",
        {("stock_adds_up", "product")}),
    "a unit is held by nobody": (
        "products", """UPDATE stock SET available = available - 1, held = held + 1 WHERE product_id = '{product}';
        INSERT INTO stock_movements (product_id, reason, quantity, available, actor)
        SELECT product_id, 'held', 1, available, 'test' FROM stock WHERE product_id = '{product}'""",
        {("held_units", "product")}),
    "a unit is sold to nobody": (
        "products", """UPDATE stock SET held = held - 1, sold = sold + 1 WHERE product_id = '{product}';
        INSERT INTO stock_movements (product_id, reason, quantity, available, actor)
        SELECT product_id, 'committed', 1, available, 'test' FROM stock WHERE product_id = '{product}'""",
        {("held_units", "product"), ("sold_units", "product")}),
    "a movement is missing": (
        "products", "DELETE FROM stock_movements WHERE order_id = '{paid}' AND reason = 'committed'",
        {("ledger", "product"), ("reservation_ledger", "paid")}),
    "a reservation lost its lines": (
        "products", "DELETE FROM reservation_lines WHERE order_id = '{pending}'",
        {("reservation_lines", "pending"), ("held_units", "product"), ("reservation_ledger", "pending")}),
    "a hold was given back under a live order": (
        "products", "SELECT count(*) FROM reservation_release('{pending}', 'test')", {("reservations", "pending")}),
    "sold units came back under a paid order": (
        "products", "SELECT count(*) FROM reservation_return('{shipped}', 'test')", {("reservations", "shipped")}),
    "a hold without an order": (
        "products", """SELECT count(*) FROM reserve('{nobody}', 1, ARRAY['{product}']::uuid[], ARRAY[1], 60000, 'test')""",
        {("reservations", "nobody")}),
    "a hold stayed after its order was cancelled": (
        "products", """UPDATE reservations SET state = 'held', expires_at = now() WHERE order_id = '{cancelled}'""",
        {("reservations", "cancelled"), ("held_units", "product"), ("reservation_ledger", "cancelled")}),
    "an order without a reservation": (
        "products", """DELETE FROM reservation_lines WHERE order_id = '{cancelled}';
        DELETE FROM reservations WHERE order_id = '{cancelled}'""", {("reservations", "cancelled")}),
    "an order was promised another quantity": (
        "orders", """UPDATE order_items SET quantity = 3 WHERE order_id = '{pending}'""",
        {("reservations", "pending"), ("order_amounts", "pending")}),
    "a total is wrong": (
        "orders", "UPDATE orders SET total_minor = total_minor - 1 WHERE id = '{pending}'", {("order_amounts", "pending")}),
    "an order vanished": (
        "orders", """DELETE FROM order_items WHERE order_id = '{pending}'; DELETE FROM order_history WHERE order_id = '{pending}';
        DELETE FROM orders WHERE id = '{pending}'""", {("reservations", "pending")}),
    "a status without its history": (
        "orders", "UPDATE orders SET status = 'confirmed' WHERE id = '{pending}'", {("history_ends", "pending")}),
    "a change is missing in the history": (
        "orders", "DELETE FROM order_history WHERE order_id = '{shipped}' AND to_status = 'processing'",
        {("history_runs", "shipped")}),
    "a change that no order makes": (
        "orders", """INSERT INTO order_history (order_id, version, from_status, to_status, actor)
        SELECT id, version + 1, status, 'pending', 'test' FROM orders WHERE id = '{shipped}';
        UPDATE orders SET status = 'pending', version = version + 1 WHERE id = '{shipped}'""",
        {("history_runs", "shipped"), ("paid_once", "shipped"), ("reservations", "shipped"), ("events_of_history", "shipped"),
         ("events_of_versions", "shipped")}),
    "paid without a payment": (
        "orders", "UPDATE order_payments SET status = 'failed' WHERE order_id = '{paid}'", {("paid_once", "paid")}),
    "paid twice": (
        "orders", """INSERT INTO order_payments (order_id, attempt, method, status, amount_minor)
        SELECT order_id, attempt + 1, method, status, amount_minor FROM order_payments WHERE order_id = '{paid}'""",
        {("paid_once", "paid")}),
    "paid another amount": (
        "orders", "UPDATE order_payments SET amount_minor = amount_minor - 1 WHERE order_id = '{paid}'", {("paid_once", "paid")}),
    "charged for an unpaid order": (
        "orders", """INSERT INTO order_payments (order_id, attempt, method, status, amount_minor)
        SELECT id, 1, 'manual', 'captured', total_minor FROM orders WHERE id = '{pending}'""", {("paid_once", "pending")}),
    "money moved behind the ledger": (
        "payments", """ALTER TABLE payments DISABLE TRIGGER USER;
        INSERT INTO payments (key, order_id, status, amount_minor, captured_minor, currency, token)
        VALUES ('{payment}', '{nobody}', 'captured', 100, 100, 'USD', 'tok_ok')""",
        {("payment_ledger", "payment"), ("payments", "payment")}),
    "charged twice": (
        "payments", """INSERT INTO payments (key, order_id, status, amount_minor, currency, token)
        VALUES ('{charged}-2', '{charged}', 'authorised', 100, 'USD', 'tok_ok');
        UPDATE payments SET status = 'captured', captured_minor = 100 WHERE key = '{charged}-2'""",
        {("charged_once", "charged"), ("payments", "second of charged")}),
    "charged, and the order does not know": (
        "orders", "UPDATE order_payments SET status = 'voided' WHERE order_id = '{charged}'",
        {("paid_once", "charged"), ("payments", "first of charged")}),
    "an amount is held of which no order knows": (
        "payments", """INSERT INTO payments (key, order_id, status, amount_minor, currency, token)
        VALUES ('{second of failed}', '{failed}', 'authorised', 100, 'USD', 'tok_ok')""", {("payments", "second of failed")}),
    "a payment of which the provider does not know": (
        "orders", """INSERT INTO order_payments (order_id, attempt, method, status, amount_minor)
        VALUES ('{failed}', 2, 'card', 'voided', 100)""", {("payments", "second of failed")}),
    "given back at the provider only": (
        "payments", """INSERT INTO refunds (payment_key, id, amount_minor, sequence)
        SELECT key, gen_random_uuid(), 1, sequence + 1 FROM payments WHERE key = '{charged}-1';
        UPDATE payments SET refunded_minor = 1 WHERE key = '{charged}-1'""", {("payments", "first of charged")}),
    "a refund is missing": (
        "orders", "DELETE FROM order_refunds WHERE order_id = '{given back}'", {("refunds", "given back")}),
    "cancelled, and the money was kept": (
        "orders", """DELETE FROM order_refunds WHERE order_id = '{given back}';
        UPDATE order_payments SET refunded_minor = 0 WHERE order_id = '{given back}'""",
        {("paid_once", "given back"), ("payments", "first of given back")}),
    "a payment that nobody works at": (
        "orders", """UPDATE order_payments SET status = 'processing', decline_code = NULL, decline_message = NULL
        WHERE order_id = '{failed}'""", {("nothing_pays", "failed")}),
    "an event is missing": (
        "orders", """INSERT INTO outbox (partition, position, type, subject, person, data)
        SELECT {partition}, position + n, 'bodega.test', '{nobody}', '{nobody}', '{{}}'
        FROM outbox_partitions, generate_series(1, 3, 2) n WHERE partition = {partition};
        UPDATE outbox_partitions SET position = position + 3, published = published + 3 WHERE partition = {partition}""",
        {("events_numbered", "partition")}),
    "an event of products is missing": (
        "products", """INSERT INTO outbox (partition, position, type, subject, person, data)
        SELECT {partition}, position + n, 'bodega.test', '{nobody}', '{nobody}', '{{}}'
        FROM outbox_partitions, generate_series(1, 2) n WHERE partition = {partition};
        UPDATE outbox_partitions SET position = position + 3, published = published + 3 WHERE partition = {partition}""",
        {("events_numbered", "partition")}),
    "a change without its event": (
        "orders", "DELETE FROM outbox WHERE subject = '{shipped}' AND type = 'bodega.order.processing'",
        {("events_of_history", "shipped"), ("events_of_versions", "shipped"), ("events_numbered", "partition of shipped")}),
    "a version without its event": (
        "orders", "UPDATE orders SET version = version + 1 WHERE id = '{pending}'", {("events_of_versions", "pending")}),
    "a key made two orders": (
        "orders", """INSERT INTO idempotency_keys (caller, operation, key, fingerprint, order_id)
        SELECT '{nobody}', 'POST /api/v1/orders', n, '', '{pending}' FROM generate_series(1, 2) n;
        UPDATE idempotency_keys SET status = 201, body = '' WHERE caller = '{nobody}'""", {("keys", "pending")}),
    "an order that was answered is lost": (
        "orders", """INSERT INTO idempotency_keys (caller, operation, key, fingerprint, order_id, status, body)
        VALUES ('{nobody}', 'POST /api/v1/orders', 'k', '', '{nobody}', 201, '')""", {("answers", "nobody")}),
    "a key is open for ever": (
        "orders", """INSERT INTO idempotency_keys (caller, operation, key, fingerprint, order_id)
        VALUES ('{nobody}', 'POST /api/v1/orders/x/pay', 'k', '', '{pending}')""", {("unanswered", "pending")}),
    "an event waits": (
        "orders", """INSERT INTO outbox (partition, type, subject, person, data)
        VALUES ({partition}, 'bodega.test', '{nobody}', '{nobody}', '{{}}')""", {("events_published", "partition")}),
    "an event of products waits": (
        "products", "UPDATE outbox_partitions SET published = published - 1 WHERE partition = {partition}",
        {("events_published", "partition")}),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_named(shop, stopped, copies, name):
    service, sql, wrong = DAMAGES[name]
    copies.damage(service, sql)
    found = shop.verify("--settled", databases=copies.urls)
    assert {(finding["check"], finding["id"]) for finding in found} == {(check, stopped[what]) for check, what in wrong}, found
    assert all(finding["expected"] and finding["found"] for finding in found), found


def test_what_is_under_way_counts_once_all_has_settled(shop, stopped, copies):
    copies.damage("orders", """UPDATE orders SET step = 'cancelling', step_goal = 'cancelled', lease_until = now()
        WHERE id = '{pending}'""")
    assert shop.verify(databases=copies.urls) == []
    [finding] = shop.verify("--settled", databases=copies.urls)
    assert (finding["check"], finding["id"], finding["found"]) == ("unfinished", stopped["pending"], "cancelling")


def test_every_check_has_its_damage(shop):
    told = subprocess.run([shop.path("bin", "bodegactl"), "verify", "--help"], capture_output=True, text=True, check=True).stdout
    checks = {line.split()[0] for line in itertools.dropwhile(lambda line: line != "It looks whether", told.splitlines())
              if line.startswith("  ")}
    assert checks == {check for _, _, wrong in DAMAGES.values() for check, _ in wrong} | {"unfinished"}


def test_a_database_that_is_away(shop, stopped, copies):
    with pytest.raises(Failed, match="nowhere"):
        shop.verify(databases={"orders": "postgresql:///orders_db?host=/nowhere&user=orders"})


def test_watching(shop, stopped, copies, tmp_path):
    """It tells of what goes wrong while it watches."""
    copies.damage("orders", "SELECT 1")
    environment = {"PATH": "/usr/bin:/bin", **{f"{name.upper()}_DATABASE_URL": url for name, url in copies.urls.items()}}
    watching = subprocess.Popen([shop.path("bin", "bodegactl"), "verify", "--watch"], stdout=subprocess.PIPE, text=True,
                                env=environment)
    assert "nothing is wrong" in watching.stdout.readline()
    copies.damage("orders", "UPDATE orders SET status = 'confirmed' WHERE id = '{pending}'")
    end = time.monotonic() + 20
    assert stopped["pending"] in watching.stdout.readline() and time.monotonic() < end
    watching.terminate()
    assert watching.wait(10) == 1
