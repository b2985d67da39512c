"""A store's papers and why its money is held, as pages."""

from fondaco.core.db import SYSTEM
from fondaco.statements.jobs import read_events
from tests.pages.account.browser import text_of
from tests.pages.seller.conftest import Desk
from tests.support.shop import make_shop


async def test_every_cent_has_its_reason_on_the_page(desk: Desk) -> None:
    shop = await make_shop(desk.db, price=1999, stock=3, title="<i>Boat</i>")
    await desk.enter(shop.owner)
    assert "Nothing is held" in await desk.see("/seller/balance/why")
    await desk.sell(shop.wish(2))
    await desk.enter(shop.owner)
    page = await desk.see("/seller/balance/why")
    number = await desk.db.fetchval(SYSTEM, "SELECT number FROM orders.orders")
    words = text_of(page)
    assert "€35.99" in words and "Buyer protection" in words and number in words
    assert "<i>Boat" not in page


async def test_no_papers_is_said_and_a_buyers_invoice_is_not_the_stores(desk: Desk) -> None:
    shop = await make_shop(desk.db, price=1999, stock=3)
    buyer = await desk.sell(shop.wish())
    await read_events(desk.parts)
    await desk.enter(shop.owner)
    assert "No papers yet" in await desk.see("/seller/papers")
    paper = await desk.db.fetchval(SYSTEM, "SELECT id FROM statements.paper")
    await desk.see(f"/seller/papers/{paper}", 404)
    await desk.enter(buyer)
    page = await desk.see(f"/account/papers/{paper}")
    assert "Total paid" in page and "€19.99" in page and "This paper never changes" in page
    assert "INV-" in await desk.see("/account/papers")
    answer = await desk.client.get(f"/account/papers/{paper}/pdf")
    assert answer.content.startswith(b"%PDF") and "no-store" in answer.headers["cache-control"]
    sheet = await desk.client.get(f"/account/papers/{paper}/csv")
    assert sheet.text.startswith("part,text,detail,Tax included,Amount,currency")
