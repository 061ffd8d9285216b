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
