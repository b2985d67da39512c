"""A call had its effect and the process died before its answer was kept: the same call with the same key,
minutes later, moves no money and hands in no keys a second time."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import httpx
import pytest

from fondaco.core.db import SYSTEM, Database
from fondaco.core.web import Parts
from fondaco.settings import Settings
from tests.pages.account.conftest import Doors
from tests.refunds.test_pages import delivered, order_of, post
from tests.support.payouts import activate, give
from tests.support.people import make_user, sign_in
from tests.support.shop import Shop, whole

DONE = """SELECT (SELECT count(*) FROM ledger.journal), (SELECT count(*) FROM inventory.stock_batch),
  (SELECT count(*) FROM public.procrastinate_jobs), (SELECT count(*) FROM cases.case)"""


@dataclass
class Sale:
    """Two keys for 10.00 each that were bought, and who did."""

    db: Database
    shop: Shop
    group: UUID
    line: UUID
    order: UUID


async def store_refund(sale: Sale) -> tuple[str, dict[str, object]]:
    return f"/api/v1/seller/order-lines/{sale.line}/refund", {"reason": "goodwill", "amount": 300}


async def withdrawal(sale: Sale) -> tuple[str, dict[str, object]]:
    await activate(sale.db, sale.shop.seller_id)
    await give(sale.db, sale.shop, 1000)
    return "/api/v1/seller/payouts", {"amount": 300}


async def give_back(sale: Sale) -> tuple[str, dict[str, object]]:
    return f"/api/v1/order-lines/{sale.line}/return", {}


async def confirmation(sale: Sale) -> tuple[str, dict[str, object]]:
    return f"/api/v1/orders/{sale.order}/confirm", {}


async def case(sale: Sale) -> tuple[str, dict[str, object]]:
    return "/api/v1/cases", {"order_id": str(sale.order), "reason": "OTHER", "text": "It is another one."}


async def purchase(sale: Sale) -> tuple[str, dict[str, object]]:
    line = {"listing_id": str(sale.shop.listing_id), "quantity": 1, "price": 1000}
    return "/api/v1/orders", {"pay_with": "wallet", "lines": [line]}


async def stock(sale: Sale) -> tuple[str, dict[str, object]]:
    return f"/api/v1/seller/listings/{sale.shop.listing_id}/stock", {"keys": ["AAAA-1111-2222-3333"]}


Call = Callable[[Sale], Awaitable[tuple[str, dict[str, object]]]]
CALLS: tuple[Call, ...] = (store_refund, withdrawal, give_back, confirmation, case, purchase, stock)
SAME = (store_refund, withdrawal, confirmation, purchase, stock)
"""Those that answer the second time as the first; the others say that it is done."""


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_done_once_though_the_answer_was_lost(
    client: httpx.AsyncClient,
    db: Database,
    parts: Parts,
    settings: Settings,
    owner: asyncpg.Connection,
    call: Call,
) -> None:
    buyer, shop, group, line = await delivered(db, parts, settings)
    order = await db.fetchval(SYSTEM, "SELECT order_id FROM orders.order_line WHERE id = $1", line)
    path, content = await call(Sale(db, shop, group, line, order))
    who = shop.owner if "/seller/" in path else buyer
    headers = {"Authorization": f"Bearer {await sign_in(db, who)}", "Idempotency-Key": "once"}
    first = await client.post(path, json=content, headers=headers)
    assert first.status_code in (200, 201), first.text
    moved = await db.fetchrow(SYSTEM, DONE)
    for _ in range(2):
        await owner.execute("DELETE FROM core.idempotency")  # it was never kept, and its lease is over
        again = await client.post(path, json=content, headers=headers)
        if call in SAME:
            assert again.status_code in (200, 201), again.text
            assert again.json().get("id") == first.json().get("id")
        else:
            assert again.status_code == 409, again.text
    assert await db.fetchrow(SYSTEM, DONE) == moved
    await whole(db)


async def test_a_refund_s_id_is_no_id_of_another(
    client: httpx.AsyncClient, db: Database, parts: Parts, settings: Settings, owner: asyncpg.Connection
) -> None:
    """The same key with another amount is refused by the row itself, whatever is forgotten of the key."""
    _, shop, _, line = await delivered(db, parts, settings)
    headers = {"Authorization": f"Bearer {await sign_in(db, shop.owner)}", "Idempotency-Key": "once"}
    path, content = f"/api/v1/seller/order-lines/{line}/refund", {"reason": "goodwill", "amount": 300}
    assert (await client.post(path, json=content, headers=headers)).status_code == 201
    await owner.execute("DELETE FROM core.idempotency")
    changed = await client.post(path, json=content | {"amount": 400}, headers=headers)
    assert changed.status_code == 409, changed.text
    assert await db.fetchval(SYSTEM, "SELECT sum(amount)::int FROM refunds.refund") == 300


@pytest.mark.parametrize("side", ["seller", "console"])
async def test_a_form_sent_twice_gives_back_once(
    client: httpx.AsyncClient, db: Database, parts: Parts, settings: Settings, side: str
) -> None:
    _, shop, _, line = await delivered(db, parts, settings)
    doors = Doors(client, db)
    await doors.enter(shop.owner if side == "seller" else await make_user(db, staff_role="finance"))
    path = f"/{side}/orders/{await order_of(db, line)}/lines/{line}/refund"
    found = re.search('name="refund_id" value="([^"]+)"', (await client.get(path)).text)
    assert found
    fields = {"amount": "3.00", "reason": "goodwill", "why": "For you", "refund_id": found[1]}
    for _ in range(2):
        await post(client, path, **fields)
    assert await db.fetchval(SYSTEM, "SELECT array_agg(amount) FROM refunds.refund") == [300]
    await post(client, path, status=409, **fields | {"amount": "4.00"})
    await whole(db)
