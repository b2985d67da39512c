"""A seller's verbs on its listings."""

import asyncio
from typing import Any

import pytest

from fondaco import catalog
from fondaco.catalog import OwnListing
from fondaco.catalog.checks import slugify
from fondaco.catalog.regions import regions
from fondaco.core.db import SYSTEM, Database
from fondaco.core.ids import uuid7
from fondaco.core.pagination import BadCursor, Cursors
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.core.viewer import GUEST, Viewer
from tests.support.goods import make_listing
from tests.support.people import make_seller, make_user

GOOD: dict[str, Any] = {
    "title": "Salt & Lanterns",
    "category": "games",
    "platform": "steam",
    "region": "eu",
    "price": 1999,
    "currency": "EUR",
}
BIDI = "Steam\u202etxt.exe"


async def kinds(db: Database, listing: OwnListing) -> list[str]:
    rows = await db.fetch(
        SYSTEM, "SELECT kind FROM audit.event WHERE ref = $1 ORDER BY id", f"listing:{listing.id}"
    )
    return [r["kind"] for r in rows]


async def test_a_draft_goes_on_sale_and_every_step_is_recorded(db: Database) -> None:
    seller = await make_seller(db)
    made = await catalog.create_listing(db, seller, **GOOD)
    assert (made.state, made.platform, made.region, made.version) == ("DRAFT", "Steam", "EU", 1)
    assert made.slug.startswith("salt-lanterns-steam-eu-")
    with pytest.raises(Invalid) as refused:
        await catalog.publish(db, seller, made.id)
    assert set(refused.value.fields) == {"summary", "description", "activation"}
    made = await catalog.edit(
        db, seller, made.id, version=1, summary="Sail.", description="A key.", activation="Enter it."
    )
    made = await catalog.publish(db, seller, made.id)
    assert made.state == "PUBLISHED" and made.published_at
    first = made.published_at
    assert (await catalog.publish(db, seller, made.id)).version == made.version
    made = await catalog.pause(db, seller, made.id)
    made = await catalog.publish(db, seller, made.id)
    assert made.published_at == first, "coming back from a pause does not make it new"
    with pytest.raises(Conflict):
        await catalog.archive(db, seller, made.id)
    await catalog.pause(db, seller, made.id)
    made = await catalog.archive(db, seller, made.id)
    assert made.state == "ARCHIVED"
    for verb in (catalog.publish, catalog.pause):
        with pytest.raises(Conflict):
            await verb(db, seller, made.id)
    assert await kinds(db, made) == [
        f"listing.{k}"
        for k in ("created", "changed", "published", "paused", "published", "paused", "archived")
    ]


async def test_same_title_is_one_product_and_other_shelf_is_another(db: Database) -> None:
    one, two = await make_seller(db), await make_seller(db)
    a = await catalog.create_listing(db, one, **GOOD)
    b = await catalog.create_listing(db, two, **GOOD | {"region": "US", "title": "  Salt   &  Lanterns "})
    c = await catalog.create_listing(db, two, **GOOD | {"category": "gift-cards"})
    d = await catalog.create_listing(db, two, **GOOD | {"category": "gift-cards"})
    assert a.product_id == b.product_id != c.product_id == d.product_id
    assert len({x.slug for x in (a, b, c, d)}) == 4


async def test_products_made_at_the_same_moment_are_one(db: Database) -> None:
    sellers = [await make_seller(db) for _ in range(4)]
    made = await asyncio.gather(*(catalog.create_listing(db, s, **GOOD) for s in sellers))
    assert len({m.product_id for m in made}) == 1


def test_slugs_tell_apart_what_ascii_cannot_write() -> None:
    assert slugify("Café Noir!") == "cafe-noir"
    assert slugify("東京") != slugify("大阪")
    assert slugify("🎮").startswith("item-")
    assert len(slugify("x" * 500)) <= 60


HOSTILE: dict[str, list[object]] = {
    "price": [-1, 0, 2**31, 2**63, True, None, "1999", 1.5, float("nan"), [], "１２"],
    "max_per_order": [0, 101, -5, 2**63, "3", False],
    "title": ["", " x ", "y" * 141, "a\x00b", "a\nb\x07", BIDI, "\ud800ab", None, 7],
    "summary": ["s" * 301, "a\x1bb", None],
    "description": ["d" * 20_001, "a\x00b", "\udfff"],
    "activation": ["d" * 5001, "\x08"],
    "platform": ["", "x", "p" * 41, "a\u200bb"],
    "region": ["", "MOON", "XX", "ZZ", "E U", None, 5],
    "category": ["", "nope", "games'--", None, 1],
    "edition": ["", "e" * 61],
    "key_format": ["AAA", "(a+)+", "A" * 121, "----", "AAAA\nA", "AAAA*", None],
}


