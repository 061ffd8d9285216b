# SPDX-License-Identifier: Apache-2.0
"""api/events as a checker: every event that the tests cause is held against what its schema says."""

import glob
import json
import os

import jsonschema
from referencing import Registry, Resource

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "api/events")

# Subjects with another count of events than their version says, or with gaps, repeats or a wrong order among them.
INCOMPLETE = """
SELECT s.id, s.version, array_agg(e.sequence ORDER BY e.id)
FROM {subjects} s LEFT JOIN outbox e ON e.subject = s.id AND e.sequence IS NOT NULL
GROUP BY s.id, s.version
HAVING coalesce(array_agg(e.sequence ORDER BY e.id) FILTER (WHERE e.id IS NOT NULL), '{{}}')
    <> ARRAY(SELECT generate_series(1, s.version))"""
VERSIONED = ("orders", "products")  # tables and services have the same names


class Events:
    def __init__(self):
        self.schemas = {}
        for path in glob.glob(os.path.join(FOLDER, "*.json")):
            with open(path, encoding="utf-8") as file:
                self.schemas[os.path.basename(path).removesuffix(".json")] = json.load(file)
        registry = Registry().with_resources(
            (schema["$id"], Resource.from_contents(schema)) for schema in self.schemas.values())
        self.validators = {
            name: jsonschema.Draft202012Validator(
                schema, registry=registry, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
            for name, schema in self.schemas.items()}
        self.types = sorted(name for name in self.schemas if name.startswith("bodega."))

    def check_data(self, type, data):
        assert type in self.types, f"{type} has no schema in api/events"
        self.validators[type].validate(data)

    def check(self, event):
        """The envelope and what is in it."""
        self.validators["cloudevent"].validate(event)
        self.check_data(event["type"], event["data"])


EVENTS = Events()


def check_outboxes(shop):
    """All that the services have written to be told: each event is as its schema says, each version has one."""
    for service in ("users", "products", "orders"):
        database = f"{service}_db"
        for type, data in shop.postgres.sql("SELECT type, data FROM outbox", database):
            EVENTS.check_data(type, json.loads(data))
        if service in VERSIONED:
            incomplete = shop.postgres.sql(INCOMPLETE.format(subjects=service), database)
            assert not incomplete, f"versions without exactly one event: {incomplete[:10]}"
