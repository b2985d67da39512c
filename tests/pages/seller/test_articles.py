"""Articles through the seller desk: writing, previewing, counting."""

import re

from fondaco import catalog, inventory
from fondaco.core.pagination import Cursors
from fondaco.orders import Wish
from tests.pages.account.browser import text_of
from tests.pages.seller.conftest import Desk
from tests.support.goods import make_article, make_listing
from tests.support.people import make_member, make_seller

NEW = {
    "kind": "article",
    "title": "Bread at Home",
    "category": "learning",
    "platform": "Web",
    "region": "GLOBAL",
    "edition": "Standard",
    "price": "9.00",
    "max_per_order": "5",
    "key_format": "",
    "summary": "Bread without a machine.",
    "description": "Eight chapters.",
    "activation": "",
}


async def test_from_a_draft_to_the_shop(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    await desk.enter(owner)
    made = await desk.send("/seller/listings/new", "/seller/listings/new", **NEW)
    [row] = (await catalog.own_listings(desk.db, owner, desk.parts.get(Cursors))).items
    here = f"/seller/listings/{row.id}"
    assert (made.status_code, made.headers["location"], row.kind) == (303, f"{here}/content", "article")

    refused = await desk.send(here, f"{here}/do/publish")
    assert refused.status_code == 422
    assert "Write the article first" in refused.text

    empty = await desk.send(f"{here}/content", f"{here}/content", content=" ")
    assert empty.status_code == 422
    assert "Write what the buyer gets." in empty.text
    text = "# Dough\n\n<script>alert(1)</script> **Knead** it."
    shown = await desk.send(f"{here}/content", f"{here}/content", content=text, preview="yes")
    assert "<strong>Knead</strong>" in shown.text and "<script>alert" not in shown.text
    assert shown.headers["cache-control"] == "no-store"
    assert (await inventory.article(desk.db, owner, row.id)).content_version == 0
    saved = await desk.send(f"{here}/content", f"{here}/content", content=text)
    assert (saved.status_code, saved.headers["location"]) == (303, f"{here}/stock")

    counted = await desk.send(f"{here}/stock", f"{here}/copies", copies="25")
    assert counted.status_code == 303
    assert "25 copies are for sale now." in text_of(await desk.see(f"{here}/stock"))
    assert (await desk.send(f"{here}/do/publish", f"{here}/do/publish")).status_code == 303
    page = await desk.see(f"/l/{row.slug}")
    assert "Can be read everywhere." in page and "How to redeem" not in page
    assert "Knead" not in page
    assert "25 copies" in text_of(await desk.see("/seller/listings"))


async def test_two_writers_lose_nothing(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_article(desk.db, desk.vault, owner, content="# First")
    await desk.enter(owner)
    here = f"/seller/listings/{listing.id}/content"
    assert "# First" in await desk.see(here)
    await inventory.save_content(
        desk.db, desk.vault, owner, listing.id, content="# Second, by another", version=1
    )
    late = await desk.send(here, here, content="# Mine, typed long", version="1")
    assert late.status_code == 409
    assert "Mine, typed long" in late.text and "Your text is not saved" in late.text
    again = await desk.send(here, here, content="# Mine, typed long", version="2")
    assert again.status_code == 303
    html = await desk.see(here)
    assert "Mine, typed long" in html and "?version=2" in html
    older = await desk.see(f"{here}?version=2")
    assert "Second, by another" in older and "This is version 2" in text_of(older)
    assert "# First" in await desk.see(f"{here}?version=1")
    await desk.see(f"{here}?version=9", status=404)


async def test_a_wrong_number_keeps_what_was_typed(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_article(desk.db, desk.vault, owner, copies=3)
    await desk.enter(owner)
    here = f"/seller/listings/{listing.id}"
    wrong = await desk.send(f"{here}/stock", f"{here}/copies", copies="many")
    assert wrong.status_code == 422
    assert 'value="many"' in wrong.text and "Write a whole number." in wrong.text
    much = await desk.send(f"{here}/stock", f"{here}/copies", copies="1000001")
    assert much.status_code == 422
    late = await desk.send(f"{here}/stock", f"{here}/copies", copies="9", version="1")
    assert late.status_code == 409 and "meanwhile" in late.text
    assert (await inventory.article(desk.db, owner, listing.id)).copies == 3


async def test_who_may_not_write_does_not_read(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_article(desk.db, desk.vault, owner, content="# CANARY")
    here = f"/seller/listings/{listing.id}"
    for role in ("fulfilment", "read_only"):
        await desk.enter(await make_member(desk.db, owner, role))
        for page in (here, f"{here}/stock"):
            html = await desk.see(page)
            assert "CANARY" not in html and f"{here}/content" not in html
        await desk.see(f"{here}/content", status=403)
    keys = await make_listing(desk.db, owner)
    await desk.enter(owner)
    await desk.see(f"/seller/listings/{keys.id}/content", status=404)


async def test_a_sale_is_told_in_copies(desk: Desk) -> None:
    owner = await make_seller(desk.db)
    listing = await make_article(desk.db, desk.vault, owner, copies=3)
    await desk.sell(Wish(listing.id, 2, listing.price))
    await desk.enter(owner)
    [order] = re.findall(r"/seller/orders/[0-9a-f-]{36}", await desk.see("/seller/orders"))
    assert "2 copies for €9.00 each" in text_of(await desk.see(order))
    stock = text_of(await desk.see(f"/seller/listings/{listing.id}/stock"))
    assert re.search(r"For sale\s+1\s.*Sold\s+2\s.*Put up\s+3\s", stock)
