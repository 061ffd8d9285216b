# SPDX-License-Identifier: Apache-2.0
"""A server's pod is deleted and comes back: nobody of ours restarts or becomes unready, new pods become ready where they do
not need it, and what was sold and paid still agrees."""

import pytest

from cluster import wait_for
from servers import Failed

RECONNECT_SECONDS = 30  # addresses are looked up every 5 s, a server that was away is tried again after 2 s at most


@pytest.mark.parametrize("server", ["redis", "rabbitmq", "postgresql"])
def test_deleted_and_back(shop, server):
    shop.test()
    # It stays away for a while: its pod may be made again, but has nowhere to run.
    shop.kubectl("scale", f"statefulset/bodega-{server}", "--replicas", "0")
    wait_for(lambda: not shop.get("pods", "--selector", f"app.kubernetes.io/component={server}")["items"], 90, f"{server} ends")
    shop.kubectl("scale", "deployment/bodega-products", "--replicas", "3")
    if server == "postgresql":
        with pytest.raises(Failed):  # a new pod waits for its database
            shop.wait_ready(10)
        assert len([pod for pod in shop.pods("products") if is_ready(pod)]) == 2, "those that were ready stay so"
    else:
        shop.kubectl("rollout", "status", "deployment/bodega-products", "--timeout", "30s")
    for program in ("gateway", "users", "orders"):
        assert all(is_ready(pod) for pod in shop.pods(program))
    shop.kubectl("scale", f"statefulset/bodega-{server}", "--replicas", "1")
    shop.wait_ready(90)
    wait_for(lambda: sells(shop), RECONNECT_SECONDS, f"all have found {server} again")
    shop.kubectl("scale", "deployment/bodega-products", "--replicas", "2")
    shop.wait_ready(90)
    assert shop.restarts() == {}
    shop.verify()


@pytest.mark.parametrize("server", ["redis", "rabbitmq", "postgresql"])
def test_killed(shop, server):
    """As a crash does it, without time to write anything."""
    shop.kubectl("delete", "pod", f"bodega-{server}-0", "--grace-period", "0", "--force")
    shop.wait_ready(90)
    wait_for(lambda: sells(shop), RECONNECT_SECONDS, f"all have found {server} again")
    assert shop.restarts() == {}
    shop.verify()


def sells(shop):
    try:
        return shop.test()
    except Failed:
        return False


def is_ready(pod):
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in pod["status"]["conditions"])
