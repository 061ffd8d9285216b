# SPDX-License-Identifier: Apache-2.0
"""The image as somebody gets it who has nothing but that. `make test-image` builds it first."""

import os
import re
import subprocess
import tarfile

import pytest

from conftest import ROOT

TAR = os.path.join(ROOT, "build/image/rootfs.tar")


def project_version():
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
        return re.search(r"^project\(bodega VERSION (\S+)", file.read(), re.M).group(1)


def run(*command, **options):
    """The command's outcome, with what it printed."""
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def succeed(*command, **options):
    done = run(*command, **options)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def rootfs():
    """{name: its entry} of the packed root."""
    assert os.path.exists(TAR), "`make rootfs` packs it"
    with tarfile.open(TAR) as tar:
        return {entry.name: entry for entry in tar.getmembers()}


@pytest.fixture(scope="session")
def docker():
    """Skips what needs Docker where there is none."""
    try:
        asked = run("docker", "version", "--format", "{{.Server.Version}}")
    except FileNotFoundError:
        pytest.skip("there is no Docker: `tools/deps docker` installs Debian's")
    if asked.returncode != 0:
        pytest.skip(f"no Docker daemon answers: {asked.stderr.strip()}")


@pytest.fixture(scope="session")
def image(docker):
    name = f"bodega:{os.environ.get('VERSION') or project_version()}"
    assert run("docker", "image", "inspect", name).returncode == 0, f"there is no {name}: `make image` builds it"
    return name
