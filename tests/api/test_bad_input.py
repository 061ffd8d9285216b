# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong with a request gets its 4xx and a problem document that names it, and nothing is written."""

import json
import time
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from conftest import PASSWORD, assert_problem, make_product, register

JSON = {"Content-Type": "application/json"}


def post_raw(account, path, body, headers=JSON):
    return account("POST", path, content=body, headers=headers)


def order_of(product, quantity):
    return {"items": [{"product_id": product, "quantity": quantity}]}


def count(shop, service, table):
    return int(shop.postgres.sql(f"SELECT count(*) FROM {table}", f"{service}_db")[0][0])


# ---- not JSON, or too much of it ----


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"name":"a",}', b"[1,,2]", b"nonsense", b'{"a":1}{"b":2}', b'{"name":"\xff"}', b'{"name":"\\ud800"}',
     b'{"name":"a\x01b"}', b'{"name" "a"}', b"\xef\xbb\xbf{}", b'{"price":01}', b'{"price":+1}', b'{"price":NaN}',
     b"[" * 33 + b"]" * 33, b'{"a":' * 33 + b"1" + b"}" * 33],
    ids=range(16),
)
def test_not_json(seller, shop, body):
    before = count(shop, "products", "products")
    answer = post_raw(seller, "/api/v1/products", body)
    assert_problem(answer, 400, "malformed_json")
    assert count(shop, "products", "products") == before


def test_json_that_is_no_object(seller):
    answer = post_raw(seller, "/api/v1/products", b"[]")
    assert answer.status_code in (400, 422) and answer.json()["code"] in ("malformed_json", "invalid")


def test_body_over_the_limit(seller):
    body = json.dumps({"name": "x" * (257 << 10), "price": 1, "stock_quantity": 1}).encode()
    assert_problem(post_raw(seller, "/api/v1/products", body), 413, "body_too_large")


def test_other_media_type(seller):
    answer = post_raw(seller, "/api/v1/products", b"name=a", {"Content-Type": "application/x-www-form-urlencoded"})
    assert_problem(answer, 415, "unsupported_media_type")


# ---- fields ----


def test_every_bad_field_is_named_at_once(seller, shop):
    before = count(shop, "products", "products")
    body = {"name": "", "price": -1, "stock_quantity": 1.5, "tags": ["ok", 7], "colour": "red", "sku": True}
    answer = seller.post("/api/v1/products", body)
    problem = assert_problem(answer, 422, "invalid")
    fields = {error["field"] for error in problem["errors"]}
    assert {"name", "price", "stock_quantity", "tags[1]", "colour", "sku"} <= fields, problem
    assert all(error["message"] and error["code"] for error in problem["errors"])
    assert count(shop, "products", "products") == before


def test_missing_fields(seller):
    assert_problem(seller.post("/api/v1/products", {}), 422, "invalid", "name", "price")


def test_unknown_field(seller):
    answer = seller.post("/api/v1/products", {"name": "a", "price": 1, "stock_quantity": 1, "nmae": "b"})
    problem = assert_problem(answer, 422, "invalid", "nmae")
    assert problem["errors"][0]["code"] == "unknown"


def test_duplicate_field(seller):
    answer = post_raw(seller, "/api/v1/products", b'{"name":"a","name":"b","price":1,"stock_quantity":1}')
    problem = assert_problem(answer, 422, "invalid", "name")
    assert problem["errors"][0]["code"] == "duplicate"


@pytest.mark.parametrize("price", ["29.999", "1e2", "-0.01", "1000000000000000", '"29.99"', "null", "true"])
def test_bad_prices(seller, price):
    answer = post_raw(seller, "/api/v1/products", b'{"name":"a","stock_quantity":1,"price":%s}' % price.encode())
    assert_problem(answer, 422, "invalid", "price")


def test_prices_that_disagree(seller):
    answer = seller.post("/api/v1/products", {"name": "a", "stock_quantity": 1, "price": 1.5, "price_minor": 151})
    assert answer.status_code == 422
    agreed = seller.post("/api/v1/products", {"name": "a", "stock_quantity": 1, "price": 1.5, "price_minor": 150})
    assert agreed.status_code == 201 and agreed.json()["price_minor"] == 150 and agreed.json()["price"] == 1.5


def test_other_currency(seller):
    answer = seller.post("/api/v1/products", {"name": "a", "stock_quantity": 1, "price": 1, "currency": "EUR"})
    assert_problem(answer, 422, "currency_not_supported")


