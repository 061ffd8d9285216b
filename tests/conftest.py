# SPDX-License-Identifier: Apache-2.0
"""The running system for the whole-system tests: one shop on free ports for the session, clients for it, accounts.

BUILD names the build to run (build/dev). The tests look from outside only: over HTTP, and in the databases for what
must hold there.
"""

import os
import shutil
import signal
import sys
import uuid

import httpx
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import servers  # noqa: E402
from contract import Contract  # noqa: E402
from events import check_outboxes  # noqa: E402
from shop import PROGRAMS, Shop  # noqa: E402

BUILD = os.environ.get("BUILD", "build/dev")
PASSWORD = "correct horse battery"

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


def make_shop(environment=None, products=60, replicas=None, prepare=lambda shop: None):
    """A shop of its own for a test that breaks or bends it, by `prepare` before it starts; use `with`-less: call
    close_shop at the end."""
    folder = servers.run_folder(os.path.join(servers.scratch_folder(), "shop"))
    overlooked = shutil.copy(os.path.join(ROOT, "tests/lsan.supp"), folder)  # where the programs can read it
    os.chmod(overlooked, 0o644)
    settings = {"BCRYPT_COST": "4", "WORKERS": "2", "SLOW_DELAY": "300ms", "ASYNC_DELAY": "300ms",
                "LSAN_OPTIONS": "suppressions=" + overlooked, **SANITIZERS, **(environment or {})}
    shop = Shop.on_free_ports(folder, BUILD, settings, replicas=replicas)
    try:
        prepare(shop)
        shop.start(products)
    except BaseException:
        stop_shop(shop)
        raise
    return shop


def close_shop(shop):
    """Stops it; an event that is missing or not as its schema says fails the test."""
    stop_shop(shop, lambda: check_outboxes(shop))


def stop_shop(shop, before_databases=lambda: None):
    """A program that reported a sanitizer's finding or died by itself fails the test."""
    statuses = {}
    for instance in reversed(shop.instances):
        process = shop.processes.get(instance)
        shop.stop_program(instance)
        if process is not None:
            statuses[instance] = process.returncode
    try:
        before_databases()
    finally:
        shop.redis.stop()
        shop.rabbitmq.stop(signal.SIGKILL)
        shop.postgres.stop()
    logs = {instance: servers.tail(shop.path("log", instance), 100) for instance in shop.instances}
    shutil.rmtree(os.path.dirname(shop.folder), ignore_errors=True)
    for program, log in logs.items():
        assert "Sanitizer" not in log and "runtime error" not in log, f"{program}:\n{log}"
    bad = {program: status for program, status in statuses.items() if status not in (0, -9)}
    assert not bad, f"exit statuses {bad}\n" + "\n".join(logs[program] for program in bad)


@pytest.fixture(scope="session")
def shop():
    running = make_shop()
    yield running
    close_shop(running)


CONTRACT = Contract()


def http_client(url, version="http1", **more):
    """A client that speaks exactly this version: http1, h2c (by prior knowledge), or h2 over TLS by ALPN. Each answer
    is held against the OpenAPI document."""
    return httpx.Client(base_url=url, http1=version == "http1", http2=version != "http1", timeout=20,
                        event_hooks={"response": [CONTRACT.check]}, **more)


@pytest.fixture(scope="session", params=["http1", "h2c", "tls"])
def client(shop, request):
    """Through the gateway, over each protocol in turn."""
    if request.param == "tls":
        import ssl

        trust = ssl.create_default_context(cafile=shop.path("secrets", "tls.crt"))
        with http_client(shop.tls_url(), "h2", verify=trust) as made:
            yield made
    else:
        with http_client(shop.url(), request.param) as made:
            yield made


@pytest.fixture(scope="session")
def gateway(shop):
    """Through the gateway over HTTP/1.1: for tests to which the protocol does not matter."""
    with http_client(shop.url()) as made:
        yield made


@pytest.fixture(scope="session")
def direct(shop):
    """Each service by name, not through the gateway."""
    clients = {program: http_client(shop.url(program)) for program in PROGRAMS}
    yield clients
    for made in clients.values():
        made.close()


class Account:
    """A logged-in person: calls with their token."""

    def __init__(self, client, session):
        self.client = client
        self.id = session["user"]["id"]
        self.user = session["user"]
        self.token = session["access_token"]
        self.refresh_token = session["refresh_token"]

    def __call__(self, method, path, **more):
        headers = {"Authorization": "Bearer " + self.token, **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def get(self, path, **more):
        return self("GET", path, **more)

    def post(self, path, json=None, **more):
        return self("POST", path, json={} if json is None else json, **more)


def register(client, **fields):
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD, **fields}
    answer = client.post("/api/v1/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    return Account(client, answer.json())


def log_in(client, shop, role):
    account = shop.credentials()[role]
    answer = client.post("/api/v1/auth/login", json={k: account[k] for k in ("email", "password")})
    assert answer.status_code == 200, answer.text
    return Account(client, answer.json())


@pytest.fixture
def someone(gateway):
    """A new customer."""
    return register(gateway)


@pytest.fixture(scope="session")
def admin(gateway, shop):
    return log_in(gateway, shop, "admin")


@pytest.fixture(scope="session")
def seller(gateway, shop):
    return log_in(gateway, shop, "seller")


@pytest.fixture(scope="session")
def support(gateway, shop):
    return log_in(gateway, shop, "support")


def make_product(seller, **fields):
    body = {"name": "Walnut tray", "price": 29.99, "stock_quantity": 10, **fields}
    answer = seller.post("/api/v1/products", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def place_order(buyer, product_id, quantity=1):
    return buyer.post("/api/v1/orders", {"items": [{"product_id": product_id, "quantity": quantity}]})


def assert_problem(answer, status, code, *fields):
    """The answer is an RFC 9457 problem with this status and code that names exactly these fields."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json", answer.headers
    problem = answer.json()
    assert problem["status"] == status and problem["code"] == code, problem
    assert problem["title"] and problem["type"], problem
    if fields:
        assert sorted({error["field"] for error in problem["errors"]}) == sorted(fields), problem
    return problem
