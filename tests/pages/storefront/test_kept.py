"""Pages of the shop are kept by each web process: never older than the last change, with nothing of a viewer
in them."""

import re
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from fondaco import catalog, inventory, sellers
from fondaco.app import build_parts
from fondaco.catalog import Kept, OwnListing
from fondaco.core.db import Database
from fondaco.core.viewer import Viewer
from fondaco.core.web import Parts
from fondaco.embedded import Endpoints
from fondaco.orders.combiner import Combiner
from fondaco.pages.kept import Pieces
from fondaco.settings import Settings
from fondaco.vault import Vault
from tests.orders.test_statements import Counting, counting
from tests.pages.account.browser import text_of
from tests.support.app import calling
from tests.support.goods import add_keys, make_article, make_listing
from tests.support.money import give_money
from tests.support.people import make_seller, make_user, sign_in

API = "/api/v1/listings"


def pages(listing: OwnListing, store: str) -> list[str]:
    """Everywhere a listing is shown."""
    return [
        *("/", "/browse", "/browse?view=table", "/browse?sort=price", f"/c/{listing.category}"),
        *(f"/browse?q={listing.title.split()[0].lower()}", f"/s/{store}", f"/l/{listing.slug}"),
        *(API, f"{API}?sort=price_up", f"{API}/{listing.slug}", f"{API}/{listing.id}"),
    ]


@pytest.fixture
async def other(settings: Settings, endpoints: Endpoints) -> AsyncIterator[httpx.AsyncClient]:
    """A second web process of the same marketplace: its own memory and connections."""
    parts = build_parts(settings)
    db = await Database(endpoints.app_dsn, size=3).open()
    parts.add(db)
    parts.add(Combiner(db))
    async with calling(settings, parts) as found:
        yield found
    await db.close()


async def seen(client: httpx.AsyncClient, paths: list[str]) -> dict[str, str]:
    """What a guest is told at each address, "" where there is nothing."""
    answers = {path: await client.get(path) for path in paths}
    return {path: a.text if a.status_code == 200 else "" for path, a in answers.items()}


async def test_a_change_shows_at_once_in_every_process(
    client: httpx.AsyncClient, other: httpx.AsyncClient, db: Database, parts: Parts
) -> None:
    seller = await make_seller(db, "Rialto")
    listing = await make_listing(db, seller, title="Harbour Lights", price=1999)
    await add_keys(db, parts.get(Vault), seller, listing, 5)
    paths = pages(listing, "rialto")

    async def everywhere(old: str, new: str, among: list[str] | None = None) -> None:
        for asked in (other, client, other):
            for path, told in (await seen(asked, among or paths)).items():
                assert new in told, (path, new)
                assert old not in told, (path, old)

    def either(told: str) -> bool:
        return "€19.99" in told or '"price":1999' in told

    for asked in (client, other, other):
        assert all(map(either, (await seen(asked, paths)).values()))
    html = [path for path in paths if not path.startswith(API)]
    json = [path for path in paths if path.startswith(API)]

    await catalog.change_price(db, seller, listing.id, price=2499)
    await everywhere("€19.99", "€24.99", html)
    await everywhere('"price":1999', '"price":2499', json)

    changed = await catalog.own_listing(db, seller, listing.id)
    await catalog.edit(db, seller, listing.id, version=changed.version, title="Harbour Nights")
    await everywhere("Harbour Lights", "Harbour Nights")

    own = await sellers.my_store(db, seller)
    await sellers.edit_store(
        db,
        seller,
        version=own.version,
        name="Ponte",
        support_email="ponte@example.com",
        country="IT",
        about="",
    )
    await everywhere("Rialto", "Ponte", [p for p in paths if p != "/browse?view=table" or p])

    await catalog.pause(db, seller, listing.id)
    for asked in (other, client):
        for path, told in (await seen(asked, paths)).items():
            assert "Harbour Nights" not in told, path
    await catalog.publish(db, seller, listing.id)
    await everywhere("Nothing here", "Harbour Nights")