@pytest.mark.parametrize("quantity", [0, -1, 10001, 1.5, "1", None])
def test_bad_quantities(someone, seller, shop, quantity):
    product = make_product(seller)["id"]
    before = count(shop, "orders", "orders")
    assert_problem(someone.post("/api/v1/orders", order_of(product, quantity)), 422, "invalid", "items[0].quantity")
    assert count(shop, "orders", "orders") == before


def test_empty_and_too_many_items(someone, seller):
    product = make_product(seller)["id"]
    assert_problem(someone.post("/api/v1/orders", {"items": []}), 422, "invalid", "items")
    many = {"items": [{"product_id": product, "quantity": 1}] * 101}
    assert_problem(someone.post("/api/v1/orders", many), 422, "invalid", "items")


def test_huge_metadata(someone, seller):
    product = make_product(seller)["id"]
    body = {**order_of(product, 1), "metadata": {"x": "y" * (17 << 10)}}
    assert_problem(someone.post("/api/v1/orders", body), 422, "invalid", "metadata")


# ---- ids, queries, cursors ----


@pytest.mark.parametrize("path", ["/api/v1/products/7", "/api/v1/products/not-a-uuid", "/api/v1/products/%00"])
def test_ids_that_are_no_uuids_name_nothing(gateway, path):
    answer = gateway.get(path)
    assert answer.status_code in (400, 404) and answer.headers["content-type"] == "application/problem+json"


def test_id_in_a_body_that_is_no_uuid(someone):
    assert_problem(someone.post("/api/v1/orders", order_of("7", 1)), 422, "invalid", "items[0].product_id")


@pytest.mark.parametrize("query,field", [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"),
                                         ("min_price=-1", "min_price"), ("sort=colour", "sort"), ("colour=red", "colour"),
                                         ("limit=1&limit=2", "limit"), ("seller=me", "seller")])
def test_bad_queries(gateway, query, field):
    assert_problem(gateway.get("/api/v1/products?" + query), 422, "invalid", field)


def test_tampered_cursors(gateway):
    first = gateway.get("/api/v1/products?limit=2&sort=price").json()
    cursor = first["next_cursor"]
    assert first["has_more"] and cursor
    second = gateway.get("/api/v1/products", params={"limit": 2, "sort": "price", "cursor": cursor})
    assert second.status_code == 200
    other = "A" if cursor[10] != "A" else "B"
    for sort, bad in [("price", cursor[:10] + other + cursor[11:]), ("price", cursor[:-1]), ("price", "nonsense"),
                      ("name", cursor), ("price", cursor + "A" * 4)]:
        answer = gateway.get("/api/v1/products", params={"limit": 2, "sort": sort, "cursor": bad})
        assert_problem(answer, 422, "bad_cursor")
    filtered = {"limit": 2, "sort": "price", "cursor": cursor, "in_stock": "true"}
    assert_problem(gateway.get("/api/v1/products", params=filtered), 422, "bad_cursor")


INJECTIONS = ["'; DROP TABLE products; --", "' OR '1'='1", "\\'; SELECT pg_sleep(9); --", "$1", "%' OR 1=1 --", "a:* & !b"]


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_injection_is_text(gateway, seller, shop, text):
    before = count(shop, "products", "products")
    for path in ("/api/v1/products", "/api/v1/products/search"):
        assert gateway.get(path, params={"q": text}).status_code == 200
    assert gateway.get("/api/v1/products", params={"category": text}).status_code == 200
    assert gateway.get("/api/v1/products/tags", params={"tags": text}).status_code == 200
    product = make_product(seller, name=text, description=text, tags=[text[:50]])
    assert gateway.get(f"/api/v1/products/{product['id']}").json()["name"] == text
    assert count(shop, "products", "products") == before + 1


def test_header_injection(gateway):
    answer = gateway.get("/api/v1/products?limit=1", headers={"X-Request-Id": "a b\tc"})
    assert "\n" not in answer.headers["x-request-id"] and answer.headers["x-request-id"] != "a b\tc"
    answer = gateway.get("/api/v1/products/x%0d%0aSet-Cookie:%20a=b")
    assert answer.status_code in (400, 404) and "set-cookie" not in answer.headers


# ---- tokens ----


