"""Sellers' accounts, transfers and reversals through the gateway, with lost answers and stored failures."""

from uuid import uuid4

import pytest

from fondaco.integrations.stripe_balance import bank_payout_facts
from fondaco.integrations.stripe_connect import TransferFacts, transfer_facts
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown
from tests.integrations.conftest import Desk

DAY = 86_400


async def test_an_account_from_opening_to_rejection(desk: Desk) -> None:
    seller_id = uuid4()
    asked = {"country": "DE", "email": "seller@example.test", "key": "account:1"}
    made = await desk.gateway.create_account(seller_id, **asked)
    assert (made.seller_ref, made.country, made.default_currency) == (str(seller_id), "DE", "EUR")
    assert not (made.details_submitted or made.transfers_active or made.payouts_enabled)
    assert made.disabled_reason == "requirements.past_due" and "external_account" in made.currently_due
    assert (await desk.gateway.create_account(seller_id, **asked)).id == made.id
    link = await desk.gateway.create_account_link(
        made.id, return_url="http://127.0.0.1/back", refresh_url="http://127.0.0.1/again"
    )
    assert "/c/connect/" in link
    desk.sandbox.post(f"/sandbox/accounts/{made.id}", choice="verified")
    whole = await desk.gateway.retrieve_account(made.id)
    assert whole.details_submitted and whole.transfers_active and whole.payouts_enabled
    assert (whole.currently_due, whole.past_due, whole.disabled_reason) == ([], [], None)
    desk.sandbox.post(f"/sandbox/accounts/{made.id}", reject="fraud")
    rejected = await desk.gateway.retrieve_account(made.id)
    assert (rejected.transfers_active, rejected.disabled_reason) == (False, "rejected.fraud")


async def test_an_account_that_is_gone_is_refused_for_good(desk: Desk) -> None:
    with pytest.raises(ProviderRefused) as caught:
        await desk.gateway.retrieve_account("acct_nobody")
    assert caught.value.code == "account_invalid"


async def send(desk: Desk, account: str, payout_id: object, attempt: int = 1) -> TransferFacts:
    return await desk.gateway.create_transfer(
        payout_id,  # type: ignore[arg-type]
        attempt=attempt,
        amount=1000,
        currency="EUR",
        destination=account,
    )


async def test_one_transfer_per_payout_and_attempt(desk: Desk) -> None:
    account, payout_id = await desk.seller(), uuid4()
    await desk.pay()
    before = (await desk.gateway.available())["EUR"]
    first = await send(desk, account, payout_id)
    assert (await send(desk, account, payout_id)).id == first.id
    assert (first.amount, first.currency, first.destination) == (1000, "EUR", account)
    assert (first.group, first.payout_ref) == (f"payout:{payout_id}", str(payout_id))
    assert (await desk.gateway.available())["EUR"] == before - 1000
    assert await desk.gateway.available(account) == {"EUR": 1000}
    second = await send(desk, account, payout_id, attempt=2)
    found = await desk.gateway.list_transfers(f"payout:{payout_id}")
    assert [each.id for each in found] == [second.id, first.id]


async def test_a_lost_answer_is_found_by_listing(desk: Desk) -> None:
    account, payout_id = await desk.seller(), uuid4()
    await desk.pay()
    desk.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/transfers"})
    with pytest.raises(ProviderUnknown) as caught:
        await send(desk, account, payout_id)
    assert caught.value.burnt is False
    [found] = await desk.gateway.list_transfers(f"payout:{payout_id}")
    assert (await send(desk, account, payout_id)).id == found.id


async def test_a_stored_failure_burns_its_key(desk: Desk) -> None:
    account, payout_id = await desk.seller(), uuid4()
    await desk.pay()
    desk.sandbox.post("/sandbox/faults", fail_after={"count": 1, "path": "/v1/transfers"})
    with pytest.raises(ProviderUnknown) as caught:
        await send(desk, account, payout_id)
    assert caught.value.burnt is False
    with pytest.raises(ProviderUnknown) as caught:
        await send(desk, account, payout_id)
    assert caught.value.burnt is True
    known = await desk.gateway.list_transfers(f"payout:{payout_id}")
    assert len(known) == 1, "the work was done before the 500: only listing shows it"


async def test_refusals_have_codes(desk: Desk) -> None:
    account = await desk.seller()
    for destination, code in (
        (account, "balance_insufficient"),
        ("acct_nobody", "resource_missing"),
        (await desk.seller("refused"), "insufficient_capabilities_for_transfer"),
    ):
        with pytest.raises(ProviderRefused) as caught:
            await send(desk, destination, uuid4())
        assert caught.value.code == code


