# SPDX-License-Identifier: Apache-2.0
"""Each operation dies at each named point on its way; orders is started again, and the client sends the same request with
the same key: one order, one charge, and from then on the same answer byte for byte.

Leases are long, so that no slow machine loses one; when orders has died they are ended in the database, not waited for.
"""

import os
import signal
import subprocess
import time
import uuid

import httpx
import pytest

from conftest import BUILD, ROOT, close_shop, http_client, log_in, make_product, make_shop
import servers

POINTS = subprocess.run([os.path.join(ROOT, BUILD, "bin", "orders"), "--crash-points"], capture_output=True, text=True,
                        check=True).stdout.split()
WAIT = 30
PAUSE = 0.02
UNKNOWN = (502, 503, 504)
BUSY = ("order_busy", "idempotency_key_busy")

PAID = ["authorise", "commit", "capture", "step"]
# The points on the way of each operation, in their order, but for those where another has come by the same way; with :2,
# when it comes there for the second time.
WAYS = {
    "place": ["begin", "reserve", "place"],
    "place too much": ["begin", "reserve", "undo", "abandon"],
    "place and pay": ["begin", "reserve", "place", *PAID],
    "place, declined": ["authorise", "void", "give_back", "step"],
    "place, undecided": ["authorise", "step"],
    "place, decided later": ["take_over", "authorise:2", "commit", "capture", "step:2"],
    "pay": ["take_payment", *PAID],
    "pay, declined": ["take_payment", "authorise", "step"],
    "pay, no answer": ["authorise"],
    "received": ["take_payment", "commit", "step"],
    "cancel": ["take", "give_back", "step"],
    "cancel what is paid": ["take", "give_back", "owe", "refund", "step"],
    "cancel a payment": ["ask_cancel"],
    "cancel a payment, and then": ["take_over", "void", "give_back", "step"],
    "change items": ["take_items", "reserve_anew", "step"],
    "change items, too many": ["take_items", "reserve_anew", "step"],
    "refund": ["take_refund", "refund", "return", "step"],
    "expire": ["take_over", "give_back", "step"],
    "recover": ["take_over", "release_of_intent", "step"],
}
DEATHS = [(name, f"orders.after_{point}") for name, way in WAYS.items() for point in way]


@pytest.fixture(scope="module")
def shop():
    running = make_shop({"LEASE": "120s"})
    yield running
    close_shop(running)


@pytest.fixture(scope="module")
def people(shop):
    made = People(shop)
    yield made
    made.client.close()


class People:
    def __init__(self, shop):
        self.client = http_client(shop.url())
        self.buyer, self.support, self.seller = (log_in(self.client, shop, role) for role in ("customer", "support", "seller"))
        self.product = make_product(self.seller, price=10.5, stock_quantity=100000)["id"]
        self.rare = make_product(self.seller, price=10.5, stock_quantity=1)["id"]


class Request:
    """What is sent, again and again the same; and what its answers may be."""

    def __init__(self, who, method, path, body, *statuses):
        self.who, self.method, self.path, self.body, self.statuses = who, method, path, body, statuses
        self.headers = {"Idempotency-Key": uuid.uuid4().hex}
        if path.endswith("/orders"):  # so that the orders of a key can be counted
            self.body = {**body, "metadata": {"key": self.headers["Idempotency-Key"]}}

    def send(self):
        try:
            return self.who(self.method, self.path, json=self.body, headers=self.headers)
        except httpx.TransportError as error:
            return error

    def until_known(self):
        end = time.monotonic() + WAIT
        while not is_known(answer := self.send()):
            assert time.monotonic() < end, f"{self.method} {self.path}: after {WAIT} s still {shown(answer)}"
            time.sleep(PAUSE)
        return answer


def is_known(answer):
    if isinstance(answer, Exception) or answer.status_code in UNKNOWN:
        return False
    return not (answer.status_code == 409 and answer.json()["code"] in BUSY)


def shown(answer):
    return repr(answer) if isinstance(answer, Exception) else f"{answer.status_code} {dict(answer.headers)} {answer.text}"


# ---- operations ----


class Operation:
    """Something that orders does: by a request, behind the answer to one, or by itself."""

    def __init__(self, ends, request=None, start=None, order=None, is_later=False):
        self.ends = ends  # the order's status in the end; None: there is no order
        self.request, self.start, self.order = request, start, order
        self.is_later = is_later  # it dies when the request has been answered

    def begin(self):
        return self.request.send() if self.request is not None else self.start()


