# SPDX-License-Identifier: Apache-2.0
"""bodegactl's commands against a running shop, and against what is broken."""

import http.server
import json
import os
import re
import socket
import subprocess
import threading
import time

import pytest

import servers
from conftest import BUILD, ROOT, close_shop, make_shop
from invariants import eventually
from shop import ADMIN_PORTS, PROGRAMS

BODEGACTL = os.path.join(ROOT, BUILD, "bin", "bodegactl")
INSIDE = "/usr/local/bin/bodegactl"


def bodegactl(*arguments, **environment):
    return subprocess.run([BODEGACTL, *arguments], capture_output=True, text=True, check=False, timeout=60,
                          env={"PATH": "/usr/bin:/bin", **environment})


class Program(http.server.BaseHTTPRequestHandler):
    """An admin port that is alive and not ready, and takes its time to say whether it has started."""

    def do_GET(self):
        if self.path == "/startupz":
            self.server.released.wait()
        self.send_response(200 if self.path == "/livez" else 503)
        self.end_headers()
        self.wfile.write(b'{"status":"not ready","why":"the database is away"}')

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def unready():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Program)
    server.released = threading.Event()
    server.handle_error = lambda *_arguments: None  # who asks may have left
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


# ---- probe ----


@pytest.mark.parametrize("what", ["live", "ready", "started"])
def test_probes_of_a_program_that_is_well(shop, what):
    by_port = bodegactl("probe", what, ADMIN_PORT=str(shop.admin_ports["orders"]))
    by_url = bodegactl("probe", what, "--url", shop.admin_url("gateway") + "/")
    assert [by_port.returncode, by_port.stderr, by_url.returncode, by_url.stderr] == [0, "", 0, ""]


def test_probes_of_a_program_that_is_not_ready(unready):
    assert bodegactl("probe", "live", "--url", unready).returncode == 0
    ready = bodegactl("probe", "ready", "--url", unready)
    assert ready.returncode == 1 and "503" in ready.stderr and "the database is away" in ready.stderr


def test_a_probe_waits_for_a_second(unready):
    began = time.monotonic()
    assert bodegactl("probe", "started", "--url", unready).returncode == 1
    assert 0.9 < time.monotonic() - began < 5


def test_a_probe_of_nobody(shop):
    nobody = bodegactl("probe", "live", "--url", f"http://127.0.0.1:{servers.free_port()}")
    assert nobody.returncode == 1 and "connect" in nobody.stderr


@pytest.mark.parametrize("arguments, environment, status, message", [
    (["probe"], {}, 64, "live, ready or started?"),
    (["probe", "well"], {}, 64, "live, ready or started?"),
    (["probe", "live", "ready"], {}, 64, "live, ready or started?"),
    (["probe", "live"], {}, 78, "ADMIN_PORT"),
    (["probe", "live"], {"ADMIN_PORT": "x"}, 78, "ADMIN_PORT"),
    (["probe", "live", "--url", "ftp://127.0.0.1"], {}, 78, "ftp"),
    (["probe", "live", "--url", "http://[1"], {}, 78, "http://[1"),
    (["check"], {}, 78, "nothing is configured here"),
    (["check", "all"], {}, 64, "there is no service all"),
    (["check", "users", "orders"], {}, 64, "orders is too much"),
    (["check", "--connections", "0"], {}, 64, "--connections must be a number above 0"),
    (["check", "--output", "xml"], {}, 64, "--output must be table or json"),
    (["check", "--purchase", "http://127.0.0.1", *["--metrics", "http://127.0.0.1"] * 33], {}, 64, "at most 32 times"),
    (["status", "localhost:9083"], {}, 64, "must be http://name:port"),
    (["status", "--output", "xml"], {}, 64, "--output must be table or json"),
])
def test_wrong_calls(arguments, environment, status, message):
    ran = bodegactl(*arguments, **environment)
    assert ran.returncode == status and message in ran.stderr, ran


# ---- check ----


def checked(ran):
    return {line["check"]: line for line in json.loads(ran.stdout)["data"]}


