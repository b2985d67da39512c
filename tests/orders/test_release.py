"""After the delivery: confirmation, the release clock, maturity, counters, and what sellers read of it."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.ledger import platform, seller_available_of, seller_pending_of
from fondaco.orders import (
    confirm_delivery,
    own_groups,
    seller_balance,
    seller_order,
    seller_orders,
    seller_sales,
)
from fondaco.orders.combiner import Combiner
from fondaco.orders.jobs import count_sold, mature_due, recount_sold, release_due
from fondaco.orders.model import NotDelivered
from tests.support.money import amount_on, give_money, journals, make_buyer
from tests.support.shop import Shop, books, make_listing, make_shop, place, purchase, states, whole

CURSORS = Cursors(b"k" * 32)


async def sold(db: Database, shop: Shop, quantity: int = 1) -> tuple[Viewer, UUID]:
    """Somebody buys; the buyer and the group's id."""
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    bought = await Combiner(db).buy(purchase(buyer, shop.wish(quantity)))
    return buyer, bought.group_id


async def move_back(owner: asyncpg.Connection, column: str, days: int) -> None:
    """As if the clock had gone on for some days."""
    await owner.execute(f"UPDATE orders.order_line SET {column} = {column} - make_interval(days => $1)", days)


async def test_confirming_pays_the_seller_at_once(db: Database) -> None:
    shop = await make_shop(db, price=1999, stock=3)
    buyer, group = await sold(db, shop, 2)
    await confirm_delivery(db, buyer, group)
    assert await states(db, group) == {("COMPLETED", "DELIVERED", "RELEASED")}
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 3998 - 399
    assert await amount_on(db, platform("commission", "EUR")) == 399
    await confirm_delivery(db, buyer, group)
    assert len(await journals(db, "release")) == 1
    kinds = await db.fetch(SYSTEM, "SELECT kind FROM audit.event WHERE ref LIKE 'order:%' ORDER BY id")
    assert [k["kind"] for k in kinds] == ["order.delivered", "line.released", "order.completed"]
    await whole(db)


async def test_only_a_delivered_order_is_confirmed(db: Database) -> None:
    shop = await make_shop(db, stock=3)
    buyer = await make_buyer(db)
    group = await place(db, buyer, shop.wish())
    with pytest.raises(NotDelivered):
        await confirm_delivery(db, buyer, group)


async def test_the_clock_releases_and_matures(db: Database, parts: Parts, owner: asyncpg.Connection) -> None:
    shop = await make_shop(db, price=1000, stock=9)
    for _ in range(3):
        await sold(db, shop)
    await release_due(parts)
    assert not await journals(db, "release")
    await move_back(owner, "release_at", 4)
    await release_due(parts)
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 2700
    await mature_due(parts)
    assert await amount_on(db, seller_available_of(shop.seller_id, "EUR")) == 0
    await move_back(owner, "matures_at", 4)
    await mature_due(parts)
    assert await amount_on(db, seller_pending_of(shop.seller_id, "EUR")) == 0
    assert await amount_on(db, seller_available_of(shop.seller_id, "EUR")) == 2700
    assert len(await journals(db, "mature")) == 1  # one journal for the seller's three lines
    await mature_due(parts)
    await release_due(parts)
    assert (await books(db))["commission"] == 300
    await whole(db)


