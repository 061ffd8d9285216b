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
PATH = os.path.join(ROOT, "build/tools") + os.pathsep + os.environ["PATH"]  # tools/chart-tools puts helm there
# Who manages the object, by which version of the chart, where it was rendered from, and into which namespace.
HELMS_OWN = re.compile(r"^(  namespace: .*| +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*|# Source: .*)\n", re.M)
MADE = "# Made of charts/bodega by `tools/chart.py`: change the chart, or patch it in an overlay.\n"


def main():
    parser = argparse.ArgumentParser(prog="chart.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is out of date; exit 1 if anything is")
    check = parser.parse_args().check
    # In this order: the hashes of the migrations are in the manifests.
    files = [("charts/bodega/README.md", readme), ("charts/bodega/files/migrations.sha256", migrations),
             ("k8s/base/bodega.yaml", base), ("k8s/backing/backing.yaml", backing)]
    stale = [path for path, make in files if not same(path, make(), check)]
    if stale and check:
        print(f"out of date, `tools/chart.py` makes them again: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


def same(path, text, check):
    """Whether the file has that text; gives it the text unless this is a check."""
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


# ---- the manifests for kustomize ----


def base():
    return MADE + "".join(f"---\n{document}" for document in rendered().values())


def backing():
    """What the profile for development has and the base has not: the servers, and the ways to them."""
    plain = rendered()
    return MADE + "".join(f"---\n{document}" for key, document in rendered("-f", os.path.join(CHART, "values-dev.yaml")).items()
                          if key not in plain)


def rendered(*options):
    """The chart's objects by kind and name, without what only Helm has a use for."""
    command = ["helm", "template", "bodega", CHART, "--kube-version", "1.29", "--skip-tests", "--set",
               "existingSecret=bodega,secrets.create=false", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": PATH})
    if done.returncode != 0:
        raise SystemExit(f"helm template: {done.stderr.strip()}")
    documents = {}
    for document in re.split(r"^---\n", HELMS_OWN.sub("", done.stdout), flags=re.M):
        if fields := yaml.safe_load(document):
            documents[fields["kind"], fields["metadata"]["name"]] = document.rstrip() + "\n"
    return documents


if __name__ == "__main__":
    sys.exit(main())