async def test_hostile_values_are_refused_with_words_for_their_field(db: Database) -> None:
    seller = await make_seller(db)
    for field, values in HOSTILE.items():
        for value in values:
            with pytest.raises(Invalid) as refused:
                await catalog.create_listing(db, seller, **GOOD | {field: value})
            assert list(refused.value.fields) == [field], value
            assert refused.value.fields[field].endswith(".")
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM catalog.listing") == 0


async def test_all_faults_are_named_at_once(db: Database) -> None:
    seller = await make_seller(db)
    with pytest.raises(Invalid) as refused:
        await catalog.create_listing(db, seller, **GOOD | {"title": "", "price": 0, "region": "?"})
    assert set(refused.value.fields) == {"title", "price", "region"}


async def test_odd_but_honest_texts_are_kept(db: Database) -> None:
    seller = await make_seller(db)
    title = "=HYPERLINK('x') <script> 日本語 🎮 Ωmega"
    made = await catalog.create_listing(db, seller, **GOOD | {"title": title, "description": "a\r\nb\tc"})
    assert made.title == title and made.description == "a\nb\tc"


async def test_an_edit_on_an_old_version_is_told_the_new_state(db: Database) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    new = await catalog.edit(db, seller, listing.id, version=listing.version, title="Renamed")
    with pytest.raises(Conflict) as refused:
        await catalog.edit(db, seller, listing.id, version=listing.version, title="Lost")
    assert refused.value.extra["current"].title == "Renamed"
    same = await catalog.edit(db, seller, listing.id, version=new.version, title="Renamed")
    assert same.version == new.version, "nothing changed, nothing counted"


async def test_two_edits_at_once_one_wins(db: Database) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    results = await asyncio.gather(
        *(catalog.edit(db, seller, listing.id, version=listing.version, title=f"Try {i}") for i in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(r, OwnListing) for r in results) == 1
    assert sum(isinstance(r, Conflict) for r in results) == 7


async def test_what_it_is_is_fixed_once_it_was_on_sale(db: Database) -> None:
    seller = await make_seller(db)
    draft = await make_listing(db, seller, state="DRAFT")
    moved = await catalog.edit(db, seller, draft.id, version=draft.version, region="US", platform="gog")
    assert (moved.region, moved.platform) == ("US", "GOG")
    live = await make_listing(db, seller, state="PAUSED")
    with pytest.raises(Invalid) as refused:
        await catalog.edit(db, seller, live.id, version=live.version, region="US", title="New")
    assert list(refused.value.fields) == ["region"]
    with pytest.raises(Invalid):
        await catalog.edit(db, seller, live.id, version=live.version, activation="")
    with pytest.raises(Invalid):
        await catalog.edit(db, seller, live.id, version=live.version, price=1)
    with pytest.raises(Invalid):
        await catalog.edit(db, seller, live.id, version=live.version, state="ARCHIVED")


async def test_each_price_has_its_version(db: Database) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, price=1000)
    again = await catalog.change_price(db, seller, listing.id, price=1000)
    assert again.price_version == 1
    new = await catalog.change_price(db, seller, listing.id, price=900, price_version=1)
    assert (new.price, new.price_version, new.version) == (900, 2, listing.version)
    with pytest.raises(Conflict):
        await catalog.change_price(db, seller, listing.id, price=800, price_version=1)
    with pytest.raises(Invalid):
        await catalog.change_price(db, seller, listing.id, price=0)
    event = await db.fetchrow(SYSTEM, "SELECT data FROM audit.event WHERE kind = 'listing.price_changed'")
    assert event and event["data"] == {"from": 1000, "to": 900, "currency": "EUR"}


async def test_a_duplicate_is_a_draft_of_its_own(db: Database) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, region="EU", key_format="AAAA-9999")
    copy = await catalog.duplicate(db, seller, listing.id)
    assert copy.state == "DRAFT" and copy.id != listing.id and copy.slug != listing.slug
    assert (copy.title, copy.key_format, copy.product_id) == (
        listing.title,
        "AAAA-9999",
        listing.product_id,
    )
    assert copy.published_at is None and copy.sold == 0


