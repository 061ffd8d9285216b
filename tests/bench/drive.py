# SPDX-License-Identifier: Apache-2.0
"""The load generators: each call gives {"requests", "seconds", "failures", "p50_ms", "p99_ms"}."""

import json
import os
import re
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


class Broken(Exception):
    """A load generator that did not do its work."""


def run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise Broken(f"{os.path.basename(command[0])} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def wrk(url, paths, seconds, connections=64, token=None):
    """HTTP/1.1, connections kept alive; the paths are a file of them."""
    out = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", os.path.join(HERE, "paths.lua"), url,
               paths, *([token] if token else [])])
    return json.loads(out.rpartition("RESULT ")[2])


def h2load(url, paths, seconds, connections=16, streams=32):
    """HTTP/2 in clear text by prior knowledge. Percentiles are taken from its log of requests."""
    with tempfile.NamedTemporaryFile(mode="r", encoding="ascii", prefix="h2load-") as log:
        out = run(["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "-i", paths, "-B", url,
                   f"--log-file={log.name}"])
        micros = sorted(int(line.split("\t")[2]) for line in log)
    failed = sum(map(int, re.search(r" (\d+) failed, (\d+) errored, (\d+) timeout", out).groups()))
    good, *bad = map(int, re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out).groups())
    return {"requests": good, "seconds": float(re.search(r"finished in ([\d.]+)s", out)[1]), "failures": failed + sum(bad),
            "p50_ms": quantile(micros, 0.5) / 1000, "p99_ms": quantile(micros, 0.99) / 1000}


def quantile(ordered, q):
    return ordered[int(q * (len(ordered) - 1))] if ordered else 0


class Load:
    """Our own generator (peer/load.go): any method, many tokens, and the open model."""

    def __init__(self, program, url, seconds, clients, rate=0, method="GET", bodies=None, tokens=None):
        self.command = [program, "load", "-url", url, "-duration", f"{seconds}s", "-clients", str(clients),
                        "-rate", str(rate), "-method", method]
        for flag, path in (("-bodies", bodies), ("-tokens", tokens)):
            self.command += [flag, path] if path else []

    def run(self):
        return self.result(run(self.command))

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        return self

    def wait(self):
        out, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise Broken("the load generator failed")
        return self.result(out)

    @staticmethod
    def result(out):
        found = json.loads(out)
        good = sum(count for status, count in found["statuses"].items() if status.startswith("2"))
        found["failures"] = sum(found["statuses"].values()) - good
        if found["failure"]:
            raise Broken(f"the load generator: {found['failure']}")
        return found


def pgbench(program, url, script, seconds, clients, settings):
    """Transactions a second of a script of bare SQL, its statements prepared, in sessions with these settings."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    out = run([program, "-n", "-M", "prepared", "-c", clients, "-j", 2, "-T", seconds, "-f", script, url],
              env={**os.environ, "PGOPTIONS": options})
    return {"requests": int(re.search(r"actually processed: (\d+)", out)[1]), "seconds": float(seconds),
            "failures": int(re.search(r"failed transactions: (\d+)", out)[1]),
            "p50_ms": float(re.search(r"latency average = ([\d.]+) ms", out)[1]), "p99_ms": 0.0}
