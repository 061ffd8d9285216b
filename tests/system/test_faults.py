# SPDX-License-Identifier: Apache-2.0
"""Fault injection by number: every operation is run with "the Nth wait fails" and "the client leaves at the Nth wait",
for every N. At once afterwards no transaction is open; once recovery has run, no hold is stray and the stock adds up.

Builds other than release read the header Bodega-Fault and answer with Bodega-Waits, the number of waits so far."""

import uuid

import pytest

from conftest import PASSWORD, log_in, make_product, make_shop, close_shop, http_client, place_order, register
from internal import internal_client
from invariants import assert_money_adds_up, assert_no_open_transaction, assert_stock_adds_up, settle

WAITS_MAX = 60
PAYMENT = {"order_id": str(uuid.uuid4()), "amount": 5, "currency": "USD", "token": "tok_ok"}


@pytest.fixture(scope="module")
def shop():
    running = make_shop({"ORDER_TTL": "3s", "RESERVATION_TTL": "6s", "LEASE": "1s"})
    yield running
    close_shop(running)


@pytest.fixture(scope="module")
def clients(shop):
    made = {program: http_client(shop.url(program)) for program in ("users", "products", "orders", "gateway")}
    made["payments"] = internal_client(shop, "orders", "payments")
    yield made
    for client in made.values():
        client.close()


@pytest.fixture(scope="module")
def people(shop, clients):
    return {role: log_in(clients["users"], shop, role) for role in ("admin", "seller", "support", "customer")}


