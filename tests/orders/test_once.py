"""Buying from the wallet over the API: the key stands with the purchase, so it is done once and answered
the same for ever, without a second book of keys."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from fondaco import orders
from fondaco.core.db import SYSTEM, Database
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.embedded import Endpoints
from fondaco.orders.combiner import Combiner
from fondaco.settings import Settings
from tests.orders.test_statements import Counting, counting
from tests.support.app import calling
from tests.support.money import give_money
from tests.support.people import bearer, make_user
from tests.support.shop import Shop, make_shop, place, whole

Buy = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def shop(db: Database) -> Shop:
    return await make_shop(db, price=500, stock=60)


@pytest.fixture
async def buyer(db: Database) -> Viewer:
    viewer = await make_user(db)
    await give_money(db, viewer.user(), 5000)
    return viewer


@pytest.fixture
async def buy(client: httpx.AsyncClient, db: Database, shop: Shop, buyer: Viewer) -> Buy:
    client.headers.update(await bearer(db, buyer))

    async def call(key: str | None, quantity: int = 1, **more: Any) -> httpx.Response:
        line = {"listing_id": str(shop.listing_id), "quantity": quantity, "price": 500}
        headers = {"Idempotency-Key": key} if key else {}
        sent = {"pay_with": "wallet", "lines": [line], **more}
        return await client.post("/api/v1/orders", json=sent, headers=headers)

    return call


async def groups(db: Database) -> int:
    return int(await db.fetchval(SYSTEM, "SELECT count(*) FROM orders.order_group"))


async def test_the_same_key_gets_the_same_answer_whatever_became_of_the_order(
    client: httpx.AsyncClient, db: Database, shop: Shop, buy: Buy
) -> None:
    first = await buy("k", 2)
    assert first.status_code == 201 and "idempotent-replayed" not in first.headers
    group = first.json()["order"]
    assert (await client.get(f"/api/v1/orders/{group['id']}")).json() == group, "as it is read elsewhere"
    assert len(group["orders"][0]["lines"][0]["entitlements"]) == 2
    again = await buy("k", 2)
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.content) == (201, first.content)
    await client.post(f"/api/v1/orders/{group['id']}/confirm")
    await db.execute(SYSTEM, "UPDATE sellers.seller SET name = 'Renamed', slug = 'renamed'")
    await db.execute(SYSTEM, "UPDATE catalog.listing SET price = 900 WHERE id = $1", shop.listing_id)
    assert (await buy("k", 2)).content == first.content
    assert await groups(db) == 1
    assert await db.fetchval(SYSTEM, "SELECT count(*) FROM core.idempotency WHERE key = 'k'") == 0
    await whole(db)


async def test_thirty_at_once_buy_once(db: Database, buy: Buy) -> None:
    answers = await asyncio.gather(*(buy("k") for _ in range(30)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert sum("idempotent-replayed" not in a.headers for a in answers) == 1
    assert await groups(db) == 1
    await whole(db)


async def test_another_purchase_under_the_key_is_refused(db: Database, shop: Shop, buy: Buy) -> None:
    assert (await buy("k")).status_code == 201
    line = {"listing_id": str(shop.listing_id), "quantity": 1, "price_version": 1}
    for answer in (await buy("k", 2), await buy("k", lines=[line])):
        assert (answer.status_code, answer.json()["code"]) == (409, "purchase_key_reused")
    assert await groups(db) == 1


async def test_what_was_refused_leaves_the_key_free(db: Database, buyer: Viewer, buy: Buy) -> None:
    assert (await buy("k", 10)).status_code == 201
    poor = await buy("k2", 1)
    assert (poor.status_code, poor.json()["code"]) == (409, "insufficient_funds")
    await give_money(db, buyer.user(), 5000)
    richer = await buy("k2", 2)
    assert richer.status_code == 201 and "idempotent-replayed" not in richer.headers
    bad = await buy("k3", 0)
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid")
    assert (await buy("k3")).status_code == 201
    assert await groups(db) == 3


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ä"])
@pytest.mark.usefixtures("buy")
async def test_a_bad_key_is_told_here_too(
    client: httpx.AsyncClient, db: Database, shop: Shop, key: str
) -> None:
    line = {"listing_id": str(shop.listing_id), "quantity": 1, "price": 500}
    sent = {"pay_with": "wallet", "lines": [line]}
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = await client.post("/api/v1/orders", json=sent, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_idempotency_key")
    assert await groups(db) == 0


async def test_the_key_of_a_card_checkout_is_not_one_for_the_wallet(
    client: httpx.AsyncClient, db: Database, shop: Shop, buyer: Viewer, buy: Buy
) -> None:
    await place(db, buyer, shop.wish(), idem="k")
    with_price = await buy("k")
    lines = [{"listing_id": str(shop.listing_id)}]
    quote = (await client.post("/api/v1/quotes", json={"lines": lines})).json()["fingerprint"]
    with_quote = await buy("k", lines=lines, quote=quote)
    for answer in (with_price, with_quote):
        assert (answer.status_code, answer.json()["code"]) == (409, "purchase_key_reused")
    assert await groups(db) == 1


async def test_nobody_reads_what_somebody_else_bought(db: Database, shop: Shop, buy: Buy) -> None:
    group = UUID((await buy("k")).json()["order"]["id"])
    other = await make_user(db)
    with pytest.raises(NotFound):
        await orders.as_bought(db, other, group)
    with pytest.raises(NotFound):
        await orders.as_bought(db, shop.owner, group)
    with pytest.raises(NotFound):
        await orders.as_bought(db, other, uuid4())


@pytest.fixture
async def counted(endpoints: Endpoints, db: Database) -> AsyncIterator[Counting]:
    async with counting(endpoints) as found:
        yield found


@pytest.fixture
async def watched(settings: Settings, counted: Counting) -> AsyncIterator[httpx.AsyncClient]:
    """The application over a database that writes down what it is sent."""
    from fondaco.app import build_parts

    parts = build_parts(settings)
    parts.add(Combiner(counted))
    parts._parts[Database] = counted  # under its own class's name
    async with calling(settings, parts) as client:
        yield client


def verbs(counted: Counting) -> list[str]:
    """What was sent, without the driver's learning of types, which it does once per connection."""
    sent = [s for s in counted.sent if "typeinfo_tree" not in s and "'jit'" not in s]
    return [re.sub(r".*?(\w+\.\w+).*", r"\1", s, flags=re.DOTALL) for s in sent]


