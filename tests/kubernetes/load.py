#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Customers of a shop, at a steady rate whatever its answers do: half by HTTP/1.1 with kept connections, half by HTTP/2.

    tests/kubernetes/load.py --url http://10.96.1.2:8080 --rate 200 --seconds 60

They look at goods, search, order and cancel (so that the stock stays); accounts are made before, no password is hashed
while it runs. Latency counts from the time at which a request was due. Prints a report in JSON when the time is up or
at SIGINT or SIGTERM; exit status 1 when a request failed. What counts as failed: clients.py.
"""

import argparse
import asyncio
import collections
import itertools
import json
import math
import random
import signal
import sys
import time
import uuid

import httpx

from clients import Http1, Http2, Lost, Request

ANSWER_SECONDS = 10
ORDERS_OPEN = 12  # so many exist at a time; then one is cancelled for each that is made
FAILURES_TOLD = 200
JSON = {"content-type": "application/json"}


class Customers:
    """What is asked next, and what it must answer."""

    def __init__(self, url, accounts, ca_file):
        self.orders = collections.deque()
        with httpx.Client(base_url=url, verify=ca_file or True, timeout=ANSWER_SECONDS) as client:
            self.tokens = [self.register(client) for _ in range(accounts)]
            found = self.goods(client) or self.offer(client)
        self.products = [product["id"] for product in found]
        self.plenty = [product["id"] for product in found if product["stock_quantity"] > 2 * ORDERS_OPEN]

    @staticmethod
    def goods(client):
        """What is there, if there is enough of something."""
        found = client.get("/api/v1/products", params={"in_stock": "true", "limit": 100}).raise_for_status().json()["data"]
        return found if any(product["stock_quantity"] > 2 * ORDERS_OPEN for product in found) else []

    def offer(self, client):
        """Where everybody may sell (as in the profile for development), the load brings its own goods."""
        mine = {"Authorization": f"Bearer {self.tokens[0]}"}
        goods = [{"name": f"Oak tray {n}", "price": 29.99, "stock_quantity": 10000} for n in range(20)]
        return [client.post("/api/v1/products", json=product, headers=mine).raise_for_status().json() for product in goods]

    @staticmethod
    def register(client):
        account = {"email": f"load-{uuid.uuid4()}@example.com", "password": "correct horse battery", "full_name": "Load"}
        return client.post("/api/v1/auth/register", json=account).raise_for_status().json()["access_token"]

    def next(self):
        """(kind, request, the statuses that are right, what to do with the answer's body)."""
        token = random.choice(self.tokens)
        mine = {"authorization": f"Bearer {token}"}
        dice = random.random()
        if dice < 0.30:
            return "list", Request("GET", "/api/v1/products?limit=20"), {200}, None
        if dice < 0.65:
            return "read", Request("GET", f"/api/v1/products/{random.choice(self.products)}"), {200}, None
        if dice < 0.75:
            return "search", Request("GET", "/api/v1/products/search?q=oak&limit=5"), {200}, None
        if dice < 0.80:
            return "orders", Request("GET", "/api/v1/orders?limit=5", mine), {200}, None
        if len(self.orders) >= ORDERS_OPEN:
            order, owner = self.orders.popleft()
            owners = {"authorization": f"Bearer {owner}"}
            return "cancel", Request("POST", f"/api/v1/orders/{order}/cancel", owners), {200, 202}, None  # 202: it is being done
        body = json.dumps({"items": [{"product_id": random.choice(self.plenty), "quantity": 1}]}).encode()
        headers = {**mine, **JSON, "idempotency-key": str(uuid.uuid4())}
        return "order", Request("POST", "/api/v1/orders", headers, body), {201}, lambda text: self.ordered(text, token)

    def ordered(self, text, token):
        self.orders.append((json.loads(text)["id"], token))


class Tally:
    def __init__(self):
        self.begin = time.time()
        self.sent = self.ok = self.failed = self.in_flight = 0
        self.statuses = collections.Counter()
        self.kinds = collections.Counter()
        self.latencies = []
        self.late_ms = 0.0
        self.failures = []
        self.seconds = collections.defaultdict(lambda: {"sent": 0, "failed": 0, "in_flight": 0})

    def second(self):
        return self.seconds[int(time.time() - self.begin)]

    def begins(self, kind, due):
        self.sent += 1
        self.in_flight += 1
        self.kinds[kind] += 1
        self.late_ms = max(self.late_ms, (time.monotonic() - due) * 1000)
        second = self.second()
        second["sent"] += 1
        second["in_flight"] = max(second["in_flight"], self.in_flight)

    def succeeds(self, status, due):
        self.in_flight -= 1
        self.ok += 1
        self.statuses[status] += 1
        self.latencies.append((time.monotonic() - due) * 1000)

    def fails(self, protocol, kind, reason, sent_at):
        self.in_flight -= 1
        self.failed += 1
        self.second()["failed"] += 1
        if len(self.failures) < FAILURES_TOLD:
            self.failures.append({"at": round(time.time(), 3), "sent_at": round(sent_at, 3), "protocol": protocol, "kind": kind,
                                  "reason": reason})

    def report(self, clients):
        ordered = sorted(self.latencies)
        at = lambda share: round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2) if ordered else None
        return {
            "begin": round(self.begin, 3), "seconds": round(time.time() - self.begin, 2),
            "sent": self.sent, "ok": self.ok, "failed": self.failed,
            "resent": {name: sum(client.resent[name] for client in clients) for name in ("goaway", "refused")},
            "connects_refused": sum(client.refused for client in clients),
            "connections": {type(client).__name__: client.opened for client in clients},
            "latency_ms": {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0)},
            "late_ms_max": round(self.late_ms, 2), "kinds": dict(self.kinds), "statuses": dict(self.statuses),
            "failures": self.failures, "timeline": [{"second": n, **counts} for n, counts in sorted(self.seconds.items())],
        }


