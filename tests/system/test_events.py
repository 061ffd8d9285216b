# SPDX-License-Identifier: Apache-2.0
"""Events from outside: what the services commit reaches RabbitMQ, whatever is killed or away meanwhile, each person's in
order; and what the operator sees of it. The outbox is the truth that all is compared with."""

import contextlib
import json
import os
import signal
import subprocess
import time

import pika
import pytest

from conftest import close_shop, http_client, log_in, make_product, make_shop, place_order, register
from events import EVENTS
from invariants import eventually
from shop import answers

SERVICES = ("users", "products", "orders")
EAR = "test.ear"
LETTERS = "test.letters"
WAIT = 40


class Ear:
    """A durable queue that gets everything, and a client that empties it."""

    def __init__(self, shop):
        self.shop, self.heard = shop, []
        self.begin = {service: positions(shop, service) for service in SERVICES}  # what was told before does not come
        with self.channel() as channel:
            channel.exchange_declare("bodega.events", "topic", durable=True)
            channel.queue_declare(EAR, durable=True)
            channel.queue_bind(EAR, "bodega.events", "#")

    @contextlib.contextmanager
    def channel(self):
        connection = pika.BlockingConnection(pika.URLParameters(self.shop.rabbitmq.url()))
        try:
            yield connection.channel()
        finally:
            connection.close()

    def listen(self):
        """Takes what has come; gives all that was heard so far, in its order."""
        with self.channel() as channel:
            while True:
                method, properties, body = channel.basic_get(EAR, auto_ack=True)
                if method is None:
                    return self.heard
                event = json.loads(body)
                EVENTS.check(event)
                assert method.routing_key == event["type"].removeprefix("bodega.")
                assert properties.delivery_mode == 2 and properties.message_id == event["id"]
                assert (properties.headers or {}).get("traceparent") == event.get("traceparent")
                assert properties.content_type == "application/cloudevents+json"
                self.heard.append(event)


def positions(shop, service):
    """The last one of each partition."""
    rows = shop.postgres.sql("SELECT partition, position FROM outbox_partitions", f"{service}_db")
    return {int(partition): int(position) for partition, position in rows}


def backlog(shop):
    """By service, as bodegactl tells it."""
    urls = {f"{service.upper()}_DATABASE_URL": shop.database_url(service) for service in SERVICES}
    told = json.loads(shop.bodegactl("events", "backlog", "-o", "json", environment=urls))["data"]
    return {row["service"]: row["unnumbered"] + row["unpublished"] for row in told}


def all_told(shop):
    eventually(lambda: any(backlog(shop).values()) and backlog(shop), WAIT, "events that were not published")


def compare(shop, ear):
    """Everything that the outboxes hold was heard, under its position, and in the order of positions: an event may come
    again, but none before one that it follows."""
    heard = ear.listen()
    for service in SERVICES:
        mine = [event for event in heard if event["source"] == "/" + service]
        rows = shop.postgres.sql("SELECT partition, position, id FROM outbox", f"{service}_db")
        kept = {(int(partition), int(position)): id for partition, position, id in rows
                if int(position) > ear.begin[service][int(partition)]}
        told = {(event["partition"], int(event["position"])): event["id"] for event in mine}
        assert told == kept, f"{service}: missing {sorted(set(kept) - set(told))[:5]}, strange {sorted(set(told) - set(kept))[:5]}"
        last, sequences = dict(ear.begin[service]), {}
        for event in mine:
            place, subject = event["partition"], event["subject"]
            position, sequence = int(event["position"]), int(event.get("sequence", 0))
            assert position <= last[place] + 1, f"{service}: {position} of {place} after {last[place]}"
            last[place] = max(position, last[place])
            before = sequences.get(subject, sequence - 1)
            assert sequence <= before + 1, f"{service}: {event['type']} {sequence} of {subject} after {before}"
            sequences[subject] = max(sequence, before)


@pytest.fixture(scope="module")
def shop():
    running = make_shop(replicas={"orders": 2})
    yield running
    close_shop(running)


@pytest.fixture(scope="module")
def ear(shop):
    all_told(shop)
    return Ear(shop)


@pytest.fixture(scope="module")
def client(shop):
    with http_client(shop.url()) as made:
        yield made


