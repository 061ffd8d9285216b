# SPDX-License-Identifier: Apache-2.0
"""Accounts, sessions and roles, from outside."""

import base64
import json
import uuid

from conftest import PASSWORD, Account, assert_problem, register


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_register_log_in_and_read(client):
    email = f"{uuid.uuid4().hex}@Example.com"
    body = {"email": email, "password": PASSWORD, "username": "u" + uuid.uuid4().hex[:10], "full_name": "Ada", "phone": "1",
            "address": {"street": "Main 1", "city": "Graz", "zip_code": "8010", "country": "AT"}}
    made = client.post("/api/v1/auth/register", json=body)
    assert made.status_code == 201
    user = made.json()["user"]
    assert made.headers["location"].endswith("/users/" + user["id"])
    assert user["email"].lower() == email.lower() and user["role"] == "customer" and "password" not in user
    session = client.post("/api/v1/auth/login", json={"email": email.upper(), "password": PASSWORD})
    assert session.status_code == 200
    me = Account(client, session.json())
    assert claims_of(me.token)["sub"] == user["id"]
    assert claims_of(me.token)["exp"] - claims_of(me.token)["iat"] == 900
    answer = me.get("/api/v1/users/me")
    assert answer.status_code == 200 and answer.json() == me.get(f"/api/v1/users/{user['id']}").json()
    assert answer.headers["etag"]
    assert me.get("/api/v1/users/me", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_registration_may_be_repeated_with_its_key(gateway):
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD, "full_name": "Ada"}
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = gateway.post("/api/v1/auth/register", json=body, headers=key)
    again = gateway.post("/api/v1/auth/register", json=body, headers=key)
    assert first.status_code == again.status_code == 201
    assert first.json()["user"] == again.json()["user"] and first.headers["location"] == again.headers["location"]
    assert first.json()["refresh_token"] != again.json()["refresh_token"]
    other = gateway.post("/api/v1/auth/register", json={**body, "full_name": "Eve"}, headers=key)
    assert_problem(other, 422, "idempotency_key_reused")
    assert_problem(gateway.post("/api/v1/auth/register", json=body), 409, "email_taken")


def test_wrong_password_and_unknown_account_look_alike(gateway, someone):
    wrong = gateway.post("/api/v1/auth/login", json={"email": someone.user["email"], "password": "wrong password"})
    unknown = gateway.post("/api/v1/auth/login", json={"email": "nobody@example.com", "password": "wrong password"})
    for answer in (wrong, unknown):
        assert_problem(answer, 401, "bad_credentials")
    strip = lambda answer: {k: v for k, v in answer.json().items() if k not in ("trace_id", "instance")}
    assert strip(wrong) == strip(unknown)


def refresh(client, token):
    return client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def test_refresh_rotates_and_reuse_revokes_the_family(gateway, shop):
    me = register(gateway)
    second = refresh(gateway, me.refresh_token).json()
    assert second["refresh_token"] != me.refresh_token
    third = refresh(gateway, second["refresh_token"]).json()
    # The first one's successor was used: this is theft, and everything of the family ends.
    assert_problem(refresh(gateway, me.refresh_token), 401, "bad_refresh_token")
    assert_problem(refresh(gateway, third["refresh_token"]), 401, "bad_refresh_token")


def test_refresh_again_within_ten_seconds(gateway):
    me = register(gateway)
    lost = refresh(gateway, me.refresh_token).json()
    again = refresh(gateway, me.refresh_token)
    assert again.status_code == 200
    assert_problem(refresh(gateway, lost["refresh_token"]), 401, "bad_refresh_token")


def test_log_out(gateway):
    me = register(gateway)
    assert me.post("/api/v1/auth/logout").status_code == 204
    assert_problem(refresh(gateway, me.refresh_token), 401, "bad_refresh_token")


def test_log_out_everywhere(gateway):
    me = register(gateway)
    login = {"email": me.user["email"], "password": PASSWORD}
    other = gateway.post("/api/v1/auth/login", json=login).json()
    assert me.post("/api/v1/auth/logout-all").status_code == 204
    for token in (me.refresh_token, other["refresh_token"]):
        assert_problem(refresh(gateway, token), 401, "bad_refresh_token")


