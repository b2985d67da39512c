"""What a card payment costs: statements, commits and calls to the provider, counted."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fondaco import inbox, wallets
from fondaco.core.db import SYSTEM, Database
from fondaco.embedded import Endpoints
from fondaco.inbox.draining import Drain
from fondaco.inbox.handling import VERBS
from fondaco.inbox.model import TYPES
from fondaco.integrations.stripe import StripeGateway
from fondaco.orders.actions import place_with_card
from fondaco.wallets import jobs as wallet_jobs
from tests.orders.test_statements import Counting, counting
from tests.support.money import Till, make_buyer, signature
from tests.support.shop import make_shop, purchase, states

PAYMENTS = 5


class Asking(StripeGateway):
    """The gateway, counting what it asks."""

    calls = 0

    async def _retrieve(self, path: str, expand: str) -> dict[str, Any]:
        self.calls += 1
        return await super()._retrieve(path, expand)


@pytest.fixture
def asking(till: Till) -> Asking:
    return Asking(till.settings)


async def paid_orders(till: Till, count: int) -> list[Any]:
    """Card orders paid at the provider, of which nobody was told; their groups."""
    shop = await make_shop(till.db, stock=count)
    groups: list[Any] = []
    for _ in range(count):
        wish = purchase(await make_buyer(till.db), shop.wish())
        placed = await place_with_card(till.db, till.gateway, till.settings, wish)
        [funding] = await wallets.fundings_of_group(till.db, SYSTEM, placed.group_id)
        till.sandbox.pay(funding.session_id or "")
        groups.append(placed.group_id)
    return groups


async def give(till: Till, db: Database, events: list[dict[str, Any]]) -> None:
    """All of them at the door at once."""
    bodies = [json.dumps(event).encode() for event in events]
    await asyncio.gather(
        *(inbox.receive(db, till.gateway, body, [signature(body, till.secret)]) for body in bodies)
    )


def cost(counted: Counting) -> tuple[int, int]:
    """Statements and commits since the last time, without what the driver asks about types."""
    sent = [sql for sql in counted.sent if not any(word in sql for word in ("pg_type", "typeinfo", "'jit'"))]
    counted.sent.clear()
    return len(sent), sent.count("COMMIT")


def test_the_door_and_the_handling_know_the_same_types() -> None:
    assert set(VERBS) == TYPES


async def test_payments_that_come_together(till: Till, endpoints: Endpoints, asking: Asking) -> None:
    groups = await paid_orders(till, PAYMENTS)
    events = await till.events()
    assert len(events) == 4 * PAYMENTS
    async with counting(endpoints) as counted:
        await give(till, counted, events)
        statements, commits = cost(counted)
        assert (statements, commits) <= (3, 1)
        assert await inbox.drain(counted, asking) == 2 * PAYMENTS
        assert asking.calls == PAYMENTS
        statements, commits = cost(counted)
        assert commits <= PAYMENTS + 2  # two looks, the second finds nothing
        assert statements <= 11 * PAYMENTS + 6
        assert await counted.run(SYSTEM, wallet_jobs.gate.book_fees) == PAYMENTS
        assert cost(counted) <= (5, 1)
    for group in groups:
        assert await states(till.db, group) == {("DELIVERED", "DELIVERED", "HELD")}
    assert await inbox.count_states(till.db, SYSTEM) == {"PROCESSED": 2 * PAYMENTS, "IGNORED": 2 * PAYMENTS}
    assert await till.psp() == await till.provider_balance()
    await till.whole()


async def test_what_adds_nothing_asks_nothing(till: Till, endpoints: Endpoints, asking: Asking) -> None:
    """The payment was settled by one event: the others, and those told twice under new ids, only end."""
    await paid_orders(till, PAYMENTS)
    await give(till, till.db, await till.events("payment_intent.succeeded"))
    await till.work()
    rest = await till.events("checkout.session.completed", "payment_intent.succeeded")
    again = [event | {"id": f"{event['id']}_again"} for event in rest]
    async with counting(endpoints) as counted:
        await give(till, counted, [*rest, *again])
        cost(counted)
        assert await inbox.drain(counted, asking) == 3 * PAYMENTS
        assert asking.calls == 0
        assert cost(counted) == (9, 3)  # a look, their end, a look that finds nothing
    assert (await inbox.count_states(till.db, SYSTEM))["PROCESSED"] == 4 * PAYMENTS
    await till.whole()


LIES: list[Callable[[dict[str, Any]], object]] = [
    lambda said: said.update(amount_total=1),
    lambda said: said.update(currency="usd"),
    lambda said: said["metadata"].update(user_id="0190f9c5-0000-7000-8000-000000000000"),
    lambda said: said.update(client_reference_id="0190f9c5-0000-7000-8000-000000000000"),
    lambda said: said.update(mode="setup"),
    lambda said: said.update(livemode=True),
]


@pytest.mark.parametrize("lie", LIES)
async def test_what_says_anything_else_is_asked_about(
    till: Till, asking: Asking, lie: Callable[[dict[str, Any]], object]
) -> None:
    await paid_orders(till, 1)
    await till.deliver_all()
    [event] = await till.events("checkout.session.completed")
    lie(event["data"]["object"])
    await till.deliver(event | {"id": "evt_lie"})
    await inbox.drain(till.db, asking)
    assert asking.calls == 1
    assert await till.audited("funding.unmatched") == 1
    [told] = [e for e in await inbox.list_events(till.db, SYSTEM) if e.event_id == "evt_lie"]
    assert told.state == "IGNORED"


async def test_while_its_fee_is_not_booked_a_payment_is_asked_about(till: Till, asking: Asking) -> None:
    await paid_orders(till, 1)
    await give(till, till.db, await till.events("payment_intent.succeeded"))
    assert await inbox.drain(till.db, asking) == 1
    await give(till, till.db, await till.events("checkout.session.completed"))
    assert await inbox.drain(till.db, asking) == 1
    assert asking.calls == 2
    await till.work()
    await till.whole()


async def test_a_lie_beside_the_truth_harms_it_not(till: Till, asking: Asking) -> None:
    [group] = await paid_orders(till, 1)
    events = await till.events("checkout.session.completed", "payment_intent.succeeded")
    lie = json.loads(json.dumps(events[-1])) | {"id": "evt_lie"}
    lie["data"]["object"]["amount_total"] = lie["data"]["object"]["amount"] = 1
    poison = json.loads(json.dumps(events[-1])) | {"id": "evt_poison"}
    poison["data"]["object"]["id"] = 7
    await give(till, till.db, [lie, *events, poison])
    await inbox.drain(till.db, asking)
    assert await states(till.db, group) == {("DELIVERED", "DELIVERED", "HELD")}
    ends = {e.event_id: e.state for e in await inbox.list_events(till.db, SYSTEM)}
    assert [ends.pop("evt_lie"), ends.pop("evt_poison")] == ["IGNORED", "FAILED"]
    assert set(ends.values()) == {"PROCESSED"}
    await till.work()
    await till.whole()


async def test_two_workers_at_the_same_events(till: Till, endpoints: Endpoints) -> None:
    groups = await paid_orders(till, PAYMENTS)
    await give(till, till.db, await till.events())
    looks: list[Awaitable[int]] = [Drain(till.db, StripeGateway(till.settings)).all() for _ in range(3)]
    await asyncio.gather(*looks)
    await till.work()
    for group in groups:
        assert await states(till.db, group) == {("DELIVERED", "DELIVERED", "HELD")}
    assert await till.audited("funding.succeeded") == PAYMENTS
    await till.whole()
