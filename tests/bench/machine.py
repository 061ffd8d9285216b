# SPDX-License-Identifier: Apache-2.0
"""What processes cost: CPU time and memory out of /proc."""

import os
import statistics
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


def stat(path):
    """The fields of a stat file from the state on; [11] and [12] are user and system time, [13] and [14] those of
    children that have ended."""
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def cpu(pid):
    """Seconds of CPU of a process."""
    fields = stat(f"/proc/{pid}/stat")
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_of_threads(pid, name):
    """Seconds of CPU of the process' threads of that name."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name:
                fields = stat(f"/proc/{pid}/task/{thread}/stat")
                total += int(fields[11]) + int(fields[12])
    return total / TICKS


def cpu_with_children(pid):
    """Seconds of CPU of a process and its children: a PostgreSQL server, with those of its processes that ended."""
    total = sum(int(field) for field in stat(f"/proc/{pid}/stat")[11:15])
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = stat(f"/proc/{name}/stat")
            except OSError:
                continue
            if int(fields[1]) == pid:
                total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory(pid):
    """(PSS, RSS) of a process in MB."""
    found = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        for line in rollup:
            name, _, rest = line.partition(":")
            if name in ("Pss", "Rss"):
                found[name] = int(rest.split()[0]) * 1024 / 1e6
    return found["Pss"], found["Rss"]


class PeakMemory:
    """Watches processes while the block runs; .pss and .rss are the largest sums that were seen, in MB."""

    def __init__(self, pids, every=0.3):
        self.pids = pids
        self.every = every
        self.pss = self.rss = 0.0
        self.ended = threading.Event()
        self.watcher = threading.Thread(target=self.watch)

    def __enter__(self):
        self.watcher.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.watcher.join()

    def watch(self):
        while not self.ended.wait(self.every):
            sums = [sum(values) for values in zip(*(memory(pid) for pid in self.pids))]
            self.pss = max(self.pss, sums[0])
            self.rss = max(self.rss, sums[1])


class Costs:
    """CPU seconds of services, PostgreSQL and Redis over a block."""

    def __init__(self, pids, postgres, redis):
        self.pids = pids
        self.postgres = postgres
        self.redis = redis

    def now(self):
        return (sum(cpu(pid) for pid in self.pids), cpu_with_children(self.postgres), cpu(self.redis), time.monotonic())

    def __enter__(self):
        self.begin = self.now()
        return self

    def __exit__(self, *_):
        self.service, self.database, self.cache, self.seconds = (
            after - before for after, before in zip(self.now(), self.begin))


def medians(rounds):
    """The median of each number over the rounds."""
    return {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}


def description():
    """What this machine is, for the report."""
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    with open("/proc/meminfo", encoding="ascii") as info:
        kilobytes = int(info.readline().split()[1])
    return f"{len(os.sched_getaffinity(0))} × {model}, {kilobytes / 1048576:.0f} GB, Linux {os.uname().release}"
