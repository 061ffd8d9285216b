# SPDX-License-Identifier: Apache-2.0
"""What events say: each version of each order and product is told once and in order, also with RabbitMQ away for a while
under load; what is read again by the gateway; and what the services do when they hear of each other."""

import json
import os
import threading
import time

import httpx
import pika
import pytest

from conftest import PASSWORD, Account, assert_problem, close_shop, http_client, log_in, make_product, make_shop, place_order, register
from events import EVENTS
from internal import internal_client
from invariants import eventually

SERVICES = ("users", "products", "orders")
QUEUE = "test.everything"
AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", "10"))  # the long form: 60


@pytest.fixture(scope="module")
def shop():
    running = make_shop({"LEASE": "2s"})
    with broker(running) as channel:
        channel.exchange_declare("bodega.events", "topic", durable=True)  # as the services do, who may be about to
        channel.queue_declare(QUEUE, durable=True)
        channel.queue_bind(QUEUE, "bodega.events", "#")
    yield running
    close_shop(running)


@pytest.fixture(scope="module")
def client(shop):
    with http_client(shop.url()) as made:
        yield made


@pytest.fixture(scope="module")
def people(shop, client):
    return {role: log_in(client, shop, role) for role in ("admin", "seller", "support")}


# ---- what has come ----


class broker:
    """A channel of our own."""

    def __init__(self, shop):
        self.connection = pika.BlockingConnection(pika.URLParameters(shop.rabbitmq.url()))

    def __enter__(self):
        return self.connection.channel()

    def __exit__(self, *_):
        self.connection.close()


def unpublished(shop):
    return {service: count for service in SERVICES
            if (count := int(shop.postgres.sql(
                "SELECT (SELECT count(*) FROM outbox WHERE position IS NULL)"
                " + (SELECT sum(position - published) FROM outbox_partitions)", f"{service}_db")[0][0])) > 0}


def heard(shop, seconds=20):
    """All that has come since the last call, once it has all been published; as the broker delivered it."""
    eventually(lambda: unpublished(shop), seconds, "unpublished")
    events = []
    with broker(shop) as channel:
        while True:
            method, properties, body = channel.basic_get(QUEUE, auto_ack=True)
            if method is None:
                return events
            event = json.loads(body)
            EVENTS.check(event)
            assert properties.content_type == "application/cloudevents+json" and properties.delivery_mode == 2
            assert method.routing_key == event["type"].removeprefix("bodega.")
            events.append(event)


def once(events):
    """Without what came again; of a partition all must have come in its order, the first time."""
    seen, last = [], {}
    for event in events:
        partition = event["source"], event["partition"]
        if int(event["position"]) > last.get(partition, 0):
            assert int(event["position"]) == last.get(partition, int(event["position"]) - 1) + 1, f"a gap before {event}"
            last[partition] = int(event["position"])
            seen.append(event)
    return seen


def of(events, subject):
    return [event for event in events if event["subject"] == subject]


def words(events):
    return [(event["type"].removeprefix("bodega."), int(event.get("sequence", 0))) for event in events]


def written(shop, service):
    """The ids of all events in the outbox."""
    return {row[0] for row in shop.postgres.sql("SELECT id FROM outbox", f"{service}_db")}


def compare_with_history(shop, events):
    """Each change of status of each order that the events tell of is in them under its version."""
    told = {(event["subject"], int(event["sequence"])): event["data"]["status"]
            for event in events if event["source"] == "/orders"}
    orders = {subject for subject, _ in told}
    assert orders
    history = shop.postgres.sql("SELECT order_id, version, to_status FROM order_history", "orders_db")
    missing = [row for row in history if row[0] in orders and told.get((row[0], int(row[1]))) != row[2]]
    assert not missing, missing
    versions = {id: int(version) for id, version in shop.postgres.sql("SELECT id, version FROM orders", "orders_db")}
    for order in orders:
        assert sorted(n for subject, n in told if subject == order) == list(range(1, versions[order] + 1))


# ---- tests ----


