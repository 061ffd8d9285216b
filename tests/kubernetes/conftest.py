# SPDX-License-Identifier: Apache-2.0
"""What the tests on a cluster share."""

import pytest

from cluster import Release


@pytest.fixture(scope="module")
def shop(request):
    """A shop that is up, one a file, in a namespace of its own."""
    name = request.module.__name__.rsplit(".", 1)[-1].removeprefix("test_").replace("_", "-")
    release = Release(f"bodega-test-{name}").make()
    release.install("--wait", "--timeout", "3m", values=getattr(request.module, "VALUES", None))
    yield release
    release.delete()


@pytest.fixture(scope="module")
def url(shop):
    """The gateway from outside: a node's port (NODE_PORT must be among the file's VALUES)."""
    port = shop.get("service", "bodega-gateway")["spec"]["ports"][0]["nodePort"]
    node = next(address["address"] for address in shop.get("nodes")["items"][0]["status"]["addresses"]
                if address["type"] == "InternalIP")
    return f"http://{node}:{port}"
