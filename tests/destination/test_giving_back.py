"""What goes back of a sale to a store's own account: to the buyer's card, out of that account or as a debt,
once and to the cent, whatever answer is lost."""

import asyncio

import asyncpg
import pytest

from fondaco import cases
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM
from fondaco.core.problem import Problem
from fondaco.core.viewer import Viewer
from fondaco.destination.reversing import resolve_reversal, send_reversal
from fondaco.ledger import platform
from tests.support.direct import Direct, direct
from tests.support.money import Till, amount_on, journals
from tests.support.shop import states

REVERSALS = "/v1/transfers"


@pytest.fixture
async def one(till: Till) -> Direct:
    return await direct(till, price=2000)


async def test_a_part_and_then_the_rest(one: Direct) -> None:
    group = await one.sell()
    line = await one.line(group)
    await one.refund(line, 333)
    await one.till.work()
    assert await one.refunded() == [(333, "SUCCEEDED")]
    assert await one.reversals() == [(300, "DONE")]
    assert await amount_on(one.db, platform("commission", "EUR")) == 200 - 33
    assert await states(one.db, group) == {("COMPLETED", "DELIVERED", "DIRECT")}
    await one.whole()
    await one.refund(line)
    await one.till.deliver_all()
    assert await states(one.db, group) == {("REFUNDED", "REFUNDED", "REFUNDED")}
    assert sum(one.moved("transfer.reversed")) == 1800
    assert await amount_on(one.db, platform("commission", "EUR")) == 0
    with pytest.raises(Problem):
        await one.refund(line, 1)
    await one.whole()


async def test_it_goes_to_the_card_also_from_a_blocked_wallet(one: Direct) -> None:
    group = await one.sell()
    buyer = (await one.funding(group))["user_id"]
    await one.db.fetchval(SYSTEM, "SELECT wallets.stand($1, 'WALLET_AT_RISK')", buyer)
    await one.refund(await one.line(group), to="wallet")
    await one.till.work()
    assert await one.refunded() == [(2000, "SUCCEEDED")]
    assert await one.passing() == 0


async def test_what_the_account_cannot_give_back_the_store_owes(one: Direct) -> None:
    """The buyer has theirs whatever the store's account holds."""
    group = await one.sell()
    one.empty()
    await one.refund(await one.line(group))
    await one.till.work()
    assert await one.refunded() == [(2000, "SUCCEEDED")]
    assert await one.reversals() == [(1800, "OWED")]
    assert (await one.owed(), await one.passing()) == (1800, 0)
    assert not one.moved("transfer.reversed")
    await one.whole()


@pytest.mark.parametrize("fault", ["lose_answer", "fail_before", "fail_after"])
async def test_a_reversal_without_an_answer(one: Direct, fault: str) -> None:
    group = await one.sell()
    await one.refund(await one.line(group), 1000)
    reversal = await one.db.fetchval(SYSTEM, "SELECT id FROM destination.reversal")
    one.till.sandbox.post("/sandbox/faults", **{fault: {"count": 1, "path": REVERSALS}})
    await send_reversal(one.db, one.till.impatient, reversal)
    assert await one.reversals() == [(900, "UNKNOWN")]
    assert await one.passing() == 900
    for _ in range(3):
        await one.sweep()
        await one.later("3 minutes")
    await one.till.work()
    assert await one.reversals() == [(900, "DONE")]
    assert one.moved("transfer.reversed") == [900]
    await one.whole()


@pytest.mark.parametrize(
    "point",
    [
        "direct_reversal.before_call",
        "direct_reversal.after_call_before_store",
        "direct_reversal.after_store_before_commit",
    ],
)
async def test_a_sender_that_dies_is_followed_by_another(one: Direct, point: str) -> None:
    group = await one.sell()
    await one.refund(await one.line(group), 1000)
    reversal = await one.db.fetchval(SYSTEM, "SELECT id FROM destination.reversal")
    failpoints.arm(f"{point}=raise")
    with pytest.raises(failpoints.FailpointHit):
        await send_reversal(one.db, one.till.gateway, reversal)
    failpoints.arm("")
    await one.sweep()
    assert await one.reversals() == [(900, "SENDING")]  # its lease still runs
    await one.later("3 minutes")
    await one.sweep()
    await one.till.work()
    assert await one.reversals() == [(900, "DONE")]
    assert one.moved("transfer.reversed") == [900]
    await one.whole()


