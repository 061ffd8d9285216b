# SPDX-License-Identifier: Apache-2.0
"""Paying by card, from outside, for every card that the simulated provider knows (docs/payments.md): what the client is
told, what becomes of the order and its goods, and what the provider really took."""

import concurrent.futures
import time
import uuid

import pytest

from conftest import assert_problem, make_product, place_order
from invariants import assert_money_adds_up, eventually

CARD = lambda token: {"method": "card", "token": token}


def stock(gateway, product):
    return gateway.get(f"/api/v1/products/{product}").json()["stock_quantity"]


def buy(buyer, product, token, quantity=2):
    return buyer.post("/api/v1/orders", {"items": [{"product_id": product, "quantity": quantity}], "payment": CARD(token)})


def read(who, order):
    return who.get(f"/api/v1/orders/{order}").json()


def until(who, order, status, seconds=15):
    """The order once it has that status and nothing is under way."""
    def different():
        now = read(who, order)
        return None if now["status"] == status and now["payment"]["status"] != "processing" else now
    eventually(different, seconds, f"not {status}")
    return read(who, order)


def charged(shop, order):
    """What the provider says it took for the order and gave back, by payment."""
    rows = shop.postgres.sql(f"""SELECT status, captured_minor, refunded_minor FROM payments
        WHERE order_id = '{order}' ORDER BY key""", "payments_db")
    return [(status, int(captured), int(refunded)) for status, captured, refunded in rows]


def history(who, order):
    return [entry["to"] for entry in who.get(f"/api/v1/orders/{order}/history").json()["data"]]


@pytest.fixture(scope="module")
def tray(seller):
    return make_product(seller, price=10.5, stock_quantity=1000)["id"]


@pytest.fixture
def placed(someone, tray):
    return place_order(someone, tray, 2).json()["id"]


# ---- a payment with the order ----


@pytest.mark.parametrize("token", ["tok_ok", "tok_error"])
def test_an_order_is_paid_at_once(shop, someone, gateway, seller, token):
    product = make_product(seller, price=10.5, stock_quantity=5)["id"]
    answer = buy(someone, product, token)
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert order["status"] == "paid" and answer.headers["location"].endswith(order["id"])
    assert {k: order["payment"][k] for k in ("method", "status", "amount_minor", "refunded_minor")} == {
        "method": "card", "status": "captured", "amount_minor": 2100, "refunded_minor": 0}
    assert read(someone, order["id"]) == order
    assert charged(shop, order["id"]) == [("captured", 2100, 0)] and stock(gateway, product) == 3
    assert history(someone, order["id"]) == ["pending", "paid"]


@pytest.mark.parametrize("token,reason", [
    ("tok_declined", "card_declined"), ("tok_insufficient_funds", "insufficient_funds"), ("tok_no_such", "invalid_token")])
def test_a_declined_card_ends_the_order(shop, someone, gateway, seller, token, reason):
    product = make_product(seller, stock_quantity=5)["id"]
    problem = assert_problem(buy(someone, product, token), 402, "card_declined")
    assert problem["reason"] == reason and problem["detail"]
    order = read(someone, problem["order_id"])
    assert order["status"] == "payment_failed" and order["payment"]["decline_code"] == reason
    assert history(someone, order["id"]) == ["pending", "payment_failed"]
    assert stock(gateway, product) == 5
    assert all(captured == 0 for _, captured, _ in charged(shop, order["id"]))


@pytest.mark.parametrize("token", ["tok_slow", "tok_timeout"])
def test_a_provider_that_does_not_answer_charges_once(shop, someone, gateway, seller, token):
    product = make_product(seller, price=10.5, stock_quantity=5)["id"]
    answer = buy(someone, product, token)
    assert answer.status_code in (201, 202), answer.text
    order = until(someone, answer.json()["id"], "paid")
    assert charged(shop, order["id"]) == [("captured", 2100, 0)] and stock(gateway, product) == 3


@pytest.mark.parametrize("token,status", [
    ("tok_async", "paid"), ("tok_async_twice", "paid"), ("tok_async_reordered", "paid"), ("tok_async_declined", "payment_failed")])
def test_what_is_decided_later(shop, someone, gateway, seller, token, status):
    product = make_product(seller, stock_quantity=5)["id"]
    answer = buy(someone, product, token)
    assert answer.status_code == 202, answer.text
    order = answer.json()
    assert order["status"] == "pending" and order["payment"]["status"] == "processing"
    assert_problem(someone.post(f"/api/v1/orders/{order['id']}/pay", CARD("tok_ok")), 409, "order_busy")
    order = until(someone, order["id"], status)
    paid = status == "paid"
    assert charged(shop, order["id"]) == [("captured", 5998, 0) if paid else ("declined", 0, 0)]
    assert stock(gateway, product) == (3 if paid else 5)
    assert_money_adds_up(shop)


