"""The wallet over the API, as its owner, as somebody else, as nobody."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from fondaco.app import build_parts
from fondaco.core.db import Database
from fondaco.core.viewer import Viewer
from tests.support.app import calling
from tests.support.money import Till, give_money, make_buyer
from tests.support.people import bearer


@pytest.fixture
async def api(till: Till) -> AsyncIterator[httpx.AsyncClient]:
    parts = build_parts(till.settings)
    parts.add(till.db)
    async with calling(till.settings, parts) as client:
        yield client


@pytest.fixture
async def buyer(db: Database) -> Viewer:
    return await make_buyer(db)


async def test_from_empty_to_full(till: Till, api: httpx.AsyncClient, buyer: Viewer) -> None:
    me = await bearer(till.db, buyer)
    empty = (await api.get("/api/v1/wallet", headers=me)).json()
    assert empty == {"balance": 0, "currency": "EUR", "top_up_min": 500, "top_up_max": 50_000}
    assert (await api.get("/api/v1/wallet/entries", headers=me)).json()["items"] == []

    started = await api.post("/api/v1/wallet/top-ups", json={"amount": 1234}, headers=me)
    assert started.status_code == 201
    top_up = started.json()
    assert (top_up["state"], top_up["amount"], top_up["currency"]) == ("PROCESSING", 1234, "EUR")
    till.sandbox.pay(top_up["checkout_url"].rsplit("/", 1)[1])
    await till.deliver_all()

    found = (await api.get(f"/api/v1/wallet/top-ups/{top_up['id']}", headers=me)).json()
    assert (found["state"], found["checkout_url"]) == ("SUCCEEDED", None)
    assert (await api.get("/api/v1/wallet", headers=me)).json()["balance"] == 1234
    [entry] = (await api.get("/api/v1/wallet/entries", headers=me)).json()["items"]
    assert (entry["kind"], entry["amount"], entry["balance_after"]) == ("top_up", 1234, 1234)
    assert entry["ref"] == f"funding:{top_up['id']}"


async def test_pages_of_entries_and_top_ups(till: Till, api: httpx.AsyncClient, buyer: Viewer) -> None:
    me = await bearer(till.db, buyer)
    for amount in range(1, 8):
        await give_money(till.db, buyer.user(), amount)
    amounts: list[int] = []
    cursor = None
    while True:
        params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/api/v1/wallet/entries", params=params, headers=me)).json()
        amounts += [e["amount"] for e in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert amounts == [7, 6, 5, 4, 3, 2, 1]

    made = [(await till.top_up(buyer, 1000 + n)).amount for n in range(3)]
    first = (await api.get("/api/v1/wallet/top-ups?limit=2", headers=me)).json()
    second = (
        await api.get("/api/v1/wallet/top-ups", params={"limit": 2, "cursor": first["next"]}, headers=me)
    ).json()
    assert [t["amount"] for t in first["items"] + second["items"]] == made[::-1]
    assert second["next"] is None
    wrong = await api.get("/api/v1/wallet/entries", params={"cursor": first["next"]}, headers=me)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize(
    "amount", [0, -1, 499, 50_001, 10**13, 2**70, 12.5, "1000", "1e3", None, True, [], {}]
)
async def test_hostile_amounts(till: Till, api: httpx.AsyncClient, buyer: Viewer, amount: object) -> None:
    me = await bearer(till.db, buyer)
    answer = await api.post("/api/v1/wallet/top-ups", json={"amount": amount}, headers=me)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
    assert (await api.get("/api/v1/wallet/top-ups", headers=me)).json()["items"] == []


@pytest.mark.parametrize("extra", ["currency", "user_id", "state", "refunded", "livemode"])
async def test_nothing_else_can_be_said(
    till: Till, api: httpx.AsyncClient, buyer: Viewer, extra: str
) -> None:
    me = await bearer(till.db, buyer)
    answer = await api.post("/api/v1/wallet/top-ups", json={"amount": 1000, extra: "x"}, headers=me)
    assert answer.status_code == 422


async def test_somebody_elses_is_as_if_it_were_not(till: Till, api: httpx.AsyncClient, buyer: Viewer) -> None:
    top_up = await till.top_up(buyer)
    other = await bearer(till.db, await make_buyer(till.db))
    foreign = await api.get(f"/api/v1/wallet/top-ups/{top_up.id}", headers=other)
    random = await api.get(f"/api/v1/wallet/top-ups/{uuid4()}", headers=other)
    assert foreign.status_code == random.status_code == 404
    assert foreign.content == random.content
    nobody = await api.get(f"/api/v1/wallet/top-ups/{top_up.id}")
    assert nobody.status_code == 401
