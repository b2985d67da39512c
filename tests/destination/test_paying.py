"""Paid at the sale: a card payment goes to the store's own account, our share stays, the goods come once."""

import asyncio
from collections import Counter
from uuid import UUID

import asyncpg
import pytest

from fondaco import inbox, payouts
from fondaco.core.db import SYSTEM
from fondaco.core.problem import Problem
from fondaco.core.viewer import Viewer
from fondaco.ledger import platform
from fondaco.orders.actions import give_up
from fondaco.orders.combiner import Combiner
from tests.support.direct import Direct, direct
from tests.support.money import Till, amount_on, give_money, journals, make_buyer
from tests.support.shop import expire, make_shop, place, purchase, states, stock_of

DELIVERED = {("COMPLETED", "DELIVERED", "DIRECT")}


async def test_the_payment_goes_to_the_store_and_delivers(till: Till) -> None:
    one = await direct(till)
    group = await one.place()
    await one.pay(group)
    await till.deliver_all()
    assert await states(till.db, group) == DELIVERED
    assert one.moved("transfer.created") == [1800]
    assert await amount_on(till.db, platform("commission", "EUR")) == 199
    assert await one.passing() == 0
    found = Counter(key.split(":")[0] for key in await journals(till.db))
    assert found == {"dc": 1, "tr": 1, "fee": 1}
    assert await till.db.fetchval(SYSTEM, "SELECT count(*) FROM delivery.entitlement") == 1
    await one.whole()


async def test_every_event_twice_and_in_any_order_has_one_effect(till: Till) -> None:
    one = await direct(till)
    group = await one.place(2)
    await one.pay(group)
    for event in [*await till.events(), *(await till.events())[::-1]]:
        await till.deliver(event)
        await till.deliver({**event, "id": f"{event['id']}_again"})
    await till.work()
    assert await states(till.db, group) == DELIVERED
    assert await till.db.fetchval(SYSTEM, "SELECT count(*) FROM delivery.entitlement") == 2
    assert await till.wallet(await _buyer_of(one, group)) == 0
    await one.whole()


