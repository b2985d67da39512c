"""Checkout through the pages: from the wallet, by card, and everything that may have changed meanwhile."""

from uuid import uuid4

import httpx
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.viewer import Viewer
from tests.pages.account.browser import hidden_fields, send, text_of
from tests.pages.account.conftest import Doors
from tests.pages.storefront.buying import buy, change_price, groups, into_cart, newest_session, origin, slug
from tests.support.money import give_money
from tests.support.people import make_seller, make_user
from tests.support.sandbox import RunningSandbox
from tests.support.shop import add_units, make_listing, make_shop, stock_of, whole


async def rich(db: Database, doors: Doors, amount: int = 10_000, country: str = "DE") -> Viewer:
    """A signed-in buyer with money in the wallet."""
    buyer = await doors.enter(await make_user(db, country=country))
    if amount:
        await give_money(db, buyer.user(), amount)
    return buyer


async def take(db: Database, listing_id: object, n: int) -> None:
    """Somebody else takes n units."""
    await db.execute(
        SYSTEM,
        """UPDATE inventory.stock_unit SET state = 'WITHDRAWN' WHERE id IN (SELECT id
             FROM inventory.stock_unit WHERE listing_id = $1 AND state = 'AVAILABLE' LIMIT $2)""",
        listing_id,
        n,
    )


async def test_guests_are_asked_to_sign_in(client: httpx.AsyncClient) -> None:
    assert (await client.get("/checkout")).headers["location"] == "/sign-in?next=/checkout"


async def test_an_empty_cart_has_no_checkout(client: httpx.AsyncClient, doors: Doors) -> None:
    await doors.enter()
    assert (await client.get("/checkout")).headers["location"] == "/cart"


async def test_the_wallet_pays_at_once(client: httpx.AsyncClient, db: Database, doors: Doors) -> None:
    await rich(db, doors)
    shop, other = await make_shop(db, price=1999, stock=3), await make_shop(db, price=501, stock=3)
    await into_cart(client, db, shop.listing_id, quantity="2")
    await into_cart(client, db, other.listing_id)
    page = await client.get("/checkout")
    assert "Pay €44.99 from your wallet" in page.text
    done = await send(client, page, "/checkout", pay_with="wallet")
    assert done.status_code == 303
    order = await client.get(done.headers["location"])
    words = text_of(order.text)
    assert "3 keys are in your library" in words
    assert 'aria-label="Wallet, €55.01"' in order.text
    assert "Your cart is empty" in (await client.get("/cart")).text
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 1, "SOLD": 2}
    await whole(db)


async def test_the_same_form_twice_buys_once(client: httpx.AsyncClient, db: Database, doors: Doors) -> None:
    await rich(db, doors)
    shop = await make_shop(db, price=1000, stock=5)
    await into_cart(client, db, shop.listing_id)
    page = await client.get("/checkout")
    first = await send(client, page, "/checkout", pay_with="wallet")
    again = await send(client, page, "/checkout", pay_with="wallet")
    other = await send(client, page, "/checkout", pay_with="card")
    assert first.headers["location"] == again.headers["location"] == other.headers["location"]
    assert await groups(db) == 1
    await whole(db)


async def test_too_little_in_the_wallet_offers_card_and_top_up(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await rich(db, doors, 500)
    shop = await make_shop(db, price=1999, stock=3)
    await into_cart(client, db, shop.listing_id)
    page = await client.get("/checkout")
    assert 'value="wallet"' not in page.text
    assert "€14.99 too little for this" in text_of(page.text)
    forced = await send(client, page, "/checkout", pay_with="wallet")
    assert forced.status_code == 409
    assert "Nothing was charged" in forced.text
    assert await groups(db) == 0


async def test_the_card_goes_to_the_payment_page_and_back_to_the_keys(
    client: httpx.AsyncClient, db: Database, doors: Doors, paying: RunningSandbox
) -> None:
    await rich(db, doors, 0)
    shop = await make_shop(db, price=1999, stock=3)
    await into_cart(client, db, shop.listing_id)
    page = await client.get("/checkout")
    gone = await send(client, page, "/checkout", pay_with="card")
    assert gone.status_code == 303
    assert gone.headers["location"].startswith(f"{paying.url}/")
    again = await send(client, page, "/checkout", pay_with="card")
    assert again.headers["location"] == gone.headers["location"]
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 2, "RESERVED": 1}
    paying.pay(await newest_session(db))
    group = await db.fetchval(SYSTEM, "SELECT id FROM orders.order_group")
    back = await client.get(f"/orders/g/{group}?paid=1")
    assert back.headers["location"] == f"/orders/{group}"
    assert "1 key is in your library" in text_of((await client.get(f"/orders/{group}")).text)
    await whole(db)


