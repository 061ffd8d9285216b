# SPDX-License-Identifier: Apache-2.0
"""More customers make more pods, and fewer make fewer again, without a failed request."""

import datetime
import time

from cluster import NODE_PORT, wait_for
from traffic import SETTLE_SECONDS, nothing_fails

RISE_SECONDS = 90
VALUES = NODE_PORT | {
    "services.gateway.autoscaling.enabled": "true", "services.gateway.autoscaling.maxReplicas": "4",
    "services.gateway.autoscaling.cpu": "20m", "services.gateway.autoscaling.scaleDownSeconds": "30",
}


def test_a_step_of_load(shop, url):
    hpa = lambda: shop.get("hpa", "bodega-gateway")["status"]
    wait_for(lambda: hpa().get("currentMetrics") and hpa()["desiredReplicas"] == 2, 180, "the autoscaler sees 2 idle pods")
    known = {pod["metadata"]["name"] for pod in shop.pods("gateway")}
    with nothing_fails(url):
        began = time.monotonic()
        wait_for(lambda: hpa()["desiredReplicas"] > 2, RISE_SECONDS - SETTLE_SECONDS, "the autoscaler wants more")
        print(f"wanted after {time.monotonic() - began:.0f} s")
        shop.wait_ready(60)
        for pod in shop.pods("gateway"):
            if pod["metadata"]["name"] not in known:
                assert seconds_to_ready(pod) <= 5
    with nothing_fails(url, rate=5):
        wait_for(lambda: hpa()["desiredReplicas"] == 2 and len(shop.pods("gateway")) == 2, 300, "back to the least")
    assert shop.restarts() == {}


def seconds_to_ready(pod):
    at = {condition["type"]: datetime.datetime.fromisoformat(condition["lastTransitionTime"])
          for condition in pod["status"]["conditions"]}
    return (at["Ready"] - at["PodScheduled"]).total_seconds()
