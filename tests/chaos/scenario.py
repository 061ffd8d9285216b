# SPDX-License-Identifier: Apache-2.0
"""One run: a shop of several replicas, one hot product, many buyers, and a plan of faults; then everything settles, and
the shop's databases and the buyers' book are compared."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time

import faults
import servers
from buyers import Book, Buyer, Goal
from listener import Listener, compare
from servers import Failed
from shop import Shop

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE_SECONDS = 90  # after the last fault, until all units are sold
SETTLE_SECONDS = 90  # after the last buyer, until nothing is under way
HEAR_SECONDS = 20  # then, until the last event is heard
PAID = "('paid', 'processing', 'shipped', 'delivered')"
TIMES = {"LEASE": "2s", "ORDER_TTL": "8s", "RESERVATION_TTL": "60s"}


class Scenario:
    def __init__(self, seed, seconds=60, buyers=1000, stock=100, replicas=2, build="build/dev", say=print):
        self.seed, self.seconds, self.buyers, self.stock, self.say = seed, seconds, buyers, stock, say
        self.complaints = []
        self.book = Book()
        self.scratch = servers.scratch_folder()
        folder = servers.run_folder(os.path.join(self.scratch, "shop"))
        overlooked = shutil.copy(os.path.join(ROOT, "tests/lsan.supp"), folder)  # where the programs can read it
        os.chmod(overlooked, 0o644)
        settings = {"BCRYPT_COST": "4", "WORKERS": "2", "LSAN_OPTIONS": "suppressions=" + overlooked, **TIMES}
        self.shop = Shop.on_free_ports(folder, build, settings, replicas={"orders": replicas, "products": replicas})
        self.proxy = self.listener = None

    # ---- the shop, with a proxy on every way ----

    def start(self):
        shop = self.shop
        shop.rabbitmq.launch()
        ways = self.lead_through_proxy()
        self.proxy = faults.Proxy(sys.executable, ways, os.path.join(self.scratch, "proxy.log"))
        shop.postgres.start()  # RabbitMQ takes as long
        shop.redis.start()
        shop.rabbitmq.wait_ready()
        self.listener = Listener(shop.rabbitmq)
        self.listener.start()
        self.listener.listening.wait(30)
        shop.start(products=10)

    def lead_through_proxy(self):
        """Sets the shop's addresses to the proxy's; gives its ways."""
        shop, sockets = self.shop, os.path.join(self.scratch, "ways")
        servers.private_folder(sockets)
        os.chmod(sockets, 0o711)
        ways = {"postgres": {"listen": os.path.join(sockets, ".s.PGSQL.5432"),
                             "to": os.path.join(shop.postgres.sockets, ".s.PGSQL.5432")},
                "redis": {"listen": os.path.join(sockets, "redis.sock"), "to": shop.redis.socket}}
        rabbit = shop.rabbitmq.url()
        port = int(rabbit.rpartition(":")[2].partition("/")[0])
        ways["rabbitmq"] = {"listen": servers.free_port(), "to": port}
        for instance in shop.instances:
            if instance != "gateway":
                ways[instance] = {"listen": servers.free_port(), "to": shop.ports[instance]}

        def urls(program):
            return ",".join(f"http://127.0.0.1:{ways[i]['listen']}" for i in shop.instances if i.split("-")[0] == program)

        new = {"RABBITMQ_URL": rabbit.replace(f":{port}/", f":{ways['rabbitmq']['listen']}/"),
               "REDIS_URL": "unix://" + ways["redis"]["listen"], "WEBHOOK_URL": urls("orders"),
               **{f"{program.upper()}_URL": urls(program) for program in ("users", "products", "orders", "payments")}}
        for program in ("users", "products", "orders", "payments", "gateway"):
            has = shop.environment_of(program)
            mine = {name: url for name, url in new.items() if name in has or name + "_FILE" in has}
            mine |= {name + "_FILE": None for name in mine if name + "_FILE" in has}
            if program != "gateway":
                mine["DATABASE_URL"] = f"postgresql:///{program}_db?host={sockets}&user={program}"
            shop.environment[program] = mine
        return ways

    # ---- the run ----

    def run(self):
        """True when all holds; `complaints` says what does not."""
        try:
            self.say(f"seed {self.seed}: {self.buyers} buyers, {self.stock} units, faults for {self.seconds} s")
            self.start()
            asyncio.run(self.trade())
            self.settle()
            self.compare()
        except (Failed, OSError) as failed:
            self.complaints.append(str(failed))
        finally:
            self.stop()
        self.complaints += self.book.complaints
        self.report()
        return not self.complaints

    async def trade(self):
        product = await asyncio.to_thread(self.make_product)
        self.product = product
        shop = self.shop
        processes = [i for i in shop.instances if i != "users"]
        ways = [i for i in shop.instances if i not in ("users", "gateway")] + ["postgres", "redis", "rabbitmq"]
        plan = faults.plan(self.seed, self.seconds, processes, ways)
        hands = faults.Hands(shop, self.proxy)
        goal = Goal(self.seconds, PATIENCE_SECONDS)
        self.begun = time.monotonic()
        buyers = [Buyer(n, self.seed, shop.ports["gateway"], product, self.book, goal) for n in range(self.buyers)]
        living = [asyncio.ensure_future(buyer.live()) for buyer in buyers]
        await hands.carry_out(plan, lambda text: self.say("  " + text))
        self.fault_count = len(plan)
        self.complaints += hands.complaints
        await self.until_sold(goal)
        await asyncio.gather(*living)

    async def until_sold(self, goal):
        while not goal.is_over():
            sold = await asyncio.to_thread(self.sold)
            if sold >= self.stock and goal.in_hand == 0:
                break
            await asyncio.sleep(0.5)
        goal.reached = True

    def sold(self):
        """Units of orders that are paid for."""
        rows = self.shop.postgres.sql(
            f"""SELECT coalesce(sum(i.quantity), 0) FROM orders o JOIN order_items i ON i.order_id = o.id
            WHERE o.status IN {PAID} AND o.step = 'idle' AND i.product_id = '{self.product}'""", "orders_db")
        return int(rows[0][0])

    def make_product(self):
        shop = self.shop
        seller = shop.credentials()["seller"]
        token = shop.call("POST", "/api/v1/auth/login", {k: seller[k] for k in ("email", "password")})["access_token"]
        made = shop.call("POST", "/api/v1/products", {"name": "Hot", "price": 19.99, "stock_quantity": self.stock}, token)
        return made["id"]

    # ---- afterwards ----

    def settle(self):
        """Until nothing is under way and verify finds nothing; what it still finds at the end is a complaint."""
        begun = time.monotonic()
        while found := self.shop.verify("--settled"):
            if time.monotonic() > begun + SETTLE_SECONDS:
                self.complaints += [f"verify: {finding}" for finding in found[:20]]
                break
            time.sleep(0.2)
        self.settle_seconds = time.monotonic() - begun

    def compare(self):
        """The book and the databases."""
        sold = self.sold()
        if sold != self.stock:
            self.complaints.append(f"{sold} units of {self.stock} are sold")
        placed = {order: user for order, user in self.shop.postgres.sql(
            "SELECT id, user_id FROM orders WHERE status <> 'reserving'", "orders_db")}
        told, keys = {}, {}
        for attempt in self.book.attempts:
            if attempt.status in (201, 202) and placed.get(attempt.order) != attempt.buyer.user:
                self.complaints.append(f"order {attempt.order}, answered {attempt.status}, is not there")
            if attempt.order is not None:
                told[attempt.order] = told.get(attempt.order, 0) + 1
                keys[attempt.key] = attempt.order
        self.complaints += [f"order {order} was the answer to {count} keys" for order, count in told.items() if count > 1]
        unknown = {attempt.buyer.user for attempt in self.book.attempts if attempt.status is None}
        self.complaints += [f"order {order} is of no key" for order, user in placed.items()
                            if order not in told and user not in unknown]
        self.order_count = len(placed)
        self.compare_events()

    def compare_events(self):
        """Published is confirmed by the broker, not yet heard by a listener."""
        end = time.monotonic() + HEAR_SECONDS
        while (wrong := compare(self.shop, self.listener.heard)) and time.monotonic() < end:
            time.sleep(0.2)
        self.complaints += wrong

    def stop(self):
        for instance in reversed(self.shop.instances):
            process = self.shop.processes.get(instance)
            if process is not None and process.poll() is not None:
                self.complaints.append(f"{instance} ended by itself with status {process.returncode}")
        if self.listener is not None:
            self.listener.stop()
        for instance in reversed(self.shop.instances):
            self.shop.stop_program(instance)
        self.shop.rabbitmq.stop(signal.SIGKILL)  # a goodbye takes it seconds
        self.shop.stop()
        if self.proxy is not None:
            self.proxy.stop()
        for instance in self.shop.instances:
            log = subprocess.run(["grep", "-aE", "Sanitizer|runtime error|check failed", self.shop.path("log", instance)],
                                 capture_output=True, text=True, check=False).stdout
            self.complaints += [f"{instance}: {line}" for line in log.splitlines()[:5]]
        if self.complaints and os.path.exists(self.shop.path("log")):
            kept = f"/tmp/bodega-chaos-{self.seed}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self.shop.path("log"), kept)
            self.say(f"  logs: {kept}")
        shutil.rmtree(self.scratch, ignore_errors=True)

    def report(self):
        book = self.book
        statuses = {}
        for attempt in book.attempts:
            statuses[attempt.status] = statuses.get(attempt.status, 0) + 1
        self.say(f"  {book.requests} requests: " + ", ".join(f"{count} {what}" for what, count in sorted(book.counts.items())))
        self.say(f"  {len(book.attempts)} attempts to buy: {statuses}; {getattr(self, 'order_count', '?')} orders, "
                 f"{len(self.listener.heard) if self.listener else 0} events, {getattr(self, 'fault_count', '?')} faults, settled in {getattr(self, 'settle_seconds', -1):.1f} s")
        for complaint in self.complaints[:30]:
            self.say("  WRONG: " + complaint)
        if self.complaints:
            self.say(f"seed {self.seed} FAILED ({len(self.complaints)} complaints); again: tests/chaos/run --seed {self.seed} "
                     f"--seconds {self.seconds} --buyers {self.buyers} --stock {self.stock}")
        else:
            self.say(f"seed {self.seed} is fine")