def test_a_person_s_events_are_read_again(shop, client, people):
    """GET /internal/events: what live streams go on from."""
    buyer = register(client)
    product = make_product(people["seller"])["id"]
    with internal_client(shop, "gateway", "orders") as gateway:
        ask = lambda **query: gateway.get("/internal/events", params={"person": buyer.id, **query})
        start = ask().json()
        assert start["events"] == [] and not start["has_more"] and not start["resync"]
        orders = [place_order(buyer, product).json()["id"] for _ in range(3)]
        buyer.post(f"/api/v1/orders/{orders[0]}/cancel")
        live = [event for event in once(heard(shop)) if event["source"] == "/orders" and event["partitionkey"] == buyer.id]
        assert len(live) == 4

        page = ask(after=start["position"]).json()
        comparable = lambda events: [{**event, "epoch": None} for event in events]  # another relay may have taken over
        assert comparable(page["events"]) == comparable(live) and not page["has_more"]
        assert int(page["position"]) >= int(live[-1]["position"])
        first = ask(after=start["position"], limit=3).json()
        assert first["events"] == page["events"][:3] and first["has_more"]
        rest = ask(after=first["events"][-1]["position"], limit=3).json()
        assert rest["events"] == page["events"][3:] and not rest["has_more"]
        assert ask(after=page["position"]).json()["events"] == []
        ahead = ask(after=10**12).json()
        assert ahead["resync"] and ahead["events"] == [] and ahead["position"] == page["position"]
        assert ask(after="x").status_code == ask(limit=0).status_code == 422
    with internal_client(shop, "users", "orders") as users:
        assert users.get("/internal/events", params={"person": buyer.id}).status_code == 403
    assert httpx.get(shop.url("orders") + "/internal/events", params={"person": buyer.id}).status_code == 401
    assert client.get("/internal/events", params={"person": buyer.id}).status_code == 404


def test_each_type_is_told_when_it_should_be(shop, client, people):
    seller, support, admin = people["seller"], people["support"], people["admin"]
    buyer = register(client)
    heard(shop)
    product = make_product(seller, stock_quantity=7)["id"]
    assert seller("PATCH", f"/api/v1/products/{product}", json={"price": 5, "name": "Oak tray"}).status_code == 200

    def order(quantity=1, **more):
        answer = buyer.post("/api/v1/orders", {"items": [{"product_id": product, "quantity": quantity}], **more})
        return answer.json().get("id") or answer.json()["order_id"]

    def move(order, status):
        assert support("PUT", f"/api/v1/orders/{order}/status", json={"status": status}).status_code == 200

    delivered = order(2, payment={"method": "card", "token": "tok_ok"})
    for status in ("processing", "shipped", "delivered"):
        move(delivered, status)
    assert support.post(f"/api/v1/orders/{delivered}/refunds").status_code == 200
    declined = order(payment={"method": "card", "token": "tok_declined"})
    cancelled = order(5)
    move(cancelled, "confirmed")
    assert buyer.post(f"/api/v1/orders/{cancelled}/cancel").status_code == 200
    expired = order()
    shop.postgres.sql(f"UPDATE orders SET expires_at = now() WHERE id = '{expired}'", "orders_db")
    eventually(lambda: buyer.get(f"/api/v1/orders/{expired}").json()["status"] != "expired", 10, "not expired")
    assert seller("DELETE", f"/api/v1/products/{product}").status_code == 204
    assert buyer.post("/api/v1/auth/logout").status_code == 204
    gone = register(client)
    assert gone("DELETE", "/api/v1/users/me").status_code == 204
    promoted = register(client)
    assert admin("PUT", f"/api/v1/users/{promoted.id}/role", json={"role": "seller"}).status_code == 200

    events = once(heard(shop))
    compare_with_history(shop, events)
    statuses = lambda order: [event["type"].removeprefix("bodega.order.") for event in of(events, order)]
    for subject, told in [(delivered, ["created", "paid", "processing", "shipped", "delivered", "refunded"]),
                          (declined, ["created", "payment_failed"]), (cancelled, ["created", "confirmed", "cancelled"]),
                          (expired, ["created", "expired"])]:
        assert [word for word in statuses(subject) if word != "updated"] == told
    assert [(event["data"]["status"], event["data"]["payment"]["refunded_minor"]) for event in of(events, delivered)[-2:]] == [
        ("delivered", 0), ("refunded", 1000)]
    assert words(of(events, product)) == [
        ("product.created", 1), ("product.changed", 2), ("product.stock_low", 0), ("product.stock_out", 0),
        ("product.deleted", 3)]
    ended = {event["partitionkey"]: event["data"]["reason"] for event in events if event["type"] == "bodega.session.ended"}
    assert ended == {buyer.id: "logged_out", gone.id: "account_deleted", promoted.id: "role_changed"}
    assert words(of(events, gone.id)) == [("user.deleted", 0)]
    assert {event["type"] for event in events} == set(EVENTS.types)