@pytest.mark.parametrize(("currency", "price"), [("JPY", 1500), ("KWD", 12340), ("EUR", 27)])
async def test_other_currencies(till: Till, currency: str, price: int) -> None:
    one = await direct(till, price=price, currency=currency)
    group = await one.sell(2)
    assert await states(till.db, group) == DELIVERED
    total = 2 * price
    assert one.moved("transfer.created") == [total - total * 1000 // 10_000]
    await one.refund(await one.line(group), price)
    await till.work()
    await one.refund(await one.line(group))
    await till.work()
    await till.deliver_all()
    assert await one.refunded() == [(price, "SUCCEEDED"), (price, "SUCCEEDED")]
    assert sum(one.moved("transfer.reversed")) == one.moved("transfer.created")[0]
    assert await amount_on(till.db, platform("commission", currency)) == 0
    await one.whole()


async def test_the_wallet_does_not_pay_such_a_store(till: Till) -> None:
    one = await direct(till)
    buyer = await make_buyer(till.db)
    await give_money(till.db, buyer.user(), 9000)
    with pytest.raises(Problem) as refused:
        await Combiner(till.db).buy(purchase(buyer, one.shop.wish()))
    assert refused.value.code == "paid_at_sale" and "by card" in str(refused.value.detail)
    assert await stock_of(till.db, one.shop.listing_id) == {"AVAILABLE": 5}


async def test_a_purchase_of_two_stores_is_told_to_be_two(till: Till) -> None:
    one, other, usual = await direct(till), await direct(till), await make_shop(till.db, stock=3)
    buyer = await make_buyer(till.db)
    for wishes, code in (
        ((one.shop.wish(), usual.wish()), "paid_at_sale"),
        ((one.shop.wish(), other.shop.wish()), "not_payable"),
    ):
        with pytest.raises(Problem) as refused:
            await place(till.db, buyer, *wishes)
        assert refused.value.code == code
    assert await till.db.fetchval(SYSTEM, "SELECT count(*) FROM orders.order_group") == 0
    assert await stock_of(till.db, usual.listing_id) == {"AVAILABLE": 3}


async def test_an_account_that_is_not_complete_any_more_sells_nothing(till: Till) -> None:
    one = await direct(till)
    till.sandbox.post(f"/sandbox/accounts/{one.account}", reject="fraud")
    await till.deliver_all()
    await payouts.refresh(till.db, till.gateway, one.account)
    with pytest.raises(Problem) as refused:
        await one.place()
    assert refused.value.code == "not_payable"
    assert await stock_of(till.db, one.shop.listing_id) == {"AVAILABLE": 5}


async def test_a_late_payment_without_stock_goes_back_whole(till: Till, owner: asyncpg.Connection) -> None:
    one = await direct(till, stock=1)
    late = await one.place()
    await one.pay(late)
    await lapsed(one, owner, late)
    other = await one.sell()
    assert await states(till.db, other) == DELIVERED
    assert await states(till.db, late) == {("EXPIRED", "CANCELLED", "EMPTY")}
    assert await one.refunded() == [(1999, "SUCCEEDED")]
    assert await one.reversals() == [(1800, "DONE")]
    assert await till.db.fetchval(SYSTEM, "SELECT count(*) FROM delivery.entitlement") == 1
    await one.whole()


async def test_a_late_payment_with_stock_delivers(till: Till, owner: asyncpg.Connection) -> None:
    one = await direct(till)
    late = await one.place()
    await one.pay(late)
    await lapsed(one, owner, late)
    await till.deliver_all()
    assert await states(till.db, late) == DELIVERED
    await one.whole()


async def test_a_payment_after_cancelling_goes_back(till: Till) -> None:
    one = await direct(till)
    group = await one.place()
    await one.pay(group)
    assert await give_up(till.db, group, "CANCELLED", "cancelled by the buyer", "x") == "done"
    await till.deliver_all()
    assert await states(till.db, group) == {("CANCELLED", "CANCELLED", "EMPTY")}
    assert (await one.refunded(), await one.reversals()) == ([(1999, "SUCCEEDED")], [(1800, "DONE")])
    assert await stock_of(till.db, one.shop.listing_id) == {"AVAILABLE": 5}
    await one.whole()


async def test_one_payment_noted_by_many_at_once(till: Till) -> None:
    one = await direct(till)
    group = await one.place()
    await one.pay(group)
    funding = (await one.funding(group))["id"]
    await asyncio.gather(*(inbox.check_funding(till.db, till.gateway, funding) for _ in range(8)))
    await till.deliver_all()
    assert await states(till.db, group) == DELIVERED
    assert len(one.moved("transfer.created")) == 1
    await one.whole()


async def test_what_goes_elsewhere_than_it_should_is_kept_aside(till: Till) -> None:
    """The provider says another account than the one pinned: nobody is believed, somebody looks."""
    one = await direct(till)
    group = await one.place()
    await one.pay(group)
    await till.db.execute(
        SYSTEM, "UPDATE wallets.funding SET account = 'acct_other' WHERE group_id = $1", group
    )
    await till.deliver_all()
    assert await states(till.db, group) == {("PENDING_PAYMENT", "RESERVED", "EMPTY")}
    assert await till.audited("funding.unmatched") == 1
    assert not one.moved("refund.created")


async def lapsed(one: Direct, owner: asyncpg.Connection, group: UUID) -> None:
    """Its time is over, and the order with it, though it is just being paid."""
    await owner.execute(
        "UPDATE orders.orders SET expires_at = now() - interval '1 minute' WHERE group_id = $1", group
    )
    assert await expire(one.db, group) == "done"


async def _buyer_of(one: Direct, group: UUID) -> Viewer:
    return Viewer(user_id=(await one.funding(group))["user_id"])
