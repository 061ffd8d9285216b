# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key from outside: one effect, one answer, whatever happens between the first request and its repeats.
tests/chaos/test_crash_points.py does the same at each point where orders can die."""

import os
import random
import signal
import threading
import time
import uuid

import httpx
import pytest
import yaml

from conftest import ROOT, Account, assert_problem, close_shop, http_client, log_in, make_product, make_shop, register
from invariants import assert_no_open_transaction, assert_stock_adds_up, eventually, settle

REPEATS = 20
WAITS_MAX = 60
KNOWN_SECONDS = 30
SETTLE_SECONDS = 30


@pytest.fixture(scope="module")
def shop():
    running = make_shop({"LEASE": "1s"})
    yield running
    close_shop(running)


@pytest.fixture(scope="module")
def gateway(shop):
    with http_client(shop.url()) as made:
        yield made


@pytest.fixture(scope="module")
def orders(shop):
    """The service itself."""
    with http_client(shop.url("orders")) as made:
        yield made


@pytest.fixture(scope="module")
def seller(gateway, shop):
    return log_in(gateway, shop, "seller")


@pytest.fixture(scope="module")
def support(gateway, shop):
    return log_in(gateway, shop, "support")


@pytest.fixture
def buyer(gateway):
    return register(gateway)


@pytest.fixture(scope="module")
def product(seller):
    return make_product(seller, stock_quantity=100000)["id"]


def key():
    return {"Idempotency-Key": uuid.uuid4().hex}


def is_busy(answer):
    return answer.status_code == 409 and answer.json()["code"] in ("idempotency_key_busy", "order_busy")


def until_known(send):
    """Sends the same until it is answered for good, as a good client does."""
    end = time.monotonic() + KNOWN_SECONDS
    while True:
        try:
            answer = send()
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code < 500 and not is_busy(answer):
            return answer
        if answer is not None:
            assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() < end, answer and answer.text
        time.sleep(0.02)


def assert_same(one, other):
    assert (one.status_code, one.content) == (other.status_code, other.content), other.text
    for name in ("etag", "location", "content-type"):
        assert one.headers.get(name) == other.headers.get(name), name


def ordered(product, quantity=1):
    return {"items": [{"product_id": product, "quantity": quantity}]}


def orders_of(shop, person):
    return [row[0] for row in shop.postgres.sql(f"SELECT id FROM orders WHERE user_id = '{person.id}'", "orders_db")]


def elsewhere(client, person):
    return Account(client, {"user": person.user, "access_token": person.token, "refresh_token": person.refresh_token})


def place(buyer, product, headers=None):
    answer = buyer.post("/api/v1/orders", ordered(product), headers=headers or {})
    assert answer.status_code == 201, answer.text
    return answer


# ---- one effect ----


def test_twenty_at_once_are_one_order(shop, gateway, buyer, product):
    headers, gate, answers = key(), threading.Barrier(REPEATS), []

    def send():
        with http_client(shop.url()) as client:
            person = elsewhere(client, buyer)
            gate.wait()
            answers.append(until_known(lambda: person.post("/api/v1/orders", ordered(product, 2), headers=headers)))

    threads = [threading.Thread(target=send) for _ in range(REPEATS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == REPEATS
    for answer in answers:
        assert answer.status_code == 201 and answer.headers["location"].endswith(answer.json()["id"])
        assert_same(answers[0], answer)
    assert orders_of(shop, buyer) == [answers[0].json()["id"]]
    assert_stock_adds_up(shop)


def test_the_answer_stays_what_it_was(gateway, buyer, product, shop):
    headers = key()
    first = place(buyer, product, headers)
    path = "/api/v1/orders/" + first.json()["id"]
    assert buyer.get(path).content == first.content
    assert buyer.post(path + "/cancel").status_code == 200
    assert_same(first, place(buyer, product, headers))
    shop.stop_program("orders", signal.SIGKILL)
    shop.start_program("orders")
    shop.wait_ready(["orders", "gateway"])
    assert_same(first, until_known(lambda: buyer.post("/api/v1/orders", ordered(product), headers=headers)))
    assert len(orders_of(shop, buyer)) == 1


def test_another_body_is_refused(buyer, product):
    headers = key()
    first = place(buyer, product, headers)
    other = buyer.post("/api/v1/orders", ordered(product, 3), headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")
    assert_same(first, place(buyer, product, headers))


def test_a_key_belongs_to_its_caller_method_and_path(shop, gateway, buyer, product):
    headers, other = key(), register(gateway)
    first, second = place(buyer, product, headers), place(other, product, headers)
    assert first.json()["id"] != second.json()["id"]
    cancelled = buyer.post(f"/api/v1/orders/{first.json()['id']}/cancel", headers=headers)
    assert cancelled.status_code == 200 and cancelled.json()["status"] == "cancelled"
    assert orders_of(shop, other) == [second.json()["id"]]


def test_older_paths_are_the_same_operation(buyer, product, shop):
    headers = key()
    first = place(buyer, product, headers)
    assert_same(first, buyer.post("/orders", ordered(product), headers=headers))
    assert len(orders_of(shop, buyer)) == 1


@pytest.mark.parametrize("bad", ["a b", "x" * 256])
def test_bad_keys_are_named(buyer, product, bad):
    answer = buyer.post("/api/v1/orders", ordered(product), headers={"Idempotency-Key": bad})
    assert_problem(answer, 422, "invalid", "Idempotency-Key")


# ---- what is kept and what is not ----


def test_too_little_stock_stays_too_little(seller, buyer):
    rare, headers = make_product(seller, stock_quantity=1)["id"], key()
    first = buyer.post("/api/v1/orders", ordered(rare, 2), headers=headers)
    problem = assert_problem(first, 409, "insufficient_stock")
    assert problem["lines"] == [{"product_id": rare, "requested": 2, "available": 1}]
    assert seller("PATCH", f"/api/v1/products/{rare}/stock", json={"quantity": 5}).status_code == 200
    assert_same(first, buyer.post("/api/v1/orders", ordered(rare, 2), headers=headers))
    assert buyer.post("/api/v1/orders", ordered(rare, 2), headers=key()).status_code == 201


def test_what_is_invalid_is_not_kept(shop, seller, buyer):
    headers = key()
    assert_problem(buyer.post("/api/v1/orders", ordered(str(uuid.uuid4())), headers=headers), 422, "invalid")
    rows = shop.postgres.sql(f"SELECT 1 FROM idempotency_keys WHERE caller = '{buyer.id}'", "orders_db")
    assert not rows
    product = make_product(seller)["id"]
    assert buyer.post("/api/v1/orders", ordered(product), headers=headers).status_code == 201


def test_somebody_elses_order_stays_unknown(gateway, buyer, product):
    order, stranger, headers = place(buyer, product).json()["id"], register(gateway), key()
    first = stranger.post(f"/api/v1/orders/{order}/cancel", headers=headers)
    assert_problem(first, 404, "not_found")
    assert_same(first, stranger.post(f"/api/v1/orders/{order}/cancel", headers=headers))


def test_changes_are_answered_again(support, buyer, product):
    order, headers = place(buyer, product).json()["id"], key()
    path, payment = f"/api/v1/orders/{order}/pay", {"method": "manual", "reference": "till 7"}
    paid = support.post(path, payment, headers=headers)
    assert paid.status_code == 200 and paid.json()["status"] == "paid"
    assert_same(paid, support.post(path, payment, headers=headers))
    cancelled = buyer.post(f"/api/v1/orders/{order}/cancel", headers=headers)
    assert cancelled.status_code == 200 and cancelled.json()["status"] == "cancelled"
    assert_same(cancelled, buyer.post(f"/api/v1/orders/{order}/cancel", headers=headers))
    assert_same(paid, support.post(path, payment, headers=headers))
    refused = support.post(path, payment, headers=key())
    assert_problem(refused, 409, "invalid_transition")


def test_a_stale_version_matters_to_the_first_request_only(buyer, product):
    first = place(buyer, product)
    path, headers = f"/api/v1/orders/{first.json()['id']}/cancel", {**key(), "If-Match": first.headers["etag"]}
    cancelled = buyer.post(path, headers=headers)
    assert cancelled.status_code == 200
    assert_same(cancelled, buyer.post(path, headers=headers))
    assert_problem(buyer.post(path, headers={**headers, **key()}), 412, "precondition_failed")


def test_a_deleted_account_leaves_no_answers(shop, gateway, buyer, product):
    body = {**ordered(product), "shipping_address": {"name": "Ada Example", "city": "Graz"}}
    assert buyer.post("/api/v1/orders", body, headers=key()).status_code == 201
    assert buyer("DELETE", "/api/v1/users/me").status_code == 204

    def left():
        return shop.postgres.sql("SELECT body FROM idempotency_keys WHERE body LIKE '%Ada Example%'", "orders_db")

    eventually(left, SETTLE_SECONDS, "answers are left")


# ---- which operations ----

# What proves who somebody is: answers that hold a secret are not kept, and nothing is lost by asking again.
LOGINS = {"/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout", "/api/v1/auth/logout-all",
          "/api/v1/auth/password", "/api/v1/events/ticket"}


def test_the_document_says_which_operations_take_a_key():
    with open(os.path.join(ROOT, "api/openapi.yaml"), encoding="utf-8") as file:
        paths = yaml.safe_load(file)["paths"]
    taking = {(method, path) for path, item in paths.items() for method, operation in item.items()
              if method != "parameters" and "/IdempotencyKey'" in str(operation.get("parameters"))}
    meant = {("post", path) for path, item in paths.items() if "post" in item and path not in LOGINS}
    meant |= {("patch", path) for path, item in paths.items() if "patch" in item and path.endswith(("/stock", "/items"))}
    assert taking == meant and LOGINS <= set(paths)


# ---- what breaks in the middle ----


CARD = lambda token="tok_ok": {"method": "card", "token": token}
CHARGES = """SELECT count(*) FROM payments WHERE order_id = '{}' AND status IN ('authorised', 'captured')"""


def delivered(buyer, staff, product):
    order = place(buyer, product).json()["id"]
    assert buyer.post(f"/api/v1/orders/{order}/pay", CARD()).status_code == 200
    for status in ("processing", "shipped", "delivered"):
        assert staff("PUT", f"/api/v1/orders/{order}/status", json={"status": status}).status_code == 200
    return order


def change_items(buyer, _staff, product):
    order = place(buyer, product).json()
    changes = {"items": [{"id": order["items"][0]["id"], "quantity": 3}]}
    return buyer, f"/api/v1/orders/{order['id']}/items", changes, (200,)


# By name: who sends it, the path, the body, and the statuses that it may be answered with.
OPERATIONS = {
    "place": lambda b, s, p: (b, "/api/v1/orders", ordered(p), (201,)),
    "place and pay": lambda b, s, p: (b, "/api/v1/orders", {**ordered(p), "payment": CARD()}, (201, 202)),
    "place, declined": lambda b, s, p: (b, "/api/v1/orders", {**ordered(p), "payment": CARD("tok_declined")}, (402,)),
    "pay": lambda b, s, p: (b, f"/api/v1/orders/{place(b, p).json()['id']}/pay", CARD(), (200, 202)),
    "pay, declined": lambda b, s, p: (b, f"/api/v1/orders/{place(b, p).json()['id']}/pay", CARD("tok_declined"), (402,)),
    "received": lambda b, s, p: (s, f"/api/v1/orders/{place(b, p).json()['id']}/pay", {"method": "manual", "reference": "r"}, (200,)),
    "items": change_items,
    "cancel": lambda b, s, p: (b, f"/api/v1/orders/{place(b, p).json()['id']}/cancel", {"note": "n"}, (200,)),
    "refund": lambda b, s, p: (s, f"/api/v1/orders/{delivered(b, s, p)}/refunds", {"amount": 1}, (200, 201)),
}


def assert_charged_once(shop, person):
    for order in orders_of(shop, person):
        assert int(shop.postgres.sql(CHARGES.format(order), "payments_db")[0][0]) <= 1


@pytest.mark.parametrize("kind", ["fail", "cancel"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_wait_with_a_key(shop, orders, gateway, support, product, name, kind):
    """Faults by number: the same with the same key comes to one order, and what was answered once is answered again."""
    staff = elsewhere(orders, support)
    for n in range(1, WAITS_MAX):
        buyer = elsewhere(orders, register(gateway))
        who, path, body, statuses = OPERATIONS[name](buyer, staff, product)
        before, headers = orders_of(shop, buyer), key()
        method = "PATCH" if path.endswith("/items") else "POST"
        first = who(method, path, json=body, headers={**headers, "Bodega-Fault": f"{kind}:{n}"})
        again = until_known(lambda: who(method, path, json=body, headers=headers))
        assert again.status_code in statuses, again.text
        if first.status_code < 500 and first.status_code != 499 and not is_busy(first):
            assert_same(first, again)
        assert_same(again, who(method, path, json=body, headers=headers))
        assert len(orders_of(shop, buyer)) == len(before) + (path == "/api/v1/orders")
        assert_charged_once(shop, buyer)
        assert_no_open_transaction(shop)
        if int(first.headers["bodega-waits"]) < n:
            break
    else:
        raise AssertionError(f"{name} waits {WAITS_MAX} times or more")
    settle(shop, SETTLE_SECONDS)
    assert_stock_adds_up(shop)


@pytest.mark.parametrize("token, statuses", [("tok_ok", (201,)), ("tok_slow", (201,)), ("tok_declined", (402,)),
                                             ("tok_timeout", (201, 202)), ("tok_error", (201, 202)), ("tok_async", (202,))])
def test_an_order_with_its_payment(shop, buyer, product, token, statuses):
    body, headers = {**ordered(product), "payment": CARD(token)}, key()
    send = lambda: buyer.post("/api/v1/orders", body, headers=headers)
    first = until_known(send)
    assert first.status_code in statuses, first.text
    for _ in range(3):
        assert_same(first, send())
    settle(shop, SETTLE_SECONDS)
    assert_same(first, send())
    assert len(orders_of(shop, buyer)) == 1
    assert_charged_once(shop, buyer)


def test_twenty_payments_at_once_are_one(shop, gateway, buyer, product):
    path, headers, gate, answers = f"/api/v1/orders/{place(buyer, product).json()['id']}/pay", key(), threading.Barrier(REPEATS), []

    def send():
        with http_client(shop.url()) as client:
            person = elsewhere(client, buyer)
            gate.wait()
            answers.append(until_known(lambda: person.post(path, CARD(), headers=headers)))

    threads = [threading.Thread(target=send) for _ in range(REPEATS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == REPEATS and answers[0].status_code == 200, answers[0].text
    for answer in answers:
        assert_same(answers[0], answer)
    assert_charged_once(shop, buyer)


def test_cancelling_a_payment_under_way_is_answered_again(shop, buyer, product):
    order = place(buyer, product).json()["id"]
    assert buyer.post(f"/api/v1/orders/{order}/pay", CARD("tok_async")).status_code == 202
    headers = key()
    first = until_known(lambda: buyer.post(f"/api/v1/orders/{order}/cancel", headers=headers))
    assert first.status_code == 202, first.text
    settle(shop, SETTLE_SECONDS)
    assert_same(first, buyer.post(f"/api/v1/orders/{order}/cancel", headers=headers))
    assert buyer.get(f"/api/v1/orders/{order}").json()["status"] == "cancelled"


def test_a_key_costs_no_round_trip(orders, buyer, product):
    """Bodega-Waits tells how often a request waited; one that had to connect to somebody waited once more, hence the least."""
    person = elsewhere(orders, buyer)

    def waits(headers):
        answer = person.post("/api/v1/orders", ordered(product), headers={**headers, "Bodega-Fault": f"fail:{WAITS_MAX}"})
        assert answer.status_code == 201
        return int(answer.headers["bodega-waits"])

    assert min(waits({}) for _ in range(5)) == min(waits(key()) for _ in range(5))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("victim", ["orders", "products"])
def test_killed_in_the_middle(shop, gateway, seller, victim, seed):
    """Ten buyers with a key each and one unit each, a service killed meanwhile: one order each, and the same answer after."""
    moment = random.Random(f"{victim} {seed}").uniform(0.005, 0.080)
    product, people = make_product(seller, stock_quantity=10)["id"], [register(gateway) for _ in range(10)]
    keys, answers, gate = [key() for _ in people], [None] * len(people), threading.Barrier(len(people) + 1)

    def buy(index):
        with http_client(shop.url()) as client:
            person = elsewhere(client, people[index])
            gate.wait()
            answers[index] = until_known(lambda: person.post("/api/v1/orders", ordered(product), headers=keys[index]))

    threads = [threading.Thread(target=buy, args=(index,)) for index in range(len(people))]
    for thread in threads:
        thread.start()
    gate.wait()
    threading.Event().wait(moment)
    shop.stop_program(victim, signal.SIGKILL)
    shop.start_program(victim)
    shop.wait_ready([victim])
    for thread in threads:
        thread.join()
    settle(shop, SETTLE_SECONDS)
    for person, headers, answer in zip(people, keys, answers):
        assert answer.status_code in (201, 409), answer.text
        assert_same(answer, person.post("/api/v1/orders", ordered(product), headers=headers))
        assert orders_of(shop, person) == ([answer.json()["id"]] if answer.status_code == 201 else [])
    assert_stock_adds_up(shop)
