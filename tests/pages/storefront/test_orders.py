"""A buyer's orders through the pages: every state in words, live, and what may be done about each."""

import asyncio
import re
from uuid import UUID

import httpx
import pytest

from fondaco import orders
from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.integrations.stripe import StripeGateway
from fondaco.settings import Settings
from tests.pages.account.browser import send, submit, text_of
from tests.pages.account.conftest import Doors
from tests.pages.storefront.buying import newest_session
from tests.support.money import give_money
from tests.support.people import make_user
from tests.support.sandbox import RunningSandbox
from tests.support.shop import make_listing, make_shop, purchase, stock_of, whole


async def delivered(db: Database, parts: Parts, buyer: Viewer, n: int = 1, **listing: object) -> UUID:
    """A purchase from the wallet."""
    shop = await make_shop(db, price=1000, stock=n + 3, **listing)
    await give_money(db, buyer.user(), 1000 * n)
    done = await orders.buy_with_wallet(parts.get(orders.Combiner), purchase(buyer, shop.wish(n)))
    return done.group_id


async def waiting(db: Database, parts: Parts, buyer: Viewer) -> UUID:
    """A purchase whose payment page is open."""
    shop = await make_shop(db, price=1000, stock=3)
    placed = await orders.place_with_card(
        db, parts.get(StripeGateway), parts.get(Settings), purchase(buyer, shop.wish())
    )
    assert placed.checkout_url
    return placed.group_id


async def order_of(db: Database, group: UUID) -> UUID:
    return UUID(str(await db.fetchval(SYSTEM, "SELECT id FROM orders.orders WHERE group_id = $1", group)))


async def test_no_orders_yet_says_what_to_do(client: httpx.AsyncClient, doors: Doors) -> None:
    assert (await client.get("/orders")).headers["location"] == "/sign-in?next=/orders"
    await doors.enter()
    assert "You have not ordered anything yet" in (await client.get("/orders")).text


async def test_the_list_finds_and_narrows(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors, paying: RunningSandbox
) -> None:
    buyer = await doors.enter()
    done = await delivered(db, parts, buyer, title="Harbour Lights")
    open_ = await waiting(db, parts, buyer)
    both = await client.get("/orders")
    assert both.text.index(f"/orders/{open_}") < both.text.index(f"/orders/{done}")
    found = await client.get("/orders?q=harbour")
    assert f"/orders/{done}" in found.text
    assert f"/orders/{open_}" not in found.text
    narrowed = await client.get("/orders?state=PENDING_PAYMENT&state=NONSENSE")
    assert f"/orders/{open_}" in narrowed.text
    assert f"/orders/{done}" not in narrowed.text
    assert "Nothing matches" in (await client.get("/orders?q=zzz")).text
    assert (await client.get("/orders?after=made-up")).headers["location"] == "/orders"


async def test_others_orders_do_not_exist(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors
) -> None:
    group = await delivered(db, parts, await make_user(db))
    order = await order_of(db, group)
    await doors.enter()
    await client.get("/orders")
    for one in (group, order):
        for tail in ("", "/live", "/fragment", "/cancel", "/confirm", "/receipt"):
            assert (await client.get(f"/orders/{one}{tail}")).status_code == 404, tail
        for tail in ("/pay", "/cancel", "/confirm", "/again"):
            data = {"_csrf_token": client.cookies["csrf"]}
            assert (await client.post(f"/orders/{one}{tail}", data=data)).status_code == 404, tail
    assert (await client.get(f"/orders/g/{group}?paid=1")).status_code == 404
    assert (await client.get("/orders/nonsense")).status_code == 404


async def test_a_delivered_order_leads_to_its_keys(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors
) -> None:
    buyer = await doors.enter()
    group = await delivered(db, parts, buyer, 7, title="<b>Harbour</b> Lights")
    page = await client.get(f"/orders/{group}")
    words = text_of(page.text)
    assert "7 keys are in your library" in words
    assert len(re.findall(r'href="/library/[0-9a-f-]{36}"', page.text)) == 5
    assert "all 7" in words
    assert "<b>Harbour" not in page.text
    assert "data-live-final" in page.text
    order = await order_of(db, group)
    by_order = await client.get(f"/orders/{order}")
    assert by_order.headers["location"] == f"/orders/{group}#order-{order}"
    receipt = await client.get(f"/orders/{order}/receipt")
    assert receipt.content.startswith(b"%PDF")
    assert receipt.headers["cache-control"] == "no-store"
    assert "receipt-ORD-" in receipt.headers["content-disposition"]


async def test_confirming_asks_first_and_pays_the_seller(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors
) -> None:
    buyer = await doors.enter()
    group = await delivered(db, parts, buyer)
    order = await order_of(db, group)
    asked = await client.get(f"/orders/{order}/confirm")
    assert "This cannot be undone" in asked.text
    done = await send(client, asked, f"/orders/{order}/confirm")
    assert done.headers["location"] == f"/orders/{group}"
    page = await client.get(f"/orders/{group}")
    assert "the money went to the seller" in text_of(page.text)
    assert "Confirm delivery" not in page.text
    await whole(db)