async def test_a_store_whose_accounts_may_not_be_moved_holds_up_no_other(
    db: Database, parts: Parts, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More lines of it are due than one call takes: the others' money matures all the same, and its own once
    the account may be moved again."""
    monkeypatch.setattr("fondaco.orders.jobs._MATURING", 2)
    stuck, other = await make_shop(db, price=1000, stock=9), await make_shop(db, price=1000, stock=9)
    for shop in (stuck, stuck, stuck, other):
        await sold(db, shop)
    await move_back(owner, "release_at", 4)
    await release_due(parts)
    await move_back(owner, "matures_at", 4)
    account = f"seller:{stuck.seller_id}"
    frozen = "UPDATE ledger.account SET frozen = $2 WHERE owner = $1 AND kind = 'seller_pending'"
    await owner.execute(frozen, account, True)
    await mature_due(parts)
    assert await amount_on(db, seller_available_of(other.seller_id, "EUR")) == 900
    assert await amount_on(db, seller_available_of(stuck.seller_id, "EUR")) == 0
    assert await amount_on(db, seller_pending_of(stuck.seller_id, "EUR")) == 2700
    await owner.execute(frozen, account, False)
    await move_back(owner, "matures_at", 1)
    await mature_due(parts)
    assert await amount_on(db, seller_available_of(stuck.seller_id, "EUR")) == 2700
    await whole(db)


async def test_many_release_at_once_and_each_line_once(
    db: Database, parts: Parts, owner: asyncpg.Connection
) -> None:
    """Buyers confirm while two sweepers run over the same lines of several sellers."""
    shops = [await make_shop(db, price=1000, stock=10) for _ in range(3)]
    bought = [await sold(db, shops[i % 3]) for i in range(24)]
    await move_back(owner, "release_at", 4)
    await asyncio.gather(
        release_due(parts),
        *(confirm_delivery(db, buyer, group) for buyer, group in bought),
        release_due(parts),
    )
    assert len(await journals(db, "release")) == 24
    held = await db.fetchval(SYSTEM, "SELECT count(*) FROM orders.orders WHERE state <> 'COMPLETED'")
    assert held == 0
    await whole(db)


async def test_an_order_is_complete_when_every_line_is(db: Database, owner: asyncpg.Connection) -> None:
    shop = await make_shop(db, price=1000, stock=2)
    second = await make_listing(db, shop.seller_id, price=500, stock=2)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    wish = shop.wish()
    bought = await Combiner(db).buy(purchase(buyer, wish, type(wish)(second, 1, 500)))
    lines = await db.fetch(SYSTEM, "SELECT id FROM orders.order_line ORDER BY id")
    await db.fetchval(SYSTEM, "SELECT orders.release($1, 'x')", [lines[0]["id"]])
    assert {s[0] for s in await states(db, bought.group_id)} == {"DELIVERED"}
    await db.fetchval(SYSTEM, "SELECT orders.release($1, 'x')", [line["id"] for line in lines])
    assert {s[0] for s in await states(db, bought.group_id)} == {"COMPLETED"}
    await whole(db)


async def test_sold_counts_what_was_delivered(db: Database, parts: Parts) -> None:
    shop = await make_shop(db, stock=9)
    await sold(db, shop, 2)
    await sold(db, shop, 3)
    await place(db, await make_buyer(db), shop.wish())
    await count_sold(parts)
    assert await db.fetchval(SYSTEM, "SELECT sold FROM catalog.listing WHERE id = $1", shop.listing_id) == 5


async def test_the_minutes_count_goes_on_from_what_was_counted(
    db: Database, parts: Parts, owner: asyncpg.Connection
) -> None:
    shop = await make_shop(db, stock=9)

    async def shown() -> int:
        return await db.fetchval(SYSTEM, "SELECT sold FROM catalog.listing WHERE id = $1", shop.listing_id)

    await sold(db, shop, 2)
    await owner.execute("UPDATE orders.order_line SET delivered_at = delivered_at - interval '1 hour'")
    await sold(db, shop, 3)
    await count_sold(parts)
    assert await shown() == 5
    assert await owner.fetchval("SELECT n FROM orders.sold_base") == 2
    # What is in the base is not looked at again, until the day's count adds up everything.
    await owner.execute("UPDATE orders.sold_base SET n = 100")
    await sold(db, shop, 1)
    await count_sold(parts)
    assert await shown() == 104
    await owner.execute("UPDATE orders.order_line SET delivered_at = delivered_at - interval '1 hour'")
    await recount_sold(parts)
    assert await shown() == 6
    assert await owner.fetchval("SELECT n FROM orders.sold_base") == 6


async def test_a_seller_reads_orders_sales_and_money(db: Database, owner: asyncpg.Connection) -> None:
    shop, other = await make_shop(db, price=1999, stock=9), await make_shop(db, price=1999, stock=9)
    buyer, group = await sold(db, shop, 2)
    await sold(db, other)
    page = await seller_orders(db, shop.owner, CURSORS)
    assert len(page.items) == 1 and page.states == {"DELIVERED": 1}
    order = page.items[0]
    assert (order.total, order.net) == (3998, 3599)
    assert order.buyer.startswith("B-")  # a number, never a name or an address
    assert (order.lines[0].commission, order.lines[0].revealed) == (399, 0)
    assert await seller_order(db, shop.owner, order.id) == order
    with pytest.raises(NotFound):
        await seller_order(db, other.owner, order.id)
    with pytest.raises(NotFound):
        await seller_order(db, other.owner, uuid7())
    assert not (await seller_orders(db, shop.owner, CURSORS, q="100%")).items
    assert (await seller_orders(db, shop.owner, CURSORS, q=order.number[4:9])).items
    days = await seller_sales(db, shop.owner, days=7)
    assert len(days) == 7 and days[-1].day == datetime.now(UTC).date()
    assert (days[-1].orders, days[-1].units, days[-1].gross, days[-1].net) == (1, 2, 3998, 3599)
    assert sum(d.gross for d in days[:-1]) == 0
    with pytest.raises(Invalid):
        await seller_sales(db, shop.owner, days=0)
    (money,) = await seller_balance(db, shop.owner)
    assert (money.held, money.pending, money.available) == (3599, 0, 0)
    await confirm_delivery(db, buyer, group)
    (money,) = await seller_balance(db, shop.owner)
    assert (money.held, money.pending, money.available) == (0, 3599, 0)


async def test_lists_walk_without_gaps_or_repeats(db: Database) -> None:
    shop = await make_shop(db, price=1, stock=30)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    for _ in range(25):
        await Combiner(db).buy(purchase(buyer, shop.wish()))
    seen, cursor = [], None
    while True:
        page = await own_groups(db, buyer, CURSORS, limit=7, cursor=cursor)
        seen += [g.id for g in page.items]
        cursor = page.next
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 25
    sales = await seller_orders(db, shop.owner, CURSORS, limit=20)
    rest = await seller_orders(db, shop.owner, CURSORS, limit=20, cursor=sales.next)
    assert len({o.id for o in (*sales.items, *rest.items)}) == 25 and rest.previous
