"""Refunds, the balance, and disputes."""

import pytest
import stripe

from tests.sandbox.conftest import intent_params
from tests.sandbox.receiver import Receiver
from tests.support.sandbox import RunningSandbox


def paid(api: stripe.StripeClient, card: str = "pm_card_visa") -> stripe.PaymentIntent:
    return api.v1.payment_intents.create(intent_params(card))  # type: ignore[arg-type]


def test_partial_then_the_rest(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    intent = paid(api)
    first = api.v1.refunds.create(
        {
            "payment_intent": intent.id,
            "amount": 500,
            "reason": "requested_by_customer",
            "metadata": {"case": "1"},
        }
    )
    assert (first.status, first.amount, first.reason) == ("succeeded", 500, "requested_by_customer")
    charge = api.v1.charges.retrieve(str(intent.latest_charge), {"expand": ["refunds"]})
    assert (charge.amount_refunded, charge.refunded) == (500, False)
    assert charge.refunds and [each.id for each in charge.refunds.data] == [first.id]
    rest = api.v1.refunds.create({"charge": charge.id})
    assert rest.amount == 1500
    assert api.v1.charges.retrieve(charge.id).refunded is True
    entries = api.v1.balance_transactions.list({"type": "refund"})
    assert [(entry.amount, entry.fee, entry.source) for entry in entries] == [
        (-1500, 0, rest.id),
        (-500, 0, first.id),
    ]
    assert [each.id for each in api.v1.refunds.list({"payment_intent": intent.id})] == [rest.id, first.id]
    sandbox.settle()
    assert receiver.types.count("charge.refunded") == receiver.types.count("refund.created") == 2


def test_never_more_than_is_left(api: stripe.StripeClient) -> None:
    intent = paid(api)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount") as caught:
        api.v1.refunds.create({"payment_intent": intent.id, "amount": 2001})
    assert caught.value.param == "amount"
    api.v1.refunds.create({"payment_intent": intent.id, "amount": 1500})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        api.v1.refunds.create({"payment_intent": intent.id, "amount": 501})
    api.v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"
    assert sum(each.amount for each in api.v1.refunds.list()) == 2000


def test_what_cannot_be_refunded(api: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.refunds.create({"amount": 1})
    assert caught.value.code == "parameter_missing"
    unpaid = api.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        api.v1.refunds.create({"payment_intent": unpaid.id})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.refunds.create({"charge": "ch_nobody"})
    assert (caught.value.code, caught.value.http_status) == ("resource_missing", 400)
    with pytest.raises(stripe.InvalidRequestError, match="must be one of"):
        api.v1.refunds.create({"charge": "ch_nobody", "reason": "because"})


def test_refund_that_fails_later(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    intent = paid(api, "pm_card_refundFail")
    refund = api.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    sandbox.advance(5)
    failed = api.v1.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction", "charge"]})
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    entry = failed.failure_balance_transaction
    assert isinstance(entry, stripe.BalanceTransaction)
    assert (entry.type, entry.amount) == ("refund_failure", 2000)
    assert isinstance(failed.charge, stripe.Charge)
    assert (failed.charge.amount_refunded, failed.charge.refunded) == (0, False)
    assert sum(each.net for each in api.v1.balance_transactions.list()) == 2000 - 88
    assert {"refund.failed", "refund.updated", "charge.refund.updated"} <= set(receiver.types)


def test_refund_that_is_pending_first(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    intent = paid(api, "pm_card_pendingRefund")
    refund = api.v1.refunds.create({"payment_intent": intent.id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    sandbox.advance(5)
    assert api.v1.refunds.retrieve(refund.id).status == "succeeded"
    sandbox.advance(3600)
    assert receiver.types.count("refund.updated") == 1


def test_cancel(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    done = api.v1.refunds.create({"payment_intent": paid(api).id})
    with pytest.raises(stripe.InvalidRequestError, match="requires_action"):
        api.v1.refunds.cancel(done.id)
    intent = paid(api, "pm_usBankAccount_success")
    sandbox.advance(5)
    waiting = api.v1.refunds.create({"payment_intent": intent.id, "instructions_email": "buyer@example.com"})
    assert waiting.status == "requires_action"
    canceled = api.v1.refunds.cancel(waiting.id)
    assert canceled.status == "canceled"
    assert api.v1.refunds.create({"payment_intent": intent.id}).amount == 2000


def test_every_state_that_a_refund_can_take(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    sandbox.post("/sandbox/faults", refund_pends=3)
    for end in ("succeeded", "failed", "canceled"):
        refund = api.v1.refunds.create({"payment_intent": paid(api).id})
        assert refund.status == "pending"
        sandbox.post(f"/sandbox/refunds/{refund.id}", status="requires_action")
        sandbox.post(f"/sandbox/refunds/{refund.id}", status="pending")
        sandbox.post(f"/sandbox/refunds/{refund.id}", status=end, reason="declined")
        known = api.v1.refunds.retrieve(refund.id)
        assert known.status == end
        assert ("failure_balance_transaction" in known) == (end != "succeeded")
        again = sandbox.control.post(f"/sandbox/refunds/{refund.id}", json={"status": "pending"})
        assert again.status_code == 400
    sandbox.advance(3600)
    assert sorted(str(each.status) for each in api.v1.refunds.list()) == ["canceled", "failed", "succeeded"]
    assert receiver.types.count("refund.failed") == 1
    assert sum(each.net for each in api.v1.balance_transactions.list({"limit": 100})) == 3 * 1912 - 2000


def test_a_refund_that_succeeded_fails_after_weeks(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    intent = paid(api)
    refund = api.v1.refunds.create({"payment_intent": intent.id})
    sandbox.advance(20 * 86_400)
    sandbox.post(f"/sandbox/refunds/{refund.id}", status="failed", reason="lost_or_stolen_card")
    known = api.v1.refunds.retrieve(refund.id)
    assert (known.status, known.failure_reason) == ("failed", "lost_or_stolen_card")
    assert api.v1.refunds.create({"payment_intent": intent.id}).amount == 2000


def test_a_fault_lets_the_next_refund_fail_later(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    sandbox.post("/sandbox/faults", refund_fails=1)
    first, second = (api.v1.refunds.create({"payment_intent": paid(api).id}) for _ in range(2))
    sandbox.advance(5)
    assert api.v1.refunds.retrieve(first.id).status == "failed"
    assert api.v1.refunds.retrieve(second.id).status == "succeeded"


def test_metadata(api: stripe.StripeClient) -> None:
    refund = api.v1.refunds.create({"payment_intent": paid(api).id, "metadata": {"a": "1"}})
    changed = api.v1.refunds.update(refund.id, {"metadata": {"b": "2"}})
    assert changed.metadata is not None and changed.metadata.to_dict() == {"a": "1", "b": "2"}


def test_balance_matures_after_two_days(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    assert api.v1.balance.retrieve().available[0].amount == 0
    paid(api)
    balance = api.v1.balance.retrieve()
    assert (balance.available[0].amount, balance.pending[0].amount) == (0, 2000 - 88)
    sandbox.advance(2 * 86_400)
    balance = api.v1.balance.retrieve()
    assert (balance.available[0].amount, balance.pending[0].amount) == (2000 - 88, 0)
    assert api.v1.balance_transactions.list().data[0].status == "available"


def test_balance_transactions_are_filtered(api: stripe.StripeClient) -> None:
    intent = paid(api)
    refund = api.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    list_ = api.v1.balance_transactions.list
    assert [each.type for each in list_({"source": refund.id, "expand": ["data.source"]})] == ["refund"]
    entry = list_({"source": str(intent.latest_charge)}).data[0]
    assert api.v1.balance_transactions.retrieve(entry.id, {"expand": ["source"]}).type == "charge"
    assert list_({"created": {"gt": entry.created + 60}}).data == []
    with pytest.raises(stripe.InvalidRequestError) as caught:
        list_({"payout": "po_nobody"})
    assert caught.value.code == "resource_missing"


def test_dispute(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    intent = paid(api, "pm_card_createDispute")
    assert api.v1.disputes.list().data == []
    sandbox.advance(5)
    dispute = api.v1.disputes.list({"payment_intent": intent.id}).data[0]
    assert (dispute.status, dispute.amount, dispute.reason) == ("needs_response", 2000, "fraudulent")
    assert [(each.amount, each.fee, each.net) for each in dispute.balance_transactions] == [
        (-2000, 1500, -3500)
    ]
    assert api.v1.charges.retrieve(str(intent.latest_charge)).disputed is True
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_disputed"
    assert {"charge.dispute.created", "charge.dispute.funds_withdrawn"} <= set(receiver.types)
    sandbox.advance(9 * 86_400)
    assert api.v1.disputes.retrieve(dispute.id, {"expand": ["charge"]}).status == "lost"
    assert "charge.dispute.closed" in receiver.types


def test_no_dispute_after_a_whole_refund(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    intent = paid(api, "pm_card_createDispute")
    api.v1.refunds.create({"payment_intent": intent.id})
    sandbox.advance(60)
    assert api.v1.disputes.list().data == []
