"""The API of the shop and of sellers' listings."""

import uuid
from typing import Any

import httpx
import pytest

from fondaco.catalog.counting import FACETS
from fondaco.core.db import SYSTEM, Database
from tests.support.goods import make_listing
from tests.support.people import bearer, make_api_key, make_member, make_seller, make_user

NEW: dict[str, Any] = {
    "title": "Salt & Lanterns",
    "category": "games",
    "platform": "Steam",
    "region": "GLOBAL",
    "price": 1999,
}
TEXTS = {"summary": "Sail.", "description": "One key.", "activation": "Enter it."}
OWN = "/api/v1/seller/listings"


async def test_from_draft_to_the_shop_over_the_api(client: httpx.AsyncClient, db: Database) -> None:
    auth = await bearer(db, await make_seller(db, "Rialto Keys"))
    made = await client.post(OWN, json=NEW, headers=auth)
    assert made.status_code == 201, made.text
    listing = made.json()
    url = f"{OWN}/{listing['id']}"
    early = await client.post(f"{url}/publish", headers=auth)
    assert early.status_code == 422 and set(early.json()["fields"]) == set(TEXTS)
    changed = await client.patch(url, json={"version": listing["version"], **TEXTS}, headers=auth)
    assert changed.status_code == 200, changed.text
    stale = await client.patch(url, json={"version": listing["version"], "title": "X2"}, headers=auth)
    assert stale.status_code == 409 and stale.json()["current"]["summary"] == "Sail."
    assert (await client.post(f"{url}/publish", headers=auth)).status_code == 200
    priced = await client.put(f"{url}/price", json={"price": 1500, "price_version": 1}, headers=auth)
    assert (priced.json()["price"], priced.json()["price_version"]) == (1500, 2)

    shop = (
        await client.get("/api/v1/listings", params={"q": "lantern", "platform": ["Steam", "GOG"]})
    ).json()
    assert [i["price"] for i in shop["items"]] == [1500] and shop["total"] == 1
    assert {f["name"] for f in shop["facets"]} == set(FACETS)
    for key in (listing["id"], listing["slug"]):
        page = (await client.get(f"/api/v1/listings/{key}")).json()
        assert page["card"]["seller"]["name"] == "Rialto Keys"
        assert page["card"]["stock"] == {"word": "sold_out", "left": None}
    shelves = (await client.get("/api/v1/categories")).json()["items"]
    assert "games" in [c["slug"] for c in shelves]

    paused = await client.post(f"{url}/pause", headers=auth)
    assert paused.json()["state"] == "PAUSED"
    assert (await client.get(f"/api/v1/listings/{listing['slug']}")).status_code == 404
    copy = await client.post(f"{url}/duplicate", headers=auth)
    assert copy.status_code == 201 and copy.json()["state"] == "DRAFT"
    archived = await client.post(f"{url}/archive", headers=auth)
    assert archived.json()["state"] == "ARCHIVED"
    mine = (await client.get(OWN, params={"state": "DRAFT"}, headers=auth)).json()
    assert [i["id"] for i in mine["items"]] == [copy.json()["id"]]
    assert mine["states"] == {"ARCHIVED": 1, "DRAFT": 1}


async def test_foreign_and_missing_listings_answer_byte_for_byte_alike(
    client: httpx.AsyncClient, db: Database
) -> None:
    one, two = await make_seller(db), await make_seller(db)
    listing = await make_listing(db, one, state="PAUSED")
    auth = await bearer(db, two)
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PATCH", "", {"version": 1, "title": "Mine"}),
        ("PUT", "/price", {"price": 1}),
        ("POST", "/publish", None),
        ("POST", "/pause", None),
        ("POST", "/archive", None),
        ("POST", "/duplicate", None),
    ]
    for method, tail, body in calls:
        answers = [
            await client.request(method, f"{OWN}/{i}{tail}", json=body, headers=auth)
            for i in (listing.id, uuid.uuid4(), "not-an-id", "%00")
        ]
        assert {a.status_code for a in answers} == {404}, (method, tail)
        assert len({a.content for a in answers}) == 1, (method, tail)
    public = [
        await client.get(f"/api/v1/listings/{k}") for k in (listing.slug, listing.id, "nope", uuid.uuid4())
    ]
    assert {a.status_code for a in public} == {404} and len({a.content for a in public}) == 1
    own = await client.get(f"/api/v1/listings/{listing.slug}", headers=await bearer(db, one))
    assert own.json()["own"] is True


