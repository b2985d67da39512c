"""Card checkouts through the official SDK at the local Stripe: pages opened, paid, closed, given up."""

from uuid import UUID

import pytest

from fondaco import inbox
from fondaco.core.db import SYSTEM, Database
from fondaco.ledger import wallet_of
from fondaco.orders import Placed, cancel_order, checkout_url, place_with_card
from fondaco.orders.jobs import expire_orders
from fondaco.wallets import PaymentRefused
from tests.support.money import Till, amount_on, make_buyer
from tests.support.shop import Shop, make_shop, purchase, states, stock_of, whole

PAID = {("DELIVERED", "DELIVERED", "HELD")}
GONE = {("EXPIRED", "CANCELLED", "EMPTY")}


async def placed(till: Till, shop: Shop, n: int = 1) -> tuple[object, Placed]:
    buyer = await make_buyer(till.db)
    return buyer, await place_with_card(till.db, till.gateway, till.settings, purchase(buyer, shop.wish(n)))


async def funding_of(db: Database, group_id: UUID) -> tuple[UUID, str]:
    row = await db.fetchrow(
        SYSTEM, "SELECT id, session_id FROM wallets.funding WHERE group_id = $1", group_id
    )
    assert row
    return row["id"], row["session_id"]


async def time_is_over(db: Database, owner: object, group_id: UUID) -> None:
    await owner.execute(  # type: ignore[attr-defined]
        "UPDATE orders.orders SET expires_at = now() - interval '1 minute' WHERE group_id = $1", group_id
    )


async def test_paying_at_the_page_delivers(till: Till) -> None:
    shop = await make_shop(till.db, price=1999, stock=3)
    buyer, one = await placed(till, shop, 2)
    assert one.checkout_url and one.checkout_url.startswith(till.sandbox.url)
    _, session = await funding_of(till.db, one.group_id)
    till.sandbox.pay(session)
    await till.deliver_all()
    assert await states(till.db, one.group_id) == PAID
    assert await amount_on(till.db, wallet_of(buyer.user(), "EUR")) == 0  # type: ignore[attr-defined]
    await till.deliver_all()
    await whole(till.db)


async def test_the_same_purchase_again_has_the_same_page(till: Till) -> None:
    shop = await make_shop(till.db, stock=3)
    buyer = await make_buyer(till.db)
    asked = [purchase(buyer, shop.wish(), idem="k") for _ in range(2)]
    first, second = [await place_with_card(till.db, till.gateway, till.settings, p) for p in asked]
    assert first == second
    assert await stock_of(till.db, shop.listing_id) == {"AVAILABLE": 2, "RESERVED": 1}


async def test_cancelling_closes_the_page(till: Till) -> None:
    shop = await make_shop(till.db, stock=1)
    buyer, one = await placed(till, shop)
    await cancel_order(till.db, till.gateway, till.settings, buyer, one.group_id)  # type: ignore[arg-type]
    _, session = await funding_of(till.db, one.group_id)
    assert (await till.gateway.retrieve_session(session)).state == "expired"
    assert await stock_of(till.db, shop.listing_id) == {"AVAILABLE": 1}
    assert await checkout_url(till.db, till.gateway, till.settings, buyer.user(), one.group_id) is None  # type: ignore[attr-defined]


async def test_the_sweeper_closes_the_page_before_it_gives_up(till: Till, owner: object) -> None:
    shop = await make_shop(till.db, stock=1)
    _, one = await placed(till, shop)
    await expire_orders(till.parts)
    assert await stock_of(till.db, shop.listing_id) == {"RESERVED": 1}
    await time_is_over(till.db, owner, one.group_id)
    await expire_orders(till.parts)
    assert await states(till.db, one.group_id) == GONE
    _, session = await funding_of(till.db, one.group_id)
    assert (await till.gateway.retrieve_session(session)).state == "expired"
    assert await stock_of(till.db, shop.listing_id) == {"AVAILABLE": 1}


async def test_a_payment_nobody_told_us_of_is_found_not_expired(till: Till, owner: object) -> None:
    shop = await make_shop(till.db, stock=1)
    _, one = await placed(till, shop)
    funding, session = await funding_of(till.db, one.group_id)
    till.sandbox.pay(session)
    await time_is_over(till.db, owner, one.group_id)
    await expire_orders(till.parts)
    assert {s[0] for s in await states(till.db, one.group_id)} == {"PENDING_PAYMENT"}
    await inbox.check_funding(till.db, till.gateway, funding)
    assert await states(till.db, one.group_id) == PAID
    await whole(till.db)


async def test_a_bank_debit_under_way_is_waited_for(till: Till, owner: object) -> None:
    shop = await make_shop(till.db, stock=1)
    _, one = await placed(till, shop)
    _, session = await funding_of(till.db, one.group_id)
    till.sandbox.pay(session, "bank_debit_success")
    await till.deliver_all()
    await time_is_over(till.db, owner, one.group_id)
    await expire_orders(till.parts)
    assert await states(till.db, one.group_id) == {("PENDING_PAYMENT", "RESERVED", "EMPTY")}
    till.sandbox.advance(120)
    await till.deliver_all()
    assert await states(till.db, one.group_id) == PAID
    await whole(till.db)


async def test_without_the_provider_the_order_waits_and_is_payable_later(till: Till, owner: object) -> None:
    shop = await make_shop(till.db, stock=1)
    till.sandbox.stop()
    try:
        buyer = await make_buyer(till.db)
        one = await place_with_card(till.db, till.impatient, till.settings, purchase(buyer, shop.wish()))
        assert one.checkout_url is None
        await time_is_over(till.db, owner, one.group_id)
        await expire_orders(till.parts)
        assert await stock_of(till.db, shop.listing_id) == {"RESERVED": 1}  # unknown: nothing is concluded
    finally:
        till.sandbox.start()
    url = await checkout_url(till.db, till.gateway, till.settings, buyer.user(), one.group_id)
    assert url and url.startswith(till.sandbox.url)
    await time_is_over(till.db, owner, one.group_id)
    await expire_orders(till.parts)
    assert await states(till.db, one.group_id) == GONE


async def test_a_refused_page_gives_the_units_back(till: Till) -> None:
    """The least amount at the provider is more than a cent."""
    shop = await make_shop(till.db, price=1, stock=1)
    with pytest.raises(PaymentRefused):
        await placed(till, shop)
    assert await stock_of(till.db, shop.listing_id) == {"AVAILABLE": 1}
    assert await till.db.fetchval(SYSTEM, "SELECT state FROM orders.orders") == "CANCELLED"


async def test_an_abandoned_page_expires_at_the_provider_too(till: Till, owner: object) -> None:
    shop = await make_shop(till.db, stock=1)
    _, one = await placed(till, shop)
    till.sandbox.advance(4 * 3600)
    await till.deliver_all()
    assert await stock_of(till.db, shop.listing_id) == {"RESERVED": 1}  # our own clock decides
    await time_is_over(till.db, owner, one.group_id)
    await expire_orders(till.parts)
    assert await states(till.db, one.group_id) == GONE
