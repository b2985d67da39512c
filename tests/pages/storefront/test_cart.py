"""The cart through the pages: guests and users, what changed, what is refused."""

from uuid import uuid4

import httpx

from fondaco.core.db import SYSTEM, Database
from tests.pages.account.browser import hidden_fields, send, submit, text_of
from tests.pages.account.conftest import Doors
from tests.pages.storefront.buying import change_price, into_cart, origin, slug
from tests.support.people import PASSWORD, make_user
from tests.support.shop import make_listing, make_shop


async def test_an_empty_cart_says_what_to_do(client: httpx.AsyncClient) -> None:
    page = await client.get("/cart")
    assert "Your cart is empty" in page.text
    assert 'href="/browse"' in page.text


async def test_a_guest_fills_changes_and_empties_a_cart(client: httpx.AsyncClient, db: Database) -> None:
    shop = await make_shop(db, price=1000, stock=9, title="Harbour Lights")
    added = await into_cart(client, db, shop.listing_id, quantity="2")
    assert added.status_code == 303
    assert "cart" in client.cookies
    said = await client.get("/cart")
    assert "“Harbour Lights” is in your cart." in said.text
    assert 'aria-label="Cart, 2 items"' in said.text
    assert "€20.00" in said.text
    assert "Sign in and pay" in said.text
    set_ = await submit(client, "/cart", "/cart/set", quantity="3")
    assert set_.headers["location"] == "/cart"
    assert "€30.00" in (await client.get("/cart")).text
    await submit(client, "/cart", "/cart/remove")
    assert "Your cart is empty" in (await client.get("/cart")).text


async def test_what_a_cart_cannot_take_is_said(client: httpx.AsyncClient, db: Database) -> None:
    shop = await make_shop(db, stock=99, max_per_order=4)
    for typed, words in (
        ("5", "At most 4 in one order."),
        ("two", "Write the quantity in digits, like 2."),
        ("0", "Must be from 1 to 100."),
        ("999999999", "Write the quantity in digits"),
        ("-1", "Write the quantity in digits"),
        ("², ", "Write the quantity in digits"),
    ):
        refused = await into_cart(client, db, shop.listing_id, quantity=typed)
        assert refused.status_code == 303
        assert words in (await client.get("/cart")).text, typed
    assert "Your cart is empty" in (await client.get("/cart")).text
    for bad in ("", "x", str(uuid4())):
        page = await client.get("/cart")
        fields = {"_csrf_token": client.cookies["csrf"], "listing_id": bad}
        answer = await client.post("/cart/add", data=fields, headers=origin(client))
        if bad.count("-") == 4:
            assert answer.status_code == 303
            assert "not on sale any more" in (await client.get("/cart")).text
        else:
            assert answer.status_code == 404
        assert page.status_code == 200


async def test_the_button_leads_back_to_where_it_was(client: httpx.AsyncClient, db: Database) -> None:
    shop = await make_shop(db, stock=9)
    here = str(client.base_url)
    seen = await client.get("/browse?sort=price")
    data = hidden_fields(seen.text, "/cart/add")
    for referer, place in (
        (f"{here}/browse?sort=price", "/browse?sort=price"),
        ("http://elsewhere.test/browse", "/cart"),
        (f"{here}//elsewhere.test", "/cart"),
        ("", "/cart"),
    ):
        headers = {**origin(client), "Referer": referer}
        answer = await client.post("/cart/add", data=data, headers=headers)
        assert answer.headers["location"] == place, referer
    assert shop.price


