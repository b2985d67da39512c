"""One's own details and saved views, over the API."""

import httpx
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity import delete_view, list_views, save_view
from tests.support.people import PASSWORD, bearer, make_seller, make_user

GOOD = "seven green kettles"


async def test_saved_views_are_ones_own(db: Database) -> None:
    mine, other = await make_user(db), await make_user(db)
    kept = await save_view(db, mine, list_name="seller.orders", name="Late", query="?state=late&sort=-at")
    assert kept.query == "state=late&sort=-at"
    changed = await save_view(db, mine, list_name="seller.orders", name="Late", query="state=open")
    assert changed.id == kept.id
    assert await list_views(db, mine, list_name="seller.orders") == [changed]
    assert await list_views(db, mine, list_name="seller.stock") == []
    assert await list_views(db, other, list_name="seller.orders") == []
    with pytest.raises(NotFound):
        await delete_view(db, other, kept.id)
    await delete_view(db, mine, kept.id)
    assert await list_views(db, mine, list_name="seller.orders") == []


async def test_saved_views_have_limits(db: Database) -> None:
    mine = await make_user(db)
    for name, query in (("", "a=1"), ("x" * 61, "a=1"), ("a", "x" * 2001), ("a", "a\x00b")):
        with pytest.raises(Invalid):
            await save_view(db, mine, list_name="l", name=name, query=query)
    for n in range(50):
        await save_view(db, mine, list_name="l", name=f"v{n}", query="a=1")
    with pytest.raises(Invalid):
        await save_view(db, mine, list_name="l", name="one more", query="a=1")


@pytest.mark.parametrize("table", ["sessions", "mail_token", "recovery_code", "known_place", "saved_view"])
async def test_the_second_wall_hides_what_is_foreign(db: Database, table: str) -> None:
    mine, other = await make_user(db), await make_user(db)
    values = {
        "sessions": None,
        "mail_token": "(token_hash, purpose, user_id, email, expires_at) "
        "VALUES (sha256($1::uuid::text::bytea), 'reset', $1, 'a', now())",
        "recovery_code": "(user_id, code_hash) VALUES ($1, 'x')",
        "known_place": "(user_id, place_hash, seen_at) VALUES ($1, 'x', now())",
        "saved_view": "(id, user_id, list, name, query) VALUES (gen_random_uuid(), $1, 'l', 'n', 'q')",
    }[table]
    for user in (mine, other):
        if values:
            await db.execute(SYSTEM, f"INSERT INTO identity.{table} {values}", user.user())
    for viewer, seen in ((mine, 1), (Viewer(), 0)):
        count = await db.fetchval(viewer.as_user, f"SELECT count(*) FROM identity.{table}")
        assert count == seen


async def test_ones_account_over_the_api(db: Database, api: httpx.AsyncClient) -> None:
    seller = await make_seller(db, "Ada's Games", email="ada@example.com")
    mine = await bearer(db, seller)
    me = (await api.get("/api/v1/me", headers=mine)).json()
    assert (me["email"], me["seller_name"], me["seller_role"]) == ("ada@example.com", "Ada's Games", "owner")
    changed = await api.patch(
        "/api/v1/me", headers=mine, json={"name": "Ada", "country": "fr", "theme": "dark"}
    )
    assert changed.status_code == 204
    me = (await api.get("/api/v1/me", headers=mine)).json()
    assert (me["name"], me["country"]) == ("Ada", "FR")
    sessions = (await api.get("/api/v1/me/sessions", headers=mine)).json()["items"]
    assert [s["current"] for s in sessions].count(True) == 1
    other = next(s for s in sessions if not s["current"])
    assert (await api.delete(f"/api/v1/me/sessions/{other['id']}", headers=mine)).status_code == 204
    assert (await api.delete(f"/api/v1/me/sessions/{other['id']}", headers=mine)).status_code == 404
    assert (await api.delete("/api/v1/me/sessions", headers=mine)).json() == {"ended": 0}
    view = await api.post(
        "/api/v1/me/views", headers=mine, json={"list": "seller.orders", "name": "Late", "query": "a=1"}
    )
    assert view.status_code == 201
    listed = await api.get("/api/v1/me/views", headers=mine, params={"list": "seller.orders"})
    assert [v["id"] for v in listed.json()["items"]] == [view.json()["id"]]
    assert (await api.delete(f"/api/v1/me/views/{view.json()['id']}", headers=mine)).status_code == 204
    fresh = await api.post("/api/v1/me/password", headers=mine, json={"current": PASSWORD, "password": GOOD})
    assert fresh.status_code == 200
    assert (await api.get("/api/v1/me", headers=mine)).status_code == 401
    mine = {"Authorization": f"Bearer {fresh.json()['token']}"}
    assert (await api.delete("/api/v1/session", headers=mine)).status_code == 204
    assert (await api.get("/api/v1/me", headers=mine)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/me"),
        ("PATCH", "/api/v1/me"),
        ("POST", "/api/v1/me/password"),
        ("GET", "/api/v1/me/sessions"),
        ("DELETE", "/api/v1/me/sessions"),
        ("POST", "/api/v1/me/second-factor"),
        ("GET", "/api/v1/me/views"),
        ("POST", "/api/v1/stores"),
        ("GET", "/api/v1/seller/store"),
        ("POST", "/api/v1/session/store"),
    ],
)
async def test_guests_are_asked_to_sign_in(api: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await api.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (401, "sign_in_needed")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/users", b"{"),
        ("/api/v1/users", b"[]"),
        ("/api/v1/users", b'{"email": 5, "password": "x", "name": "y"}'),
        ("/api/v1/users", b'{"email": "a@example.com", "password": "x", "name": "y", "staff_role": "admin"}'),
        (
            "/api/v1/users",
            b'{"email": "a\\u0000@example.com", "password": "seven green kettles", "name": "y"}',
        ),
        ("/api/v1/session", b'{"email": "a@example.com"}'),
        ("/api/v1/session", b"\xff\xfe"),
        ("/api/v1/users/verify", b"null"),
    ],
)
async def test_bad_bodies_get_words(api: httpx.AsyncClient, path: str, body: bytes) -> None:
    answer = await api.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] == "invalid"