def test_password_change_ends_other_sessions(gateway):
    me = register(gateway)
    other = gateway.post("/api/v1/auth/login", json={"email": me.user["email"], "password": PASSWORD}).json()
    wrong = me.post("/api/v1/auth/password", {"old_password": "not it at all", "new_password": "a new one 123"})
    assert wrong.status_code in (401, 403, 422)
    answer = me.post("/api/v1/auth/password", {"old_password": PASSWORD, "new_password": "a new one 123"})
    assert answer.status_code in (200, 204), answer.text
    assert_problem(refresh(gateway, other["refresh_token"]), 401, "bad_refresh_token")
    assert me.post("/api/v1/auth/password", {"old_password": PASSWORD, "new_password": "a new one 123"}).status_code == 204, "a repeat"
    other = me.post("/api/v1/auth/password", {"old_password": PASSWORD, "new_password": "another one 123"})
    assert_problem(other, 422, "invalid", "old_password")
    assert gateway.post("/api/v1/auth/login", json={"email": me.user["email"], "password": "a new one 123"}).status_code == 200


def test_passwords_past_72_bytes_count(gateway):
    long = "x" * 100
    me = register(gateway, password=long)
    login = {"email": me.user["email"], "password": long[:-1] + "y"}
    assert gateway.post("/api/v1/auth/login", json=login).status_code == 401


def test_others_are_hidden(someone, gateway):
    other = register(gateway)
    assert_problem(someone.get(f"/api/v1/users/{other.id}"), 404, "not_found")
    assert_problem(someone.get("/api/v1/users"), 403, "forbidden")
    assert_problem(someone("PUT", f"/api/v1/users/{someone.id}/role", json={"role": "admin"}), 403, "forbidden")


def test_patch_and_versions(someone):
    first = someone.get("/api/v1/users/me")
    tag = first.headers["etag"]
    path = f"/api/v1/users/{someone.id}"
    changed = someone("PATCH", path, json={"full_name": "New Name"}, headers={"If-Match": tag})
    assert changed.status_code == 200 and changed.json()["full_name"] == "New Name" and changed.headers["etag"] != tag
    assert_problem(someone("PATCH", path, json={"full_name": "X"}, headers={"If-Match": tag}), 412, "precondition_failed")
    cleared = someone("PATCH", path, json={"full_name": None})
    assert cleared.status_code == 200 and cleared.json()["full_name"] is None
    assert_problem(someone("PATCH", path, json={"role": "admin", "is_admin": True}), 422, "invalid", "is_admin")
    assert someone.get("/api/v1/users/me").json()["role"] == "customer"


def test_delete_anonymises(gateway):
    me = register(gateway, full_name="Gone Soon")
    assert me("DELETE", f"/api/v1/users/{me.id}").status_code == 204
    login = {"email": me.user["email"], "password": PASSWORD}
    assert_problem(gateway.post("/api/v1/auth/login", json=login), 401, "bad_credentials")
    assert_problem(refresh(gateway, me.refresh_token), 401, "bad_refresh_token")
    assert gateway.post("/api/v1/auth/register", json=login).status_code == 201


def test_admin_lists_searches_and_gives_roles(admin, gateway):
    me = register(gateway, username="findme" + uuid.uuid4().hex[:8])
    page = admin.get("/api/v1/users?limit=1").json()
    assert len(page["data"]) == 1 and page["has_more"] and page["next_cursor"]
    seen = set()
    cursor = None
    for _ in range(200):
        page = admin.get("/api/v1/users", params={"limit": 50, **({"cursor": cursor} if cursor else {})}).json()
        assert not seen & {user["id"] for user in page["data"]}
        seen |= {user["id"] for user in page["data"]}
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert me.id in seen and cursor is None
    found = admin.get("/api/v1/users/search", params={"q": me.user["username"]}).json()["data"]
    assert [user["id"] for user in found] == [me.id]
    answer = admin("PUT", f"/api/v1/users/{me.id}/role", json={"role": "seller"})
    assert answer.status_code == 200 and answer.json()["role"] == "seller"
    session = gateway.post("/api/v1/auth/login", json={"email": me.user["email"], "password": PASSWORD}).json()
    assert claims_of(session["access_token"])["role"] == "seller"
    assert_problem(admin("PUT", f"/api/v1/users/{me.id}/role", json={"role": "king"}), 422, "invalid", "role")


def test_the_link_behind_a_page_by_offset_goes_on_from_there(admin, gateway):
    for _ in range(5):
        register(gateway)
    everybody = [user["id"] for user in admin.get("/api/v1/users?limit=5").json()["data"]]
    page = admin.get("/api/v1/users?limit=2&offset=1")
    following = admin.get(page.links["next"]["url"])
    assert [user["id"] for answer in (page, following) for user in answer.json()["data"]] == everybody[1:]


def test_jwks(direct):
    keys = direct["users"].get("/.well-known/jwks.json").json()["keys"]
    assert keys and all(key["kty"] == "RSA" and key["alg"] == "RS256" and key["kid"] and "d" not in key for key in keys)
