# SPDX-License-Identifier: Apache-2.0
"""The registry of events (api/events) against itself, the migrations that write them and the code that names them."""

import glob
import os
import re

import jsonschema
import pytest

from conftest import ROOT
from events import EVENTS


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def migrations(service):
    return "".join(read(path) for path in sorted(glob.glob(os.path.join(ROOT, f"migrations/{service}/*.sql"))))


def listed():
    """The rows of the README's table: type, and the words of the other columns."""
    return re.findall(r"^\| `(bodega\.[\w.]+)` \| (.*) \|$", read("api/events/README.md"), re.M)


def test_the_table_lists_each_schema_once():
    assert sorted(type for type, _ in listed()) == EVENTS.types


@pytest.mark.parametrize("name", sorted(EVENTS.schemas))
def test_schemas_are_schemas(name):
    schema = EVENTS.schemas[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].endswith(f"/events/{name}.json")
    closed = "additionalProperties", "unevaluatedProperties"
    assert name == "order" or any(schema.get(word) is False for word in closed), "lets members through that it does not name"


def test_orders_have_an_event_for_each_status_that_they_reach():
    reached = set(re.findall(r"\t\('\w+', '(\w+)'\)", migrations("orders")))
    told = {type.removeprefix("bodega.order.") for type in EVENTS.types if type.startswith("bodega.order.")}
    assert told == reached - {"pending"} | {"created", "updated"}
    assert set(EVENTS.schemas["order"]["properties"]["status"]["enum"]) == reached


def test_what_source_and_migrations_name_exists():
    """`bodega.product.stock_low` in whole, and the beginnings that a migration completes (`'bodega.order.' || …`)."""
    paths = [path for folder in ("cmd/*/*.[ch]", "pkg/*/*.[ch]", "migrations/*/*.sql") for path in glob.glob(os.path.join(ROOT, folder))]
    named = {name for path in paths if not path.endswith("_test.c")
             for name in re.findall(r"\bbodega\.(?:order|product|session|user)\.\w*", read(path))}
    assert named, "nobody names an event"
    for name in named:
        assert any(type == name or name.endswith(".") and type.startswith(name) for type in EVENTS.types), name
