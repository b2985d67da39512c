"""Adjustments and forfeits of balances, and what becomes of the open orders of a store that is banned."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from fondaco import approvals, refunds, risk
from fondaco.approvals import OwnRequest
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import Conflict, Forbidden, Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.ledger import (
    AccountRef,
    InsufficientFunds,
    platform,
    post,
    seller_available_of,
    seller_pending_of,
    seller_reserve_of,
    wallet_of,
)
from fondaco.notifications.jobs import read_events
from fondaco.refunds import Change, banned
from fondaco.refunds.banned import WHY, give_back_of_banned
from fondaco.settings import Settings
from tests.refunds.test_refund_line import no_faults, release, sold
from tests.support.bouncer import database
from tests.support.money import amount_on, give_money, journals, make_buyer, make_staff
from tests.support.postgres import Databases
from tests.support.shop import make_shop, whole

ALL = 10**9


def change(amount: int, currency: str = "EUR", *, key: UUID | None = None, **to: UUID) -> Change:
    words = {"why": "Paid twice by mistake", "evidence": "Ticket 4711 with the bank's letter"}
    return Change(key=key or uuid7(), amount=amount, currency=currency, **words, **to)


async def decide(db: Database, staff: Viewer, approve: bool = True) -> None:
    asked = await db.fetchval(SYSTEM, "SELECT id FROM approvals.request WHERE state = 'OPEN'")
    await approvals.decide(db, staff, asked, approve, "" if approve else "not so")


async def test_an_adjustment_once_and_above_the_limit_by_two(
    db: Database, settings: Settings, parts: Parts
) -> None:
    finance, admin = await make_staff(db, "finance"), await make_staff(db, "admin")
    buyer, shop = await make_buyer(db), await make_shop(db)
    first = change(1500, user_id=buyer.user())
    assert (
        await asyncio.gather(*(refunds.adjust(db, finance, settings, first) for _ in range(4))) == [True] * 4
    )
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 1500
    assert await refunds.adjust(db, finance, settings, change(-500, user_id=buyer.user()))
    assert not await refunds.adjust(db, finance, settings, change(1, user_id=buyer.user())), "2000 a day"
    await decide(db, admin, approve=False)
    for _ in range(2):
        asked = change(2001, seller_id=shop.seller_id, key=UUID(int=7))
        if await amount_on(db, seller_available_of(shop.seller_id, "EUR")):
            assert await refunds.adjust(db, finance, settings, asked), "done already"
            continue
        assert not await refunds.adjust(db, finance, settings, asked)
        with pytest.raises(OwnRequest):
            await decide(db, finance)
        await decide(db, admin)
    assert await amount_on(db, seller_available_of(shop.seller_id, "EUR")) == 2001
    assert await amount_on(db, platform("goodwill", "EUR")) == 3501
    assert await amount_on(db, platform("other_income", "EUR")) == 500
    made = await refunds.adjustments(db, finance)
    assert [m.amount for m in made] == [2001, -500, 1500]
    assert made[0].evidence.startswith("Ticket") and made[0].actor == admin.actor
    with pytest.raises(Conflict):
        await refunds.adjust(db, finance, settings, change(700, key=first.key, user_id=buyer.user()))
    await read_events(parts)
    mails = await db.fetch(
        SYSTEM, "SELECT recipient FROM notifications.mail WHERE template = 'money_adjusted'"
    )
    assert len(mails) == 3
    await no_faults(db, settings)


async def test_nothing_goes_below_its_floor_or_without_evidence(db: Database, settings: Settings) -> None:
    finance, buyer = await make_staff(db, "finance"), await make_buyer(db)
    await give_money(db, buyer.user(), 100)
    with pytest.raises(InsufficientFunds):
        await refunds.adjust(db, finance, settings, change(-101, user_id=buyer.user()))
    wrong = change(5, user_id=buyer.user())
    for fields in (
        {"evidence": " "},
        {"why": ""},
        {"amount": 0},
        {"currency": "EUR\n"},
        {"currency": "ABC"},
        {"seller_id": uuid7()},
        {"user_id": None},
    ):
        values = {name: getattr(wrong, name) for name in wrong.__struct_fields__} | fields
        with pytest.raises(Invalid):
            await refunds.adjust(db, finance, settings, Change(**values))
    with pytest.raises(NotFound):
        await refunds.adjust(db, finance, settings, change(5, user_id=uuid7()))
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 100 and not await journals(db, "adjustment")


def test_any_adjustments_leave_what_integers_say(databases: Databases, settings: Settings) -> None:
    """Wallet and payable after any list of credits and debits, in currencies with 0, 2 and 3 decimals."""
    with databases.cloned() as endpoints:
        loop = asyncio.new_event_loop()
        db = loop.run_until_complete(database(endpoints, size=4).open())
        limits = settings.model_copy(update={"goodwill_limit": ALL})

        async def history(currency: str, steps: list[tuple[bool, int]]) -> None:
            finance = await make_staff(db, "finance")
            buyer, shop = await make_buyer(db), await make_shop(db)
            has = {True: 0, False: 0}
            for at_buyer, amount in steps:
                to = {"user_id": buyer.user()} if at_buyer else {"seller_id": shop.seller_id}
                try:
                    await refunds.adjust(db, finance, limits, change(amount, currency, **to))
                    has[at_buyer] += amount
                    assert has[at_buyer] >= 0
                except InsufficientFunds:
                    assert has[at_buyer] + amount < 0
            assert await amount_on(db, wallet_of(buyer.user(), currency)) == has[True]
            assert await amount_on(db, seller_available_of(shop.seller_id, currency)) == has[False]

        step = st.tuples(st.booleans(), st.integers(-5000, 5000).filter(bool))

        @effort(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(("EUR", "JPY", "KWD")), st.lists(step, min_size=1, max_size=8))
        def run(currency: str, steps: list[tuple[bool, int]]) -> None:
            loop.run_until_complete(history(currency, steps))

        try:
            run()
        finally:
            loop.run_until_complete(db.close())
            loop.close()


async def ban(db: Database, seller_id: UUID, *, lift: bool = False) -> None:
    one, two = await make_staff(db, "admin"), await make_staff(db, "admin")
    asked = await risk.ask_ban(db, one, f"seller:{seller_id}", "They sold stolen keys.", lift=lift)
    await approvals.decide(db, two, asked, True)


async def test_two_people_forfeit_money_of_a_banned_store_only(db: Database, settings: Settings) -> None:
    finance, admin = await make_staff(db, "finance"), await make_staff(db, "admin")
    shop = await make_shop(db, price=1000, stock=3)
    _, _, line = await sold(db, shop)
    await release(db, line)
    limits = settings.model_copy(update={"goodwill_limit": ALL})
    await refunds.adjust(db, finance, limits, change(500, seller_id=shop.seller_id))
    with pytest.raises(Conflict):
        await refunds.forfeit(db, finance, change(-1, seller_id=shop.seller_id))
    await ban(db, shop.seller_id)
    for wrong in (change(1, seller_id=shop.seller_id), change(-1, user_id=shop.owner.user())):
        with pytest.raises(Invalid):
            await refunds.forfeit(db, finance, wrong)
    await refunds.forfeit(db, finance, change(-1401, seller_id=shop.seller_id))
    with pytest.raises(Conflict, match="less than that"):
        await decide(db, admin)
    await decide(db, admin, approve=False)
    await refunds.forfeit(db, finance, change(-600, seller_id=shop.seller_id))
    with pytest.raises(Forbidden):
        await decide(db, finance)
    await decide(db, admin)
    there = [
        await amount_on(db, ref(shop.seller_id, "EUR"))
        for ref in (seller_available_of, seller_reserve_of, seller_pending_of)
    ]
    assert there == [0, 0, 800], "what is payable first, the rest from what is maturing"
    assert await amount_on(db, platform("other_income", "EUR")) == 600
    await refunds.forfeit(db, finance, change(-1, seller_id=shop.seller_id))
    await ban(db, shop.seller_id, lift=True)
    with pytest.raises(Conflict):
        await decide(db, admin)
    await no_faults(db, settings)


async def test_the_database_knows_no_forfeit_of_one_person(db: Database) -> None:
    shop = await make_shop(db)
    available = seller_available_of(shop.seller_id, "EUR")
    async with db.transaction(SYSTEM) as conn:
        legs = [(platform("goodwill", "EUR"), 5), (available, -5)]
        journal = await post(conn, "goodwill", idem="g", ref="x", actor="x", legs=legs)
    with pytest.raises(Exception, match="adjustment_forfeit"):
        await db.execute(
            SYSTEM,
            """INSERT INTO refunds.adjustment (id, kind, seller_id, amount, currency, why, evidence, actor,
                 journal_id) VALUES ($1, 'forfeit', $2, -5, 'EUR', 'because', 'because', 'x', $3)""",
            uuid4(),
            shop.seller_id,
            journal,
        )


async def test_open_orders_of_a_banned_store_go_back_once(db: Database, settings: Settings) -> None:
    """Several workers at once, one of which dies in the middle; what was released or lies in a case stays."""
    shop, other = await make_shop(db, price=1000, stock=12), await make_shop(db, price=1000, stock=2)
    made = [await sold(db, shop) for _ in range(10)]
    _, _, kept = await sold(db, other)
    lines = [line for _, _, line in made]
    await release(db, lines[0])
    await db.fetchval(SYSTEM, "SELECT orders.freeze($1, 'x')", [lines[1]])
    assert await give_back_of_banned(db) == 0, "nobody is banned"
    await ban(db, shop.seller_id)
    workers = [asyncio.create_task(give_back_of_banned(db)) for _ in range(3)]
    while not await journals(db, "refund_line"):
        await asyncio.sleep(0)
    workers[0].cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    await give_back_of_banned(db)
    rows = await db.fetch(SYSTEM, "SELECT line_id, amount, why FROM refunds.refund")
    assert sorted(r["line_id"] for r in rows) == sorted(lines[2:])
    assert {(r["amount"], r["why"]) for r in rows} == {(1000, WHY)}
    states = await db.fetch(
        SYSTEM, "SELECT escrow_state FROM orders.order_line WHERE id = ANY ($1)", [lines[0], lines[1], kept]
    )
    assert sorted(r["escrow_state"] for r in states) == ["FROZEN", "HELD", "RELEASED"]
    for buyer, _, line in made[2:]:
        assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 10_000
        assert await amount_on(db, AccountRef("escrow", f"line:{line}", "EUR")) == 0
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 900
    await whole(db)


async def test_a_line_that_cannot_go_back_now_holds_up_no_other(
    db: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banned, "BATCH", 1)
    shop = await make_shop(db, price=1000, stock=3)
    made = [await sold(db, shop) for _ in range(3)]  # in the order of their ids
    await ban(db, shop.seller_id)
    wallet = f"user:{made[0][0].user_id}"
    frozen = "UPDATE ledger.account SET frozen = $2 WHERE kind = 'wallet' AND owner = $1"
    await owner.execute(frozen, wallet, True)
    assert await give_back_of_banned(db) == 2
    await owner.execute(frozen, wallet, False)
    assert await give_back_of_banned(db) == 1
    await whole(db)
