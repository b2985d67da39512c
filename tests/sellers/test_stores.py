"""Stores and their teams."""

import asyncio
from uuid import uuid4

import asyncpg
import httpx
import pytest

from fondaco.audit import history
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.sellers import (
    LastOwner,
    VerifyFirst,
    add_member,
    change_role,
    commission_bps,
    edit_store,
    list_team,
    my_store,
    open_store,
    remove_member,
    store_by_slug,
    stores_of,
)
from fondaco.sellers.actions import slug_of
from fondaco.settings import Settings
from tests.support.people import again, bearer, make_member, make_seller, make_user


async def test_opening_a_store(db: Database) -> None:
    user = await make_user(db, "ada@example.com")
    store = await open_store(db, user, name="  Käse & Keys  ", country="de", about="# Hello\r\nthere")
    assert (store.slug, store.name, store.country) == ("kase-keys", "Käse & Keys", "DE")
    assert (store.state, store.support_email, store.version) == ("OPEN", "ada@example.com", 1)
    assert store.about == "# Hello\nthere"
    owner = await again(db, user)
    assert (owner.seller_id, owner.seller_role) == (store.id, "owner")
    assert await my_store(db, owner) == store
    seen = await store_by_slug(db, "kase-keys")
    assert (seen.id, seen.name) == (store.id, store.name)
    [event] = await history(db, SYSTEM, f"seller:{store.id}")
    assert (event.kind, event.actor) == ("store.opened", user.actor)


async def test_only_proved_addresses_open_stores(db: Database) -> None:
    with pytest.raises(VerifyFirst):
        await open_store(db, await make_user(db, verified=False), name="Store", country="DE")


async def test_same_names_get_addresses_of_their_own(db: Database) -> None:
    users = [await make_user(db) for _ in range(6)]
    stores = await asyncio.gather(*(open_store(db, u, name="Game Shop", country="DE") for u in users))
    slugs = {s.slug for s in stores}
    assert len(slugs) == 6
    assert "game-shop" in slugs
    assert all(s.startswith("game-shop") for s in slugs)


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Käse & Co", "kase-co"), ("東京", "store"), ("--", "store"), ("A" * 80, "a" * 60), ("a  B", "a-b"),
     ("x" * 59 + " y", "x" * 59)],
)  # fmt: skip
def test_addresses_are_made_from_names(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x"),
        ("name", "x" * 81),
        ("name", "a\x00b"),
        ("country", ""),
        ("country", "DEU"),
        ("support_email", "nobody"),
        ("about", "x" * 5001),
        ("about", "a\x00b"),
    ],
)
async def test_what_cannot_be_used_is_said(db: Database, field: str, value: str) -> None:
    user = await make_user(db)
    values = {"name": "Store", "country": "DE", "support_email": "a@example.com", "about": "", field: value}
    with pytest.raises(Invalid) as refused:
        await open_store(db, user, **values)
    assert list(refused.value.fields) == [field]
    seller = await make_seller(db)
    with pytest.raises(Invalid) as refused:
        await edit_store(db, seller, version=1, **values)
    assert list(refused.value.fields) == [field]