async def test_an_unpaid_order_can_be_paid_or_cancelled(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors, paying: RunningSandbox
) -> None:
    buyer = await doors.enter()
    group = await waiting(db, parts, buyer)
    page = await client.get(f"/orders/{group}")
    assert "Waiting for your payment" in page.text
    assert "data-live-final" not in page.text
    on = await submit(client, f"/orders/{group}", f"/orders/{group}/pay")
    assert on.headers["location"].startswith(f"{paying.url}/")
    left = await client.get(f"/orders/g/{group}?paid=0")
    assert "nothing was charged" in (await client.get(left.headers["location"])).text
    asked = await client.get(f"/orders/{group}/cancel")
    assert "This cannot be undone" in asked.text
    await send(client, asked, f"/orders/{group}/cancel")
    closed = await client.get(f"/orders/{group}")
    assert "Cancelled by the buyer. Nothing was charged." in text_of(closed.text)
    again = await send(client, asked, f"/orders/{group}/cancel")
    assert again.status_code == 303
    assert "does not await a payment any more" in (await client.get(f"/orders/{group}")).text
    await send(client, closed, f"/orders/{group}/again")
    assert "€10.00" in (await client.get("/cart")).text


async def test_a_late_bank_debit_is_told_and_delivered(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors, paying: RunningSandbox
) -> None:
    buyer = await doors.enter()
    group = await waiting(db, parts, buyer)
    paying.pay(await newest_session(db), "bank_debit_success")
    await client.get(f"/orders/g/{group}?paid=1")
    page = await client.get(f"/orders/{group}")
    assert "Your bank is confirming the payment" in page.text
    assert "Cancel the order" not in page.text
    paying.advance(600)
    await client.get(f"/orders/g/{group}?paid=1")
    assert "1 key is in your library" in text_of((await client.get(f"/orders/{group}")).text)
    await whole(db)


async def test_money_that_comes_too_late_is_on_its_way_back(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors, paying: RunningSandbox
) -> None:
    buyer = await doors.enter()
    group = await waiting(db, parts, buyer)
    session = await newest_session(db)
    paying.pay(session)
    await db.fetchval(
        SYSTEM, "SELECT orders.give_up($1, 'CANCELLED', 'cancelled by the seller', 'system')", group
    )
    await client.get(f"/orders/g/{group}?paid=1")
    page = await client.get(f"/orders/{group}")
    assert "Your money is on its way back" in page.text
    assert "€10.00" in page.text
    assert "data-live-final" not in page.text


async def test_the_page_follows_what_happens(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors, paying: RunningSandbox
) -> None:
    buyer = await doors.enter()
    group = await waiting(db, parts, buyer)
    stream = asyncio.create_task(client.get(f"/orders/{group}/live"))
    while not await _watched(parts):
        await asyncio.sleep(0.01)
    paying.pay(await newest_session(db))
    await client.get(f"/orders/g/{group}?paid=1")
    got = await asyncio.wait_for(stream, 20)
    assert got.headers["content-type"].startswith("text/event-stream")
    first, last = got.text.index("Waiting for your payment"), got.text.index("1 key is in your library")
    assert first < last
    assert got.text.count("data-live-final") == 1
    polled = await client.get(f"/orders/{group}/fragment")
    assert 'id="purchase"' in polled.text
    assert "<html" not in polled.text
    assert "1 key is in your library" in text_of(polled.text)


async def _watched(parts: Parts) -> bool:
    """Whether the stream has begun to watch: then nothing that follows can be missed."""
    from fondaco.orders.live import _watchers

    watcher = _watchers.get(parts.get(Database))
    return bool(watcher and watcher._places)


async def test_a_finished_order_is_streamed_once(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors
) -> None:
    group = await delivered(db, parts, await doors.enter())
    got = await asyncio.wait_for(client.get(f"/orders/{group}/live"), 20)
    assert got.text.count('id="purchase"') == 1


async def test_orders_of_several_sellers_are_confirmed_one_by_one(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors
) -> None:
    buyer = await doors.enter()
    one, other = await make_shop(db, price=1000, stock=2), await make_shop(db, price=500, stock=2)
    await give_money(db, buyer.user(), 1500)
    done = await orders.buy_with_wallet(parts.get(orders.Combiner), purchase(buyer, one.wish(), other.wish()))
    page = await client.get(f"/orders/{done.group_id}")
    assert page.text.count(">Confirm delivery<") == 2
    action = re.search(r'action="(/orders/[0-9a-f-]+/confirm)"', page.text)
    assert action
    await send(client, page, action[1])
    page = await client.get(f"/orders/{done.group_id}")
    assert page.text.count(">Confirm delivery<") == 1
    await whole(db)


async def test_ordering_again_names_what_is_gone(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors, paying: RunningSandbox
) -> None:
    buyer = await doors.enter()
    shop = await make_shop(db, price=1000, stock=3)
    gone = await make_listing(db, shop.seller_id, price=500, stock=3, title="Gone Soon")
    asked = purchase(buyer, shop.wish(), orders.Wish(gone, 1, 500))
    placed = await orders.place_with_card(db, parts.get(StripeGateway), parts.get(Settings), asked)
    page = await client.get(f"/orders/{placed.group_id}")
    await send(client, page, f"/orders/{placed.group_id}/cancel")
    assert await stock_of(db, gone) == {"AVAILABLE": 3}
    await db.execute(SYSTEM, "UPDATE catalog.listing SET state = 'PAUSED' WHERE id = $1", gone)
    closed = await client.get(f"/orders/{placed.group_id}")
    await send(client, closed, f"/orders/{placed.group_id}/again")
    cart = await client.get("/cart")
    assert "Not for sale any more: “Gone Soon”." in cart.text
    assert 'aria-label="Cart, 1 item"' in cart.text


@pytest.mark.parametrize("path", ["/orders/g/nonsense", "/orders/00000000-0000-0000-0000-000000000000"])
async def test_what_is_no_order_is_not_found(client: httpx.AsyncClient, doors: Doors, path: str) -> None:
    await doors.enter()
    assert (await client.get(path)).status_code == 404
