# SPDX-License-Identifier: Apache-2.0
"""Catalogue, search, categories and stock, from outside."""

import uuid

import pytest

from conftest import assert_problem, make_product, place_order, register


def pages(client, path, **query):
    """All entries of a list, page by page; each page's Link header leads to the next one."""
    seen, cursor = [], None
    for _ in range(500):
        answer = client.get(path, params={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        seen += page["data"]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
        if cursor is None:
            return seen
        assert 'rel="next"' in answer.headers["link"]
    raise AssertionError("the list does not end")


def test_create_and_read(client, seller):
    body = {"name": "Walnut tray", "description": "Oiled.", "price": 29.9, "category": "kitchen", "tags": ["wood", "gift"],
            "stock_quantity": 5, "sku": uuid.uuid4().hex, "image_url": "https://example.com/tray.jpg"}
    answer = client.post("/api/v1/products", json=body, headers={"Authorization": "Bearer " + seller.token})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"].endswith("/products/" + made["id"])
    assert made["price"] == 29.9 and made["price_minor"] == 2990 and made["currency"] == "USD"
    assert made["tags"] == ["wood", "gift"] and made["seller_id"] == seller.id
    read = client.get(f"/api/v1/products/{made['id']}")
    assert read.json() == made
    tag = read.headers["etag"]
    assert read.headers["cache-control"] and tag.count(".") == 1
    assert client.get(f"/api/v1/products/{made['id']}", headers={"If-None-Match": tag}).status_code == 304
    assert client.get(f"/api/v1/products/{made['id']}", headers={"If-None-Match": '"other"'}).status_code == 200
    head = client.head(f"/api/v1/products/{made['id']}")
    assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) == len(read.content)
    options = client.request("OPTIONS", f"/api/v1/products/{made['id']}")
    assert options.status_code in (200, 204) and "PATCH" in options.headers["allow"]


def test_same_sku_twice(seller):
    sku = uuid.uuid4().hex
    make_product(seller, sku=sku)
    again = seller.post("/api/v1/products", {"name": "a", "price": 1, "stock_quantity": 1, "sku": sku})
    assert_problem(again, 409, "sku_taken")


def test_change_and_versions(seller, gateway):
    made = make_product(seller)
    path = f"/api/v1/products/{made['id']}"
    tag = gateway.get(path).headers["etag"]
    changed = seller("PATCH", path, json={"price": 31}, headers={"If-Match": tag})
    assert changed.status_code == 200 and changed.json()["price_minor"] == 3100 and changed.json()["name"] == made["name"]
    assert gateway.get(path).json()["price_minor"] == 3100
    assert_problem(seller("PATCH", path, json={"price": 32}, headers={"If-Match": tag}), 412, "precondition_failed")
    cleared = seller("PATCH", path, json={"description": None}, headers={"Content-Type": "application/merge-patch+json"})
    assert cleared.status_code == 200 and not cleared.json()["description"]
    put = seller("PUT", path, json={"name": "Birch tray", "price": 12.5, "tags": []})
    assert put.status_code == 200 and put.json()["name"] == "Birch tray" and put.json()["tags"] == []
    assert put.json()["stock_quantity"] == made["stock_quantity"]


def test_only_its_seller_and_admin_change_it(seller, someone, admin, gateway):
    made = make_product(seller)
    path = f"/api/v1/products/{made['id']}"
    assert someone("PATCH", path, json={"price": 1}).status_code in (403, 404)
    assert someone("DELETE", path).status_code in (403, 404)
    assert gateway.patch(path, json={"price": 1}).status_code == 401
    assert admin("PATCH", path, json={"price": 1}).status_code == 200


def test_delete_hides(seller, gateway):
    made = make_product(seller)
    path = f"/api/v1/products/{made['id']}"
    assert gateway.get(path).status_code == 200
    assert seller("DELETE", path).status_code == 204
    assert_problem(gateway.get(path), 404, "not_found")
    assert made["id"] not in [entry["id"] for entry in pages(gateway, "/api/v1/products", seller=seller.id, limit=100)]


@pytest.mark.parametrize("sort", ["newest", "price", "-price", "name"])
def test_lists_page_without_gap_or_repeat(gateway, sort):
    whole = pages(gateway, "/api/v1/products", sort=sort, limit=7)
    ids = [entry["id"] for entry in whole]
    assert len(ids) == len(set(ids)) >= 60
    if sort == "price":
        assert [e["price_minor"] for e in whole] == sorted(e["price_minor"] for e in whole)
    if sort == "-price":
        assert [e["price_minor"] for e in whole] == sorted((e["price_minor"] for e in whole), reverse=True)
    if sort == "newest":
        assert [e["created_at"] for e in whole] == sorted((e["created_at"] for e in whole), reverse=True)


def test_filters(gateway, seller):
    tag = "t" + uuid.uuid4().hex[:8]
    a = make_product(seller, name="A", price=10, tags=[tag, "blue"], category="filters-a", stock_quantity=0)["id"]
    b = make_product(seller, name="B", price=20, tags=[tag, "blue", "big"], category="filters-b")["id"]

    def found(**query):
        return sorted(entry["id"] for entry in pages(gateway, "/api/v1/products", tags=query.pop("tags", tag), **query))

    assert found() == sorted([a, b])
    assert found(tags=f"{tag},big") == [b]
    assert found(min_price=15) == [b] and found(max_price="19.99") == [a]
    assert found(in_stock="true") == [b]
    assert found(category="filters-a") == [a]
    assert found(seller=seller.id) == sorted([a, b])
    assert found(q="nothing-like-this") == []
    by_tags = gateway.get("/api/v1/products/tags", params={"tags": f"{tag},blue"}).json()["data"]
    assert sorted(entry["id"] for entry in by_tags) == sorted([a, b])
    by_ids = gateway.get("/api/v1/products", params={"ids": f"{a},{b}"}).json()["data"]
    assert sorted(entry["id"] for entry in by_ids) == sorted([a, b])


def test_search_ranks_and_forgives_typos(gateway, seller):
    word = "zyxwelt" + uuid.uuid4().hex[:4].translate(str.maketrans("0123456789", "ghijklmnop"))
    in_text = make_product(seller, name="Plain bowl", description=f"A {word} for every day")["id"]
    in_name = make_product(seller, name=f"Great {word}", description="A bowl")["id"]
    found = [entry["id"] for entry in gateway.get("/api/v1/products/search", params={"q": word}).json()["data"]]
    assert found == [in_name, in_text]
    typo = word[:4] + word[5] + word[4] + word[6:]
    found = [entry["id"] for entry in gateway.get("/api/v1/products/search", params={"q": typo}).json()["data"]]
    assert in_name in found


def test_categories_are_a_tree(gateway, admin, seller, someone):
    slug = "c" + uuid.uuid4().hex[:8]
    root = admin.post("/api/v1/categories", {"slug": slug, "name": "Root"})
    assert root.status_code == 201, root.text
    child = admin.post("/api/v1/categories", {"slug": slug + "-x", "name": "Child", "parent": slug})
    assert child.status_code == 201 and child.json()["parent"] == slug
    made = make_product(seller, category=slug + "-x")
    found = gateway.get("/api/v1/products", params={"category": slug}).json()["data"]
    assert [entry["id"] for entry in found] == [made["id"]]
    assert slug in gateway.get("/api/v1/categories").text
    assert_problem(admin("DELETE", f"/api/v1/categories/{slug}-x"), 409, "category_in_use")
    assert_problem(admin("DELETE", f"/api/v1/categories/{slug}"), 409, "category_in_use")
    assert_problem(admin.post("/api/v1/categories", {"slug": slug, "name": "Again"}), 409, "category_taken")
    assert_problem(someone.post("/api/v1/categories", {"slug": slug + "-y", "name": "Mine"}), 403, "forbidden")
    circle = admin("PUT", f"/api/v1/categories/{slug}", json={"name": "Root", "parent": slug + "-x"})
    assert circle.status_code in (409, 422), circle.text


def test_stock(seller, gateway, someone):
    made = make_product(seller, stock_quantity=5)
    path = f"/api/v1/products/{made['id']}/stock"
    assert seller("PATCH", path, json={"quantity": 3}).json()["stock_quantity"] == 8
    assert seller("PATCH", path, json={"quantity": -8}).json()["stock_quantity"] == 0
    assert_problem(seller("PATCH", path, json={"quantity": -1}), 409, "insufficient_stock")
    assert seller("PATCH", path, json={"set": 4}).json()["stock_quantity"] == 4
    assert seller("PATCH", path, json={"set": 4, "quantity": 1}).status_code == 422
    assert seller("PATCH", path, json={}).status_code == 422
    assert someone("PATCH", path, json={"set": 9}).status_code in (403, 404)
    tag = gateway.get(f"/api/v1/products/{made['id']}").headers["etag"]
    assert seller("PATCH", path, json={"set": 5}, headers={"If-Match": tag}).status_code == 200
    assert_problem(seller("PATCH", path, json={"set": 6}, headers={"If-Match": tag}), 412, "precondition_failed")
    movements = pages(seller, f"/api/v1/products/{made['id']}/stock/movements", limit=2)
    assert sum(entry["quantity"] for entry in movements) == 5
    assert_problem(gateway.get(f"/api/v1/products/{made['id']}/stock/movements"), 401, "unauthorized")
    assert someone.get(f"/api/v1/products/{made['id']}/stock/movements").status_code in (403, 404)


def test_stock_follows_orders(seller, gateway):
    made = make_product(seller, stock_quantity=5)
    buyer = register(gateway)
    assert place_order(buyer, made["id"], 2).status_code == 201
    read = gateway.get(f"/api/v1/products/{made['id']}")
    assert read.json()["stock_quantity"] == 3
    set_to = seller("PATCH", f"/api/v1/products/{made['id']}/stock", json={"set": 10})
    assert set_to.json()["stock_quantity"] == 10


def test_a_repeat_with_its_key_is_answered_not_done(seller, gateway):
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"name": "Once", "price": 1, "stock_quantity": 5, "sku": uuid.uuid4().hex, "category": "once"}
    first, again = (seller.post("/api/v1/products", body, headers=headers) for _ in range(2))
    assert first.status_code == again.status_code == 201
    assert again.content == first.content and again.headers["location"] == first.headers["location"]
    assert again.headers["etag"] == first.headers["etag"]
    other = seller.post("/api/v1/products", {**body, "price": 2}, headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")
    path = f"/api/v1/products/{first.json()['id']}/stock"
    for _ in range(2):
        assert seller("PATCH", path, json={"quantity": 3}, headers=headers).json()["stock_quantity"] == 8
    assert gateway.get(f"/api/v1/products/{first.json()['id']}").json()["stock_quantity"] == 8


def test_a_refusal_with_its_key_is_answered_again(seller):
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    made = make_product(seller, sku=uuid.uuid4().hex)
    body = {"name": "Twin", "price": 1, "sku": made["sku"]}
    first = seller.post("/api/v1/products", body, headers=headers)
    assert_problem(first, 409, "sku_taken")
    assert seller("DELETE", f"/api/v1/products/{made['id']}").status_code == 204
    again = seller.post("/api/v1/products", body, headers=headers)
    assert again.status_code == 409 and again.content == first.content
    assert_problem(seller.post("/api/v1/products", body, headers={"Idempotency-Key": "a b"}), 422, "invalid",
                   "Idempotency-Key")
