# SPDX-License-Identifier: Apache-2.0
"""Orders, their states and history, and the stock they hold, from outside."""

import uuid

import pytest

from conftest import assert_problem, make_product, place_order, register


def stock(gateway, product):
    return gateway.get(f"/api/v1/products/{product}").json()["stock_quantity"]


def test_place_and_read(client, seller, shop):
    buyer = register(client)
    a = make_product(seller, name="A", price=10.5, stock_quantity=9)["id"]
    b = make_product(seller, name="B", price=0.99, stock_quantity=9)["id"]
    body = {"items": [{"product_id": a, "quantity": 2}, {"product_id": b, "quantity": 1}, {"product_id": a, "quantity": 1}],
            "shipping_address": {"street": "Main 1", "city": "Graz", "zip_code": "8010", "country": "AT"},
            "metadata": {"gift": True, "note": "ünï"}}
    answer = buyer.post("/api/v1/orders", body)
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert answer.headers["location"].endswith("/orders/" + order["id"]) and answer.headers["etag"]
    assert order["status"] == "pending" and order["user_id"] == buyer.id
    lines = {item["product_id"]: item for item in order["items"]}
    assert lines[a]["quantity"] == 3 and lines[a]["price_minor"] == 1050 and lines[a]["name"] == "A"
    assert order["total_minor"] == 3 * 1050 + 99 and order["total"] == 32.49
    assert order["metadata"] == body["metadata"] and order["shipping_address"]["city"] == "Graz"
    read = buyer.get(f"/api/v1/orders/{order['id']}")
    assert read.json() == order
    assert read.headers["etag"].replace("-gz", "") == answer.headers["etag"]  # it may have come in gzip
    assert stock(client, a) == 6 and stock(client, b) == 8
    history = buyer.get(f"/api/v1/orders/{order['id']}/history").json()["data"]
    assert [(entry["from"], entry["to"]) for entry in history] == [(None, "pending")]
    for path in ("/api/v1/orders", f"/api/v1/orders/user/{buyer.id}", f"/api/v1/users/{buyer.id}/orders"):
        assert [entry["id"] for entry in buyer.get(path).json()["data"]] == [order["id"]]


def test_not_enough_stock_names_each_line(seller, gateway, someone):
    a = make_product(seller, stock_quantity=1)["id"]
    b = make_product(seller, stock_quantity=5)["id"]
    c = make_product(seller, stock_quantity=0)["id"]
    body = {"items": [{"product_id": p, "quantity": 2} for p in (a, b, c)]}
    problem = assert_problem(someone.post("/api/v1/orders", body), 409, "insufficient_stock")
    short = {line["product_id"]: line for line in problem["lines"]}
    assert set(short) == {a, c} and short[a]["available"] == 1 and short[a]["requested"] == 2
    assert (stock(gateway, a), stock(gateway, b), stock(gateway, c)) == (1, 5, 0)
    assert someone.get("/api/v1/orders").json()["data"] == []


def test_unknown_product(someone, seller):
    known = make_product(seller)["id"]
    unknown = str(uuid.uuid4())
    body = {"items": [{"product_id": known, "quantity": 1}, {"product_id": unknown, "quantity": 1}]}
    answer = someone.post("/api/v1/orders", body)
    assert answer.status_code in (404, 409, 422) and unknown in answer.text, answer.text


def test_deleted_product_cannot_be_bought_but_stays_in_orders(seller, someone):
    made = make_product(seller, name="Soon gone")
    order = place_order(someone, made["id"]).json()
    assert seller("DELETE", f"/api/v1/products/{made['id']}").status_code == 204
    assert place_order(someone, made["id"]).status_code in (404, 409, 422)
    assert someone.get(f"/api/v1/orders/{order['id']}").json()["items"][0]["name"] == "Soon gone"


def test_others_do_not_see_it(seller, someone, gateway, support, admin):
    order = place_order(someone, make_product(seller)["id"]).json()
    other = register(gateway)
    path = f"/api/v1/orders/{order['id']}"
    for answer in (other.get(path), other.get(path + "/history"), other.post(path + "/cancel"), other("DELETE", path)):
        assert_problem(answer, 404, "not_found")
    assert gateway.get(path).status_code == 401
    assert other.get(f"/api/v1/orders/user/{someone.id}").status_code in (403, 404)
    for account in (support, admin):
        assert account.get(path).json()["id"] == order["id"]
        found = account.get("/api/v1/orders", params={"user_id": someone.id, "status": "pending"}).json()["data"]
        assert [entry["id"] for entry in found] == [order["id"]]


@pytest.mark.parametrize("method,suffix", [("POST", "/cancel"), ("DELETE", "")])
def test_cancel_returns_stock(seller, someone, gateway, method, suffix):
    product = make_product(seller, stock_quantity=4)["id"]
    order = place_order(someone, product, 3).json()
    assert stock(gateway, product) == 1
    answer = someone(method, f"/api/v1/orders/{order['id']}{suffix}")
    assert answer.status_code in (200, 204), answer.text
    read = someone.get(f"/api/v1/orders/{order['id']}").json()
    assert read["status"] == "cancelled" and stock(gateway, product) == 4
    assert_problem(someone.post(f"/api/v1/orders/{order['id']}/cancel"), 409, "invalid_transition")
    assert stock(gateway, product) == 4