async def test_a_purchase_over_the_api_is_three_statements(
    watched: httpx.AsyncClient, counted: Counting, db: Database, shop: Shop, buyer: Viewer
) -> None:
    """Who asks, the purchase, what to answer: no transaction around, no book of keys."""
    line = {"listing_id": str(shop.listing_id), "quantity": 2, "price": 500}
    headers = await bearer(db, buyer) | {"Idempotency-Key": "k"}
    answer = await watched.post(
        "/api/v1/orders", json={"pay_with": "wallet", "lines": [line]}, headers=headers
    )
    assert answer.status_code == 201, answer.text
    assert verbs(counted) == ["identity.resolve_sessions", "orders.buy", "orders.as_bought"]


async def test_forty_purchases_together_share_all_three(
    watched: httpx.AsyncClient, counted: Counting, db: Database, shop: Shop
) -> None:
    people = [await make_user(db) for _ in range(40)]
    for person in people:
        await give_money(db, person.user(), 500)
    heads = [await bearer(db, p) | {"Idempotency-Key": "k"} for p in people]
    line = {"listing_id": str(shop.listing_id), "quantity": 1, "price": 500}
    sent = {"pay_with": "wallet", "lines": [line]}
    answers = await asyncio.gather(*(watched.post("/api/v1/orders", json=sent, headers=h) for h in heads))
    assert {a.status_code for a in answers} == {201}
    assert {a.json()["order"]["buyer_id"] for a in answers} == {str(p.user_id) for p in people}
    assert len(verbs(counted)) <= 15, counted.sent
    await whole(db)
