# SPDX-License-Identifier: Apache-2.0
"""While customers shop at a steady rate every pod is replaced, in each way that operators and clusters do it, and no
request fails."""

import json

import pytest

from cluster import NEXT_TAG, NODE_PORT, PROGRAMS, TAG, wait_for
from servers import Failed
from traffic import nothing_fails

VALUES = NODE_PORT


def test_upgrade_and_rollback(shop, url):
    """Another image and another schema, and back; the schema stays."""
    with nothing_fails(url):
        shop.upgrade("--wait", "--wait-for-jobs", "--timeout", "4m", tag=NEXT_TAG, values=VALUES)
    assert images(shop) == {f"bodega:{NEXT_TAG}"}
    with nothing_fails(url):
        shop.helm("rollback", "bodega", "1", "--wait", "--wait-for-jobs", "--timeout", "4m")
    assert images(shop) == {f"bodega:{TAG}"}
    assert shop.restarts() == {}
    shop.test()


def test_scale(shop, url):
    """One service after the other, each by four pods at once."""
    with nothing_fails(url):
        for program in PROGRAMS:
            for replicas in (6, 2):
                shop.kubectl("scale", f"deployment/bodega-{program}", "--replicas", str(replicas))
                shop.wait_ready(180)
        wait_for(lambda: len(every_pod(shop)) == 2 * len(PROGRAMS), 90, "the pods end")
    assert shop.restarts() == {}


def test_evict(shop, url):
    """Each pod once. A budget lets one of a service go at a time, and the second is refused until the first is replaced."""
    with nothing_fails(url):
        for program in PROGRAMS:
            first, second = [pod["metadata"]["name"] for pod in shop.pods(program)]
            evict(shop, first)
            with pytest.raises(Failed, match="disruption budget"):
                evict(shop, second)
            wait_for(lambda pod=second: evicted(shop, pod), 120, f"{second} may be evicted")
        shop.wait_ready(120)


def test_delete(shop, url):
    with nothing_fails(url):
        for program in PROGRAMS:
            for pod in shop.pods(program):
                shop.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
                shop.wait_ready(120)


def test_it_agrees(shop):
    """What was sold, held and paid while all of that happened."""
    shop.verify()


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
