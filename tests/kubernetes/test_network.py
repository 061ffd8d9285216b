# SPDX-License-Identifier: Apache-2.0
"""Who can open a connection to whom: the table of docs/operations.md, asked of a real network from pods with each one's
labels. Every other pair fails."""

import pytest

from cluster import BACKING_TAG, PROGRAMS, SERVERS, Namespace, wait_for

PORTS = {"gateway": 8080, "users": 8081, "products": 8082, "orders": 8083, "payments": 8084,
         "postgresql": 5432, "redis": 6379, "rabbitmq": 5672}
ADMIN = {f"{program} admin": (program, PORTS[program] + 1000) for program in PROGRAMS}
ALLOWED = {
    "gateway": {"users", "products", "orders", "redis", "rabbitmq"},
    "users": {"orders", "postgresql", "rabbitmq"},
    "products": {"users", "postgresql", "redis", "rabbitmq"},
    "orders": {"users", "products", "payments", "postgresql", "rabbitmq"},
    "payments": {"orders", "postgresql"},
    "migrations": {"postgresql"},
    "redis": set(), "postgresql": set(), "rabbitmq": set(),
    # Everybody may reach the gateway from outside; of the release's own pods only the test may go there.
    "test": {"gateway", *ADMIN},
    "a stranger": {"gateway", "elsewhere"},
    "a stranger elsewhere": {"gateway", "elsewhere"},
    "monitoring": {"gateway", "elsewhere", *ADMIN},
}

# Opens all connections at once and says which were opened; DENIED is what a policy does: nothing.
SCRIPT = """
for target in $TARGETS; do
	( timeout 4 bash -c "exec 3<>/dev/tcp/${target%%:*}/${target##*:}" 2>/dev/null && echo "open $target" ) &
done
wait
echo done
"""


def prober(name, labels, targets):
    """A pod that tries them all. It is never ready, so that no Service sends anything to it."""
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "prober", "image": f"bodega-backing:{BACKING_TAG}",
                # Once its address is known to whoever enforces policies.
                "command": ["bash", "-c", "sleep 5\n" + SCRIPT],
                "env": [{"name": "TARGETS", "value": " ".join(targets)}],
                "readinessProbe": {"exec": {"command": ["false"]}},
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }


@pytest.fixture(scope="module")
def elsewhere():
    made = [Namespace(name).make() for name in ("bodega-test-elsewhere", "bodega-test-monitoring")]
    yield made
    for namespace in made:
        namespace.delete()


VALUES = {"networkPolicy.monitoringNamespace": "bodega-test-monitoring"}


def test_every_pair(shop, elsewhere):
    stranger, monitoring = elsewhere
    listener = prober("listener", {}, [])
    listener["spec"]["containers"][0]["command"] = ["redis-server", "--port", "8080", "--protected-mode", "no", "--save", ""]
    stranger.apply(listener)
    wait_for(lambda: stranger.get("pod", "listener")["status"].get("phase") == "Running", 60, "the listener")

    addresses = {component: shop.pods(component)[0]["status"]["podIP"] for component in (*PROGRAMS, *SERVERS)}
    targets = {name: f"{addresses[name]}:{port}" for name, port in PORTS.items()}
    targets |= {name: f"{addresses[program]}:{port}" for name, (program, port) in ADMIN.items()}
    targets["elsewhere"] = f"{stranger.get('pod', 'listener')['status']['podIP']}:8080"

    places = {"a stranger": shop, "a stranger elsewhere": stranger, "monitoring": monitoring}
    for source in ALLOWED:
        labels = {"app.kubernetes.io/name": "bodega", "app.kubernetes.io/instance": "bodega",
                  "app.kubernetes.io/component": source} if source not in places else {"app": "stranger"}
        places.setdefault(source, shop).apply(prober("prober-" + source.replace(" ", "-"), labels, targets.values()))
    wrong = []
    for source, allowed in ALLOWED.items():
        pod = "prober-" + source.replace(" ", "-")
        wait_for(lambda: places[source].get("pod", pod)["status"]["phase"] == "Succeeded", 90, pod)
        lines = places[source].kubectl("logs", pod).split("\n")
        opened = {name for name, target in targets.items() if f"open {target}" in lines}
        wrong += [f"{source} reaches {name}" for name in sorted(opened - allowed)]
        wrong += [f"{source} does not reach {name}" for name in sorted(allowed - opened)]
        places[source].kubectl("delete", "pod", pod, "--wait=false")
    assert wrong == []
