"""The API of a seller's stock."""

import uuid
from typing import Any

import httpx
import pytest

from fondaco import inventory
from fondaco.core.db import SYSTEM, Database
from fondaco.vault import Vault
from tests.support.goods import add_keys, make_listing
from tests.support.people import bearer, make_api_key, make_member, make_seller

BATCHES = "/api/v1/seller/batches"


def stock(listing_id: object) -> str:
    return f"/api/v1/seller/listings/{listing_id}/stock"


async def test_keys_are_handed_in_three_ways_and_followed_to_the_end(
    client: httpx.AsyncClient, db: Database, vault: Vault
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    auth = await make_api_key(db, seller, "stock.read", "stock.write")
    sent: list[dict[str, Any]] = [
        {"json": {"keys": ["AAAA-0001", "AAAA-0002", "xx"]}},
        {
            "content": "sku;code\n1;AAAA-0002\n2;AAAA-0003\n",
            "headers": {"Content-Type": "text/csv; charset=x"},
        },
        {"content": "AAAA-0004\r\nAAAA-0005", "headers": {"Content-Type": "text/plain"}},
    ]
    for call in sent:
        answer = await client.post(stock(listing.id), **call | {"headers": auth | call.get("headers", {})})
        assert answer.status_code == 201, answer.text
        assert answer.json()["state"] == "RECEIVED"
        await inventory.import_batch(db, vault, uuid.UUID(answer.json()["id"]))
    listed = (
        await client.get(BATCHES, params={"listing": str(listing.id), "state": "CLOSED"}, headers=auth)
    ).json()
    assert [(b["source"], b["imported"], b["repeated"]) for b in listed["items"]] == [
        ("paste", 2, 0),
        ("csv", 1, 1),
        ("api", 2, 0),
    ]
    first = listed["items"][-1]["id"]
    assert (await client.get(f"{BATCHES}/{first}", headers=auth)).json()["malformed"] == 1
    problems = (await client.get(f"{BATCHES}/{first}/problems", headers=auth)).json()
    assert problems["items"] == [{"line": 3, "problem": "malformed", "mask": "•••••"}]
    file = await client.get(f"{BATCHES}/{first}/problems.csv", headers=auth)
    assert (
        file.headers["content-type"].startswith("text/csv")
        and "attachment" in file.headers["content-disposition"]
    )
    counts = {"available": 5, "reserved": 0, "sold": 0, "consumed": 0, "withdrawn": 0}
    assert (await client.get(stock(listing.id), headers=auth)).json() == counts
    low = (await client.get("/api/v1/seller/low-stock", headers=auth)).json()
    assert [i["available"] for i in low["items"]] == [5]
    gone = await client.post(f"{stock(listing.id)}/withdraw", json={"count": 2}, headers=auth)
    assert gone.json() == {"count": 2}
    gone = await client.post(f"{stock(listing.id)}/withdraw", json={"count": None}, headers=auth)
    assert gone.json() == {"count": 3}


async def test_no_answer_of_the_api_ever_holds_a_key(
    client: httpx.AsyncClient, db: Database, vault: Vault
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    canary = "CANARY-KEY-7Q2M-XW95"
    batch = await add_keys(db, vault, seller, listing, [canary, canary, f"{canary}\x07", "OTHER-0001"])
    auth = await bearer(db, seller)
    urls = [
        stock(listing.id),
        BATCHES,
        f"{BATCHES}/{batch.id}",
        f"{BATCHES}/{batch.id}/problems",
        f"{BATCHES}/{batch.id}/problems.csv",
        f"/api/v1/seller/listings/{listing.id}",
        f"/api/v1/listings/{listing.slug}",
    ]
    for url in urls:
        answer = await client.get(url, headers=auth)
        assert answer.status_code == 200 and canary[:8] not in answer.text, url
    bad = {"keys": [canary, 7]}
    refused = await client.post(stock(listing.id), json=bad, headers=auth)
    assert refused.status_code == 422 and canary not in refused.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 422),
        (b'{"keys": []}', "application/json", 422),
        (b'{"keys": [""]}', "application/json", 422),
        (b'{"keys": ["AAAA\\nBBBB"]}', "application/json", 422),
        (b'{"keys": "AAAA-1"}', "application/json", 422),
        (b'{"keys": [null]}', "application/json", 422),
        (b'{"keys": ["AAAA-1"], "price": 1}', "application/json", 422),
        (b'{"keys": ["\\ud800AAA"]}', "application/json", 422),
        (b'{"keys": ["\xff\xfe"]}', "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b"", "text/csv", 422),
        (b"code\n", "text/csv", 422),
        (b"AAAA-1", "application/xml", 415),
        (b"AAAA-1", "", 415),
        (b"A" * (21 * 1024 * 1024), "text/plain", 422),
        (b"A" * (25 * 1024 * 1024), "text/plain", 413),
    ],
)
async def test_hostile_uploads_are_refused_in_words(
    client: httpx.AsyncClient, db: Database, body: bytes, kind: str, status: int
) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    auth = await bearer(db, seller) | {"Content-Type": kind}
    answer = await client.post(stock(listing.id), content=body, headers=auth)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"].endswith(".")
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM inventory.stock_batch") == 0