async def test_reversals(desk: Desk) -> None:
    account = await desk.seller()
    await desk.pay()
    transfer = await send(desk, account, uuid4())
    back = await desk.gateway.create_reversal(transfer.id, amount=400, key="reversal:1")
    again = await desk.gateway.create_reversal(transfer.id, amount=400, key="reversal:1")
    assert (back.id, back.amount, back.transfer_id, back.reversal_ref) == (
        again.id,
        400,
        transfer.id,
        "reversal:1",
    )
    known = await desk.gateway.retrieve_transfer(transfer.id)
    assert (known.reversed_amount, [each.id for each in known.reversals]) == (400, [back.id])
    assert await desk.gateway.list_reversals(transfer.id) == known.reversals
    desk.sandbox.advance(DAY)
    with pytest.raises(ProviderRefused) as caught:
        await desk.gateway.create_reversal(transfer.id, amount=600, key="reversal:2")
    assert caught.value.code == "balance_insufficient"


async def test_bank_payouts_of_an_account(desk: Desk) -> None:
    account = await desk.seller("bank_fails")
    await desk.pay()
    await send(desk, account, uuid4())
    desk.sandbox.advance(4 * DAY)
    [payout] = await desk.gateway.list_bank_payouts(account, 0)
    assert (payout.account_id, payout.status, payout.failure_code) == (account, "failed", "no_account")
    assert await desk.gateway.retrieve_bank_payout(payout.id, account) == payout
    events = [each async for each in desk.gateway.list_events(0, ["payout.paid", "payout.failed"], account)]
    assert [event["type"] for event in events] == ["payout.failed", "payout.paid"]
    assert {event["account"] for event in events} == {account}
    assert bank_payout_facts(events[0]["data"]["object"], account) == payout
    assert [each async for each in desk.gateway.list_events(0, ["payout.paid", "payout.failed"])] == []


async def test_an_event_gives_the_same_facts_as_asking(desk: Desk) -> None:
    account = await desk.seller()
    await desk.pay()
    transfer = await send(desk, account, uuid4())
    [event] = [each async for each in desk.gateway.list_events(0, ["transfer.created"])]
    assert transfer_facts(event["data"]["object"]) == transfer


async def test_balance_transactions_are_read_in_pages(desk: Desk) -> None:
    account = await desk.seller()
    for _ in range(2):
        await desk.pay()
    for _ in range(110):
        await desk.gateway.create_transfer(uuid4(), attempt=1, amount=10, currency="EUR", destination=account)
    found = [each async for each in desk.gateway.list_balance_transactions(0, 2**33)]
    assert len(found) == 112 and len({each.id for each in found}) == 112
    assert [each.type for each in found[-2:]] == ["charge", "charge"]
    assert sum(each.net for each in found) == (await desk.gateway.whole_balance())["EUR"]
    rest = [each async for each in desk.gateway.list_balance_transactions(0, 2**33, after=found[105].id)]
    assert rest == found[106:]
    assert await desk.gateway.retrieve_balance_transaction(found[0].id) == found[0]
    assert [each async for each in desk.gateway.list_balance_transactions(0, found[-1].created)] == []
    one = desk.gateway.list_balance_transactions(0, 2**33, source=str(found[0].source_id))
    assert [each.id async for each in one] == [found[0].id]


async def test_a_destination_charge_and_its_refund(desk: Desk) -> None:
    account = await desk.seller()
    paid = await desk.pay(10_000, destination=account, fee=1000)
    assert (await desk.gateway.whole_balance(account)) == {"EUR": 9000}
    movements = {each.type: each async for each in desk.gateway.list_balance_transactions(0, 2**33)}
    assert {kind: each.amount for kind, each in movements.items()} == {
        "charge": 10_000,
        "transfer": -10_000,
        "application_fee": 1000,
    }
    transfer = await desk.gateway.retrieve_transfer(str(movements["transfer"].source_id))
    assert (transfer.charge_id, transfer.payout_ref) == (paid.charge_id, "")
    refund = await desk.gateway.create_refund(
        refund_id=uuid4(),
        attempt=1,
        intent_id=paid.intent_id or "",
        amount=10_000,
        reverse_transfer=True,
        refund_fee=True,
    )
    assert refund.state == "succeeded"
    assert (await desk.gateway.whole_balance(account)) == {"EUR": 0}