async def test_buying_now_leaves_the_cart_alone(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await rich(db, doors)
    kept, wanted = await make_shop(db, stock=3), await make_shop(db, price=700, stock=5)
    await into_cart(client, db, kept.listing_id)
    seen = await client.get(f"/l/{await slug(db, wanted.listing_id)}")
    now = await send(client, seen, "/cart/add", then="checkout", quantity="2")
    path = now.headers["location"]
    assert path.startswith("/checkout?listing_id=")
    done = await buy(client, "wallet", path)
    assert "2 keys are in your library" in text_of((await client.get(done.headers["location"])).text)
    assert 'aria-label="Cart, 1 item"' in (await client.get("/cart")).text
    page = await client.get(path)
    sent = hidden_fields(page.text, "/checkout")
    assert sent["price"] == "700"


async def test_a_changed_price_is_shown_and_must_be_confirmed(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await rich(db, doors)
    shop = await make_shop(db, price=1000, stock=3)
    await into_cart(client, db, shop.listing_id)
    page = await client.get("/checkout")
    await change_price(db, shop.listing_id, 1200)
    refused = await send(client, page, "/checkout", pay_with="wallet")
    assert refused.status_code == 409
    assert "<h1>The price changed</h1>" in refused.text
    assert "Now €12.00; it was €10.00 when you chose it." in refused.text
    unticked = await send(client, refused, "/checkout", pay_with="wallet")
    assert unticked.status_code == 422
    assert "Tick this to confirm the new total." in unticked.text
    assert await groups(db) == 0
    done = await send(client, unticked, "/checkout", pay_with="wallet", accept="yes")
    assert "€12.00" in (await client.get(done.headers["location"])).text
    await whole(db)


async def test_the_price_of_a_direct_purchase_is_the_one_that_was_seen(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await rich(db, doors)
    shop = await make_shop(db, price=1000, stock=3)
    path = f"/checkout?listing_id={shop.listing_id}&quantity=1&price=1000"
    page = await client.get(path)
    await change_price(db, shop.listing_id, 1500)
    refused = await send(client, page, "/checkout", pay_with="wallet")
    assert refused.status_code == 409
    assert "it was €10.00 when you chose it" in refused.text
    assert await groups(db) == 0
    done = await send(client, refused, "/checkout", pay_with="wallet", accept="yes")
    assert done.status_code == 303


async def test_sold_out_meanwhile_offers_what_is_left(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await rich(db, doors)
    shop = await make_shop(db, price=1000, stock=4)
    none = await make_listing(db, shop.seller_id, price=800, stock=1, title="Last One")
    await into_cart(client, db, shop.listing_id, quantity="3")
    await into_cart(client, db, none)
    page = await client.get("/checkout")
    await take(db, shop.listing_id, 2)
    await take(db, none, 1)
    refused = await send(client, page, "/checkout", pay_with="wallet")
    assert refused.status_code == 409
    assert "<h1>Somebody was faster</h1>" in refused.text
    assert "Only 2 left." in refused.text
    assert "Sold out." in refused.text
    assert await groups(db) == 0
    fewer = await send(client, refused, "/cart/set")
    assert fewer.headers["location"] == "/checkout"
    data = {"listing_id": str(none), "next": "/checkout", "_csrf_token": client.cookies["csrf"]}
    await client.post("/cart/remove", data=data, headers=origin(client))
    done = await buy(client, "wallet")
    assert "2 keys are in your library" in text_of((await client.get(done.headers["location"])).text)


@pytest.mark.parametrize("country", ["US", "JP"])
async def test_a_key_for_elsewhere_is_not_sold(
    client: httpx.AsyncClient, db: Database, doors: Doors, country: str
) -> None:
    await rich(db, doors, country=country)
    shop = await make_shop(db, stock=3, region="EU")
    page = await client.get(f"/checkout?listing_id={shop.listing_id}&quantity=1&price={shop.price}")
    assert "Works in European Union only, not in your country." in text_of(page.text)
    assert 'name="pay_with"' not in page.text
    data = {
        "listing_id": str(shop.listing_id),
        "quantity": "1",
        "price": str(shop.price),
        "idem": "forced",
        "pay_with": "wallet",
        "_csrf_token": client.cookies["csrf"],
    }
    forced = await client.post("/checkout", data=data, headers=origin(client))
    assert forced.status_code == 409
    assert await groups(db) == 0


async def test_forged_forms_buy_nothing(client: httpx.AsyncClient, db: Database, doors: Doors) -> None:
    await rich(db, doors)
    shop = await make_shop(db, price=1000, stock=3)
    await into_cart(client, db, shop.listing_id)
    for change in (
        {"pay_with": "credit"},
        {"pay_with": "wallet", "quote": "forged"},
        {"pay_with": "wallet", "quote": ""},
        {"pay_with": "wallet", "idem": ""},
        {"pay_with": "wallet", "idem": "x" * 300},
        {"pay_with": "wallet", "quote": "", "listing_id": str(shop.listing_id), "price": "1"},
        {"pay_with": "wallet", "quote": "", "listing_id": str(shop.listing_id), "price": "1" * 30},
        {"pay_with": "wallet", "listing_id": str(shop.listing_id), "quantity": "2"},
    ):
        refused = await buy(client, **change)
        assert refused.status_code in (409, 422), change
        assert await groups(db) == 0, change
    page = await client.get("/checkout")
    token = hidden_fields(page.text, "/checkout")["_csrf_token"]
    gone = {"pay_with": "wallet", "listing_id": "nonsense", "_csrf_token": token}
    assert (await client.post("/checkout", data=gone, headers=origin(client))).status_code == 404


async def test_hidden_listings_stay_hidden_at_the_checkout(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    await rich(db, doors)
    seller = await make_seller(db)
    listing = await make_listing(db, seller.seller(), title="Secret plans", state="DRAFT")
    await add_units(db, listing, 1)
    hidden, missing = [
        await client.get(f"/checkout?listing_id={which}&quantity=1&price=1999")
        for which in (listing, uuid4())
    ]
    assert "Not for sale any more." in hidden.text
    assert "Secret plans" not in hidden.text
    assert text_of(hidden.text) == text_of(missing.text)