async def test_stock_shows_at_once_in_every_process(
    client: httpx.AsyncClient, other: httpx.AsyncClient, db: Database, parts: Parts
) -> None:
    seller = await make_seller(db, "Rialto")
    listing = await make_listing(db, seller, title="Harbour Lights", price=500)
    path = f"/l/{listing.slug}"

    async def told(words: str) -> None:
        for asked in (other, client):
            assert words in text_of((await asked.get(path)).text)
            assert words in text_of((await asked.get("/browse")).text)

    await told("Sold out")
    await add_keys(db, parts.get(Vault), seller, listing, 2)
    await told("Only 2 left")
    buyer = await make_user(db)
    await give_money(db, buyer.user(), 10_000)
    token = await sign_in(db, buyer)
    for left in ("Only 1 left", "Sold out"):
        body = {"lines": [{"listing_id": str(listing.id), "quantity": 1, "price": 500}], "pay_with": "wallet"}
        answer = await client.post(
            "/api/v1/orders",
            json=body,
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": left.replace(" ", "-")},
        )
        assert answer.status_code == 201, answer.text
        await told(left)

    article = await make_article(db, parts.get(Vault), seller, copies=3)
    for copies, words in ((4, "Only 4 left"), (5, "Only 5 left"), (50, "In stock")):
        version = await db.fetchval(
            seller.as_seller, "SELECT version FROM inventory.counted WHERE listing_id = $1", article.id
        )
        await inventory.set_copies(db, seller, article.id, copies=copies, version=version)
        for asked in (other, client):
            assert words in text_of((await asked.get(f"/l/{article.slug}")).text)


def kept_words(parts: Parts) -> str:
    """Everything a process keeps of pages, as text."""
    found = list[str]()
    for entry in parts.get(Kept)._entries.values():  # pyright: ignore[reportPrivateUsage]
        value = entry.made.value
        if isinstance(value, Pieces):
            body = (zlib.decompress(value.body), *value.cards)
            html = (value.title, value.head, value.search, value.crumbs, *body)
            found += [*(piece.decode() for piece in html), repr(value.shelves)]
        else:
            found.append(repr(value))
    return "\n".join(found)


async def test_nothing_of_one_viewer_is_shown_to_another(
    settings: Settings, parts: Parts, db: Database
) -> None:
    seller = await make_seller(db, "Rialto")
    listing = await make_listing(db, seller, title="Harbour Lights")
    await add_keys(db, parts.get(Vault), seller, listing, 3)
    ann = await make_user(db, "ann@example.com", name="Annunziata", country="IT")
    await give_money(db, ann.user(), 4321)
    paths = [path for path in pages(listing, "rialto") if not path.startswith(API)]
    tokens = set[str]()
    async with calling(settings, parts) as hers, calling(settings, parts) as guest:
        hers.cookies.set("session", await sign_in(db, ann), domain="127.0.0.1", path="/")
        await hers.get("/cart")
        token = hers.cookies["csrf"]
        await hers.post("/cart/add", data={"listing_id": str(listing.id), "_csrf_token": token})
        for path in paths:
            made = parts.get(Kept).made
            first, second = await hers.get(path), await guest.get(path)
            assert "Annunziata" in first.text and "€43.21" in first.text and "1 item" in first.text
            assert first.headers["cache-control"] == "no-store" and "etag" not in first.headers
            for private in ("Annunziata", "ann@example.com", "€43.21", "1 item", hers.cookies["csrf"]):
                assert private not in second.text, (path, private)
            assert "Sign in" in second.text
            for answer in (first, second):
                (one,) = set(re.findall(r'name="_csrf_token" value="([^"]*)"', answer.text))
                tokens.add(one)
            if not path.startswith("/l/"):  # a listing says whether it works in the viewer's country
                assert parts.get(Kept).made - made <= 2, path  # the page and its counts, once for both
        assert tokens == {hers.cookies["csrf"], guest.cookies["csrf"]}
        words = kept_words(parts)
        assert "Harbour Lights" in words
        for private in ("Annunziata", "ann@example.com", "43.21", *tokens):
            assert private not in words


