# SPDX-License-Identifier: Apache-2.0
"""Buyers as good clients are: each operation has an Idempotency-Key and is sent again, the same, until its outcome is
known; and a book of what they were told."""

import asyncio
import json
import random
import time
import uuid

PASSWORD = "correct horse battery"
ANSWER_SECONDS = 15
# Of a buyer who has an order: what becomes of it, in parts of 100, until all buyers mean it.
FATES = (("cancel", 45), ("forget", 15), ("decline", 10), ("pay", 10), ("pay and cancel", 20))
GOOD_TOKENS = ("tok_ok", "tok_ok", "tok_ok", "tok_slow", "tok_error", "tok_timeout", "tok_async")
BAD_TOKENS = ("tok_declined", "tok_insufficient_funds")
BUSY = ("order_busy", "idempotency_key_busy")


class Broken(Exception):
    """What no client should ever see."""


class Connection:
    """HTTP/1.1, one request after the other over one connection that stays open."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def ask(self, method, path, headers, body):
        """Status, headers and body; OSError or EOFError when the connection broke."""
        try:
            return await asyncio.wait_for(self.exchange(method, path, headers, body), ANSWER_SECONDS)
        except BaseException:
            self.close()
            raise

    async def exchange(self, method, path, headers, body):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = [f"{method} {path} HTTP/1.1", "Host: shop", *(f"{name}: {value}" for name, value in headers.items())]
        if body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + (body or b""))
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        got = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        content = await self.content(got)
        if got.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), got, content

    async def content(self, headers):
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", 0)))
        whole = b""
        while size := int(await self.reader.readline(), 16):
            whole += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return whole

    def close(self):
        if self.writer is not None:
            self.writer.transport.abort()
        self.reader = self.writer = None


class Book:
    """What all buyers were told."""

    def __init__(self):
        self.attempts = []  # of buying; see Attempt
        self.counts = {}  # answers by status and code, broken connections as "lost"
        self.complaints = []
        self.requests = 0

    def count(self, what):
        self.requests += 1
        self.counts[what] = self.counts.get(what, 0) + 1


class Attempt:
    """To buy one unit: a key, the same body whenever it is sent, and how it ended."""

    def __init__(self, buyer, key, body):
        self.buyer, self.key, self.body = buyer, key, body
        self.status, self.answer, self.order = None, None, None
        self.paid = False  # and the buyer was told so


class Buyer:
    def __init__(self, number, seed, port, product, book, goal):
        self.number, self.product, self.book, self.goal = number, product, book, goal
        self.dice = random.Random(f"buyer {number} of {seed}")
        self.connection = Connection(port)
        self.user, self.token = None, None

    # ---- speaking ----

    async def send(self, method, path, body=None, key=None):
        """One try: status, headers, body; (0, {}, b"") when there was no answer."""
        headers = {"Authorization": "Bearer " + self.token} if self.token else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            status, got, content = await self.connection.ask(method, path, headers, body)
        except (OSError, EOFError, asyncio.TimeoutError):
            self.book.count("lost")
            return 0, {}, b""
        code = json.loads(content).get("code", "") if status >= 400 else ""
        self.book.count(f"{status} {code}".strip())
        if status >= 400 and (status == 500 or not code):
            self.book.complaints.append(f"{method} {path}: {status} {content[:300]!r}")
        return status, got, content

    async def until_known(self, method, path, body=None, key=None):
        """Sends the same until the outcome is known; gives up with Broken when the run is over."""
        wait = 0.05
        while True:
            status, headers, content = await self.send(method, path, body, key)
            is_busy = status == 409 and json.loads(content)["code"] in BUSY
            if status not in (0, 429, 502, 503, 504) and not is_busy:
                return status, headers, content
            if self.goal.is_over():
                raise Broken(f"no answer to {method} {path} with key {key}: {status} {content[:300]!r}")
            await self.pause(wait)
            wait = min(wait * 2, 2)

    async def pause(self, longest):
        await asyncio.sleep(self.dice.uniform(longest / 2, longest))

    # ---- living ----

    async def live(self):
        try:
            await asyncio.sleep(self.dice.uniform(0, self.goal.arrival_seconds))
            await self.register()
            while not self.goal.is_reached():
                await self.buy()
        except Broken as broken:
            self.book.complaints.append(f"buyer {self.number}: {broken}")
        finally:
            self.connection.close()

    async def register(self):
        while self.token is None:
            body = json.dumps({"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}).encode()
            status, _, content = await self.send("POST", "/api/v1/auth/register", body)
            if status == 201:
                session = json.loads(content)
                self.user, self.token = session["user"]["id"], session["access_token"]
            elif self.goal.is_over():
                raise Broken(f"cannot register: {status} {content[:300]!r}")
            else:
                await self.pause(0.5)

    async def buy(self):
        """One attempt, to its end."""
        fate = self.fate()
        wanted = {"items": [{"product_id": self.product, "quantity": 1}], "metadata": {"buyer": self.number}}
        at_once = fate in ("pay", "decline", "pay and cancel") and self.dice.random() < 0.5
        token = self.dice.choice(BAD_TOKENS if fate == "decline" else GOOD_TOKENS)
        if at_once:
            wanted["payment"] = {"method": "card", "token": token}
        attempt = Attempt(self, uuid.UUID(int=self.dice.getrandbits(128), version=4).hex, json.dumps(wanted).encode())
        self.book.attempts.append(attempt)
        attempt.status, headers, attempt.answer = await self.until_known("POST", "/api/v1/orders", attempt.body, attempt.key)
        answer = json.loads(attempt.answer)
        attempt.order = answer.get("id") or answer.get("order_id")
        if self.dice.random() < 0.2:
            await self.repeat(attempt, headers)
        if attempt.status in (201, 202):
            self.goal.in_hand += fate == "pay and cancel"
            await self.go_on(attempt, fate, token, at_once)
            self.goal.in_hand -= fate == "pay and cancel"
        elif attempt.status not in (402, 409):
            raise Broken(f"POST /orders: {attempt.status} {attempt.answer[:300]!r}")
        await self.pause(2 if attempt.status == 409 else 0.5)

    def fate(self):
        if self.goal.is_meant():
            return "pay"
        number = self.dice.uniform(0, 100)
        for fate, parts in FATES:
            number -= parts
            if number < 0:
                return fate
        return FATES[-1][0]

    async def repeat(self, attempt, headers):
        """The same key and body get the same answer, byte for byte."""
        status, again, content = await self.until_known("POST", "/api/v1/orders", attempt.body, attempt.key)
        same = (status, content, again.get("etag"), again.get("location")) == (
            attempt.status, attempt.answer, headers.get("etag"), headers.get("location"))
        if not same:
            self.book.complaints.append(f"key {attempt.key}: {attempt.status} {attempt.answer!r} became {status} {content!r}")

    async def go_on(self, attempt, fate, token, at_once):
        await self.pause(1)
        if fate in ("pay", "decline", "pay and cancel") and not at_once:
            body = json.dumps({"method": "card", "token": token}).encode()
            status, _, content = await self.until_known(
                "POST", f"/api/v1/orders/{attempt.order}/pay", body, attempt.key + "-pay")
            if status not in (200, 202, 402, 409):
                raise Broken(f"pay {attempt.order}: {status} {content[:300]!r}")
        if fate in ("cancel", "decline", "pay and cancel"):
            await self.pause(1)
            status, _, content = await self.until_known(
                "POST", f"/api/v1/orders/{attempt.order}/cancel", b"{}", attempt.key + "-cancel")
            if status not in (200, 202, 409):
                raise Broken(f"cancel {attempt.order}: {status} {content[:300]!r}")


class Goal:
    """When buyers come, from when on they mean it, and when it is over."""

    def __init__(self, seconds, patience):
        self.begun = time.monotonic()
        self.arrival_seconds = seconds * 0.5
        self.meant_after = seconds * 0.75
        self.over_after = seconds + patience
        self.reached = False
        self.in_hand = 0  # orders that are paid or will be, and then cancelled

    def is_meant(self):
        return time.monotonic() - self.begun > self.meant_after

    def is_over(self):
        return time.monotonic() - self.begun > self.over_after

    def is_reached(self):
        return self.reached or self.is_over()
