# SPDX-License-Identifier: Apache-2.0
"""A gateway alone: nothing that it would call is there. Enough for what it does with connections, and quick."""

import json
import os
import subprocess
import time

import httpx

from conftest import BUILD, ROOT, SANITIZERS
from servers import free_port

SECRET = "c2VjcmV0" * 6


class Alone:
    def __init__(self, folder, **environment):
        self.port, self.admin_port, nobody = free_port(), free_port(), free_port()
        self.log_file = os.path.join(folder, f"{self.port}.log")
        url = f"http://127.0.0.1:{nobody}"
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen([os.path.join(ROOT, BUILD, "bin", "gateway")], stdout=log, env={
                "LISTEN_ADDRESS": "127.0.0.1", "PORT": str(self.port), "ADMIN_PORT": str(self.admin_port),
                "TLS_PORT": "0", "USERS_URL": url, "PRODUCTS_URL": url, "ORDERS_URL": url, "WORKERS": "2",
                "INTERNAL_SECRETS": "".join(f"gateway {name} {SECRET}\n" for name in ("users", "products", "orders")),
                "LSAN_OPTIONS": "suppressions=" + os.path.join(ROOT, "tests/lsan.supp"), **SANITIZERS, **environment})
        self.wait("/startupz", lambda answer: answer.status_code == 200)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def get(self, path, port=None, client=httpx, **more):
        return client.get(f"http://127.0.0.1:{port or self.port}{path}", **more)

    def probe(self, path):
        return self.get(path, self.admin_port)

    def wait(self, path, done):
        """Until the admin port's answer is as wanted."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if done(self.probe(path)):
                    return
            except httpx.TransportError:
                assert self.process.poll() is None, f"it ended with {self.process.returncode}"
            time.sleep(0.01)
        raise AssertionError(path)

    def logged(self, request_id):
        """The line of a request, as soon as it is written."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with open(self.log_file, encoding="utf-8") as log:
                for line in log:
                    if line.endswith("\n") and json.loads(line).get("request_id") == request_id:
                        return json.loads(line)
            time.sleep(0.01)
        raise AssertionError(request_id)
