"""Destination charges: the seller's account gets the payment at once, the platform keeps a fee."""

import pytest
import stripe

from tests.sandbox.conftest import intent_params, session_params
from tests.sandbox.receiver import Receiver
from tests.sandbox.test_transfers import DAY, seller, usable
from tests.support.sandbox import RunningSandbox


def net(api: stripe.StripeClient, account: str | None = None) -> int:
    """Everything on a balance, pending or not."""
    options = {"stripe_account": account} if account else {}
    entries = api.v1.balance_transactions.list({"limit": 100}, options=options)  # type: ignore[arg-type]
    return sum(each.net for each in entries)


def pay(
    api: stripe.StripeClient, sandbox: RunningSandbox, account: str, fee: int | None = 300
) -> stripe.Charge:
    """A checkout of 25.00 EUR for the seller; its charge."""
    data: dict[str, object] = {"transfer_data": {"destination": account}}
    if fee is not None:
        data["application_fee_amount"] = fee
    session = api.v1.checkout.sessions.create(session_params(payment_intent_data=data))  # type: ignore[arg-type]
    paid = sandbox.pay(session.id)
    intent = api.v1.payment_intents.retrieve(paid["payment_intent"], {"expand": ["latest_charge"]})
    assert isinstance(intent.latest_charge, stripe.Charge)
    return intent.latest_charge


def test_the_seller_gets_it_less_the_fee(
    api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver
) -> None:
    account = seller(api, sandbox)
    charge = pay(api, sandbox, account)
    assert (charge.application_fee_amount, charge.transfer_data and charge.transfer_data.destination) == (
        300,
        account,
    )
    transfer = api.v1.transfers.retrieve(str(charge.transfer))
    assert (transfer.amount, transfer.source_transaction, transfer.destination) == (2500, charge.id, account)
    fee = api.v1.application_fees.retrieve(str(charge.application_fee))
    assert (fee.amount, fee.account, fee.charge) == (300, account, transfer.destination_payment)
    assert [each.id for each in api.v1.application_fees.list()] == [fee.id]
    kinds = {each.type: each.amount for each in api.v1.balance_transactions.list()}
    assert kinds == {"charge": 2500, "transfer": -2500, "application_fee": 300}
    stripe_fee = (2500 * 29 + 500) // 1000 + 30
    assert (net(api), net(api, account)) == (300 - stripe_fee, 2200)
    entry = api.v1.balance_transactions.list(options={"stripe_account": account}).data[0]
    assert [(each.type, each.amount) for each in entry.fee_details] == [("application_fee", 300)]
    assert usable(api, account) == 0, "pending as long as the charge is"
    sandbox.advance(2 * DAY)
    assert sum(each.amount for each in api.v1.payouts.list(options={"stripe_account": account})) == 2200
    assert {"transfer.created", "application_fee.created"} <= set(receiver.types)


def test_refund_takes_both_parts_back(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox)
    charge = pay(api, sandbox, account)
    sandbox.post("/sandbox/available")
    before = net(api)
    refund = api.v1.refunds.create(
        {"charge": charge.id, "amount": 833, "reverse_transfer": True, "refund_application_fee": True}
    )
    reversal = api.v1.transfers.reversals.list(str(charge.transfer)).data[0]
    assert (refund.transfer_reversal, reversal.amount, reversal.source_refund) == (
        reversal.id,
        833,
        refund.id,
    )
    fee = api.v1.application_fees.retrieve(str(charge.application_fee))
    assert fee.amount_refunded == 300 * 833 // 2500
    assert net(api) == before - fee.amount_refunded
    assert net(api, account) == 2200 - 833 + fee.amount_refunded
    api.v1.refunds.create({"charge": charge.id, "reverse_transfer": True, "refund_application_fee": True})
    fee = api.v1.application_fees.retrieve(fee.id)
    assert (fee.refunded, net(api, account), net(api)) == (True, 0, before - 300)
    assert [each.amount for each in api.v1.application_fees.refunds.list(fee.id)] == [201, 99]
    assert [each.amount for each in fee.refunds.data] == [201, 99]


def test_a_refund_without_the_seller_is_the_platforms(
    api: stripe.StripeClient, sandbox: RunningSandbox
) -> None:
    account = seller(api, sandbox)
    charge = pay(api, sandbox, account)
    before = net(api)
    api.v1.refunds.create({"charge": charge.id, "amount": 1000})
    assert (net(api), net(api, account)) == (before - 1000, 2200)


def test_a_reversal_that_the_account_cannot_pay_refuses_the_refund(
    api: stripe.StripeClient, sandbox: RunningSandbox
) -> None:
    account = seller(api, sandbox)
    charge = pay(api, sandbox, account)
    sandbox.post("/sandbox/available")
    sandbox.post(f"/sandbox/accounts/{account}/payout")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.refunds.create({"charge": charge.id, "reverse_transfer": True})
    assert caught.value.code == "balance_insufficient"
    assert api.v1.refunds.list().data == []
    assert api.v1.refunds.create({"charge": charge.id}).status == "succeeded"


def test_a_dispute_takes_it_from_the_platform(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox)
    charge = pay(api, sandbox, account)
    before = net(api)
    sandbox.post(f"/sandbox/charges/{charge.id}/dispute")
    assert (net(api), net(api, account)) == (before - 2500 - 1500, 2200)


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ({"application_fee_amount": 100}, "payment_intent_data[application_fee_amount]"),
        ({"transfer_data": {"destination": "acct_nobody"}}, "transfer_data[destination]"),
        (
            {"transfer_data": {"destination": "SELLER"}, "application_fee_amount": 2501},
            "payment_intent_data[application_fee_amount]",
        ),
        (
            {"transfer_data": {"destination": "SELLER", "amount": 100}, "application_fee_amount": 1},
            "payment_intent_data[application_fee_amount]",
        ),
    ],
)
def test_refused(
    api: stripe.StripeClient, sandbox: RunningSandbox, data: dict[str, object], param: str
) -> None:
    account = seller(api, sandbox)
    passed_on = data.get("transfer_data")
    if isinstance(passed_on, dict) and passed_on["destination"] == "SELLER":
        data = {**data, "transfer_data": {**passed_on, "destination": account}}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.checkout.sessions.create(session_params(payment_intent_data=data))  # type: ignore[arg-type]
    assert caught.value.param == param


def test_a_fixed_part_through_an_intent(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    account = seller(api, sandbox)
    data = {"destination": account, "amount": 1800}
    intent = api.v1.payment_intents.create(intent_params(currency="eur", transfer_data=data))  # type: ignore[arg-type]
    charge = api.v1.charges.retrieve(str(intent.latest_charge), {"expand": ["transfer"]})
    assert isinstance(charge.transfer, stripe.Transfer) and charge.transfer.amount == 1800
    assert (charge.application_fee, net(api, account)) == (None, 1800)