@pytest.mark.parametrize("token,status", [("tok_ok", 201), ("tok_declined", 402), ("tok_async", 202)])
def test_a_repeat_with_its_key_charges_nothing_more(shop, someone, gateway, seller, token, status):
    product = make_product(seller, price=10.5, stock_quantity=5)["id"]
    body = {"items": [{"product_id": product, "quantity": 2}], "payment": CARD(token)}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = someone.post("/api/v1/orders", body, headers=headers)
    assert first.status_code == status, first.text
    order = first.json().get("order_id") or first.json()["id"]
    if status == 202:
        until(someone, order, "paid")
    again = someone.post("/api/v1/orders", body, headers=headers)
    assert (again.status_code, again.content) == (status, first.content)
    assert [entry["id"] for entry in someone.get("/api/v1/orders").json()["data"]] == [order]
    assert len(charged(shop, order)) == 1 and stock(gateway, product) == (5 if status == 402 else 3)


def test_only_the_provider_may_tell(shop, direct, gateway):
    path = "/internal/webhooks/payments"
    headers = {"webhook-id": "x", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"}
    body = {"type": "payment.authorised", "data": {"key": "x", "sequence": 1}}
    for sent in ({}, headers, {**headers, "webhook-timestamp": "1"}):
        assert_problem(direct["orders"].post(path, json=body, headers=sent), 401, "unauthorized")
    assert gateway.post(path, json=body, headers=headers).status_code == 404


def test_the_card_is_not_kept(shop, someone, tray):
    buy(someone, tray, "tok_ok")
    eventually(lambda: shop.postgres.sql(
        "SELECT order_id FROM order_payments WHERE token IS NOT NULL AND status <> 'processing'", "orders_db"), 1, "a token is kept")
    with open(shop.path("log", "orders"), encoding="utf-8", errors="replace") as log:
        assert "tok_" not in log.read()


@pytest.mark.parametrize("payment,field", [
    ({"method": "card"}, "payment.token"), ({"method": "manual", "token": "x"}, "payment.method"),
    ({"method": "barter", "token": "x"}, "payment.method"), ({"method": "card", "token": ""}, "payment.token"),
    ({"method": "card", "token": "tok_ok", "amount": 1}, "payment.amount")])
def test_malformed_payments(someone, tray, payment, field):
    body = {"items": [{"product_id": tray, "quantity": 1}], "payment": payment}
    assert_problem(someone.post("/api/v1/orders", body), 422, "invalid", field)
    assert someone.get("/api/v1/orders").json()["data"] == []


# ---- a payment of an order ----


def test_another_card_after_a_declined_one(shop, someone, placed):
    path = f"/api/v1/orders/{placed}/pay"
    problem = assert_problem(someone.post(path, CARD("tok_insufficient_funds")), 402, "card_declined")
    assert problem["reason"] == "insufficient_funds" and problem["order_id"] == placed
    order = read(someone, placed)
    assert order["status"] == "pending" and order["payment"]["status"] == "declined"
    paid = someone.post(path, CARD("tok_ok"))
    assert paid.status_code == 200 and paid.json()["status"] == "paid", paid.text
    assert charged(shop, placed) == [("declined", 0, 0), ("captured", 2100, 0)]
    assert_problem(someone.post(path, CARD("tok_ok")), 409, "invalid_transition")


def test_the_fifth_declined_card_ends_the_order(someone, gateway, seller):
    product = make_product(seller, stock_quantity=5)["id"]
    order = place_order(someone, product).json()["id"]
    for n in range(1, 6):
        assert_problem(someone.post(f"/api/v1/orders/{order}/pay", CARD("tok_declined")), 402, "card_declined")
        assert read(someone, order)["status"] == ("pending" if n < 5 else "payment_failed")
    assert stock(gateway, product) == 5
    assert_problem(someone.post(f"/api/v1/orders/{order}/pay", CARD("tok_ok")), 409, "invalid_transition")


def test_who_may_pay_how(someone, support, placed):
    path = f"/api/v1/orders/{placed}/pay"
    assert_problem(someone.post(path, {"method": "manual", "reference": "x"}), 403, "forbidden")
    assert_problem(someone.post(path, {"method": "card"}), 422, "invalid", "token")
    assert_problem(support.post(path, {"method": "manual"}), 422, "invalid", "reference")
    assert_problem(support.post(path, {"method": "manual", "reference": "x", "token": "tok_ok"}), 422, "invalid", "token")
    assert_problem(someone.post(path, {**CARD("tok_ok"), "reference": "x"}), 422, "invalid", "reference")
    assert read(someone, placed)["payment"] is None


def test_twenty_payments_at_once_charge_once(shop, someone, placed):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: someone.post(f"/api/v1/orders/{placed}/pay", CARD("tok_ok")).status_code, range(20)))
    assert answers.count(200) == 1 and set(answers) <= {200, 409}, answers
    assert charged(shop, placed) == [("captured", 2100, 0)]


