# SPDX-License-Identifier: Apache-2.0
"""Two releases side by side: what a later one says to this one is taken, and what it keeps for itself is left alone."""

import socket
import uuid

import pytest

from conftest import assert_problem, make_product, place_order
from internal import internal_client

LATER = {"new_in_a_later_release": {"deep": [1, {"deeper": None}]}}


def test_services_may_say_what_is_not_known_yet(shop, seller):
    product = make_product(seller)
    path = f"/internal/reservations/{uuid.uuid4()}"
    lines = [{"product_id": product["id"], "quantity": 2, **LATER}]
    with internal_client(shop, "orders", "products") as orders:
        held = orders.put(path, json={"lines": lines, **LATER})
        assert held.status_code == 200 and held.json()["state"] == "held", held.text
        assert orders.post(path + "/release").status_code == 200
        # what is known is looked at as strictly as before
        assert_problem(orders.put(path, json={"lines": [{**lines[0], "quantity": 0}]}), 422, "invalid", "lines[0].quantity")
    with internal_client(shop, "gateway", "products") as gateway:
        page = gateway.get("/internal/events", params={"person": str(uuid.uuid4()), "new_in_a_later_release": "1"})
        assert page.status_code == 200, page.text


def test_people_are_told_what_is_not_known(seller, someone):
    product = make_product(seller)
    bought = someone.post("/api/v1/orders", {"items": [{"product_id": product["id"], "quantity": 1}], **LATER})
    assert_problem(bought, 422, "invalid", "new_in_a_later_release")
    assert_problem(someone.get("/api/v1/orders?new_in_a_later_release=1"), 422, "invalid", "new_in_a_later_release")


class Redis:
    """A client of as few words as these tests need."""

    def __init__(self, shop):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(shop.redis.socket)
        self.answers = self.socket.makefile("rb")

    def __call__(self, *words):
        words = [word.encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self.read()

    def read(self):
        line = self.answers.readline().decode().rstrip()
        if line[0] == "$":
            return self.answers.read(int(line[1:]) + 2)[:-2].decode() if line != "$-1" else None
        if line[0] == "*":
            return [self.read() for _ in range(int(line[1:]))]
        assert line[0] in "+:", line
        return line[1:]


@pytest.fixture
def redis(shop):
    made = Redis(shop)
    yield made
    made.answers.close()
    made.socket.close()


def test_what_a_later_release_has_cached_is_not_read(shop, seller, gateway, redis):
    product = make_product(seller)
    path = f"/api/v1/products/{product['id']}"
    redis("DEL", "bodega:1:product:" + product["id"])
    later = "bodega:2:product:" + product["id"]
    redis("SET", later, "99999999999999999999vnot for this release", "EX", "30")
    for _ in range(2):  # from the database, then from the cache
        answer = gateway.get(path)
        assert answer.status_code == 200 and answer.json()["name"] == product["name"]
    assert redis("GETDEL", later).endswith("not for this release")


def test_every_key_in_redis_has_the_version_of_its_format(seller, someone, gateway, redis):
    product = make_product(seller)
    assert gateway.get(f"/api/v1/products/{product['id']}").status_code == 200
    assert place_order(someone, product["id"]).status_code == 201
    assert someone.post("/api/v1/events/ticket").status_code == 201
    keys = redis("KEYS", "*")
    assert any(key.startswith("bodega:1:ticket:") for key in keys) and any(key.startswith("bodega:1:product:") for key in keys)
    assert [key for key in keys if not key.startswith("bodega:1:")] == []


def test_stored_rows_may_have_columns_that_are_not_known(shop, seller, someone, gateway):
    """The schema of a later release: this one runs on it."""
    columns = {"products": ["products", "reservations"], "orders": ["orders", "order_items"], "users": ["users", "sessions"]}
    for database, tables in columns.items():
        for table in tables:
            shop.postgres.sql(f"ALTER TABLE {table} ADD COLUMN new_in_a_later_release jsonb DEFAULT '{{}}'", database + "_db")
    try:
        product = make_product(seller)
        assert gateway.get(f"/api/v1/products/{product['id']}").status_code == 200
        assert place_order(someone, product["id"]).status_code == 201
        assert someone.get("/api/v1/users/me").status_code == 200
    finally:
        for database, tables in columns.items():
            for table in tables:
                shop.postgres.sql(f"ALTER TABLE {table} DROP COLUMN new_in_a_later_release", database + "_db")