@pytest.mark.parametrize(
    "body",
    [
        *(
            f'{{"price": {v}}}'
            for v in ("-1", "0", "1.5", "1e3", '"1e3"', '"1999"', "true", "null", "[]", "{}")
        ),
        *(
            f'{{"price": {v}}}'
            for v in ("2147483648", "9223372036854775808", "1e309", '"１２"', '"+1"', "1.0")
        ),
        '{"price": 1, "currency": "USD"}',
        '{"price": NaN}',
        '{"price": 010}',
        "[]",
        "",
        "{",
        '{"price": 1, "price": 2, "x": "\udcff"}',
    ],
)
async def test_hostile_prices_never_arrive(client: httpx.AsyncClient, db: Database, body: str) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller, price=777)
    auth = await bearer(db, seller) | {"Content-Type": "application/json"}
    answer = await client.put(
        f"{OWN}/{listing.id}/price", content=body.encode(errors="surrogateescape"), headers=auth
    )
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]
    assert await db.fetchval(SYSTEM, "SELECT price FROM catalog.listing") == 777


async def test_other_currencies_and_unknown_fields_are_refused(
    client: httpx.AsyncClient, db: Database
) -> None:
    auth = await bearer(db, await make_seller(db))
    for extra in ({"currency": "USD"}, {"seller_id": str(uuid.uuid4())}, {"state": "PUBLISHED"}, {"sold": 9}):
        answer = await client.post(OWN, json=NEW | extra, headers=auth)
        assert answer.status_code == 422, answer.text
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM catalog.listing") == 0


async def test_who_may_write_and_who_may_read(client: httpx.AsyncClient, db: Database) -> None:
    seller = await make_seller(db)
    expected = {
        "manager": (200, 201),
        "fulfilment": (200, 403),
        "finance": (200, 403),
        "read_only": (200, 403),
    }
    for role, (read, write) in expected.items():
        auth = await bearer(db, await make_member(db, seller, role))
        assert (await client.get(OWN, headers=auth)).status_code == read, role
        assert (await client.post(OWN, json=NEW, headers=auth)).status_code == write, role
    reader = await make_api_key(db, seller, "catalog.read")
    assert (await client.get(OWN, headers=reader)).status_code == 200
    assert (await client.post(OWN, json=NEW, headers=reader)).status_code == 403
    writer = await make_api_key(db, seller, "catalog.write")
    assert (await client.post(OWN, json=NEW, headers=writer)).status_code == 201
    customer = await bearer(db, await make_user(db))
    assert (await client.get(OWN, headers=customer)).status_code == 404
    assert (await client.get(OWN)).status_code == 401


async def test_hostile_queries_of_the_shop(client: httpx.AsyncClient, db: Database) -> None:
    await make_listing(db, await make_seller(db))
    bad = [
        "sort=x",
        "limit=0",
        "limit=101",
        "limit=x",
        "price_min=-1",
        "price_max=1e99",
        "cursor=abc",
        "in_stock=7x",
    ]
    for query in bad:
        answer = await client.get(f"/api/v1/listings?{query}")
        assert answer.status_code in (400, 422), query
        assert answer.json()["detail"]
    for query in ("q=%00", "q=%ff", "platform=%00", "category='", "q=" + "%27" * 100, "seller=%f0%9f%8e%ae"):
        answer = await client.get(f"/api/v1/listings?{query}")
        assert answer.status_code == 200, query
