# SPDX-License-Identifier: Apache-2.0
"""orders dies at each of its named points, by whichever operation comes there first; it is started again, and the client
sends the same request with the same key: one order, one charge, and from then on the same answer byte for byte."""

import os
import signal
import subprocess
import time
import uuid

import httpx
import pytest

from conftest import BUILD, ROOT, close_shop, http_client, log_in, make_product, make_shop, place_order

POINTS = subprocess.run([os.path.join(ROOT, BUILD, "bin", "orders"), "--crash-points"], capture_output=True, text=True,
                        check=True).stdout.split()
DEATH_SECONDS = 5
KNOWN_SECONDS = 30
SETTLE_SECONDS = 30
UNKNOWN = (502, 503, 504)
BUSY = ("order_busy", "idempotency_key_busy")
CARD = lambda token: {"method": "card", "token": token}


@pytest.fixture(scope="module")
def shop():
    running = make_shop({"LEASE": "1s"})
    yield running
    close_shop(running)


class People:
    def __init__(self, shop):
        self.shop = shop
        self.client = http_client(shop.url())
        self.buyer, self.support, self.seller = (log_in(self.client, shop, role) for role in ("customer", "support", "seller"))
        self.product = make_product(self.seller, price=10.5, stock_quantity=100000)["id"]
        self.rare = make_product(self.seller, price=10.5, stock_quantity=1)["id"]

    def placed(self, status="pending"):
        """An order of two units that has come to that status, and is idle."""
        order = place_order(self.buyer, self.product, 2).json()["id"]
        steps = {"pending": [], "paid": ["pay"], "delivered": ["pay", "processing", "shipped", "delivered"]}[status]
        for step in steps:
            if step == "pay":
                answer = self.buyer.post(f"/api/v1/orders/{order}/pay", CARD("tok_ok"))
            else:
                answer = self.support("PUT", f"/api/v1/orders/{order}/status", json={"status": step})
            assert answer.status_code == 200, answer.text
        return order

    def begin_payment(self, order):
        """Its payment is not decided yet: the provider is going to be asked, if nothing comes in between."""
        self.shop.postgres.sql(
            f"""INSERT INTO order_payments (order_id, attempt, method, status, amount_minor, token)
            SELECT id, 1, 'card', 'processing', total_minor, 'tok_ok' FROM orders WHERE id = '{order}'""", "orders_db")
        self.shop.postgres.sql(
            f"""UPDATE orders SET step = 'authorising', step_goal = 'paid', step_actor = 'test', step_waits = true,
            lease_until = now() + interval '5 seconds' WHERE id = '{order}'""", "orders_db")


@pytest.fixture(scope="module")
def people(shop):
    made = People(shop)
    yield made
    made.client.close()


class Request:
    """What is sent, again and again the same; and what its answers may be."""

    def __init__(self, who, method, path, body, statuses):
        self.who, self.method, self.path, self.body, self.statuses = who, method, path, body, statuses
        self.headers = {"Idempotency-Key": uuid.uuid4().hex}
        self.prepare = lambda: None
        if path.endswith("/orders"):  # so that the orders of a key can be counted
            self.body = {**body, "metadata": {"key": self.headers["Idempotency-Key"]}}

    def send(self):
        try:
            return self.who(self.method, self.path, json=self.body, headers=self.headers)
        except httpx.TransportError:
            return None

    def until_known(self):
        end = time.monotonic() + KNOWN_SECONDS
        while True:
            answer = self.send()
            known = answer is not None and answer.status_code not in UNKNOWN
            if known and not (answer.status_code == 409 and answer.json()["code"] in BUSY):
                return answer
            assert time.monotonic() < end, answer and answer.text
            time.sleep(0.1)


