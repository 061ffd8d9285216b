# SPDX-License-Identifier: Apache-2.0
"""What changes while the shop serves: secrets, the certificate, the live configuration, under load and without a
failed request."""

import base64
import os
import re
import secrets
import shutil
import ssl
import subprocess
import threading
import time
import uuid

import httpx
import pytest

import servers
from conftest import close_shop, http_client, log_in, make_product, make_shop, register

SECONDS = 60


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    live = os.path.join(servers.scratch_folder(), "live")
    for program in ("gateway", "products"):
        os.makedirs(os.path.join(live, program))
    running = make_shop({"gateway": {"LIVE_CONFIG_DIR": os.path.join(live, "gateway")},
                         "products": {"LIVE_CONFIG_DIR": os.path.join(live, "products")}})
    running.live = live
    yield running
    close_shop(running)
    shutil.rmtree(live)


def put(path, text):
    """Written beside and renamed, by the user that may read it."""
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w", encoding="ascii") as file:
        file.write(text)
    os.rename(path + ".new", path)


def metric(shop, program, name, source):
    text = httpx.get(shop.admin_url(program) + "/metrics", timeout=20).text
    return float(re.search(rf'^{name}{{source="{source}"}} (\S+)$', text, re.M).group(1))


def wait(condition, what):
    servers.wait_for(condition, SECONDS, what)


class Load(threading.Thread):
    """Buys, pays, lists and repeats until it is ended; each answer that is not as it should be is kept."""

    def __init__(self, shop):
        super().__init__(daemon=True)
        self.shop, self.wrong, self.done, self.ending = shop, [], 0, threading.Event()
        with http_client(shop.url()) as client:
            self.product = make_product(log_in(client, shop, "seller"), stock_quantity=10000)["id"]

    def run(self):
        try:
            with http_client(self.shop.url()) as client:
                buyer = register(client)
                while not self.ending.is_set():
                    self.round(buyer)
        except Exception as error:  # seen by end()
            self.wrong.append(repr(error))

    def round(self, buyer):
        body = {"items": [{"product_id": self.product, "quantity": 1}]}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        order = self.expect(201, buyer.post("/api/v1/orders", body, headers=key))
        again = self.expect(201, buyer.post("/api/v1/orders", body, headers=key))
        if order["id"] != again["id"]:
            self.wrong.append(f"{order['id']} and {again['id']}")
        self.expect(200, buyer.post(f"/api/v1/orders/{order['id']}/pay", {"method": "card", "token": "tok_ok"}))
        page = self.expect(200, buyer.get("/api/v1/products?limit=1"))
        self.expect(200, buyer.get("/api/v1/products?limit=1&cursor=" + page["next_cursor"]))
        self.done += 1

    def expect(self, status, answer):
        if answer.status_code != status:
            self.wrong.append(answer.text)
            raise AssertionError(answer.text)
        return answer.json()

    def rounds(self, count):
        """Waits for so many more."""
        until = self.done + count
        wait(lambda: self.done >= until or self.wrong, "the load makes no progress")

    def __enter__(self):
        self.start()
        self.rounds(2)
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join(30)
        assert not self.is_alive() and not self.wrong, self.wrong


def new_secret():
    return base64.b64encode(secrets.token_bytes(32)).decode()


def wait_taken(shop, program, source, since):
    wait(lambda: metric(shop, program, "bodega_config_reload_success_timestamp_seconds", source) >= int(since),
         f"{source} of {program}")


CHANGED = [
    ("internal-secrets", "INTERNAL_SECRETS", ["gateway", "users", "products", "orders", "payments"]),
    ("webhook-secrets", "WEBHOOK_SECRETS", ["orders", "payments"]),
    ("cursor-secret", "CURSOR_SECRET", ["users", "products", "orders"]),
    ("keys-secret", "KEYS_SECRET", ["users"]),
]


def test_secrets_are_changed_in_three_steps(shop):
    """All at once: the first value of each makes things, both are accepted."""
    values = {}
    for name, _, _ in CHANGED:
        with open(shop.path("secrets", name), encoding="ascii") as file:
            words = [line.split() for line in file]
        prefix = "whsec_" if name == "webhook-secrets" else ""
        values[name] = [(line[:-1], line[-1], prefix + new_secret()) for line in words]
    with Load(shop) as load:
        for step in (lambda old, new: [old, new]), (lambda old, new: [new, old]), (lambda _, new: [new]):
            changed = time.time()
            for name, _, _ in CHANGED:
                put(shop.path("secrets", name),
                    "".join(" ".join([*who, *step(old, new)]) + "\n" for who, old, new in values[name]))
            for _, source, programs in CHANGED:
                for program in programs:
                    wait_taken(shop, program, source, changed)
            load.rounds(3)
    for _, source, programs in CHANGED:
        for program in programs:
            assert metric(shop, program, "bodega_config_reload_failures_total", source) == 0


def test_a_wrong_secret_is_refused_and_the_one_before_stays(shop):
    path = shop.path("secrets", "cursor-secret")
    with open(path, encoding="ascii") as file:
        good = file.read()
    with Load(shop) as load:
        put(path, "not base64 at all\n")
        for program in ("users", "products", "orders"):
            wait(lambda p=program: metric(shop, p, "bodega_config_reload_refused", "CURSOR_SECRET") == 1, program)
        load.rounds(2)
        put(path, good)
        for program in ("users", "products", "orders"):
            wait(lambda p=program: metric(shop, p, "bodega_config_reload_refused", "CURSOR_SECRET") == 0, program)
    assert "not base64 at all" not in servers.tail(shop.path("log", "orders"), 1000)


