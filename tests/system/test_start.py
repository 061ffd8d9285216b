# SPDX-License-Identifier: Apache-2.0
"""Programs start with what they need absent, wait for it without ending, and say what they wait for; once ready they
look at themselves only."""

import signal

import httpx
import pytest

import servers
from conftest import close_shop, make_shop
from shop import PROGRAMS

SECONDS = 60


@pytest.fixture(scope="module")
def shop():
    running = make_shop()
    yield running
    close_shop(running)


def probe(shop, program, name):
    answer = httpx.get(f"{shop.admin_url(program)}/{name}", timeout=20)
    return answer.status_code, answer.json().get("why", "")


def wait_started(shop, *programs):
    for program in programs:
        servers.wait_for(lambda p=program: listens(shop, p), SECONDS, f"start of {program}", shop.processes[program])


def listens(shop, program):
    try:
        return probe(shop, program, "startupz")[0] == 200
    except httpx.TransportError:
        return False


def wait_why(shop, program, text):
    """Not ready, and says this; alive all the while."""
    def says():
        status, why = probe(shop, program, "readyz")
        assert status == 503, program
        assert probe(shop, program, "livez")[0] == 200
        return text in why

    servers.wait_for(says, SECONDS, f"{program} waits for {text}", shop.processes[program])


def restart(shop, *programs):
    for program in programs:
        shop.stop_program(program)
    for program in programs:
        shop.start_program(program)
    wait_started(shop, *programs)


def test_everything_is_absent(shop):
    for program in PROGRAMS:
        shop.stop_program(program)
    shop.redis.stop()
    shop.rabbitmq.stop(signal.SIGKILL)
    shop.postgres.stop()
    for program in ("gateway", "products", "orders", "payments"):
        shop.start_program(program)
    wait_started(shop, "gateway", "products", "orders", "payments")
    wait_why(shop, "gateway", "keys")
    for program in ("products", "orders", "payments"):
        wait_why(shop, program, "connect")
    shop.start_program("users")
    wait_started(shop, "users")
    wait_why(shop, "users", "connect")
    # what they own and cannot do without comes; Redis and RabbitMQ stay away
    shop.postgres.start()
    shop.wait_ready()
    shop.purchase()
    shop.redis.start()
    shop.rabbitmq.start()


def test_only_keys_are_waited_for(shop):
    """Whoever is called may be absent; users too, once its keys are there."""
    for program in ("users", "products", "payments"):
        shop.stop_program(program)
    restart(shop, "gateway", "orders")
    wait_why(shop, "gateway", "keys")
    wait_why(shop, "orders", "keys")
    shop.start_program("users")
    shop.wait_ready(["users", "gateway", "orders"])
    shop.stop_program("users")
    for program in ("gateway", "orders"):
        assert probe(shop, program, "readyz") == (200, "")
    for program in ("users", "products", "payments"):
        shop.start_program(program)
    shop.wait_ready()


def test_once_ready_an_outage_is_not_its_own_fault(shop):
    shop.postgres.stop(signal.SIGQUIT)
    shop.redis.stop()
    for program in PROGRAMS:
        assert probe(shop, program, "readyz") == (200, "")
        assert probe(shop, program, "livez") == (200, "")
    shop.redis.start()
    shop.postgres.start()
    servers.wait_for(lambda: works(shop), SECONDS, "the shop is back")


def works(shop):
    return httpx.get(shop.url() + "/api/v1/products?limit=1", timeout=20).status_code == 200


@pytest.mark.parametrize("program", ["users", "products", "orders", "payments"])
def test_an_older_schema_is_waited_for_and_a_newer_one_is_not(shop, program):
    database = program + "_db"
    newest = int(shop.postgres.sql("SELECT max(version_id) FROM goose_db_version WHERE is_applied", database)[0][0])
    shop.postgres.sql(f"UPDATE goose_db_version SET is_applied = false WHERE version_id = {newest}", database)
    restart(shop, program)
    wait_why(shop, program, f"migration {newest:05} is missing: the database is at {newest - 1:05}")
    shop.postgres.sql(f"UPDATE goose_db_version SET is_applied = true WHERE version_id = {newest}", database)
    shop.wait_ready([program])
    shop.postgres.sql("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)", database)
    restart(shop, program)
    shop.wait_ready([program])
    shop.postgres.sql("DELETE FROM goose_db_version WHERE version_id = 99999", database)
