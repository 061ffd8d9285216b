# SPDX-License-Identifier: Apache-2.0
"""Live streams of the gateway: WebSocket and server-sent events, tickets, resuming, and what ends a stream.

The services that own events are stood in for, so that positions, delays and losses are the test's to choose: an event
is in its owner's book first, as in the outbox, and then goes to RabbitMQ, late, twice or never.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import os
import random
import signal
import socket
import struct
import threading
import time
import urllib.parse
import uuid

import httpx
import pika
import pytest
import websockets.exceptions
from websockets.sync.client import connect

from conftest import assert_problem, close_shop, http_client, make_shop, register
from invariants import eventually
import servers

WAIT = 20
SHOP_PAGE = "https://shop.example"


class Owner:
    """What orders or products is for the gateway here: GET /internal/events over a book of events."""

    def __init__(self, source):
        self.source, self.letter = "/" + source, source[0]
        self.lock = threading.Lock()
        self.position, self.epoch, self.oldest = 1000, 1, 0
        self.book, self.away = {}, False
        self.pages = 0  # that were asked for
        self.meanwhile = self.afterwards = None  # called once between the reading of a page and its answer; after that
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                query = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
                if url.path == "/internal/events" and not owner.away:
                    assert self.headers["Bodega-Mac"].startswith("v1 gateway "), self.headers["Bodega-Mac"]
                    body, status = json.dumps(owner.page(query)).encode(), 200
                    if "after" in query and owner.meanwhile is not None:
                        meanwhile, owner.meanwhile = owner.meanwhile, None
                        meanwhile()
                else:
                    body, status = b"{}", 503
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                if "after" in query and owner.afterwards is not None:
                    afterwards, owner.afterwards = owner.afterwards, None
                    afterwards()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # calls are given up with their streams
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def page(self, query):
        with self.lock:
            answer = {"events": [], "position": str(self.position), "has_more": False, "resync": False}
            if "after" not in query:
                return answer
            self.pages += 1
            after = int(query["after"])
            if after < self.oldest or after > self.position:
                return {**answer, "resync": True}
            events = [e for e in self.book.get(query["person"], []) if int(e["position"]) > after]
            limit = int(query["limit"])
            return {**answer, "events": events[:limit], "has_more": len(events) > limit}

    def write(self, person, type, **data):
        """Into the book, with the next position of the partition that all persons share here."""
        with self.lock:
            self.position += 1
            event = {
                "specversion": "1.0", "id": str(uuid.uuid4()), "source": self.source, "type": type,
                "subject": str(uuid.uuid4()), "time": "2026-01-02T03:04:05.678Z", "datacontenttype": "application/json",
                "partitionkey": person, "partition": 3, "position": str(self.position), "epoch": str(self.epoch),
                "data": data,
            }
            self.book.setdefault(person, []).append(event)
            return event

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Broker:
    """Publishes to the exchange; waits for a broker that is not there yet."""

    def __init__(self, rabbitmq):
        self.rabbitmq, self.connection = rabbitmq, None

    def publish(self, *events):
        for event in events:
            end = time.monotonic() + 60
            while not self._try(event):
                assert time.monotonic() < end, "RabbitMQ does not come back"
                time.sleep(0.1)

    def _try(self, event):
        try:
            if self.connection is None:
                self.connection = pika.BlockingConnection(pika.URLParameters(self.rabbitmq.url()))
                self.channel = self.connection.channel()
                self.channel.exchange_declare("bodega.events", "topic", durable=True)
                self.channel.confirm_delivery()
            self.channel.basic_publish("bodega.events", event["type"].removeprefix("bodega."), json.dumps(event).encode())
            return True
        except pika.exceptions.AMQPError:
            self.connection = None
            return False

    def close(self):
        if self.connection is not None:
            self.connection.close()


class Wire:
    """The gateways' way to RabbitMQ. While it is cut RabbitMQ is away for them, and there again at once."""

    def __init__(self, port):
        self.to, self.whole, self.ends, self.lock = port, True, set(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # until it is closed
            while True:
                near, _ = self.listener.accept()
                ends = self.join(near)
                for way in (ends, ends[::-1]) if ends else ():
                    threading.Thread(target=self.carry, args=way, daemon=True).start()

    def join(self, near):
        """Both ends, or none when it is cut or RabbitMQ has not started yet."""
        with self.lock, contextlib.suppress(ConnectionRefusedError):
            if self.whole:
                far = socket.create_connection(("127.0.0.1", self.to))
                self.ends |= {near, far}
                return near, far
        near.close()
        return ()

    def carry(self, source, target):
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                target.sendall(piece)
        self.end({source, target})

    def end(self, ends):
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self.lock:
            self.ends -= ends

    def cut(self):
        with self.lock:
            self.whole = False
            ends = set(self.ends)
        self.end(ends)

    def mend(self):
        self.whole = True

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class World:
    def __init__(self):
        self.orders, self.products, self.users = Owner("orders"), Owner("products"), Owner("users")
        # The second gateway is another replica: tickets are good on either, once.
        mine = {"ORDERS_URL": self.orders.url, "PRODUCTS_URL": self.products.url, "CORS_ORIGINS": SHOP_PAGE}
        self.shop = make_shop({"gateway": mine}, products=1, replicas={"gateway": 2}, prepare=self.lead_through_wire)
        self.broker = Broker(self.shop.rabbitmq)
        self.client = http_client(self.shop.url())
        for instance in ("gateway", "gateway-2"):  # what nobody can be asked about must be heard
            eventually(lambda instance=instance: self.metric('bodega_rabbitmq_up{connection="amqp-feed"}', instance) == 0, 60, "it hears nothing")

    def lead_through_wire(self, shop):
        url = urllib.parse.urlsplit(shop.rabbitmq.launch().url())
        self.wire = Wire(url.port)
        shop.environment["gateway"] |= {
            "RABBITMQ_URL": url.geturl().replace(f":{url.port}/", f":{self.wire.port}/"), "RABBITMQ_URL_FILE": None}

    def close(self):
        self.broker.close()
        self.client.close()
        close_shop(self.shop)
        self.wire.close()
        for owner in (self.orders, self.products, self.users):
            owner.close()

    def tell(self, person, n=1, owner=None, type="bodega.order.paid", **data):
        """Things that happen, in the book and on the exchange."""
        owner = owner or self.orders
        events = [owner.write(person, type, n=i, **data) for i in range(n)]
        self.broker.publish(*events)
        return events

    def metric(self, name, instance="gateway"):
        text = httpx.get(self.shop.admin_url(instance) + "/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


@pytest.fixture(scope="module")
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture
def person(world):
    return register(world.client)


def connected(port, options):
    s = socket.socket()
    for option in options:
        s.setsockopt(*option)
    s.connect(("127.0.0.1", port))
    return s


class Stream:
    """One of either kind, from its beginning; next() gives its messages."""

    def __init__(self, world, person, kind="ws", last=None, ticket=None, instance="gateway", origin=None, version="http1",
                 receive_bytes=None):
        self.kind, self.last, self.code, self.ended = kind, last, None, False
        query = urllib.parse.urlencode({k: v for k, v in (("ticket", ticket), ("last_event_id", last)) if v})
        headers = {"Authorization": "Bearer " + person.token} if ticket is None else {}
        base = world.shop.url(instance)
        small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)] if receive_bytes else []
        if kind == "ws":
            self.open = contextlib.ExitStack()
            self.socket = self.open.enter_context(connect(
                f"{base.replace('http', 'ws')}/api/v1/ws?{query}", additional_headers=headers, origin=origin,
                open_timeout=WAIT, ping_interval=None, compression=None, max_queue=1 if receive_bytes else 16,
                sock=connected(world.shop.ports[instance], small)))
            return
        if last is not None:
            headers["Last-Event-ID"] = last
        carrier = httpx.HTTPTransport(http1=version == "http1", http2=version != "http1", socket_options=small)
        self.client = httpx.Client(base_url=base, transport=carrier, timeout=WAIT)
        self.answer = self.client.send(self.client.build_request("GET", "/api/v1/events", headers=headers,
                                                                 params={"ticket": ticket} if ticket else {}), stream=True)
        assert self.answer.status_code == 200, self.answer.read()
        assert self.answer.headers["content-type"] == "text/event-stream"
        self.lines = self.answer.iter_lines()

    def next(self, timeout=WAIT):
        """The next message, or None at the end."""
        message = self._next_ws(timeout) if self.kind == "ws" else self._next_event()
        if message is not None and "id" in message:
            self.last = message["id"]
        return message

    def _next_ws(self, timeout):
        try:
            return json.loads(self.socket.recv(timeout))
        except websockets.exceptions.ConnectionClosed as closed:
            self.code = closed.rcvd.code if closed.rcvd else None
            return None

    def _next_event(self):
        event = {}
        for line in self.lines:
            name, _, value = line.partition(": ")
            if line == "" and "data" in event:
                message = json.loads(event["data"])
                if message["type"] == "end":
                    self.code = message["code"]
                    continue
                assert event["id"] == message["id"]
                return message
            if line == "":
                event = {}
            elif name in ("id", "data", "event"):
                event[name] = value
        return None

    def begin(self):
        """What comes before it is live."""
        seen = []
        while True:
            message = self.next()
            if message["type"] == "ready":
                return seen
            seen.append(message)

    def take(self, count):
        return [self.next() for _ in range(count)]

    def close(self):
        if self.kind == "ws":
            self.open.close()
        else:
            self.answer.close()
            self.client.close()


