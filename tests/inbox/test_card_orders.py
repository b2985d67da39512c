"""An order paid by card: money, delivery and, when it is too late, the way back, each in one step."""

import asyncio

import pytest

from fondaco import inbox, wallets
from fondaco.core.db import SYSTEM
from fondaco.core.viewer import Viewer
from fondaco.ledger import platform
from fondaco.orders.actions import cancel_order, give_up, place_with_card
from fondaco.wallets import Funding
from tests.support.money import Till, amount_on, make_buyer
from tests.support.shop import Shop, make_shop, purchase, states, stock_of


async def place(till: Till, shop: Shop, buyer: Viewer, quantity: int = 1) -> Funding:
    """A card checkout with its payment page open."""
    placed = await place_with_card(till.db, till.gateway, till.settings, purchase(buyer, shop.wish(quantity)))
    assert placed.checkout_url
    [funding] = await wallets.fundings_of_group(till.db, SYSTEM, placed.group_id)
    return funding


async def test_paid_by_card_is_delivered_in_the_same_step(till: Till) -> None:
    shop, buyer = await make_shop(till.db, price=1999, stock=3), await make_buyer(till.db)
    funding = await place(till, shop, buyer, quantity=2)
    till.sandbox.pay(funding.session_id or "")
    await till.deliver_all()
    await till.deliver_all()
    assert funding.group_id
    assert await states(till.db, funding.group_id) == {("DELIVERED", "DELIVERED", "HELD")}
    assert await stock_of(till.db, shop.listing_id) == {"SOLD": 2, "AVAILABLE": 1}
    assert await till.wallet(buyer) == 0
    assert await till.audited("order.delivered") == 1
    assert await till.psp() == await till.provider_balance()
    await till.whole()


async def expire(till: Till, funding: Funding) -> None:
    """The order's time is over and its page closed, as the sweeper would do it."""
    await till.db.execute(SYSTEM, "UPDATE wallets.funding SET state = 'EXPIRED' WHERE id = $1", funding.id)
    assert funding.group_id
    owner_sql = "SELECT orders.give_up($1, 'CANCELLED', 'test', 'system')"
    await till.db.fetchval(SYSTEM, owner_sql, funding.group_id)


async def test_paid_after_cancelling_goes_back_to_the_card_by_itself(till: Till) -> None:
    shop, buyer = await make_shop(till.db, price=1999, stock=3), await make_buyer(till.db)
    funding = await place(till, shop, buyer)
    await expire(till, funding)
    till.sandbox.pay(funding.session_id or "")
    await till.deliver_all()
    await till.deliver_all()
    found = await till.funding(funding)
    assert (found.state, found.refunded) == ("REFUNDED", 1999)
    assert await stock_of(till.db, shop.listing_id) == {"AVAILABLE": 3}
    assert await till.wallet(buyer) == 0
    assert await amount_on(till.db, platform("suspense", "EUR")) == 0
    assert await till.psp() == await till.provider_balance()
    [refund] = await wallets.refunds_of(till.db, SYSTEM, funding.id)
    assert (refund.state, refund.amount) == ("SUCCEEDED", 1999)
    assert "cancelled" in refund.reason
    await till.whole()


async def test_cancelling_closes_the_page(till: Till) -> None:
    shop, buyer = await make_shop(till.db, stock=1), await make_buyer(till.db)
    funding = await place(till, shop, buyer)
    assert funding.group_id
    await cancel_order(till.db, till.gateway, till.settings, buyer, funding.group_id)
    assert (await till.gateway.retrieve_session(funding.session_id or "")).state == "expired"
    await till.deliver_all()
    assert (await till.funding(funding)).state == "EXPIRED"
    assert await stock_of(till.db, shop.listing_id) == {"AVAILABLE": 1}
    await till.whole()


@pytest.mark.parametrize("first", ["pay", "cancel"])
async def test_paying_and_cancelling_at_once(till: Till, first: str) -> None:
    """Delivered, or cancelled with the money where it came from: nothing in between."""
    shop = await make_shop(till.db, price=1999, stock=4)
    for _ in range(4):
        buyer = await make_buyer(till.db)
        funding = await place(till, shop, buyer)
        assert funding.group_id
        session = funding.session_id or ""

        async def pay(session: str = session) -> None:
            await asyncio.to_thread(
                till.sandbox.control.post, f"/sandbox/pay/{session}", json={"card": "4242424242424242"}
            )
            await till.deliver_all()

        async def cancel(buyer: Viewer = buyer, funding: Funding = funding) -> None:
            assert funding.group_id
            await cancel_order(till.db, till.gateway, till.settings, buyer, funding.group_id)

        steps = [pay(), cancel()] if first == "pay" else [cancel(), pay()]
        await asyncio.gather(*steps, return_exceptions=True)
        await till.deliver_all()
        [(order, _, _)] = await states(till.db, funding.group_id)
        found = await till.funding(funding)
        if order == "DELIVERED":
            assert found.state == "SUCCEEDED"
        else:
            assert order == "CANCELLED"
            assert found.state in ("REFUNDED", "EXPIRED", "CANCELED")
        assert await till.wallet(buyer) == 0
    await till.whole()


async def test_late_and_sold_out_goes_back_to_the_card(till: Till) -> None:
    shop, buyer, other = (
        await make_shop(till.db, price=1999, stock=1),
        await make_buyer(till.db),
        await make_buyer(till.db),
    )
    late = await place(till, shop, buyer)
    assert late.group_id
    await till.db.execute(SYSTEM, "UPDATE wallets.funding SET state = 'EXPIRED' WHERE id = $1", late.id)
    await let_time_pass(till, late)
    assert await give_up(till.db, late.group_id, "EXPIRED", "not paid in time", "system") == "done"
    faster = await place(till, shop, other)
    till.sandbox.pay(faster.session_id or "")
    till.sandbox.pay(late.session_id or "")
    await till.deliver_all()
    await till.deliver_all()
    assert (await till.funding(faster)).state == "SUCCEEDED"
    assert (await till.funding(late)).state == "REFUNDED"
    assert await till.wallet(buyer) == await till.wallet(other) == 0
    await till.whole()


async def test_the_return_page_delivers_without_any_event(till: Till) -> None:
    shop, buyer = await make_shop(till.db, stock=1), await make_buyer(till.db)
    funding = await place(till, shop, buyer)
    till.sandbox.pay(funding.session_id or "")
    found = await inbox.check_own_funding(till.db, till.gateway, buyer, funding.id)
    assert found.state == "SUCCEEDED"
    assert found.group_id
    assert await states(till.db, found.group_id) == {("DELIVERED", "DELIVERED", "HELD")}


async def let_time_pass(till: Till, funding: Funding) -> None:
    """The order's time is over. Only the owner of the tables may turn its clock."""
    from asyncpg import connect

    dsn = till.settings.database_owner_url
    assert dsn
    owner = await connect(dsn.get_secret_value())
    try:
        await owner.execute(
            "UPDATE orders.orders SET expires_at = now() - interval '1 minute' WHERE group_id = $1",
            funding.group_id,
        )
    finally:
        await owner.close()
