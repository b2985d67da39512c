"""The library and the reveal: only the buyer, written down, limited, and never in stock again."""

import asyncio
from collections import Counter
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.pagination import Cursors
from fondaco.core.problem import NotFound, Problem
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.delivery import entitlement, library, reveal
from fondaco.orders import Wish
from fondaco.orders.combiner import Combiner
from fondaco.vault import Vault
from tests.support.goods import add_keys, make_listing
from tests.support.money import give_money, make_buyer
from tests.support.people import make_seller
from tests.support.shop import purchase, stock_of, whole

CURSORS = Cursors(b"k" * 32)
KEYS = ["ALPHA-00001-KEYKEY", "BRAVO-00002-KEYKEY", "CHARL-00003-KEYKEY"]


async def bought(db: Database, parts: Parts, n: int = 3) -> tuple[Viewer, list[UUID], UUID]:
    """A buyer with n delivered keys: viewer, entitlements, listing."""
    vault, seller = parts.get(Vault), await make_seller(db)
    listing = await make_listing(db, seller, title="Night Train")
    await add_keys(db, vault, seller, listing, KEYS)
    buyer = replace(await make_buyer(db), ip="10.1.2.3", user_agent="Browser/1")
    await give_money(db, buyer.user(), 10_000)
    await Combiner(db).buy(purchase(buyer, Wish(listing.id, n, listing.price)))
    page = await library(db, buyer, CURSORS)
    return buyer, [e.id for e in page.items], listing.id


async def test_each_unit_is_a_key_of_its_own(db: Database, parts: Parts) -> None:
    buyer, ids, listing = await bought(db, parts)
    found = [(await reveal(db, parts.get(Vault), buyer, i)).reveal().decode() for i in ids]
    assert sorted(found) == KEYS
    assert await stock_of(db, listing) == {"CONSUMED": 3}
    again = (await reveal(db, parts.get(Vault), buyer, ids[0])).reveal().decode()
    assert again == found[0]
    await whole(db)


async def test_every_reveal_is_written_down(db: Database, parts: Parts) -> None:
    buyer, ids, _ = await bought(db, parts)
    before = await entitlement(db, buyer, ids[0])
    assert before.entitlement.revealed_at is None and not before.reveals
    assert before.activation == "Open the client and enter the key."
    for _ in range(2):
        await reveal(db, parts.get(Vault), buyer, ids[0])
    after = await entitlement(db, buyer, ids[0])
    assert after.entitlement.revealed_at
    assert [(r.ip, r.user_agent) for r in after.reveals] == [("10.1.2.3", "Browser/1")] * 2
    events = await db.fetch(SYSTEM, "SELECT * FROM audit.event WHERE kind = 'secret.revealed' ORDER BY id")
    assert [e["data"]["first_time"] for e in events] == [True, False]
    assert {e["ref"] for e in events} == {f"entitlement:{ids[0]}"}
    assert (await library(db, buyer, CURSORS)).states == {"new": 2, "revealed": 1}


async def test_a_stranger_finds_nothing(db: Database, parts: Parts) -> None:
    _, ids, listing = await bought(db, parts)
    stranger = await make_buyer(db)
    answers = set()
    for i in (ids[0], uuid7()):
        for ask in (reveal(db, parts.get(Vault), stranger, i), entitlement(db, stranger, i)):
            with pytest.raises(NotFound) as refused:
                await ask
            answers.add(str(refused.value.body()))
    assert len(answers) == 1
    assert not (await library(db, stranger, CURSORS)).items
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM delivery.reveal") == 0
    assert await stock_of(db, listing) == {"SOLD": 3}


async def test_a_revoked_entitlement_shows_nothing(
    db: Database, parts: Parts, owner: asyncpg.Connection
) -> None:
    buyer, ids, _ = await bought(db, parts)
    await owner.execute("UPDATE delivery.entitlement SET revoked_at = now() WHERE id = $1", ids[0])
    with pytest.raises(NotFound):
        await reveal(db, parts.get(Vault), buyer, ids[0])


async def test_thirty_reveals_a_minute(db: Database, parts: Parts) -> None:
    buyer, ids, _ = await bought(db, parts)

    async def one(i: UUID) -> str:
        try:
            await reveal(db, parts.get(Vault), buyer, i)
        except Problem as problem:
            return problem.code
        return "shown"

    ended = await asyncio.gather(*(one(ids[i % 3]) for i in range(40)))
    assert Counter(ended) == {"shown": 30, "too_many": 10}
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM delivery.reveal") == 30


async def test_the_reveal_is_kept_even_when_opening_fails(
    db: Database, parts: Parts, owner: asyncpg.Connection
) -> None:
    """Once it may have been seen it counts as seen."""
    buyer, ids, _ = await bought(db, parts)
    await owner.execute("UPDATE inventory.stock_unit SET sealed = '\\x00'")
    with pytest.raises(Problem) as refused:
        await reveal(db, parts.get(Vault), buyer, ids[0])
    assert refused.value.code == "vault_seal_broken"
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM delivery.reveal") == 1


async def test_reveals_are_never_changed(db: Database, parts: Parts, owner: asyncpg.Connection) -> None:
    buyer, ids, _ = await bought(db, parts)
    await reveal(db, parts.get(Vault), buyer, ids[0])
    for sql in (
        "UPDATE delivery.reveal SET ip = ''",
        "DELETE FROM delivery.reveal",
        "TRUNCATE delivery.reveal",
    ):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await owner.execute(sql)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await db.execute(SYSTEM, "UPDATE delivery.entitlement SET revealed_at = NULL")
    with pytest.raises(asyncpg.PostgresError, match="may not go"):
        await owner.execute("UPDATE inventory.stock_unit SET state = 'AVAILABLE' WHERE state = 'CONSUMED'")


async def test_no_plain_key_is_stored_anywhere(db: Database, parts: Parts, owner: asyncpg.Connection) -> None:
    buyer, ids, _ = await bought(db, parts)
    for i in ids:
        await reveal(db, parts.get(Vault), buyer, i)
    tables = await owner.fetch(
        """SELECT n.nspname || '.' || quote_ident(c.relname) AS name FROM pg_class c
           JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"""
    )
    for table in tables:
        hits = await owner.fetchval(
            f"""SELECT count(*) FROM {table["name"]} t
                WHERE t::text ILIKE '%KEYKEY%' OR t::text ILIKE '%' || encode('KEYKEY', 'hex') || '%'"""
        )
        assert hits == 0, table["name"]


async def test_the_library_is_searched(db: Database, parts: Parts) -> None:
    buyer, ids, _ = await bought(db, parts)
    assert len((await library(db, buyer, CURSORS, q="night")).items) == 3
    assert len((await library(db, buyer, CURSORS, q="steam")).items) == 3
    assert not (await library(db, buyer, CURSORS, q="%")).items
    await reveal(db, parts.get(Vault), buyer, ids[1])
    assert [e.id for e in (await library(db, buyer, CURSORS, state="revealed")).items] == [ids[1]]
    first = await library(db, buyer, CURSORS, limit=2)
    rest = await library(db, buyer, CURSORS, limit=2, cursor=first.next)
    assert [e.id for e in (*first.items, *rest.items)] == ids
