"""Articles that were bought: one entitlement a copy; the newest content or that of the purchase."""

import asyncpg
import httpx
import pytest

from fondaco import delivery, inventory
from fondaco.checks import verify_all
from fondaco.core.db import SYSTEM, Database
from fondaco.core.pagination import Cursors
from fondaco.core.problem import NotFound
from fondaco.orders import Combiner, Wish
from fondaco.orders.model import SoldOut
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.support.goods import make_article
from tests.support.money import give_money, make_buyer
from tests.support.people import bearer, make_seller
from tests.support.shop import expire, pay, place, purchase

OLD, NEW = "# First edition\n\nCANARY-OLD", "# Second edition\n\nCANARY-NEW"


@pytest.fixture
def vault(settings: Settings) -> Vault:
    return Vault(settings)


async def counted(db: Database, listing_id: object) -> tuple[int, int, int]:
    """On hand, held, sold."""
    row = await db.fetchrow(
        SYSTEM,
        """SELECT c.on_hand, c.sold, coalesce((SELECT sum(h.quantity) FROM inventory.hold h
             WHERE h.listing_id = c.listing_id), 0)::int AS held
           FROM inventory.counted c WHERE c.listing_id = $1""",
        listing_id,
    )
    assert row
    return row["on_hand"], row["held"], row["sold"]


async def test_each_copy_is_an_entitlement_with_its_version(
    db: Database, settings: Settings, vault: Vault, owner: asyncpg.Connection
) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller, copies=5, content=OLD)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    await Combiner(db).buy(purchase(buyer, Wish(listing.id, 2, listing.price)))
    assert await counted(db, listing.id) == (3, 0, 2)
    shelf = await delivery.library(db, buyer, Cursors(b"k" * 32))
    assert [(e.kind, e.title) for e in shelf.items] == [("article", listing.title)] * 2
    mine = shelf.items[0]
    assert (await delivery.reveal(db, vault, buyer, mine.id)).reveal().decode() == OLD

    await inventory.save_content(db, vault, seller, listing.id, content=NEW, version=1)
    page = await delivery.entitlement(db, buyer, mine.id)
    assert (page.bought_version, page.newest_version) == (1, 2)
    assert (await delivery.reveal(db, vault, buyer, mine.id)).reveal().decode() == NEW
    bought = await delivery.reveal(db, vault, buyer, mine.id, as_bought=True)
    assert bought.reveal().decode() == OLD
    seen = (await delivery.entitlement(db, buyer, mine.id)).reveals
    assert [r.content_version for r in seen] == [1, 2, 1]
    with pytest.raises(NotFound):
        await delivery.reveal(db, vault, await make_buyer(db), mine.id)
    assert await verify_all(db, settings) == []
    said = await owner.fetch("SELECT data::text FROM audit.event")
    assert "CANARY" not in str(said)


async def test_copies_run_out_and_no_more_are_sold(db: Database, settings: Settings, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller, copies=3)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    with pytest.raises(SoldOut):
        await Combiner(db).buy(purchase(buyer, Wish(listing.id, 4, listing.price)))
    await Combiner(db).buy(purchase(buyer, Wish(listing.id, 3, listing.price)))
    assert await counted(db, listing.id) == (0, 0, 3)
    state = await db.fetchval(SYSTEM, "SELECT in_stock FROM catalog.listing WHERE id = $1", listing.id)
    assert state is False
    with pytest.raises(SoldOut):
        await Combiner(db).buy(purchase(buyer, Wish(listing.id, 1, listing.price)))
    await inventory.set_copies(db, seller, listing.id, copies=1, version=2)
    await Combiner(db).buy(purchase(buyer, Wish(listing.id, 1, listing.price)))
    assert await counted(db, listing.id) == (0, 0, 4)
    assert await verify_all(db, settings) == []


async def test_copies_are_held_for_a_card_and_come_back(
    db: Database, settings: Settings, vault: Vault
) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller, copies=3)
    buyer = await make_buyer(db)
    paid = await place(db, buyer, Wish(listing.id, 2, listing.price))
    assert await counted(db, listing.id) == (1, 2, 0)
    now = await inventory.stock_counts(db, seller, listing.id)
    assert (now.available, now.reserved) == (1, 2)
    await inventory.set_copies(db, seller, listing.id, copies=0, version=2)
    assert await counted(db, listing.id) == (0, 2, 0)
    await pay(db, paid)
    assert await counted(db, listing.id) == (0, 0, 2)
    await inventory.set_copies(db, seller, listing.id, copies=2, version=3)
    late = await place(db, buyer, Wish(listing.id, 2, listing.price), minutes=-1)
    assert await counted(db, listing.id) == (0, 2, 2)
    await expire(db, late)
    assert await counted(db, listing.id) == (2, 0, 2)
    there = await db.fetchval(SYSTEM, "SELECT in_stock FROM catalog.listing WHERE id = $1", listing.id)
    assert there is True
    assert await verify_all(db, settings) == []


async def test_the_api_opens_it_and_says_what_it_is(
    client: httpx.AsyncClient, db: Database, vault: Vault
) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller, content=OLD)
    buyer = await make_buyer(db)
    await give_money(db, buyer.user(), 10_000)
    auth = await bearer(db, buyer)
    line = {"listing_id": str(listing.id), "quantity": 1, "price": listing.price}
    bought = await client.post("/api/v1/orders", headers=auth, json={"pay_with": "wallet", "lines": [line]})
    assert bought.status_code == 201, bought.text
    assert bought.json()["order"]["orders"][0]["lines"][0]["kind"] == "article"
    await inventory.save_content(db, vault, seller, listing.id, content=NEW, version=1)
    [item] = (await client.get("/api/v1/library", headers=auth)).json()["items"]
    here = f"/api/v1/library/{item['id']}/reveal"
    assert (await client.post(here, headers=auth)).json() == {"secret": NEW}
    old = await client.post(here, params={"as_bought": "true"}, headers=auth)
    assert (old.json(), old.headers["cache-control"]) == ({"secret": OLD}, "no-store")
