"""Card checkouts: reserved, paid late or never, given up; money and goods always meet or part cleanly."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from fondaco import wallets
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import NotFound, Problem
from fondaco.core.viewer import Viewer
from fondaco.ledger import wallet_of
from fondaco.orders import Wish, cart_of, set_in_cart
from fondaco.orders.actions import cancel_group, give_up, reserve
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import NotWaiting, PaymentUnderWay
from tests.support.money import amount_on, give_money, journals, make_buyer
from tests.support.shop import (
    close_payment,
    expire,
    make_listing,
    make_shop,
    pay,
    place,
    purchase,
    states,
    stock_of,
    whole,
)

PAID = {("DELIVERED", "DELIVERED", "HELD")}


async def refunds(db: Database) -> list[int]:
    rows = await db.fetch(SYSTEM, "SELECT amount FROM wallets.refund ORDER BY created_at")
    return [r["amount"] for r in rows]


async def test_a_checkout_reserves_and_moves_no_money(db: Database) -> None:
    shop = await make_shop(db, price=1999, stock=3)
    buyer = await make_buyer(db)
    group = await place(db, buyer, shop.wish(2))
    assert await states(db, group) == {("PENDING_PAYMENT", "RESERVED", "EMPTY")}
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 1, "RESERVED": 2}
    funding = await db.fetchrow(buyer.as_user, "SELECT * FROM wallets.funding WHERE group_id = $1", group)
    assert funding and (funding["amount"], funding["state"], funding["purpose"]) == (3998, "CREATED", "order")
    assert not await journals(db)
    await whole(db)


async def test_the_payment_delivers_in_its_own_transaction(db: Database) -> None:
    a, b = await make_shop(db, price=1000, stock=3), await make_shop(db, price=500, stock=3)
    buyer = await make_buyer(db)
    group = await place(db, buyer, a.wish(2), b.wish(1))
    assert await pay(db, group) == "succeeded"
    assert await states(db, group) == PAID
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 0
    assert Counter(j.split(":")[0] for j in await journals(db)) == {"topup": 1, "buy": 2}
    kinds = await db.fetch(SYSTEM, "SELECT kind, data FROM audit.event WHERE kind = 'order.delivered'")
    assert len(kinds) == 2 and {k["data"]["funding"] for k in kinds} == {"card"}
    assert await pay(db, group) == "already"
    await whole(db)


async def test_twenty_payment_events_at_once_deliver_once(db: Database) -> None:
    shop = await make_shop(db, stock=3)
    group = await place(db, await make_buyer(db), shop.wish(2))
    ended = await asyncio.gather(*(pay(db, group) for _ in range(20)))
    assert Counter(ended) == {"succeeded": 1, "already": 19}
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 1, "SOLD": 2}
    await whole(db)


async def test_an_unpaid_order_expires_and_gives_its_units_back(db: Database) -> None:
    shop = await make_shop(db, stock=1)
    buyer = await make_buyer(db)
    group = await place(db, buyer, shop.wish(), minutes=-1)
    assert await expire(db, group) == "done"
    assert await states(db, group) == {("EXPIRED", "CANCELLED", "EMPTY")}
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 1}
    assert await db.fetchval(SYSTEM, "SELECT in_stock FROM catalog.listing WHERE id = $1", shop.listing_id)
    assert await give_up(db, group, "EXPIRED", "x", "system") == "not_waiting"
    event = await db.fetchrow(SYSTEM, "SELECT * FROM audit.event WHERE kind = 'order.expired'")
    assert event and event["data"]["buyer_id"] == str(buyer.user_id)


async def test_while_the_page_is_open_the_reservation_is_kept(db: Database) -> None:
    shop = await make_shop(db, stock=1)
    group = await place(db, await make_buyer(db), shop.wish(), minutes=-1)
    assert await give_up(db, group, "EXPIRED", "x", "system") == "under_way"
    assert await give_up(db, group, "EXPIRED", "x", "system") == "not_yet"  # asked again in a minute
    held = await db.fetchval(SYSTEM, "SELECT reserved_until > now() FROM inventory.stock_unit")
    assert held and await stock_of(db, shop.listing_id) == {"RESERVED": 1}


async def test_before_its_time_nothing_expires(db: Database) -> None:
    shop = await make_shop(db, stock=1)
    group = await place(db, await make_buyer(db), shop.wish())
    assert await expire(db, group) == "not_yet"
    assert await stock_of(db, shop.listing_id) == {"RESERVED": 1}


async def test_a_late_payment_with_stock_delivers(db: Database) -> None:
    shop = await make_shop(db, stock=2)
    group = await place(db, await make_buyer(db), shop.wish(2), minutes=-1)
    await expire(db, group)
    assert await pay(db, group) == "succeeded"
    assert await states(db, group) == PAID
    assert not await refunds(db)
    await whole(db)


async def test_a_late_payment_without_stock_goes_back(db: Database) -> None:
    first, second = await make_shop(db, price=1000, stock=2), await make_shop(db, price=700, stock=1)
    buyer, other = await make_buyer(db), await make_buyer(db)
    group = await place(db, buyer, first.wish(2), second.wish(1), minutes=-1)
    await expire(db, group)
    await give_money(db, other.user(), 5000)
    await Combiner(db).buy(purchase(other, first.wish()))
    await pay(db, group)
    assert await states(db, group) == {("EXPIRED", "CANCELLED", "EMPTY")}
    assert await refunds(db) == [2700]
    assert await stock_of(db, second.listing_id) == {"AVAILABLE": 1}  # all or nothing
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 0
    await whole(db)


async def test_a_payment_after_cancelling_goes_back(db: Database) -> None:
    shop = await make_shop(db, price=1000, stock=2)
    group = await place(db, await make_buyer(db), shop.wish())
    assert await give_up(db, group, "CANCELLED", "cancelled by the buyer", "x") == "done"
    await pay(db, group)
    assert await states(db, group) == {("CANCELLED", "CANCELLED", "EMPTY")}
    assert await refunds(db) == [1000]
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 2}
    await whole(db)


@pytest.mark.parametrize("late", [False, True])
async def test_a_payment_into_a_blocked_wallet_buys_nothing(db: Database, late: bool) -> None:
    """The order was placed before the wallet was blocked: no goods leave, the money stays for the bank."""
    shop = await make_shop(db, price=1000, stock=2)
    buyer = await make_buyer(db)
    group = await place(db, buyer, shop.wish(), minutes=-1)
    if late:
        await expire(db, group)
    async with db.transaction(SYSTEM) as conn:
        await wallets.stand(conn, buyer.user(), "WALLET_AT_RISK")
    assert await pay(db, group) == "succeeded"
    state = "EXPIRED" if late else "CANCELLED"
    assert await states(db, group) == {(state, "CANCELLED", "EMPTY")}
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 2}
    assert not await refunds(db)
    assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 1000
    assert await pay(db, group) == "already"
    await whole(db)


async def test_blocking_and_payment_at_one_barrier(db: Database) -> None:
    """Delivered before the block, or not at all: never goods out of a wallet that was blocked first."""
    ended: list[str] = []
    for _ in range(6):
        shop = await make_shop(db, price=1000, stock=1)
        buyer = await make_buyer(db)
        await give_money(db, buyer.user(), 1)
        group = await place(db, buyer, shop.wish())

        async def block(buyer: Viewer = buyer) -> None:
            async with db.transaction(SYSTEM) as conn:
                await wallets.stand(conn, buyer.user(), "WALLET_AT_RISK")

        await asyncio.gather(pay(db, group), block())
        paid = await states(db, group) == PAID
        ended.append("paid" if paid else "blocked")
        assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == (1 if paid else 1001)
        await whole(db)
    assert set(ended) <= {"paid", "blocked"}


@pytest.mark.parametrize(("before", "after", "left"), [(1, 3, 2), (3, 1, 0), (2, 2, 0)])
async def test_what_is_put_in_the_cart_while_paying_stays_there(
    db: Database, before: int, after: int, left: int
) -> None:
    shop = await make_shop(db, stock=9)
    other = await make_listing(db, shop.seller_id, stock=9)
    buyer = await make_buyer(db)
    await set_in_cart(db, buyer, None, listing_id=shop.listing_id, quantity=before)
    await set_in_cart(db, buyer, None, listing_id=other, quantity=1)
    wishes = replace(purchase(buyer, shop.wish(before), Wish(other, 1, 1999)), from_cart=True)
    bought, _ = await reserve(db, wishes, now() + timedelta(minutes=30))
    await set_in_cart(db, buyer, None, listing_id=shop.listing_id, quantity=after)
    await pay(db, bought.group_id)
    cart = await cart_of(db, buyer)
    assert {x.listing_id: x.quantity for x in cart.quote.lines} == ({shop.listing_id: left} if left else {})


async def test_what_is_paid_or_being_paid_is_not_cancelled(db: Database, parts: object) -> None:
    from fondaco.core.web import Parts
    from fondaco.integrations.stripe import StripeGateway
    from fondaco.settings import Settings

    assert isinstance(parts, Parts)
    gateway, settings = parts.get(StripeGateway), parts.get(Settings)
    shop = await make_shop(db, stock=2)
    paid = await place(db, await make_buyer(db), shop.wish())
    await pay(db, paid)
    with pytest.raises(NotWaiting):
        await cancel_group(db, gateway, settings, paid, because="x", actor="x")
    debit = await place(db, await make_buyer(db), shop.wish(), minutes=-1)
    await db.execute(
        SYSTEM,
        "UPDATE wallets.funding SET state = 'PROCESSING', intent_id = 'pi_debit' WHERE group_id = $1",
        debit,
    )
    with pytest.raises(PaymentUnderWay):
        await cancel_group(db, gateway, settings, debit, because="x", actor="x")
    assert await give_up(db, debit, "EXPIRED", "x", "system") == "under_way"
    assert await stock_of(db, shop.listing_id) == {"SOLD": 1, "RESERVED": 1}


@pytest.mark.parametrize("left", [0, 1])
async def test_expiry_and_payment_at_one_barrier(db: Database, left: int) -> None:
    """Whoever is first: afterwards the money has met the goods, or is on its way back."""
    for _ in range(6):
        shop = await make_shop(db, price=1000, stock=1)
        buyer = await make_buyer(db)
        group = await place(db, buyer, shop.wish(), minutes=-1)
        await close_payment(db, group)
        rival = await make_buyer(db)
        await give_money(db, rival.user(), 5000)

        async def sweep(group: UUID = group) -> str:
            return await give_up(db, group, "EXPIRED", "not paid in time", "system")

        steps = [sweep(), pay(db, group)]
        if not left:
            steps.append(_try_to_buy(db, purchase(rival, shop.wish())))
        await asyncio.gather(*steps)
        ended = await states(db, group)
        back = await db.fetchval(
            SYSTEM,
            """SELECT coalesce(sum(r.amount), 0) FROM wallets.refund r
               JOIN wallets.funding f ON f.id = r.funding_id WHERE f.group_id = $1""",
            group,
        )
        assert (ended == PAID and back == 0) or (
            ended == {("EXPIRED", "CANCELLED", "EMPTY")} and back == 1000
        )
        assert await amount_on(db, wallet_of(buyer.user(), "EUR")) == 0
        await whole(db)


async def _try_to_buy(db: Database, one: object) -> str:
    try:
        await Combiner(db).buy(one)  # type: ignore[arg-type]
    except Problem as problem:
        return problem.code
    return "bought"


async def test_the_same_key_places_one_order(db: Database) -> None:
    shop = await make_shop(db, stock=9)
    buyer = await make_buyer(db)
    groups: list[UUID | str] = []

    async def one() -> None:
        try:
            groups.append(await place(db, buyer, shop.wish(), idem="k"))
        except Exception as error:
            groups.append(type(error).__name__)

    await asyncio.gather(*(one() for _ in range(8)))
    placed = {g for g in groups if isinstance(g, UUID)}
    assert len(placed) == 1 and {g for g in groups if isinstance(g, str)} <= {"UniqueViolationError"}
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 8, "RESERVED": 1}
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM wallets.funding") == 1
    with pytest.raises(Problem) as refused:
        await place(db, buyer, shop.wish(2), idem="k")
    assert refused.value.code == "purchase_key_reused"


async def test_a_funding_pays_only_its_own_group(db: Database) -> None:
    shop = await make_shop(db, stock=4)
    buyer = await make_buyer(db)
    mine, other = await place(db, buyer, shop.wish()), await place(db, buyer, shop.wish())
    funding = await db.fetchval(SYSTEM, "SELECT id FROM wallets.funding WHERE group_id = $1", mine)
    with pytest.raises(Exception, match="does not pay"):
        await db.fetchval(SYSTEM, "SELECT orders.pay_group($1, $2)", other, funding)
    assert await states(db, other) == {("PENDING_PAYMENT", "RESERVED", "EMPTY")}


async def test_two_hundred_buyers_for_twenty_codes(db: Database) -> None:
    """Over wallet, card and carts that name the listing twice: twenty units, twenty deliveries."""
    shop = await make_shop(db, price=1000, stock=20)
    buyers = [await make_buyer(db) for _ in range(200)]
    for buyer in buyers[:140]:
        await give_money(db, buyer.user(), 5000)
    combiners = [Combiner(db), Combiner(db)]
    gate = asyncio.Event()
    ended: list[str] = []

    async def buy(i: int) -> None:
        await gate.wait()
        try:
            if i < 100:
                await combiners[i % 2].buy(purchase(buyers[i], shop.wish()))
            elif i < 140:
                await combiners[i % 2].buy(purchase(buyers[i], shop.wish(), shop.wish()))
            else:
                await pay(db, await place(db, buyers[i], shop.wish()))
            ended.append("bought")
        except Problem as problem:
            ended.append(problem.code)

    tasks = [asyncio.create_task(buy(i)) for i in (i * 67 % 200 for i in range(200))]
    gate.set()
    await asyncio.gather(*tasks)
    assert set(ended) == {"bought", "sold_out"}
    assert (await stock_of(db, shop.listing_id)).get("SOLD", 0) >= 19  # one may be left for a cart of two
    assert (
        await db.fetchval(SYSTEM, "SELECT count(DISTINCT unit_id) FROM delivery.entitlement")
        == (await stock_of(db, shop.listing_id))["SOLD"]
    )
    await whole(db)


async def test_a_strangers_order_is_not_there(db: Database, parts: object) -> None:
    from fondaco.core.ids import uuid7
    from fondaco.core.web import Parts
    from fondaco.integrations.stripe import StripeGateway
    from fondaco.orders import cancel_order, confirm_delivery, order_receipt, own_order_group
    from fondaco.settings import Settings

    assert isinstance(parts, Parts)
    gateway, settings = parts.get(StripeGateway), parts.get(Settings)
    shop = await make_shop(db, stock=2)
    owner, stranger = await make_buyer(db), await make_buyer(db)
    group = await place(db, owner, shop.wish())
    answers = set()
    for order_id in (group, uuid7()):
        for ask in (
            lambda i: own_order_group(db, stranger, i),
            lambda i: confirm_delivery(db, stranger, i),
            lambda i: order_receipt(db, stranger, i),
            lambda i: cancel_order(db, gateway, settings, stranger, i),
        ):
            with pytest.raises(NotFound) as refused:
                await ask(order_id)
            answers.add(str(refused.value.body()))
    assert len(answers) == 1
    assert await states(db, group) == {("PENDING_PAYMENT", "RESERVED", "EMPTY")}