def operations(shop, people):
    """By name: the first sends a request, or starts something in the background (no request)."""
    buyer, support, product = people.buyer, people.support, people.product
    items = lambda quantity=1, of=product: {"items": [{"product_id": of, "quantity": quantity}]}
    place = lambda body, statuses: Request(buyer, "POST", "/api/v1/orders", body, statuses)
    of_order = lambda who, order, what, body, statuses: Request(who, "POST", f"/api/v1/orders/{order}/{what}", body, statuses)
    pending = [people.placed() for _ in range(8)]
    paid, delivered = people.placed("paid"), people.placed("delivered")
    yield "place", place(items(), (201,))
    yield "place too much", place(items(2, people.rare), (409,))
    yield "place and pay", place({**items(), "payment": CARD("tok_ok")}, (201, 202))
    yield "place, declined", place({**items(), "payment": CARD("tok_declined")}, (402,))
    yield "place, decided later", place({**items(), "payment": CARD("tok_async")}, (202,))
    yield "pay", of_order(buyer, pending[0], "pay", CARD("tok_ok"), (200, 202))
    yield "pay, declined", of_order(buyer, pending[1], "pay", CARD("tok_declined"), (402,))
    yield "pay, no answer", of_order(buyer, pending[2], "pay", CARD("tok_timeout"), (200, 202))
    yield "received", of_order(support, pending[3], "pay", {"method": "manual", "reference": "r"}, (200,))
    yield "cancel", of_order(buyer, pending[4], "cancel", {}, (200,))
    yield "cancel a paid one", of_order(buyer, paid, "cancel", {}, (200,))
    undecided = of_order(buyer, pending[7], "cancel", {}, (202,))
    undecided.prepare = lambda: people.begin_payment(pending[7])
    yield "cancel a payment", undecided
    yield "change items", Request(buyer, "PATCH", f"/api/v1/orders/{pending[6]}/items", items(3), (200,))
    yield "refund", of_order(support, delivered, "refunds", {"restock": True}, (200, 201))
    yield "expire", lambda: shop.postgres.sql(f"UPDATE orders SET expires_at = now() WHERE id = '{pending[5]}'", "orders_db")
    yield "recover", lambda: shop.postgres.sql(
        f"""INSERT INTO orders (id, user_id, currency, step_goal, step_actor, expires_at, lease_until)
        VALUES ('{uuid.uuid4()}', '{buyer.id}', 'USD', 'pending', 'test', now() + interval '1 hour', now())""", "orders_db")


def restart(shop, fault=None):
    shop.stop_program("orders", signal.SIGTERM)
    shop.environment["orders"] = {"BODEGA_FAULT": fault} if fault else {}
    shop.start_program("orders")
    shop.wait_ready(["orders", "gateway"])


def dies(process, seconds):
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    return process.poll() is not None


def crash(shop, people, point):
    """The operation by which orders died at the point, and its request."""
    todo = list(operations(shop, people))
    restart(shop, point)
    process = shop.processes["orders"]
    for name, what in todo:
        if isinstance(what, Request):
            what.prepare()
            answer = what.send()
            seconds = DEATH_SECONDS if answer is None or answer.status_code >= 500 else 0
        else:
            what()
            seconds = DEATH_SECONDS
        if dies(process, seconds):
            assert process.returncode == -signal.SIGKILL, process.returncode
            return name, what
    pytest.fail(f"no operation comes to {point}")


@pytest.mark.parametrize("point", POINTS)
def test_crash_and_the_same_again(shop, people, point):
    try:
        name, request = crash(shop, people, point)
    finally:
        restart(shop)
    print(f"{point}: by {name}")
    if isinstance(request, Request):
        answer = request.until_known()
        assert answer.status_code in request.statuses, f"{name}: {answer.text}"
        again = request.send()
        assert (again.status_code, again.content) == (answer.status_code, answer.content), f"{name}: {again.text}"
        for header in ("etag", "location"):
            assert again.headers.get(header) == answer.headers.get(header), name
    settle(shop)
    if isinstance(request, Request) and request.path.endswith("/orders"):
        made = shop.postgres.sql(f"SELECT count(*) FROM orders WHERE metadata->>'key' = '{request.headers['Idempotency-Key']}'",
                                 "orders_db")
        assert int(made[0][0]) == (0 if answer.status_code == 409 else 1), made


def settle(shop):
    end = time.monotonic() + SETTLE_SECONDS
    while found := shop.verify("--settled"):
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_points_have_names_of_their_own():
    assert len(POINTS) > 10 and len(set(POINTS)) == len(POINTS), sorted(POINTS)


def test_an_unknown_point_is_refused(shop):
    done = subprocess.run([shop.path("bin", "orders")], env={**shop.environment_of("orders"), "BODEGA_FAULT": "orders.nowhere"},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 78 and "BODEGA_FAULT" in done.stderr
