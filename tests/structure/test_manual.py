# SPDX-License-Identifier: Apache-2.0
"""bodegactl's man page and completions say what the program says, and work."""

import os
import subprocess

import pytest

from conftest import BUILD, ROOT

BODEGACTL = os.path.join(ROOT, BUILD, "bin", "bodegactl")


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, **more)


def test_they_are_what_the_program_says():
    done = run("tools/manual.py", "--check", "--program", BODEGACTL)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line, offered", [
    ([""], ["check", "events", "migrate", "probe", "seed", "status", "user", "verify", "--help", "--version"]),
    (["mi"], ["migrate"]),
    (["migrate", ""], ["up", "down", "status", "new"]),
    (["migrate", "up", "--w"], ["--wait"]),
    (["check", "o"], ["orders"]),
    (["status", "--output", ""], ["table", "json"]),
    (["user", "create", "-r", "su"], ["support"]),
    (["events", "redrive", "--a"], ["--all"]),
    (["check", "--ca-file", "Makef"], ["Makefile"]),
    (["nonsense", ""], []),
])
def test_completion_of_bash(line, offered):
    script = ('source docs/completion/bodegactl.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '_bodegactl bodegactl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; printf "%s\\n" "${COMPREPLY[@]}"')
    done = run("bash", "-c", script, "bash", "bodegactl", *line)
    assert done.stderr == "" and done.stdout.split() == offered, done


def test_the_page_is_well_formed():
    done = run("groff", "-man", "-ww", "-z", "-Tutf8", "docs/bodegactl.1")
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_the_completion_of_zsh_is_well_formed():
    assert run("zsh", "-n", "docs/completion/_bodegactl").returncode == 0
