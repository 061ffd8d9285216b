# SPDX-License-Identifier: Apache-2.0
"""The simulated payment provider from outside: each token, each operation repeated and raced, the ledger, webhooks."""

import base64
import concurrent.futures
import hmac
import http.server
import json
import threading
import time
import uuid

import httpx
import pytest

from conftest import assert_problem, close_shop, make_shop
from internal import CONTRACT, internal_client
from invariants import eventually

AT_ONCE = 20


class Receiver:
    """Whoever is told by webhooks: keeps what came, in order, and answers with `status`."""

    def __init__(self):
        self.came = []
        self.status = 204
        self.secret = None
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.came.append((self.path, dict(self.headers), body, receiver.status))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def of(self, payment, taken_only=True):
        """The webhooks about a payment: (id, event), each one's signature checked."""
        found = []
        for path, headers, body, status in list(self.came):
            event = json.loads(body)
            if event["data"]["key"] != payment.key or (taken_only and status >= 300):
                continue
            assert path == "/internal/webhooks/payments"
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            signature = "v1," + base64.b64encode(hmac.digest(self.secret, signed, "sha256")).decode()
            assert headers["webhook-signature"] == signature
            assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
            CONTRACT.validate("PaymentWebhook", event)
            kind = "refunded" if event["data"]["refunded_minor"] else event["data"]["status"]
            assert event["type"] == "payment." + kind
            found.append((headers["webhook-id"], event))
        return found

    def sequences(self, payment):
        return [event["data"]["sequence"] for _, event in self.of(payment)]


@pytest.fixture(scope="module")
def receiver():
    made = Receiver()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def shop(receiver):
    running = make_shop({"payments": {"WEBHOOK_URL": receiver.url()}}, products=1)
    with open(running.path("secrets", "webhook-secrets"), encoding="ascii") as file:
        receiver.secret = base64.b64decode(file.read().strip().removeprefix("whsec_"))
    yield running
    close_shop(running)


@pytest.fixture(scope="module")
def provider(shop):
    with internal_client(shop, "orders", "payments") as made:
        yield made


@pytest.fixture(autouse=True)
def the_ledger_bears_it_out(shop):
    yield
    wrong = shop.postgres.sql("SELECT * FROM payment_imbalances", "payments_db")
    assert not wrong, wrong


class Payment:
    """One payment: calls with its key."""

    def __init__(self, provider, token="tok_ok", amount=19.99):
        self.provider = provider
        self.order = str(uuid.uuid4())
        self.key = f"{self.order}-1"
        self.body = {"order_id": self.order, "amount": amount, "currency": "USD", "token": token}
        self.path = f"/internal/payments/{self.key}"

    def put(self, **more):
        return self.provider.put(self.path, json={**self.body, **more})

    def get(self):
        return self.provider.get(self.path)

    def capture(self):
        return self.provider.post(f"{self.path}/capture", json={})

    def void(self):
        return self.provider.post(f"{self.path}/void", json={})

    def refund(self, amount, id=None):
        return self.provider.put(f"{self.path}/refunds/{id or uuid.uuid4()}", json={"amount": amount})

    def ledger(self, shop):
        return [tuple(row) for row in shop.postgres.sql(
            f"SELECT entry, amount_minor FROM ledger WHERE payment_key = '{self.key}' ORDER BY sequence", "payments_db")]


