"""Carts and quotes: what the buyer sees is checked on the server and never charged otherwise."""

import asyncio

import pytest

from fondaco import wallets
from fondaco.catalog import can_activate, regions
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.problem import Invalid, NotFound, Problem
from fondaco.core.viewer import GUEST
from fondaco.core.web import Parts
from fondaco.orders import (
    Merged,
    Wish,
    add_to_cart,
    cart_of,
    checkout,
    clear_cart,
    count_in_cart,
    merge_guest_cart,
    own_order_group,
    quote,
    remove_from_cart,
    set_in_cart,
)
from tests.support.money import give_money, make_buyer
from tests.support.shop import make_listing, make_shop, purchase, stock_of, whole


async def reprice(db: Database, listing_id: object, price: int) -> None:
    await db.execute(
        SYSTEM,
        "UPDATE catalog.listing SET price = $2, price_version = price_version + 1 WHERE id = $1",
        listing_id,
        price,
    )


async def test_a_guests_cart_moves_in_at_sign_in(db: Database) -> None:
    a, b = await make_shop(db, stock=9), await make_shop(db, stock=9)
    first = await add_to_cart(db, GUEST, None, listing_id=a.listing_id, quantity=6)
    assert first.token and first.count == 6
    again = await add_to_cart(db, GUEST, first.token, listing_id=b.listing_id)
    assert again.token is None and again.count == 7
    user = await make_buyer(db)
    await add_to_cart(db, user, None, listing_id=a.listing_id, quantity=7)
    merged = await merge_guest_cart(db, user, first.token)
    assert merged.moved == 2
    assert len(merged.left_out) == 1 and merged.left_out[0].endswith("only 10 are in your cart.")
    mine = await cart_of(db, user)
    assert {x.listing_id: x.quantity for x in mine.quote.lines} == {a.listing_id: 10, b.listing_id: 1}
    assert await count_in_cart(db, GUEST, first.token) == 0
    assert await merge_guest_cart(db, user, first.token) == Merged()


async def test_merging_twice_at_once_adds_once(db: Database) -> None:
    shop = await make_shop(db, stock=9)
    guest = await add_to_cart(db, GUEST, None, listing_id=shop.listing_id, quantity=2)
    user = await make_buyer(db)
    moved = await asyncio.gather(*(merge_guest_cart(db, user, guest.token) for _ in range(6)))
    assert sum(m.moved for m in moved) == 1
    assert await count_in_cart(db, user) == 2


