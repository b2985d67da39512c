"""The receipt, and being woken when an order changes."""

import asyncio
from io import BytesIO

import pytest
from pypdf import PdfReader

from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.orders import Wish, order_receipt, own_order_group, watch
from fondaco.orders.combiner import Combiner
from fondaco.orders.model import NotDelivered
from tests.support.money import give_money, make_buyer
from tests.support.shop import make_listing, make_shop, pay, place, purchase


async def test_a_receipt_says_what_was_paid_to_whom(db: Database) -> None:
    shop = await make_shop(db, price=1999, stock=3, title="Ночной Train 夜")
    second = await make_listing(db, shop.seller_id, price=501, stock=3, title="A very long title " * 7)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    bought = await Combiner(db).buy(purchase(buyer, shop.wish(2), Wish(second, 1, 501)))
    order = (await own_order_group(db, buyer, bought.group_id)).orders[0]
    pdf = await order_receipt(db, buyer, order.id, marketplace="Test Market")
    reader = PdfReader(BytesIO(pdf))
    text = reader.pages[0].extract_text()
    for words in ("Test Market", order.number, order.seller, "39.98 EUR", "44.99 EUR", "Wallet", buyer.email):
        assert words in text
    assert len(reader.pages) == 1
    assert pdf == await order_receipt(db, buyer, order.id, marketplace="Test Market")


async def test_many_lines_take_more_pages(db: Database) -> None:
    shop = await make_shop(db, price=100, stock=1)
    listings = [await make_listing(db, shop.seller_id, price=100, stock=1) for _ in range(40)]
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    bought = await Combiner(db).buy(purchase(buyer, *(Wish(x, 1, 100) for x in listings)))
    reader = PdfReader(BytesIO(await order_receipt(db, buyer, bought.group_id)))
    assert len(reader.pages) > 1
    assert "40.00 EUR" in reader.pages[-1].extract_text()


async def test_nothing_paid_no_receipt(db: Database) -> None:
    shop = await make_shop(db, stock=1)
    buyer = await make_buyer(db)
    with pytest.raises(NotDelivered):
        await order_receipt(db, buyer, await place(db, buyer, shop.wish()))


async def test_whoever_watches_is_woken(db: Database, parts: Parts) -> None:
    shop = await make_shop(db, stock=2)
    buyer = await make_buyer(db)
    mine, other = await place(db, buyer, shop.wish()), await place(db, buyer, shop.wish())
    orders = {g: (await own_order_group(db, buyer, g)).orders[0].id for g in (mine, other)}
    streams = [watch(parts, f"order:{orders[mine]}", f"group:{mine}") for _ in range(3)]
    quiet = watch(parts, f"order:{orders[other]}")
    for stream in (*streams, quiet):
        await anext(stream)  # at once: the present state
    waiting = [asyncio.ensure_future(anext(s)) for s in (*streams, quiet)]
    await pay(db, mine)
    await asyncio.wait_for(asyncio.gather(*waiting[:3]), 10)
    assert not waiting[3].done()
    waiting[3].cancel()
    await asyncio.gather(waiting[3], return_exceptions=True)
    for stream in (*streams, quiet):
        await stream.aclose()  # type: ignore[attr-defined]
