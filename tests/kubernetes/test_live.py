# SPDX-License-Identifier: Apache-2.0
"""The log's level, secrets and the certificate change in place: every pod takes them up, none is restarted, and customers
notice nothing. The kubelet needs up to a minute and a half to bring a change into a pod, the programs 2 s more."""

import re
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
    before = taken_over(shop, "LIVE_CONFIG_DIR")
    with nothing_fails(url):
        for program in PROGRAMS:
            shop.kubectl("patch", "configmap", f"bodega-{program}-live", "--patch", '{"data": {"LOG_LEVEL": "warn"}}')
        wait_for(lambda: all(at > before[pod] for pod, at in taken_over(shop, "LIVE_CONFIG_DIR").items()), BROUGHT_SECONDS,
                 "every pod takes over its level")
    assert set(taken_over(shop, "LIVE_CONFIG_DIR")) == set(before), "the same pods"
    assert shop.restarts() == {}


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