async def test_what_a_full_cart_cannot_take_is_named(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is in both carts needs no place; of the others the first come along, the rest are told."""
    monkeypatch.setattr("fondaco.orders.carts.MAX_LINES", 3)
    shop = await make_shop(db, stock=9, title="In Both")
    others = [await make_listing(db, shop.seller_id, stock=9, title=f"Other {i}") for i in range(4)]
    user = await make_buyer(db)
    for listing in (shop.listing_id, others[0]):
        await add_to_cart(db, user, None, listing_id=listing)
    guest = await add_to_cart(db, GUEST, None, listing_id=others[1])
    for listing in (others[2], shop.listing_id):
        await add_to_cart(db, GUEST, guest.token, listing_id=listing)
    merged = await merge_guest_cart(db, user, guest.token)
    assert merged == Merged(
        moved=2, left_out=["“Other 2” is not in your cart: it holds at most 3 different listings."]
    )
    mine = await cart_of(db, user)
    assert {x.title: x.quantity for x in mine.quote.lines} == {"In Both": 2, "Other 0": 1, "Other 1": 1}


async def test_a_blocked_buyer_is_told_in_cart_and_quote(db: Database) -> None:
    shop = await make_shop(db, stock=9)
    user = await make_buyer(db)
    await give_money(db, user.user(), 10_000)
    free = (await add_to_cart(db, user, None, listing_id=shop.listing_id)).quote
    assert free.can_buy and not free.refused
    async with db.transaction(SYSTEM) as conn:
        await wallets.stand(conn, user.user(), "WALLET_AT_RISK")
    for now in (
        (await cart_of(db, user)).quote,
        (await add_to_cart(db, user, None, listing_id=shop.listing_id)).quote,
        await quote(db, user, [shop.wish()]),
    ):
        assert (now.can_buy, now.refused) == (False, "wallet_at_risk")
        assert "Your wallet is blocked" in now.differences[0]
    guest = await add_to_cart(db, GUEST, None, listing_id=shop.listing_id)
    assert guest.quote.can_buy


async def test_carts_are_changed_and_emptied(db: Database) -> None:
    shop = await make_shop(db, stock=9)
    user = await make_buyer(db)
    await add_to_cart(db, user, None, listing_id=shop.listing_id, quantity=2)
    assert (await set_in_cart(db, user, None, listing_id=shop.listing_id, quantity=5)).count == 5
    assert (await set_in_cart(db, user, None, listing_id=shop.listing_id, quantity=0)).count == 0
    await add_to_cart(db, user, None, listing_id=shop.listing_id)
    assert (await remove_from_cart(db, user, None, listing_id=shop.listing_id)).count == 0
    await add_to_cart(db, user, None, listing_id=shop.listing_id)
    await clear_cart(db, user, None)
    assert await count_in_cart(db, user) == 0


async def test_hostile_quantities_are_refused(db: Database) -> None:
    shop = await make_shop(db, stock=9)
    user = await make_buyer(db)
    for quantity in (-1, 11, 101, 2**31, 2**63):
        with pytest.raises(Invalid):
            await set_in_cart(db, user, None, listing_id=shop.listing_id, quantity=quantity)
        if quantity != 11:
            with pytest.raises(Invalid):
                await quote(db, user, [Wish(shop.listing_id, quantity, 1999)])
    with pytest.raises(NotFound):
        await add_to_cart(db, user, None, listing_id=uuid7())
    paused = await make_listing(db, shop.seller_id, state="PAUSED")
    with pytest.raises(NotFound):
        await add_to_cart(db, user, None, listing_id=paused)


async def test_a_made_up_guest_token_opens_nothing(db: Database) -> None:
    shop = await make_shop(db, stock=9)
    guest = await add_to_cart(db, GUEST, None, listing_id=shop.listing_id)
    assert await count_in_cart(db, GUEST, (guest.token or "")[:-1]) == 0
    assert await count_in_cart(db, GUEST, "") == 0
    stored = await db.fetchval(SYSTEM, "SELECT guest_hash FROM orders.cart")
    assert guest.token and guest.token.encode() not in stored


async def test_a_quote_names_every_difference(db: Database) -> None:
    shop = await make_shop(db, price=1999, stock=9, title="Night Train")
    gone = await make_listing(db, shop.seller_id, stock=1, title="Gone Game")
    few = await make_listing(db, shop.seller_id, stock=2, title="Few Left")
    american = await make_listing(db, shop.seller_id, stock=5, region="US", title="American")
    user = await make_buyer(db, country="DE")
    for listing, n in ((shop.listing_id, 1), (gone, 1), (few, 3), (american, 1)):
        await add_to_cart(db, user, None, listing_id=listing, quantity=n)
    await reprice(db, shop.listing_id, 2499)
    await db.execute(SYSTEM, "UPDATE catalog.listing SET state = 'PAUSED' WHERE id = $1", gone)
    now = (await cart_of(db, user)).quote
    assert {x.title: x.difference for x in now.lines} == {
        "Night Train": "price_changed",
        "Gone Game": "unavailable",
        "Few Left": "sold_out",
        "American": "region",
    }
    assert not now.can_buy and now.total == 2499
    assert "“Night Train” now costs €24.99." in now.differences
    assert "Of “Few Left” only 2 are left." in now.differences
    stranger = await quote(db, user, [Wish(gone, 1, 1999)])
    assert stranger.lines[0].title == "" and stranger.lines[0].difference == "unavailable"


async def test_a_confirmed_quote_buys_exactly_that(db: Database, parts: Parts) -> None:
    shop = await make_shop(db, price=1999, stock=9)
    user = await make_buyer(db)
    await give_money(db, user.user(), 10_000)
    await add_to_cart(db, user, None, listing_id=shop.listing_id, quantity=2)
    seen = (await cart_of(db, user)).quote
    assert seen.can_buy and seen.enough and seen.total == 3998
    await reprice(db, shop.listing_id, 2499)
    with pytest.raises(Problem) as refused:
        await checkout(parts, user, pay_with="wallet", idem="a", fingerprint=seen.fingerprint)
    assert refused.value.code == "price_changed" and "€24.99" in refused.value.detail
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 9}
    placed = await checkout(
        parts, user, pay_with="wallet", idem="a", fingerprint=refused.value.extra["quote"]
    )
    group = await own_order_group(db, user, placed.group_id)
    assert (group.total, group.state) == (4998, "DELIVERED")
    assert len(group.orders[0].lines[0].entitlements) == 2
    assert await count_in_cart(db, user) == 0  # what was bought left the cart
    again = await checkout(parts, user, pay_with="wallet", idem="a", fingerprint=refused.value.extra["quote"])
    assert again.group_id == placed.group_id
    await whole(db)


async def test_a_cart_that_changed_in_another_window_is_not_bought(db: Database, parts: Parts) -> None:
    shop = await make_shop(db, stock=9)
    user = await make_buyer(db)
    await give_money(db, user.user(), 10_000)
    await add_to_cart(db, user, None, listing_id=shop.listing_id)
    seen = (await cart_of(db, user)).quote
    await add_to_cart(db, user, None, listing_id=shop.listing_id)
    with pytest.raises(Problem) as refused:
        await checkout(parts, user, pay_with="wallet", idem="a", fingerprint=seen.fingerprint)
    assert refused.value.code == "quote_changed"


async def test_a_purchase_needs_a_seen_price(db: Database, parts: Parts) -> None:
    shop = await make_shop(db, stock=9)
    user = await make_buyer(db)
    await give_money(db, user.user(), 10_000)
    for asked in (None, [], [Wish(shop.listing_id, 1)]):
        with pytest.raises(Invalid):
            await checkout(parts, user, pay_with="wallet", idem="a", wishes=asked)
    with pytest.raises(Invalid):
        await checkout(parts, user, pay_with="gold", idem="a", wishes=[shop.wish()])
    with pytest.raises(Problem) as empty:
        await checkout(parts, user, pay_with="wallet", idem="a", fingerprint="x")
    assert empty.value.code == "empty_cart"
    assert await stock_of(db, shop.listing_id) == {"AVAILABLE": 9}


async def test_what_is_added_after_the_checkout_stays_in_the_cart(db: Database, parts: Parts) -> None:
    shop, late = await make_shop(db, stock=9), await make_shop(db, stock=9)
    user = await make_buyer(db)
    await give_money(db, user.user(), 10_000)
    await add_to_cart(db, user, None, listing_id=late.listing_id)
    seen = await quote(db, user, [shop.wish()])
    wishes = [Wish(shop.listing_id, 1)]
    await checkout(parts, user, pay_with="wallet", idem="a", wishes=wishes, fingerprint=seen.fingerprint)
    assert await count_in_cart(db, user) == 1  # another listing, bought without the cart


async def test_database_and_catalogue_agree_on_regions(db: Database) -> None:
    countries = [code for code in regions() if code not in ("GLOBAL", "EU")]
    rows = await db.fetch(
        SYSTEM,
        """SELECT r, c, orders.region_fits(r, c) AS fits FROM unnest($1::text[]) r, unnest($2::text[]) c""",
        ["GLOBAL", "EU", "US", "DE", "TR"],
        countries,
    )
    assert len(rows) > 1000
    assert not [(x["r"], x["c"]) for x in rows if x["fits"] != can_activate(x["r"], x["c"])]


async def test_the_same_purchase_has_the_same_fingerprint(db: Database) -> None:
    shop, other = await make_shop(db, stock=1), await make_shop(db, stock=1)
    buyer = await make_buyer(db)
    one = purchase(buyer, shop.wish(), other.wish())
    two = purchase(buyer, other.wish(), shop.wish())
    assert one.fingerprint("wallet") == two.fingerprint("wallet") != one.fingerprint("card")
    assert one.fingerprint("wallet") != purchase(buyer, shop.wish(2), other.wish()).fingerprint("wallet")
