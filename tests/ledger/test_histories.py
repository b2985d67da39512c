"""Random histories of postings, the real ledger against the simple one; and many posters at once."""

import asyncio
import random

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fondaco.core.db import SYSTEM, Database
from fondaco.embedded import Endpoints
from fondaco.ledger import AccountRef, InsufficientFunds, LedgerKeyReused, post, verify
from tests.ledger.model import RULES, Account, Model, Posting
from tests.support.bouncer import database
from tests.support.postgres import Databases

OWNERS = {
    "wallet": ("user:1", "user:2"),
    "escrow": ("line:1", "line:2", "line:3"),
    "seller_pending": ("seller:1",),
    "seller_available": ("seller:1",),
    "refund_in_flight": ("refund:1",),
}


def accounts(kind: str) -> st.SearchStrategy[Account]:
    owners = OWNERS.get(kind, ("platform",))
    return st.tuples(st.just(kind), st.sampled_from(owners), st.sampled_from(("EUR", "EUR", "EUR", "JPY")))


@st.composite
def postings(draw: st.DrawFn) -> Posting:
    kind = draw(st.sampled_from(sorted(RULES)))
    debit = draw(st.sampled_from(sorted(k for k, sign in RULES[kind] if sign == 1)))
    credits = sorted(k for k, sign in RULES[kind] if sign == -1)
    amount = draw(st.one_of(st.integers(1, 50), st.integers(1, 5000)))
    currency = draw(st.sampled_from(("EUR", "EUR", "EUR", "JPY")))
    legs: list[tuple[Account, int]] = [((debit, draw(accounts(debit))[1], currency), amount)]
    left = amount
    for name in credits[:-1]:
        part = draw(st.integers(0, left))
        legs.append(((name, draw(accounts(name))[1], currency), -part))
        left -= part
    legs.append(((credits[-1], draw(accounts(credits[-1]))[1], currency), -left))
    flaw = draw(st.sampled_from(("none",) * 7 + ("off by one", "turned round", "other currency")))
    if flaw == "off by one":
        legs[0] = (legs[0][0], amount + 1)
    elif flaw == "turned round":
        legs = [(a, -n) for a, n in legs]
    elif flaw == "other currency":
        legs[-1] = ((*legs[-1][0][:2], "USD"), legs[-1][1])
    return Posting(kind, f"key:{draw(st.integers(1, 25))}", tuple(legs))


async def apply(db: Database, posting: Posting) -> str:
    """The real ledger's verdict in the model's words."""
    try:
        async with db.transaction(SYSTEM) as conn:
            before = await conn.fetchval("SELECT count(*) FROM ledger.journal")
            await post(
                conn,
                posting.kind,
                idem=posting.key,
                ref="model",
                actor="test",
                legs=[(AccountRef(*a), n) for a, n in posting.legs],
            )
            after = await conn.fetchval("SELECT count(*) FROM ledger.journal")
    except InsufficientFunds:
        return "floor"
    except LedgerKeyReused:
        return "other_content"
    except asyncpg.InsufficientPrivilegeError:
        return "forbidden"
    except asyncpg.CheckViolationError:
        return "unbalanced"
    return "posted" if after > before else "again"


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(postings(), min_size=1, max_size=40))
def test_random_histories_agree_with_the_model(databases: Databases, history: list[Posting]) -> None:
    async def run(endpoints: Endpoints) -> None:
        db, model = await database(endpoints, size=2).open(), Model()
        try:
            for posting in history:
                expected = model.post(posting)
                found = await apply(db, posting)
                assert found == expected or (
                    expected == "forbidden_or_floor" and found in ("forbidden", "floor")
                )
            rows = await db.fetch(
                SYSTEM, "SELECT kind, owner, currency, amount FROM ledger.account_balance WHERE amount <> 0"
            )
            real = {(r["kind"], r["owner"], r["currency"]): r["amount"] for r in rows}
            assert real == {a: n for a, n in model.balances.items() if n}
            assert await verify(db) == []
        finally:
            await db.close()

    with databases.cloned() as endpoints:
        asyncio.run(run(endpoints))


