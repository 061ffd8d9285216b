#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The whole shop on this machine: private servers, migrated and seeded databases, every program.

`make run`, `make stop`, `make status`, `make logs` and `make clean-run` call it; the whole-system tests use its class
Shop with folders and ports of their own. Everything lives in one folder (.run): data, sockets, secrets, logs, and
the ids of the processes. A second start keeps the data.
"""

import argparse
import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import yaml

import servers
from servers import Failed

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SERVICES = ("users", "products", "payments", "orders")
PROGRAMS = (*SERVICES, "gateway")
PORTS = {"gateway": 8080, "users": 8081, "products": 8082, "orders": 8083, "payments": 8084}
ADMIN_PORTS = {"gateway": 9080, "users": 9081, "products": 9082, "orders": 9083, "payments": 9084}
TLS_PORTS = {"gateway": 8443}
ROLES = ("admin", "seller", "support", "customer")
# Who calls whom inside: each pair has a secret of its own.
PAIRS = [("orders", "products"), ("users", "orders"), ("orders", "payments"), ("gateway", "users"),
         ("gateway", "orders"), ("gateway", "products")]
READY_SECONDS = 30


def port_of(program, kind, defaults):
    """A port from the environment (GATEWAY_PORT, USERS_ADMIN_PORT, GATEWAY_TLS_PORT, …) or the usual one."""
    name = f"{program.upper()}_{kind}"
    text = os.environ.get(name) or str(defaults.get(program, 0))
    if not text.isdigit() or int(text) > 65535:
        raise Failed(f"{name}={text}: must be a port from 0 to 65535")
    return int(text)


def call(url, method, path, body=None, token=None):
    """One request; the answer's JSON. Failed when it is none of success."""
    request = urllib.request.Request(url + path, method=method)
    request.add_header("Accept", "application/json")
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    if token is not None:
        request.add_header("Authorization", "Bearer " + token)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise Failed(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None
    except OSError as error:
        raise Failed(f"{method} {path}: {error}") from None


class Shop:
    """One shop in a folder. `environment` adds variables to all programs, or replaces theirs; under the name of a
    program it is a dict of that one's own. `replicas` says of which programs there are several: the second instance of
    orders is called "orders-2", and wherever a program is named an instance may be."""

    def __init__(self, folder, build, ports=None, durable=True, environment=None, replicas=None):
        self.folder = folder
        self.build = os.path.join(ROOT, build)
        self.ports = ports or {p: port_of(p, "PORT", PORTS) for p in PROGRAMS}
        self.admin_ports = {p: port_of(p, "ADMIN_PORT", ADMIN_PORTS) for p in PROGRAMS}
        self.tls_ports = {p: port_of(p, "TLS_PORT", TLS_PORTS) for p in PROGRAMS}
        self.environment = environment or {}
        self.instances = [name for p in PROGRAMS for name in (p, *(f"{p}-{n + 1}" for n in range(1, (replicas or {}).get(p, 1))))]
        self.postgres = servers.Postgres(self.path("postgres"), durable)
        self.redis = servers.Redis(self.path("redis"))
        self.rabbitmq = servers.RabbitMQ(self.path("rabbitmq"))
        self.processes = {}

    @classmethod
    def on_free_ports(cls, folder, build, environment=None, durable=False, replicas=None):
        """For tests and benchmarks: nothing is shared with a shop that runs already; unless it is to be durable,
        nothing survives a power cut."""
        shop = cls(folder, build, durable=durable, environment=environment, replicas=replicas)
        for ports in (shop.ports, shop.admin_ports, shop.tls_ports):
            ports.update({instance: servers.free_port() for instance in shop.instances})
        return shop

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def url(self, program="gateway"):
        return f"http://127.0.0.1:{self.ports[program]}"

    def urls(self, program):
        """Those of all its instances, with commas between them."""
        return ",".join(self.url(instance) for instance in self.instances if program_of(instance) == program)

    def tls_url(self, program="gateway"):
        return f"https://127.0.0.1:{self.tls_ports[program]}"

    def admin_url(self, program):
        return f"http://127.0.0.1:{self.admin_ports[program]}"

    def database_url(self, service):
        return self.postgres.url(f"{service}_db", service)

    # ---- up ----

    def start(self, products=200):
        self.check_ports()
        self.install()
        self.make_secrets()
        self.rabbitmq.running() or self.rabbitmq.launch()
        self.postgres.running() or self.postgres.start()
        self.redis.running() or self.redis.start()
        self.migrate()
        self.make_accounts()
        self.seed(products)
        for instance in self.instances:
            self.start_program(instance)
        self.wait_ready()
        self.rabbitmq.wait_ready()

    def check_ports(self):
        import socket

        for ports in (self.ports, self.admin_ports, self.tls_ports):
            for program, port in ports.items():
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        s.bind(("127.0.0.1", port))
                    except OSError as error:
                        raise Failed(f"port {port} for {program}: {error.strerror}; another one by e.g. "
                                     f"`make run {program.upper()}_PORT=18080`") from None

    def install(self):
        """Copies what the programs need: the unprivileged user may not reach the checkout."""
        shutil.rmtree(self.path("bin"), ignore_errors=True)
        shutil.copytree(os.path.join(self.build, "bin"), self.path("bin"))
        for folder in ("build/docs", "api/docs"):
            shutil.copytree(os.path.join(ROOT, folder), self.path("docs"), dirs_exist_ok=True)
        with open(os.path.join(ROOT, "api/openapi.yaml"), encoding="utf-8") as document:
            openapi = yaml.safe_load(document)
        with open(self.path("docs", "openapi.json"), "w", encoding="utf-8") as file:
            json.dump(openapi, file, separators=(",", ":"))
        servers.private_folder(self.path("log"))

    def make_secrets(self):
        folder = self.path("secrets")
        servers.private_folder(folder)
        for name in ("keys-secret", "password-pepper", "cursor-secret"):
            self.write_secret(name, base64.b64encode(secrets.token_bytes(32)).decode())
        self.write_secret("webhook-secrets", "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
        self.add_pairs()
        if not os.path.exists(self.path("secrets", "tls.crt")):
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "825",
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                 "-keyout", self.path("secrets", "tls.key"), "-out", self.path("secrets", "tls.crt")],
                check=True, capture_output=True)
            for name in ("tls.key", "tls.crt"):
                servers.give_away(self.path("secrets", name))

    def add_pairs(self):
        """Each pair keeps the secret that it has; the folder of an older version gets those that are new."""
        path = self.path("secrets", "internal-secrets")
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+", encoding="ascii") as file:
            file.seek(0)
            have = {tuple(line.split()[:2]) for line in file}
            for pair in PAIRS:
                if pair not in have:
                    file.write(f"{' '.join(pair)} {base64.b64encode(secrets.token_bytes(32)).decode()}\n")
        servers.give_away(path)

    def pair_secret(self, caller, callee):
        """With which one service signs its calls to another, in base64."""
        with open(self.path("secrets", "internal-secrets"), encoding="ascii") as lines:
            return next(words[2] for words in map(str.split, lines) if words[:2] == [caller, callee])

    def write_secret(self, name, text):
        path = self.path("secrets", name)
        if os.path.exists(path):
            return
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text + "\n")
        servers.give_away(path)

    def migrate(self):
        for service in SERVICES:
            if not self.postgres.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{service}'"):
                self.postgres.sql(f"CREATE ROLE {service} LOGIN")
            if not self.postgres.sql(f"SELECT 1 FROM pg_database WHERE datname = '{service}_db'"):
                self.postgres.sql(f"CREATE DATABASE {service}_db OWNER {service}")
            self.bodegactl("migrate", "up", "--database", self.database_url(service),
                           "--dir", os.path.join(ROOT, "migrations", service))

    def make_accounts(self):
        """One account a role, with random passwords that are kept in credentials.json."""
        path = self.path("credentials.json")
        if os.path.exists(path):
            return
        credentials = {}
        for role in ROLES:
            email, password = f"{role}@bodega.example", secrets.token_urlsafe(15)
            made = self.bodegactl("user", "create", "--email", email, "--role", role, "--name", role.capitalize(),
                                  "--password-file", "/dev/stdin", "--output", "json", text=password,
                                  environment=self.environment_of("users"))
            credentials[role] = {"email": email, "password": password, "id": json.loads(made)["id"]}
        new = path + ".new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            json.dump(credentials, file, indent=2)
        os.rename(new, path)

    def seed(self, products):
        self.bodegactl("seed", "--products", str(products), "--seller", self.credentials()["seller"]["id"],
                       environment=self.environment_of("products"))

    def credentials(self):
        with open(self.path("credentials.json"), encoding="ascii") as file:
            return json.load(file)

    def environment_of(self, instance):
        program = program_of(instance)
        secret = lambda name: self.path("secrets", name)
        environment = {
            "PATH": "/usr/bin:/bin", "LISTEN_ADDRESS": "127.0.0.1", "PORT": str(self.ports[instance]),
            "ADMIN_PORT": str(self.admin_ports[instance]), "TLS_PORT": str(self.tls_ports[instance]),
            "TLS_CERT_FILE": secret("tls.crt"), "TLS_KEY_FILE": secret("tls.key"),
            "INTERNAL_SECRETS_FILE": secret("internal-secrets"), "LOG_LEVEL": "info",
            "RABBITMQ_URL_FILE": self.rabbitmq.url_file,
        }
        if program not in ("users", "payments"):
            environment["USERS_URL"] = self.urls("users")
        if program in ("gateway", "orders"):
            environment["PRODUCTS_URL"] = self.urls("products")
        if program == "gateway":
            environment.update(ORDERS_URL=self.urls("orders"), DOCS_DIR=self.path("docs"), CORS_ORIGINS="*",
                               REDIS_URL=self.redis.url())
        else:
            environment["DATABASE_URL"] = self.database_url(program)
        if program in ("users", "products", "orders"):
            environment["CURSOR_SECRET_FILE"] = secret("cursor-secret")
        if program == "orders":
            environment.update(PAYMENTS_URL=self.urls("payments"), WEBHOOK_SECRETS_FILE=secret("webhook-secrets"))
        if program == "payments":
            environment.update(WEBHOOK_URL=self.urls("orders"), WEBHOOK_SECRETS_FILE=secret("webhook-secrets"))
        if program == "users":
            environment.update(ORDERS_URL=self.urls("orders"), KEYS_SECRET_FILE=secret("keys-secret"), PASSWORD_PEPPER_FILE=secret("password-pepper"))
        if program == "products":
            environment.update(REDIS_URL=self.redis.url(), SELLERS=os.environ.get("SELLERS", "anyone"))
        environment.update(self.environment)
        for name in dict.fromkeys((program, instance)):
            environment.update(self.environment.get(name, {}))
        return {name: value for name, value in environment.items() if isinstance(value, str)}

    def start_program(self, instance):
        pid_file = self.path(instance + ".pid")
        if servers.recorded(pid_file) is not None:
            return
        command = servers.unprivileged([self.path("bin", program_of(instance))])
        process = servers.spawn(command, self.path("log", instance), self.folder, self.environment_of(instance))
        self.processes[instance] = process
        servers.record(pid_file, process.pid)

    def wait_ready(self, instances=None):
        for instance in instances or self.instances:
            try:
                servers.wait_for(lambda name=instance: answers(self.admin_url(name) + "/readyz"), READY_SECONDS,
                                 f"start of {instance}", self.processes.get(instance))
            except Failed as failed:
                raise Failed(f"{failed}\n{servers.tail(self.path('log', instance))}") from None

    def bodegactl(self, *arguments, text=None, environment=None):
        done = subprocess.run([self.path("bin", "bodegactl"), *arguments], input=text, capture_output=True, text=True,
                              check=False, env=environment or {"PATH": "/usr/bin:/bin"})
        if done.returncode != 0:
            raise Failed(f"bodegactl {' '.join(arguments[:2])}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    # ---- while it runs ----

    def verify(self, *options, databases=None):
        """What `bodegactl verify` finds wrong: a list of findings. `databases` are others than the shop's."""
        urls = {service: self.database_url(service) for service in SERVICES} | (databases or {})
        environment = {"PATH": "/usr/bin:/bin", **{f"{service.upper()}_DATABASE_URL": url for service, url in urls.items()}}
        done = subprocess.run([self.path("bin", "bodegactl"), "verify", "--output", "json", *options], capture_output=True,
                              text=True, check=False, env=environment)
        if done.returncode not in (0, 1) or not done.stdout:
            raise Failed(f"bodegactl verify: {done.stderr.strip()}")
        report = json.loads(done.stdout)
        assert (done.returncode == 1) == bool(report["findings"]), done
        return report["findings"]

    def pid(self, program):
        return servers.recorded(self.path(program + ".pid"))

    def running(self):
        return [program for program in PROGRAMS if self.pid(program) is not None]

    def purchase(self):
        """Buys one thing through the gateway as a customer would, and gives the hold back. The order's id."""
        customer = self.credentials()["customer"]
        login = self.call("POST", "/api/v1/auth/login", {k: customer[k] for k in ("email", "password")})
        token = login["access_token"]
        product = self.call("GET", "/api/v1/products?in_stock=true&limit=1")["data"][0]
        order = self.call("POST", "/api/v1/orders", {"items": [{"product_id": product["id"], "quantity": 1}]}, token)
        self.call("POST", f"/api/v1/orders/{order['id']}/cancel", {}, token)
        if self.call("GET", f"/api/v1/orders/{order['id']}", token=token)["status"] != "cancelled":
            raise Failed("the order of the check was not cancelled")
        return order["id"]

    def call(self, method, path, body=None, token=None):
        return call(self.url(), method, path, body, token)

    # ---- down ----

    def stop_program(self, program, number=signal.SIGTERM):
        stopped = servers.stop_recorded(self.path(program + ".pid"), [number, signal.SIGKILL], 30)
        process = self.processes.pop(program, None)
        if process is not None:
            process.wait()
        return stopped

    def stop(self):
        """The edge first, so that nobody is cut off; then what it stands on."""
        for instance in reversed(self.instances):
            self.stop_program(instance)
        self.redis.stop()
        self.rabbitmq.stop()
        self.postgres.stop()


def program_of(instance):
    return instance.split("-")[0]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


# ---- commands ----


def run(shop, options):
    up = shop.running()
    if len(up) == len(PROGRAMS):
        print(f"The shop is up already: {shop.url()}  (`make stop` ends it, `make status` tells more)")
        return 0
    started = time.monotonic()
    try:
        for program in up:
            shop.stop_program(program)
        shop.start(options.seed)
        order = shop.purchase()
    except Failed:
        shop.stop()
        raise
    print(f"Ready in {time.monotonic() - started:.1f} s; order {order} was placed and cancelled as a check.\n")
    for role, account in shop.credentials().items():
        print(f"  {role:9} {account['email']:24} {account['password']}")
    print(f"\n  API        {shop.url()}/api/v1    and with TLS  {shop.tls_url()}/api/v1\n"
          f"  API docs   {shop.url()}/docs\n"
          f"  metrics    {shop.admin_url('gateway')}/metrics\n"
          f"  accounts   {os.path.relpath(os.path.join(options.folder, 'credentials.json'))}\n\n"
          "`make logs` follows the logs, `make stop` ends the shop, `make clean-run` forgets its data.")
    return 0


def stop(shop, _options):
    shop.stop()
    print("The shop is stopped.")
    return 0


def status(shop, _options):
    print(f"{'program':10} {'pid':>8}  {'ready':5}  url")
    ready = True
    for program in PROGRAMS:
        pid = shop.pid(program)
        is_ready = pid is not None and answers(shop.admin_url(program) + "/readyz")
        ready = ready and is_ready
        print(f"{program:10} {pid or '-':>8}  {'yes' if is_ready else 'no':5}  {shop.url(program)}")
    addresses = {"postgres": shop.postgres.url(), "redis": shop.redis.url(), "rabbitmq": "file:" + shop.rabbitmq.url_file}
    for name, address in addresses.items():
        server = getattr(shop, name)
        pid = servers.recorded(server.pid_file)
        print(f"{name:10} {pid or '-':>8}  {'yes' if pid and server.ready() else 'no':5}  {address}")
    return 0 if ready else 1


def logs(shop, _options):
    files = [shop.path("log", program) for program in PROGRAMS]
    os.execvp("tail", ["tail", "-n", "20", "-F", *files])


def clean(shop, options):
    shop.stop()
    real = os.path.realpath(options.folder)
    shutil.rmtree(real, ignore_errors=True)
    if os.path.islink(options.folder):
        os.unlink(options.folder)
    print("The shop's data is gone.")
    return 0


def main():
    parser = argparse.ArgumentParser(prog="shop", description="Starts and stops the whole shop on this machine.")
    parser.add_argument("command", choices=["run", "stop", "status", "logs", "clean"])
    parser.add_argument("--folder", default=os.path.join(ROOT, ".run"), help="where everything lives (.run)")
    parser.add_argument("--build", default="build/release", help="the build to run (build/release)")
    parser.add_argument("--seed", type=int, default=200, help="how many sample products (200)")
    options = parser.parse_args()
    try:
        shop = Shop(servers.run_folder(options.folder), options.build)
        return globals()[options.command](shop, options)
    except Failed as failed:
        print(f"shop: {failed}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
