"""Disputes and warnings as the gateway sees them."""

import pytest

from fondaco.integrations.stripe_disputes import dispute_facts, warning_facts
from fondaco.integrations.stripe_facts import ProviderRefused, ProviderUnknown
from tests.integrations.conftest import Desk


async def test_a_dispute_from_opening_to_reinstatement(desk: Desk) -> None:
    paid = await desk.pay(5000)
    made = desk.sandbox.post(f"/sandbox/charges/{paid.charge_id}/dispute")
    known = await desk.gateway.retrieve_dispute(made["id"])
    assert (known.charge_id, known.intent_id) == (paid.charge_id, paid.intent_id)
    assert (known.amount, known.currency, known.status) == (5000, "EUR", "needs_response")
    assert known.evidence_due_by == made["evidence_details"]["due_by"]
    assert [(each.amount, each.fee, each.net) for each in known.balance_transactions] == [
        (-5000, 1500, -6500)
    ]
    staged = await desk.gateway.submit_evidence(known.id, {"product_description": "A key"}, False, "e:1")
    assert (staged.status, staged.has_evidence, staged.submission_count) == ("needs_response", True, 0)
    text = {"uncategorized_text": "winning_evidence"}
    sent = await desk.gateway.submit_evidence(known.id, text, True, "e:2")
    assert (sent.status, sent.submission_count) == ("under_review", 1)
    with pytest.raises(ProviderRefused):
        await desk.gateway.submit_evidence(known.id, text, True, "e:3")
    desk.sandbox.advance(5)
    won = await desk.gateway.retrieve_dispute(known.id)
    assert won.status == "won" and sum(each.amount for each in won.balance_transactions) == 0
    [event] = [each async for each in desk.gateway.list_events(0, ["charge.dispute.closed"])]
    assert dispute_facts(event["data"]["object"]).status == "won"
    assert await desk.gateway.list_disputes(intent_id=paid.intent_id or "") == [won]
    assert await desk.gateway.list_disputes() == [won]


async def test_a_lost_answer_to_evidence_is_resolved_by_asking(desk: Desk) -> None:
    paid = await desk.pay()
    made = desk.sandbox.post(f"/sandbox/charges/{paid.charge_id}/dispute")
    desk.sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/disputes"})
    with pytest.raises(ProviderUnknown):
        await desk.gateway.submit_evidence(made["id"], {"uncategorized_text": "x"}, True, "e")
    assert (await desk.gateway.retrieve_dispute(made["id"])).submission_count == 1


async def test_giving_up(desk: Desk) -> None:
    paid = await desk.pay()
    made = desk.sandbox.post(f"/sandbox/charges/{paid.charge_id}/dispute")
    assert (await desk.gateway.close_dispute(made["id"], "close:1")).status == "lost"


async def test_a_warning(desk: Desk) -> None:
    paid = await desk.pay()
    made = desk.sandbox.post(f"/sandbox/charges/{paid.charge_id}/warn", fraud_type="misc")
    known = await desk.gateway.retrieve_warning(made["id"])
    assert (known.charge_id, known.actionable, known.fraud_type) == (paid.charge_id, True, "misc")
    assert await desk.gateway.list_warnings(0) == [known]
    kinds = ["radar.early_fraud_warning.created"]
    [event] = [each async for each in desk.gateway.list_events(0, kinds)]
    assert warning_facts(event["data"]["object"]) == known
