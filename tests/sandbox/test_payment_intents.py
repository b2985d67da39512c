"""PaymentIntents through the API."""

import pytest
import stripe

from tests.sandbox.conftest import intent_params
from tests.sandbox.receiver import Receiver
from tests.support.sandbox import RunningSandbox


def test_create_then_confirm(api: stripe.StripeClient, sandbox: RunningSandbox, receiver: Receiver) -> None:
    intent = api.v1.payment_intents.create({"amount": 1000, "currency": "EUR", "metadata": {"order": "1"}})
    assert (intent.status, intent.currency) == ("requires_payment_method", "eur")
    assert intent.client_secret and intent.client_secret.startswith(intent.id + "_secret_")
    paid = api.v1.payment_intents.confirm(
        intent.id,
        {"payment_method": "pm_card_visa", "return_url": "http://127.0.0.1/", "expand": ["payment_method"]},
    )
    assert paid.status == "succeeded"
    assert isinstance(paid.payment_method, stripe.PaymentMethod)
    assert paid.payment_method.card and paid.payment_method.card.last4 == "4242"
    charge = api.v1.charges.list({"payment_intent": intent.id}).data[0]
    assert (charge.id, charge.metadata["order"]) == (paid.latest_charge, "1")
    sandbox.settle()
    assert receiver.types == ["charge.succeeded", "payment_intent.created", "payment_intent.succeeded"]


def test_confirmed_at_once_with_the_method_given_before(api: stripe.StripeClient) -> None:
    params = intent_params(confirm=False)
    intent = api.v1.payment_intents.create(params)  # type: ignore[arg-type]
    assert intent.status == "requires_confirmation"
    assert api.v1.payment_intents.confirm(intent.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.payment_intents.confirm(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
    ],
)
def test_declined(api: stripe.StripeClient, sandbox: RunningSandbox, card: str, decline_code: str) -> None:
    with pytest.raises(stripe.CardError) as caught:
        api.v1.payment_intents.create(intent_params(card))  # type: ignore[arg-type]
    error = caught.value
    assert (error.http_status, error.code) == (402, "card_declined")
    assert error.error and error.error.decline_code == decline_code
    assert error.error.payment_intent
    intent = api.v1.payment_intents.retrieve(error.error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error and intent.last_payment_error.decline_code == decline_code
    assert api.v1.charges.list().data[0].status == "failed"
    assert [line["fact"] for line in sandbox.truth() if "charge" in line["fact"]] == ["charge.failed"]


def test_3d_secure_sends_to_a_page(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    intent = api.v1.payment_intents.create(
        {
            "amount": 2000,
            "currency": "usd",
            "confirm": True,
            "payment_method": "pm_card_authenticationRequired",
            "return_url": "http://127.0.0.1/back",
        }
    )
    assert intent.status == "requires_action"
    assert intent.next_action and intent.next_action.redirect_to_url
    url = intent.next_action.redirect_to_url.url
    assert url
    page = sandbox.control.get(url)
    assert "Complete authentication" in page.text
    answer = sandbox.control.post(url, data={"action": "complete"})
    assert (answer.status_code, answer.headers["location"]) == (303, "http://127.0.0.1/back")
    assert api.v1.payment_intents.retrieve(intent.id).status == "succeeded"
    assert "is over" in sandbox.control.post(url, data={"action": "fail"}).text
    assert api.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_bank_debit(api: stripe.StripeClient, sandbox: RunningSandbox) -> None:
    intent = api.v1.payment_intents.create(intent_params("pm_usBankAccount_success"))  # type: ignore[arg-type]
    assert intent.status == "processing"
    sandbox.advance(5)
    paid = api.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    assert isinstance(paid.latest_charge, stripe.Charge)
    assert (paid.status, paid.latest_charge.id[:3]) == ("succeeded", "py_")


def test_cancel(api: stripe.StripeClient) -> None:
    intent = api.v1.payment_intents.create({"amount": 1000, "currency": "eur"})
    canceled = api.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.payment_intents.cancel(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"


def test_update_and_list(api: stripe.StripeClient) -> None:
    customer = api.v1.customers.create({"email": "buyer@example.com"})
    mine = api.v1.payment_intents.create({"amount": 1000, "currency": "eur", "customer": customer.id})
    api.v1.payment_intents.create({"amount": 1000, "currency": "eur"})
    api.v1.payment_intents.update(mine.id, {"metadata": {"a": "b"}})
    found = api.v1.payment_intents.list({"customer": customer.id, "expand": ["data.customer"]})
    assert [each.id for each in found] == [mine.id]
    assert found.data[0].metadata["a"] == "b"
    assert isinstance(found.data[0].customer, stripe.Customer)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"amount": 49}, "amount", "amount_too_small"),
        ({"amount": 100_000_000}, "amount", "amount_too_large"),
        ({"amount": -5}, "amount", "parameter_invalid_integer"),
        ({"currency": "xyz"}, "currency", None),
        ({"payment_method": "pm_nobody"}, "payment_method", "resource_missing"),
        ({"capture_method": "manual"}, "capture_method", "sandbox_unsupported"),
        ({"transfer_data": {"destination": "acct_1"}}, "transfer_data[destination]", "resource_missing"),
    ],
)
def test_refused(api: stripe.StripeClient, change: dict[str, object], param: str, code: str | None) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.v1.payment_intents.create(intent_params(**change))  # type: ignore[arg-type]
    assert (caught.value.param, caught.value.code) == (param, code)
    assert api.v1.payment_intents.list().data == []


def test_three_decimal_amounts_are_rounded_by_the_caller(api: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="cannot be charged in kwd"):
        api.v1.payment_intents.create({"amount": 12345, "currency": "kwd"})
