# SPDX-License-Identifier: Apache-2.0
"""What README.md and docs/ say is what the programs and the source say: variables, metrics, problems, code, links."""

import glob
import os
import re
import subprocess
import urllib.request

import pytest

from conftest import BUILD, ROOT
from shop import PROGRAMS

PAGES = ["README.md", *sorted(os.path.relpath(page, ROOT) for page in glob.glob(os.path.join(ROOT, "docs/*.md")))]
OF_EVERY_PROGRAM = "Every program"
OF_THOSE_WITH_DATA = "users, products, orders, payments"
OF_THOSE_FOR_PEOPLE = "users, products, orders"


def read(*names):
    with open(os.path.join(ROOT, *names), encoding="utf-8") as file:
        return file.read()


def rows(text):
    """The cells of each row of the tables in the text, without their heads."""
    lines = text.splitlines()
    for line, before in zip(lines[1:], lines):
        if line.startswith("|") and before.startswith("|") and not set(line) <= set("|- "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def section(text, title, level):
    """From that heading to the next one of its level or above."""
    found = re.search(rf"^{'#' * level} {re.escape(title)}\n(.*?)(?=^#{{1,{level}}} |\Z)", text, re.M | re.S)
    assert found, f"there is no section {title}"
    return found.group(1)


# ---- variables ----


def documented_variables(title):
    return {name: default for row in rows(section(read("docs/operations.md"), title, 3))
            for name, default in [(re.findall(r"`(\w+)`", row[0])[0], row[1])]}


def told_variables(program):
    """By --help: the name of each variable and its default, "required" or "none"."""
    told = subprocess.run([os.path.join(ROOT, BUILD, "bin", program), "--help"], capture_output=True, text=True, check=True)
    found = re.findall(r"^  (\w+) .*\((?:default: (\S+)|(required)|(optional))\)$", told.stdout, re.M)
    return {name: default or required or "none" for name, default, required, _ in found}


def of_program(default, program):
    """"8080 gateway, 8081 users": what stands before the program, else before "the others"."""
    parts = dict(reversed(part.strip().split(" ", 1)) for part in default.split(",")) if " " in default else {}
    return parts.get(program, parts.get("the others", default))


@pytest.mark.parametrize("program", PROGRAMS)
def test_variables_and_their_defaults(program):
    titles = [OF_EVERY_PROGRAM, *(title for title in (OF_THOSE_WITH_DATA, OF_THOSE_FOR_PEOPLE) if program in title), program]
    documented = {name: of_program(default, program)
                  for title in titles for name, default in documented_variables(title).items()}
    assert documented == told_variables(program)


def test_variables_that_may_change_at_run_time():
    documented = {row[0]: set(re.findall(r"`(\w+)`", row[1]))
                  for row in rows(section(read("docs/operations.md"), "Live configuration", 3))}
    for program in PROGRAMS:
        told = subprocess.run([os.path.join(ROOT, BUILD, "bin", program), "--help"], capture_output=True, text=True, check=True)
        live = set(re.findall(r"^  (\w+) .* May change at run time\.", told.stdout, re.M))
        assert live == documented["every program"] | documented.get(program, set()), program


def test_variables_of_bodegactl():
    sources = "".join(read(name) for name in glob.glob(os.path.join(ROOT, "cmd/bodegactl/*.c")))
    names = {name for row in rows(section(read("docs/operations.md"), "bodegactl", 3)) for name in re.findall(r"`(\w+)`", row[0])}
    assert names == set(re.findall(r'(?:CONFIG|OPTIONAL)\([^"]*"(\w+)"', sources))


# ---- metrics ----


def documented_metrics():
    return {re.search(r"`(\w+)`", row[0]).group(1) for row in rows(section(read("docs/operations.md"), "Metrics", 2))}


def metrics_in_source():
    calls = re.compile(r'\b(?:counter_get|gauge_get|histogram_get|metric_callback|write_one)\(\s*(?:out, )?"(\w+)"|# HELP (\w+) ')
    sources = [name for folder in ("pkg", "cmd") for name in glob.glob(os.path.join(ROOT, folder, "*/*.c"))
               if not re.search(r"_(test|bench|fuzz)\.c$|test_server\.c$|bench_server\.c$", name)]
    return {a or b for name in sources for a, b in calls.findall(read(name))}


def test_metrics_of_the_source_are_documented():
    assert documented_metrics() == metrics_in_source()


def test_metrics_of_the_running_programs_are_documented(shop):
    shown = set()
    for program in PROGRAMS:
        with urllib.request.urlopen(shop.admin_url(program) + "/metrics", timeout=10) as answer:
            shown |= set(re.findall(r"^# TYPE (\w+) ", answer.read().decode(), re.M))
    assert len(shown) > 30 and shown <= documented_metrics()


# ---- problems ----


def test_every_problem_is_documented():
    declared = re.findall(r'^FAULT\(\w+, (\d+), "(\w+)", ".*", (true|false), \w+\)$', read("pkg/base/fault.def"), re.M)
    documented = {(row[1], row[0].strip("`"), row[2]) for row in rows(section(read("docs/errors.md"), "Codes", 2))}
    assert documented == {(status, code, "yes" if retry == "true" else "no") for status, code, retry in declared}


# ---- packages ----


def test_packages_are_documented_in_their_order():
    documented = [row[0].strip("`") for row in rows(section(read("docs/design.md"), "Packages", 2))]
    assert documented == re.findall(r"^add_subdirectory\((pkg/\w+)\)", read("CMakeLists.txt"), re.M)


# ---- what pages point at ----


def anchors(text):
    """As GitHub names headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", read(page), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = os.path.normpath(os.path.join(ROOT, os.path.dirname(page), path)) if path else os.path.join(ROOT, page)
        assert os.path.exists(there), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(read(there)), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page):
    """`pkg/…`, `cmd/…` and so on in running text; `*` and `<…>` are patterns."""
    for name in re.findall(r"`((?:pkg|cmd|api|docs|migrations|tests|tools|cmake)/[\w./*<>{},-]*)`", read(page)):
        patterns = [re.sub(r"<\w+>", "*", name)]
        braces = re.search(r"\{(.*?)\}", patterns[0])
        if braces:
            patterns = [patterns[0].replace(braces.group(0), choice) for choice in braces.group(1).split(",")]
        for pattern in patterns:
            assert glob.glob(os.path.join(ROOT, pattern)), f"{page}: {name}"


@pytest.mark.parametrize("page", PAGES)
def test_code_stands_in_the_source(page):
    """Samples in C are quoted, not made up."""
    sources = [read(name) for folder in ("pkg", "cmd") for name in glob.glob(os.path.join(ROOT, folder, "*/*.[ch]"))]
    for block in re.findall(r"^ *```c\n(.*?)^ *```", read(page), re.M | re.S):
        indent = re.match(r" *", block).group(0)
        code = "".join(line.removeprefix(indent) for line in block.splitlines(True)).strip()
        assert any(code in source for source in sources), f"{page}:\n{code}"


@pytest.mark.parametrize("page, least", [("docs/orders.md", 20), ("docs/payments.md", 8), ("docs/events.md", 10)])
def test_named_tests_exist(page, least):
    """The tables of what holds, in which file, by which tests."""
    table = list(rows(section(read(page), "Which test proves what", 2)))
    assert len(table) > least
    for _, file, tests in table:
        source = read(file.strip("`"))
        for name in re.findall(r"`(\w+)`", tests):
            assert re.search(rf"\b{name}\b", source), f"{file} has no {name}"
