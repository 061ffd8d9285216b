# SPDX-License-Identifier: Apache-2.0
"""Wrong configuration: exit 78, naming every wrong variable."""

import os
import subprocess

import pytest

from conftest import BUILD, ROOT
from shop import PROGRAMS

BIN = os.path.join(ROOT, BUILD, "bin")


def run(program, *arguments, **environment):
    return subprocess.run([os.path.join(BIN, program), *arguments], env={"PATH": "/usr/bin:/bin", **environment},
                          capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_wrong_variable_is_named_at_once(program):
    done = run(program, PORT="eighty", ADMIN_PORT="70000", LOG_LEVEL="loud", DRAIN_TIMEOUT="soon", WORKERS="-1")
    assert done.returncode == 78, done.stderr
    for name in ("PORT", "ADMIN_PORT", "LOG_LEVEL", "DRAIN_TIMEOUT", "WORKERS"):
        assert name in done.stderr, done.stderr
    if program != "gateway":
        assert "DATABASE_URL" in done.stderr, done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_version(program):
    told = run(program, "--help")
    assert told.returncode == 0 and "PORT" in told.stdout and "LOG_LEVEL" in told.stdout
    assert run(program, "--version").stdout.startswith(program)
    assert run(program, "--nonsense").returncode == 64


def test_a_secret_given_twice_or_unreadable():
    done = run("users", DATABASE_URL="postgresql:///x", DATABASE_URL_FILE="/nowhere")
    assert done.returncode == 78 and "DATABASE_URL" in done.stderr
    done = run("users", PASSWORD_PEPPER_FILE="/nowhere")
    assert done.returncode == 78 and "PASSWORD_PEPPER_FILE" in done.stderr


def test_secrets_are_not_shown():
    done = run("users", PASSWORD_PEPPER="short-but-secret", KEYS_SECRET="also-secret")
    assert done.returncode == 78
    assert "short-but-secret" not in done.stderr and "also-secret" not in done.stderr