def positions(messages):
    return [(m["event"]["source"], int(m["event"]["position"])) for m in messages]


def of(events):
    return [(event["source"], int(event["position"])) for event in events]


KINDS = [("ws", "http1"), ("sse", "http1"), ("sse", "h2c")]


@pytest.mark.parametrize("kind,version", KINDS, ids=["websocket", "events", "events-h2"])
def test_what_happens_is_told(world, person, kind, version):
    stream = Stream(world, person, kind, version=version)
    assert stream.begin() == []
    [event] = world.tell(person.id, total_minor=4711)
    message = stream.next()
    assert message["id"] == stream.last == f"o:{event['position']},p:{world.products.position}"
    assert message["type"] == "bodega.order.paid"
    assert message["event"] == event
    [event] = world.tell(person.id, owner=world.products, type="bodega.product.stock_out")
    assert stream.next()["event"] == event
    stream.close()


def test_nobody_sees_what_is_not_theirs(world, person):
    other = register(world.client)
    streams = {who: Stream(world, who, kind) for who, kind in ((person, "ws"), (other, "sse"))}
    for stream in streams.values():
        stream.begin()
    mine, theirs = [], []
    for _ in range(20):
        mine += world.tell(person.id)
        theirs += world.tell(other.id)
    assert positions(streams[person].take(20)) == of(mine)
    assert positions(streams[other].take(20)) == of(theirs)
    # replay, too
    for who, events in ((person, mine), (other, theirs)):
        again = Stream(world, who, last=f"o:{int(mine[0]['position']) - 1},p:{world.products.position}")
        assert positions(again.begin()) == of(events)
        again.close()
        streams[who].close()


