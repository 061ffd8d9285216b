# SPDX-License-Identifier: Apache-2.0
"""While customers shop at a steady rate every pod is replaced, in each way that operators and clusters do it, and no
request fails. (load.py offers the load, and its clients count as failed what has failed.)"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cluster import NEXT_TAG, PROGRAMS, ROOT, TAG, wait_for
from servers import Failed
from shop import call

RATE = os.environ.get("RATE", "200")
SETTLE_SECONDS = 3  # of load before and after what is done under it
VALUES = {"services.gateway.service.type": "NodePort"}


@pytest.fixture(scope="module")
def url(shop):
    """The gateway from outside: a node's port. Goods are there to buy."""
    port = shop.get("service", "bodega-gateway")["spec"]["ports"][0]["nodePort"]
    node = next(address["address"] for address in shop.get("nodes")["items"][0]["status"]["addresses"]
                if address["type"] == "InternalIP")
    url = f"http://{node}:{port}"
    seller = {"email": "seller@example.com", "password": "correct horse battery", "full_name": "Seller"}
    token = call(url, "POST", "/api/v1/auth/register", seller)["access_token"]
    for n in range(40):
        goods = {"name": f"Oak board {n}", "description": "Oak.", "category": "boards",
                 "price": 10 + n, "stock_quantity": 100000}
        call(url, "POST", "/api/v1/products", goods, token)
    return url


@contextlib.contextmanager
def customers(url, rate=RATE):
    """They shop until the block ends; then what came of it."""
    load = subprocess.Popen([sys.executable, os.path.join(ROOT, "tests/kubernetes/load.py"), "--url", url, "--rate", rate,
                             "--seconds", "3600"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = load.stderr.readline()
    if line != "begun\n":
        raise Failed(line + load.stderr.read())
    try:
        time.sleep(SETTLE_SECONDS)
        yield
        time.sleep(SETTLE_SECONDS)
    finally:
        load.send_signal(signal.SIGINT)
        told = load.communicate(timeout=60)[0]
    report = json.loads(told)
    print({key: report[key] for key in ("seconds", "sent", "ok", "failed", "resent", "connections", "latency_ms")})
    with open(os.path.join(ROOT, "build/load.json"), "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
    assert report["failures"] == []
    assert report["failed"] == 0 and report["ok"] == report["sent"]


def test_upgrade_and_rollback(shop, url):
    """Another image and another schema, and back; the schema stays."""
    with customers(url):
        shop.upgrade("--wait", "--wait-for-jobs", "--timeout", "4m", tag=NEXT_TAG, values=VALUES)
    assert images(shop) == {f"bodega:{NEXT_TAG}"}
    with customers(url):
        shop.helm("rollback", "bodega", "1", "--wait", "--wait-for-jobs", "--timeout", "4m")
    assert images(shop) == {f"bodega:{TAG}"}
    assert shop.restarts() == {}
    shop.test()


def test_scale(shop, url):
    """One service after the other, each by four pods at once."""
    with customers(url):
        for program in PROGRAMS:
            for replicas in (6, 2):
                shop.kubectl("scale", f"deployment/bodega-{program}", "--replicas", str(replicas))
                shop.wait_ready(180)
        wait_for(lambda: len(every_pod(shop)) == 2 * len(PROGRAMS), 90, "the pods end")
    assert shop.restarts() == {}


def test_evict(shop, url):
    """Each pod once. A budget lets one of a service go at a time, and the second is refused until the first is replaced."""
    with customers(url):
        for program in PROGRAMS:
            first, second = [pod["metadata"]["name"] for pod in shop.pods(program)]
            evict(shop, first)
            with pytest.raises(Failed, match="disruption budget"):
                evict(shop, second)
            wait_for(lambda pod=second: evicted(shop, pod), 120, f"{second} may be evicted")
        shop.wait_ready(120)


def test_delete(shop, url):
    with customers(url):
        for program in PROGRAMS:
            for pod in shop.pods(program):
                shop.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
                shop.wait_ready(120)


def test_it_agrees(shop):
    """What was sold, held and paid while all of that happened."""
    wait_for(lambda: json.loads(shop.bodegactl("verify", "--output", "json"))["findings"] == [], 60, "verify finds nothing wrong")


def every_pod(shop):
    return [pod for program in PROGRAMS
            for pod in shop.get("pods", "--selector", f"app.kubernetes.io/component={program}")["items"]]


def images(shop):
    return {pod["spec"]["containers"][0]["image"] for program in PROGRAMS for pod in shop.pods(program)}


def evict(shop, pod):
    shop.kubectl("create", "--raw", f"/api/v1/namespaces/{shop.name}/pods/{pod}/eviction", "--filename", "-", text=json.dumps({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": shop.name}}))


def evicted(shop, pod):
    try:
        evict(shop, pod)
    except Failed as failed:
        if "disruption budget" not in str(failed):
            raise
        return False
    return True
