# SPDX-License-Identifier: Apache-2.0
"""How a program stops: what probes and clients see meanwhile, and how long it takes."""

import signal
import socket
import subprocess
import time

import httpx
import pytest

from alone import Alone


@pytest.fixture
def start(tmp_path):
    programs = []

    def start_one(**environment):
        programs.append(Alone(tmp_path, **environment))
        return programs[-1]

    yield start_one
    for program in programs:
        program.end()


def stopping(answer):
    return answer.status_code == 503 and "about to stop" in answer.json().get("why", "")


def test_what_is_served_during_the_delay(start):
    program = start(DRAIN_DELAY="10m")
    with httpx.Client() as kept, httpx.Client(http1=False, http2=True) as http2:
        assert program.get("/nothing", client=kept).headers["connection"] == "keep-alive"
        assert program.get("/nothing", client=http2).status_code == 404
        program.process.send_signal(signal.SIGTERM)
        program.wait("/readyz", stopping)
        assert program.probe("/livez").status_code == 200
        assert program.get("/nothing", client=kept).headers["connection"] == "close"
        assert program.get("/nothing", client=http2).status_code == 404
        assert program.get("/nothing").headers["connection"] == "close"  # new ones are served


def test_the_delay(start):
    program = start(DRAIN_DELAY="1s")
    begun = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(20) == 0
    assert time.monotonic() - begun > 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_by_hand(start, number):
    program = start()
    with httpx.Client() as kept:
        program.get("/nothing", client=kept)
        program.process.send_signal(number)
        assert program.process.wait(20) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_delay(start, second):
    program = start(DRAIN_DELAY="10m")
    program.process.send_signal(signal.SIGTERM)
    program.wait("/readyz", stopping)
    program.process.send_signal(second)
    assert program.process.wait(20) == 0


def test_a_second_signal_ends_what_runs(start):
    """A request that is never received whole keeps the program, until the second signal."""
    program = start(DRAIN_TIMEOUT="10m")
    with socket.create_connection(("127.0.0.1", program.port)) as half:
        half.sendall(b"POST /api/v1/orders HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n{")
        program.wait("/metrics", lambda answer: "\nbodega_http_connections 2\n" in answer.text)  # it and this one
        program.process.send_signal(signal.SIGTERM)
        program.wait("/readyz", stopping)
        with pytest.raises(subprocess.TimeoutExpired):
            program.process.wait(0.5)
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(20) == 0


def test_times_of_connections(start):
    """KEEP_ALIVE and CONNECTION_AGE reach the server."""
    program = start(KEEP_ALIVE="1s", CONNECTION_AGE="1s")
    with socket.create_connection(("127.0.0.1", program.port)) as idle:
        assert idle.recv(1) == b""
    ended = [line for line in program.probe("/metrics").text.splitlines()
             if line.startswith("bodega_http_connections_ended_total")]
    assert 'bodega_http_connections_ended_total{why="idle"} 1' in ended, ended
