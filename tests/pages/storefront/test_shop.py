"""The shop's window: what guests and buyers see of listings, and what they must never see."""

import re

import httpx
import pytest

from fondaco import catalog, sellers
from fondaco.core.db import Database
from fondaco.core.web import Parts
from fondaco.pages.richtext import rich_text
from fondaco.vault import Vault
from tests.pages.account.browser import text_of
from tests.pages.account.conftest import Doors
from tests.support.goods import add_keys, make_listing
from tests.support.people import make_seller, make_user

XSS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'; alert(1) //", "{{ 7*7 }}")


def titles(html: str) -> list[str]:
    return re.findall(r'item__title"><a href="[^"]+">([^<]+)</a>', html)


async def stocked(db: Database, parts: Parts, seller: object = None, keys: int = 20, **values: object):  # type: ignore[no-untyped-def]
    seller = seller or await make_seller(db)
    listing = await make_listing(db, seller, **values)  # type: ignore[arg-type]
    if keys:
        await add_keys(db, parts.get(Vault), seller, listing, keys)  # type: ignore[arg-type]
    return seller, listing


async def test_an_empty_shop_says_so(client: httpx.AsyncClient) -> None:
    front = await client.get("/")
    assert front.status_code == 200
    assert "The shop opens soon" in front.text
    assert "Nothing matches" in (await client.get("/browse")).text


async def test_the_front_page_shows_what_can_be_bought(
    client: httpx.AsyncClient, db: Database, parts: Parts
) -> None:
    await stocked(db, parts, title="Harbour Lights")
    await stocked(db, parts, title="Gone Already", keys=0)
    front = await client.get("/")
    assert set(titles(front.text)) == {"Harbour Lights"}
    assert 'href="/c/games"' in front.text
    assert "escrow" in front.text


async def test_lists_narrow_sort_and_turn_pages(
    client: httpx.AsyncClient, db: Database, parts: Parts
) -> None:
    seller = await make_seller(db, "Rialto")
    await stocked(db, parts, seller, title="Cheap", price=450, platform="Steam")
    await stocked(db, parts, seller, title="Middle", price=1500, platform="GOG", region="EU")
    await stocked(db, parts, seller, title="Dear", price=6000, platform="GOG", keys=0)
    for n in range(24):
        await make_listing(db, seller, title=f"Filler {n:02}", price=10_000 + n, category="software")

    games = await client.get("/c/games?sort=price")
    assert titles(games.text) == ["Cheap", "Middle", "Dear"]
    assert titles((await client.get("/c/games?sort=-price")).text) == ["Dear", "Middle", "Cheap"]
    assert titles((await client.get("/browse?platform=GOG&in_stock=true")).text) == ["Middle"]
    assert titles((await client.get("/browse?region=EU")).text) == ["Middle"]
    assert titles((await client.get("/browse?price=0-499")).text) == ["Cheap"]
    assert titles((await client.get("/browse?q=middle")).text) == ["Middle"]
    assert titles((await client.get("/s/rialto?q=dear")).text) == ["Dear"]
    assert "Under €5.00" in games.text
    assert "€50.00 and more" in games.text
    assert "Sold out" in games.text

    first = await client.get("/browse?sort=price")
    following = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert following
    second = await client.get(following[1].replace("&amp;", "&"))
    assert len(titles(first.text)) == 24
    assert len(titles(second.text)) == 3
    assert not set(titles(first.text)) & set(titles(second.text))
    back = re.search(r'rel="prev" href="([^"]+)"', second.text)
    assert back
    assert titles((await client.get(back[1].replace("&amp;", "&"))).text) == titles(first.text)


