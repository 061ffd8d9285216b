# SPDX-License-Identifier: Apache-2.0
"""What is broken, and when: a plan made of a seed alone, and the hands that carry it out."""

import asyncio
import dataclasses
import json
import os
import random
import signal
import subprocess
import time

import servers
from servers import Failed

RESTART_TRIES = 20


@dataclasses.dataclass
class Fault:
    at: float  # seconds after the start
    what: str
    target: str
    number: float  # seconds that it lasts; of a cut: the share of the connections

    def __str__(self):
        return f"{self.at:6.2f} {self.what} {self.target} {self.number:.2f}"


def plan(seed, seconds, processes, ways):
    """Every kind of fault at every target comes before any comes twice."""
    dice = random.Random(f"faults {seed}")
    kinds = [(what, target) for target in processes for what in ("kill", "stop", "restart")]
    kinds += [("kill", server) for server in ("postgres", "redis", "rabbitmq")] + [("immediate", "postgres")]
    kinds += [("stop", server) for server in ("postgres", "redis", "rabbitmq")]
    kinds += [(what, way) for way in ways for what in ("cut", "refuse", "delay", "freeze")]
    faults, deck, at = [], [], dice.uniform(0.3, 1.0)
    while at < seconds:
        if not deck:
            deck = kinds[:]
            dice.shuffle(deck)
        what, target = deck.pop()
        number = dice.uniform(0.3, 1.0) if what == "cut" else dice.uniform(0.05, 2.5)
        faults.append(Fault(at, what, target, number))
        at += dice.uniform(0.2, 1.4)
    return faults


def family(pid):
    """The process and all that it has started."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                    parents.setdefault(int(stat.read().rpartition(")")[2].split()[1]), []).append(int(name))
            except OSError:
                pass
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


class Hands:
    """Carries faults out; `complaints` are programs that ended by themselves."""

    def __init__(self, shop, proxy):
        self.shop, self.proxy, self.complaints = shop, proxy, []
        self.locks = {}
        self.servers = {"postgres": shop.postgres, "redis": shop.redis, "rabbitmq": shop.rabbitmq}

    async def carry_out(self, faults, say=lambda text: None):
        """At the planned instants; of one target one after the other. Returns when all is well again."""
        begun, running = time.monotonic(), []
        for fault in faults:
            await asyncio.sleep(max(0, fault.at - (time.monotonic() - begun)))
            say(str(fault))
            running.append(asyncio.ensure_future(self.one(fault)))
        await asyncio.gather(*running)

    async def one(self, fault):
        if fault.what in ("cut", "refuse", "delay", "freeze"):
            self.proxy.order(fault)
            await asyncio.sleep(0 if fault.what == "cut" else fault.number)
            return
        async with self.locks.setdefault(fault.target, asyncio.Lock()):
            break_it = self.to_server if fault.target in self.servers else self.to_program
            await asyncio.to_thread(break_it, fault)

    def to_program(self, fault):
        shop, name = self.shop, fault.target
        process = shop.processes[name]
        if process.poll() is not None:
            self.complaints.append(f"{name} ended by itself with status {process.returncode}")
        if fault.what == "stop":
            return self.hold([process.pid], fault.number)
        shop.stop_program(name, signal.SIGKILL if fault.what == "kill" else signal.SIGTERM)
        if fault.what == "restart" and process.returncode not in (0, -signal.SIGTERM):  # the latter: while it started
            self.complaints.append(f"{name} ended with status {process.returncode} when it was asked to")
        time.sleep(fault.number if fault.what == "kill" else 0)  # the time that a supervisor takes
        shop.start_program(name)
        return None

    def to_server(self, fault):
        server = self.servers[fault.target]
        if fault.what == "stop":
            return self.hold(family(servers.recorded(server.pid_file)), fault.number)
        server.stop({"kill": signal.SIGKILL, "immediate": signal.SIGQUIT}[fault.what])
        time.sleep(fault.number)
        for attempt in range(RESTART_TRIES):
            try:
                server.start()
                return None
            except Failed:  # what the killed one has left behind is still there
                if attempt == RESTART_TRIES - 1:
                    raise
                time.sleep(0.2)
        return None

    @staticmethod
    def hold(pids, seconds):
        def send(number):
            for pid in pids:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass

        send(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            send(signal.SIGCONT)


class Proxy:
    """The process of proxy.py."""

    def __init__(self, python, ways, log):
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                [python, os.path.join(os.path.dirname(__file__), "proxy.py"), json.dumps(ways)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise Failed(f"the proxy does not start: {servers.tail(log)}")

    def order(self, fault):
        more = f" {random.Random(str(fault)).uniform(20, 300):.0f}" if fault.what == "delay" else ""
        self.process.stdin.write(f"{fault.what} {fault.target} {fault.number}{more}\n")
        self.process.stdin.flush()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)