@pytest.fixture(scope="module")
def product(shop, client):
    return make_product(log_in(client, shop, "seller"), stock_quantity=5000)["id"]


def test_each_change_is_told(shop, ear, client, product):
    buyer = register(client)
    order = place_order(buyer, product).json()["id"]
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    items = {"items": [{"product_id": product, "quantity": 2}]}
    answer = buyer("PATCH", f"/api/v1/orders/{order}/items", json=items, headers=headers)
    assert answer.status_code == 200, answer.text
    answer = buyer.post(f"/api/v1/orders/{order}/cancel", headers=headers)
    assert answer.status_code == 200, answer.text
    all_told(shop)
    compare(shop, ear)
    mine = [event for event in ear.heard if event["subject"] == order]
    assert [event["type"].rpartition(".")[2] for event in mine] == ["created", "updated", "cancelled"]
    assert all(event["traceparent"].split("-")[1] == trace for event in mine[1:]), mine
    assert all(event["partitionkey"] == buyer.id for event in mine)


def test_what_a_reservation_tells_has_its_trace(shop, ear, client):
    seller = log_in(client, shop, "seller")
    scarce = make_product(seller, stock_quantity=7)["id"]
    trace = "1af7651916cd43dd8448eb211c80319c"
    answer = register(client).post("/api/v1/orders", {"items": [{"product_id": scarce, "quantity": 3}]},
                                   headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert answer.status_code == 201, answer.text
    all_told(shop)
    [low] = [event for event in ear.listen() if event["subject"] == scarce and event["type"] == "bodega.product.stock_low"]
    assert low["traceparent"].split("-")[1] == trace, low


def test_soon(shop, ear, client, product):
    """Half a second is for a machine that is busy otherwise: it takes some 20 ms."""
    buyer = register(client)
    all_told(shop)
    ear.listen()
    began = time.monotonic()
    order = place_order(buyer, product).json()["id"]
    eventually(lambda: not any(event["subject"] == order for event in ear.listen()), 5, "not heard")
    assert time.monotonic() - began < 0.5


def test_with_rabbitmq_away_the_shop_goes_on(shop, ear, client, product):
    buyer = register(client)
    shop.rabbitmq.stop(signal.SIGKILL)
    try:
        for number in range(20):
            answer = place_order(buyer, product)
            assert answer.status_code == 201, answer.text
            if number % 2 == 0:
                assert buyer.post(f"/api/v1/orders/{answer.json()['id']}/cancel").status_code == 200
        assert backlog(shop)["orders"] >= 30
        for instance in shop.instances:
            assert answers(shop.admin_url(instance) + "/readyz"), f"{instance} is not ready without RabbitMQ"
    finally:
        shop.rabbitmq.start()
    all_told(shop)
    compare(shop, ear)


def relay_of(shop):
    """Which replicas of orders have partitions, by their metrics."""
    import urllib.request

    found = {}
    for instance in ("orders", "orders-2"):
        with urllib.request.urlopen(shop.admin_url(instance) + "/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("bodega_outbox_partitions "):
                    found[instance] = int(line.split()[1])
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_a_relay_ends(shop, ear, client, product, number):
    """The other replica takes its partitions over: after the end of the lease, or at once on a proper stop."""
    eventually(lambda: sorted(relay_of(shop).values()) != [8, 8] and relay_of(shop), 15, "partitions that are not shared")
    buyers = [register(client) for _ in range(6)]
    for buyer in buyers:
        assert place_order(buyer, product).status_code == 201
    if number == signal.SIGSTOP:
        os.kill(shop.pid("orders-2"), number)
    else:
        shop.stop_program("orders-2", number)
    began = time.monotonic()
    try:
        orders = []
        for buyer in buyers:
            with contextlib.suppress(Exception):  # through the gateway it may meet the one that stands still
                orders.append(place_order(buyer, product))
        eventually(lambda: relay_of_one(shop) != 16 and relay_of_one(shop), 15, "the other's partitions")
        took = time.monotonic() - began
        all_told(shop)
        if number == signal.SIGTERM:
            assert took < 5, "it has not given its partitions back"
    finally:
        if number == signal.SIGSTOP:
            os.kill(shop.pid("orders-2"), signal.SIGCONT)
        else:
            shop.start_program("orders-2")
            shop.wait_ready(["orders-2"])
    all_told(shop)
    compare(shop, ear)


def relay_of_one(shop):
    return int(shop.postgres.sql("""SELECT count(*) FROM outbox_partitions
        WHERE lease_until > now() GROUP BY owner ORDER BY 1 DESC LIMIT 1""", "orders_db")[0][0])


# ---- dead letters ----


@pytest.fixture
def letters(ear):
    """A queue as a consumer has it, with three dead letters: two events and one that is none."""
    with ear.channel() as channel:
        for name in (LETTERS, LETTERS + ".dead"):
            channel.queue_declare(name, durable=True)
            channel.queue_purge(name)
        bodies = [json.dumps(event) for event in ear.listen()[-2:]] + ["poison"]
        for number, body in enumerate(bodies):
            headers = {"bodega-reason": f"conflict: number {number}", "bodega-attempts": "6",
                       "bodega-failed-at": "2026-11-21T06:25:22.123Z"}
            channel.basic_publish("", LETTERS + ".dead", body, pika.BasicProperties(headers=headers, message_id=f"m{number}"))
        yield channel
        for name in (LETTERS, LETTERS + ".dead"):
            channel.queue_delete(name)


def events_command(shop, *arguments, **environment):
    urls = {"RABBITMQ_URL": shop.rabbitmq.url(), **environment}
    return subprocess.run([shop.path("bin", "bodegactl"), "events", *arguments], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", **{k: v for k, v in urls.items() if v}}, check=False)


def depth(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def test_dead_letters_are_shown_and_stay(shop, letters):
    shown = events_command(shop, "dead", LETTERS, "-o", "json")
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout)["data"]
    assert [row["reason"] for row in rows] == [f"conflict: number {n}" for n in range(3)]
    assert rows[2]["id"] == "m2" and rows[2]["type"] is None and rows[2]["body"] == "poison"
    assert rows[0]["type"].startswith("bodega.") and rows[0]["attempts"] == 6
    table = events_command(shop, "dead", LETTERS)
    assert table.returncode == 0 and "3 dead letters in test.letters" in table.stdout, table
    eventually(lambda: depth(letters, LETTERS + ".dead") != 3, 5, "they are not back")


def test_dead_letters_are_redriven(shop, letters):
    first = json.loads(events_command(shop, "dead", LETTERS, "-o", "json").stdout)["data"][0]
    done = events_command(shop, "redrive", LETTERS, "--id", first["id"])
    assert done.returncode == 0 and done.stdout == "1 redriven\n", done
    eventually(lambda: depth(letters, LETTERS + ".dead") != 2, 5, "not taken out")
    _, properties, body = letters.basic_get(LETTERS, auto_ack=True)
    assert json.loads(body)["id"] == first["id"]
    assert properties.headers is None and properties.delivery_mode == 2
    done = events_command(shop, "redrive", LETTERS, "--all")
    assert done.returncode == 0 and done.stdout == "2 redriven\n", done
    assert depth(letters, LETTERS) == 2 and depth(letters, LETTERS + ".dead") == 0


@pytest.mark.parametrize("arguments, environment, status, message", [
    (["dead", "nobody"], {}, 1, "there is no queue nobody.dead"),
    (["redrive", LETTERS, "--id", "x"], {}, 1, "no dead letter of test.letters has the id x"),
    (["dead"], {}, 64, "of which queue"),
    (["bury", LETTERS], {}, 64, "backlog, dead or redrive"),
    (["redrive", LETTERS], {}, 64, "--id or --all"),
    (["dead", LETTERS, "--all"], {}, 64, "--id or --all"),
    (["dead", LETTERS], {"RABBITMQ_URL": ""}, 78, "RABBITMQ_URL is not set"),
    (["dead", LETTERS], {"RABBITMQ_URL": "amqp://u:p@127.0.0.1:1/x"}, 69, "socket"),
    (["backlog"], {}, 78, "no service's DATABASE_URL is set"),
    (["backlog"], {"ORDERS_DATABASE_URL": "postgresql:///x?host=/nowhere"}, 69, "/nowhere"),
])
def test_what_the_command_refuses(shop, letters, arguments, environment, status, message):
    ran = events_command(shop, *arguments, **environment)
    assert ran.returncode == status and message in ran.stderr, ran
