# SPDX-License-Identifier: Apache-2.0
"""What the services tell: each version of each order and product once and in order, whatever becomes of RabbitMQ; and
what is read again by the gateway."""

import json
import os
import threading
import time

import httpx
import pika
import pytest

from conftest import PASSWORD, close_shop, http_client, log_in, make_product, make_shop, place_order, register
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