# ---- cancelling ----


def test_cancelling_a_paid_order_gives_all_back(shop, someone, gateway, seller):
    product = make_product(seller, price=10.5, stock_quantity=5)["id"]
    order = buy(someone, product, "tok_ok").json()["id"]
    answer = someone.post(f"/api/v1/orders/{order}/cancel", {"note": "changed my mind"})
    assert answer.status_code == 200 and answer.json()["status"] == "cancelled", answer.text
    assert answer.json()["payment"]["refunded_minor"] == 2100
    assert charged(shop, order) == [("captured", 2100, 2100)] and stock(gateway, product) == 5
    refunds = someone.get(f"/api/v1/orders/{order}/refunds").json()["data"]
    assert [(r["amount_minor"], r["status"], r["note"]) for r in refunds] == [(2100, "done", "changed my mind")]
    assert_money_adds_up(shop)


def test_cancelling_while_the_payment_is_undecided(shop, someone, gateway, seller):
    product = make_product(seller, stock_quantity=5)["id"]
    order = buy(someone, product, "tok_async").json()["id"]
    answer = someone.post(f"/api/v1/orders/{order}/cancel", {"note": "too slow"})
    assert answer.status_code in (200, 202), answer.text
    until(someone, order, "cancelled")
    assert all(captured == refunded for _, captured, refunded in charged(shop, order)), charged(shop, order)
    assert stock(gateway, product) == 5
    assert_money_adds_up(shop)


# ---- refunds ----


@pytest.fixture
def delivered(someone, support, seller):
    product = make_product(seller, price=10.5, stock_quantity=5)["id"]
    order = buy(someone, product, "tok_ok").json()["id"]
    for status in ("processing", "shipped", "delivered"):
        assert support("PUT", f"/api/v1/orders/{order}/status", json={"status": status}).status_code == 200
    return order, product


def refund(support, order, **body):
    return support.post(f"/api/v1/orders/{order}/refunds", body)


def test_parts_add_up_to_the_whole(shop, someone, support, gateway, delivered):
    order, product = delivered
    first = refund(support, order, amount=5, note="scratched")
    assert first.status_code == 200 and first.json()["status"] == "delivered", first.text
    assert first.json()["payment"]["refunded_minor"] == 500
    assert_problem(refund(support, order, amount_minor=1601), 409, "conflict")
    assert_problem(refund(support, order, amount_minor=100, restock=True), 422, "invalid", "restock")
    assert_problem(refund(support, order, amount=0), 422, "invalid", "amount")
    last = refund(support, order)
    assert last.status_code == 200 and last.json()["status"] == "refunded", last.text
    assert charged(shop, order) == [("captured", 2100, 2100)] and stock(gateway, product) == 3
    assert [r["amount_minor"] for r in someone.get(f"/api/v1/orders/{order}/refunds").json()["data"]] == [500, 1600]
    assert_problem(refund(support, order), 409, "invalid_transition")
    assert history(someone, order)[-1] == "refunded"


def test_goods_come_back_only_when_told(shop, support, gateway, delivered):
    order, product = delivered
    assert refund(support, order, restock=True).json()["status"] == "refunded"
    assert stock(gateway, product) == 5


def test_many_refunds_at_once_never_give_back_too_much(shop, support, delivered):
    order, _ = delivered
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: refund(support, order, amount_minor=900).status_code, range(30)))
    assert set(answers) <= {200, 409} and 1 <= answers.count(200) <= 2, answers
    assert charged(shop, order) == [("captured", 2100, 900 * answers.count(200))]
    assert_money_adds_up(shop)


def test_only_staff_refunds_and_only_what_is_delivered(someone, support, tray, delivered):
    order, _ = delivered
    assert_problem(refund(someone, order), 403, "forbidden")
    paid = buy(someone, tray, "tok_ok").json()["id"]
    assert_problem(refund(support, paid), 409, "invalid_transition")


def test_money_adds_up_after_all(shop):
    assert_money_adds_up(shop)
