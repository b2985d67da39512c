"""Top-ups by test card at the real sandbox, with the unmodified SDK."""

import asyncio
from uuid import uuid4

import pytest

from fondaco import inbox, wallets
from fondaco.core.db import SYSTEM
from fondaco.core.problem import Invalid, NotFound, TooMany
from fondaco.integrations.stripe import StripeGateway
from fondaco.ledger import platform
from fondaco.wallets import PaymentUnavailable
from tests.support.money import Till, amount_on, journals, make_buyer


async def test_a_card_fills_the_wallet_once(till: Till) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer, 2500)
    assert (funding.state, funding.amount, funding.currency) == ("PROCESSING", 2500, "EUR")
    assert funding.payable_at and funding.payable_at.startswith(till.sandbox.url)
    assert await till.wallet(buyer) == 0

    till.sandbox.pay(funding.session_id or "")
    await till.deliver_all()
    await till.deliver_all()  # every event once more
    for _ in range(3):
        await inbox.check_own_funding(till.db, till.gateway, buyer, funding.id)
    funding = await till.funding(funding)

    assert (funding.state, funding.payable_at) == ("SUCCEEDED", None)
    assert funding.intent_id and funding.charge_id and funding.succeeded_at
    assert await till.wallet(buyer) == 2500
    assert await journals(till.db, "top_up") == [f"topup:{funding.intent_id}"]
    assert await amount_on(till.db, platform("psp_fees", "EUR")) == 2500 * 29 // 1000 + 30 + 1
    assert await till.psp() == await till.provider_balance()
    assert await till.audited("funding.succeeded") == 1
    await till.whole()


async def test_the_return_page_alone_settles(till: Till) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    found = await inbox.check_own_funding(till.db, till.gateway, buyer, funding.id)
    assert found.state == "SUCCEEDED"
    assert await till.wallet(buyer) == 2500


async def test_webhook_return_page_and_sweeper_at_once(till: Till) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "")
    for event in await till.events():
        await till.deliver(event)
    ids = [r["id"] for r in await till.db.fetch(SYSTEM, "SELECT id FROM inbox.event")]
    await asyncio.gather(
        *(inbox.handle_event(till.db, till.gateway, i) for i in ids for _ in range(2)),
        *(inbox.check_own_funding(till.db, till.gateway, buyer, funding.id) for _ in range(3)),
        *(inbox.check_funding(till.db, till.gateway, funding.id) for _ in range(3)),
    )
    await till.work()
    assert await till.wallet(buyer) == 2500
    assert await till.audited("funding.succeeded") == 1
    await till.whole()


@pytest.mark.parametrize("amount", [-1, 0, 499, 50_001, 2**31, 2**63])
async def test_amounts_outside_the_limits_are_refused_in_words(till: Till, amount: int) -> None:
    buyer = await make_buyer(till.db)
    with pytest.raises(Invalid) as caught:
        await till.top_up(buyer, amount)
    assert caught.value.fields == {"amount": "Between €5.00 and €500.00."}
    assert await till.db.fetchval(SYSTEM, "SELECT count(*) FROM wallets.funding") == 0


async def test_somebody_elses_top_up_does_not_exist(till: Till) -> None:
    buyer, other = await make_buyer(till.db), await make_buyer(till.db)
    funding = await till.top_up(buyer)
    for wanted in (funding.id, uuid4()):
        with pytest.raises(NotFound):
            await wallets.own_funding(till.db, other, wanted)
    assert await wallets.own_top_ups(till.db, other) == []
    assert [f.id for f in await wallets.own_top_ups(till.db, buyer)] == [funding.id]


async def test_too_many_top_ups_are_slowed_down(till: Till) -> None:
    buyer = await make_buyer(till.db)
    hits = "SELECT max(core.hit($1, 30, 3600)) FROM generate_series(1, 30)"
    assert await till.db.fetchval(SYSTEM, hits, f"top_up:{buyer.user()}") == 0
    with pytest.raises(TooMany) as caught:
        await till.top_up(buyer)
    assert 0 < caught.value.retry_after <= 3600


async def test_a_declined_card_leaves_the_page_open(till: Till) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    till.sandbox.control.post(f"/sandbox/pay/{funding.session_id}", json={"card": "4000000000000002"})
    await till.deliver_all()
    assert (await till.funding(funding)).state == "PROCESSING"
    till.sandbox.pay(funding.session_id or "")
    await till.deliver_all()
    assert (await till.funding(funding)).state == "SUCCEEDED"
    assert await till.wallet(buyer) == 2500