async def test_foreign_and_missing_stock_answers_byte_for_byte_alike(
    client: httpx.AsyncClient, db: Database, vault: Vault
) -> None:
    one, two = await make_seller(db), await make_seller(db)
    listing = await make_listing(db, one)
    batch = await add_keys(db, vault, one, listing, 3)
    auth = await bearer(db, two)
    calls: list[tuple[str, str, str, Any]] = [
        ("POST", "/api/v1/seller/listings/", "/stock", {"keys": ["AAAA-1"]}),
        ("GET", "/api/v1/seller/listings/", "/stock", None),
        ("POST", "/api/v1/seller/listings/", "/stock/withdraw", {"count": None}),
        ("GET", f"{BATCHES}/", "", None),
        ("GET", f"{BATCHES}/", "/problems", None),
        ("GET", f"{BATCHES}/", "/problems.csv", None),
    ]
    for method, head, tail, body in calls:
        mine = batch.id if head.startswith(BATCHES) else listing.id
        answers = [
            await client.request(method, f"{head}{i}{tail}", json=body, headers=auth)
            for i in (mine, uuid.uuid4(), "x")
        ]
        assert {a.status_code for a in answers} == {404}, (head, tail)
        assert len({a.content for a in answers}) == 1, (head, tail)
    assert (await client.get(BATCHES, headers=auth)).json()["items"] == []
    assert (await client.get(BATCHES, params={"listing": str(listing.id)}, headers=auth)).json()[
        "items"
    ] == []


async def test_who_may_hand_in_and_who_may_look(client: httpx.AsyncClient, db: Database) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    for role, status in {"manager": 201, "fulfilment": 201, "finance": 403, "read_only": 403}.items():
        auth = await bearer(db, await make_member(db, seller, role))
        answer = await client.post(stock(listing.id), json={"keys": [f"KEY-{role}"]}, headers=auth)
        assert answer.status_code == status, role
        assert (await client.get(stock(listing.id), headers=auth)).status_code == 200
    assert (await client.get(stock(listing.id))).status_code == 401


async def test_hostile_withdrawals(client: httpx.AsyncClient, db: Database, vault: Vault) -> None:
    seller = await make_seller(db)
    listing = await make_listing(db, seller)
    await add_keys(db, vault, seller, listing, 3)
    auth = await bearer(db, seller) | {"Content-Type": "application/json"}
    empty = await client.post(f"{stock(listing.id)}/withdraw", content="{}", headers=auth)
    assert empty.status_code == 422, "taking everything must be said"
    for value in ("0", "-1", "1.5", '"2"', "true", "1e1", "9223372036854775808", "[]"):
        answer = await client.post(
            f"{stock(listing.id)}/withdraw", content=f'{{"count": {value}}}', headers=auth
        )
        assert answer.status_code in (400, 422), value
    assert (await client.get(stock(listing.id), headers=auth)).json()["available"] == 3
