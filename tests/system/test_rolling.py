# SPDX-License-Identifier: Apache-2.0
"""Programs are replaced one after the other while customers shop: no request fails. The load is the one of the cluster's
tests; between it and two gateways stands what a cluster puts there: new connections go to those that are ready."""

import asyncio
import collections
import contextlib
import os
import signal
import sys
import threading
import time

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

import servers
from conftest import ROOT, close_shop, make_shop

sys.path.insert(0, os.path.join(ROOT, "tests/kubernetes"))
from clients import Http1, Http2, Lost, Request  # noqa: E402
from traffic import load, told  # noqa: E402

NOTICED = 0.3  # seconds after which a cluster sends nothing new to an instance that is not ready any more
RATE = 40
AGE = 30  # seconds, of a gateway's connections; no earlier than a tenth before is one told to go for that


class Balancer:
    """Passes each new connection on to the ready gateway that has the fewest; knows nothing of HTTP."""

    def __init__(self, shop, instances):
        self.port = servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.shop, self.instances, self.ready = shop, instances, []
        self.open = collections.Counter()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.run(),))
        self.stopping = asyncio.Event()

    def __enter__(self):
        self.thread.start()
        servers.wait_for(lambda: len(self.ready) == len(self.instances), 10, "ready gateways")
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join()

    async def run(self):
        listening = await asyncio.start_server(self.accept, "127.0.0.1", self.port, backlog=256)
        watching = asyncio.create_task(self.watch())
        await self.stopping.wait()
        watching.cancel()
        listening.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # in which what was aborted is closed

    async def watch(self):
        async with httpx.AsyncClient() as client:
            while True:
                self.ready = [instance for instance in self.instances if await self.is_ready(client, instance)]
                await asyncio.sleep(NOTICED)

    async def is_ready(self, client, instance):
        try:
            return (await client.get(self.shop.admin_url(instance) + "/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    async def accept(self, reader, writer):
        try:
            instance = min(self.ready, key=self.open.__getitem__)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.shop.ports[instance])
        except (OSError, ValueError):  # it died, and nobody knows yet; or none is ready
            writer.transport.abort()
            return
        self.open[instance] += 1
        try:
            await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))
        finally:
            self.open[instance] -= 1
            writer.transport.abort()
            far_writer.transport.abort()


async def carry(reader, writer):
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


@pytest.fixture(scope="module")
def shop():
    running = make_shop({"DRAIN_DELAY": "2s", "gateway": {"CONNECTION_AGE": f"{AGE}s"}}, products=30, replicas={"gateway": 2, "users": 2, "products": 2, "orders": 2, "payments": 2})
    yield running
    close_shop(running)


def replace(shop, instance):
    assert shop.stop_program(instance)
    shop.start_program(instance)
    shop.wait_ready([instance])


def test_replacing_every_instance_fails_no_request(shop):
    with Balancer(shop, ["gateway", "gateway-2"]) as balancer, load(balancer.url, RATE) as report:
        for instance in shop.instances:
            replace(shop, instance)
            time.sleep(3 * NOTICED)  # a cluster goes on when it knows that the new one is ready
    assert report["failed"] == 0, told(report)
    assert report["ok"] > RATE * 10
    assert report["connections"]["Http1"] > 16 and report["connections"]["Http2"] > 8  # those of the old ones were given up


def test_connections_spread_over_a_new_gateway(shop):
    """Long before they are old, those of the first go to both."""
    shop.stop_program("gateway-2")
    http2 = ("--settle", "2", "--h2-share", "1", "--h2-connections", "20")
    with Balancer(shop, ["gateway"]) as balancer, load(balancer.url, RATE, *http2) as report:
        before = shed(shop)
        shop.start_program("gateway-2")
        balancer.instances = ["gateway", "gateway-2"]
        servers.wait_for(lambda: abs(balancer.open["gateway"] - balancer.open["gateway-2"]) <= 2, 0.8 * AGE,
                         "as many connections to each")
        assert shed(shop) > before
    assert report["failed"] == 0, told(report)


def shed(shop):
    metrics = httpx.get(shop.admin_url("gateway") + "/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in metrics if line.startswith('bodega_http_connections_ended_total{why="shed"} '))


def test_a_gateway_that_dies_is_counted(shop):
    """Else the test above could not fail."""
    with Balancer(shop, ["gateway", "gateway-2"]) as balancer, load(balancer.url, RATE) as report:
        time.sleep(1)
        shop.stop_program("gateway", signal.SIGKILL)
        time.sleep(1)
        shop.start_program("gateway")
        shop.wait_ready(["gateway"])
    assert report["failed"] > 0


# ---- the clients, against servers that misbehave in one way each ----


def ask(client_class, serve):
    """The outcome of one request to a server made of `serve(reader, writer)`, and the client."""

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = client_class(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 1)
        try:
            answers = [await asyncio.wait_for(client.send(Request("GET", "/")), 5) for _ in range(2)]
        finally:
            client.close()
            server.close()
        return [status for status, _ in answers], client

    return asyncio.run(run())


def test_http1_gives_up_a_connection_whose_answer_says_close():
    asked = []

    async def serve(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            asked.append(id(writer))
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    statuses, client = ask(Http1, serve)
    assert statuses == [200, 200] and client.opened == 2 and len(set(asked)) == 2


def test_http1_sends_nothing_twice():
    asked = []

    async def serve(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    with pytest.raises(Lost, match="connection lost"):
        ask(Http1, serve)
    assert len(asked) == 1


class Server2:
    """HTTP/2 that answers each stream by `answer(h2, number of the stream, how many came before)`."""

    def __init__(self, answer):
        self.answer, self.asked = answer, 0

    async def __call__(self, reader, writer):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        while True:
            writer.write(connection.data_to_send())
            if not (data := await reader.read(65536)):
                return
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.answer(connection, event.stream_id, self.asked)
                    self.asked += 1


def fine(connection, number):
    connection.send_headers(number, [(":status", "200")], end_stream=True)


@pytest.mark.parametrize("kind, refuse, connections", [
    ("refused", lambda connection, number: connection.reset_stream(number, 7), 1),
    ("goaway", lambda connection, _: connection.close_connection(last_stream_id=0), 2),
])
def test_http2_sends_again_what_was_not_processed(kind, refuse, connections):
    server = Server2(lambda connection, number, before: fine(connection, number) if before else refuse(connection, number))
    statuses, client = ask(Http2, server)
    assert statuses == [200, 200] and server.asked == 3
    assert client.resent == {kind: 1} and client.opened == connections


@pytest.mark.parametrize("spoil", [
    lambda connection, number: connection.reset_stream(number, 2),  # INTERNAL_ERROR: who knows what was done
    lambda connection, number: connection.close_connection(last_stream_id=number),  # it may have been processed
])
def test_http2_does_not_send_again_what_may_have_been_processed(spoil):
    async def serve(reader, writer):
        await Server2(lambda connection, number, _: (spoil(connection, number), asyncio.get_running_loop().call_later(
            0.05, writer.close)))(reader, writer)

    with pytest.raises(Lost):
        ask(Http2, serve)
