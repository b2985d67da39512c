"""PaymentIntents: made and paid through the API, with test payment methods in place of a browser."""

from fondaco_sandbox import cards, money, payments
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.cards import Card
from fondaco_sandbox.errors import ApiError, invalid, missing, no_such, unsupported
from fondaco_sandbox.params import metadata
from fondaco_sandbox.payments import Attempt, Payer
from fondaco_sandbox.resources.accounts import destination
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import page

_CREATE = (
    "allowed_payment_method_types",
    "amount",
    "application_fee_amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "currency",
    "customer",
    "description",
    "error_on_requires_action",
    "metadata",
    "off_session",
    "payment_method",
    "receipt_email",
    "return_url",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
)
_TEXTS = (
    "description",
    "receipt_email",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
_CONFIRM = ("error_on_requires_action", "off_session", "payment_method", "receipt_email", "return_url")
_PAYABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (*_PAYABLE, "requires_capture")


def create(call: Call) -> Obj:
    call.only(*_CREATE)
    params = call.params
    if params.get("capture_method") == "manual":
        raise unsupported("capture_method=manual", "capture_method")
    currency = money.currency(params["currency"])
    customer = call.named("customer", "customer")
    automatic = params.get("automatic_payment_methods", {"enabled": True})
    fields: Obj = {name: params[name] for name in _TEXTS if name in params} | {
        "amount": money.payable(params["amount"], currency),
        "automatic_payment_methods": automatic
        | {"allow_redirects": automatic.get("allow_redirects", "always")},
        "currency": currency,
        "customer": customer["id"] if customer else None,
        "metadata": metadata(params.get("metadata")),
        "payment_method_types": _types(params, currency),
    }
    fields |= routed(call.box, params, params["amount"])
    if "capture_method" in params:
        fields["capture_method"] = params["capture_method"]
    card = _card(call) if "payment_method" in params else None
    intent = payments.create_intent(call.box, fields)
    if params.get("confirm"):
        return _confirm(call, intent, card)
    if card is not None:
        call.box.store.hide(intent["id"], wanted=params["payment_method"])
        intent["status"] = "requires_confirmation"
        call.box.store.save(intent)
    return intent


def routed(box: Sandbox, params: Obj, amount: int, path: str = "") -> Obj:
    """Where a payment is passed on to, and what of it the platform keeps. `path`: of the parameters."""
    fee, data = params.get("application_fee_amount"), params.get("transfer_data")
    name = f"{path}[application_fee_amount]" if path else "application_fee_amount"
    if data is None:
        if fee is not None:
            raise invalid("An application fee needs transfer_data[destination] here.", name)
        return {}
    if set(data) - {"amount", "destination"}:
        raise unsupported("these transfer_data", f"{path}[transfer_data]" if path else "transfer_data")
    destination(box, data["destination"], "transfer_data[destination]")
    if fee is not None and "amount" in data:
        raise invalid("You may only specify one of: application_fee_amount, transfer_data[amount].", name)
    if not 0 <= (fee or 0) <= amount or not 0 < data.get("amount", 1) <= amount:
        raise invalid("The fee or the amount to pass on cannot be greater than the payment's amount.", name)
    return {"application_fee_amount": fee, "transfer_data": data}


def _types(params: Obj, currency: str) -> list[str]:
    """Which kinds of payment method the intent can take."""
    offered = offered_types(currency)
    allowed: list[str] = params.get("allowed_payment_method_types", offered)
    types = [name for name in offered if name in allowed]
    if not types:
        raise invalid(
            "No valid payment method types for this Payment Intent.", "allowed_payment_method_types"
        )
    return types


def offered_types(currency: str) -> list[str]:
    """What this account takes in a currency."""
    debit = {"eur": ["sepa_debit"], "usd": ["us_bank_account"]}
    return ["card", *debit.get(currency, [])]


def retrieve(call: Call) -> Obj:
    call.only("client_secret")
    return call.object("payment_intent")


def list_(call: Call) -> Obj:
    call.only("created", "customer", "ending_before", "limit", "starting_after")
    return page(call, "payment_intent", "/v1/payment_intents", {"customer": "customer"})


def update(call: Call) -> Obj:
    call.only("description", "metadata", "receipt_email")
    intent = call.object("payment_intent")
    if "metadata" in call.params:
        intent["metadata"] = metadata(call.params["metadata"], intent["metadata"])
    for name in ("description", "receipt_email"):
        if name in call.params:
            intent[name] = call.params[name] or None
    return call.box.store.save(intent)


def confirm(call: Call) -> Obj:
    call.only(*_CONFIRM)
    intent = call.object("payment_intent")
    if intent["status"] not in _PAYABLE:
        raise _wrong_state(intent, "confirm", _PAYABLE)
    if call.box.store.hidden(intent["id"]).get("session"):
        raise invalid("You cannot confirm this PaymentIntent because it belongs to a Checkout Session.")
    return _confirm(call, intent, _card(call) if "payment_method" in call.params else None)


def cancel(call: Call) -> Obj:
    intent = call.object("payment_intent")
    if intent["status"] not in _CANCELABLE:
        raise _wrong_state(intent, "cancel", _CANCELABLE)
    if call.box.store.hidden(intent["id"]).get("session"):
        raise invalid(
            "You cannot cancel this PaymentIntent because it belongs to a Checkout Session; expire that."
        )
    return payments.cancel(call.box, intent, call.params.get("cancellation_reason"))


def _confirm(call: Call, intent: Obj, card: Card | None) -> Obj:
    params, hidden = call.params, call.box.store.hidden(intent["id"])
    name = params.get("payment_method") or hidden.get("wanted")
    card = card or (cards.by_name(name) if name else None)
    if card is None:
        message = (
            "You cannot confirm this PaymentIntent because it's missing a payment method. To confirm the "
            f"PaymentIntent with {intent['id']}, specify a payment method attached to this customer along "
            "with the customer ID."
        )
        raise ApiError(400, message, code="payment_intent_unexpected_state", extra={"payment_intent": intent})
    automatic: Obj = intent["automatic_payment_methods"] or {}
    if (
        automatic.get("allow_redirects") != "never"
        and "return_url" not in params
        and not params.get("off_session")
    ):
        raise missing("return_url")
    if "receipt_email" in params:
        intent["receipt_email"] = params["receipt_email"]
    method_type = _method_type(intent, card)
    payer = Payer(email=intent["receipt_email"])
    made = Attempt(card, call.base_url, payer, method_type, params.get("return_url"))
    intent = payments.attempt(call.box, intent, made)
    failure = intent["last_payment_error"]
    if failure:
        raise card_error(intent)
    return intent


def card_error(intent: Obj) -> ApiError:
    """402 for an attempt that was declined; what the attempt left behind stays."""
    error: Obj = intent["last_payment_error"]
    extra = {name: error[name] for name in ("charge", "decline_code") if error.get(name)}
    extra |= {"payment_intent": intent, "payment_method": error["payment_method"]}
    return ApiError(402, error["message"], kind="card_error", code=error["code"], keep_work=True, extra=extra)


def _card(call: Call) -> Card:
    """The test card behind `payment_method`: an alias such as pm_card_visa, or a method used before."""
    name: str = call.params["payment_method"]
    card = cards.by_name(name)
    if card is None and call.box.store.get("payment_method", name):
        card = cards.by_name(call.box.store.hidden(name)["card"])
    if card is None:
        raise no_such("PaymentMethod", name, "payment_method")
    return card


def _method_type(intent: Obj, card: Card) -> str:
    types: list[str] = intent["payment_method_types"]
    if not card.is_bank:
        wanted = "card"
    else:
        wanted = next((name for name in types if name in cards.BANK_DEBITS), "a bank debit")
    if wanted not in types:
        raise invalid(
            f"The PaymentMethod provided ({wanted}) is not allowed for this PaymentIntent, which takes: "
            f"{', '.join(types)}.",
            "payment_method",
        )
    return wanted


def _wrong_state(intent: Obj, verb: str, states: tuple[str, ...]) -> ApiError:
    if verb == "confirm" and intent["status"] == "succeeded":
        message = (
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously "
        )
        message += "confirmed."
    else:
        message = (
            f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}. Only a "
            f"PaymentIntent with one of the following statuses may be {verb}ed: {', '.join(states)}."
        )
    return ApiError(400, message, code="payment_intent_unexpected_state", extra={"payment_intent": intent})
