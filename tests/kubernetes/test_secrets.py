# SPDX-License-Identifier: Apache-2.0
"""Secrets are made once and stay what people make of them; data outlives the release."""

import base64
import re
import secrets
import subprocess

import pytest

from cluster import CHART
from servers import Failed
from shop import call

KEYS = ["cursor-secret", "internal-secrets", "keys-secret", "orders-database-url", "password-pepper", "payments-database-url",
        "products-database-url", "rabbitmq-url", "redis-url", "users-database-url", "webhook-secrets"]


def register(url):
    person = {"email": f"{secrets.token_hex(6)}@example.com", "password": "correct horse battery", "full_name": "Ada"}
    call(url, "POST", "/api/v1/auth/register", person)
    return person


def log_in(url, person):
    return call(url, "POST", "/api/v1/auth/login", {key: person[key] for key in ("email", "password")})["access_token"]


def rotate(shop, service):
    """The second of the two roles gets a password; the URL then names it, and the database is told."""
    old = base64.b64decode(shop.secrets()[f"{service}-database-url"]).decode()
    new = re.sub(r"//\w+:\w+@", f"//{service}_b:{secrets.token_hex(16)}@", old)
    shop.kubectl("patch", "secret", "bodega", "--patch", f'{{"stringData": {{"{service}-database-url": "{new}"}}}}')
    shop.wait_for_file("postgresql-0", f"{service}-database-url", new)
    shop.kubectl("exec", "bodega-postgresql-0", "--", "sh", "-c", "sh /etc/backing/roles.sh | psql --quiet -h /tmp -U postgres")
    # The role of before is of no use any more: whoever still names it is found out.
    shop.kubectl("exec", "bodega-postgresql-0", "--", "psql", "--quiet", "-h", "/tmp", "-U", "postgres", "-c",
                 f"ALTER ROLE {service}_a NOLOGIN")
    return new


def test_what_is_rotated_stays(shop):
    with shop.forward() as url:
        person = register(url)
    made = shop.secrets()
    assert sorted(made) == sorted([*KEYS, "rabbitmq-cookie"])
    rotate(shop, "users")
    rotate(shop, "orders")
    rotated = shop.secrets()
    assert {key for key in made if made[key] != rotated[key]} == {"users-database-url", "orders-database-url"}

    shop.upgrade("--wait", "--timeout", "3m", values={"services.users.env.LEASE": "31s", "services.orders.env.LEASE": "31s"})
    assert shop.secrets() == rotated
    with shop.forward() as url:
        log_in(url, person)
    shop.helm("rollback", "bodega", "1", "--wait", "--timeout", "3m")
    assert shop.secrets() == rotated
    shop.helm("uninstall", "bodega", "--wait", "--timeout", "2m")
    assert shop.secrets() == rotated
    shop.install("--wait", "--timeout", "3m")
    assert shop.secrets() == rotated
    shop.test()
    with shop.forward() as url:
        log_in(url, person)


@pytest.mark.parametrize("profile", ["values.yaml", "values-prod.yaml"])
def test_no_secrets_no_shop(shop, profile):
    with pytest.raises(Failed, match="existingSecret is not set: name a Secret in namespace .* with the keys " + ", ".join(KEYS)):
        shop.helm("install", "other", CHART, "--values", f"{CHART}/{profile}")
    shop.kubectl("create", "secret", "generic", "half", *(f"--from-literal={key}=x" for key in KEYS[:-2]))
    with pytest.raises(Failed, match='Secret "half" in namespace .* lacks the keys users-database-url, webhook-secrets'):
        shop.helm("install", "other", CHART, "--values", f"{CHART}/{profile}", "--set", "existingSecret=half")
    shop.kubectl("delete", "secret", "half")


def test_no_secrets_are_made_up_without_a_cluster():
    done = subprocess.run(["helm", "template", "x", CHART, "--kube-version", "1.33", "--values", f"{CHART}/values-dev.yaml"],
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "secrets.create needs a cluster" in done.stderr
    assert all(key in done.stderr for key in KEYS)
