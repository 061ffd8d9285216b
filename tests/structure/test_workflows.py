# SPDX-License-Identifier: Apache-2.0
"""The workflows call what is there, run what is pinned, and may do no more than they need."""

import glob
import os
import re

import pytest
import yaml

from conftest import ROOT

WORKFLOWS = sorted(glob.glob(os.path.join(ROOT, ".github/workflows/*.yml")))
WRITES = {  # job: what it may write, and nothing else
    ("codeql", "analyze"): {"security-events"},
    ("scan", "image"): {"security-events"},
    ("scan", "scorecard"): {"security-events", "id-token"},
    ("release", "release"): {"contents", "packages", "id-token", "attestations"},
}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@pytest.fixture(params=WORKFLOWS, ids=[os.path.basename(path) for path in WORKFLOWS])
def workflow(request):
    text = read(request.param)
    return os.path.basename(request.param).removesuffix(".yml"), text, yaml.safe_load(text)


def test_those_that_there_should_be():
    assert [os.path.basename(path) for path in WORKFLOWS] == [
        "bench.yml", "chart.yml", "ci.yml", "codeql.yml", "e2e-kind.yml", "release.yml", "scan.yml"]


def test_actions_are_pinned(workflow):
    used = re.findall(r"uses: (.*)", workflow[1])
    assert used and all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in used), used


def test_an_action_has_one_version():
    versions = {}
    for path in WORKFLOWS:
        for owner, commit in re.findall(r"uses: ([\w.-]+/[\w.-]+)[\w./-]*@(\w+)", read(path)):
            versions.setdefault(owner, set()).add(commit)
    assert all(len(commits) == 1 for commits in versions.values()), versions


def test_permissions(workflow):
    name, _, document = workflow
    assert document["permissions"] == {}
    for job, of in document["jobs"].items():
        writes = {scope for scope, level in of["permissions"].items() if level == "write"}
        assert writes == WRITES.get((name, job), set()), job
        assert of["timeout-minutes"] <= 90


def test_make_targets_are_there(workflow):
    targets = set(re.findall(r"^([a-z][a-z -]*):", read(os.path.join(ROOT, "Makefile")), re.M))
    targets = {target for line in targets for target in line.split()}
    called = set(re.findall(r"run: make ([a-z-]+)", workflow[1])) | set(re.findall(r"target: \[(.*)\]", workflow[1]))
    called = {target.strip() for targets_of_one in called for target in targets_of_one.split(",")}
    assert called <= targets, called - targets
