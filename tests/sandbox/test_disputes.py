"""Disputes, inquiries and early fraud warnings, from the test cards and from the control API."""

import pytest
import stripe

from tests.sandbox.conftest import intent_params
from tests.sandbox.receiver import Receiver
from tests.sandbox.test_refunds import paid
from tests.support.sandbox import RunningSandbox

DAY = 86_400


def disputed(api: stripe.StripeClient, sandbox: RunningSandbox, **how: object) -> stripe.Dispute:
    intent = paid(api)
    made = sandbox.post(f"/sandbox/charges/{intent.latest_charge}/dispute", **how)
    return api.v1.disputes.retrieve(made["id"])


def answer(api: stripe.StripeClient, dispute: str, text: str, *, submit: bool = True) -> stripe.Dispute:
    return api.v1.disputes.update(dispute, {"evidence": {"uncategorized_text": text}, "submit": submit})


def movements(api: stripe.StripeClient, dispute: str) -> list[tuple[int, int, str]]:
    known = api.v1.disputes.retrieve(dispute).balance_transactions
    return [(each.amount, each.fee, each.reporting_category) for each in known]


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("pm_card_createDispute", [("fraudulent", "needs_response", 2000)]),
        (
            "pm_card_createDisputeProductNotReceived",
            [("product_not_received", "needs_response", 2000)],
        ),
        ("pm_card_createDisputeInquiry", [("fraudulent", "warning_needs_response", 2000)]),
        (
            "pm_card_createMultipleDisputes",
            [("product_unacceptable", "needs_response", 1000), ("fraudulent", "needs_response", 1000)],
        ),
    ],
)
def test_cards_that_are_disputed(
    api: stripe.StripeClient,
    sandbox: RunningSandbox,
    receiver: Receiver,
    card: str,
    expected: list[tuple[str, str, int]],
) -> None:
    intent = paid(api, card)
    sandbox.advance(5)
    found = api.v1.disputes.list({"payment_intent": intent.id}).data
    assert [(each.reason, each.status, each.amount) for each in found] == expected
    assert receiver.types.count("charge.dispute.created") == len(expected)