def pay(support, order):
    return support.post(f"/api/v1/orders/{order}/pay", {"method": "manual", "reference": "till 7"})


def set_status(who, order, status, **more):
    return who("PUT", f"/api/v1/orders/{order}/status", json={"status": status, **more})


def test_the_whole_life(seller, someone, support, gateway):
    product = make_product(seller, stock_quantity=4)["id"]
    order = place_order(someone, product, 1).json()["id"]
    assert_problem(set_status(someone, order, "processing"), 403, "forbidden")
    assert_problem(set_status(support, order, "shipped"), 409, "invalid_transition")
    assert set_status(support, order, "paid").status_code in (409, 422)
    assert someone.post(f"/api/v1/orders/{order}/pay", {"method": "manual", "reference": "x"}).status_code in (403, 422)
    paid = pay(support, order)
    assert paid.status_code == 200 and paid.json()["status"] == "paid", paid.text
    assert pay(support, order).status_code == 409
    assert set_status(support, order, "processing", note="picked").json()["status"] == "processing"
    shipped = set_status(support, order, "shipped", tracking_number="TR 1")
    assert shipped.json()["tracking_number"] == "TR 1"
    assert_problem(someone.post(f"/api/v1/orders/{order}/cancel"), 409, "invalid_transition")
    assert_problem(support.post(f"/api/v1/orders/{order}/cancel"), 409, "invalid_transition")
    assert set_status(support, order, "delivered").json()["status"] == "delivered"
    history = someone.get(f"/api/v1/orders/{order}/history").json()["data"]
    states = [entry["to"] for entry in history]
    assert sorted(states) == sorted(["pending", "paid", "processing", "shipped", "delivered"])
    assert all(entry["at"] for entry in history)
    assert {entry["note"] for entry in history if entry["to"] == "processing"} == {"picked"}
    assert stock(gateway, product) == 3


def test_cancel_of_a_paid_order_returns_stock(seller, someone, support, gateway):
    product = make_product(seller, stock_quantity=2)["id"]
    order = place_order(someone, product, 2).json()["id"]
    assert pay(support, order).status_code == 200
    assert support.post(f"/api/v1/orders/{order}/cancel").status_code == 200
    assert stock(gateway, product) == 2


def test_if_match(seller, someone, support):
    placed = place_order(someone, make_product(seller)["id"])
    order, tag = placed.json()["id"], placed.headers["etag"]
    assert pay(support, order).status_code == 200
    stale = support("PUT", f"/api/v1/orders/{order}/status", json={"status": "processing"}, headers={"If-Match": tag})
    assert_problem(stale, 412, "precondition_failed")


def test_lists_page_newest_first(seller, gateway):
    buyer = register(gateway)
    product = make_product(seller, stock_quantity=50)["id"]
    placed = [place_order(buyer, product).json()["id"] for _ in range(7)]
    seen, cursor = [], None
    while True:
        page = buyer.get("/api/v1/orders", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [entry["id"] for entry in page["data"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert seen == placed[::-1]


def test_prices_come_from_the_catalogue(seller, someone):
    made = make_product(seller, price=100)
    body = {"items": [{"product_id": made["id"], "quantity": 1, "price": 0.01, "status": "paid"}]}
    order = someone.post("/api/v1/orders", body)
    assert order.status_code == 201 and order.json()["total_minor"] == 10000 and order.json()["status"] == "pending"


def test_totals_that_overflow(seller, someone):
    made = make_product(seller, price=9999999999.99, stock_quantity=10000)
    answer = place_order(someone, made["id"], 10000)
    assert answer.status_code == 422, answer.text
    assert someone.get("/api/v1/orders").json()["data"] == []
    assert seller.get(f"/api/v1/products/{made['id']}").json()["stock_quantity"] == 10000


def test_an_account_stays_while_an_order_is_on_its_way(seller, gateway, support):
    buyer = register(gateway)
    product = make_product(seller, stock_quantity=5)["id"]
    address = {"street": "Main 1", "city": "Graz", "country": "AT"}
    body = {"items": [{"product_id": product, "quantity": 2}], "shipping_address": address, "metadata": {"gift": True}}
    paid, unpaid = (buyer.post("/api/v1/orders", body).json()["id"] for _ in range(2))
    assert pay(support, paid).status_code == 200
    assert_problem(buyer("DELETE", f"/api/v1/users/{buyer.id}"), 409, "open_orders")
    assert buyer.get(f"/api/v1/orders/{unpaid}").json()["status"] == "pending"

    assert support.post(f"/api/v1/orders/{paid}/cancel").status_code == 200
    assert buyer("DELETE", f"/api/v1/users/{buyer.id}").status_code in (200, 204)
