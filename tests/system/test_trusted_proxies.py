# SPDX-License-Identifier: Apache-2.0
"""Whom the gateway takes for its client."""

import pytest

from alone import Alone

SAID = {"X-Forwarded-For": "192.0.2.66, 203.0.113.9", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize("trusted, client", [("", "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"),
                                             ("10.0.0.0/8,127.0.0.0/8", "203.0.113.9")])
def test_the_log_names_the_client(tmp_path, trusted, client):
    gateway = Alone(tmp_path, TRUSTED_PROXIES=trusted)
    try:
        answer = gateway.get("/nothing", headers=SAID)
        assert gateway.logged(answer.headers["x-request-id"])["peer"] == client
    finally:
        gateway.end()


def test_wrong_networks(tmp_path):
    with pytest.raises(AssertionError, match="ended with 78"):
        Alone(tmp_path, TRUSTED_PROXIES="10.0.0.0/8, the-ingress")