def test_a_purchase(shop):
    counts = "SELECT (SELECT count(*) FROM orders WHERE status <> 'cancelled'), (SELECT count(*) FROM orders)"
    before = shop.postgres.sql(counts, "orders_db")[0]
    ran = bodegactl("check", "--purchase", shop.url() + "/", "--output", "json",
                    "--metrics", shop.admin_url("gateway"), "--metrics", shop.admin_url("orders"))
    assert ran.returncode == 0, ran
    lines = json.loads(ran.stdout)["data"]
    assert [line["check"] for line in lines] == [
        "register", "watch", "product", "order", "pay", "events", "cancel", "leave", "metrics", "metrics"]
    assert all(line["ok"] for line in lines)
    assert [line["detail"].split()[0] for line in lines[-2:]] == ["gateway", "orders"]
    after = shop.postgres.sql(counts, "orders_db")[0]
    assert [int(b) - int(a) for a, b in zip(before, after)] == [0, 1], "something but a cancelled order is left behind"


def test_a_purchase_over_tls(shop):
    trusting = bodegactl("check", "--purchase", shop.tls_url(), "--ca-file", shop.path("secrets", "tls.crt"))
    assert trusting.returncode == 0 and "8 of 8 are well" in trusting.stdout, trusting
    distrusting = bodegactl("check", "--purchase", shop.tls_url())
    assert distrusting.returncode == 1 and "certificate" in distrusting.stdout, distrusting


def test_a_purchase_where_nobody_is():
    ran = bodegactl("check", "--purchase", f"http://127.0.0.1:{servers.free_port()}", "--output", "json")
    assert ran.returncode == 1
    assert [line["ok"] for line in json.loads(ran.stdout)["data"]] == [False]


def test_a_purchase_without_events_is_none_and_is_taken_back():
    shop = make_shop({"gateway": {"RABBITMQ_URL_FILE": None}}, products=3)
    try:
        ran = bodegactl("check", "--purchase", shop.url(), "--output", "json")
        lines = checked(ran)
        assert ran.returncode == 1, ran
        assert [name for name, line in lines.items() if not line["ok"]] == ["events"]
        assert lines["cancel"]["detail"].startswith("cancelled") or lines["cancel"]["detail"].startswith("refunded")
        eventually(lambda: shop.verify("--settled"), 30, "something is wrong")
    finally:
        close_shop(shop)


def environment(shop, program, **changes):
    merged = {**shop.environment_of(program), **changes}
    for name, value in changes.items():  # a variable and its file exclude each other
        if value is None:
            del merged[name]
        elif name + "_FILE" in merged:
            del merged[name + "_FILE"]
    return merged


@pytest.mark.parametrize("program, wanted", [
    ("gateway", {"secret", "tls", "redis", "rabbitmq", "users", "products", "orders", "keys"}),
    ("users", {"secret", "tls", "database", "schema", "limit", "rabbitmq", "orders"}),
    ("products", {"secret", "tls", "database", "schema", "limit", "redis", "rabbitmq", "users", "keys"}),
    ("orders", {"secret", "tls", "database", "schema", "limit", "rabbitmq", "users", "products", "payments", "keys"}),
    ("payments", {"secret", "tls", "database", "schema", "limit", "rabbitmq", "webhooks"}),
])
def test_a_configuration_that_is_well(shop, program, wanted):
    ran = bodegactl("check", program, "--output", "json", **environment(shop, program))
    assert ran.returncode == 0, ran
    assert set(checked(ran)) == wanted


def test_the_databases_of_the_migrations(shop):
    urls = {f"{service.upper()}_DATABASE_URL": shop.database_url(service) for service in ("users", "products", "orders", "payments")}
    well = bodegactl("check", "--connections", "90", **urls)
    assert well.returncode == 0 and "12 of 12 are well" in well.stdout, well
    many = bodegactl("check", "--connections", "100000", **urls)
    assert many.returncode == 1 and "8 of 12 are well" in many.stdout, many


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A certificate whose time is over, and another with its key."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in "expired", "other":
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=localhost", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"],
                       check=True, capture_output=True)
    subprocess.run(["openssl", "x509", "-in", folder / "expired.crt", "-signkey", folder / "expired.key", "-days", "-1",
                    "-out", folder / "expired.crt"], check=True, capture_output=True)
    return {name: str(folder / name) for name in ("expired.crt", "expired.key", "other.crt", "other.key")}