def make_certificate(shop, folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", folder / "tls.key", "-out", folder / "tls.crt"], check=True, capture_output=True)
    return {name: (folder / name).read_text() for name in ("tls.key", "tls.crt")}


def shown_certificate(shop):
    return ssl.get_server_certificate(("127.0.0.1", shop.tls_ports["gateway"]))


def test_a_certificate_is_replaced(shop, tmp_path):
    pair = make_certificate(shop, tmp_path)
    before = shown_certificate(shop)
    trust = ssl.create_default_context(cafile=shop.path("secrets", "tls.crt"))
    with http_client(shop.tls_url(), "h2", verify=trust) as held:
        assert held.get("/health").status_code == 200
        put(shop.path("secrets", "tls.crt"), pair["tls.crt"])
        wait(lambda: metric(shop, "gateway", "bodega_config_reload_refused", "TLS") == 1, "half a pair is refused")
        assert shown_certificate(shop) == before
        put(shop.path("secrets", "tls.key"), pair["tls.key"])
        wait(lambda: shown_certificate(shop).strip() == pair["tls.crt"].strip(), "the new certificate")
        assert held.get("/health").status_code == 200  # on the connection that it has
    trust = ssl.create_default_context(cafile=shop.path("secrets", "tls.crt"))
    with http_client(shop.tls_url(), "h2", verify=trust) as client:
        assert client.get("/health").status_code == 200
    text = httpx.get(shop.admin_url("gateway") + "/metrics").text
    ends = float(re.search(r"^bodega_tls_certificate_expiry_timestamp_seconds (\S+)$", text, re.M).group(1))
    assert 6 * 86400 < ends - time.time() <= 7 * 86400


def test_live_configuration(shop):
    """As kubelet does it: a folder of one moment behind the link ..data."""
    live = os.path.join(shop.live, "gateway")

    def mount(number, **files):
        folder = os.path.join(live, f"..{number}")
        os.makedirs(folder)
        for name, text in files.items():
            put(os.path.join(folder, name), text)
            if not os.path.lexists(os.path.join(live, name)):
                os.symlink(f"..data/{name}", os.path.join(live, name))
        os.symlink(f"..{number}", os.path.join(live, "..data_tmp"))
        os.rename(os.path.join(live, "..data_tmp"), os.path.join(live, "..data"))

    def allowed(origin):
        answer = httpx.get(shop.url() + "/health", headers={"Origin": origin}, timeout=20)
        assert answer.status_code == 200
        return answer.headers.get("access-control-allow-origin") == origin

    with Load(shop):
        mount(1, CORS_ORIGINS="https://one.example", LOG_LEVEL="info")
        wait(lambda: allowed("https://one.example") and not allowed("https://two.example"), "the first origin")
        mount(2, CORS_ORIGINS="https://one.example, https://two.example", LOG_LEVEL="debug")
        wait(lambda: allowed("https://two.example"), "the second origin")
        wait(lambda: httpx.get(shop.admin_url("gateway") + "/loglevel").json() == {"level": "debug"}, "the log's level")
        mount(3, CORS_ORIGINS="https://three.example", LOG_LEVEL="loud")
        wait(lambda: metric(shop, "gateway", "bodega_config_reload_refused", "LIVE_CONFIG_DIR") == 1, "refused")
        assert allowed("https://two.example") and not allowed("https://three.example")
        mount(4, CORS_ORIGINS="https://three.example", LOG_LEVEL="info")
        wait(lambda: allowed("https://three.example") and not allowed("https://two.example"), "the third origin")
    assert "LIVE_CONFIG_DIR/LOG_LEVEL must be one of debug, info, warn or error; it is" in servers.tail(
        shop.path("log", "gateway"), 100000)


def test_who_may_sell(shop):
    with http_client(shop.url()) as client:
        customer = register(client)
        product = {"name": "A chair", "price": 5}
        assert customer.post("/api/v1/products", product).status_code == 201
        put(os.path.join(shop.live, "products", "SELLERS"), "role\n")
        wait(lambda: customer.post("/api/v1/products", product).status_code == 403, "sellers only")


def test_a_database_role_is_replaced(shop):
    """Two roles in turn: new connections come with the other one, while those that are open go on."""
    path = os.path.join(shop.live, "products-database-url")
    shop.postgres.sql("CREATE ROLE products_b LOGIN IN ROLE products")
    put(path, shop.database_url("products"))
    shop.stop_program("products")
    del shop.environment["products"]["LIVE_CONFIG_DIR"]
    shop.environment["products"].update(DATABASE_URL=None, DATABASE_URL_FILE=path)
    shop.start_program("products")
    shop.wait_ready(["products"])
    pid = shop.pid("products")

    def roles():
        return {row[0] for row in shop.postgres.sql(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'products'")}

    with Load(shop) as load:
        assert roles() == {"products"}
        put(path, shop.postgres.url("products_db", "products_b"))
        load.rounds(2)
    shop.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'products'")
    wait(lambda: roles() == {"products_b"}, "the other role")
    with Load(shop) as load:
        load.rounds(2)
    assert shop.pid("products") == pid
