"""What Stripe says, reduced to what we decide by: small immutable facts from its objects.

The same functions read answers of the API and bodies of events, so both mean the same.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from fondaco.core.problem import Problem

PaymentState = Literal["open", "processing", "paid", "failed", "canceled", "expired"]
RefundState = Literal["pending", "succeeded", "failed", "canceled"]
Json = Mapping[str, Any]


class ProviderRefused(Exception):
    """The provider said no for good; nothing happened there. `code` is its own word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ProviderUnknown(Exception):
    """No answer, or none that says what happened: ask, do not conclude.

    `burnt`: the provider keeps this failure under the key and will give it again for ever.
    """

    def __init__(self, message: str, *, burnt: bool = False) -> None:
        super().__init__(message)
        self.burnt = burnt


class BadDelivery(Problem):
    """This delivery is not signed by the payment provider, or is too old, too large or unreadable."""

    status = 400
    code = "bad_delivery"

    def __init__(self, reason: str) -> None:
        super().__init__(None)
        self.reason = reason


class Fee(msgspec.Struct, frozen=True):
    """What the provider charged for a payment: its balance transaction, minor units."""

    transaction_id: str
    amount: int
    currency: str


class PaymentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as the provider has it now. `amount`: minor units received when paid, else asked for."""

    state: PaymentState
    amount: int
    currency: str
    livemode: bool
    funding_ref: str
    """Our funding's id, as we wrote it on the provider's objects; '' when it carries none."""
    user_ref: str
    intent_id: str | None = None
    session_id: str | None = None
    session_total: int | None = None
    mode: str = "payment"
    url: str | None = None
    charge_id: str | None = None
    failure: str = ""
    fee: Fee | None = None
    card: str = ""
    """A mark of the card that paid: the same for the same card; '' when it was none. The provider's own
    fingerprint as parsed; what the gateway answers has our keyed mark of it instead."""
    account: str = ""
    """The seller's account that it is passed on to; '' when it stays with us."""
    passed_on: int = 0
    """How much of it goes there; 0 says nothing of how much."""
    transfer_id: str | None = None
    """The provider's transfer of it, once there is one."""

    @property
    def paid(self) -> bool:
        return self.state == "paid"


class RefundFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as the provider has it now, minor units."""

    id: str
    state: RefundState
    amount: int
    currency: str
    refund_ref: str
    """Our refund's id from its metadata; '' when it is not ours."""
    intent_id: str | None = None
    failure: str = ""


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def part(value: Any) -> Json:
    """A nested object; {} when it is only an id or missing."""
    return cast(Json, value) if isinstance(value, Mapping) else {}


def id_of(value: Any) -> str | None:
    """The id of something given whole or as its id."""
    return text(part(value).get("id")) or text(value) or None


def payment_of_intent(intent: Json) -> PaymentFacts:
    """Facts from a PaymentIntent; expand `latest_charge.balance_transaction` to learn the fee."""
    status = text(intent.get("status"))
    error = part(intent.get("last_payment_error"))
    states: dict[str, PaymentState] = {
        "succeeded": "paid",
        "processing": "processing",
        "canceled": "canceled",
    }
    metadata = part(intent.get("metadata"))
    charge, route = part(intent.get("latest_charge")), part(intent.get("transfer_data"))
    received = whole(intent.get("amount_received"))
    return PaymentFacts(
        state=states.get(status, "open"),
        amount=received if status == "succeeded" else whole(intent.get("amount")),
        currency=text(intent.get("currency")).upper(),
        livemode=intent.get("livemode") is True,
        funding_ref=text(metadata.get("funding_id")),
        user_ref=text(metadata.get("user_id")),
        intent_id=id_of(intent),
        charge_id=id_of(intent.get("latest_charge")),
        failure=text(error.get("message")),
        fee=_fee(part(charge.get("balance_transaction"))),
        card=_card(charge),
        account=id_of(route.get("destination")) or "",
        passed_on=whole(route.get("amount")),
        transfer_id=id_of(charge.get("transfer")),
    )


def payment_of_session(session: Json) -> PaymentFacts:
    """Facts from a Checkout Session; expand `payment_intent.latest_charge.balance_transaction`."""
    intent = part(session.get("payment_intent"))
    inner = payment_of_intent(intent) if intent else None
    metadata = part(session.get("metadata"))
    named = text(metadata.get("funding_id"))
    total = whole(session.get("amount_total"))
    state = _session_state(session, inner)
    return PaymentFacts(
        state=state,
        amount=inner.amount if inner and state == "paid" else total,
        currency=inner.currency if inner and state == "paid" else text(session.get("currency")).upper(),
        livemode=session.get("livemode") is True,
        funding_ref=named if text(session.get("client_reference_id")) == named else "",
        user_ref=text(metadata.get("user_id")),
        intent_id=id_of(session.get("payment_intent")),
        session_id=id_of(session),
        session_total=total,
        mode=text(session.get("mode")),
        url=text(session.get("url")) or None,
        charge_id=inner.charge_id if inner else None,
        failure=inner.failure if inner else "",
        fee=inner.fee if inner else None,
        card=inner.card if inner else "",
        account=inner.account if inner else "",
        passed_on=inner.passed_on if inner else 0,
        transfer_id=inner.transfer_id if inner else None,
    )


def _session_state(session: Json, inner: PaymentFacts | None) -> PaymentState:
    if session.get("payment_status") == "paid" or (inner and inner.paid):
        return "paid"
    if session.get("status") == "expired":
        return "expired"
    if session.get("status") != "complete":
        return "open"
    if inner is None or inner.state == "processing":
        return "processing"
    return "canceled" if inner.state == "canceled" else "failed"


def _card(charge: Json) -> str:
    return text(part(part(charge.get("payment_method_details")).get("card")).get("fingerprint"))


def _fee(transaction: Json) -> Fee | None:
    if not transaction:
        return None
    return Fee(
        text(transaction.get("id")),
        whole(transaction.get("fee")),
        text(transaction.get("currency")).upper(),
    )


def refund_facts(refund: Json) -> RefundFacts:
    """Facts from a Refund."""
    states: dict[str, RefundState] = {"succeeded": "succeeded", "failed": "failed", "canceled": "canceled"}
    return RefundFacts(
        id=text(refund.get("id")),
        state=states.get(text(refund.get("status")), "pending"),
        amount=whole(refund.get("amount")),
        currency=text(refund.get("currency")).upper(),
        refund_ref=text(part(refund.get("metadata")).get("refund_id")),
        intent_id=id_of(refund.get("payment_intent")),
        failure=text(refund.get("failure_reason")),
    )