async def one(client, customers, tally, due):
    protocol = type(client).__name__
    kind, request, right, then = customers.next()
    sent_at = time.time()
    tally.begins(kind, due)
    try:
        status, body = await asyncio.wait_for(client.send(request), ANSWER_SECONDS)
    except Lost as lost:
        return tally.fails(protocol, kind, str(lost), sent_at)
    except asyncio.TimeoutError:
        return tally.fails(protocol, kind, f"no answer in {ANSWER_SECONDS} s", sent_at)
    if status not in right:
        return tally.fails(protocol, kind, f"{status}: {body[:300].decode(errors='replace')}", sent_at)
    tally.succeeds(status, due)
    if then:
        then(body)


def by_http2(n, share):
    """Whether request n goes by HTTP/2: of any that follow each other it is that share."""
    return math.floor((n + 1) * share) > math.floor(n * share)


async def offer(arguments, customers):
    """The open model: request n is due at n / rate, and is sent then."""
    options = {"ca_file": arguments.ca_file, "connect_seconds": arguments.connect_seconds}
    clients = [Http1(arguments.url, arguments.h1_connections, **options), Http2(arguments.url, arguments.h2_connections, **options)]
    tally, running, stop = Tally(), set(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    begin, settle = time.monotonic(), int(arguments.rate * arguments.settle)
    end = int(arguments.rate * arguments.seconds)
    for n in itertools.count():
        if n == settle:
            print("begun", file=sys.stderr, flush=True)
        if stop.is_set():
            end = min(end, n + settle)
            stop.clear()
        if n >= end:
            break
        due = begin + n / arguments.rate
        if (ahead := due - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        running.add(task := asyncio.create_task(one(clients[by_http2(n, arguments.h2_share)], customers, tally, due)))
        task.add_done_callback(running.discard)
    if running:
        await asyncio.gather(*running)
    for client in clients:
        client.close()
    await asyncio.sleep(0)  # the connections are closed by the loop
    return tally.report(clients)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="the gateway: http:// (HTTP/2 by prior knowledge) or https:// (by ALPN)")
    parser.add_argument("--rate", type=float, default=200, help="requests a second in all (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: %(default)s)")
    parser.add_argument("--settle", type=float, default=0,
                        help="seconds of requests before it says \"begun\", and after it is told to stop (default: %(default)s)")
    parser.add_argument("--h1-connections", type=int, default=16, help="kept by HTTP/1.1 (default: %(default)s)")
    parser.add_argument("--h2-connections", type=int, default=8, help="kept by HTTP/2 (default: %(default)s)")
    parser.add_argument("--h2-share", type=float, default=0.5, help="of the requests go by HTTP/2 (default: %(default)s)")
    parser.add_argument("--accounts", type=int, default=4, help="made before it begins (default: %(default)s)")
    parser.add_argument("--connect-seconds", type=float, default=0,
                        help="try again for so long where a connection is refused, as load balancers do (default: %(default)s)")
    parser.add_argument("--ca-file", help="authorities to trust in place of the system's")
    arguments = parser.parse_args()
    report = asyncio.run(offer(arguments, Customers(arguments.url, arguments.accounts, arguments.ca_file)))
    json.dump(report, sys.stdout, indent=1)
    print()
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