def operation(shop, people, name):
    """With an order of its own to work on, of two units."""
    buyer, support = people.buyer, people.support
    items = lambda quantity=1, of=people.product: {"items": [{"product_id": of, "quantity": quantity}]}
    card = lambda token: {"method": "card", "token": token}

    def place(ends, *statuses, token=None, wanted=None, is_later=False):
        body = {**(wanted or items()), **({"payment": card(token)} if token else {})}
        return Operation(ends, Request(buyer, "POST", "/api/v1/orders", body, *statuses), is_later=is_later)

    def of(order, ends, who, method, path, body, *statuses, is_later=False):
        request = Request(who, method, f"/api/v1/orders/{order}/{path}", body, *statuses)
        return Operation(ends, request, order=order, is_later=is_later)

    def cancel(order, *statuses, is_later=False):
        return of(order, "cancelled", buyer, "POST", "cancel", {}, *statuses, is_later=is_later)

    def pay(ends, who, body, *statuses):
        return of(placed(people), ends, who, "POST", "pay", body, *statuses)

    def expire():
        order = placed(people)
        return Operation("expired", order=order, start=lambda: shop.postgres.sql(
            f"UPDATE orders SET expires_at = now() WHERE id = '{order}'", "orders_db"))

    def recover():
        return Operation(None, start=lambda: shop.postgres.sql(
            f"""INSERT INTO orders (id, user_id, currency, step_goal, step_actor, expires_at, lease_until)
            VALUES ('{uuid.uuid4()}', '{buyer.id}', 'USD', 'pending', 'test', now() + interval '1 hour', now())""", "orders_db"))

    return {
        "place": lambda: place("pending", 201),
        "place too much": lambda: place(None, 409, wanted=items(2, people.rare)),
        "place and pay": lambda: place("paid", 201, token="tok_ok"),
        "place, declined": lambda: place("payment_failed", 402, token="tok_declined"),
        "place, undecided": lambda: place("paid", 201, 202, token="tok_async"),
        "place, decided later": lambda: place("paid", 202, token="tok_async", is_later=True),
        "pay": lambda: pay("paid", buyer, card("tok_ok"), 200),
        "pay, declined": lambda: pay("pending", buyer, card("tok_declined"), 402),
        "pay, no answer": lambda: pay("paid", buyer, card("tok_timeout"), 200),
        "received": lambda: pay("paid", support, {"method": "manual", "reference": "r"}, 200),
        "cancel": lambda: cancel(placed(people), 200),
        "cancel what is paid": lambda: cancel(paid(people), 200),
        "cancel a payment": lambda: cancel(being_paid(shop, people), 202),
        "cancel a payment, and then": lambda: cancel(being_paid(shop, people), 202, is_later=True),
        "change items": lambda: of(placed(people), "pending", buyer, "PATCH", "items", items(3), 200),
        "change items, too many": lambda: of(placed(people), "pending", buyer, "PATCH", "items", items(2, people.rare), 409),
        "refund": lambda: of(delivered(people), "refunded", support, "POST", "refunds", {"restock": True}, 200),
        "expire": expire,
        "recover": recover,
    }[name]()


def placed(people, quantity=2):
    body = {"items": [{"product_id": people.product, "quantity": quantity}]}
    return done(Request(people.buyer, "POST", "/api/v1/orders", body, 201))["id"]


def paid(people):
    order = placed(people)
    done(Request(people.buyer, "POST", f"/api/v1/orders/{order}/pay", {"method": "card", "token": "tok_ok"}, 200))
    return order


def being_paid(shop, people):
    """Its payment is not decided, and the provider is not going to be asked for an hour."""
    order = placed(people)
    shop.postgres.sql(
        f"""INSERT INTO order_payments (order_id, attempt, method, status, amount_minor, token)
        SELECT id, 1, 'card', 'processing', total_minor, 'tok_ok' FROM orders WHERE id = '{order}';
        UPDATE orders SET step = 'authorising', step_goal = 'paid', step_actor = 'test', step_waits = true,
        lease_until = now() + interval '1 hour' WHERE id = '{order}'""", "orders_db")
    return order


def delivered(people):
    order = paid(people)
    for status in ("processing", "shipped", "delivered"):
        done(Request(people.support, "PUT", f"/api/v1/orders/{order}/status", {"status": status}, 200))
    return order


def done(request):
    answer = request.until_known()
    assert answer.status_code in request.statuses, f"{request.method} {request.path}: {shown(answer)}"
    return answer.json()


# ---- death, and after ----


@pytest.mark.parametrize("name,point", DEATHS)
def test_crash_and_the_same_again(shop, people, name, point):
    what = operation(shop, people, name)
    try:
        restart(shop, point)
        first = what.begin()
        assert dies(shop), f"{name} does not come to {point}: {what.request and shown(first)}\n{log(shop)}"
        end_leases_of_the_dead(shop)
    finally:
        restart(shop)
    if what.request is None:
        end_leases(shop)
    else:
        answer = ask_again(shop, what, first)
        what.order = what.order or answer.json().get("id") or answer.json().get("order_id")
    settle(shop)
    if what.ends is not None:
        ended = people.support.get(f"/api/v1/orders/{what.order}").json()["status"]
        assert ended == what.ends, f"the order is {ended}"
    if what.request is not None and what.request.path.endswith("/orders"):
        made = orders_of(shop, what.request, "id")
        assert len(made) == (0 if what.ends is None else 1), f"the key has made {made}"