@pytest.mark.parametrize("away", [2, 26])
async def test_a_provider_that_is_away_for_hours(one: Direct, away: int) -> None:
    group = await one.sell()
    await one.refund(await one.line(group), 1000)
    reversal = await one.db.fetchval(SYSTEM, "SELECT id FROM destination.reversal")
    failpoints.arm("direct_reversal.before_call=raise")
    with pytest.raises(failpoints.FailpointHit):
        await send_reversal(one.db, one.till.gateway, reversal)
    failpoints.arm("")
    await one.later(f"{away} hours")
    one.till.sandbox.advance(away * 3600)
    await one.sweep()
    await one.till.work()
    attempt = await one.db.fetchval(SYSTEM, "SELECT attempt FROM destination.reversal")
    # After a day the provider has sent what was on the store's account to its bank.
    assert (await one.reversals(), attempt) == (([(900, "DONE")], 1) if away == 2 else ([(900, "OWED")], 2))
    assert one.moved("transfer.reversed") == ([900] if away == 2 else [])
    assert await one.passing() == 0


async def test_many_senders_and_sweepers_take_back_once(one: Direct) -> None:
    group = await one.sell()
    await one.refund(await one.line(group), 1000)
    reversal = await one.db.fetchval(SYSTEM, "SELECT id FROM destination.reversal")
    gateway = one.till.gateway
    await asyncio.gather(
        *(send_reversal(one.db, gateway, reversal) for _ in range(4)),
        *(resolve_reversal(one.db, gateway, reversal) for _ in range(4)),
        *(one.sweep() for _ in range(2)),
    )
    await one.till.work()
    assert one.moved("transfer.reversed") == [900]
    assert len(await journals(one.db, "destination_reversed")) == 1
    await one.whole()


async def test_refunds_of_one_line_at_once_give_back_no_more_than_it_cost(one: Direct) -> None:
    group = await one.sell()
    line = await one.line(group)
    ended = await asyncio.gather(*(one.refund(line, 1500) for _ in range(4)), return_exceptions=True)
    assert sum(1 for each in ended if each is None) == 1
    await one.till.work()
    assert one.moved("transfer.reversed") == [1350]
    await one.whole()


async def test_a_refund_and_a_dispute_at_once(one: Direct) -> None:
    """The network took the money, or the refund did: never both in full."""
    group = await one.sell()
    line, intent = await one.line(group), (await one.funding(group))["intent_id"]
    one.till.sandbox.post(f"/sandbox/charges/{intent}/dispute")
    await asyncio.gather(one.till.deliver_all(), one.refund(line), return_exceptions=True)
    await one.till.deliver_all()
    row = await one.funding(group)
    assert row["refunded"] + row["refund_pending"] + row["disputed"] <= row["amount"]
    with pytest.raises(Problem):
        await one.refund(line)


async def test_a_refund_the_bank_returns_days_later_is_in_the_wallet(one: Direct) -> None:
    group = await one.sell()
    await one.refund(await one.line(group))
    await one.till.work()
    refund = await one.db.fetchval(SYSTEM, "SELECT provider_id FROM wallets.refund")
    one.till.sandbox.post(f"/sandbox/refunds/{refund}", status="failed")
    await one.till.deliver_all()
    assert await one.refunded() == [(2000, "FAILED")]
    assert (
        await one.db.fetchval(
            SYSTEM, "SELECT sum(amount)::bigint FROM ledger.account_balance WHERE kind = 'wallet'"
        )
        == 2000
    )
    assert await one.passing() == 0
    await one.whole()


async def test_the_books_refuse_a_sale_that_is_changed(one: Direct, owner: asyncpg.Connection) -> None:
    await one.sell()
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await owner.execute("UPDATE destination.sale SET passed_on = 1")
    with pytest.raises(asyncpg.CheckViolationError, match="funding_passed_on"):
        await owner.execute("UPDATE wallets.funding SET passed_on = amount + 1")
    with pytest.raises(asyncpg.CheckViolationError, match="may not go"):
        await owner.execute("UPDATE orders.order_line SET escrow_state = 'HELD'")


async def test_a_case_decided_for_the_buyer_takes_it_from_the_store(one: Direct) -> None:
    group = await one.sell()
    row = await one.funding(group)
    order = await one.db.fetchval(SYSTEM, "SELECT id FROM orders.orders WHERE group_id = $1", group)
    buyer = Viewer(user_id=row["user_id"])
    case = await cases.open_case(
        one.db,
        one.till.settings,
        buyer,
        order,
        reason="NOT_WORKING",
        text="The key is used already.",
    )
    with pytest.raises(Problem):  # while it is open nobody else decides
        await one.refund(await one.line(group))
    await one.refund(await one.line(group), reason="case", case_id=case, even_frozen=True)
    await one.till.work()
    assert (await one.refunded(), await one.reversals()) == ([(2000, "SUCCEEDED")], [(1800, "DONE")])
