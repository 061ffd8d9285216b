# SPDX-License-Identifier: Apache-2.0
"""Clients of four earlier shops work unchanged in what they send: the whole flow of each, by its paths and bodies."""

import uuid

import pytest

from conftest import PASSWORD, Account, make_product, place_order


def mail():
    return f"{uuid.uuid4().hex}@example.com"


def bearer(token):
    return {"Authorization": "Bearer " + token}


def ok(answer, status=200):
    assert answer.status_code == status, f"{answer.request.method} {answer.request.url}: {answer.text}"
    return answer.json() if answer.content else None


def test_first_shop(gateway, seller, support):
    """No prefix: /register, /login, /products, /orders, order items with prices of the client's own."""
    email = mail()
    ok(gateway.post("/register", json={"name": "Ada Lovelace", "email": email, "password": PASSWORD}), 201)
    session = ok(gateway.post("/login", json={"email": email, "password": PASSWORD}))
    token, user = session["access_token"], session["user"]
    assert user["full_name"] == "Ada Lovelace"

    made = ok(seller("POST", "/products", json={"name": "Ash stool", "description": "Three legs", "price": 45.5,
                                                 "stock": 7, "category": "furniture"}), 201)
    assert made["stock_quantity"] == 7
    assert ok(gateway.get(f"/products/{made['id']}"))["name"] == "Ash stool"
    assert ok(gateway.get("/products?limit=5&offset=0"))["data"]

    body = {"user_id": user["id"], "items": [{"product_id": made["id"], "quantity": 2, "price": 0.01}]}
    order = ok(gateway.post("/orders", json=body, headers=bearer(token)), 201)
    assert order["total"] == 91.0 and order["status"] == "pending"
    assert ok(gateway.get(f"/orders/{order['id']}", headers=bearer(token)))["id"] == order["id"]
    history = ok(gateway.get(f"/orders/user/{user['id']}", headers=bearer(token)))["data"]
    assert [entry["id"] for entry in history] == [order["id"]]

    changed = ok(support("PUT", f"/orders/{order['id']}", json={"status": "confirmed"}))
    assert changed["id"] == order["id"]
    assert ok(gateway.get("/health"))["status"] in ("ok", "ready", "up")


def test_second_shop(gateway, seller, support):
    """/api without a version; order history by query; status by PUT."""
    email = mail()
    ok(gateway.post("/api/users/register", json={"username": "u" + uuid.uuid4().hex[:12], "email": email,
                                                 "password": PASSWORD}), 201)
    session = ok(gateway.post("/api/users/login", json={"email": email, "password": PASSWORD}))
    token, user = session["access_token"], session["user"]
    product = make_product(seller, name="Oak shelf", category="second-shop-shelves", stock_quantity=3)

    found = ok(gateway.get("/api/products?category=second-shop-shelves"))["data"]
    assert product["id"] in [entry["id"] for entry in found]
    body = {"user_id": user["id"], "product_id": product["id"],
            "shipping_address": {"city": "Graz", "zip_code": "8010", "country": "AT"}}
    order = ok(gateway.post("/api/orders", json=body, headers=bearer(token)), 201)
    assert order["items"][0]["quantity"] == 1 and order["shipping_address"]["city"] == "Graz"
    history = ok(gateway.get(f"/api/orders?user_id={user['id']}", headers=bearer(token)))["data"]
    assert [entry["id"] for entry in history] == [order["id"]]

    ok(support("POST", f"/api/orders/{order['id']}/pay", json={"method": "manual", "reference": "till 7"}))
    assert ok(support("PUT", f"/api/orders/{order['id']}/status", json={"status": "processing"}))["status"] == "processing"
    assert ok(support("PATCH", f"/api/orders/{order['id']}/status", json={"status": "shipped"}))["status"] == "shipped"


def test_third_shop(gateway, seller, admin):
    """/users/…; first and last name; search; deletion of an order cancels it."""
    email, username = mail(), "u" + uuid.uuid4().hex[:12]
    ok(gateway.post("/users/register", json={"first_name": "Grace", "last_name": "Hopper", "username": username,
                                             "email": email, "password": PASSWORD}), 201)
    session = ok(gateway.post("/users/login", json={"username": username, "password": PASSWORD}))
    token, user = session["access_token"], session["user"]
    assert user["full_name"] == "Grace Hopper"
    assert ok(gateway.get(f"/users/{user['id']}", headers=bearer(token)))["email"] == email
    found = ok(gateway.get("/users/search", params={"q": username}, headers=bearer(token)))["data"]
    assert [entry["username"] for entry in found] == [username] and "email" not in found[0]
    assert ok(admin.get("/users/search", params={"q": username}))["data"][0]["email"] == email

    product = make_product(seller, stock_quantity=2)
    ok(gateway.get("/products/search", params={"q": "walnut"}))
    order = ok(gateway.post("/orders", json={"items": [{"product_id": product["id"], "quantity": 2}]},
                            headers=bearer(token)), 201)
    assert ok(gateway.get(f"/products/{product['id']}"))["stock_quantity"] == 0
    answer = gateway.delete(f"/orders/{order['id']}", headers=bearer(token))
    assert answer.status_code in (200, 204), answer.text
    assert ok(gateway.get(f"/orders/{order['id']}", headers=bearer(token)))["status"] == "cancelled"
    assert ok(gateway.get(f"/products/{product['id']}"))["stock_quantity"] == 2


