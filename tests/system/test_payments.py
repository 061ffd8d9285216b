# SPDX-License-Identifier: Apache-2.0
"""The simulated payment provider from outside: each token, each operation repeated and raced, the ledger, webhooks."""

import uuid

import pytest

from internal import internal_client


@pytest.fixture(scope="module")
def provider(shop):
    with internal_client(shop, "orders", "payments") as made:
        yield made


class Payment:
    """One payment: calls with its key."""

    def __init__(self, provider, token="tok_ok", amount=19.99):
        self.provider = provider
        self.order = str(uuid.uuid4())
        self.key = f"{self.order}-1"
        self.body = {"order_id": self.order, "amount": amount, "currency": "USD", "token": token}
        self.path = f"/internal/payments/{self.key}"

    def put(self, **more):
        return self.provider.put(self.path, json={**self.body, **more})

    def get(self):
        return self.provider.get(self.path)

    def capture(self):
        return self.provider.post(f"{self.path}/capture", json={})

    def void(self):
        return self.provider.post(f"{self.path}/void", json={})

    def refund(self, amount, id=None):
        return self.provider.put(f"{self.path}/refunds/{id or uuid.uuid4()}", json={"amount": amount})


def status(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["status"]


def test_authorised_captured_refunded(provider):
    payment = Payment(provider)
    made = payment.put().json()
    assert made["status"] == "authorised" and made["key"] == payment.key and made["order_id"] == payment.order
    assert (made["amount"], made["amount_minor"], made["captured_minor"], made["sequence"]) == (19.99, 1999, 0, 1)
    taken = payment.capture().json()
    assert (taken["status"], taken["captured_minor"], taken["sequence"]) == ("captured", 1999, 2)
    part = payment.refund(5).json()
    assert (part["status"], part["refunded_minor"], len(part["refunds"])) == ("captured", 500, 1)
    assert payment.refund(15).status_code == 409
    rest = payment.refund(14.99).json()
    assert rest["refunded_minor"] == 1999 and [refund["amount_minor"] for refund in rest["refunds"]] == [500, 1499]
    assert payment.get().json() == rest
