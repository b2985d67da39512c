"""A store's keys: hashed, limited, its own store's only, dead when revoked."""

from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
import time_machine

from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Invalid, NotFound
from fondaco.identity import create_api_key, list_api_keys, revoke_api_key
from fondaco.identity.permissions import KEY_SCOPES
from fondaco.sellers import remove_member
from tests.support.people import bearer, make_api_key, make_member, make_seller, make_user


async def test_a_key_sees_its_own_store_only(db: Database, api: httpx.AsyncClient) -> None:
    a, b = await make_seller(db), await make_seller(db)
    for seller in (a, b):
        key = await make_api_key(db, seller, "stock.read")
        answer = await api.get("/api/v1/stock", headers=key)
        assert answer.json() == {"seller_id": str(seller.seller())}


async def test_a_key_does_what_it_was_given_only(db: Database, api: httpx.AsyncClient) -> None:
    seller = await make_seller(db)
    key = await make_api_key(db, seller, "catalog.read")
    refused = await api.get("/api/v1/stock", headers=key)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for method, path in (
        ("GET", "/api/v1/me"),
        ("GET", "/api/v1/seller/team"),
        ("GET", "/api/v1/seller/api-keys"),
        ("POST", "/api/v1/seller/api-keys"),
        ("PATCH", "/api/v1/seller/store"),
        ("GET", "/api/v1/desk"),
    ):
        assert (await api.request(method, path, headers=key)).status_code == 404, path
    assert (await api.get("/whoami", headers=key)).json()["user_id"] is None
    assert (await api.get("/whoami", headers={"Cookie": f"session={key['Authorization'][7:]}"})).json()[
        "roles"
    ] == ["anonymous"]


async def test_only_the_hash_is_stored_and_the_start_is_shown(db: Database) -> None:
    seller = await make_seller(db)
    made = await create_api_key(db, seller, name=" Import ", scopes=["stock.write", "stock.write"])
    assert made.key.startswith("fk_")
    assert made.key not in repr(made)
    rows = await db.fetch(
        SYSTEM,
        "SELECT k::text AS row FROM identity.api_key k UNION ALL SELECT e::text FROM audit.event e",
    )
    assert not any(made.key in r["row"] for r in rows)
    [listed] = await list_api_keys(db, seller)
    assert (listed.name, listed.prefix, listed.scopes) == ("Import", made.key[:9], ("stock.write",))
    assert listed.last_used_at is None


async def test_foreign_keys_do_not_exist(db: Database) -> None:
    a, b = await make_seller(db), await make_seller(db)
    made = await create_api_key(db, a, name="a", scopes=["stock.read"])
    for key_id in (made.id, uuid4()):
        with pytest.raises(NotFound):
            await revoke_api_key(db, b, key_id)
    assert await list_api_keys(db, b) == []
    assert [k.id for k in await list_api_keys(db, a)] == [made.id]


async def test_a_revoked_or_old_key_is_nobody(db: Database, api: httpx.AsyncClient) -> None:
    seller = await make_seller(db)
    made = await create_api_key(db, seller, name="a", scopes=["stock.read"])
    short = await create_api_key(db, seller, name="b", scopes=["stock.read"], days=1)
    headers = {"Authorization": f"Bearer {made.key}"}
    assert (await api.get("/api/v1/stock", headers=headers)).status_code == 200
    [used] = [k for k in await list_api_keys(db, seller) if k.id == made.id]
    assert used.last_used_at is not None
    await revoke_api_key(db, seller, made.id)
    assert (await api.get("/api/v1/stock", headers=headers)).status_code == 401
    with pytest.raises(NotFound):
        await revoke_api_key(db, seller, made.id)
    headers = {"Authorization": f"Bearer {short.key}"}
    assert (await api.get("/api/v1/stock", headers=headers)).status_code == 200
    with time_machine.travel(now() + timedelta(days=1, seconds=1), tick=True):
        assert (await api.get("/api/v1/stock", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "why", ["UPDATE identity.users SET banned_at = now()", "UPDATE sellers.seller SET state = 'CLOSED'"]
)
async def test_a_key_ends_with_its_maker_and_its_store(
    db: Database, api: httpx.AsyncClient, why: str
) -> None:
    key = await make_api_key(db, await make_seller(db), "stock.read")
    assert (await api.get("/api/v1/stock", headers=key)).status_code == 200
    await db.execute(SYSTEM, why)
    assert (await api.get("/api/v1/stock", headers=key)).status_code == 401


async def test_who_leaves_the_team_leaves_no_key_behind(db: Database, api: httpx.AsyncClient) -> None:
    seller = await make_seller(db)
    manager = await make_member(db, seller, "manager")
    key = await make_api_key(db, manager, "stock.read")
    stays = await make_api_key(db, seller, "stock.read")
    await remove_member(db, seller, user_id=manager.user())
    assert (await api.get("/api/v1/stock", headers=key)).status_code == 401
    assert (await api.get("/api/v1/stock", headers=stays)).status_code == 200


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("scopes", {"scopes": []}),
        ("scopes", {"scopes": ["team.edit"]}),
        ("scopes", {"scopes": ["stock.read", "console.see"]}),
        ("name", {"name": ""}),
        ("name", {"name": "x" * 81}),
        ("days", {"days": 0}),
        ("days", {"days": 10**9}),
    ],
)
async def test_what_cannot_be_used_is_said(db: Database, field: str, values: dict[str, object]) -> None:
    seller = await make_seller(db)
    with pytest.raises(Invalid) as refused:
        await create_api_key(db, seller, **{"name": "a", "scopes": ["stock.read"], **values})  # type: ignore[arg-type]
    assert list(refused.value.fields) == [field]


async def test_over_the_api(db: Database, api: httpx.AsyncClient) -> None:
    seller = await make_seller(db)
    mine = await bearer(db, seller)
    made = await api.post(
        "/api/v1/seller/api-keys", headers=mine, json={"name": "a", "scopes": list(KEY_SCOPES), "days": 30}
    )
    assert made.status_code == 201
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await api.get("/api/v1/stock", headers=key)).status_code == 200
    listed = (await api.get("/api/v1/seller/api-keys", headers=mine)).json()["items"]
    assert [k["prefix"] for k in listed] == [made.json()["prefix"]]
    assert made.json()["key"] not in str(listed)
    gone = await api.delete(f"/api/v1/seller/api-keys/{made.json()['id']}", headers=mine)
    assert gone.status_code == 204
    assert (await api.get("/api/v1/stock", headers=key)).status_code == 401
    reader = await bearer(db, await make_member(db, seller, "read_only"))
    assert (await api.get("/api/v1/seller/api-keys", headers=reader)).status_code == 403
    customer = await bearer(db, await make_user(db))
    assert (await api.get("/api/v1/seller/api-keys", headers=customer)).status_code == 404
