"""Signing in against a password that changes at that moment; keys of people who lost their rights."""

import asyncio

import asyncpg
import httpx
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import token, token_hash
from fondaco.core.problem import Problem
from fondaco.identity import sign_in
from fondaco.identity.accounts import new_mail_token, reset_password
from fondaco.sellers import change_role
from tests.support.people import GUEST, PASSWORD, make_member, make_seller, make_user
from tests.support.people import sign_in as session_of

BLOCKED = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND cardinality(pg_blocking_pids(pid)) > 0"""


async def until_blocked(owner: asyncpg.Connection, n: int, *tasks: "asyncio.Task[object]") -> None:
    while await owner.fetchval(BLOCKED) < n and not any(t.done() for t in tasks):
        await asyncio.sleep(0.01)


async def test_a_password_that_was_changed_meanwhile_opens_nothing(
    db: Database, owner: asyncpg.Connection
) -> None:
    user = await make_user(db)
    await sign_in(db, GUEST, email=user.email, password=PASSWORD)
    async with db.transaction(SYSTEM) as conn:
        link = await new_mail_token(conn, user.user(), "reset")
    hold = owner.transaction()
    await hold.start()  # the one who signs in gets past the check of the password, and waits here
    await owner.execute("SELECT 1 FROM identity.known_place FOR UPDATE")
    entering = asyncio.create_task(sign_in(db, GUEST, email=user.email, password=PASSWORD))
    await until_blocked(owner, 1, entering)
    changing = asyncio.create_task(reset_password(db, link, password="a quite different phrase"))
    await until_blocked(owner, 2, changing)
    await hold.rollback()
    await asyncio.gather(entering, changing, return_exceptions=True)
    assert changing.exception() is None
    left = "SELECT count(*) FROM identity.sessions WHERE user_id = $1"
    assert await db.fetchval(SYSTEM, left, user.user()) == 0
    with pytest.raises(Problem):
        await sign_in(db, GUEST, email=user.email, password=PASSWORD)


async def test_many_sign_ins_at_once_with_a_hash_that_is_renewed(db: Database) -> None:
    user = await make_user(db)
    found = await asyncio.gather(*(sign_in(db, GUEST, email=user.email, password=PASSWORD) for _ in range(5)))
    assert len({f.token for f in found}) == 5


async def test_a_session_whose_token_begins_like_a_key_is_a_session(
    client: httpx.AsyncClient, db: Database
) -> None:
    user = await make_user(db)
    unlucky = "fk_" + token()[3:]
    update = "UPDATE identity.sessions SET token_hash = $2 WHERE id = $1"
    await db.execute(SYSTEM, update, user.session_id, token_hash(unlucky))
    answer = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {unlucky}"})
    assert answer.status_code == 200
    page = await client.get("/account", headers={"Cookie": f"session={unlucky}"})
    assert page.status_code == 200


async def test_keys_end_with_the_right_to_make_them(client: httpx.AsyncClient, db: Database) -> None:
    boss = await make_seller(db)
    manager = await make_member(db, boss, "manager")
    headers = {"Authorization": f"Bearer {await session_of(db, manager)}"}
    made = await client.post(
        "/api/v1/seller/api-keys",
        json={"name": "till", "scopes": ["stock.write", "catalog.read"]},
        headers=headers,
    )
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await client.get("/api/v1/seller/listings", headers=key)).status_code == 200
    await change_role(db, boss, user_id=manager.user(), role="read_only")
    assert (await client.get("/api/v1/seller/listings", headers=key)).status_code == 401
