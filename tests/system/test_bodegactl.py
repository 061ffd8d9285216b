# SPDX-License-Identifier: Apache-2.0
"""bodegactl's commands against a running shop, and against what is broken."""

import http.server
import os
import subprocess
import threading
import time

import pytest

import servers
from conftest import BUILD, ROOT

BODEGACTL = os.path.join(ROOT, BUILD, "bin", "bodegactl")


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
])
def test_wrong_calls(arguments, environment, status, message):
    ran = bodegactl(*arguments, **environment)
    assert ran.returncode == status and message in ran.stderr, ran