@pytest.mark.parametrize(
    "path", ["/browse?sort=nonsense&view=holo&size=7&platform=&x=y", "/browse?price=a-b&in_stock=maybe"]
)
async def test_mistyped_links_open_the_list(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200


async def test_a_broken_page_link_begins_at_the_start(client: httpx.AsyncClient) -> None:
    got = await client.get("/browse?q=sea&after=made-up")
    assert got.status_code == 303
    assert got.headers["location"] == "/browse?q=sea"


async def test_the_table_says_the_same_as_the_cards(
    client: httpx.AsyncClient, db: Database, parts: Parts
) -> None:
    _, listing = await stocked(db, parts, title="Harbour Lights")
    table = await client.get("/browse?view=table")
    assert f'href="/l/{listing.slug}">Harbour Lights</a>' in table.text
    assert f'name="listing_id" value="{listing.id}"' in table.text


async def test_a_listing_says_all_a_buyer_needs(
    client: httpx.AsyncClient, db: Database, parts: Parts
) -> None:
    seller, listing = await stocked(db, parts, title="Harbour Lights", price=1999, keys=3)
    _, other = await stocked(db, parts, title="Harbour Lights", price=1499)
    page = await client.get(f"/l/{listing.slug}")
    words = text_of(page.text)
    assert page.status_code == 200
    for said in (
        "€19.99",
        "Only 3 left",
        "Works everywhere",
        "Open the client and enter the key.",
        "Buy now",
    ):
        assert said in words, said
    assert "€5.00 less" in words
    assert f'href="/l/{other.slug}"' in page.text
    assert f'href="/s/{(await sellers.my_store(db, seller)).slug}"' in page.text
    moved = await client.get(f"/l/{listing.id}")
    assert moved.status_code == 301
    assert moved.headers["location"] == f"/l/{listing.slug}"


async def test_the_region_is_told_for_the_buyers_country(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors
) -> None:
    _, listing = await stocked(db, parts, region="EU")
    path = f"/l/{listing.slug}"
    assert "Works in region European Union only." in text_of((await client.get(path)).text)
    await doors.enter(await make_user(db, country="IT"))
    assert "Works in Italy" in text_of((await client.get(path)).text)
    await doors.enter(await make_user(db, country="US"))
    abroad = await client.get(path)
    assert "Does not work in United States" in text_of(abroad.text)
    assert "Buy now" not in abroad.text


async def test_what_is_not_on_sale_is_nobodys_business(
    client: httpx.AsyncClient, db: Database, doors: Doors
) -> None:
    seller = await make_seller(db)
    draft = await make_listing(db, seller, title="Secret plans", state="DRAFT")
    path = f"/l/{draft.slug}"
    hidden = await client.get(path)
    missing = await client.get("/l/no-such-thing")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace(path, "") == missing.text.replace("/l/no-such-thing", "")
    await doors.enter(seller)
    own = await client.get(path)
    assert "Only your store sees this page" in own.text
    assert "Buy now" not in own.text
    for path in ("/c/no-such-shelf", "/s/no-such-store"):
        assert (await client.get(path)).status_code == 404


async def test_one_cannot_buy_from_oneself(
    client: httpx.AsyncClient, db: Database, parts: Parts, doors: Doors
) -> None:
    seller, listing = await stocked(db, parts)
    await doors.enter(seller)
    page = await client.get(f"/l/{listing.slug}")
    assert "your own store" in page.text
    assert "Buy now" not in page.text


@pytest.mark.parametrize("evil", XSS)
async def test_what_sellers_write_stays_text(
    client: httpx.AsyncClient, db: Database, parts: Parts, evil: str
) -> None:
    seller = await make_seller(db)
    store = await sellers.my_store(db, seller)
    await sellers.edit_store(
        db,
        seller,
        version=store.version,
        name=f"Shop {evil}"[:60],
        support_email="shop@example.com",
        country="DE",
        about=f"About {evil} [x](javascript:alert(1))",
    )
    _, listing = await stocked(
        db,
        parts,
        seller,
        title=f"T {evil}",
        summary=f"S {evil}",
        description=f"D {evil}",
        edition=f"E {evil}",
    )
    for path in ("/", f"/browse?q={evil}", "/browse?view=table", f"/l/{listing.slug}", f"/s/{store.slug}"):
        page = await client.get(path)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.text, path
        assert "<img src=x" not in page.text, path
        assert "javascript:alert" not in page.text.replace("(javascript:alert(1))", ""), path
        assert 'href="javascript' not in page.text, path
    assert (await catalog.listing_page(db, listing.slug)).card.title == f"T {evil}"


async def test_the_first_page_is_light(client: httpx.AsyncClient, db: Database, parts: Parts) -> None:
    seller = await make_seller(db)
    for n in range(12):
        await stocked(db, parts, seller, title=f"Game number {n}")
    front = await client.get("/")
    assert len(titles(front.text)) == 20
    assert len(front.content) < 150_000
    assert " style=" not in front.text
    assert "<style" not in front.text


@pytest.mark.parametrize(
    ("written", "levels"),
    [("## A\n\n## B", "33"), ("# A\n\n### B\n\n# C", "343"), ("### A\n\n# B\n\n## C", "334"), ("x", "")],
)
def test_sellers_headings_skip_no_level(written: str, levels: str) -> None:
    assert "".join(re.findall(r"<h(\d)>", rich_text(written))) == levels