@pytest.mark.parametrize("program, changes, name, detail", [
    ("users", {"KEYS_SECRET": "c2hvcnQ="}, "secret", "must be 32 bytes in base64"),
    ("users", {"PASSWORD_PEPPER": "no base64"}, "secret", "32 bytes or more"),
    ("orders", {"WEBHOOK_SECRETS": "whsec_short"}, "secret", "whsec_"),
    ("orders", {"INTERNAL_SECRETS": "orders products"}, "secret", "line 1"),
    ("orders", {"INTERNAL_SECRETS_FILE": "/nowhere"}, "variable", "/nowhere"),
    ("gateway", {"TLS_KEY_FILE": "other.key"}, "tls", "key"),
    ("gateway", {"TLS_CERT_FILE": "expired.crt", "TLS_KEY_FILE": "expired.key"}, "tls", "expired"),
    ("gateway", {"TLS_CERT_FILE": "/nowhere"}, "tls", "/nowhere"),
    ("products", {"REDIS_URL": "redis://127.0.0.1:NOBODY"}, "redis", "refused"),
    ("products", {"RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:NOBODY/"}, "rabbitmq", "socket"),
    ("orders", {"PRODUCTS_URL": "http://localhost:NOBODY"}, "products", "connect"),
    ("orders", {"PRODUCTS_URL": "http://nobody.invalid:8082"}, "products", "not known"),
    ("orders", {"USERS_URL": "http://127.0.0.1:NOBODY"}, "keys", "connect"),
    ("orders", {"DATABASE_URL": "postgresql://127.0.0.1:NOBODY/orders_db"}, "database", "refused"),
    ("orders", {"DATABASE_URL": "USERS_DATABASE"}, "schema", "00004_idempotency_keys.sql is not applied"),
])
def test_what_is_wrong_is_named(shop, pairs, program, changes, name, detail):
    words = {"USERS_DATABASE": shop.database_url("users"), **pairs}
    changes = {k: words.get(v, v).replace("NOBODY", str(servers.free_port())) for k, v in changes.items()}
    ran = bodegactl("check", program, "--output", "json", **environment(shop, program, **changes))
    wrong = [line for line in json.loads(ran.stdout)["data"] if not line["ok"]]
    assert ran.returncode == 1 and name in {line["check"] for line in wrong}, ran
    assert any(detail in line["detail"] for line in wrong), wrong
    assert not any(secret in ran.stdout for secret in ("c2hvcnQ=", "guest:guest"))


# ---- status ----


def test_status_of_all_programs(shop):
    urls = [shop.admin_url(program) for program in PROGRAMS]
    ran = bodegactl("status", *urls, "--output", "json")
    instances = json.loads(ran.stdout)["data"]
    assert ran.returncode == 0, ran
    assert [instance["service"] for instance in instances] == list(PROGRAMS)
    for instance, url in zip(instances, urls):
        assert instance["ready"] and instance["why"] is None and url.endswith(instance["instance"])
        assert re.fullmatch(r"\d+\.\d+\.\d+", instance["version"]) and instance["memory_bytes"] > 1 << 20
    with socket.create_connection(("127.0.0.1", shop.ports["orders"])) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100)
        ran = bodegactl("status", shop.admin_url("orders"), "--output", "json")
        assert json.loads(ran.stdout)["data"][0]["clients"] >= 1
    table = bodegactl("status", *urls).stdout.splitlines()
    assert [line.split()[1] for line in table] == ["SERVICE", *PROGRAMS]


def test_status_of_who_is_not_ready_away_or_another(shop, unready):
    away = f"http://127.0.0.1:{servers.free_port()}"
    ran = bodegactl("status", shop.admin_url("orders"), unready, away, "http://nobody.invalid:9080", "--output", "json")
    instances = json.loads(ran.stdout)["data"]
    assert ran.returncode == 1, ran
    assert [instance["ready"] for instance in instances] == [True, False, False, False]
    for instance, why in zip(instances[1:], ("no program of ours", "connect", "not known")):
        assert why in instance["why"]


