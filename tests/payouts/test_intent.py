"""What is decided: who is paid how much for which lines, once; who is not, and why."""

import asyncio
from datetime import date, timedelta
from uuid import uuid4

import asyncpg
import pytest

from fondaco import checks, payouts
from fondaco.core.db import SYSTEM, Connection, Database
from fondaco.core.problem import Conflict, Invalid
from fondaco.ledger import (
    payout_in_flight_of,
    seller_available_of,
    seller_pending_of,
    seller_receivable_of,
    seller_reserve_of,
)
from fondaco.payouts import batch
from fondaco.settings import Settings
from tests.support.money import amount_on, journals, make_staff
from tests.support.payouts import activate, earn, give, items_of, mature, owe, paid_shop, payouts_of
from tests.support.shop import Shop, make_shop

NET = 900  # of a line of 1000, at 10 %


async def available(db: Database, shop: Shop) -> int:
    return await amount_on(db, seller_available_of(shop.seller_id, "EUR"))


async def whole(db: Database, settings: Settings) -> None:
    assert [str(f) for f in await checks.verify_all(db, settings)] == []


async def withdraw(
    db: Database, settings: Settings, shop: Shop, amount: int | None = None, **more: object
) -> None:
    payout_id = more.get("payout_id", uuid4())
    await payouts.withdraw(db, settings, shop.owner, payout_id, amount=amount, currency="EUR")  # type: ignore[arg-type]


async def test_the_daily_run_pays_each_seller_once_the_oldest_lines_first(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000)
    destination = await activate(db, shop.seller_id)
    lines = await earn(db, owner, shop, 3)
    await batch.run_due(db, settings)
    await batch.run_due(db, settings)
    (payout,) = await payouts_of(db, shop)
    assert (payout["amount"], payout["state"], payout["destination"]) == (3 * NET, "CREATED", destination)
    assert await items_of(db, payout["id"]) == [(line, NET) for line in lines]
    assert await available(db, shop) == 0
    assert await amount_on(db, payout_in_flight_of(payout["id"], "EUR")) == 3 * NET
    assert await journals(db, "payout_intent") == [f"po:{payout['id']}"]
    await whole(db, settings)


async def test_two_schedulers_at_once_make_one_payout_each(
    db: Database, settings: Settings, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "STEP", 2)
    shops = [await paid_shop(db, owner) for _ in range(5)]
    await asyncio.gather(*(batch.run_due(db, settings) for _ in range(4)))
    for shop in shops:
        assert [p["amount"] for p in await payouts_of(db, shop)] == [NET]
    run = await db.fetchrow(SYSTEM, "SELECT * FROM payouts.run")
    assert run and (run["looked"], run["created"], run["held"]) == (5, 5, 0)
    assert run["ended_at"] is not None
    await whole(db, settings)


