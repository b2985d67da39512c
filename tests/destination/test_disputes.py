"""Chargebacks of what a store's own account was paid: the store's part comes back from it, or is owed."""

from collections.abc import Callable

import pytest

from fondaco.core.db import SYSTEM
from fondaco.core.viewer import Viewer
from fondaco.ledger import AccountRef, platform
from tests.support.direct import Direct, direct
from tests.support.money import Till, amount_on, give_money


@pytest.fixture
async def one(till: Till) -> Direct:
    return await direct(till, price=2000)


async def dispute(one: Direct, *outcomes: str, spent: Callable[[], None] | None = None) -> Viewer:
    group = await one.sell()
    funding = await one.funding(group)
    if spent:
        spent()
    made = one.till.sandbox.post(f"/sandbox/charges/{funding['intent_id']}/dispute")
    await one.till.deliver_all()
    for outcome in outcomes:
        one.till.sandbox.post(f"/sandbox/disputes/{made['id']}/resolve", outcome=outcome)
        await one.till.deliver_all()
    return Viewer(user_id=funding["user_id"])


async def loss(one: Direct) -> int:
    return await amount_on(one.db, platform("chargeback_loss", "EUR"))


async def test_while_it_is_open_nothing_of_the_wallet_is_held(one: Direct) -> None:
    buyer = await dispute(one)
    await give_money(one.db, buyer.user(), 700)
    assert await one.till.wallet(buyer) == 700
    assert await amount_on(one.db, AccountRef("wallet_hold", f"user:{buyer.user_id}", "EUR")) == 0
    assert await one.reversals() == []


async def test_won_is_as_before(one: Direct) -> None:
    await dispute(one, "won")
    assert (await one.passing(), await loss(one), await one.reversals()) == (0, 0, [])
    await one.whole()


async def test_lost_takes_the_stores_part_back(one: Direct) -> None:
    await dispute(one, "lost")
    assert await one.reversals() == [(1800, "DONE")]
    assert one.moved("transfer.reversed") == [1800]
    assert (await one.passing(), await loss(one), await one.owed()) == (0, 200, 0)
    owed = (
        "SELECT coalesce(sum(amount), 0)::bigint FROM ledger.account_balance WHERE kind = 'buyer_receivable'"
    )
    assert await one.db.fetchval(SYSTEM, owed) == 0
    await one.whole()


async def test_lost_with_an_empty_account_is_owed(one: Direct) -> None:
    await dispute(one, "lost", spent=one.empty)
    assert await one.reversals() == [(1800, "OWED")]
    assert (await one.passing(), await loss(one), await one.owed()) == (0, 200, 1800)
    await one.whole()


async def test_after_a_partial_refund_only_what_is_left(one: Direct) -> None:
    group = await one.sell()
    await one.refund(await one.line(group), 500)
    await one.till.work()
    intent = (await one.funding(group))["intent_id"]
    made = one.till.sandbox.post(f"/sandbox/charges/{intent}/dispute")
    one.till.sandbox.post(f"/sandbox/disputes/{made['id']}/resolve", outcome="lost")
    await one.till.deliver_all()
    assert sum(one.moved("transfer.reversed")) == 1800
    assert await one.passing() == 0
    await one.whole()