# ---- kubectl bodega ----


class Cluster:
    """A shop as kubectl shows a release."""

    def __init__(self, shop, folder):
        self.folder = str(folder)
        os.symlink(os.path.join(ROOT, "tests/system/kubectl.py"), folder / "kubectl")
        names = ("users", "products", "orders", "payments")
        databases = [{"name": f"{name.upper()}_DATABASE_URL", "value": shop.database_url(name)} for name in names]
        self.stub = {
            "bodegactl": BODEGACTL,
            "urls": {f"http://127.0.0.1:{port}": shop.admin_url(program) for program, port in ADMIN_PORTS.items()},
            "pods": {f"shop-{program}-0": ("shop", program, shop.environment_of(program)) for program in PROGRAMS},
            "job": {"containers": [{"command": [INSIDE, "migrate", "up"], "env": databases}], "restartPolicy": "Never"},
        }
        self.stub["pods"]["shop-postgresql-0"] = ("shop", "postgresql", {})

    def __call__(self, *words):
        with open(os.path.join(self.folder, "stub.json"), "w", encoding="utf-8") as file:
            json.dump(self.stub, file)
        return subprocess.run([os.path.join(ROOT, BUILD, "bin/kubectl-bodega"), *words], capture_output=True, text=True,
                              check=False, timeout=60, env={"PATH": f"{self.folder}:/usr/bin:/bin", "STUB": os.path.join(self.folder, "stub.json")})

    def calls(self):
        with open(os.path.join(self.folder, "calls"), encoding="utf-8") as file:
            return file.read().splitlines()


@pytest.fixture
def cluster(shop, tmp_path):
    return Cluster(shop, tmp_path)


def test_status_of_the_pods(cluster):
    ran = cluster("status", "-n", "one", "--output", "json")
    instances = json.loads(ran.stdout)["data"]
    assert ran.returncode == 0, ran
    assert [(i["instance"], i["service"], i["ready"]) for i in instances] == [(f"shop-{p}-0", p, True) for p in PROGRAMS]
    assert all(call.startswith("-n one ") for call in cluster.calls())


def test_checks_in_pods(cluster):
    one = cluster("check", "orders")
    assert one.returncode == 0 and "orders_db" in one.stdout and "products_db" not in one.stdout, one
    every = cluster("check")
    assert every.returncode == 0 and all(f"{service}_db" in every.stdout for service in ("users", "products", "orders", "payments"))
    cluster.stub["pods"]["shop-orders-0"][2]["INTERNAL_SECRETS_FILE"] = "/nowhere"
    assert cluster("check").returncode == 1


def test_commands_in_a_pod_with_all_databases(cluster):
    status = cluster("migrate", "status")
    assert status.returncode == 0 and "00001_accounts.sql" in status.stdout and "00001_payments.sql" in status.stdout, status
    assert cluster("--release", "shop", "migrate", "sideways").returncode == 64
    assert [call for call in cluster.calls() if call.startswith("delete")] == ["delete pod bodegactl-x --wait=false --ignore-not-found"] * 2


@pytest.mark.parametrize("words, status, message", [
    ([], 64, "Usage: kubectl bodega"),
    (["--help"], 0, ""),
    (["probe", "live"], 78, "there is no command probe"),
    (["status", "-n"], 64, "-n needs a value"),
    (["status", "--release", "other"], 1, "no pod of such a release"),
    (["events", "dead"], 64, "of which queue?"),
    (["user", "role"], 64, ""),
])
def test_calls_of_the_plugin(cluster, words, status, message):
    ran = cluster(*words)
    assert ran.returncode == status and message in ran.stderr, ran


def test_several_releases(cluster):
    cluster.stub["pods"]["other-users-0"] = ("other", "users", {})
    ran = cluster("status")
    assert ran.returncode == 78 and "there are several releases, such as shop and other" in ran.stderr, ran
    assert cluster("status", "--release=shop").returncode == 0


def test_a_release_without_its_job(cluster):
    cluster.stub["job"] = None
    ran = cluster("verify")
    assert ran.returncode == 1 and "no Job of migrations" in ran.stderr, ran
