"""Refunds to the card: one per request, to the cent, through lost answers, crashes and late failures."""

import asyncio

import pytest

from fondaco import wallets
from fondaco.core.db import SYSTEM, Connection
from fondaco.core.ids import uuid7
from fondaco.core.viewer import Viewer
from fondaco.ledger import InsufficientFunds, escrow_of, post, refund_in_flight_of, wallet_of
from fondaco.wallets import Funding, Refund, RefundTooLarge
from tests.support.money import Till, amount_on, journals, make_buyer

REFUNDS = "/v1/refunds"


async def request(till: Till, funding: Funding, amount: int) -> Refund:
    async def work(conn: Connection) -> None:
        await wallets.request_refund(conn, funding.id, amount, reason="test", actor="system")

    await till.db.run(SYSTEM, work)
    return (await wallets.refunds_of(till.db, SYSTEM, funding.id))[-1]


async def now_is(till: Till, refund: Refund) -> Refund:
    return next(r for r in await wallets.refunds_of(till.db, SYSTEM, refund.funding_id) if r.id == refund.id)


async def long_ago(till: Till, what: str = "1 hour") -> None:
    await till.db.execute(
        SYSTEM,
        f"""UPDATE wallets.refund SET called_at = called_at - interval '{what}',
              checked_at = checked_at - interval '{what}', created_at = created_at - interval '{what}'""",
    )


def at_provider(till: Till) -> list[int]:
    """Amounts of all refunds that the sandbox made, by its own record."""
    return [fact["amount"] for fact in till.sandbox.truth() if fact["fact"] == "refund.created"]


@pytest.fixture
async def buyer(till: Till) -> Viewer:
    return await make_buyer(till.db)


async def test_money_goes_back_once(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 2500)
    refund = await request(till, funding, 1000)
    assert (refund.state, await till.wallet(buyer)) == ("REQUESTED", 1500)
    assert await amount_on(till.db, refund_in_flight_of(refund.id, "EUR")) == 1000
    await till.whole()

    await till.work()
    await till.deliver_all()
    await till.deliver_all()
    await wallets.send_refund(till.db, till.gateway, refund.id)
    assert (await now_is(till, refund)).state == "SUCCEEDED"
    found = await till.funding(funding)
    assert (found.state, found.refunded, found.refund_pending) == ("PARTIALLY_REFUNDED", 1000, 0)
    assert at_provider(till) == [1000]
    assert await till.psp() == await till.provider_balance()

    await request(till, funding, 1500)
    await till.work()
    assert (await till.funding(funding)).state == "REFUNDED"
    assert at_provider(till) == [1000, 1500]
    assert await till.wallet(buyer) == 0
    await till.whole()


@pytest.mark.parametrize("amount", [0, -1, 2501, 2**40])
async def test_never_more_than_came_in(till: Till, buyer: Viewer, amount: int) -> None:
    funding = await till.paid_top_up(buyer, 2500)
    with pytest.raises(RefundTooLarge):
        await request(till, funding, amount)