def test_cancelled_when_it_was_sold(shop, people):
    """Between commit and capture somebody has second thoughts: nothing was paid, and what was sold is returned."""
    order = placed(people)
    pay = Request(people.buyer, "POST", f"/api/v1/orders/{order}/pay", {"method": "card", "token": "tok_ok"}, 200)
    try:
        restart(shop, "orders.after_commit")
        first = pay.send()
        assert dies(shop), f"no commit: {shown(first)}"
        end_leases_of_the_dead(shop)
    finally:
        restart(shop)
    done(Request(people.buyer, "POST", f"/api/v1/orders/{order}/cancel", {}, 202))
    end_leases(shop)
    settle(shop)
    assert done(pay)["status"] == "cancelled"
    state = shop.postgres.sql(f"SELECT state FROM reservations WHERE order_id = '{order}'", "products_db")
    assert state == [["returned"]], state


def test_sold_to_somebody_else(shop, people):
    """The hold of an order that is being paid for runs out, and the last unit goes: the refusal names the order."""
    last = make_product(people.seller, price=10.5, stock_quantity=1)["id"]
    items = {"items": [{"product_id": last, "quantity": 1}]}
    request = Request(people.buyer, "POST", "/api/v1/orders", {**items, "payment": {"method": "card", "token": "tok_ok"}}, 409)
    try:
        restart(shop, "orders.after_authorise")
        first = request.send()
        assert dies(shop), f"no authorisation: {shown(first)}"
        end_leases_of_the_dead(shop)
    finally:
        restart(shop)
    [[order]] = orders_of(shop, request, "id")
    shop.postgres.sql(f"UPDATE reservations SET expires_at = now() WHERE order_id = '{order}'", "products_db")
    shop.postgres.sql(f"SELECT reservation_expire('{order}')", "products_db")
    done(Request(people.buyer, "POST", "/api/v1/orders", items, 201))
    end_leases(shop)
    problem = done(request)
    assert (problem["code"], problem["order_id"]) == ("insufficient_stock", order), problem
    assert problem["lines"], problem
    settle(shop)
    assert orders_of(shop, request, "status") == [["payment_failed"]]


def orders_of(shop, request, column):
    return shop.postgres.sql(
        f"SELECT {column} FROM orders WHERE metadata->>'key' = '{request.headers['Idempotency-Key']}'", "orders_db")


def ask_again(shop, what, first):
    """The answer from then on. Before the lease has ended it is the kept one, or that the key is busy."""
    request = what.request
    if what.is_later:
        assert is_known(first), f"it was not answered: {shown(first)}"
    else:
        assert not is_known(first), f"it was answered, and then died: {shown(first)}"
        first = request.send()
    end_leases(shop)
    answer = request.until_known()
    assert answer.status_code in request.statuses, f"{shown(answer)}\n{log(shop)}"
    again = request.until_known()
    for other in (first, again):
        if is_known(other):
            assert same(other, answer), f"{shown(answer)}\nand for the same key\n{shown(other)}"
    return answer


def same(one, other):
    return (one.status_code, one.content) == (other.status_code, other.content) and all(
        one.headers.get(name) == other.headers.get(name) for name in ("etag", "location"))


def restart(shop, fault=None):
    shop.stop_program("orders", signal.SIGTERM)
    shop.environment["orders"] = {"BODEGA_FAULT": fault} if fault else {}
    shop.start_program("orders")
    shop.wait_ready(["orders"])


def dies(shop):
    process = shop.processes["orders"]
    end = time.monotonic() + WAIT
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    assert process.returncode in (None, -signal.SIGKILL), f"orders ended with status {process.returncode}\n{log(shop)}"
    return process.returncode is not None


def end_leases_of_the_dead(shop):
    """On the outbox's partitions, so that the next one publishes what this one has not."""
    shop.postgres.sql("UPDATE outbox_partitions SET lease_until = now(); UPDATE outbox_relays SET alive_until = now()",
                      "orders_db")


def end_leases(shop):
    """On orders."""
    shop.postgres.sql("UPDATE orders SET lease_until = now() WHERE step <> 'idle'", "orders_db")


def settle(shop):
    end = time.monotonic() + WAIT
    while found := shop.verify("--settled"):
        assert time.monotonic() < end, f"after {WAIT} s there are still {found}\n{log(shop)}"
        time.sleep(PAUSE)


def log(shop):
    return servers.tail(shop.path("log", "orders"), 30)


# ---- the points ----


def test_points_have_names_of_their_own():
    assert len(POINTS) > 10 and len(set(POINTS)) == len(POINTS), sorted(POINTS)


def test_every_point_is_on_some_way():
    assert {point.removesuffix(":2") for _, point in DEATHS} == set(POINTS)


def test_an_unknown_point_is_refused(shop):
    done = subprocess.run([shop.path("bin", "orders")], env={**shop.environment_of("orders"), "BODEGA_FAULT": "orders.nowhere"},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 78 and "BODEGA_FAULT" in done.stderr, done