def test_the_seam(world, person):
    """What is published while a stream reads what it has missed is neither lost nor repeated."""
    stream = Stream(world, person)
    stream.begin()
    stream.close()
    told = []

    def meanwhile():
        heard = world.metric("bodega_live_events_total")
        told.extend(world.tell(person.id))
        eventually(lambda: world.metric("bodega_live_events_total") == heard, WAIT, "nothing is heard")

    world.orders.meanwhile = meanwhile
    stream = Stream(world, person, last=stream.last)
    assert positions(stream.begin()) == of(told)
    stream.close()
    # and what comes late from the exchange, when it has been read already
    event = world.orders.write(person.id, "bodega.order.shipped")
    stream = Stream(world, person, last=stream.last)
    assert positions(stream.begin()) == of([event])
    world.broker.publish(event)
    [event] = world.tell(person.id)
    assert stream.next()["event"] == event
    stream.close()


def test_cut_twenty_times_during_500_changes(world, person):
    """Each exactly once and in order, whichever kind of stream, and however late the broker has it."""
    rng = random.Random(4)
    other = str(uuid.uuid4())
    told, done = [], threading.Event()
    ahead = threading.Semaphore(120)  # of who reads

    def tell():
        mine = Broker(world.shop.rabbitmq)
        waiting = []
        for _ in range(500):
            owner = rng.choice([world.orders, world.products])
            kind = "bodega.order.updated" if owner is world.orders else "bodega.product.changed"
            event = owner.write(person.id, kind)
            told.append(event)
            waiting.append(event)
            if rng.random() < 0.3:
                waiting.append(owner.write(other, kind))
            if rng.random() < 0.5:  # some are published late, some twice
                mine.publish(*waiting)
                if rng.random() < 0.1:
                    mine.publish(*waiting)
                waiting = []
            ahead.acquire()
        mine.publish(*waiting)
        mine.close()
        done.set()

    stream = Stream(world, person)
    assert stream.begin() == []
    seen, cuts = [], 0
    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    while len(seen) < 500:
        message = stream.next()
        assert message is not None
        if message["type"] == "ready":
            continue
        seen.append(message)
        ahead.release()
        if cuts < 20 and len(seen) >= 24 * (cuts + 1):
            last = stream.last
            if stream.kind == "ws" and rng.random() < 0.5:
                stream.socket.socket.shutdown(socket.SHUT_RDWR)  # not a word
            stream.close()
            cuts += 1
            stream = Stream(world, person, rng.choice(["ws", "sse"]), last=last, instance=rng.choice(["gateway", "gateway-2"]))
    teller.join(WAIT)
    assert cuts == 20 and done.is_set()
    for source in ("/orders", "/products"):
        assert [p for p in positions(seen) if p[0] == source] == [p for p in of(told) if p[0] == source]
    [event] = world.tell(person.id)
    message = stream.next()
    if message["type"] == "ready":
        message = stream.next()
    assert message["event"] == event  # and nothing more before it
    stream.close()


