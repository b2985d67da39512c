"""The provider is down, answers badly, or answers and is not heard: each kind of call, each way to fail. In
the end there is exactly one object there, and we know it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from fondaco import inbox, orders, wallets
from fondaco.core.db import SYSTEM
from fondaco.core.problem import Problem
from fondaco.core.web import Parts
from fondaco.orders.jobs import expire_orders
from tests.support.money import Till, make_buyer
from tests.support.shop import make_shop, states

AGO = "now() - interval '10 minutes'"
WAYS = ("refused", "fail_before", "fail_after", "rate_limit", "lose_answer")


def strike(till: Till, way: str, path: str) -> None:
    """From now on calls to `path` go wrong this way."""
    if way == "refused":
        till.sandbox.kill()
    else:
        till.sandbox.post("/sandbox/faults", **{way: {"count": 1, "path": path}})


def heal(till: Till) -> None:
    if till.sandbox.process is None:
        till.sandbox.start()


async def later(till: Till, *tables: str) -> None:
    """Ten minutes pass for whoever waits to ask again."""
    columns = {
        "wallets.funding": f"called_at = {AGO}, checked_at = {AGO}, created_at = {AGO}",
        "wallets.refund": f"called_at = {AGO}, checked_at = {AGO}, created_at = {AGO}",
        "inbox.event": f"next_at = {AGO}",
    }
    for table in tables:
        await till.db.execute(SYSTEM, f"UPDATE {table} SET {columns[table]}")


async def drained(till: Till, done: Callable[[], Any], *tables: str) -> None:
    """What the worker does over the next minutes, until it is done."""
    for _ in range(6):
        await later(till, *tables)
        await inbox.sweep_fundings(till.db, till.gateway, till.settings)
        await wallets.sweep_refunds(till.db, till.gateway)
        await inbox.backfill(till.db, till.gateway)
        await inbox.sweep_events(till.db)
        await till.work()
        if await done():
            return
    raise AssertionError("the queue did not drain")


@pytest.mark.parametrize("way", WAYS)
async def test_opening_a_page(till: Till, way: str) -> None:
    buyer = await make_buyer(till.db)
    strike(till, way, "/v1/checkout/sessions")
    with pytest.raises(Problem) as told:
        await wallets.start_top_up(till.db, till.impatient, till.settings, buyer, 2500)
    assert told.value.status in (502, 503), told.value.code
    heal(till)
    [funding] = await wallets.own_top_ups(till.db, buyer)

    if way in ("fail_before", "fail_after"):  # the provider keeps the failure under the key: begin anew
        found = await till.top_up(buyer)
    else:

        async def open_now() -> bool:
            return (await till.funding(funding)).state == "PROCESSING"

        await drained(till, open_now, "wallets.funding")
        found = await till.funding(funding)
        sessions = (await till.gateway.client.v1.checkout.sessions.list_async()).data
        assert [s.id for s in sessions] == [found.session_id]
    till.sandbox.pay(found.session_id or "")
    await till.deliver_all()
    assert await till.wallet(buyer) == 2500
    await till.whole()


@pytest.mark.parametrize("way", WAYS)
async def test_sending_a_refund(till: Till, way: str) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.paid_top_up(buyer)
    refund_id = await asked_back(till, funding.id)
    strike(till, way, "/v1/refunds")
    await wallets.send_refund(till.db, till.impatient, refund_id)
    heal(till)

    async def done() -> bool:
        return await till.db.fetchval(
            SYSTEM, "SELECT state = 'SUCCEEDED' FROM wallets.refund WHERE id = $1", refund_id
        )

    await drained(till, done, "wallets.refund")
    made = (await till.gateway.client.v1.refunds.list_async({"limit": 100})).data
    assert [r.amount for r in made] == [1000]
    assert await till.psp() == await till.provider_balance()
    await till.whole()


async def asked_back(till: Till, funding_id: UUID) -> UUID:
    async with till.db.transaction(SYSTEM) as conn:
        return await wallets.request_refund(conn, funding_id, 1000, reason="test", actor="system")


@pytest.mark.parametrize("way", WAYS)
async def test_closing_a_page(till: Till, way: str) -> None:
    shop = await make_shop(till.db, stock=1)
    group_id = await by_card(till, shop)
    session = await till.db.fetchval(
        SYSTEM, "SELECT session_id FROM wallets.funding WHERE group_id = $1", group_id
    )
    await time_is_over(till, group_id)
    strike(till, way, f"/v1/checkout/sessions/{session}/expire")
    await expire_orders(Parts(till.db, till.settings, till.impatient))
    [before] = [order for order, _, _ in await states(till.db, group_id)]
    assert before == "PENDING_PAYMENT", "given up though the page may still be paid"
    heal(till)
    await time_is_over(till, group_id)  # it is looked at again some minutes later
    await expire_orders(till.parts)
    assert (await till.gateway.retrieve_session(session)).state == "expired"
    assert await states(till.db, group_id) == {("EXPIRED", "CANCELLED", "EMPTY")}
    await till.whole()


async def time_is_over(till: Till, group_id: UUID) -> None:
    dsn = till.settings.database_owner_url
    assert dsn
    owner = await asyncpg.connect(dsn.get_secret_value())
    await owner.execute(
        "UPDATE orders.orders SET expires_at = now() - interval '1 minute' WHERE group_id = $1", group_id
    )
    await owner.close()


async def by_card(till: Till, shop: Any) -> UUID:
    buyer = await make_buyer(till.db)
    purchase = orders.purchase_of(
        buyer, orders.policy_of(till.settings), [shop.wish(1)], currency="EUR", idem="card"
    )
    placed = await orders.place_with_card(till.db, till.gateway, till.settings, purchase)
    return placed.group_id


async def test_asking_how_a_payment_stands_while_nobody_answers(till: Till) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    events = await till.events()
    till.sandbox.kill()
    for event in events:
        await till.deliver(event)
    await till.work()
    assert await till.wallet(buyer) == 0
    heal(till)

    async def credited() -> bool:
        return await till.wallet(buyer) == 2500

    await drained(till, credited, "inbox.event")
    waiting = "SELECT count(*) FROM inbox.event WHERE state NOT IN ('PROCESSED', 'IGNORED')"
    assert await till.db.fetchval(SYSTEM, waiting) == 0
    await till.whole()
