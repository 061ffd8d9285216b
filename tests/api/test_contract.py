# SPDX-License-Identifier: Apache-2.0
"""The document and the programs describe the same operations."""

import os
import subprocess

from conftest import BUILD, ROOT
from contract import Contract
from shop import SERVICES


def routes_of(program):
    """What the program itself says it serves on its public port: lines "METHOD path who"."""
    told = subprocess.run([os.path.join(ROOT, BUILD, "bin", program), "--routes"], capture_output=True, text=True, check=True)
    return {tuple(line.split()[:2]) for line in told.stdout.splitlines()}


def test_services_and_document_have_the_same_operations():
    served = {route for service in SERVICES for route in routes_of(service)}
    public = {(method, path) for method, path in served if not path.startswith("/internal/")}
    described = set(Contract().operations)
    of_every_program = {("GET", "/health"), ("GET", "/health-check"), ("GET", "/status")}
    assert public - described - of_every_program == set(), "served, but not in api/openapi.yaml"
    assert described - public - {("GET", "/services")} == set(), "in api/openapi.yaml, but not served"


def test_the_gateway_carries_every_operation():
    assert set(Contract().operations) - routes_of("gateway") == set(), "in api/openapi.yaml, but not in cmd/gateway/routes.c"
