# SPDX-License-Identifier: Apache-2.0
"""Calls as the services make them: signed with the pair's own secret (pkg/auth/mac.h), answers held against
api/internal.yaml."""

import base64
import hashlib
import hmac
import secrets
import time

import httpx

from contract import Contract

CONTRACT = Contract("api/internal.yaml")


def secret_of(shop, caller, callee):
    with open(shop.path("secrets", "internal-secrets"), encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[:2] == [caller, callee]:
                return base64.b64decode(words[2])
    raise AssertionError(f"{caller} has no secret for {callee}")


class Mac(httpx.Auth):
    """Adds the header Bodega-Mac."""

    requires_request_body = True

    def __init__(self, shop, caller, callee, actor="system"):
        self.secret = secret_of(shop, caller, callee)
        self.caller, self.callee, self.actor = caller, callee, actor

    def auth_flow(self, request):
        now, nonce = str(int(time.time())), secrets.token_urlsafe(16)
        covered = [self.caller, self.callee, self.actor, now, nonce, request.headers.get("bodega-deadline-ms", ""),
                   request.method, request.url.raw_path.decode()]
        covered = [text.encode() for text in covered] + [hashlib.sha256(request.content).digest()]
        text = b"bodega-mac-v1" + b"".join(b" %d " % len(part) + part for part in covered)
        mac = base64.urlsafe_b64encode(hmac.digest(self.secret, text, "sha256")).rstrip(b"=").decode()
        request.headers["bodega-mac"] = f"v1 {self.caller} {self.actor} {now} {nonce} {mac}"
        yield request


def internal_client(shop, caller, callee):
    return httpx.Client(base_url=shop.url(callee), timeout=20, auth=Mac(shop, caller, callee),
                        event_hooks={"response": [CONTRACT.check]})
