# SPDX-License-Identifier: Apache-2.0
"""Live streams of a whole shop: real orders, whose every version reaches their buyer once and in order. What the gateway
does when its parts are late or away is in test_live.py."""

import concurrent.futures
import json
import random

import pytest

from conftest import close_shop, http_client, log_in, make_product, make_shop, place_order, register
from test_live import Stream

CHANGES = ("confirmed", None, "processing", "shipped", "delivered")  # None: it is paid, in two steps
VERSIONS = ("created", "confirmed", "updated", "paid", "processing", "shipped", "delivered")
ORDERS = 72


class World:
    def __init__(self):
        self.shop = make_shop(products=1, replicas={"gateway": 2, "orders": 2})
        self.client = http_client(self.shop.url())
        self.staff = log_in(self.client, self.shop, "support")
        self.seller = log_in(self.client, self.shop, "seller")

    def close(self):
        self.client.close()
        close_shop(self.shop)


@pytest.fixture(scope="module")
def world():
    made = World()
    yield made
    made.close()


def sell_one(world, buyer, product):
    """An order from its beginning to its delivery."""
    order = place_order(buyer, product)
    assert order.status_code == 201, order.text
    path = "/api/v1/orders/" + order.json()["id"]
    for status in CHANGES:
        if status is None:
            answer = world.staff.post(path + "/pay", {"method": "manual", "reference": "till"})
        else:
            answer = world.staff("PATCH", path + "/status", json={"status": status})
        assert answer.status_code == 200, answer.text


def test_cut_twenty_times_during_500_changes(world):
    rng = random.Random(4)
    buyer = register(world.client)
    product = make_product(world.seller, stock_quantity=2 * ORDERS)["id"]
    stream = Stream(world, buyer)
    assert stream.begin() == []
    seen, cuts = [], 0
    with concurrent.futures.ThreadPoolExecutor(4) as sellers:
        sold = [sellers.submit(sell_one, world, buyer, product) for _ in range(ORDERS)]
        while len(seen) < len(VERSIONS) * ORDERS:
            message = stream.next(timeout=60)
            assert message is not None, stream.code
            if message["type"] == "ready":
                continue
            seen.append(message["event"])
            if cuts < 20 and len(seen) >= 24 * (cuts + 1):
                stream.close()
                cuts += 1
                stream = Stream(world, buyer, rng.choice(["ws", "sse"]), last=stream.last,
                                instance=rng.choice(["gateway", "gateway-2"]))
        for done in sold:
            done.result()
    stream.close()
    assert cuts == 20
    versions = {}
    for event in seen:
        assert event["partitionkey"] == event["data"]["user_id"] == buyer.id
        versions.setdefault(event["subject"], []).append((int(event["sequence"]), event["type"].rsplit(".", 1)[1]))
    assert len(versions) == ORDERS
    assert all(told == list(enumerate(VERSIONS, 1)) for told in versions.values())
    positions = [int(event["position"]) for event in seen]
    assert positions == sorted(set(positions))


def test_sellers_see_their_stock(world):
    seller, buyer = register(world.client), register(world.client)
    streams = [Stream(world, who) for who in (seller, buyer)]
    for stream in streams:
        stream.begin()
    product = make_product(seller, stock_quantity=1)
    assert place_order(buyer, product["id"]).status_code == 201
    told = [message["type"] for message in streams[0].take(2)]
    assert told == ["bodega.product.created", "bodega.product.stock_out"]
    assert streams[1].next()["type"] == "bodega.order.created"
    for stream in streams:
        stream.close()


def test_logging_out_ends_the_streams(world):
    person = register(world.client)
    streams = [Stream(world, person, kind, instance=gateway) for kind in ("ws", "sse") for gateway in ("gateway", "gateway-2")]
    for stream in streams:
        stream.begin()
    answer = person.post("/api/v1/auth/logout", {"refresh_token": person.refresh_token})
    assert answer.status_code == 204, answer.text
    for stream in streams:
        assert stream.next() is None
        assert stream.code == 4401
        stream.close()


def test_requests_from_outside_are_not_signed(world):
    """Only the gateway's own calls say that they are the gateway's."""
    buyer = register(world.client)
    stream = Stream(world, buyer)
    stream.begin()
    stream.close()
    assert buyer.get("/api/v1/orders").status_code == 200
    callers = {}
    for instance in ("orders", "orders-2"):
        with open(world.shop.path("log", instance), encoding="utf-8") as log:
            for line in filter(lambda line: '"message":"request"' in line, log):
                told = json.loads(line)
                callers.setdefault(told["route"], set()).add(told.get("caller"))
    assert callers["/internal/events"] == {"gateway"}
    assert callers["/api/v1/orders"] == {None}
