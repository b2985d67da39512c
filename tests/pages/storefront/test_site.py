"""Style, icon, robots and sitemap."""

import gzip

import httpx

from fondaco.core.db import Database
from fondaco.pages.static import NAMES, asset_url
from tests.support.goods import make_listing
from tests.support.people import make_seller


async def test_every_static_file_is_served_for_a_year(client: httpx.AsyncClient) -> None:
    for name in NAMES:
        got = await client.get(asset_url(name))
        assert got.status_code == 200, name
        assert "immutable" in got.headers["cache-control"]
        assert got.headers["x-content-type-options"] == "nosniff"
    old = await client.get("/static/0000000000000000/app.css")
    assert old.status_code == 200
    assert "immutable" not in old.headers["cache-control"]
    assert (await client.get("/static/x/nothing.css")).status_code == 404
    assert (await client.get("/static/../pyproject.toml")).status_code == 404


async def test_static_files_travel_packed(client: httpx.AsyncClient) -> None:
    request = client.build_request("GET", asset_url("app.css"), headers={"Accept-Encoding": "gzip"})
    got = await client.send(request, stream=True)
    raw = b"".join([part async for part in got.aiter_raw()])
    assert got.headers["content-encoding"] == "gzip"
    assert b"@layer" in gzip.decompress(raw)


async def test_the_icon_is_found_where_browsers_ask(client: httpx.AsyncClient) -> None:
    for path in ("/favicon.ico", "/favicon.svg"):
        got = await client.get(path, follow_redirects=True)
        assert got.headers["content-type"] == "image/svg+xml"


async def test_search_engines_see_the_shop_and_nothing_else(client: httpx.AsyncClient, db: Database) -> None:
    robots = (await client.get("/robots.txt")).text
    for private in ("/orders", "/library", "/console", "/seller", "/cart"):
        assert f"Disallow: {private}\n" in robots
    seller = await make_seller(db)
    shown = await make_listing(db, seller)
    draft = await make_listing(db, seller, state="DRAFT")
    got = await client.get("/sitemap.xml")
    assert got.headers["content-type"].startswith("application/xml")
    assert f"/l/{shown.slug}</loc>" in got.text
    assert draft.slug not in got.text
    assert "/c/games</loc>" in got.text