def claims(**more):
    now = int(time.time())
    return {"iss": "bodega", "aud": "bodega", "sub": str(uuid.uuid4()), "sid": str(uuid.uuid4()), "role": "admin",
            "iat": now, "nbf": now, "exp": now + 900, "jti": uuid.uuid4().hex, **more}


def public_pem(gateway):
    key = gateway.get("/.well-known/jwks.json").json()["keys"][0]
    public = jwt.PyJWK(key).key
    return key["kid"], public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def hs256_by_hand(key, kid, body):
    """PyJWT refuses to sign with a public key, an attacker would not."""
    import base64
    import hashlib
    import hmac

    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    head = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
    signed = head + b"." + b64(json.dumps(body).encode())
    return (signed + b"." + b64(hmac.new(key, signed, hashlib.sha256).digest())).decode()


def forged_tokens(gateway):
    kid, pem = public_pem(gateway)
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    yield "garbage", "garbage"
    yield "three garbage parts", "a.b.c"
    yield "alg none", jwt.encode(claims(), None, algorithm="none", headers={"kid": kid})
    yield "HS256 with our public key", hs256_by_hand(pem, kid, claims())
    yield "foreign key, our kid", jwt.encode(claims(), foreign, algorithm="RS256", headers={"kid": kid})
    yield "foreign key, its own kid", jwt.encode(claims(), foreign, algorithm="RS256", headers={"kid": "other"})
    yield "foreign key, no kid", jwt.encode(claims(), foreign, algorithm="RS256")
    yield "very long", "a" * 9000 + ".b.c"


def test_forged_tokens(gateway, direct, shop):
    before = count(shop, "products", "products")
    for what, token in forged_tokens(gateway):
        for client in (gateway, direct["products"]):
            headers = {"Authorization": "Bearer " + token}
            body = {"name": "a", "price": 1, "stock_quantity": 1}
            answer = client.post("/api/v1/products", json=body, headers=headers)
            assert answer.status_code == 401, (what, answer.text)
            assert answer.headers["www-authenticate"].startswith("Bearer"), what
            assert answer.headers["content-type"] == "application/problem+json", what
    assert count(shop, "products", "products") == before


def test_tampered_token(someone, gateway):
    head, body, signature = someone.token.split(".")
    for token in (f"{head}.{body}.{'A' * len(signature)}", f"{head}.{body}.", f"{head}.{body}", f"{someone.token}.x",
                  f"{head}.{body[:-2]}AA.{signature}"):
        answer = gateway.get("/api/v1/users/me", headers={"Authorization": "Bearer " + token})
        assert_problem(answer, 401, "unauthorized")


def test_no_token(gateway):
    answer = gateway.get("/api/v1/users/me")
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


# ---- methods, paths ----


def test_unknown_path_and_method(client):
    assert_problem(client.get("/api/v1/nothing"), 404, "not_found")
    answer = client.put("/api/v1/products", json={})
    assert_problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].replace(" ", "").split(",")) >= {"GET", "POST", "HEAD", "OPTIONS"}


def test_internal_paths_are_hidden(client, admin):
    for path in (f"/internal/reservations/{uuid.uuid4()}", f"/api/v1/internal/reservations/{uuid.uuid4()}",
                 "/api/../internal/reservations/x", "/%69nternal/reservations/x", "//internal/reservations/x"):
        answer = client.post(path, json={}, headers={"Authorization": "Bearer " + admin.token})
        assert answer.status_code in (400, 404, 405), (path, answer.status_code)


def test_internal_calls_need_a_mac(direct, admin):
    path = f"/internal/reservations/{uuid.uuid4()}"
    for headers in ({}, {"Authorization": "Bearer " + admin.token}, {"Bodega-Mac": "orders 1 2 3"}):
        answer = direct["products"].post(path, json={"lines": []}, headers=headers)
        assert answer.status_code in (401, 403, 404), answer.text


def test_registration(gateway):
    answer = gateway.post("/api/v1/auth/register", json={"email": "no-at-sign", "password": "short"})
    assert_problem(answer, 422, "invalid", "email", "password")
    answer = gateway.post("/api/v1/auth/register", json={"email": "a@example.com", "password": "password123"})
    assert_problem(answer, 422, "invalid", "password")
    taken = register(gateway)
    again = gateway.post("/api/v1/auth/register", json={"email": taken.user["email"].upper(), "password": PASSWORD})
    assert_problem(again, 409, "email_taken")
