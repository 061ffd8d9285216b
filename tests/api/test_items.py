# SPDX-License-Identifier: Apache-2.0
"""Changes of an order's items, from outside: what is held moves with them, all or none."""

import uuid

import pytest

from conftest import assert_problem, make_product, place_order, register
from invariants import assert_stock_adds_up


def stock(gateway, product):
    return gateway.get(f"/api/v1/products/{product}").json()["stock_quantity"]


def change(who, order, *items, **more):
    return who("PATCH", f"/api/v1/orders/{order}/items", json={"items": list(items)}, **more)


@pytest.fixture
def products(seller):
    return [make_product(seller, name=name, price=price, stock_quantity=10)["id"] for name, price in (("A", 10.5), ("B", 2), ("C", 1))]


@pytest.fixture
def order(someone, products):
    body = {"items": [{"product_id": products[0], "quantity": 2}, {"product_id": products[1], "quantity": 3}]}
    answer = someone.post("/api/v1/orders", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_quantities_lines_and_totals_move_together(shop, someone, gateway, seller, products, order):
    a, b, c = products
    seller("PATCH", f"/api/v1/products/{a}", json={"price": 99})
    first = {item["product_id"]: item for item in order["items"]}
    answer = change(someone, order["id"], {"id": first[a]["id"], "quantity": 5}, {"product_id": b, "delete": True},
                    {"product_id": c, "quantity": 4})
    assert answer.status_code == 200, answer.text
    now = answer.json()
    lines = {item["product_id"]: item for item in now["items"]}
    assert set(lines) == {a, c} and lines[a]["id"] == first[a]["id"]
    assert lines[a]["quantity"] == 5 and lines[a]["price_minor"] == 1050, "a line keeps its price"
    assert lines[c]["name"] == "C" and now["total_minor"] == 5 * 1050 + 4 * 100 == now["subtotal_minor"]
    assert now["version"] == order["version"] + 1 and answer.headers["etag"] == f'"{now["version"]}"'
    assert now["status"] == "pending" and someone.get(f"/api/v1/orders/{order['id']}").json() == now
    assert (stock(gateway, a), stock(gateway, b), stock(gateway, c)) == (5, 10, 6)
    again = change(someone, order["id"], {"product_id": b, "quantity": 1})
    assert again.status_code == 200 and (stock(gateway, b), len(again.json()["items"])) == (9, 3)
    paid = someone.post(f"/api/v1/orders/{order['id']}/pay", {"method": "card", "token": "tok_ok"})
    assert paid.status_code == 200 and paid.json()["payment"]["amount_minor"] == now["total_minor"] + 200
    assert_problem(change(someone, order["id"], {"product_id": b, "quantity": 2}), 409, "invalid_transition")
    assert_stock_adds_up(shop)


def test_an_item_is_removed(someone, gateway, products, order):
    first, second = order["items"]
    path = f"/api/v1/orders/{order['id']}/items/"
    answer = someone("DELETE", path + first["id"])
    assert answer.status_code == 200 and [item["id"] for item in answer.json()["items"]] == [second["id"]], answer.text
    assert stock(gateway, first["product_id"]) == 10
    assert_problem(someone("DELETE", path + first["id"]), 404, "not_found")
    assert_problem(someone("DELETE", path + second["id"]), 409, "conflict")
    assert someone.post(f"/api/v1/orders/{order['id']}/cancel").json()["status"] == "cancelled"
    assert stock(gateway, second["product_id"]) == 10


def test_all_changes_or_none(shop, someone, gateway, products, order):
    a, b, _ = products
    problem = assert_problem(change(someone, order["id"], {"product_id": a, "quantity": 1}, {"product_id": b, "quantity": 11}),
                             409, "insufficient_stock")
    assert [(line["product_id"], line["requested"], line["available"]) for line in problem["lines"]] == [(b, 11, 10)]
    unknown = str(uuid.uuid4())
    assert_problem(change(someone, order["id"], {"product_id": a, "quantity": 1}, {"product_id": unknown, "quantity": 1}),
                   422, "invalid", "items[1].product_id")
    now = someone.get(f"/api/v1/orders/{order['id']}").json()
    assert now["items"] == order["items"] and now["total_minor"] == order["total_minor"]
    assert (stock(gateway, a), stock(gateway, b)) == (8, 7)
    assert change(someone, order["id"], {"product_id": a, "quantity": 1}).status_code == 200
    assert stock(gateway, a) == 9
    assert_stock_adds_up(shop)


def test_what_is_refused(someone, gateway, seller, products, order):
    a = products[0]
    other = register(gateway)
    foreign = place_order(other, a).json()
    assert_problem(change(other, order["id"], {"product_id": a, "quantity": 1}), 404, "not_found")
    assert_problem(change(someone, order["id"], {"id": foreign["items"][0]["id"], "quantity": 1}), 404, "not_found")
    assert_problem(change(someone, order["id"], {"quantity": 1}), 422, "invalid", "items[0]")
    assert_problem(change(someone, order["id"], {"product_id": a}), 422, "invalid", "items[0]")
    assert_problem(change(someone, order["id"], {"product_id": a, "quantity": 1, "delete": True}), 422, "invalid", "items[0]")
    assert_problem(change(someone, order["id"], {"product_id": a, "quantity": 1}, {"product_id": a, "quantity": 2}),
                   422, "invalid", "items[1]")
    assert_problem(change(someone, order["id"], {"product_id": a, "quantity": 1}, headers={"If-Match": '"99"'}), 412, "precondition_failed")


def test_a_repeat_with_its_key_changes_nothing_more(someone, gateway, products, order):
    a, _, c = products
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = change(someone, order["id"], {"product_id": c, "quantity": 4}, headers=headers)
    assert first.status_code == 200, first.text
    assert change(someone, order["id"], {"product_id": a, "quantity": 7}).status_code == 200
    again = change(someone, order["id"], {"product_id": c, "quantity": 4}, headers=headers)
    assert again.content == first.content and again.headers["etag"] == first.headers["etag"]
    refused = {"Idempotency-Key": uuid.uuid4().hex}
    for _ in range(2):
        assert_problem(change(someone, order["id"], {"product_id": str(uuid.uuid4()), "quantity": 1}, headers={
            "Idempotency-Key": uuid.uuid4().hex}), 422, "invalid", "items[0].product_id")
        assert_problem(change(someone, order["id"], {"product_id": a, "quantity": 99}, headers=refused), 409, "insufficient_stock")


def test_the_way_of_older_clients(someone, support, gateway, products, order):
    a, b, _ = products
    first = {item["product_id"]: item for item in order["items"]}
    path = f"/orders/{order['id']}"
    changed = someone("PUT", path, json={"items": [{"order_item_id": first[a]["id"], "quantity": 1, "price": 1},
                                                   {"order_item_id": first[b]["id"], "delete": True}]})
    assert changed.status_code == 200 and changed.json()["total_minor"] == 1050, changed.text
    assert_problem(someone("PUT", path, json={"status": "confirmed"}), 403, "forbidden")
    assert_problem(someone("PUT", path, json={}), 422, "invalid", "status")
    both = support("PUT", path, json={"status": "confirmed", "items": [{"product_id": a, "quantity": 2}]})
    assert both.status_code == 200 and both.json()["status"] == "confirmed" and both.json()["total_minor"] == 2100, both.text
    assert stock(gateway, a) == 8