def test_fourth_shop(gateway, seller):
    """/api/v1 with trailing slashes, singular names, lists by offset, password change, refresh."""
    email, changed = mail(), PASSWORD + " more"
    ok(gateway.post("/api/v1/register/", json={"email": email, "password": PASSWORD, "full_name": "Linus"}), 201)
    session = ok(gateway.post("/api/v1/login/", json={"email": email, "password": PASSWORD}))
    profile = ok(gateway.get("/api/v1/profile/", headers=bearer(session["access_token"])))
    assert profile["email"] == email
    patched = gateway.patch("/api/v1/profile/", json={"phone": "+43 316 1"}, headers=bearer(session["access_token"]))
    assert ok(patched)["phone"] == "+43 316 1"
    fresh = ok(gateway.post("/api/v1/refresh-token/", json={"refresh_token": session["refresh_token"]}))
    token = fresh["access_token"]

    answer = gateway.put("/api/v1/change-password/", headers=bearer(token),
                         json={"old_password": PASSWORD, "new_password": changed})
    assert answer.status_code in (200, 204), answer.text
    assert gateway.post("/api/v1/login/", json={"email": email, "password": PASSWORD}).status_code == 401
    token = ok(gateway.post("/api/v1/login/", json={"email": email, "password": changed}))["access_token"]

    products = [make_product(seller, name=f"Fourth {n}", tags=["fourth-shop"])["id"] for n in range(5)]
    pages = [ok(gateway.get(f"/api/v1/product/?tags=fourth-shop&limit=2&offset={offset}"))["data"] for offset in (0, 2, 4)]
    assert sorted(entry["id"] for page in pages for entry in page) == sorted(products)
    assert ok(gateway.get(f"/api/v1/product/{products[0]}/"))["id"] == products[0]
    order = ok(gateway.post("/api/v1/order/", json={"items": [{"product_id": products[0], "quantity": 1}]},
                            headers=bearer(token)), 201)
    listed = ok(gateway.get("/api/v1/order/?limit=10&offset=0", headers=bearer(token)))["data"]
    assert [entry["id"] for entry in listed] == [order["id"]]
    assert ok(gateway.get("/health-check/"))
    answer = gateway.delete("/api/v1/profile/", headers=bearer(token))
    assert answer.status_code in (200, 204, 409), answer.text


@pytest.mark.parametrize("path", ["/health", "/health-check/", "/status"])
def test_health_on_every_program(direct, path):
    for program, client in direct.items():
        answer = client.get(path)
        assert answer.status_code == 200 and answer.json(), program


def test_somebody_elses_user_id_is_refused(gateway, seller, someone, support):
    product = make_product(seller)
    other = str(uuid.uuid4())
    body = {"user_id": other, "items": [{"product_id": product["id"], "quantity": 1}]}
    answer = someone.post("/orders", body)
    assert answer.status_code in (403, 422), answer.text
    assert isinstance(support, Account)
    order = ok(support("POST", "/orders", json={**body, "user_id": someone.id}), 201)
    assert order["user_id"] == someone.id


def test_items_and_a_status_come_together_or_not_at_all(seller, someone, support):
    product = make_product(seller, stock_quantity=9)["id"]
    order = place_order(someone, product, 2).json()["id"]
    more = {"items": [{"product_id": product, "quantity": 5}]}
    for wrong, status in [({"status": "shipped"}, 409), ({"status": "confirmed", "tracking_number": "T1"}, 422)]:
        answer = support("PUT", f"/orders/{order}", json={**more, **wrong})
        assert answer.status_code == status, answer.text
        assert [item["quantity"] for item in someone.get(f"/orders/{order}").json()["items"]] == [2]
    changed = ok(support("PUT", f"/orders/{order}", json={**more, "status": "cancelled"}))
    assert changed["status"] == "cancelled" and [item["quantity"] for item in changed["items"]] == [5]
