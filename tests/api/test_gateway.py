# SPDX-License-Identifier: Apache-2.0
"""What the edge does for every request."""

import json

from conftest import assert_problem, make_product


def test_request_ids(client):
    given = client.get("/api/v1/products?limit=1", headers={"X-Request-Id": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    made = {client.get("/api/v1/products?limit=1").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3


def test_trace_ids(client):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = client.get("/api/v1/nothing", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert assert_problem(answer, 404, "not_found")["trace_id"] == trace
    broken = client.get("/api/v1/nothing", headers={"traceparent": "00-zz-00f067aa0ba902b7-01"})
    assert len(broken.json()["trace_id"]) == 32


def test_cors(gateway):
    origin = {"Origin": "https://shop.example"}
    preflight = gateway.request("OPTIONS", "/api/v1/orders", headers={
        **origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"})
    assert preflight.status_code in (200, 204)
    assert preflight.headers["access-control-allow-origin"] in ("*", origin["Origin"])
    assert "POST" in preflight.headers["access-control-allow-methods"]
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed and "idempotency-key" in allowed
    answer = gateway.get("/api/v1/products?limit=1", headers=origin)
    assert answer.headers["access-control-allow-origin"] in ("*", origin["Origin"])
    assert "etag" in answer.headers["access-control-expose-headers"].lower()


def test_internal_headers_are_removed(gateway, someone, shop):
    headers = {"Bodega-Mac": "orders 0 x y", "Bodega-Actor": "system", "Bodega-Deadline-Ms": "1",
               "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "gopher", "Forwarded": "for=6.6.6.6"}
    assert someone.get("/api/v1/users/me", headers=headers).status_code == 200
    log = open(shop.path("log", "users"), encoding="utf-8").read()
    assert "6.6.6.6" not in log and "gopher" not in log


def test_gzip(client, seller):
    """By the service, handed on by the gateway; a change may name the version by the tag of the body in gzip."""
    product = make_product(seller, description="Oiled, and oiled again. " * 100)
    path = f"/api/v1/products/{product['id']}"
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and "accept-encoding" in plain.headers["vary"].lower()
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and "accept-encoding" in packed.headers["vary"].lower()
    assert packed.json() == plain.json() and packed.num_bytes_downloaded < len(plain.content) / 2
    tag = packed.headers["etag"]
    assert tag == plain.headers["etag"][:-1] + '-gz"'
    again = client.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
    assert again.status_code == 304 and again.headers["etag"] == tag
    assert client.head(path, headers={"Accept-Encoding": "gzip"}).headers["content-length"] == packed.headers["content-length"]
    changed = seller("PATCH", path, json={"name": "Tray"}, headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    assert seller("PATCH", path, json={"name": "Bowl"}, headers={"If-Match": tag}).status_code == 412


def test_docs(gateway):
    page = gateway.get("/docs", follow_redirects=True)
    assert page.status_code == 200 and "swagger" in page.text.lower() and page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text.replace("http://www.w3.org", "") and "https://" not in page.text
    document = gateway.get("/api/v1/openapi.json")
    assert document.status_code == 200 and document.json()["openapi"].startswith("3.1")
    assert len(document.json()["paths"]) >= 25


def test_docs_live(gateway):
    assert "/docs/live" in gateway.get("/docs").text
    page, script = gateway.get("/docs/live"), gateway.get("/docs/live.js")
    assert page.status_code == script.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    for text in (page.text, script.text):
        assert "http://" not in text and "https://" not in text
    assert "<script>" not in page.text and "onclick=" not in page.text  # the policy would not have it


def test_health_tells_of_each_service(gateway):
    body = gateway.get("/health").json()
    text = json.dumps(body)
    assert all(service in text for service in ("users", "products", "orders"))


def test_services_are_for_admins(gateway, admin, someone):
    assert gateway.get("/services").status_code == 401
    assert_problem(someone.get("/services"), 403, "forbidden")
    listed = admin.get("/services")
    assert listed.status_code == 200 and "127.0.0.1" in listed.text


def test_answers_are_marked(client):
    answer = client.get("/api/v1/products?limit=1")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers or "h2o" not in answer.headers["server"]


def test_each_service_without_the_gateway(direct, someone, seller):
    headers = {"Authorization": "Bearer " + someone.token}
    assert direct["users"].get("/api/v1/users/me", headers=headers).json()["id"] == someone.id
    product = direct["products"].get("/api/v1/products?in_stock=true&limit=1").json()["data"][0]["id"]
    order = direct["orders"].post("/api/v1/orders", json={"items": [{"product_id": product, "quantity": 1}]}, headers=headers)
    assert order.status_code == 201, order.text
    assert direct["orders"].get(f"/api/v1/orders/{order.json()['id']}", headers=headers).status_code == 200
