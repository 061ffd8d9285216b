# SPDX-License-Identifier: Apache-2.0
"""A package includes only itself and packages above it; programs do not include each other."""

import os
import re

from conftest import ROOT


def packages():
    """In the order of CMakeLists.txt, which is the order of dependency."""
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
        return re.findall(r"^add_subdirectory\(pkg/(\w+)\)", file.read(), re.M)


def includes(folder):
    for directory, _, files in os.walk(folder):
        for name in files:
            if name.endswith((".c", ".h", ".def")):
                path = os.path.join(directory, name)
                with open(path, encoding="utf-8") as file:
                    for target in re.findall(r'^#\s*include "(\w+)/', file.read(), re.M):
                        yield os.path.relpath(path, ROOT), target


def test_dependencies_go_downward_only():
    order = packages()
    assert len(order) >= 10
    wrong = [
        f"{path} includes {target}"
        for position, package in enumerate(order)
        for path, target in includes(os.path.join(ROOT, "pkg", package))
        if target in order and order.index(target) > position
    ]
    assert not wrong, "\n".join(wrong)


def test_every_package_is_built():
    assert sorted(packages()) == sorted(os.listdir(os.path.join(ROOT, "pkg")))


def test_programs_share_through_packages_only():
    """But for bodegactl, which acts in the services' stead and knows from them what is valid."""
    programs = os.listdir(os.path.join(ROOT, "cmd"))
    wrong = [
        f"{path} includes {target}"
        for program in programs
        for path, target in includes(os.path.join(ROOT, "cmd", program))
        if target in programs and target != program and program != "bodegactl"
    ]
    assert not wrong, "\n".join(wrong)


def test_sql_stands_with_the_stores_only():
    sql = re.compile(r'"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH)\s', re.I)
    wrong = []
    for directory, _, files in os.walk(os.path.join(ROOT, "cmd")):
        for name in files:
            if name.endswith(".c") and not name.endswith("_test.c") and not name.startswith(("store", "statements")):
                path = os.path.join(directory, name)
                if "bodegactl" in path:
                    continue
                with open(path, encoding="utf-8") as file:
                    wrong += [f"{path}:{n}" for n, line in enumerate(file, 1) if sql.search(line)]
    assert not wrong, "\n".join(wrong)
