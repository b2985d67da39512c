"""Events are hints: any order, any number of them, true or not, the end is the same."""

import asyncio
import itertools
import json
import os
from typing import Any

import pytest

from fondaco import checks, inbox, wallets
from fondaco.core.db import SYSTEM
from fondaco.core.problem import Conflict, NotFound
from fondaco.core.viewer import Viewer
from fondaco.inbox.handling import TRIES
from fondaco.integrations.stripe import StripeGateway
from fondaco.ledger import platform
from tests.support.money import Till, amount_on, journals, make_buyer, make_staff

Event = dict[str, Any]


@pytest.fixture
async def buyer(till: Till) -> Viewer:
    return await make_buyer(till.db)


async def states(till: Till) -> dict[str, int]:
    return await inbox.count_states(till.db, SYSTEM)


def changed(event: Event, **fields: object) -> Event:
    """The same event of another id, its object changed."""
    twin = json.loads(json.dumps(event))
    twin["id"] = f"evt_{os.urandom(8).hex()}"
    twin["data"]["object"] |= fields
    return twin


async def handle_all(till: Till) -> None:
    """Every open event once, whatever its pause."""
    rows = await till.db.fetch(
        SYSTEM, "SELECT id FROM inbox.event WHERE state IN ('RECEIVED', 'DEFERRED', 'FAILED') ORDER BY id"
    )
    for row in rows:
        await inbox.handle_event(till.db, till.gateway, row["id"])


async def test_every_order_of_the_events_of_one_payment_ends_alike(till: Till) -> None:
    """A late bank debit, its five events in all 120 orders."""
    kinds = (
        "payment_intent.processing",
        "checkout.session.completed",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.async_payment_succeeded",
    )
    for order in itertools.permutations(range(len(kinds))):
        till.sandbox.reset()
        buyer = await make_buyer(till.db)
        funding = await till.top_up(buyer)
        till.sandbox.pay(funding.session_id or "", "bank_debit_success")
        till.sandbox.advance(60)
        events = await till.events(*kinds)
        assert len(events) == len(kinds)
        for n in order:
            await till.deliver(events[n])
        await till.work()
        assert (await till.funding(funding)).state == "SUCCEEDED"
        assert await till.wallet(buyer) == 2500
    await till.whole()


async def test_two_event_ids_for_one_payment(till: Till, buyer: Viewer) -> None:
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    [event] = await till.events("checkout.session.completed")
    twins = [changed(event) for _ in range(16)]
    for twin in twins:
        assert await till.deliver(twin)
    ids = [r["id"] for r in await till.db.fetch(SYSTEM, "SELECT id FROM inbox.event")]
    await asyncio.gather(*(inbox.handle_event(till.db, till.gateway, i) for i in ids))
    await till.work()
    assert await states(till) == {"PROCESSED": 16}
    assert await till.wallet(buyer) == 2500
    assert len(await journals(till.db, "top_up")) == 1


@pytest.mark.parametrize(
    "lie",
    [
        {"amount_total": 2499},
        {"amount_total": 999_900},
        {"currency": "usd"},
        {"livemode": True},
        {"mode": "setup"},
        {"client_reference_id": "0190f9c5-0000-7000-8000-000000000000"},
        {"metadata": {}},
    ],
)
async def test_a_signed_event_that_lies_is_not_believed(
    till: Till, buyer: Viewer, lie: dict[str, object]
) -> None:
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    [event] = await till.events("checkout.session.completed")
    await till.deliver(changed(event, **lie))
    await till.work()
    assert await states(till) == {"IGNORED": 1}
    assert await till.wallet(buyer) == 0
    assert await till.audited("funding.unmatched") == 1
    await till.deliver(event)
    await till.work()
    assert await till.wallet(buyer) == 2500


async def test_paid_says_the_event_not_the_provider(till: Till, buyer: Viewer) -> None:
    funding = await till.top_up(buyer)
    session = (
        await till.gateway.client.v1.checkout.sessions.retrieve_async(funding.session_id or "")
    ).to_dict()
    event = {
        "id": "evt_made_up",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": session["created"],
        "livemode": False,
        "type": "checkout.session.completed",
        "data": {"object": session | {"payment_status": "paid", "status": "complete"}},
    }
    await till.deliver(event)
    await till.work()
    assert await states(till) == {"IGNORED": 1}
    assert await till.wallet(buyer) == 0
    assert (await till.funding(funding)).state == "PROCESSING"