def operations():
    """(program, role, make a request): each make() prepares what the operation needs and gives method, path, body."""

    def product(people, clients):
        seller = people["seller"]
        return make_product(lambda_account(clients["products"], seller))["id"]

    def order(people, clients):
        buyer = lambda_account(clients["orders"], people["customer"])
        answer = place_order(buyer, product(people, clients), 2)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    card = {"method": "card", "token": "tok_ok"}

    def paid(people, clients):
        buyer = lambda_account(clients["orders"], people["customer"])
        body = {"items": [{"product_id": product(people, clients), "quantity": 2}], "payment": card}
        answer = buyer.post("/api/v1/orders", body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def delivered(people, clients):
        made = paid(people, clients)
        support = lambda_account(clients["orders"], people["support"])
        for status in ("processing", "shipped", "delivered"):
            assert support("PUT", f"/api/v1/orders/{made}/status", json={"status": status}).status_code == 200
        return made

    def new_user(people, clients):
        return register(clients["users"])

    def payment(clients, *steps):
        path = f"/internal/payments/{uuid.uuid4()}"
        for step in ("", *steps):
            answer = clients["payments"].request("POST" if step else "PUT", path + step, json={} if step else PAYMENT)
            assert answer.status_code == 200, answer.text
        return path

    def login(p, c):
        return "POST", "/api/v1/auth/login", {"email": p["customer"].user["email"], "password": "wrong password"}

    def registration(p, c):
        return "POST", "/api/v1/auth/register", {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}

    fixed = lambda method, path, body=None: lambda p, c: (method, path, body)
    return {
        "register": ("users", None, registration),
        "login": ("users", None, login),
        "refresh": ("users", None, lambda p, c: ("POST", "/api/v1/auth/refresh", {"refresh_token": new_user(p, c).refresh_token})),
        "me": ("users", "customer", fixed("GET", "/api/v1/users/me")),
        "patch user": ("users", "customer", lambda p, c: ("PATCH", f"/api/v1/users/{p['customer'].id}", {"full_name": "N"})),
        "list users": ("users", "admin", fixed("GET", "/api/v1/users")),
        "search users": ("users", "admin", fixed("GET", "/api/v1/users/search?q=a")),
        "role": ("users", "admin", lambda p, c: ("PUT", f"/api/v1/users/{new_user(p, c).id}/role", {"role": "seller"})),
        "delete user": ("users", "admin", lambda p, c: ("DELETE", f"/api/v1/users/{new_user(p, c).id}", None)),
        "list products": ("products", None, fixed("GET", "/api/v1/products?q=a&sort=price")),
        "search products": ("products", None, fixed("GET", "/api/v1/products/search?q=walnut")),
        "get product": ("products", None, lambda p, c: ("GET", f"/api/v1/products/{product(p, c)}", None)),
        "create product": ("products", "seller", fixed("POST", "/api/v1/products",
                                                       {"name": "F", "price": 1, "stock_quantity": 3, "category": "faults"})),
        "patch product": ("products", "seller", lambda p, c: ("PATCH", f"/api/v1/products/{product(p, c)}", {"price": 3})),
        "delete product": ("products", "seller", lambda p, c: ("DELETE", f"/api/v1/products/{product(p, c)}", None)),
        "stock": ("products", "seller", lambda p, c: ("PATCH", f"/api/v1/products/{product(p, c)}/stock", {"quantity": 2})),
        "movements": ("products", "seller", lambda p, c: ("GET", f"/api/v1/products/{product(p, c)}/stock/movements", None)),
        "categories": ("products", None, fixed("GET", "/api/v1/categories")),
        "create order": ("orders", "customer", lambda p, c: (
            "POST", "/api/v1/orders", {"items": [{"product_id": product(p, c), "quantity": 2}]})),
        "get order": ("orders", "customer", lambda p, c: ("GET", f"/api/v1/orders/{order(p, c)}", None)),
        "list orders": ("orders", "customer", fixed("GET", "/api/v1/orders")),
        "history": ("orders", "customer", lambda p, c: ("GET", f"/api/v1/orders/{order(p, c)}/history", None)),
        "cancel order": ("orders", "customer", lambda p, c: ("POST", f"/api/v1/orders/{order(p, c)}/cancel", {})),
        "pay order": ("orders", "support", lambda p, c: (
            "POST", f"/api/v1/orders/{order(p, c)}/pay", {"method": "manual", "reference": "r"})),
        "authorise": ("payments", None, lambda p, c: ("PUT", f"/internal/payments/{uuid.uuid4()}", PAYMENT)),
        "capture": ("payments", None, lambda p, c: ("POST", payment(c) + "/capture", {})),
        "void": ("payments", None, lambda p, c: ("POST", payment(c) + "/void", {})),
        "refund": ("payments", None, lambda p, c: ("PUT", f"{payment(c, '/capture')}/refunds/{uuid.uuid4()}", {"amount": 1})),
        "get payment": ("payments", None, lambda p, c: ("GET", payment(c), None)),
        "change items": ("orders", "customer", lambda p, c: (
            "PATCH", f"/api/v1/orders/{order(p, c)}/items", {"items": [{"product_id": product(p, c), "quantity": 3}]})),
        "create and pay order": ("orders", "customer", lambda p, c: (
            "POST", "/api/v1/orders", {"items": [{"product_id": product(p, c), "quantity": 2}], "payment": card})),
        "pay order by card": ("orders", "customer", lambda p, c: ("POST", f"/api/v1/orders/{order(p, c)}/pay", card)),
        "cancel paid order": ("orders", "customer", lambda p, c: ("POST", f"/api/v1/orders/{paid(p, c)}/cancel", {})),
        "refund order": ("orders", "support", lambda p, c: ("POST", f"/api/v1/orders/{delivered(p, c)}/refunds", {"restock": True})),
        "refund a part": ("orders", "support", lambda p, c: ("POST", f"/api/v1/orders/{delivered(p, c)}/refunds", {"amount": 1})),
        "list refunds": ("orders", "customer", lambda p, c: ("GET", f"/api/v1/orders/{order(p, c)}/refunds", None)),
        "confirm order": ("orders", "support", lambda p, c: ("PUT", f"/api/v1/orders/{order(p, c)}/status", {"status": "confirmed"})),
    }


def lambda_account(client, person):
    """The same person on another service."""
    from conftest import Account

    return Account(client, {"user": person.user, "access_token": person.token, "refresh_token": person.refresh_token})


OPERATIONS = operations()


@pytest.mark.parametrize("kind", ["fail", "cancel"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_wait(shop, clients, people, name, kind):
    program, role, prepare = OPERATIONS[name]
    client = clients[program]
    headers = {"Authorization": "Bearer " + people[role].token} if role else {}
    waits = None
    for n in range(1, WAITS_MAX):
        method, path, body = prepare(people, clients)
        answer = client.request(method, path, json=body, headers={**headers, "Bodega-Fault": f"{kind}:{n}"})
        waits = int(answer.headers["bodega-waits"])
        if waits < n:
            break
        assert answer.status_code < 600 and answer.status_code != 500, answer.text
        assert_no_open_transaction(shop)
    else:
        raise AssertionError(f"{name} waits {WAITS_MAX} times or more")
    assert waits >= 1, f"{name} never waits: its fault points were not reached"
    assert answer.status_code in (200, 201, 204, 401), answer.text


def test_recovery_settles_everything(shop):
    """Runs after the others: all orders that were not paid expire, and no hold is left without its order."""
    settle(shop, seconds=60)
    assert_stock_adds_up(shop)
    assert_money_adds_up(shop)