def test_nothing_is_missing_after_rabbitmq_was_away(world, person):
    streams = [Stream(world, person, kind) for kind in ("ws", "sse")]
    for stream in streams:
        stream.begin()
    told = world.tell(person.id, 3)
    world.wire.cut()
    told += [world.orders.write(person.id, "bodega.order.shipped") for _ in range(250)]  # more than a page
    world.wire.mend()
    world.broker.publish(*told[-2:])  # what the relay sends once more
    told += world.tell(person.id, 3)
    for stream in streams:
        assert positions(stream.take(len(told))) == of(told)
        stream.close()


def test_much_to_catch_up(world, person):
    """More than a stream's queue holds, at the pace of its client."""
    begin = f"o:{world.orders.position},p:{world.products.position}"
    told = [world.orders.write(person.id, "bodega.order.paid", text="x" * 4000) for _ in range(350)]
    for kind in ("ws", "sse"):
        world.orders.pages = 0
        stream = Stream(world, person, kind, last=begin, receive_bytes=65536)
        seen = stream.take(50)
        assert world.orders.pages < 4, "it has read on although its client has not"
        seen += stream.begin()
        assert positions(seen) == of(told)
        stream.close()


def test_a_client_leaves_as_its_page_comes(world, person):
    """Both in one turn of the gateway's loop: it stands still until both have happened."""
    begin = f"o:{world.orders.position},p:{world.products.position}"
    world.orders.write(person.id, "bodega.order.paid")
    gateway, is_open, is_over = world.shop.processes["gateway"], threading.Event(), threading.Event()

    def stand_still():
        is_open.wait(WAIT)
        gateway.send_signal(signal.SIGSTOP)

    def leave():
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # not a word
        client.close()
        gateway.send_signal(signal.SIGCONT)
        is_over.set()

    world.orders.meanwhile, world.orders.afterwards = stand_still, leave
    client = handshake(world, person.token, last=begin)
    is_open.set()
    assert is_over.wait(WAIT)
    stream = Stream(world, person, last=begin)
    assert len(stream.begin()) == 1
    stream.close()
    assert gateway.poll() is None, f"the gateway ended with status {gateway.returncode}"


def test_an_owner_that_is_away(world, person):
    world.orders.away = True
    stream = Stream(world, person)
    with pytest.raises(TimeoutError):
        stream.next(timeout=0.5)
    world.orders.away = False
    assert stream.begin() == []
    [event] = world.tell(person.id)
    assert stream.next()["event"] == event
    # while it is away those that are live stay so, and who comes back with an id gets it all later
    world.orders.away = True
    told = world.tell(person.id, 5)
    again = Stream(world, person, last=stream.last)
    assert positions(stream.take(5)) == of(told)
    world.orders.away = False
    assert positions(again.begin()) == of(told)
    for s in (stream, again):
        s.close()


def test_an_id_from_too_long_ago(world, person):
    stream = Stream(world, person)
    stream.begin()
    last = stream.last
    stream.close()
    world.tell(person.id, 3)
    world.orders.oldest = world.orders.position
    try:
        stream = Stream(world, person, last=last)
        assert [message["type"] for message in stream.begin()] == ["resync"]
        told = world.tell(person.id, 2)
        assert positions(stream.take(2)) == of(told)
        stream.close()
    finally:
        world.orders.oldest = 0


# ---- who may listen, and for how long ----


def make_ticket(world, person, instance="gateway"):
    with http_client(world.shop.url(instance)) as client:
        answer = client.post("/api/v1/events/ticket", headers={"Authorization": "Bearer " + person.token})
    assert answer.status_code == 201, answer.text
    assert answer.json()["expires_in"] == 30
    return answer.json()["ticket"]


