# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL or Redis away, in the middle of load: clients are told the truth, and all comes back by itself."""

import os
import signal
import threading
import time

import pytest

from conftest import close_shop, http_client, log_in, make_product, make_shop, place_order
from invariants import eventually


@pytest.fixture(scope="module")
def shop():
    running = make_shop()
    yield running
    close_shop(running)


class Load(threading.Thread):
    """Asks the same thing again and again and writes down what came."""

    def __init__(self, shop, ask):
        super().__init__(daemon=True)
        self.shop, self.ask, self.seen, self.ending = shop, ask, [], threading.Event()

    def run(self):
        with http_client(self.shop.url()) as client:
            while not self.ending.is_set():
                answer = self.ask(client)
                self.seen.append((time.monotonic(), answer.status_code, answer.headers.get("retry-after")))

    def end(self):
        self.ending.set()
        self.join(30)
        assert not self.is_alive()
        return self.seen


def until(load, status, count=3, seconds=20):
    """Waits until that many answers in a row have this status."""
    end = time.monotonic() + seconds
    while [seen[1] for seen in load.seen[-count:]] != [status] * count:
        assert time.monotonic() < end, f"no {status}: {load.seen[-5:]}"
        time.sleep(0.02)


def test_who_hangs_keeps_nobody_else(shop):
    """payments hangs, and five orders wait for it: what needs only products is recovered all the same."""
    with http_client(shop.url()) as client:
        buyer = log_in(client, shop, "customer")
        product = make_product(log_in(client, shop, "seller"), stock_quantity=100)["id"]
        paying = [place_order(buyer, product).json()["id"] for _ in range(5)]
        cancelled = place_order(buyer, product).json()["id"]
        payments = shop.pid("payments")
        os.kill(payments, signal.SIGSTOP)
        try:
            shop.postgres.sql(f"""WITH paying AS (
                INSERT INTO order_payments (order_id, attempt, method, status, amount_minor, token)
                SELECT id, 1, 'card', 'processing', total_minor, 'tok_ok' FROM orders WHERE id IN ({quoted(paying)})
                RETURNING order_id)
                UPDATE orders SET step = 'authorising', step_goal = 'paid', step_actor = 'test', lease_until = now() - interval '1 h'
                FROM paying WHERE id = order_id""", "orders_db")
            shop.postgres.sql(f"""UPDATE orders SET step = 'cancelling', step_goal = 'cancelled', step_actor = 'test', lease_until = now()
                WHERE id = '{cancelled}'""", "orders_db")
            began = time.monotonic()
            eventually(lambda: buyer.get(f"/api/v1/orders/{cancelled}").json()["status"] != "cancelled", 15, "not cancelled")
            assert time.monotonic() - began < 10  # one after the other it is 20 s and more
        finally:
            os.kill(payments, signal.SIGCONT)
        for order in paying:
            eventually(lambda order=order: buyer.get(f"/api/v1/orders/{order}").json()["status"] != "paid", 30, "not paid")


def quoted(ids):
    return ", ".join(f"'{id}'" for id in ids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["fast", "immediate", "crash"])
def test_postgres_away_and_back(shop, number):
    pids = {program: shop.pid(program) for program in ("users", "products", "orders", "gateway")}
    with http_client(shop.url()) as client:
        seller = log_in(client, shop, "seller")
        product = make_product(seller, stock_quantity=10000)["id"]
    buy = Load(shop, lambda c: c.post("/api/v1/orders", json={"items": [{"product_id": product, "quantity": 1}]},
                                      headers={"Authorization": "Bearer " + seller.token}))
    look = Load(shop, lambda c: c.get("/api/v1/products?limit=3&sort=price"))
    buy.start(), look.start()
    until(buy, 201), until(look, 200)
    shop.postgres.stop(number)
    until(buy, 503), until(look, 503)
    shop.postgres.start()
    until(buy, 201), until(look, 200)
    for load in (buy, look):
        seen = load.end()
        assert {status for _, status, _ in seen} <= {200, 201, 503}, {status for _, status, _ in seen}
        assert all(retry for _, status, retry in seen if status == 503)
    assert pids == {program: shop.pid(program) for program in pids}


def test_redis_away_is_never_an_error(shop):
    with http_client(shop.url()) as client:
        seller = log_in(client, shop, "seller")
        product = make_product(seller, stock_quantity=5)["id"]
    look = Load(shop, lambda c: c.get(f"/api/v1/products/{product}"))
    look.start()
    until(look, 200, 20)
    shop.redis.stop(signal.SIGKILL)
    before = len(look.seen)
    until(look, 200, 20)
    with http_client(shop.url()) as client:
        seller.client = client
        changed = seller("PATCH", f"/api/v1/products/{product}", json={"price": 77})
        assert changed.status_code == 200
        assert client.get(f"/api/v1/products/{product}").json()["price_minor"] == 7700
        assert place_order(seller, product).status_code == 201
    shop.redis.start()
    mark = len(look.seen)
    assert mark > before
    until(look, 200, 20)
    with http_client(shop.url()) as client:
        assert client.get(f"/api/v1/products/{product}").json()["price_minor"] == 7700
    assert {status for _, status, _ in look.end()} == {200}


def test_a_service_away(shop):
    with http_client(shop.url()) as client:
        assert client.get("/api/v1/products?limit=1").status_code == 200
        shop.stop_program("products", signal.SIGKILL)
        answer = client.get("/api/v1/products?limit=1")
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answer.headers["content-type"] == "application/problem+json"
        shop.start_program("products")
        shop.wait_ready(["products"])
        assert client.get("/api/v1/products?limit=1").status_code == 200


def test_stop_is_clean_under_load(shop):
    """SIGTERM while requests run: every request that was taken is answered, and the exit status is 0."""
    load = Load(shop, lambda c: c.get("/api/v1/products?limit=1"))
    load.start()
    until(load, 200, 20)
    process = shop.processes["products"]
    shop.stop_program("products")
    assert process.returncode == 0
    shop.start_program("products")
    shop.wait_ready(["products"])
    until(load, 200, 20)
    assert {status for _, status, _ in load.end()} <= {200, 503}
