"""Rings: cards and browsers several accounts share, in whatever order it is learnt; rates of cases."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from fondaco import approvals, audit, cases, checks, risk
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.viewer import Viewer
from fondaco.orders import Combiner
from fondaco.risk import Tier, ties
from fondaco.risk.deriving import derive
from fondaco.risk.jobs import decide_new, read_events, sweep_ties
from fondaco.risk.rates import note_rates
from fondaco.settings import Settings
from fondaco.vault import is_mark, mark
from tests.risk.test_acting import kinds_of, tier_of
from tests.support.money import give_money, make_buyer, make_staff
from tests.support.shop import Shop, make_shop, pay, place, purchase


async def use(db: Database, parts: Any, viewer: Viewer, device: str) -> None:
    """Somebody is seen with a browser, and the events are read."""
    await ties.device_seen(db, viewer.user(), device)
    await read_events(parts)


async def ban(db: Database, party: str) -> None:
    first, second = await make_staff(db, "admin"), await make_staff(db, "admin")
    await approvals.decide(db, second, await risk.ask_ban(db, first, party, "Fraud."), True)


async def shared(db: Database) -> dict[tuple[str, str], int]:
    rows = await db.fetch(SYSTEM, "SELECT kind, mark, accounts FROM risk.shared")
    return {(r["kind"], r["mark"]): r["accounts"] for r in rows}


def test_a_mark_is_keyed_and_says_nothing_of_what_it_is_of(settings: Settings) -> None:
    one = mark(settings, "card", "fingerprint")
    assert is_mark("card", one) and not is_mark("device", one) and not is_mark("card", "fingerprint")
    assert one == mark(settings, "card", "fingerprint") and one != mark(settings, "card", "another")
    assert mark(settings, "device", "fingerprint").removeprefix("device_") != one.removeprefix("card_")
    other = settings.model_copy(update={"fingerprint_key": settings.secret_key})
    assert mark(other, "card", "fingerprint") != one


async def test_a_browser_is_told_once_a_day_and_counted_once(db: Database, parts: Any) -> None:
    one, two = await make_buyer(db), await make_buyer(db)
    for viewer in (one, one, two):
        await use(db, parts, viewer, "device_a")
    told = await db.fetchval(SYSTEM, "SELECT count(*) FROM audit.event WHERE kind = 'device.seen'")
    assert told == 2 and await shared(db) == {("device", "device_a"): 2}
    events = [
        audit.AuditEvent(r["id"], 0, r["at"], r["kind"], r["ref"], r["actor"], r["data"])
        for r in await db.fetch(SYSTEM, "SELECT id, at, kind, ref, actor, data FROM audit.event ORDER BY id")
    ]
    await db.run(SYSTEM, lambda conn: derive(conn, events))
    assert await shared(db) == {("device", "device_a"): 2}, "the same events count nothing"
    assert await kinds_of(db, f"user:{one.user()}") == [], "a browser two share is no fault"


@pytest.mark.parametrize("known", ["before", "after"])
async def test_who_shares_a_browser_with_a_banned_account(db: Database, parts: Any, known: str) -> None:
    bad, other = await make_buyer(db), await make_buyer(db)
    shop = await make_shop(db)
    if known == "before":
        for viewer in (bad, other, shop.owner):
            await use(db, parts, viewer, "device_a")
    await ban(db, f"user:{bad.user()}")
    if known == "after":
        for viewer in (other, shop.owner, bad):
            await use(db, parts, viewer, "device_a")
    for party in (f"user:{other.user()}", f"user:{shop.owner.user()}", f"seller:{shop.seller_id}"):
        assert await kinds_of(db, party) == ["ring.banned"]
    assert await kinds_of(db, f"user:{bad.user()}") == []
    await decide_new(parts)
    assert await tier_of(db, f"user:{other.user()}") is Tier.WARNING, "no rule bans, and none spreads a ban"


async def test_who_was_tied_while_the_ban_was_made_is_found_later(db: Database, parts: Any) -> None:
    bad, other = await make_buyer(db), await make_buyer(db)
    await ban(db, f"user:{bad.user()}")
    for viewer in (bad, other):  # as if both were written by somebody who did not see the ban yet
        await db.execute(
            SYSTEM, "INSERT INTO risk.device VALUES ($1, 'device_a', now(), now())", viewer.user()
        )
    await sweep_ties(parts)
    await sweep_ties(parts)
    assert await kinds_of(db, f"user:{other.user()}") == ["ring.banned"]


async def test_the_owner_of_a_banned_store_is_known_again(db: Database, parts: Any) -> None:
    shop, other = await make_shop(db), await make_shop(db)
    await ban(db, f"seller:{shop.seller_id}")
    for viewer in (shop.owner, other.owner):
        await use(db, parts, viewer, "device_a")
    assert await kinds_of(db, f"seller:{other.seller_id}") == ["ring.banned"]
    assert await kinds_of(db, f"seller:{shop.seller_id}") == []


async def buy(db: Database, shop: Shop, buyer: Viewer) -> UUID:
    return (await Combiner(db).buy(purchase(buyer, shop.wish()))).group_id


@pytest.mark.parametrize("tie", ["card", "device"])
@pytest.mark.parametrize("first", ["tied", "bought"])
async def test_buying_from_ones_own_store_by_another_account(
    db: Database, parts: Any, tie: str, first: str
) -> None:
    shop = await make_shop(db, price=100, stock=5)
    buyer, stranger = await make_buyer(db), await make_buyer(db)
    for one in (buyer, stranger):
        await give_money(db, one.user(), 10_000)

    async def tied() -> None:
        if tie == "device":
            for one in (shop.owner, buyer):
                await use(db, parts, one, "device_a")
            return
        elsewhere = await make_shop(db, stock=5)
        for one in (shop.owner, buyer):
            await pay(db, await place(db, one, elsewhere.wish()), card="card_a")

    if first == "tied":
        await tied()
    for one in (buyer, stranger):
        await buy(db, shop, one)
    if first == "bought":
        await tied()
    await read_events(parts)
    assert await kinds_of(db, f"user:{buyer.user()}") == ["ring.self_purchase"]
    assert await kinds_of(db, f"seller:{shop.seller_id}") == ["ring.self_purchase"]
    assert await kinds_of(db, f"user:{stranger.user()}") == []


async def test_a_browser_nobody_uses_is_forgotten_and_its_facts_stay(db: Database, parts: Any) -> None:
    bad, other = await make_buyer(db), await make_buyer(db)
    await ban(db, f"user:{bad.user()}")
    for viewer in (bad, other):
        await use(db, parts, viewer, "device_a")
    await use(db, parts, other, "device_b")
    await db.execute(
        SYSTEM, "UPDATE risk.device SET last_at = now() - interval '401 days' WHERE mark = 'device_a'"
    )
    assert await ties.forget_idle(db) == 2 and await ties.forget_idle(db) == 0
    assert await shared(db) == {}
    left = await db.fetch(SYSTEM, "SELECT mark FROM risk.device")
    assert [r["mark"] for r in left] == ["device_b"]
    assert await kinds_of(db, f"user:{other.user()}") == ["ring.banned"]


async def test_a_rate_of_cases_over_two_percent_is_told_once_a_month(
    db: Database, settings: Settings, owner: Any
) -> None:
    shop, buyer = await make_shop(db, price=100, stock=60, max_per_order=1), await make_buyer(db)
    await give_money(db, buyer.user(), 100_000)
    groups = [await buy(db, shop, buyer) for _ in range(50)]
    party = f"seller:{shop.seller_id}"

    async def complain(group: UUID) -> UUID:
        row = await db.fetchrow(SYSTEM, "SELECT id FROM orders.orders WHERE group_id = $1", group)
        assert row
        words = "It does not work."
        return await cases.open_case(db, settings, buyer, row["id"], reason="NOT_WORKING", text=words)

    first = await complain(groups[0])
    assert await note_rates(db) == 0, "one of fifty is not more than two percent"
    await complain(groups[1])
    await cases.withdraw(db, buyer, first)
    assert await note_rates(db) == 0, "what was withdrawn does not count"
    await complain(groups[2])
    assert await note_rates(db) == 1 and await note_rates(db) == 0
    assert await kinds_of(db, party) == ["rate.cases"]
    data = await db.fetchval(SYSTEM, "SELECT data FROM risk.signal WHERE party = $1", party)
    assert data == {"lines": 50, "cases": 2}
    other = await make_shop(db, price=100, stock=5)
    await complain(await buy(db, other, buyer))
    assert await note_rates(db) == 0, "one line is too few to say anything"


async def test_a_report_answered_by_the_clock_was_late(db: Database) -> None:
    seller = uuid4()

    def answered(actor: str, outcome: str) -> audit.AuditEvent:
        data = {"seller_id": str(seller), "report_id": str(uuid4()), "outcome": outcome}
        at = datetime.now(UTC) - timedelta(seconds=1)
        return audit.AuditEvent(1, 0, at, "line.bad_code_answered", f"order:{uuid4()}", actor, data)

    events = [answered("user:x", "replaced"), answered("system", "refunded"), answered("system", "withdrawn")]
    await db.run(SYSTEM, lambda conn: derive(conn, events))
    assert sorted(await kinds_of(db, f"seller:{seller}")) == ["code.bad", "code.bad", "delivery.late"]


async def test_a_signal_that_commits_while_somebody_is_looked_at_is_decided_about(
    db: Database, parts: Any
) -> None:
    """Its time is that of its transaction's beginning: before the look."""
    party = f"user:{(await make_buyer(db)).user()}"
    async with db.transaction(SYSTEM) as conn:
        await risk.signal(conn, party, "chargeback.opened", "late")

        async def work(other: Connection) -> Tier:
            return await risk.look(other, party)

        assert await db.run(SYSTEM, work) is Tier.NORMAL
    await decide_new(parts)
    assert await tier_of(db, party) is Tier.AT_RISK
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM risk.unread") == 0


async def test_a_wrong_count_of_a_shared_mark_is_found(db: Database, parts: Any, settings: Settings) -> None:
    for viewer in (await make_buyer(db), await make_buyer(db)):
        await use(db, parts, viewer, "device_a")
    assert not [f for f in await checks.verify_all(db, settings) if f.check == "I33"]
    await db.execute(SYSTEM, "UPDATE risk.shared SET accounts = 3")
    [fault] = [f for f in await checks.verify_all(db, settings) if f.check == "I33"]
    assert "shared device" in fault.where