async def test_a_listing_speaks_of_the_viewers_own_country(
    settings: Settings, parts: Parts, db: Database
) -> None:
    listing = await make_listing(db, await make_seller(db), region="US")
    for country, words in (("US", "Works in United States"), ("DE", "Does not work in Germany")):
        viewer = await make_user(db, country=country)
        async with calling(settings, parts) as client:
            client.cookies.set("session", await sign_in(db, viewer), domain="127.0.0.1", path="/")
            for _ in range(2):
                assert words in text_of((await client.get(f"/l/{listing.slug}")).text)


async def test_a_store_sees_its_own_and_nobody_else_does(
    settings: Settings, parts: Parts, db: Database
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, state="PAUSED", title="Not Yet")
    rival = await make_seller(db)

    async def get(viewer: Viewer | None, path: str) -> httpx.Response:
        async with calling(settings, parts) as client:
            if viewer:
                token = await sign_in(db, viewer)
                client.cookies.set("session", token, domain="127.0.0.1", path="/")
                client.headers["Authorization"] = f"Bearer {token}"
            return await client.get(path)

    for path in (f"/l/{listing.slug}", f"{API}/{listing.slug}"):
        for viewer in (seller, None, rival, seller, None):
            assert (await get(viewer, path)).status_code == (200 if viewer is seller else 404)
    own = await get(seller, f"/l/{listing.slug}")
    assert "Only your store sees this page" in own.text
    edited = await catalog.edit(db, seller, listing.id, version=listing.version, title="Almost Ready")
    assert "Almost Ready" in (await get(seller, f"/l/{edited.slug}")).text
    assert "Almost Ready" in (await get(seller, f"{API}/{edited.slug}")).text


async def test_who_has_the_page_already_hears_only_that(
    client: httpx.AsyncClient, db: Database, parts: Parts
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, price=500)
    await add_keys(db, parts.get(Vault), seller, listing, 1)
    await client.get("/")  # from now on this browser has its CSRF cookie
    for path in ("/", "/browse", f"/l/{listing.slug}", API, f"{API}/{listing.slug}"):
        first = await client.get(path)
        again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), path
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["cache-control"] == "private, no-cache"
        await catalog.change_price(db, seller, listing.id, price=listing.price + len(path))
        changed = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert changed.status_code == 200 and changed.headers["etag"] != first.headers["etag"], path


async def test_an_etag_is_of_one_browser_alone(settings: Settings, parts: Parts, db: Database) -> None:
    await make_listing(db, await make_seller(db))
    async with calling(settings, parts) as one, calling(settings, parts) as two:
        for client in (one, two):
            await client.get("/browse")
        tag = (await one.get("/browse")).headers["etag"]
        assert (await two.get("/browse", headers={"If-None-Match": tag})).status_code == 200


@pytest.mark.parametrize(
    ("path", "most"),
    # Statements with BEGIN and COMMIT when it is made anew; a page that is kept costs one.
    [
        ("/", 16),
        ("/browse", 12),
        ("/browse?q=game&platform=Steam&region=GLOBAL&in_stock=true&sort=-price", 12),
        ("/c/games", 12),
        ("/s/rialto", 15),
        ("/l/", 8),
        (API, 10),
        (f"{API}/", 2),
    ],
)
async def test_statements_of_a_page_have_a_budget(
    settings: Settings, endpoints: Endpoints, db: Database, path: str, most: int
) -> None:
    seller = await make_seller(db, "Rialto")
    listings = [await make_listing(db, seller) for _ in range(30)]
    address = path + listings[3].slug if path.endswith("l/") or path == f"{API}/" else path
    async with counting(endpoints) as counted:
        parts = build_parts(settings)
        parts._parts[Database] = counted  # pyright: ignore[reportPrivateUsage]
        async with calling(settings, parts) as client:
            await client.get(address)
            await catalog.change_price(db, seller, listings[0].id, price=7)
            assert await sent(counted, client, address) <= most
            assert await sent(counted, client, address) == 1


async def sent(counted: Counting, client: httpx.AsyncClient, path: str) -> int:
    """How many statements this page takes."""
    counted.sent.clear()
    assert (await client.get(path)).status_code == 200
    return len(counted.sent)