def refusal(world, path="/api/v1/events", instance="gateway", **more):
    with http_client(world.shop.url(instance)) as client:
        return client.get(path, **more)


def test_tickets_are_good_once(world, person):
    ticket = make_ticket(world, person)
    stream = Stream(world, person, ticket=ticket, instance="gateway-2")
    stream.begin()
    [event] = world.tell(person.id)
    assert stream.next()["event"] == event
    for instance in ("gateway", "gateway-2"):
        assert_problem(refusal(world, instance=instance, params={"ticket": ticket}), 401, "unauthorized")
    stream.close()
    assert_problem(refusal(world, params={"ticket": "nonsense"}), 401, "unauthorized")
    assert_problem(world.client.post("/api/v1/events/ticket"), 401, "unauthorized")


def test_without_redis_there_are_no_tickets(world, person):
    world.shop.redis.stop()
    try:
        answer = person.post("/api/v1/events/ticket")
        assert_problem(answer, 503, "unavailable")
        assert "retry-after" in answer.headers
        assert_problem(refusal(world, params={"ticket": "a"}), 503, "unavailable")
        stream = Stream(world, person)
        stream.begin()
        stream.close()
    finally:
        world.shop.redis.start()


def test_who_may_not(world, person):
    good = {"Authorization": "Bearer " + person.token}
    assert_problem(refusal(world), 401, "unauthorized")
    assert_problem(refusal(world, headers={"Authorization": "Bearer nonsense"}), 401, "unauthorized")
    assert_problem(refusal(world, headers={**good, "Origin": "https://elsewhere.example"}), 403, "forbidden")
    assert_problem(refusal(world, headers={**good, "Last-Event-ID": "o:x"}), 422, "invalid", "last_event_id")
    assert_problem(refusal(world, headers=good, params={"last_event_id": "17"}), 422, "invalid", "last_event_id")
    assert_problem(refusal(world, headers=good, params={"more": "1"}), 422, "invalid", "more")
    assert_problem(refusal(world, "/api/v1/ws", headers=good), 426, "upgrade_required")
    for origin in (SHOP_PAGE, world.shop.url()):
        Stream(world, person, origin=origin).close()
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        Stream(world, person, origin="https://elsewhere.example")
    assert refused.value.response.status_code == 403


def test_five_streams_a_person(world, person):
    streams = [Stream(world, person, kind) for kind in ("ws", "sse", "ws", "sse", "ws")]
    answer = refusal(world, headers={"Authorization": "Bearer " + person.token})
    assert_problem(answer, 429, "rate_limited")
    for stream in streams:
        stream.close()
    eventually(lambda: refused(world, person), WAIT, "streams that have left count")


def refused(world, person):
    try:
        Stream(world, person, "sse").close()
        return False
    except AssertionError:
        return True


def redis_set(shop, key, value):
    words = ["SET", key, value, "EX", "30"]
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(shop.redis.socket)
        s.sendall(f"*{len(words)}\r\n".encode() + b"".join(f"${len(w)}\r\n{w}\r\n".encode() for w in words))
        assert s.recv(5) == b"+OK\r\n"


