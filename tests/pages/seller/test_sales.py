"""Orders, money and the command palette."""

import asyncpg

from fondaco.core.db import SYSTEM
from fondaco.orders.jobs import mature_due
from tests.pages.account.browser import text_of
from tests.pages.seller.conftest import Desk
from tests.support.people import make_member, make_seller, make_user
from tests.support.shop import make_shop

XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


async def test_a_sale_is_everywhere_a_seller_looks(desk: Desk) -> None:
    shop = await make_shop(desk.db, price=1999, stock=3, title=f"Boat {XSS}")
    buyer = await desk.sell(shop.wish(2))
    await desk.enter(shop.owner)
    overview = await desk.see("/seller")
    assert "€39.98" in overview and "€35.99" in overview and "Running out" in overview
    html = await desk.see("/seller/orders")
    order_id = await desk.db.fetchval(SYSTEM, "SELECT id FROM orders.orders")
    number = await desk.db.fetchval(SYSTEM, "SELECT number FROM orders.orders")
    assert number in html and f"/seller/orders/{order_id}" in html
    page = await desk.see(f"/seller/orders/{order_id}")
    words = text_of(page)
    assert number in words and "2 keys for €19.99 each" in words and "€35.99" in words
    assert "In buyer protection" in words and "0 of 2" in words
    assert "Your money is held until" in words and "the marketplace bears it" in words
    for text in (overview, html, page):
        assert buyer.email not in text and "<script>alert" not in text and "<img src=x" not in text


async def test_orders_are_found_and_filtered(desk: Desk) -> None:
    shop = await make_shop(desk.db, stock=3, title="Nightmarket")
    await desk.sell(shop.wish())
    await desk.enter(shop.owner)
    number = await desk.db.fetchval(SYSTEM, "SELECT number FROM orders.orders")
    assert number in await desk.see(f"/seller/orders?q={number[4:9]}")
    assert number in await desk.see("/seller/orders?q=nightm&state=DELIVERED")
    assert "Nothing matches" in await desk.see("/seller/orders?state=EXPIRED")
    mine = await desk.see(f"/seller/orders?listing={shop.listing_id}")
    assert number in mine and "Listing: Nightmarket" in text_of(mine)
    assert number in await desk.see("/seller/orders?listing=nonsense")


async def test_the_balance_tells_each_step(desk: Desk, owner: asyncpg.Connection) -> None:
    shop = await make_shop(desk.db, price=1000, stock=3)
    await desk.sell(shop.wish())
    await desk.enter(shop.owner)
    assert "€9.00" in await desk.see("/seller/balance")
    await owner.execute("UPDATE orders.order_line SET release_at = now() - interval '1 day'")
    await desk.db.fetchval(SYSTEM, "SELECT orders.release_due(10)")
    number = await desk.db.fetchval(SYSTEM, "SELECT number FROM orders.orders")
    pending = text_of(await desk.see("/seller/balance"))
    assert f"Sale released {number} +€9.00 €9.00" in pending
    await owner.execute("UPDATE orders.order_line SET matures_at = now() - interval '1 day'")
    await mature_due(desk.parts)
    available = text_of(await desk.see("/seller/balance?account=available"))
    assert "Became available Several +€9.00 €9.00" in available
    assert "Moved to available" in text_of(await desk.see("/seller/balance?account=pending"))
    await desk.see("/seller/balance?account=x&currency=nonsense&before=-1")


async def test_another_stores_orders_do_not_exist(desk: Desk) -> None:
    shop = await make_shop(desk.db, stock=1)
    await desk.sell(shop.wish())
    order_id = await desk.db.fetchval(SYSTEM, "SELECT id FROM orders.orders")
    await desk.enter(await make_seller(desk.db))
    await desk.see(f"/seller/orders/{order_id}", 404)


async def test_the_palette_finds_ones_own(desk: Desk) -> None:
    shop = await make_shop(desk.db, stock=2, title="Velvet Protocol")
    await desk.sell(shop.wish())
    number = await desk.db.fetchval(SYSTEM, "SELECT number FROM orders.orders")
    await desk.enter(shop.owner)
    pages = await _found(desk, "")
    assert "/seller/listings/new" in pages and not any(p.startswith("/console") for p in pages)
    assert await _found(desk, "api key") == ["/seller/api-keys"]
    assert f"/seller/listings/{shop.listing_id}" in await _found(desk, "velvet")
    assert len(await _found(desk, number)) == 1
    await desk.enter(await make_member(desk.db, shop.owner, "fulfilment"))
    assert await _found(desk, "balance") == []
    await desk.enter(await make_seller(desk.db))
    assert await _found(desk, "velvet") == [] and await _found(desk, number) == []
    await desk.enter(await make_user(desk.db, staff_role="admin"))
    assert "/console/ledger" in await _found(desk, "ledger")
    await desk.enter(await make_user(desk.db))
    assert await _found(desk, "") == []
    desk.client.cookies.clear()
    assert (await desk.client.get("/palette", headers={"Accept": "application/json"})).status_code == 401


async def _found(desk: Desk, typed: str) -> list[str]:
    answer = await desk.client.get("/palette", params={"q": typed}, headers={"Accept": "application/json"})
    assert answer.status_code == 200
    return [item["href"] for item in answer.json()["items"]]
