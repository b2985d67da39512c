"""An article in the library: opened, read safely, and the version of the purchase kept."""

import httpx

from fondaco import delivery, inventory
from fondaco.core.db import Database
from fondaco.core.pagination import Cursors
from fondaco.core.web import Parts
from fondaco.orders import Combiner, Wish
from fondaco.vault import Vault
from tests.pages.account.browser import send, text_of
from tests.pages.account.conftest import Doors
from tests.support.goods import make_article
from tests.support.money import give_money
from tests.support.people import make_seller, make_user
from tests.support.shop import purchase

OLD = "## Dough\n\n**Knead** it. <script>alert('CANARY')</script> [more](javascript:alert(1))"
NEW = "## Dough\n\nFold it instead."


async def test_it_is_opened_read_and_kept(
    client: httpx.AsyncClient, db: Database, doors: Doors, parts: Parts
) -> None:
    seller, buyer, vault = await make_seller(db), await make_user(db), parts.get(Vault)
    listing = await make_article(db, vault, seller, title="Overnight Bread", content=OLD)
    await give_money(db, buyer.user(), 5000)
    await Combiner(db).buy(purchase(buyer, Wish(listing.id, 2, listing.price)))
    first, second = (await delivery.library(db, buyer, parts.get(Cursors))).items
    await doors.enter(buyer)

    order = await client.get(f"/orders/{first.order_id}", follow_redirects=True)
    said = text_of(order.text)
    assert "2 articles are in your library" in said and "Open your article" in said
    assert f'href="/library/{first.id}"' in order.text and "Copy 2" in said
    shelf = text_of((await client.get("/library")).text)
    assert "Article" in shelf and "Not opened yet" in shelf

    here = f"/library/{first.id}"
    before = await client.get(here)
    assert "Article not opened yet" in text_of(before.text) and "key" not in text_of(before.text).lower()
    assert "Knead" not in before.text
    shown = await send(client, before, f"{here}/reveal")
    assert shown.status_code == 200
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert "<strong>Knead</strong>" in shown.text and "data-print" in shown.text
    assert "<script>alert" not in shown.text and "javascript:" not in shown.text.replace("(javascript:", "")
    assert "<form" not in shown.text

    await inventory.save_content(db, vault, seller, listing.id, content=NEW, version=1)
    changed = await client.get(here)
    assert "there is version 2 now, yours was version 1" in text_of(changed.text)
    newest = await send(client, changed, f"{here}/reveal")
    assert "Fold it instead." in newest.text and "Knead" not in newest.text
    bought = await send(client, changed, f"{here}/reveal", version="bought")
    assert "<strong>Knead</strong>" in bought.text and "as you bought it" in bought.text
    after = await delivery.entitlement(db, buyer, first.id)
    assert [r.content_version for r in after.reveals] == [1, 2, 1]
    other = await delivery.entitlement(db, buyer, second.id)
    assert other.entitlement.revealed_at is None  # a copy of its own

    await doors.enter()
    assert (await client.get(here)).status_code == 404