@pytest.mark.parametrize("kind", ["checkout.session.completed", "payment_intent.succeeded", "refund.updated"])
async def test_something_the_provider_does_not_know(till: Till, buyer: Viewer, kind: str) -> None:
    event = {
        "id": "evt_made_up",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_800_000_000,
        "livemode": False,
        "type": kind,
        "data": {"object": {"id": "xx_nothing", "object": "thing"}},
    }
    await till.deliver(event)
    await till.work()
    assert await states(till) == {"IGNORED": 1}
    assert await till.audited("funding.unmatched") == 1


async def intent(till: Till, amount: int, currency: str, funding_id: object, user_id: object) -> str:
    """A payment made with our key that is not the one our row asked for."""
    made = await till.gateway.client.v1.payment_intents.create_async(
        {
            "amount": amount,
            "currency": currency,
            "confirm": True,
            "payment_method": "pm_card_visa",
            "metadata": {"funding_id": str(funding_id), "user_id": str(user_id)},
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )
    return made.id


@pytest.mark.parametrize(
    ("amount", "currency", "whose", "wrong"),
    [
        (2499, "eur", "own", "amount"),
        (2501, "eur", "own", "amount"),
        (2500, "usd", "own", "currency"),
        (2500, "eur", "other", "user"),
    ],
)
async def test_money_that_does_not_fit_goes_to_suspense(
    till: Till, buyer: Viewer, amount: int, currency: str, whose: str, wrong: str
) -> None:
    funding = await till.top_up(buyer)
    other = await make_buyer(till.db)
    user = buyer.user() if whose == "own" else other.user()
    intent_id = await intent(till, amount, currency, funding.id, user)
    for _ in range(2):
        await till.deliver_all()
    await handle_all(till)
    assert await amount_on(till.db, platform("suspense", currency.upper())) == amount
    assert await journals(till.db, "suspense") == [f"suspense:{intent_id}"]
    assert await till.wallet(buyer) == 0
    assert (await till.funding(funding)).state == "PROCESSING"
    assert await till.audited("funding.unmatched") == 1
    why = await till.db.fetchval(
        SYSTEM, "SELECT data->>'wrong' FROM audit.event WHERE kind = 'funding.unmatched'"
    )
    assert wrong in why

    till.sandbox.pay(funding.session_id or "")  # the right payment is still taken
    await till.deliver_all()
    await till.work()
    assert await till.wallet(buyer) == 2500


async def test_a_funding_paid_twice_is_credited_once(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer)
    second = await intent(till, 2500, "eur", funding.id, buyer.user())
    await till.deliver_all()
    assert await till.wallet(buyer) == 2500
    assert await journals(till.db, "suspense") == [f"suspense:{second}"]
    await till.whole()


async def test_money_for_nothing_we_know_waits_then_goes_to_suspense(till: Till, buyer: Viewer) -> None:
    """A funding id that is well-formed but unknown may be of a row still on its way; then it is not."""
    intent_id = await intent(till, 2500, "eur", "0190f9c5-0000-7000-8000-000000000000", buyer.user())
    await till.deliver_all("payment_intent.succeeded")
    assert await states(till) == {"DEFERRED": 1}
    for _ in range(5):
        await handle_all(till)
    assert await states(till) == {"PROCESSED": 1}
    assert await journals(till.db, "suspense") == [f"suspense:{intent_id}"]


async def test_other_mode_other_account_and_unknown_types_are_kept_and_ignored(
    till: Till, buyer: Viewer
) -> None:
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    [event] = await till.events("checkout.session.completed")
    live = changed(event) | {"livemode": True}
    foreign = changed(event) | {"account": "acct_somebody_else"}
    strange = changed(event) | {"type": "something.new"}
    for each in (live, foreign, strange):
        assert await till.deliver(each)
    await till.work()
    assert await states(till) == {"IGNORED": 3}
    assert await till.wallet(buyer) == 0
    reasons = {e.failure for e in await inbox.list_events(till.db, SYSTEM)}
    assert len(reasons) == 3


async def test_what_was_final_stays_final(till: Till, buyer: Viewer) -> None:
    """Every event once more after the end: expiry weeks later flips nothing."""
    funding = await till.paid_top_up(buyer)
    [completed] = await till.events("checkout.session.completed")
    for kind in ("checkout.session.expired", "checkout.session.async_payment_failed"):
        await till.deliver(changed(completed, status="expired", payment_status="unpaid") | {"type": kind})
    await till.work()
    assert (await till.funding(funding)).state == "SUCCEEDED"
    assert await till.wallet(buyer) == 2500


async def test_a_provider_that_is_away_only_delays(till: Till, buyer: Viewer) -> None:
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    [event] = await till.events("checkout.session.completed")
    await till.deliver(event)
    nowhere = StripeGateway(
        till.settings.model_copy(update={"stripe_api_base": "http://127.0.0.1:9"}), retries=0
    )
    [row] = await inbox.list_events(till.db, SYSTEM)
    await inbox.handle_event(till.db, nowhere, row.id)
    [row] = await inbox.list_events(till.db, SYSTEM)
    assert (row.state, row.attempts) == ("FAILED", 1)
    assert row.next_at > row.received_at
    assert row.failure and "did not answer" in row.failure
    await handle_all(till)
    assert await till.wallet(buyer) == 2500


async def test_tries_end_dead_and_a_person_replays(till: Till, buyer: Viewer) -> None:
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    [event] = await till.events("checkout.session.completed")
    await till.deliver(event)
    nowhere = StripeGateway(
        till.settings.model_copy(update={"stripe_api_base": "http://127.0.0.1:9"}), retries=0
    )
    [row] = await inbox.list_events(till.db, SYSTEM)
    await till.db.execute(SYSTEM, "UPDATE inbox.event SET received_at = received_at - interval '4 days'")
    for _ in range(TRIES + 2):
        await inbox.handle_event(till.db, nowhere, row.id)
    [row] = await inbox.list_events(till.db, SYSTEM)
    assert (row.state, row.attempts) == ("DEAD", TRIES)
    assert await till.audited("event.dead") == 1
    assert "dead" in " ".join(str(f) for f in await checks.verify_all(till.db, till.settings))
    await till.work()
    assert await till.wallet(buyer) == 0

    ops = await make_staff(till.db, "ops")
    await inbox.replay(till.db, ops, row.id)
    with pytest.raises(Conflict):
        await inbox.replay(till.db, ops, row.id)
    with pytest.raises(NotFound):
        await inbox.replay(till.db, ops, row.id + 1000)
    await till.work()
    assert await states(till) == {"PROCESSED": 1}
    assert await till.wallet(buyer) == 2500
    assert await till.audited("event.replayed") == 1


async def test_lost_deliveries_and_what_lies_there_are_found(till: Till, buyer: Viewer) -> None:
    """Nothing was delivered: the backfill finds it; what no worker looks at, the sweeper queues."""
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    assert await inbox.backfill(till.db, till.gateway) >= 2
    assert await inbox.backfill(till.db, till.gateway) == 0
    assert {e.source for e in await inbox.list_events(till.db, SYSTEM)} == {"backfill"}

    assert await inbox.sweep_events(till.db) == 0  # fresh ones are left to the workers' own look
    await till.db.execute(SYSTEM, "UPDATE inbox.event SET next_at = next_at - interval '1 minute'")
    waiting = await inbox.sweep_events(till.db)
    assert waiting >= 2
    assert await inbox.sweep_events(till.db) == waiting
    jobs = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'inbox.handle'"
    assert await till.db.fetchval(SYSTEM, jobs) == waiting
    await till.work()
    assert await till.wallet(buyer) == 2500
    await till.whole()


async def test_the_sweeper_finds_a_payment_nobody_told_about(till: Till, buyer: Viewer) -> None:
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    assert await inbox.sweep_fundings(till.db, till.gateway, till.settings) == 0
    await till.db.execute(SYSTEM, "UPDATE wallets.funding SET created_at = created_at - interval '5 minutes'")
    assert await inbox.sweep_fundings(till.db, till.gateway, till.settings) == 1
    assert (await wallets.own_funding(till.db, buyer, funding.id)).state == "SUCCEEDED"
    assert await till.wallet(buyer) == 2500


async def test_an_event_held_by_one_worker_is_passed_over_by_another(till: Till, buyer: Viewer) -> None:
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    [event] = await till.events("checkout.session.completed")
    await till.deliver(event)
    [row] = await inbox.list_events(till.db, SYSTEM)
    async with till.db.transaction(SYSTEM) as conn:
        await conn.execute("SELECT 1 FROM inbox.event WHERE id = $1 FOR UPDATE", row.id)
        await inbox.handle_event(till.db, till.gateway, row.id)
        assert await till.wallet(buyer) == 0
    await till.work()
    assert await till.wallet(buyer) == 2500