def test_away_for_a_while_under_load(shop, client, people):
    """Orders are placed, paid and cancelled all the time; afterwards each version of each order was heard, in order."""
    product = make_product(people["seller"], stock_quantity=100000)["id"]
    buyers = [register(client) for _ in range(4)]
    heard(shop)
    ending = threading.Event()
    seen = [[] for _ in buyers]

    def buy(index):
        with http_client(shop.url()) as mine:
            buyer = buyers[index]
            buyer.client = mine
            while not ending.is_set():
                paid = len(seen[index]) % 2 == 0
                more = {"payment": {"method": "card", "token": "tok_ok"}} if paid else {}
                placed = buyer.post("/api/v1/orders", {"items": [{"product_id": product, "quantity": 1}], **more})
                seen[index].append(placed.status_code)
                if not paid and placed.status_code == 201:
                    seen[index].append(buyer.post(f"/api/v1/orders/{placed.json()['id']}/cancel").status_code)

    threads = [threading.Thread(target=buy, args=(index,), daemon=True) for index in range(len(buyers))]
    for thread in threads:
        thread.start()
    shop.rabbitmq.stop()
    before = int(shop.postgres.sql("SELECT count(*) FROM outbox", "orders_db")[0][0])
    time.sleep(AWAY_SECONDS)  # the time is what is tested
    meanwhile = int(shop.postgres.sql("SELECT count(*) FROM outbox", "orders_db")[0][0]) - before
    shop.rabbitmq.start()
    ending.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert {status for statuses in seen for status in statuses} <= {200, 201, 202}
    assert meanwhile > AWAY_SECONDS, f"only {meanwhile} events in {AWAY_SECONDS} s: that is no load"
    events = once(heard(shop, 60))
    compare_with_history(shop, events)
    placed = {row[0] for row in shop.postgres.sql(
        "SELECT id FROM orders WHERE user_id IN ('" + "', '".join(buyer.id for buyer in buyers) + "')", "orders_db")}
    assert placed and placed <= {event["subject"] for event in events}
    for order in placed:
        told = [int(event["sequence"]) for event in of(events, order)]
        assert told == list(range(1, len(told) + 1))


def test_a_deleted_account_takes_its_orders_along(shop, client, people):
    """orders hears of it: what can be is cancelled, what was said of the person goes; with RabbitMQ away it is done later."""
    product = make_product(people["seller"])["id"]
    gone = register(client)
    order = gone.post("/api/v1/orders", {
        "items": [{"product_id": product, "quantity": 3}], "metadata": {"gift": "for Eve"},
        "shipping_address": {"name": "Gone Soon", "city": "Graz"}}).json()["id"]
    shop.rabbitmq.stop()
    assert gone("DELETE", "/api/v1/users/me").status_code == 204
    state = "SELECT concat_ws(' ', status, step, shipping_address, metadata) FROM orders WHERE id = '" + order + "'"
    assert "Gone Soon" in shop.postgres.sql(state, "orders_db")[0][0]
    shop.rabbitmq.start()
    eventually(lambda: shop.postgres.sql(state, "orders_db") != [["cancelled idle"]] and shop.postgres.sql(state, "orders_db"),
               30, "the order")
    assert people["support"].get(f"/api/v1/orders/{order}/history").json()["data"][-1]["note"] == "the account was deleted"
    assert people["support"].get(f"/api/v1/orders/{order}/history").json()["data"][-1]["actor"] == "system"
    available = "SELECT available FROM stock WHERE product_id = '" + product + "'"
    assert shop.postgres.sql(available, "products_db") == [["10"]]


def test_who_has_something_on_its_way_stays(shop, client, people):
    product = make_product(people["seller"])["id"]
    buyer = register(client)
    answer = buyer.post("/api/v1/orders", {"items": [{"product_id": product, "quantity": 1}],
                                           "payment": {"method": "card", "token": "tok_ok"}})
    assert answer.json()["status"] == "paid"
    assert_problem(buyer("DELETE", "/api/v1/users/me"), 409, "open_orders")
    assert buyer.get("/api/v1/users/me").status_code == 200


def deaf(shop):
    """Is the gateway without its queue? What is told then it does not learn (docs/events.md)."""
    return 'bodega_rabbitmq_up{connection="amqp-feed"} 1' not in httpx.get(shop.admin_url("gateway") + "/metrics").text


def test_a_session_that_ended_is_refused_at_the_edge(shop, client):
    eventually(lambda: deaf(shop), 60, "the gateway hears nothing")
    someone = register(client)
    other = Account(client, client.post("/api/v1/auth/login", json={"email": someone.user["email"], "password": PASSWORD}).json())
    assert someone.post("/api/v1/auth/logout").status_code == 204
    me, mine = shop.url() + "/api/v1/users/me", {"Authorization": "Bearer " + someone.token}
    for _ in range(20):  # new connections, for each of the gateway's threads
        eventually(lambda: httpx.get(me, headers=mine).status_code != 401, 10, "it is let through")
    assert other.get("/api/v1/users/me").status_code == 200
    assert other.post("/api/v1/auth/logout-all").status_code == 204
    eventually(lambda: other.get("/api/v1/users/me").status_code != 401, 10, "it is let through")
