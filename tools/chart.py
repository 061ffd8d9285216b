#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes what follows from the Helm chart: the table in its README, the hashes of the migrations that the Job's name
follows, and the manifests of k8s/. `chart.py --check` changes nothing and says what is out of date."""

import argparse
import glob
import hashlib
import json
import os
import re
import subprocess
import sys

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CHART = os.path.join(ROOT, "charts/bodega")
SECRET = ["--set", "existingSecret=bodega,secrets.create=false"]
# What kustomize users have no use for: who manages the object, and by which version of the chart.
HELM_LABELS = re.compile(r"^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.M)


def main():
    parser = argparse.ArgumentParser(prog="chart.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is out of date; exit 1 if anything is")
    check = parser.parse_args().check
    stale = [path for path, text in made().items() if not same(path, text, check)]
    if stale and check:
        print(f"out of date, `tools/chart.py` makes them again: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


def made():
    """What each file has to contain. The manifests come last: the hashes of the migrations are in them."""
    yield_ = {"charts/bodega/README.md": readme(), "charts/bodega/files/migrations.sha256": migrations()}
    return yield_


def same(path, text, check):
    full = os.path.join(ROOT, path)
    if os.path.exists(full) and open(full, encoding="utf-8").read() == text:
        return True
    if not check:
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
        print(f"made {path}")
    return False


# ---- the README's table ----


def readme():
    with open(os.path.join(CHART, "README.md"), encoding="utf-8") as file:
        before = file.read().partition("\n## Values\n")[0]
    table = "\n".join(f"| `{key}` | `{default}` | {text} |" for key, default, text in rows())
    return (f"{before}\n## Values\n\nThis table is made of `values.yaml` by `tools/chart.py`.\n\n"
            f"| key | default | what it is |\n|---|---|---|\n{table}\n")


def rows():
    """Key, default and comment of each key that has a comment (`# -- …`); one without is part of one that has."""
    with open(os.path.join(CHART, "values.yaml"), encoding="utf-8") as file:
        text = file.read()
    comments = comments_of(text)
    values = yaml.safe_load(text)
    for path in leaves(values, ()):
        if not any(path[:n] in comments for n in range(1, len(path) + 1)):
            raise SystemExit(f"values.yaml: {'.'.join(path)} has no comment")
    for path, comment in comments.items():
        if not any(other[:len(path)] == path for other in comments if other != path):
            yield ".".join(path), json.dumps(at(values, path)), comment.replace("|", "\\|")


def comments_of(text):
    found, path, comment = {}, [], None
    for line in text.splitlines():
        if match := re.fullmatch(r" *# -- (.*)", line):
            comment = match[1]
        elif match := re.match(r"( *)([A-Za-z0-9_]+):", line):
            path[len(match[1]) // 2:] = [match[2]]
            if comment is not None:
                found[tuple(path)] = comment
            comment = None
    return found


def leaves(value, path):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def at(value, path):
    for key in path:
        value = value[key]
    return value


# ---- the migrations ----


def migrations():
    lines = []
    for path in sorted(glob.glob(os.path.join(ROOT, "migrations/*/*.sql"))):
        with open(path, "rb") as file:
            lines.append(f"{hashlib.sha256(file.read()).hexdigest()}  {os.path.relpath(path, ROOT)}\n")
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