@pytest.mark.parametrize(
    ("account", "state", "money"),
    [("bank_debit_success", "SUCCEEDED", 2500), ("bank_debit_failure", "FAILED", 0)],
)
async def test_a_bank_debit_arrives_late_or_not_at_all(
    till: Till, account: str, state: str, money: int
) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    till.sandbox.pay(funding.session_id or "", account)
    await till.deliver_all()
    waiting = await till.funding(funding)
    assert (waiting.state, waiting.payable_at) == ("PROCESSING", None)
    assert await till.wallet(buyer) == 0
    assert await wallets.close_funding(till.db, till.gateway, till.settings, funding.id) == "processing"

    till.sandbox.advance(60)
    await till.deliver_all()
    found = await till.funding(funding)
    assert found.state == state
    assert bool(found.failure) == (state == "FAILED")
    assert await till.wallet(buyer) == money
    await till.whole()


async def test_an_expired_page_is_noted(till: Till) -> None:
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    till.sandbox.advance(2 * 3600)
    await till.deliver_all()
    assert (await till.funding(funding)).state == "EXPIRED"
    assert await till.audited("funding.expired") == 1
    await till.whole()


async def test_a_lost_answer_is_found_again_by_the_same_key(till: Till) -> None:
    """The session exists, we never heard: the sweeper asks with the same key and gets the same page."""
    buyer = await make_buyer(till.db)
    till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/checkout"})
    with pytest.raises(PaymentUnavailable):
        await wallets.start_top_up(till.db, till.impatient, till.settings, buyer, 2500)
    [funding] = await wallets.own_top_ups(till.db, buyer)
    assert (funding.state, funding.session_id) == ("CREATED", None)

    await till.db.execute(
        SYSTEM,
        "UPDATE wallets.funding SET called_at = now() - interval '5 minutes', "
        "created_at = created_at - interval '5 minutes', expires_at = expires_at",
    )
    assert await inbox.sweep_fundings(till.db, till.gateway, till.settings) == 1
    found = await till.funding(funding)
    assert found.state == "PROCESSING"
    sessions = (await till.gateway.client.v1.checkout.sessions.list_async()).data
    assert [s.id for s in sessions] == [found.session_id]


async def test_paid_before_we_knew_the_page(till: Till) -> None:
    """Answer lost, the buyer pays anyway: the event names the funding."""
    buyer = await make_buyer(till.db)
    till.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/checkout"})
    with pytest.raises(PaymentUnavailable):
        await wallets.start_top_up(till.db, till.impatient, till.settings, buyer, 2500)
    [session] = (await till.gateway.client.v1.checkout.sessions.list_async()).data
    till.sandbox.pay(session.id)
    await till.deliver_all()
    [funding] = await wallets.own_top_ups(till.db, buyer)
    assert (funding.state, funding.session_id) == ("SUCCEEDED", session.id)
    assert await till.wallet(buyer) == 2500
    await till.whole()


async def test_a_provider_that_is_away_costs_nothing(till: Till) -> None:
    buyer = await make_buyer(till.db)
    nowhere = till.settings.model_copy(update={"stripe_api_base": "http://127.0.0.1:9"})
    away = StripeGateway(nowhere)
    with pytest.raises(PaymentUnavailable):
        await wallets.start_top_up(till.db, away, till.settings, buyer, 1000)
    [funding] = await wallets.own_top_ups(till.db, buyer)
    assert funding.state == "CREATED"
    assert await wallets.close_funding(till.db, away, till.settings, funding.id) == "unknown"
    assert await wallets.close_funding(till.db, till.gateway, till.settings, funding.id) == "closed"
    assert (await till.funding(funding)).state == "EXPIRED"


async def test_closing_a_page_and_paying_it_at_once(till: Till) -> None:
    """Whoever wins, the money and the state agree."""
    for n in range(6):
        buyer = await make_buyer(till.db)
        funding = await till.top_up(buyer)

        async def pay(session: str = funding.session_id or "", first: bool = n % 2 == 0) -> None:
            if not first:
                await asyncio.sleep(0)
            await asyncio.to_thread(
                till.sandbox.control.post, f"/sandbox/pay/{session}", json={"card": "4242424242424242"}
            )

        closing, _ = await asyncio.gather(
            wallets.close_funding(till.db, till.gateway, till.settings, funding.id), pay()
        )
        await till.deliver_all()
        found = await till.funding(funding)
        if closing == "closed":
            assert (found.state, await till.wallet(buyer)) == ("EXPIRED", 0)
        else:
            assert (found.state, await till.wallet(buyer)) == ("SUCCEEDED", 2500)
    await till.whole()


async def test_a_late_success_is_credited(till: Till) -> None:
    """We took it for expired; the money came: it belongs to the buyer."""
    buyer = await make_buyer(till.db)
    funding = await till.top_up(buyer)
    await till.db.execute(SYSTEM, "UPDATE wallets.funding SET state = 'EXPIRED'")
    till.sandbox.pay(funding.session_id or "")
    await till.deliver_all()
    assert (await till.funding(funding)).state == "SUCCEEDED"
    assert await till.wallet(buyer) == 2500
    await till.whole()
