# SPDX-License-Identifier: Apache-2.0
"""The log's level, secrets between services and the certificate change in place: every pod takes them up, none is restarted, and customers
notice nothing. The kubelet needs up to a minute and a half to bring a change into a pod, the programs 2 s more."""

import base64
import contextlib
import json
import re
import secrets
import ssl
import subprocess
import urllib.parse
import urllib.request

import pytest

from cluster import NODE_PORT, PROGRAMS, Release, wait_for
from traffic import nothing_fails

BROUGHT_SECONDS = 150


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    release = Release("bodega-test-live").make()
    certificate(release, tmp_path_factory.mktemp("first"))
    release.install("--wait", "--timeout", "3m", values={**NODE_PORT, "tls.enabled": "true", "tls.existingSecret": "edge"})
    yield release
    release.delete()


def certificate(release, folder):
    """A new one, put in the place of the one before; its text."""
    key, crt = str(folder / "tls.key"), str(folder / "tls.crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=shop.example", "-keyout", key, "-out", crt], check=True, capture_output=True)
    secret = release.kubectl("create", "secret", "tls", "edge", f"--cert={crt}", f"--key={key}", "--dry-run=client", "-o", "json")
    release.kubectl("apply", "--filename", "-", text=secret)
    with open(crt, encoding="ascii") as file:
        return file.read()


@contextlib.contextmanager
def everybody_takes_over(shop, source):
    """What the block changes, within the time that there is for it, and in the pods that there were."""
    before = taken_over(shop, source)
    yield
    wait_for(lambda: all(at > before[pod] for pod, at in taken_over(shop, source).items()), BROUGHT_SECONDS,
             f"every pod takes over its {source}")
    assert set(taken_over(shop, source)) == set(before), "the same pods"
    assert shop.restarts() == {}


def taken_over(release, source):
    """When each pod took that over last, in seconds since 1970; 0: it never did."""
    found = {}
    for program in PROGRAMS:
        for pod in release.pods(program):
            name = pod["metadata"]["name"]
            with release.forward(f"pod/{name}", "admin") as at, urllib.request.urlopen(at + "/metrics", timeout=10) as metrics:
                line = re.search(rf'^bodega_config_reload_success_timestamp_seconds\{{source="{source}"\}} (\S+)$',
                                 metrics.read().decode(), re.M)
                found[name] = float(line[1]) if line else 0.0
    return found


def test_the_level_of_the_log(shop, url):
    with nothing_fails(url), everybody_takes_over(shop, "LIVE_CONFIG_DIR"):
        for program in PROGRAMS:
            shop.kubectl("patch", "configmap", f"bodega-{program}-live", "--patch", '{"data": {"LOG_LEVEL": "warn"}}')


def test_a_secret_of_each_pair(shop, url):
    """In three steps: the new one is known to both before either signs with it, and the old one until nobody does."""
    lines = [line.split() for line in base64.b64decode(shop.secrets()["internal-secrets"]).decode().splitlines()]
    both = [(line, base64.b64encode(secrets.token_bytes(32)).decode()) for line in lines]
    with nothing_fails(url):
        for step in ([f"{caller} {called} {old} {new}" for (caller, called, old), new in both],
                     [f"{caller} {called} {new} {old}" for (caller, called, old), new in both],
                     [f"{caller} {called} {new}" for (caller, called, _), new in both]):
            with everybody_takes_over(shop, "INTERNAL_SECRETS"):
                shop.kubectl("patch", "secret", "bodega", "--patch", json.dumps({"stringData": {"internal-secrets": "\n".join(step)}}))


def test_the_certificate(shop, url, tmp_path):
    ports = {port["name"]: port["nodePort"] for port in shop.get("service", "bodega-gateway")["spec"]["ports"]}
    at = (urllib.parse.urlsplit(url).hostname, ports["https"])
    pods = {pod["metadata"]["name"] for pod in shop.pods("gateway")}
    with nothing_fails(url):
        new = certificate(shop, tmp_path)
        # Ten in a row: every gateway has it.
        wait_for(lambda: all(ssl.get_server_certificate(at) == new for _ in range(10)), BROUGHT_SECONDS, "the new certificate")
    assert {pod["metadata"]["name"] for pod in shop.pods("gateway")} == pods
    assert shop.restarts() == {}