def test_won_by_evidence(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    dispute = disputed(api, sandbox)
    staged = answer(api, dispute.id, "half a story", submit=False)
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    sent = answer(api, dispute.id, "winning_evidence")
    assert (sent.status, sent.evidence_details.submission_count) == ("under_review", 1)
    with pytest.raises(stripe.InvalidRequestError, match="only once"):
        answer(api, dispute.id, "more")
    sandbox.advance(5)
    assert api.v1.disputes.retrieve(dispute.id).status == "won"
    assert movements(api, dispute.id) == [(-2000, 1500, "dispute"), (2000, 0, "dispute_reversal")]
    assert sum(each.net for each in api.v1.balance_transactions.list()) == 2000 - 88 - 1500
    told = [kind for kind in receiver.types if kind.startswith("charge.dispute")]
    assert sorted(set(told)) == [
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
    ]
    facts = [line["fact"] for line in sandbox.truth() if line["fact"].startswith("dispute.")]
    assert facts == [
        "dispute.funds_withdrawn",
        "dispute.created",
        "dispute.submitted",
        "dispute.won",
        "dispute.funds_reinstated",
    ]


def test_lost_by_evidence_and_turned_round_later(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    dispute = disputed(api, sandbox)
    answer(api, dispute.id, "losing_evidence")
    sandbox.advance(5)
    assert api.v1.disputes.retrieve(dispute.id).status == "lost"
    assert movements(api, dispute.id) == [(-2000, 1500, "dispute")]
    sandbox.post(f"/sandbox/disputes/{dispute.id}/resolve", outcome="won", return_fee=True)
    assert api.v1.disputes.retrieve(dispute.id).status == "won"
    assert movements(api, dispute.id)[1] == (2000, -1500, "dispute_reversal")
    assert sum(each.net for each in api.v1.balance_transactions.list()) == 2000 - 88
    sandbox.settle()
    assert receiver.types.count("charge.dispute.closed") == 1
    refused = sandbox.control.post(f"/sandbox/disputes/{dispute.id}/resolve", json={"outcome": "lost"})
    assert refused.status_code == 400


def test_evidence_that_says_nothing_is_decided_after_weeks(
    api: stripe.StripeClient, sandbox: RunningSandbox
) -> None:
    dispute = disputed(api, sandbox)
    answer(api, dispute.id, "the key was revealed and used")
    sandbox.advance(20 * DAY)
    assert api.v1.disputes.retrieve(dispute.id).status == "under_review"
    sandbox.advance(41 * DAY)
    assert api.v1.disputes.retrieve(dispute.id).status == "lost"


def test_too_late(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    dispute = disputed(api, sandbox, answer_within=3 * DAY)
    assert dispute.evidence_details.due_by == dispute.created + 3 * DAY
    sandbox.advance(3 * DAY)
    known = api.v1.disputes.retrieve(dispute.id)
    assert (known.status, known.evidence_details.past_due) == ("lost", True)
    with pytest.raises(stripe.InvalidRequestError):
        answer(api, dispute.id, "winning_evidence")


def test_given_up(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    dispute = disputed(api, sandbox)
    assert api.v1.disputes.close(dispute.id).status == "lost"
    with pytest.raises(stripe.InvalidRequestError):
        api.v1.disputes.close(dispute.id)


def test_an_inquiry_takes_no_money_and_closes(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    dispute = disputed(api, sandbox, inquiry=True)
    assert (dispute.status, dispute.is_charge_refundable) == ("warning_needs_response", True)
    assert dispute.balance_transactions == []
    assert answer(api, dispute.id, "we delivered").status == "warning_under_review"
    sandbox.advance(120 * DAY)
    assert api.v1.disputes.retrieve(dispute.id).status == "warning_closed"
    assert movements(api, dispute.id) == []


def test_a_whole_refund_ends_an_inquiry(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    dispute = disputed(api, sandbox, inquiry=True)
    api.v1.refunds.create({"charge": str(dispute.charge), "amount": 500})
    assert api.v1.disputes.retrieve(dispute.id).status == "warning_needs_response"
    api.v1.refunds.create({"charge": str(dispute.charge)})
    assert api.v1.disputes.retrieve(dispute.id).status == "warning_closed"


def test_an_inquiry_escalates(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    dispute = disputed(api, sandbox, inquiry=True)
    answer(api, dispute.id, "escalate_inquiry_evidence")
    sandbox.advance(5)
    known = api.v1.disputes.retrieve(dispute.id)
    assert (known.status, known.is_charge_refundable) == ("needs_response", False)
    assert movements(api, dispute.id) == [(-2000, 1500, "dispute")]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.refunds.create({"charge": str(dispute.charge)})
    assert caught.value.code == "charge_disputed"
    assert answer(api, dispute.id, "winning_evidence").status == "under_review"


def test_prevented_gives_the_money_back(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    dispute = disputed(api, sandbox)
    sandbox.post(f"/sandbox/disputes/{dispute.id}/resolve", outcome="prevented", return_fee=True)
    assert api.v1.disputes.retrieve(dispute.id).status == "prevented"
    assert sum(each.net for each in api.v1.balance_transactions.list()) == 2000 - 88


def test_never_more_than_was_paid(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    intent = paid(api)
    charge = str(intent.latest_charge)
    api.v1.refunds.create({"charge": charge, "amount": 500})
    path = f"/sandbox/charges/{charge}/dispute"
    assert sandbox.control.post(path, json={"amount": 1501}).status_code == 400
    assert sandbox.post(path, amount=700)["amount"] == 700
    assert sandbox.post(path)["amount"] == 800
    assert sandbox.control.post(path, json={}).status_code == 400
    assert sandbox.control.post("/sandbox/charges/ch_nobody/dispute", json={}).status_code == 404


def test_evidence_is_checked(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    dispute = disputed(api, sandbox)
    with pytest.raises(stripe.InvalidRequestError, match="150,000"):
        answer(api, dispute.id, "x" * 150_001)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.disputes.update(dispute.id, {"evidence": {"receipt": "file_nobody"}})
    assert caught.value.param == "evidence[receipt]"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.disputes.update(dispute.id, {"evidence": {"colour": "red"}})  # type: ignore[typeddict-unknown-key]
    assert caught.value.code == "parameter_unknown"
    assert api.v1.disputes.retrieve(dispute.id).evidence_details.has_evidence is False


def test_the_same_key_submits_once(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    dispute = disputed(api, sandbox)
    params: dict[str, object] = {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True}
    sandbox.post("/sandbox/faults", lose_answer={"count": 1, "path": "/v1/disputes"})
    with pytest.raises(stripe.APIConnectionError):
        api.v1.disputes.update(dispute.id, params, {"idempotency_key": "e"})  # type: ignore[arg-type]
    again = api.v1.disputes.update(dispute.id, params, {"idempotency_key": "e"})  # type: ignore[arg-type]
    assert (again.status, again.evidence_details.submission_count) == ("under_review", 1)


def test_early_fraud_warning(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    intent = paid(api, "pm_card_createIssuerFraudRecord")
    sandbox.advance(5)
    warning = api.v1.radar.early_fraud_warnings.list({"payment_intent": intent.id}).data[0]
    assert (warning.actionable, warning.charge) == (True, intent.latest_charge)
    assert api.v1.disputes.list().data == []
    api.v1.refunds.create({"payment_intent": intent.id})
    assert api.v1.radar.early_fraud_warnings.retrieve(warning.id).actionable is False
    sandbox.settle()
    warned = [kind for kind in receiver.types if kind.startswith("radar.")]
    assert warned == ["radar.early_fraud_warning.created", "radar.early_fraud_warning.updated"]
    refused = sandbox.control.post(f"/sandbox/charges/{intent.latest_charge}/dispute", json={})
    assert refused.status_code == 400, "a fully refunded payment cannot be disputed"


def test_a_warning_is_settled_by_the_dispute_that_follows(
    api: stripe.StripeClient, sandbox: RunningSandbox
) -> None:
    intent = paid(api)
    warning = sandbox.post(f"/sandbox/charges/{intent.id}/warn", fraud_type="misc")
    sandbox.post(f"/sandbox/charges/{intent.id}/dispute")
    assert api.v1.radar.early_fraud_warnings.retrieve(warning["id"]).actionable is False


def test_disputes_in_currencies_without_and_with_three_decimals(
    api: stripe.StripeClient, sandbox: RunningSandbox
) -> None:
    for currency, amount in (("jpy", 5000), ("kwd", 12_340)):
        intent = api.v1.payment_intents.create(intent_params(currency=currency, amount=amount))  # type: ignore[arg-type]
        made = sandbox.post(f"/sandbox/charges/{intent.id}/dispute")
        assert (made["currency"], made["amount"]) == (currency, amount)