@pytest.mark.parametrize("kind", ["ws", "sse"])
def test_a_stream_ends_with_its_token(world, person, kind):
    """By way of a ticket, which says when its token ends."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(kind.encode()).digest()).decode().rstrip("=")
    redis_set(world.shop, "bodega:1:ticket:" + digest, f"{person.id} {uuid.uuid4()} customer {int(time.time()) + 3}")
    stream = Stream(world, person, kind, ticket=kind)
    stream.begin()
    began = time.monotonic()
    assert stream.next() is None
    assert stream.code == 4401
    assert time.monotonic() - began < 6
    stream.close()


@pytest.mark.parametrize("type", ["bodega.session.ended", "bodega.user.deleted"])
def test_a_stream_ends_with_its_session(world, person, type):
    other = register(world.client)
    streams = [Stream(world, person, "ws"), Stream(world, person, "sse"), Stream(world, other, "ws")]
    for stream in streams:
        stream.begin()
    session = json.loads(base64.urlsafe_b64decode(person.token.split(".")[1] + "=="))["sid"]
    event = world.users.write(person.id, type)
    event["subject"] = session if type == "bodega.session.ended" else person.id
    world.broker.publish(event)
    for stream in streams[:2]:
        assert stream.next() is None
        assert stream.code == 4401
    [event] = world.tell(other.id)
    assert streams[2].next()["event"] == event
    if type == "bodega.session.ended":
        answer = refusal(world, headers={"Authorization": "Bearer " + person.token})
        assert_problem(answer, 401, "unauthorized")
    for stream in streams:
        stream.close()


def test_a_session_that_ended_unheard(world, person):
    """RabbitMQ is away: the gateways ask users."""
    other = register(world.client)
    streams = [Stream(world, person, "ws"), Stream(world, person, "sse", instance="gateway-2"), Stream(world, other, "ws")]
    for stream in streams:
        stream.begin()
    world.wire.cut()
    try:
        assert person.post("/api/v1/auth/logout").status_code == 204
        for stream in streams[:2]:
            assert stream.next() is None
            assert stream.code == 4401
        for instance in ("gateway", "gateway-2"):
            assert_problem(refusal(world, instance=instance, headers={"Authorization": "Bearer " + person.token}), 401, "unauthorized")
    finally:
        world.wire.mend()
    [event] = world.tell(other.id)
    assert streams[2].next()["event"] == event
    for stream in streams:
        stream.close()


def test_what_ended_before_a_gateway_began(world, person):
    world.shop.stop_program("gateway-2")
    assert person.post("/api/v1/auth/logout").status_code == 204
    world.shop.start_program("gateway-2")
    world.shop.wait_ready(["gateway-2"])
    for _ in range(8):  # on each of its threads, and before it asks for want of RabbitMQ
        eventually(lambda: httpx.get(world.shop.url("gateway-2") + "/api/v1/users/me", headers={
            "Authorization": "Bearer " + person.token}).status_code != 401, 5, "it is let through")


# ---- how much, and for how long ----


def handshake(world, token, receive_bytes=None, last=""):
    """A WebSocket as bare as it gets."""
    s = socket.socket()
    if receive_bytes is not None:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    s.settimeout(WAIT)
    s.connect(("127.0.0.1", world.shop.ports["gateway"]))
    s.sendall((f"GET /api/v1/ws?last_event_id={last} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
               f"Authorization: Bearer {token}\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        more = s.recv(1)
        assert more, head
        head += more
    assert head.startswith(b"HTTP/1.1 101 "), head
    return s


def test_a_slow_reader_is_closed(world, person):
    before = world.metric('bodega_live_streams_ended_total{kind="websocket",why="slow"}')
    slow = handshake(world, person.token, 8192)
    quick = Stream(world, person)
    quick.begin()
    for _ in range(26):  # not much more than is taken for it: it has seconds to take the farewell
        told = world.tell(person.id, 5, text="x" * 4000)
        assert positions(quick.take(5)) == of(told)
    end = time.monotonic() + WAIT
    received = b""
    while more := slow.recv(1 << 16):
        received += more
    assert time.monotonic() < end
    assert received.endswith(b"\x11\x38the reader is too slow")
    assert world.metric('bodega_live_streams_ended_total{kind="websocket",why="slow"}') == before + 1
    slow.close()
    quick.close()


def test_stopping_says_so(world, person):
    streams = [Stream(world, person, kind, instance="gateway-2") for kind in ("ws", "sse")]
    for stream in streams:
        stream.begin()
    world.shop.stop_program("gateway-2")
    for stream in streams:
        assert stream.next() is None
        assert stream.code == 1001
    for stream, kind in zip(streams, ("ws", "sse")):
        stream.close()
        again = Stream(world, person, kind, last=stream.last)
        assert again.begin() == []
        again.close()
    world.shop.start_program("gateway-2")
    world.shop.wait_ready(["gateway-2"])


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


@pytest.mark.skipif("asan" in os.environ.get("BUILD", ""), reason="the sanitizer's memory would be measured")
def test_a_thousand_idle_websockets(world):
    """Cost the gateway 10 MB at most."""
    pid = servers.recorded(world.shop.path("gateway.pid"))
    people = [register(world.client) for _ in range(200)]
    for person in people[:2]:  # what a thread makes once
        Stream(world, person).close()
    before = pss(pid)
    sockets = [handshake(world, person.token) for person in people for _ in range(5)]
    for s in sockets:
        assert b'"ready"' in s.recv(1000)
    cost = pss(pid) - before
    print(f"1,000 idle WebSockets cost {cost} kB")
    assert world.metric('bodega_live_streams{kind="websocket"}') == 1000
    assert cost <= 10_000
    told = world.tell(people[7].id)
    assert told[0]["id"].encode() in sockets[7 * 5].recv(4000)
    for s in sockets:
        s.close()
