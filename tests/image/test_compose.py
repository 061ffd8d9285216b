# SPDX-License-Identifier: Apache-2.0
"""docker-compose.yaml: as the specification wants it, and a shop that sells when it is up."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys

import pytest
import yaml

import servers
from conftest import ROOT
from image.conftest import project_version, run, succeed
from shop import PAIRS, PROGRAMS, SERVICES

FILE = os.path.join(ROOT, "docker-compose.yaml")
SECONDS = 180


@pytest.fixture(scope="module")
def document():
    with open(FILE, encoding="utf-8") as file:
        return yaml.safe_load(file)


def test_it_is_what_the_specification_says():
    succeed(os.path.join(os.path.dirname(sys.executable), "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", FILE)


def test_its_images_are_of_this_version(document):
    tags = {service["image"] for service in document["services"].values()}
    assert tags == {f"{name}:${{BODEGA_VERSION:-{project_version()}}}" for name in ("bodega", "bodega-backing")}


def test_everybody_is_locked_up_and_everything_that_stays_has_a_health_check(document):
    for name, service in document["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"], name
        assert "healthcheck" in service or service.get("restart", "no") == "no", name
    assert {"gateway"} == {name for name, service in document["services"].items() if "ports" in service}


def test_secrets_are_files_and_all_of_them_are_made(document):
    """No value of a secret stands in the environment, and each file that is named is one that make-secrets makes."""
    with open(os.path.join(ROOT, "images/backing/make-secrets"), encoding="utf-8") as file:
        script = file.read()
    made = {name for name in re.findall(r"^\s*keep (?!\"\$)(\S+)", script, re.M)} | {"internal-secrets", "tls.crt", "tls.key"}
    made |= {f"{service}-{kind}" for service in SERVICES for kind in ("password", "database-url")}
    named = {value for service in document["services"].values() for name, value in service.get("environment", {}).items()
             if name.endswith("_FILE")}
    assert named <= {f"/secrets/{name}" for name in made}
    assert {tuple(pair.split()) for pair in re.search(r"for pair in (.+); do", script).group(1).strip('"').split('" "')} == set(PAIRS)


# ---- up ----


class Compose:
    """A project of its own under a name of its own, on free ports."""

    def __init__(self, command):
        self.command = command
        self.environment = {**os.environ, "COMPOSE_PROJECT_NAME": f"bodega-test-{secrets.token_hex(4)}", "SEED": "20",
                            "GATEWAY_PORT": str(servers.free_port()), "GATEWAY_TLS_PORT": str(servers.free_port())}

    def __call__(self, *arguments):
        return succeed(*self.command, *arguments, cwd=ROOT, env=self.environment, timeout=SECONDS)

    def containers(self):
        ids = self("ps", "--quiet").split()
        return {entry["Config"]["Labels"]["com.docker.compose.service"]: entry for entry in json.loads(succeed("docker", "inspect", *ids))}

    def bodegactl(self, *arguments):
        return self("run", "--rm", "-T", "bodegactl", *arguments)


@pytest.fixture(scope="module")
def compose(image):
    if run("docker", "compose", "version").returncode == 0:
        command = ["docker", "compose"]
    elif shutil.which("docker-compose"):
        command = ["docker-compose"]
    else:
        pytest.skip("there is neither `docker compose` nor docker-compose: `tools/deps docker` installs the latter")
    compose = Compose(command)
    try:
        compose("up", "--detach", "--no-build")
        servers.wait_for(lambda: all(health(entry) == "healthy" for entry in compose.containers().values() if health(entry)),
                         SECONDS, "the shop under compose")
        yield compose
    finally:
        subprocess.run([*command, "down", "--volumes", "--timeout", "5"], cwd=ROOT, env=compose.environment, check=False,
                       capture_output=True)


def health(entry):
    return entry["State"].get("Health", {}).get("Status")


def test_a_purchase_through_the_gateway(compose):
    compose.bodegactl("check", "--purchase=http://gateway:8080")
    compose.bodegactl("verify")


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_reaches_what_it_is_configured_with(compose, program):
    compose("exec", "-T", program, "bodegactl", "check", program)


def test_nobody_was_restarted_and_the_one_shots_succeeded(compose):
    for name, entry in compose.containers().items():
        assert entry["RestartCount"] == 0, compose("logs", name)
        if name not in (*PROGRAMS, "postgres", "redis", "rabbitmq"):
            assert entry["State"]["ExitCode"] == 0, compose("logs", name)


def test_down_and_up_keeps_secrets_and_data(compose):
    before = orders(compose)
    assert before
    compose("down", "--timeout", "30")
    compose("up", "--detach", "--no-build")
    test_a_purchase_through_the_gateway(compose)
    assert before < orders(compose)


def orders(compose):
    told = compose("exec", "-T", "postgres", "psql", "--host=/tmp", "--username=postgres", "--tuples-only", "--no-align",
                   "--command=SELECT id FROM orders", "orders_db")
    return set(told.split())
