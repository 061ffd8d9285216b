# SPDX-License-Identifier: Apache-2.0
"""A unit is never sold twice: many buyers at once, and the services killed in the middle of it."""

import random
import signal
import threading

import httpx
import pytest

from conftest import close_shop, http_client, log_in, make_product, make_shop, place_order, register
from invariants import LIVE, assert_stock_adds_up, settle

BUYERS = 50
STOCK = 10
SETTLE_SECONDS = 30


@pytest.fixture(scope="module")
def shop():
    running = make_shop({"LEASE": "1s"})
    yield running
    close_shop(running)


@pytest.fixture(scope="module")
def seller(shop):
    with http_client(shop.url()) as client:
        yield log_in(client, shop, "seller")


@pytest.fixture(scope="module")
def buyers(shop):
    """Each with a connection of their own."""
    clients = [http_client(shop.url()) for _ in range(BUYERS)]
    yield [register(client) for client in clients]
    for client in clients:
        client.close()


def all_at_once(buyers, buy):
    """Runs buy(buyer) for everybody at the same moment; gives a function that waits for what they saw."""
    gate = threading.Barrier(len(buyers) + 1)
    seen = [None] * len(buyers)

    def run(index):
        gate.wait()
        seen[index] = buy(buyers[index])

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(len(buyers))]
    for thread in threads:
        thread.start()
    gate.wait()

    def wait():
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a buyer still waits for an answer"
        return seen

    return wait


def live_units(shop, product):
    """Units of the product that live orders have been promised."""
    states = "', '".join(LIVE)
    rows = shop.postgres.sql(
        f"""SELECT coalesce(sum(i.quantity), 0) FROM orders o JOIN order_items i ON i.order_id = o.id
        WHERE i.product_id = '{product}' AND o.status IN ('{states}')""", "orders_db")
    return int(rows[0][0])


def available(shop, product):
    return int(shop.postgres.sql(f"SELECT available FROM stock WHERE product_id = '{product}'", "products_db")[0][0])


@pytest.mark.parametrize("round_", range(10))
def test_fifty_buyers_for_ten_units(shop, seller, buyers, round_):
    product = make_product(seller, stock_quantity=STOCK)["id"]
    answers = all_at_once(buyers, lambda buyer: place_order(buyer, product))()
    codes = [answer.status_code for answer in answers]
    assert codes.count(201) == STOCK and codes.count(409) == BUYERS - STOCK, codes
    for answer in answers:
        if answer.status_code == 409:
            problem = answer.json()
            assert problem["code"] == "insufficient_stock"
            assert problem["lines"] == [{"product_id": product, "requested": 1, "available": 0}]
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == STOCK
    assert available(shop, product) == 0 and live_units(shop, product) == STOCK
    assert_stock_adds_up(shop)


def buy_in_spite(product):
    """Tries until there is none left, whatever becomes of the services meanwhile; the orders that were answered 201."""

    def buy(buyer):
        got = []
        for _ in range(6):
            try:
                answer = place_order(buyer, product)
            except httpx.TransportError:
                continue
            if answer.status_code == 201:
                got.append(answer.json()["id"])
            elif answer.status_code == 409:
                break
            else:
                assert answer.status_code in (502, 503, 504), answer.text
        return got

    return buy


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("victim", ["orders", "products"])
def test_killed_in_the_middle(shop, seller, buyers, victim, seed):
    moment = random.Random(f"{victim} {seed}").uniform(0.005, 0.120)
    product = make_product(seller, stock_quantity=STOCK)["id"]
    wait = all_at_once(buyers, buy_in_spite(product))
    threading.Event().wait(moment)
    shop.stop_program(victim, signal.SIGKILL)
    shop.start_program(victim)
    shop.wait_ready([victim])
    seen = wait()
    assert None not in seen, "a buyer saw what no client should see"

    settle(shop, SETTLE_SECONDS)
    promised = live_units(shop, product)
    assert promised <= STOCK
    assert available(shop, product) + promised == STOCK
    assert_stock_adds_up(shop)
    placed = {row[0] for row in shop.postgres.sql("SELECT id FROM orders WHERE status <> 'reserving'", "orders_db")}
    answered = [order for got in seen for order in got]
    assert set(answered) <= placed and len(answered) == len(set(answered)) <= STOCK