async def test_with_scripts_only_the_counter_changes(client: httpx.AsyncClient, db: Database) -> None:
    shop = await make_shop(db, stock=9, title="Żeglarz – “Sea” 🎮")
    seen = await client.get("/browse")
    data = hidden_fields(seen.text, "/cart/add")
    answer = await client.post("/cart/add", data=data, headers={**origin(client), "HX-Request": "true"})
    assert answer.status_code == 200
    assert 'id="cart-link" hx-swap-oob="true"' in answer.text
    assert "Cart, 1 item" in answer.text
    assert "u017beglarz" in answer.headers["hx-trigger"]
    assert "<html" not in answer.text
    await db.execute(SYSTEM, "UPDATE catalog.listing SET state = 'PAUSED' WHERE id = $1", shop.listing_id)
    refused = await client.post("/cart/add", data=data, headers={**origin(client), "HX-Request": "true"})
    assert "not on sale any more" in refused.headers["hx-trigger"]
    assert refused.text == ""


async def test_what_changed_is_shown_beside_its_line(client: httpx.AsyncClient, db: Database) -> None:
    shop = await make_shop(db, price=1000, stock=5, title="Harbour Lights")
    few = await make_listing(db, shop.seller_id, stock=4, title="Few Left")
    gone = await make_listing(db, shop.seller_id, stock=4, title="Gone Soon")
    for listing in (shop.listing_id, few, gone):
        await into_cart(client, db, listing, quantity="3")
    await change_price(db, shop.listing_id, 1250)
    await db.execute(
        SYSTEM,
        """UPDATE inventory.stock_unit SET state = 'WITHDRAWN' WHERE id IN (
             SELECT id FROM inventory.stock_unit WHERE listing_id = $1 LIMIT 2)""",
        few,
    )
    await db.execute(SYSTEM, "UPDATE catalog.listing SET state = 'PAUSED' WHERE id = $1", gone)
    page = await client.get("/cart")
    words = text_of(page.text)
    assert "Now €12.50; it was €10.00 when you chose it." in words
    assert "Only 2 left." in words
    assert "Not for sale any more." in words
    assert "Gone Soon" in words
    assert f"/l/{await slug(db, gone)}" not in page.text
    assert "Change or remove what is marked" in words
    assert "Sign in and pay" not in words


async def test_a_guests_cart_comes_along_at_sign_in(client: httpx.AsyncClient, db: Database) -> None:
    shop = await make_shop(db, stock=9, title="Harbour Lights")
    await make_user(db, "ada@example.com")
    await into_cart(client, db, shop.listing_id, quantity="2")
    asked = await client.get("/checkout")
    assert asked.headers["location"] == "/sign-in?next=/checkout"
    done = await submit(
        client, asked.headers["location"], "/sign-in", email="ada@example.com", password=PASSWORD
    )
    assert done.headers["location"] == "/checkout"
    assert "cart" not in client.cookies
    page = await client.get("/checkout")
    assert "Harbour Lights" in page.text
    assert "quantity 2" in page.text


async def test_carts_are_their_owners(client: httpx.AsyncClient, db: Database, doors: Doors) -> None:
    shop = await make_shop(db, stock=9, title="Harbour Lights")
    await doors.enter()
    await into_cart(client, db, shop.listing_id)
    assert "Harbour Lights" in (await client.get("/cart")).text
    await doors.enter()
    assert "Your cart is empty" in (await client.get("/cart")).text
    client.cookies.clear()
    doors.keep("cart", "made-up")
    assert "Your cart is empty" in (await client.get("/cart")).text


async def test_forms_of_other_sites_do_nothing(client: httpx.AsyncClient, db: Database) -> None:
    shop = await make_shop(db, stock=9)
    seen = await client.get(f"/l/{await slug(db, shop.listing_id)}")
    data = hidden_fields(seen.text, "/cart/add")
    foreign = await client.post("/cart/add", data=data, headers={"Origin": "https://elsewhere.test"})
    assert foreign.status_code == 403
    data.pop("_csrf_token")
    assert (await client.post("/cart/add", data=data, headers=origin(client))).status_code == 403
    assert "Your cart is empty" in (await client.get("/cart")).text
    with_token = await send(client, seen, "/cart/add", then="stay")
    assert with_token.status_code == 303