async def test_other_stores_listings_do_not_exist(db: Database, cursors: Cursors) -> None:
    mine, foreign = await make_seller(db), await make_seller(db)
    listing = await make_listing(db, mine)
    calls = [
        lambda v, i: catalog.own_listing(db, v, i),
        lambda v, i: catalog.edit(db, v, i, version=1, title="Taken"),
        lambda v, i: catalog.change_price(db, v, i, price=1),
        lambda v, i: catalog.publish(db, v, i),
        lambda v, i: catalog.pause(db, v, i),
        lambda v, i: catalog.archive(db, v, i),
        lambda v, i: catalog.duplicate(db, v, i),
    ]
    for call in calls:
        for viewer, listing_id in ((foreign, listing.id), (mine, uuid7())):
            with pytest.raises(NotFound) as refused:
                await call(viewer, listing_id)
            assert refused.value.body() == NotFound().body()
    for outsider in (GUEST, await make_user(db)):
        with pytest.raises(NotFound):
            await catalog.own_listings(db, outsider, cursors)
    assert (await catalog.own_listings(db, foreign, cursors)).items == []


async def test_the_second_wall_holds_without_the_where_clause(db: Database) -> None:
    mine, foreign = await make_seller(db), await make_seller(db)
    draft = await make_listing(db, mine, state="DRAFT")
    sql = "UPDATE catalog.listing SET price = 1 WHERE id = $1"
    assert await db.execute(foreign.as_seller, sql, draft.id) == "UPDATE 0"
    assert (
        await db.fetchrow(foreign.as_seller, "SELECT 1 FROM catalog.listing WHERE id = $1", draft.id) is None
    )
    assert await db.fetchrow(GUEST.as_user, "SELECT 1 FROM catalog.listing WHERE id = $1", draft.id) is None


async def walk(db: Database, viewer: Viewer, cursors: Cursors, **query: Any) -> list[str]:
    seen: list[str] = []
    cursor = None
    while True:
        page = await catalog.own_listings(db, viewer, cursors, limit=3, cursor=cursor, **query)
        seen += [i.title for i in page.items]
        if page.next is None:
            return seen
        cursor = page.next


async def test_the_own_list_is_searched_counted_and_paged(db: Database, cursors: Cursors) -> None:
    seller = await make_seller(db)
    for i in range(8):
        await make_listing(db, seller, title=f"Sailing {i}", state="PUBLISHED" if i % 2 else "DRAFT")
    await make_listing(db, seller, title="Other", state="ARCHIVED")
    assert await walk(db, seller, cursors, q="sail") == [f"Sailing {i}" for i in range(7, -1, -1)]
    assert len(await walk(db, seller, cursors, states=["DRAFT"])) == 4
    page = await catalog.own_listings(db, seller, cursors, q="sail", states=["DRAFT"])
    assert page.states == {"DRAFT": 4, "PUBLISHED": 4}
    with pytest.raises(BadCursor):
        await catalog.own_listings(db, seller, cursors, cursor="AAAA")
    with pytest.raises(Invalid):
        await catalog.own_listings(db, seller, cursors, limit=0)


async def test_a_closed_store_puts_nothing_on_sale(db: Database) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, state="PAUSED")
    await db.execute(SYSTEM, "UPDATE sellers.seller SET state = 'SUSPENDED' WHERE id = $1", seller.seller())
    with pytest.raises(Conflict):
        await catalog.publish(db, seller, listing.id)


async def test_activation_is_decided_alike_in_python_and_in_sql(db: Database) -> None:
    places = ["GLOBAL", "EU", "US", "DE", "GB", "CH", "FR"]
    for region in places:
        codes = [c for c in regions() if c not in ("GLOBAL", "EU")]
        rows = await db.fetch(
            SYSTEM, "SELECT c, catalog.can_activate($1, c) AS yes FROM unnest($2::text[]) AS c", region, codes
        )
        assert all(r["yes"] == catalog.can_activate(region, r["c"]) for r in rows)
        unknown = await db.fetchval(SYSTEM, "SELECT catalog.can_activate($1, NULL)", region)
        assert unknown == catalog.can_activate(region, None) == (region == "GLOBAL")
    assert catalog.can_activate("EU", "DE") and not catalog.can_activate("EU", "GB")
    assert catalog.region_name("GLOBAL") == "Global" and catalog.region_name("DE") == "Germany"
