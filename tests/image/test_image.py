# SPDX-License-Identifier: Apache-2.0
"""The image under Docker: who it runs as, what it does not need, and its health check."""

import base64
import json
import time

import pytest

from image.conftest import project_version, run, succeed
from shop import PAIRS, PROGRAMS

# What a careful cluster allows.
LOCKED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
ALL = (*PROGRAMS, "bodegactl")


@pytest.fixture(scope="module")
def config(image):
    return json.loads(succeed("docker", "image", "inspect", image))[0]["Config"]


def test_it_runs_as_a_number_that_is_not_root(config):
    assert config["User"] == "65532:65532"


def test_labels_say_what_it_is_made_of(config):
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == project_version()
    assert labels["org.opencontainers.image.created"].endswith("Z")
    packages = dict(package.split("=", 1) for package in labels["bodega.packages"].split())
    assert {"libc6", "libssl3", "libpq5", "libh2o-evloop0.13", "ca-certificates"} <= set(packages)


@pytest.mark.parametrize("program", ALL)
def test_each_program_runs_locked_up(image, program):
    told = succeed("docker", "run", "--rm", *LOCKED, image, program, "--version")
    assert told == f"{program} {project_version()}\n"


@pytest.mark.parametrize("shell", ["sh", "bash", "/bin/sh", "/bin/busybox"])
def test_there_is_no_shell(image, shell):
    assert run("docker", "run", "--rm", *LOCKED, image, shell, "-c", "true").returncode == 127


def test_migrations_are_found_without_being_named(image):
    told = run("docker", "run", "--rm", *LOCKED, "--env", "USERS_DATABASE_URL=postgresql://users@127.0.0.1:1/users_db", image,
               "bodegactl", "migrate", "status")
    assert told.returncode == 69, told  # the server is away: the files were there, or it would have said so
    assert "migrations" not in told.stderr


@pytest.fixture
def gateway(image):
    """A gateway that nobody serves: it lives, shows its documentation, and is not ready."""
    secret = base64.b64encode(bytes(32)).decode()
    secrets = "".join(f"{caller} {callee} {secret}\n" for caller, callee in PAIRS)
    environment = {"USERS_URL": "http://127.0.0.1:8081", "PRODUCTS_URL": "http://127.0.0.1:8082", "ORDERS_URL": "http://127.0.0.1:8083",
                   "TLS_PORT": "0", "ADMIN_PORT": "9080", "INTERNAL_SECRETS": secrets}
    options = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
    name = succeed("docker", "run", "--detach", *LOCKED, *options, image, "gateway").strip()
    yield name
    succeed("docker", "rm", "--force", name)


def probe(name, what):
    return run("docker", "exec", name, "bodegactl", "probe", what).returncode


def test_the_health_check_tells_life_from_readiness(gateway):
    end = time.monotonic() + 10
    while probe(gateway, "live") != 0:
        assert time.monotonic() < end, run("docker", "logs", gateway)
    assert probe(gateway, "ready") == 1


def test_it_ends_when_asked(gateway):
    while probe(gateway, "started") != 0:
        assert run("docker", "top", gateway).returncode == 0, run("docker", "logs", gateway)
    succeed("docker", "stop", "--time", "25", gateway)
    state = json.loads(succeed("docker", "inspect", gateway))[0]["State"]
    assert state["ExitCode"] == 0, run("docker", "logs", gateway)