def status(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["status"]


def settled(payment, seconds=10):
    """The status after processing."""
    eventually(lambda: status(payment.get()) == "processing", seconds, "still processing")
    return status(payment.get())


def at_once(*calls):
    """Runs all of them at the same time; their results."""
    start = threading.Barrier(len(calls))

    def run(call):
        start.wait()
        return call()

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


# ---- operations ----


def test_authorised_captured_refunded(provider, shop):
    payment = Payment(provider)
    made = payment.put().json()
    assert made["status"] == "authorised" and made["key"] == payment.key and made["order_id"] == payment.order
    assert (made["amount"], made["amount_minor"], made["captured_minor"], made["sequence"]) == (19.99, 1999, 0, 1)
    taken = payment.capture().json()
    assert (taken["status"], taken["captured_minor"], taken["sequence"]) == ("captured", 1999, 2)
    part = payment.refund(5).json()
    assert (part["status"], part["refunded_minor"], len(part["refunds"])) == ("captured", 500, 1)
    assert_problem(payment.refund(15), 409, "conflict")
    rest = payment.refund(14.99).json()
    assert rest["refunded_minor"] == 1999 and [refund["amount_minor"] for refund in rest["refunds"]] == [500, 1499]
    assert payment.get().json() == rest
    assert payment.ledger(shop) == [("authorised", "1999"), ("captured", "1999"), ("refunded", "500"), ("refunded", "1499")]


def test_every_operation_may_be_repeated(provider, shop):
    payment, refund = Payment(provider), uuid.uuid4()
    for call in (payment.put, payment.capture, lambda: payment.refund(1, refund)):
        first = call()
        assert first.status_code == 200, first.text
        assert call().json() == first.json()
    assert status(payment.put()) == "captured"
    assert_problem(payment.refund(2, refund), 409, "conflict")
    assert len(payment.ledger(shop)) == 3

    payment = Payment(provider)
    assert [status(call()) for call in (payment.put, payment.void, payment.void, payment.put)] == [
        "authorised", "voided", "voided", "voided"]
    assert payment.ledger(shop) == [("authorised", "1999"), ("voided", "1999")]


def test_a_key_is_for_one_body(provider):
    payment = Payment(provider)
    made = payment.put().json()
    for other in ({"amount": 20}, {"order_id": str(uuid.uuid4())}, {"token": "tok_slow"}, {"token": "tok_declined"}):
        assert_problem(payment.put(**other), 409, "conflict")
    assert payment.get().json() == made


def test_what_the_state_does_not_allow(provider):
    declined = Payment(provider, "tok_declined")
    declined.put()
    assert_problem(declined.capture(), 409, "conflict")
    assert_problem(declined.refund(1), 409, "conflict")
    assert status(declined.void()) == "declined"
    voided = Payment(provider)
    voided.put()
    voided.void()
    assert_problem(voided.capture(), 409, "conflict")
    assert_problem(voided.refund(1), 409, "conflict")
    captured = Payment(provider)
    captured.put()
    assert_problem(captured.refund(1), 409, "conflict")
    captured.capture()
    assert_problem(captured.void(), 409, "conflict")


def test_what_was_voided_before_it_was_made_stays_so(provider, shop):
    payment = Payment(provider)
    tomb = payment.void().json()
    assert (tomb["status"], tomb["order_id"], tomb["amount_minor"]) == ("voided", None, 0)
    assert_problem(payment.put(), 409, "released")
    assert_problem(payment.capture(), 409, "conflict")
    assert payment.void().json() == tomb
    assert payment.ledger(shop) == [("voided", "0")]


def test_unknown_payments(provider):
    payment = Payment(provider)
    for answer in (payment.get(), payment.capture(), payment.refund(1)):
        assert_problem(answer, 404, "not_found")
    for key in ("a" * 65, "a%20b", "%C3%A4", "a;b"):
        assert_problem(provider.put(f"/internal/payments/{key}", json=payment.body), 404, "not_found")
    payment.put()
    assert_problem(provider.put(f"{payment.path}/refunds/1", json={"amount": 1}), 404, "not_found")


def test_bad_bodies_name_their_fields(provider):
    payment = Payment(provider)
    assert_problem(provider.put(payment.path, json={}), 422, "invalid", "order_id", "amount", "currency", "token")
    assert_problem(payment.put(amount=-1), 422, "invalid", "amount")
    assert_problem(payment.put(amount=1.999), 422, "invalid", "amount")
    assert_problem(payment.put(currency="EUR"), 422, "currency_not_supported")
    assert Payment(provider).put(more=1).status_code == 200  # of a later version, perhaps
    problem = assert_problem(payment.put(token="tok_none"), 422, "invalid", "token")
    assert problem["errors"][0]["code"] == "invalid_token" and "tok_ok" in problem["errors"][0]["message"]
    assert_problem(payment.get(), 404, "not_found")
    payment.put()
    payment.capture()
    for amount in (0, -1, "1"):
        assert_problem(payment.refund(amount), 422, "invalid", "amount")


def test_a_payment_of_nothing(provider):
    payment = Payment(provider, amount=0)
    assert [status(payment.put()), status(payment.capture())] == ["authorised", "captured"]


def test_only_orders_may_ask(shop, provider):
    payment = Payment(provider)
    plain = httpx.Client(base_url=shop.url("payments"))
    assert_problem(plain.put(payment.path, json=payment.body), 401, "unauthorized")
    assert_problem(plain.get("/health", headers={"Authorization": "Bearer x"}), 401, "unauthorized")
    assert plain.get("/health").status_code == 200
    assert_problem(httpx.put(shop.url() + payment.path, json=payment.body), 404, "not_found")


# ---- races ----


def test_the_same_operation_many_times_at_once(provider, shop):
    payment, refund = Payment(provider), uuid.uuid4()
    for call in (payment.put, payment.capture, lambda: payment.refund(3, refund)):
        answers = at_once(*[call] * AT_ONCE)
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        assert len({answer.text for answer in answers}) == 1
    assert payment.ledger(shop) == [("authorised", "1999"), ("captured", "1999"), ("refunded", "300")]


@pytest.mark.parametrize("token", ["tok_ok", "tok_async", "tok_declined"])
def test_authorising_and_voiding_race(provider, token):
    for _ in range(10):
        payment = Payment(provider, token)
        made, *voided = at_once(payment.put, payment.void, payment.void)
        assert made.status_code == 200 or made.json()["code"] == "released", made.text
        assert {answer.status_code for answer in voided} == {200}
        assert status(payment.get()) in ("voided", "declined")
        assert (payment.get().json()["order_id"] is None) == (made.status_code == 409)


def test_capturing_and_voiding_race(provider):
    for _ in range(10):
        payment = Payment(provider)
        payment.put()
        answers = at_once(payment.capture, payment.void)
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert status(payment.get()) == ("captured" if answers[0].status_code == 200 else "voided")


def test_refunds_race_for_what_is_left(provider):
    payment = Payment(provider, amount=5)
    payment.put()
    payment.capture()
    answers = at_once(*[lambda: payment.refund(1)] * AT_ONCE)
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [409] * (AT_ONCE - 5)
    assert payment.get().json()["refunded_minor"] == 500


# ---- tokens ----


@pytest.mark.parametrize("token, code", [("tok_declined", "card_declined"), ("tok_insufficient_funds", "insufficient_funds")])
def test_declined(provider, shop, token, code):
    payment = Payment(provider, token)
    made = payment.put().json()
    assert (made["status"], made["decline_code"]) == ("declined", code) and made["decline_message"]
    assert payment.put().json() == made
    assert payment.ledger(shop) == [("declined", "0")]


def test_one_that_answers_late(provider):
    payment = Payment(provider, "tok_slow")
    for call, wanted in ((payment.put, "authorised"), (payment.capture, "captured")):
        started = time.monotonic()
        assert status(call()) == wanted
        assert time.monotonic() - started >= 0.3


def test_one_that_takes_effect_and_never_answers(provider, shop):
    payment, refund = Payment(provider, "tok_timeout"), uuid.uuid4()
    hasty = {"headers": {"Bodega-Deadline-Ms": "1000"}, "timeout": 1.7}  # nothing is answered for a second longer
    operations = (
        (payment.put, ("PUT", payment.path, payment.body), "authorised"),
        (payment.capture, ("POST", f"{payment.path}/capture", {}), "captured"),
        (lambda: payment.refund(2, refund), ("PUT", f"{payment.path}/refunds/{refund}", {"amount": 2}), "captured"),
    )
    for number, (repeat, (method, path, body), wanted) in enumerate(operations, 1):
        with pytest.raises(httpx.ReadTimeout):
            provider.request(method, path, json=body, **hasty)
        assert status(payment.get()) == wanted
        assert status(repeat()) == wanted
        assert len(payment.ledger(shop)) == number
    assert payment.ledger(shop) == [("authorised", "1999"), ("captured", "1999"), ("refunded", "200")]


def test_one_that_fails_the_first_time(provider, shop):
    payment, refund = Payment(provider, "tok_error"), uuid.uuid4()
    assert_problem(payment.put(), 500, "internal")
    assert_problem(payment.get(), 404, "not_found")
    assert status(payment.put()) == "authorised"
    for call in (payment.capture, lambda: payment.refund(1, refund)):
        before = payment.get().json()
        assert_problem(call(), 500, "internal")
        assert payment.get().json() == before
        assert status(call()) == "captured"
    voided = Payment(provider, "tok_error")
    voided.put()
    voided.put()
    assert_problem(voided.void(), 500, "internal")
    assert status(voided.void()) == "voided"
    assert [entry for entry, _ in payment.ledger(shop)] == ["authorised", "captured", "refunded"]


# ---- what is settled later ----


def test_settled_later_and_told(provider, receiver):
    payment = Payment(provider, "tok_async")
    assert status(payment.put()) == "processing"
    assert_problem(payment.capture(), 409, "conflict")
    assert settled(payment) == "authorised"
    assert status(payment.capture()) == "captured"
    eventually(lambda: {1, 2, 3} - set(receiver.sequences(payment)), 10, "not told")
    states = {event["data"]["sequence"]: event["data"]["status"] for _, event in receiver.of(payment)}
    assert states == {1: "processing", 2: "authorised", 3: "captured"}


def test_declined_later(provider, receiver):
    payment = Payment(provider, "tok_async_declined")
    assert status(payment.put()) == "processing"
    assert "decline_code" not in payment.get().json()
    assert settled(payment) == "declined"
    assert payment.get().json()["decline_code"] == "card_declined"
    eventually(lambda: {1, 2} - set(receiver.sequences(payment)), 10, "not told")
    told = {event["data"]["sequence"]: event["data"] for _, event in receiver.of(payment)}
    assert "decline_code" not in told[1] and told[2]["decline_code"] == "card_declined"


def test_told_twice(provider, receiver):
    payment = Payment(provider, "tok_async_twice")
    payment.put()
    eventually(lambda: sorted(receiver.sequences(payment)) != [1, 1, 2, 2], 10, "not told twice")
    told = receiver.of(payment)
    assert len({id for id, _ in told}) == 2
    assert len({json.dumps(event) for _, event in told}) == 2, "the same id has the same body"


def test_told_out_of_order(provider, receiver):
    payment = Payment(provider, "tok_async_reordered")
    payment.put()
    eventually(lambda: len(receiver.of(payment)) < 2, 10, "not told")
    assert receiver.sequences(payment) == [2, 1]


def test_what_is_voided_meanwhile_is_not_settled(provider, shop, receiver):
    payment = Payment(provider, "tok_async")
    payment.put()
    assert status(payment.void()) == "voided"
    other = Payment(provider, "tok_async_declined")
    other.put()
    settled(other)
    assert status(payment.get()) == "voided"
    assert payment.ledger(shop) == [("processing", "0"), ("voided", "0")]
    eventually(lambda: set(receiver.sequences(payment)) != {1, 2}, 10, "not told")


def test_told_until_it_is_taken_whatever_crashes(provider, shop, receiver):
    payment = Payment(provider, "tok_async_declined")
    receiver.status = 503
    payment.put()
    eventually(lambda: len(receiver.of(payment, taken_only=False)) < 3, 10, "not tried again")
    assert not receiver.of(payment)
    shop.stop_program("payments", 9)
    receiver.status = 204
    shop.start_program("payments")
    shop.wait_ready(["payments"])
    assert settled(payment) == "declined"
    eventually(lambda: set(receiver.sequences(payment)) != {1, 2}, 40, "not told after the crash")
    waiting = "SELECT count(*) FROM webhooks WHERE due_at IS NOT NULL"
    eventually(lambda: shop.postgres.sql(waiting, "payments_db") != [["0"]], 10, "still waiting")


TOKENS = ("tok_ok", "tok_slow", "tok_timeout", "tok_error", "tok_async", "tok_async_twice", "tok_async_reordered")


def test_killed_in_the_middle(shop, receiver):
    """Callers who repeat what was not answered: each payment is made, captured and refunded once, and told of."""
    over = threading.Event()
    payments = []

    def insist(call):
        while True:
            try:
                answer = call()
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if answer.status_code < 500 and (answer.status_code != 409 or answer.json()["code"] != "conflict"):
                return answer
            time.sleep(0.05)

    def buy(number):
        with internal_client(shop, "orders", "payments") as provider:
            provider.headers["Bodega-Deadline-Ms"] = "1000"
            provider.timeout = 1.5
            while not over.is_set():
                payment, refund = Payment(provider, TOKENS[(len(payments) + number) % len(TOKENS)]), uuid.uuid4()
                payments.append(payment)
                insist(payment.put)
                assert status(insist(payment.capture)) == "captured"
                assert insist(lambda: payment.refund(0.99, refund)).json()["refunded_minor"] == 99

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        buyers = [pool.submit(buy, number) for number in range(6)]
        for _ in range(6):
            time.sleep(0.7)
            shop.stop_program("payments", 9)
            shop.start_program("payments")
            shop.wait_ready(["payments"])
        over.set()
        for buyer in buyers:
            buyer.result()

    assert len(payments) >= 6
    for payment in payments:
        lines = payment.ledger(shop)
        assert [line for line in lines if line[0] != "processing"] == [
            ("authorised", "1999"), ("captured", "1999"), ("refunded", "99")], lines
        if payment.body["token"].startswith("tok_async"):
            eventually(lambda: {1, 2, 3, 4} - set(receiver.sequences(payment)), 40, "not told")
