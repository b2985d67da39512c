"""Checkout Sessions through the API and the control API."""

import re
import time

import pytest
import stripe

from tests.sandbox.conftest import session_params
from tests.sandbox.receiver import Receiver
from tests.support.sandbox import RunningSandbox


def test_paid_by_card(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    session = api.v1.checkout.sessions.create(
        session_params(
            client_reference_id="order-1",
            metadata={"order": "1"},
            payment_intent_data={"metadata": {"funding": "9"}, "description": "Order 1"},
        )
    )
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    assert (session.amount_total, session.currency) == (2500, "eur")
    outcome = sandbox.pay(session.id, email="buyer@example.com")
    assert outcome["success_url"] == f"http://127.0.0.1/paid?session={session.id}"
    paid = api.v1.checkout.sessions.retrieve(
        session.id, {"expand": ["payment_intent.latest_charge.balance_transaction", "line_items"]}
    )
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert paid.customer_details and paid.customer_details.email == "buyer@example.com"
    intent = paid.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    assert (intent.status, intent.amount_received, intent.metadata["funding"]) == ("succeeded", 2500, "9")
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    entry = charge.balance_transaction
    assert isinstance(entry, stripe.BalanceTransaction)
    assert (entry.amount, entry.fee, entry.net, entry.status) == (2500, 103, 2397, "pending")
    assert [detail.amount for detail in entry.fee_details] == [103]
    assert paid.line_items and paid.line_items.data[0].amount_total == 2500
    sandbox.settle()
    assert receiver.types == [
        "charge.succeeded",
        "checkout.session.completed",
        "payment_intent.created",
        "payment_intent.succeeded",
    ]


def test_line_items_are_listed(api: stripe.StripeClient) -> None:
    item = session_params()["line_items"][0]
    session = api.v1.checkout.sessions.create(session_params(line_items=[item] * 5))
    first = api.v1.checkout.sessions.line_items.list(session.id, {"limit": 2})
    assert (len(first.data), first.has_more) == (2, True)
    rest = api.v1.checkout.sessions.line_items.list(session.id, {"starting_after": first.data[1].id})
    assert (len(rest.data), rest.has_more) == (3, False)
    assert first.data[0].price
    price = api.v1.prices.retrieve(first.data[0].price.id, {"expand": ["product"]})
    assert isinstance(price.product, stripe.Product) and price.product.name == "Harbour Lights, Steam key"
    again = api.v1.checkout.sessions.create(session_params(line_items=[{"price": price.id, "quantity": 3}]))
    assert again.amount_total == 3750
    assert api.v1.products.retrieve(price.product.id).description == "World"


def test_customer_of_the_session(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    customer = api.v1.customers.create({"email": "buyer@example.com"})
    session = api.v1.checkout.sessions.create(session_params(customer=customer.id))
    sandbox.pay(session.id)
    paid = api.v1.checkout.sessions.retrieve(session.id, {"expand": ["customer", "payment_intent"]})
    assert isinstance(paid.customer, stripe.Customer) and paid.customer.id == customer.id
    assert (
        isinstance(paid.payment_intent, stripe.PaymentIntent) and paid.payment_intent.customer == customer.id
    )
    assert [each.id for each in api.v1.checkout.sessions.list({"customer": customer.id})] == [session.id]
    made = api.v1.checkout.sessions.create(session_params(customer_creation="always"))
    sandbox.pay(made.id, email="new@example.com")
    customer_id = api.v1.checkout.sessions.retrieve(made.id).customer
    assert isinstance(customer_id, str)
    assert api.v1.customers.retrieve(customer_id).email == "new@example.com"


def test_declined_then_paid(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    session = api.v1.checkout.sessions.create(session_params())
    refused = sandbox.pay(session.id, "4000000000009995")
    assert (refused["status"], refused["error"]) == ("open", "Your card has insufficient funds.")
    paid = sandbox.pay(session.id)
    assert (paid["status"], paid["payment_intent"]) == ("complete", refused["payment_intent"])
    charges = api.v1.charges.list({"payment_intent": paid["payment_intent"]})
    assert [charge.status for charge in charges] == ["succeeded", "failed"]
    assert len(api.v1.balance_transactions.list().data) == 1
    sandbox.settle()
    assert "charge.failed" in receiver.types and "payment_intent.payment_failed" in receiver.types


@pytest.mark.parametrize("passed", [True, False])
def test_3d_secure(api: stripe.StripeClient, sandbox: RunningSandbox, passed: bool) -> None:
    session = api.v1.checkout.sessions.create(session_params())
    asked = sandbox.pay(session.id, "4000002500003155")
    assert (asked["status"], asked["payment_intent_status"]) == ("open", "requires_action")
    intent = api.v1.payment_intents.retrieve(asked["payment_intent"])
    assert intent.next_action and intent.next_action.type == "redirect_to_url"
    sandbox.post(f"/sandbox/authenticate/{intent.id}", complete=passed)
    session = api.v1.checkout.sessions.retrieve(session.id)
    assert session.status == ("complete" if passed else "open")
    intent = api.v1.payment_intents.retrieve(intent.id)
    assert intent.status == ("succeeded" if passed else "requires_payment_method")
    if not passed:
        assert intent.last_payment_error
        assert intent.last_payment_error.code == "payment_intent_authentication_failure"
        assert sandbox.pay(session.id)["status"] == "complete"


def test_late_debit_succeeds(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    session = api.v1.checkout.sessions.create(session_params())
    assert session.payment_method_types == ["card", "sepa_debit"]
    sandbox.pay(session.id, "bank_debit_success")
    session = api.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    assert isinstance(session.payment_intent, stripe.PaymentIntent)
    assert session.payment_intent.status == "processing"
    assert api.v1.balance_transactions.list().data == []
    sandbox.advance(5)
    assert api.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert [each.type for each in api.v1.balance_transactions.list()] == ["payment"]
    assert "checkout.session.async_payment_succeeded" in receiver.types


def test_late_debit_fails(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    session = api.v1.checkout.sessions.create(session_params())
    outcome = sandbox.pay(session.id, "bank_debit_failure")
    sandbox.advance(5)
    session = api.v1.checkout.sessions.retrieve(session.id)
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    intent = api.v1.payment_intents.retrieve(outcome["payment_intent"])
    assert intent.status == "requires_payment_method"
    assert api.v1.balance_transactions.list().data == []
    assert {"checkout.session.async_payment_failed", "charge.failed"} <= set(receiver.types)


def test_debit_only_where_it_is_offered(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    session = api.v1.checkout.sessions.create(session_params(allowed_payment_method_types=["card"]))
    assert session.payment_method_types == ["card"]
    answer = sandbox.control.post(f"/sandbox/pay/{session.id}", json={"card": "bank_debit_success"})
    assert answer.status_code == 400


def test_expires_by_itself(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    session = api.v1.checkout.sessions.create(session_params())
    assert session.expires_at - session.created == 86_400
    sandbox.pay(session.id, "4000000000000002")
    sandbox.advance(86_399 - 60)
    assert api.v1.checkout.sessions.retrieve(session.id).status == "open"
    sandbox.advance(62)
    expired = api.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (expired.status, expired.url) == ("expired", None)
    assert isinstance(expired.payment_intent, stripe.PaymentIntent)
    assert expired.payment_intent.status == "canceled"
    event = api.v1.events.list({"type": "checkout.session.expired"}).data[0]
    assert event.created == session.expires_at
    assert "checkout.session.expired" in receiver.types
    assert sandbox.control.post(f"/sandbox/pay/{session.id}", json={}).status_code == 400


def test_expiry_that_was_asked_for(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    """Also by a client in real time while the sandbox's clock is days ahead: it means so long from now."""
    for _ in range(2):
        wanted = int(time.time()) + 3600
        session = api.v1.checkout.sessions.create(session_params(expires_at=wanted))
        assert 3590 <= session.expires_at - session.created <= 3600
        sandbox.advance(3 * 86_400)
        assert api.v1.checkout.sessions.retrieve(session.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="less than 24 hours"):
        api.v1.checkout.sessions.create(session_params(expires_at=int(time.time()) + 30 * 86_400))


def test_expired_on_request_once(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    session = api.v1.checkout.sessions.create(session_params())
    assert api.v1.checkout.sessions.expire(session.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="status of `expired`"):
        api.v1.checkout.sessions.expire(session.id)
    paid = api.v1.checkout.sessions.create(session_params())
    sandbox.pay(paid.id)
    with pytest.raises(stripe.InvalidRequestError, match="status of `complete`"):
        api.v1.checkout.sessions.expire(paid.id)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"mode": None}, "mode"),
        ({"success_url": None}, "success_url"),
        ({"line_items": None}, "line_items"),
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"mode": "subscription"}, "mode"),
        ({"ui_mode": "elements"}, "ui_mode"),
        ({"expires_at": 60}, "expires_at"),
        ({"customer": "cus_nobody"}, "customer"),
        ({"discounts": [{"coupon": "x"}]}, "discounts"),
        ({"payment_intent_data": {"on_behalf_of": "acct_1"}}, "payment_intent_data[on_behalf_of]"),
    ],
)
def test_refused(api: stripe.StripeClient, change: dict[str, object], param: str) -> None:
    params = {name: value for name, value in session_params(**change).items() if value is not None}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.checkout.sessions.create(params)
    assert (caught.value.http_status, caught.value.param) == (400, param)
    assert api.v1.checkout.sessions.list().data == []


@pytest.mark.parametrize(
    ("currency", "amount", "fee"), [("jpy", 1000, 59), ("kwd", 12340, 388), ("usd", 50, 31)]
)
def test_currencies(
    api: stripe.StripeClient, sandbox: RunningSandbox, currency: str, amount: int, fee: int
) -> None:
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "Key"}}
    session = api.v1.checkout.sessions.create(
        session_params(line_items=[{"price_data": price, "quantity": 1}])
    )
    sandbox.pay(session.id)
    entry = api.v1.balance_transactions.list().data[0]
    assert (entry.currency, entry.amount, entry.fee) == (currency, amount, fee)
    assert sum(detail.amount for detail in entry.fee_details) == entry.fee


def test_ids_look_like_stripes(api: stripe.StripeClient) -> None:
    session = api.v1.checkout.sessions.create(session_params())
    assert re.fullmatch(r"cs_test_[A-Za-z0-9]{58}", session.id)
