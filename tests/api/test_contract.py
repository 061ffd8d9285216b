# SPDX-License-Identifier: Apache-2.0
"""The document and the programs describe the same operations, and its examples can be sent as they are."""

import os
import subprocess

import jsonschema

from conftest import BUILD, CONTRACT, ROOT, Account
from shop import SERVICES


def routes_of(program):
    """What the program itself says it serves on its public port: lines "METHOD path who"."""
    told = subprocess.run([os.path.join(ROOT, BUILD, "bin", program), "--routes"], capture_output=True, text=True, check=True)
    return {tuple(line.split()[:2]) for line in told.stdout.splitlines()}


def test_services_and_document_have_the_same_operations():
    served = {route for service in SERVICES for route in routes_of(service)}
    public = {(method, path) for method, path in served if not path.startswith("/internal/")}
    described = set(CONTRACT.operations)
    of_every_program = {("GET", "/health"), ("GET", "/health-check"), ("GET", "/status")}
    assert public - described - of_every_program == set(), "served, but not in api/openapi.yaml"
    of_the_gateway = {("GET", "/services"), ("GET", "/api/v1/ws"), ("GET", "/api/v1/events"), ("POST", "/api/v1/events/ticket")}
    assert described - public - of_the_gateway == set(), "in api/openapi.yaml, but not served"


def test_the_gateway_carries_every_operation():
    assert set(CONTRACT.operations) - routes_of("gateway") == set(), "in api/openapi.yaml, but not in cmd/gateway/routes.c"


def test_every_body_has_an_example_that_its_schema_accepts():
    for (method, template), operation in CONTRACT.operations.items():
        if "requestBody" not in operation:
            continue
        schema = CONTRACT.body(method, template)
        assert schema.get("examples"), f"{method} {template} has no example"
        for example in schema["examples"]:
            jsonschema.Draft202012Validator(schema, resolver=CONTRACT.resolver).validate(example)


def test_examples_do_what_they_say(gateway, seller, support, admin):
    """All but the ids and tokens in them, which only a reader can fill in."""

    def send(who, method, template, status, id="", **filled):
        for example in CONTRACT.body(method, template)["examples"]:
            path = template.replace("{id}", id).replace("{slug}", id)
            answer = who(method, path, json={**example, **filled})
            assert answer.status_code == status, f"{method} {template} {example}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    ada = Account(gateway, send(gateway.request, "POST", "/api/v1/auth/register", 201))
    send(gateway.request, "POST", "/api/v1/auth/login", 200)
    send(ada, "PUT", "/api/v1/users/me", 200)
    send(ada, "PATCH", "/api/v1/users/me", 200)
    send(ada, "PUT", "/api/v1/users/me/password", 204)

    send(admin, "POST", "/api/v1/categories", 201)
    send(admin, "PUT", "/api/v1/categories/{slug}", 200, "trays")
    tray = send(seller, "POST", "/api/v1/products", 201)["id"]
    send(seller, "PUT", "/api/v1/products/{id}", 200, tray)
    send(seller, "PATCH", "/api/v1/products/{id}", 200, tray)
    assert send(seller, "PATCH", "/api/v1/products/{id}/stock", 200, tray)["stock_quantity"] == 12

    items = [{"product_id": tray, "quantity": 2}]
    order = send(ada, "POST", "/api/v1/orders", 201, items=items)["id"]
    assert send(ada, "POST", "/api/v1/orders/{id}/pay", 200, order)["status"] == "paid"
    assert send(support, "PUT", "/api/v1/orders/{id}/status", 200, order)["status"] == "processing"
    for status in ("shipped", "delivered"):
        assert support("PUT", f"/api/v1/orders/{order}/status", json={"status": status}).status_code == 200
    assert send(support, "POST", "/api/v1/orders/{id}/refunds", 200, order)["payment"]["refunded_minor"] == 50
    another = send(ada, "POST", "/api/v1/orders", 201, items=items)["id"]
    assert send(ada, "POST", "/api/v1/orders/{id}/cancel", 200, another)["status"] == "cancelled"
    send(admin, "PUT", "/api/v1/users/{id}/role", 200, ada.id)  # which ends her session
