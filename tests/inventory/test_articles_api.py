"""The API of articles."""

import httpx

from fondaco.core.db import Database
from fondaco.vault import Vault
from tests.support.goods import make_article
from tests.support.people import bearer, make_api_key, make_seller

NEW = {
    "kind": "article",
    "title": "Bread at Home",
    "category": "learning",
    "platform": "Web",
    "region": "GLOBAL",
    "price": 900,
    "summary": "Bread without a machine.",
    "description": "Eight chapters.",
}


async def test_an_article_is_made_written_and_put_up(client: httpx.AsyncClient, db: Database) -> None:
    auth = await make_api_key(db, await make_seller(db), "catalog.write", "stock.read", "stock.write")
    made = await client.post("/api/v1/seller/listings", json=NEW, headers=auth)
    assert made.status_code == 201, made.text
    assert made.json()["kind"] == "article"
    here = f"/api/v1/seller/listings/{made.json()['id']}"
    wrote = await client.put(f"{here}/content", json={"content": "# Dough", "version": 0}, headers=auth)
    assert (wrote.status_code, wrote.json()["content_version"]) == (200, 1)
    late = await client.put(f"{here}/content", json={"content": "# Other", "version": 0}, headers=auth)
    assert late.status_code == 409
    assert late.json()["current"]["content_version"] == 1
    read = await client.get(f"{here}/content", headers=auth)
    assert (read.json(), read.headers["cache-control"]) == ({"content": "# Dough"}, "no-store")
    put = await client.put(f"{here}/copies", json={"copies": 40, "version": 1}, headers=auth)
    assert (put.status_code, put.json()["copies"]) == (200, 40)
    assert (await client.get(f"{here}/article", headers=auth)).json() == put.json()
    sold = await client.post(f"{here}/publish", headers=auth)
    assert sold.status_code == 200
    card = (await client.get(f"/api/v1/listings/{made.json()['slug']}")).json()["card"]
    assert (card["kind"], card["stock"]["word"]) == ("article", "in_stock")


async def test_bad_input_is_told_by_field(client: httpx.AsyncClient, db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_article(db, vault, seller)
    auth = await bearer(db, seller)
    here = f"/api/v1/seller/listings/{listing.id}"
    for path, body in (
        ("copies", {"copies": -1, "version": 2}),
        ("copies", {"copies": 1.5, "version": 2}),
        ("content", {"content": "", "version": 1}),
        ("content", {"content": "# x", "version": 1, "more": True}),
    ):
        answer = await client.put(f"{here}/{path}", json=body, headers=auth)
        assert answer.status_code == 422, (path, body, answer.text)
    wrong = await client.post(
        "/api/v1/seller/listings", json={**NEW, "key_format": "AAAA-9999"}, headers=auth
    )
    assert wrong.status_code == 422 and "key_format" in wrong.json()["fields"]
    keys = await client.post(f"{here}/stock", json={"keys": ["AAAA-1"]}, headers=auth)
    assert keys.status_code == 409