async def test_twenty_refunds_of_sixty_percent_at_once(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 2500)
    results = await asyncio.gather(*(request(till, funding, 1500) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(r, Refund) for r in results) == 1
    assert sum(isinstance(r, RefundTooLarge) for r in results) == 19
    await till.work()
    assert at_provider(till) == [1500]
    await till.whole()


async def test_spent_money_cannot_go_back(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, 2500)
    async with till.db.transaction(SYSTEM) as conn:
        line = uuid7()
        legs = [(wallet_of(buyer.user(), "EUR"), 2000), (escrow_of(line, "EUR"), -2000)]
        await post(conn, "purchase", idem=f"buy:{line}", ref="order:x", actor="test", legs=legs)
    with pytest.raises(InsufficientFunds):
        await request(till, funding, 501)
    assert (await till.funding(funding)).refund_pending == 0


async def test_a_lost_answer_is_resolved_by_asking(till: Till, buyer: Viewer) -> None:
    """The refund was made, we never heard. It is found by listing and not made again."""
    funding = await till.paid_top_up(buyer)
    refund = await request(till, funding, 1000)
    till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": REFUNDS})
    await wallets.send_refund(till.db, till.impatient, refund.id)
    assert (await now_is(till, refund)).state == "UNKNOWN"
    assert await amount_on(till.db, refund_in_flight_of(refund.id, "EUR")) == 1000
    await till.work()
    assert (await now_is(till, refund)).state == "UNKNOWN"

    await wallets.sweep_refunds(till.db, till.gateway)
    found = await now_is(till, refund)
    assert (found.state, found.attempt) == ("SUCCEEDED", 1)
    assert at_provider(till) == [1000]
    await till.whole()


@pytest.mark.parametrize("fault", ["fail_before", "fail_after"])
async def test_a_stored_failure_needs_a_new_key_only_when_nothing_happened(
    till: Till, buyer: Viewer, fault: str
) -> None:
    """The provider keeps a 500 under the key. Absent: sent again with a new one. Present: found."""
    funding = await till.paid_top_up(buyer)
    refund = await request(till, funding, 1000)
    till.sandbox.post("/sandbox/faults", **{fault: {"count": 1, "path": REFUNDS}})
    await till.work()
    for _ in range(3):
        await wallets.sweep_refunds(till.db, till.gateway)
    found = await now_is(till, refund)
    assert found.state == "SUCCEEDED"
    assert at_provider(till) == [1000]
    await till.whole()


async def test_a_sender_killed_before_the_call(till: Till, buyer: Viewer) -> None:
    """The row says SENDING and nobody sends: after its lease it is UNKNOWN, absent, and sent with its key."""
    funding = await till.paid_top_up(buyer)
    refund = await request(till, funding, 1000)
    await till.db.execute(
        SYSTEM, "UPDATE wallets.refund SET state = 'SENDING', attempt = 1, called_at = now()"
    )
    assert await wallets.sweep_refunds(till.db, till.gateway) == 0
    await long_ago(till, "5 minutes")
    await wallets.sweep_refunds(till.db, till.gateway)
    found = await now_is(till, refund)
    assert (found.state, found.attempt) == ("SUCCEEDED", 1)
    assert at_provider(till) == [1000]


async def test_a_sender_killed_after_the_call(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer)
    refund = await request(till, funding, 1000)
    await till.gateway.create_refund(
        refund_id=refund.id, attempt=1, intent_id=funding.intent_id or "", amount=1000
    )
    await till.db.execute(
        SYSTEM, "UPDATE wallets.refund SET state = 'SENDING', attempt = 1, called_at = now()"
    )
    await long_ago(till, "30 hours")
    await wallets.sweep_refunds(till.db, till.gateway)
    assert (await now_is(till, refund)).state == "SUCCEEDED"
    assert at_provider(till) == [1000]
    await till.whole()


async def test_a_forgotten_key_is_not_used_again(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer)
    refund = await request(till, funding, 1000)
    await till.db.execute(
        SYSTEM, "UPDATE wallets.refund SET state = 'SENDING', attempt = 1, called_at = now()"
    )
    await long_ago(till, "30 hours")
    await wallets.sweep_refunds(till.db, till.gateway)
    found = await now_is(till, refund)
    assert (found.state, found.attempt) == ("SUCCEEDED", 2)
    assert at_provider(till) == [1000]


async def test_a_lost_job_is_found(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer)
    refund = await request(till, funding, 1000)
    await till.db.execute(SYSTEM, "DELETE FROM procrastinate_jobs")
    await long_ago(till, "5 minutes")
    await wallets.sweep_refunds(till.db, till.gateway)
    assert (await now_is(till, refund)).state == "SUCCEEDED"


async def test_many_senders_and_sweepers_at_once(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer)
    refund = await request(till, funding, 1000)
    await long_ago(till, "5 minutes")
    await asyncio.gather(
        *(wallets.send_refund(till.db, till.gateway, refund.id) for _ in range(4)),
        *(wallets.sweep_refunds(till.db, till.gateway) for _ in range(4)),
    )
    for _ in range(2):
        await asyncio.gather(*(wallets.resolve_refund(till.db, till.gateway, refund.id) for _ in range(4)))
    assert (await now_is(till, refund)).state == "SUCCEEDED"
    assert at_provider(till) == [1000]
    await till.whole()


async def test_a_definite_refusal_gives_the_money_back_to_the_wallet(till: Till, buyer: Viewer) -> None:
    """Somebody refunded the payment in the provider's own dashboard before."""
    funding = await till.paid_top_up(buyer, 2500)
    await till.gateway.client.v1.refunds.create_async({"payment_intent": funding.intent_id or ""})
    refund = await request(till, funding, 1000)
    await till.work()
    found = await now_is(till, refund)
    assert found.state == "FAILED"
    assert found.failure
    assert await till.wallet(buyer) == 2500
    assert (await till.funding(funding)).refund_pending == 0
    assert await till.audited("refund.failed") == 1


async def test_a_refund_that_waits_is_followed(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer, card="4000000000007726")
    refund = await request(till, funding, 1000)
    await till.work()
    assert (await now_is(till, refund)).state == "PENDING"
    till.sandbox.advance(60)
    await long_ago(till)
    await wallets.sweep_refunds(till.db, till.gateway)
    assert (await now_is(till, refund)).state == "SUCCEEDED"
    await till.whole()


@pytest.mark.parametrize("heard", ["by event", "by asking"])
async def test_a_refund_that_comes_back_later_is_the_buyers_again(
    till: Till, buyer: Viewer, heard: str
) -> None:
    funding = await till.paid_top_up(buyer, 2500, card="4000000000005126")
    refund = await request(till, funding, 2500)
    await till.work()
    assert (await now_is(till, refund)).state == "SUCCEEDED"
    assert (await till.funding(funding)).state == "REFUNDED"
    if heard == "by event":
        await till.deliver_all()
    till.sandbox.advance(60)
    await till.deliver_all()
    await till.deliver_all()
    assert (await now_is(till, refund)).state == "FAILED"
    found = await till.funding(funding)
    assert (found.state, found.refunded) == ("SUCCEEDED", 0)
    assert await till.wallet(buyer) == 2500
    assert len(await journals(till.db, "refund_late_failure")) == 1
    assert await till.psp() == await till.provider_balance()

    again = await request(till, found, 2500)  # and it can be tried again
    assert again.state == "REQUESTED"
    await till.whole()


async def test_a_refund_made_elsewhere_is_told_not_booked(till: Till, buyer: Viewer) -> None:
    funding = await till.paid_top_up(buyer)
    await till.gateway.client.v1.refunds.create_async(
        {"payment_intent": funding.intent_id or "", "amount": 700}
    )
    await till.deliver_all()
    assert (await till.funding(funding)).refunded == 0
    assert await till.wallet(buyer) == 2500
    assert await till.audited("funding.unmatched") >= 1