async def test_a_store_whose_money_cannot_be_moved_holds_up_no_other(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    one, blocked, other = [await paid_shop(db, owner) for _ in range(3)]
    indebted = await paid_shop(db, owner)
    await owe(db, indebted, 100)
    freeze = "UPDATE ledger.account SET frozen = $2 WHERE owner = ANY ($1) AND kind = 'seller_available'"
    stuck = [f"seller:{blocked.seller_id}", f"seller:{indebted.seller_id}"]
    await owner.execute(freeze, stuck, True)
    await batch.run_due(db, settings)
    for shop in (one, other):
        assert [p["amount"] for p in await payouts_of(db, shop)] == [NET]
    for shop, reasons in ((blocked, ["blocked"]), (indebted, ["debt"])):
        assert await payouts_of(db, shop) == []
        row = await db.fetchrow(
            SYSTEM, "SELECT amount, reasons FROM payouts.withheld WHERE seller_id = $1", shop.seller_id
        )
        assert row and (row["amount"], row["reasons"]) == (NET, reasons)
    run = await db.fetchrow(SYSTEM, "SELECT * FROM payouts.run")
    assert run and (run["looked"], run["created"], run["held"]) == (4, 2, 2)
    assert run["ended_at"] is not None
    await whole(db, settings)
    await owner.execute(freeze, stuck, False)
    await owner.execute("UPDATE payouts.run SET batch_date = batch_date - 1")
    await batch.run_due(db, settings)
    assert [p["amount"] for p in await payouts_of(db, blocked)] == [NET]
    assert [p["amount"] for p in await payouts_of(db, indebted)] == [NET - 100]
    await whole(db, settings)


async def test_the_run_is_due_from_its_hour_on_and_once_a_day_whatever_the_clock_says(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    """A day that had its run has no other, also when the clock goes back over the hour; missed days are
    caught up with once."""
    shop = await paid_shop(db, owner)
    today = await db.fetchval(SYSTEM, "SELECT ((now() AT TIME ZONE 'UTC') - interval '2 hours')::date")
    await owner.execute(
        "INSERT INTO payouts.run (batch_date, asked_by, accounts, ended_at) VALUES ($1, 'clock', 0, now())",
        today + timedelta(days=1),
    )
    await batch.run_due(db, settings)  # the newest run is of a later day: the clock went back
    assert await payouts_of(db, shop) == []
    await owner.execute("UPDATE payouts.run SET batch_date = $1", today - timedelta(days=5))
    await batch.run_due(db, settings)
    days = [r["batch_date"] for r in await db.fetch(SYSTEM, "SELECT batch_date FROM payouts.run ORDER BY 1")]
    assert days == [today - timedelta(days=5), today]
    assert len(await payouts_of(db, shop)) == 1


async def test_one_daily_payout_a_day_is_the_databases_word(db: Database, owner: asyncpg.Connection) -> None:
    shop = await paid_shop(db, owner)
    copy = """INSERT INTO payouts.payout (id, seller_id, account_id, destination, amount, currency, kind,
                batch_date, state, gates, requested_by)
              SELECT gen_random_uuid(), a.seller_id, a.id, a.provider_id, 1, 'EUR', 'daily', $1, 'CREATED',
                '{}', 'test'
              FROM payouts.account a WHERE a.seller_id = $2"""
    await owner.execute(copy, date(2026, 1, 1), shop.seller_id)
    with pytest.raises(asyncpg.UniqueViolationError):
        await owner.execute(copy, date(2026, 1, 1), shop.seller_id)


async def test_what_was_decided_never_changes(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await paid_shop(db, owner)
    await withdraw(db, settings, shop)
    for change in ("amount = 1", "currency = 'USD'", "destination = 'acct_other'"):
        with pytest.raises(asyncpg.CheckViolationError):
            await owner.execute(f"UPDATE payouts.payout SET {change}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(SYSTEM, f"UPDATE payouts.payout SET {change}")
    with pytest.raises(asyncpg.PostgresError):
        await owner.execute("DELETE FROM payouts.payout")


async def test_who_may_not_be_paid_keeps_the_money_and_reads_why(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000)
    await earn(db, owner, shop)
    await batch.run_due(db, settings)
    assert await payouts_of(db, shop) == []
    row = await db.fetchrow(SYSTEM, "SELECT * FROM payouts.withheld")
    assert row and (row["amount"], row["reasons"]) == (NET, ["account_none"])
    with pytest.raises(payouts.PayoutsClosed) as refused:
        await withdraw(db, settings, shop)
    assert refused.value.reasons == ["account_none"]
    standing = await payouts.standing(db, settings, shop.owner)
    assert [g.code for g in standing.buckets[0].gates] == ["account_none"]
    assert await available(db, shop) == NET
    # Told once: the next run finds the same reason and says nothing new.
    staff = await make_staff(db, "finance")
    await payouts.start_run(db, settings, staff)
    await batch.run_due(db, settings)
    count = "SELECT count(*) FROM audit.event WHERE kind = 'payout.withheld'"
    assert await db.fetchval(SYSTEM, count) == 1
    # Once the account is active the run, started again, pays.
    await activate(db, shop.seller_id)
    await payouts.start_run(db, settings, staff)
    await batch.run_due(db, settings)
    assert [p["amount"] for p in await payouts_of(db, shop)] == [NET]


@pytest.mark.parametrize("state", ["SUSPENDED", "CLOSED"])
async def test_a_store_that_is_not_open_is_not_paid(
    db: Database, settings: Settings, owner: asyncpg.Connection, state: str
) -> None:
    shop = await paid_shop(db, owner)
    await owner.execute("UPDATE sellers.seller SET state = $1", state)
    with pytest.raises(payouts.PayoutsClosed) as refused:
        await withdraw(db, settings, shop)
    assert refused.value.reasons == [f"store_{state.lower()}"]


async def test_a_withdrawal_takes_the_oldest_lines_and_the_last_in_part(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000)
    await activate(db, shop.seller_id)
    lines = await earn(db, owner, shop, 3)
    await withdraw(db, settings, shop, 1000)
    await withdraw(db, settings, shop, 1700)
    first, second = await payouts_of(db, shop)
    assert await items_of(db, first["id"]) == [(lines[0], 900), (lines[1], 100)]
    assert await items_of(db, second["id"]) == [(lines[1], 800), (lines[2], 900)]
    await whole(db, settings)


async def test_a_withdrawal_asked_for_twice_is_one(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await paid_shop(db, owner, 2)
    wanted = uuid4()
    await asyncio.gather(*(withdraw(db, settings, shop, 500, payout_id=wanted) for _ in range(5)))
    assert [p["amount"] for p in await payouts_of(db, shop)] == [500]
    with pytest.raises(Conflict):
        await withdraw(db, settings, shop, 501, payout_id=wanted)
    assert await available(db, shop) == 1300


async def test_twenty_withdrawals_of_sixty_percent_at_once(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await paid_shop(db, owner, 2)
    results = await asyncio.gather(
        *(withdraw(db, settings, shop, 1080) for _ in range(20)), return_exceptions=True
    )
    assert sum(r is None for r in results) == 1
    assert sum(isinstance(r, payouts.NotEnough) for r in results) == 19
    await whole(db, settings)


async def test_too_little_and_too_much(db: Database, settings: Settings, owner: asyncpg.Connection) -> None:
    shop = await paid_shop(db, owner)
    with pytest.raises(payouts.TooLittle):
        await withdraw(db, settings, shop, settings.payout_min - 1)
    with pytest.raises(payouts.NotEnough):
        await withdraw(db, settings, shop, NET + 1)
    for amount in (0, -1, 2**60):
        with pytest.raises(Invalid):
            await withdraw(db, settings, shop, amount)
    assert await payouts_of(db, shop) == []


async def test_what_is_owed_is_set_against_the_balance_first(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await paid_shop(db, owner, 2)
    await owe(db, shop, 300)
    await batch.run_due(db, settings)
    (payout,) = await payouts_of(db, shop)
    assert payout["amount"] == 1500
    assert await amount_on(db, seller_receivable_of(shop.seller_id, "EUR")) == 0
    assert len(await journals(db, "netting")) == 1
    await whole(db, settings)


async def test_who_owes_more_than_there_is_gets_nothing(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await paid_shop(db, owner)
    await owe(db, shop, NET + 50)
    with pytest.raises(payouts.PayoutsClosed) as refused:
        await withdraw(db, settings, shop)
    assert refused.value.reasons == ["debt"]
    await batch.run_due(db, settings)
    assert await payouts_of(db, shop) == []
    assert await amount_on(db, seller_receivable_of(shop.seller_id, "EUR")) == 50
    assert await available(db, shop) == 0


async def test_money_that_belongs_to_no_line_is_paid_too(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await paid_shop(db, owner)
    await give(db, shop, 123)
    await withdraw(db, settings, shop)
    (payout,) = await payouts_of(db, shop)
    assert [amount for _, amount in await items_of(db, payout["id"])] == [NET, 123]
    await whole(db, settings)


async def test_a_cancelled_payout_can_be_paid_again(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000)
    await activate(db, shop.seller_id)
    lines = await earn(db, owner, shop, 2)
    staff = await make_staff(db, "finance")
    await withdraw(db, settings, shop, 1000)
    (payout,) = await payouts_of(db, shop)
    await payouts.cancel(db, staff, payout["id"], "asked for by the seller")
    with pytest.raises(payouts.NotNow):
        await payouts.cancel(db, staff, payout["id"], "asked for by the seller")
    assert await available(db, shop) == 1800
    await whole(db, settings)
    await batch.run_due(db, settings)
    again = (await payouts_of(db, shop))[-1]
    assert await items_of(db, again["id"]) == [(line, NET) for line in lines]
    await whole(db, settings)


async def test_a_tier_keeps_a_reserve_back_which_is_freed_in_time(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000)
    await activate(db, shop.seller_id)
    await owner.execute("ALTER TABLE risk.standing DISABLE TRIGGER USER")
    await owner.execute(
        "INSERT INTO risk.standing (party, tier, rules) VALUES ('seller:' || $1::uuid, 'AT_RISK', 'test')",
        shop.seller_id,
    )
    await earn(db, owner, shop, 2)
    reserve = seller_reserve_of(shop.seller_id, "EUR")
    assert (await available(db, shop), await amount_on(db, reserve)) == (1440, 360)
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 0
    await withdraw(db, settings, shop)

    async def free(conn: Connection) -> int:
        return await conn.fetchval("SELECT payouts.free_reserve($1, 100)", settings.reserve_days)

    assert await db.run(SYSTEM, free) == 0
    await owner.execute("UPDATE payouts.reserve SET held_at = held_at - interval '61 days'")
    assert await db.run(SYSTEM, free) == 2
    assert await db.run(SYSTEM, free) == 0
    assert (await available(db, shop), await amount_on(db, reserve)) == (360, 0)
    await withdraw(db, settings, shop)
    paid = await db.fetchval(SYSTEM, "SELECT sum(paid)::bigint FROM payouts.payable")
    assert paid == 1800  # the reserve's money is the same lines' money
    await owner.execute("UPDATE risk.standing SET tier = 'BANNED'")
    with pytest.raises(payouts.PayoutsClosed) as refused:
        await withdraw(db, settings, shop)
    assert refused.value.reasons == ["risk"]
    await owner.execute("DELETE FROM risk.standing; ALTER TABLE risk.standing ENABLE TRIGGER USER")
    await whole(db, settings)


async def test_a_refund_of_a_matured_line_leaves_less_to_pay_of_it(
    db: Database, settings: Settings, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, price=1000)
    lines = await earn(db, owner, shop)
    await owner.execute("UPDATE orders.order_line SET refunded = 400 WHERE id = $1", lines[0])
    assert await db.fetchval(SYSTEM, "SELECT net FROM payouts.payable") < NET
    await mature(db)