async def test_sixteen_posters_at_once(endpoints: Endpoints) -> None:
    """Moves between few accounts in random order, each key posted twice: nothing is lost or doubled."""
    db = await database(endpoints, size=16).open()
    wallets = [AccountRef("wallet", f"user:{n}", "EUR") for n in range(4)]
    lines = [AccountRef("escrow", f"line:{n}", "EUR") for n in range(4)]
    psp = AccountRef("psp_clearing", "platform", "EUR")
    kept: set[str] = set()
    refused = 0

    async def one(seed: int) -> None:
        nonlocal refused
        chance = random.Random(seed // 2)  # two posters each do the same
        for step in range(30):
            wallet, line, amount = chance.choice(wallets), chance.choice(lines), chance.randint(1, 60)
            kind, legs = chance.choice(
                [
                    ("top_up", [(psp, amount), (wallet, -amount)]),
                    ("purchase", [(wallet, amount), (line, -amount)]),
                    ("refund_line", [(line, amount), (wallet, -amount)]),
                ]
            )
            key = f"{seed // 2}:{step}"

            async def work(
                conn: object, kind: str = kind, key: str = key, legs: list[tuple[AccountRef, int]] = legs
            ) -> int:
                return await post(conn, kind, idem=key, ref="r", actor="a", legs=legs)  # type: ignore[arg-type]

            try:
                await db.run(SYSTEM, work, tries=20)
                kept.add(key)
            except InsufficientFunds:
                refused += 1

    try:
        await asyncio.gather(*(one(seed) for seed in range(16)))
        keys = {r["idem"] for r in await db.fetch(SYSTEM, "SELECT idem FROM ledger.journal")}
        assert keys == kept
        assert len(kept) > 100
        assert await verify(db) == []
        assert await db.fetchval(SYSTEM, "SELECT min(amount) FROM ledger.balance WHERE floor = 0") >= 0
    finally:
        await db.close()


async def test_a_deadlock_is_not_called_lack_of_money(db: Database) -> None:
    """Two transactions post twice in opposite order; `run` lets both through."""
    a, b = AccountRef("wallet", "user:a", "EUR"), AccountRef("wallet", "user:b", "EUR")
    psp = AccountRef("psp_clearing", "platform", "EUR")
    both = asyncio.Barrier(2)

    async def two(first: AccountRef, second: AccountRef) -> None:
        met = False

        async def work(conn: object) -> None:
            nonlocal met
            name = first.owner
            await post(conn, "top_up", idem=f"{name}1", ref="r", actor="a", legs=[(psp, 1), (first, -1)])  # type: ignore[arg-type]
            if not met:
                met = True
                await both.wait()
            await post(conn, "top_up", idem=f"{name}2", ref="r", actor="a", legs=[(psp, 1), (second, -1)])  # type: ignore[arg-type]

        await db.run(SYSTEM, work)

    for ref in (a, b, psp):
        await db.execute(SYSTEM, "SELECT ledger.open_account($1, $2, $3)", ref.kind, ref.owner, ref.currency)
    await asyncio.gather(two(a, b), two(b, a))
    rows = await db.fetch(SYSTEM, "SELECT amount FROM ledger.account_balance WHERE kind = 'wallet'")
    assert [r["amount"] for r in rows] == [2, 2]


@pytest.mark.parametrize("extra", [0, 1])
async def test_thirty_at_once_and_money_for_seven(endpoints: Endpoints, extra: int) -> None:
    db = await database(endpoints, size=30).open()
    wallet, psp = AccountRef("wallet", "user:1", "EUR"), AccountRef("psp_clearing", "platform", "EUR")

    async def buy(n: int) -> bool:
        async def work(conn: object) -> None:
            line = AccountRef("escrow", f"line:{n}", "EUR")
            await post(
                conn, "purchase", idem=f"buy:{n}", ref="r", actor="a", legs=[(wallet, 100), (line, -100)]
            )  # type: ignore[arg-type]

        try:
            await db.run(SYSTEM, work)
        except InsufficientFunds:
            return False
        return True

    try:
        async with db.transaction(SYSTEM) as conn:
            money = 700 + extra
            await post(conn, "top_up", idem="t", ref="r", actor="a", legs=[(psp, money), (wallet, -money)])
        assert sum(await asyncio.gather(*(buy(n) for n in range(30)))) == 7
    finally:
        await db.close()
