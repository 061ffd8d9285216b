# SPDX-License-Identifier: Apache-2.0
"""The shop comes up by one command, in any of the ways that people install, as restricted as Pod Security asks."""

import os
import time

import pytest
import yaml

from cluster import BACKING_TAG, READY_SECONDS, ROOT, TAG, Release, run
from shop import call


@pytest.fixture
def release():
    release = Release("bodega-test-install").make()
    yield release
    release.delete()


def is_up(release, started):
    took = time.monotonic() - started
    assert took < READY_SECONDS
    assert release.restarts() == {}
    assert release.refusals() == []
    print(f"ready in {took:.1f} s")


@pytest.mark.parametrize("options", [["--wait", "--wait-for-jobs", "--timeout", "2m"], []], ids=["wait", "no wait"])
def test_install(release, options):
    started = time.monotonic()
    release.install(*options)
    if options:
        assert not release.unready(), "--wait waits for all of it"
    release.wait_ready()
    is_up(release, started)
    assert "ok" in release.test()


def test_kustomize(tmp_path):
    """The overlay's namespace is its own affair; what it installs is what the chart installs."""
    release = Release("bodega")
    release.delete()
    try:
        overlay = {"resources": [os.path.relpath(os.path.join(ROOT, "k8s/overlays/dev"), tmp_path)],
                   "images": [{"name": "bodega", "newTag": TAG}, {"name": "bodega-backing", "newTag": BACKING_TAG}]}
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        started = time.monotonic()
        run("kubectl", "apply", "--kustomize", str(tmp_path))
        release.wait_ready()
        is_up(release, started)
        with release.forward() as url:
            assert call(url, "GET", "/health")["status"] == "ok"
    finally:
        release.delete()


def test_the_overlay_for_production(release, tmp_path):
    """A server would take all of it."""
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(
        {"namespace": release.name, "resources": [os.path.relpath(os.path.join(ROOT, "k8s/overlays/prod"), tmp_path)]}))
    objects = list(yaml.safe_load_all(run("kubectl", "kustomize", str(tmp_path))))
    assert {it["spec"]["replicas"] for it in objects if it["kind"] == "Deployment"} >= {3}
    taken = run("kubectl", "apply", "--dry-run=server", "--kustomize", str(tmp_path))
    assert taken.count("(server dry run)") == len(objects), taken
