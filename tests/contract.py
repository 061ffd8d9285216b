# SPDX-License-Identifier: Apache-2.0
"""An OpenAPI document as a checker: every answer that the tests see is held against what it says."""

import os
import re

import jsonschema
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
METHODS = ("get", "put", "post", "patch", "delete")


class Contract:
    def __init__(self, path="api/openapi.yaml"):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            self.document = yaml.safe_load(file)
        self.resolver = jsonschema.RefResolver.from_schema(self.document)
        self.operations = {}
        for template, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    self.operations[(method.upper(), template)] = item[method]
        # Literal segments win over parameters: "/users/me" before "/users/{id}".
        templates = sorted({template for _, template in self.operations}, key=lambda t: (t.count("{"), t))
        self.patterns = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", template) + "$"), template) for template in templates]

    def operation(self, method, path):
        for pattern, template in self.patterns:
            if pattern.match(path):
                return self.operations.get((method, template))
        return None

    def resolved(self, node):
        while "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node

    def body(self, method, template):
        """The schema of the JSON that this operation takes; Swagger UI offers the first of its examples."""
        body = self.resolved(self.operations[(method, template)]["requestBody"])
        return self.resolved(body["content"]["application/json"]["schema"])

    def validate(self, name, value):
        """Fails when the value is not as the document's schema of that name says."""
        schema = self.document["components"]["schemas"][name]
        jsonschema.Draft202012Validator(schema, resolver=self.resolver).validate(value)

    def check(self, response):
        """Fails when the answer is not one that the document describes for this operation."""
        request = response.request
        operation = self.operation(request.method, request.url.path)
        if operation is None:
            return
        where = f"{request.method} {request.url.path} -> {response.status_code}"
        answers = operation["responses"]
        status = str(response.status_code)
        answer = answers.get(status) or answers.get(status[0] + "XX")
        if answer is None and response.status_code >= 500:
            answer = {"$ref": "#/components/responses/Problem"}
        assert answer is not None, f"{where}: not documented"
        answer = self.resolved(answer)
        response.read()
        kind = response.headers.get("content-type", "").split(";")[0]
        content = answer.get("content")
        if content is None:
            assert response.content == b"", f"{where}: a body that is not documented"
            return
        assert kind in content, f"{where}: {kind or 'no body'} instead of {list(content)}"
        for header in answer.get("headers", {}):
            if header in ("ETag", "Location", "Retry-After"):
                assert header in response.headers, f"{where}: no {header}"
        jsonschema.Draft202012Validator(content[kind]["schema"], resolver=self.resolver).validate(response.json())