async def test_one_person_owns_a_few_stores(db: Database) -> None:
    user = await make_user(db)
    done = await asyncio.gather(
        *(open_store(db, user, name=f"Store {n}", country="DE") for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(d, Invalid) for d in done) == 3
    assert len(await stores_of(db, user)) == 5


async def test_an_edit_of_an_old_state_is_refused(db: Database) -> None:
    seller = await make_seller(db, "First")
    store = await my_store(db, seller)
    values = {"support_email": "help@example.com", "country": "FR", "about": ""}
    done = await asyncio.gather(
        *(edit_store(db, seller, version=store.version, name=f"Name {n}", **values) for n in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(d, Conflict) for d in done) == 2
    after = await my_store(db, seller)
    assert (after.version, after.slug, after.country) == (2, "first", "FR")
    await edit_store(db, seller, version=2, name="Last", **values)


async def test_suspended_and_closed_stores_are_not_shown(db: Database, owner: asyncpg.Connection) -> None:
    await make_seller(db, "First")
    assert (await store_by_slug(db, "first")).name == "First"
    for state in ("SUSPENDED", "CLOSED"):
        await owner.execute("UPDATE sellers.seller SET state = $1", state)
        with pytest.raises(NotFound):
            await store_by_slug(db, "first")
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE sellers.seller SET state = 'OPEN'")


@pytest.mark.parametrize("slug", ["none", "", "a\x00b", "\ud800", "x" * 3000, "FIRST"])
async def test_unknown_addresses_are_nothing(db: Database, slug: str) -> None:
    await make_seller(db, "First")
    with pytest.raises(NotFound):
        await store_by_slug(db, slug)


async def test_a_team_grows_and_shrinks(db: Database) -> None:
    seller, person = await make_seller(db), await make_user(db, "bea@example.com")
    await add_member(db, seller, email=" Bea@example.com", role="fulfilment")
    member = await again(db, person)
    assert (member.seller_id, member.seller_role) == (seller.seller_id, "fulfilment")
    assert [(m.email, m.role) for m in await list_team(db, seller)][1:] == [("bea@example.com", "fulfilment")]
    with pytest.raises(Invalid):
        await add_member(db, seller, email="bea@example.com", role="manager")
    await change_role(db, seller, user_id=person.user(), role="manager")
    assert (await again(db, person)).seller_role == "manager"
    await remove_member(db, seller, user_id=person.user())
    assert (await again(db, person)).seller_id is None
    kinds = [e.kind for e in await history(db, SYSTEM, f"seller:{seller.seller()}")]
    assert kinds == ["store.opened", "team.member_added", "team.role_changed", "team.member_removed"]


async def test_only_people_with_proved_addresses_can_be_added(db: Database) -> None:
    seller = await make_seller(db)
    await make_user(db, "unproved@example.com", verified=False)
    said: set[str] = set()
    for email in ("unproved@example.com", "none@example.com", "nonsense"):
        with pytest.raises(Invalid) as refused:
            await add_member(db, seller, email=email, role="manager")
        said.add(refused.value.fields["email"])
    assert len(said) == 1
    with pytest.raises(Invalid) as refused:
        await add_member(db, seller, email="none@example.com", role="king")
    assert "role" in refused.value.fields


async def test_the_last_owner_stays(db: Database) -> None:
    seller = await make_seller(db)
    member = await make_member(db, seller, "manager")
    for attempt in (
        remove_member(db, seller, user_id=seller.user()),
        change_role(db, seller, user_id=seller.user(), role="manager"),
    ):
        with pytest.raises(LastOwner):
            await attempt
    await change_role(db, seller, user_id=member.user(), role="owner")
    done = await asyncio.gather(
        remove_member(db, seller, user_id=seller.user()),
        remove_member(db, seller, user_id=member.user()),
        return_exceptions=True,
    )
    assert sorted(type(d).__name__ for d in done) == ["LastOwner", "NoneType"]
    owners = await db.fetchval(SYSTEM, "SELECT count(*) FROM identity.membership WHERE role = 'owner'")
    assert owners == 1


async def test_foreign_teams_do_not_exist(db: Database) -> None:
    mine, other = await make_seller(db), await make_seller(db)
    member = await make_member(db, other, "manager")
    for user_id in (member.user(), other.user(), uuid4()):
        with pytest.raises(NotFound):
            await remove_member(db, mine, user_id=user_id)
        with pytest.raises(NotFound):
            await change_role(db, mine, user_id=user_id, role="finance")
    assert len(await list_team(db, other)) == 2


async def test_the_commission_in_force(db: Database, settings: Settings, owner: asyncpg.Connection) -> None:
    seller = await make_seller(db)
    async with db.transaction(SYSTEM) as conn:
        assert await commission_bps(conn, seller.seller(), settings) == settings.commission_bps
        await owner.execute("UPDATE sellers.seller SET commission_bps = 0")
        assert await commission_bps(conn, seller.seller(), settings) == 0


async def test_over_the_api(db: Database, api: httpx.AsyncClient) -> None:
    user = await make_user(db)
    mine = await bearer(db, user)
    assert (await api.get("/api/v1/seller/store", headers=mine)).status_code == 404
    made = await api.post("/api/v1/stores", headers=mine, json={"name": "Game Shop", "country": "DE"})
    assert made.status_code == 201
    assert (await api.get("/api/v1/stores/game-shop")).json()["name"] == "Game Shop"
    assert (await api.get("/api/v1/stores/none")).status_code == 404
    changed = await api.patch("/api/v1/seller/store", headers=mine, json={"version": 1, "about": "Hello"})
    assert (changed.json()["about"], changed.json()["name"]) == ("Hello", "Game Shop")
    stale = await api.patch("/api/v1/seller/store", headers=mine, json={"version": 1, "about": "Other"})
    assert (stale.status_code, stale.json()["code"]) == (409, "conflict")
    friend = await make_user(db, "bea@example.com")
    team = await api.post(
        "/api/v1/seller/team", headers=mine, json={"email": "bea@example.com", "role": "read_only"}
    )
    assert (team.status_code, len(team.json()["items"])) == (201, 2)
    hers = await bearer(db, await again(db, friend))
    assert (await api.get("/api/v1/seller/team", headers=hers)).status_code == 200
    refused = await api.patch("/api/v1/seller/store", headers=hers, json={"version": 2, "about": "x"})
    assert refused.status_code == 403
    path = f"/api/v1/seller/team/{friend.user()}"
    assert (await api.patch(path, headers=mine, json={"role": "manager"})).status_code == 204
    assert (await api.delete(path, headers=mine)).status_code == 204
    assert (await api.delete(path, headers=mine)).status_code == 404
    last = await api.delete(f"/api/v1/seller/team/{user.user()}", headers=mine)
    assert (last.status_code, last.json()["code"]) == (409, "last_owner")
    stores = (await api.get("/api/v1/me/stores", headers=mine)).json()["items"]
    assert [(s["slug"], s["role"], s["current"]) for s in stores] == [("game-shop", "owner", True)]
    switch = {"seller_id": stores[0]["seller_id"]}
    assert (await api.post("/api/v1/session/store", headers=mine, json=switch)).status_code == 204
    assert (await api.post("/api/v1/session/store", headers=hers, json=switch)).status_code == 404
