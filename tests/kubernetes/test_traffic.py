# SPDX-License-Identifier: Apache-2.0
"""Where requests go while customers shop: away from a pod that dies at once, in time from one that ends, and to a new one
soon; only those fail that a dead one had in hand."""

import contextlib
import json
import os
import re
import signal
import time

import pytest

from cluster import NODE_PORT, PROGRAMS, wait_for
from traffic import RATE, load, nothing_fails, told

READY = 120
AGE = 15
VALUES = NODE_PORT | {"services.gateway.env.CONNECTION_AGE": f"{AGE}s"}


def test_a_client_with_one_connection_hears_of_an_upgrade_in_time(shop, url):
    """It holds its connection open all the while, and goes on over a new one when it is told to."""
    with nothing_fails(url, "--h1-connections", "1", "--h2-connections", "1", rate=8) as report:
        shop.kubectl("rollout", "restart", "deployment/bodega-gateway")
        shop.kubectl("rollout", "status", "deployment/bodega-gateway", "--timeout", "3m")
        wait_for(lambda: len(every(shop, "gateway")) == 2, 90, "the end of draining")
    assert report["connections"]["Http2"] > 1, told(report)


def every(shop, program):
    return shop.get("pods", "--selector", f"app.kubernetes.io/component={program}")["items"]


def names(shop, program):
    return [pod["metadata"]["name"] for pod in shop.pods(program)]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_pods_process_is_killed(shop, url, program):
    """Fails at most what was in flight, and nothing after two seconds. For a moment the cluster still leads to the dead one:
    whoever is refused there has sent nothing, and tries again as a load balancer does."""
    pod = shop.pods(program)[0]
    pid = process_of(pod, program)
    with load(url, RATE, "--connect-seconds", "2", "--settle", "5") as report:
        killed = time.time()
        os.kill(pid, signal.SIGKILL)
        shop.wait_ready(READY)
    print(json.dumps(told(report)))
    second = int(killed - report["begin"])
    in_flight = max(entry["in_flight"] for entry in report["timeline"] if second <= entry["second"] <= second + 1)
    assert report["failed"] <= in_flight, told(report)
    assert all(failure["at"] < killed + 2 for failure in report["failures"]), told(report)
    shop.verify()


def process_of(pod, program):
    """The program's process on this machine, if that is the node."""
    uid = pod["metadata"]["uid"]
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/cgroup", encoding="ascii") as file:
                group = file.read()
            if (uid in group or uid.replace("-", "_") in group) and os.readlink(f"/proc/{name}/exe").endswith(f"/{program}"):
                return int(name)
    pytest.skip("the node is another machine: its processes cannot be killed from here")


def requests_of(shop, program, port):
    """{pod: requests that it has answered}."""
    counts = {}
    for pod in names(shop, program):
        metrics = shop.kubectl("get", "--raw", f"/api/v1/namespaces/{shop.name}/pods/{pod}:{port}/proxy/metrics")
        counts[pod] = sum(float(value) for value in re.findall(r"^bodega_http_requests_total\{.*route=\"/api.*\} (\S+)$", metrics, re.M))
    return counts


def test_new_pods_get_their_share(shop, url):
    """Of 20 clients with one HTTP/2 connection each: within one age the gateway's pods have spread them. A service's pods
    are found in that time too."""
    with nothing_fails(url, "--h2-share", "1", "--h2-connections", "20"):
        for program in ("gateway", "products"):
            shop.kubectl("scale", f"deployment/bodega-{program}", "--replicas", "4")
        shop.wait_ready(READY)
        products = requests_of(shop, "products", 9082)
        time.sleep(AGE)  # within which both have to happen
        assert len(asked_since(shop, products, "products", 9082)) == 4
        gateways = requests_of(shop, "gateway", 9080)
        time.sleep(AGE)  # what came meanwhile is counted
        asked = asked_since(shop, gateways, "gateway", 9080)
    shares = {pod: round(count / sum(asked.values()), 3) for pod, count in asked.items()}
    print(shares)
    assert len(shares) == 4 and all(0.15 <= share <= 0.35 for share in shares.values()), shares


def asked_since(shop, before, program, port):
    """{pod: requests since then} of the pods that had any."""
    after = requests_of(shop, program, port)
    return {pod: after[pod] - before[pod] for pod in before if after[pod] > before[pod]}
