"""Payments: intents, the charges that come of them, and the money they bring.

The functions here change objects, write facts and make events. They never refuse: that is done by who calls.
"""

from dataclasses import dataclass, field

from fondaco_sandbox import balance, ids, money, objects, transfers
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.cards import Card, by_name
from fondaco_sandbox.store import Obj

_LATER = {
    "disputed": "dispute",
    "disputed_not_received": "dispute_not_received",
    "disputed_twice": "dispute_twice",
    "inquiry": "inquire",
    "warned": "warn",
}
"""What a card brings after its payment, and the timer for it."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays, as far as known."""

    email: str | None = None
    name: str | None = None
    expires: tuple[int, int] = (12, 2034)
    """Month and year of the card."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to pay: with what, by whom, and the address of this sandbox as the payer sees it."""

    card: Card
    base_url: str
    payer: Payer = field(default_factory=Payer)
    method_type: str = "card"
    return_url: str | None = None


def attempt(box: Sandbox, intent: Obj, with_: Attempt) -> Obj:
    """Try to pay an intent; its state says what came of it."""
    method = objects.payment_method(box.now(), with_.card, with_.method_type, with_.payer, intent["customer"])
    box.store.insert("payment_method", method, {"card": with_.card.number})
    intent |= {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    box.store.hide(intent["id"], card=with_.card.number, method=method["id"])
    if with_.card.outcome == "declines":
        return decline(box, intent, with_.card)
    if with_.card.outcome == "authenticates":
        return_url = with_.return_url or with_.base_url + "/"
        url = f"{with_.base_url}/c/authenticate/{intent['id']}"
        action: Obj = {"return_url": return_url, "url": url}
        intent |= {"status": "requires_action"}
        intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": action}
        box.store.save(intent)
        box.emit("payment_intent.requires_action", intent)
        return intent
    if with_.card.is_bank:
        return _start_debit(box, intent)
    return _succeed(box, intent, _charge(box, intent, "succeeded"))


def authenticate(box: Sandbox, intent: Obj, *, passed: bool) -> Obj:
    """Finish 3-D Secure of an intent that requires it."""
    if passed:
        intent["next_action"] = None
        return _succeed(box, intent, _charge(box, intent, "succeeded"))
    message = (
        "We are unable to authenticate your payment method. Please choose a different payment method and try "
        "again."
    )
    error: Obj = {
        "code": "payment_intent_authentication_failure",
        "message": message,
        "payment_method": box.store.need("payment_method", intent["payment_method"]),
        "type": "invalid_request_error",
    }
    return _back_to_start(box, intent, error)


def settle_debit(box: Sandbox, intent: Obj) -> Obj:
    """The bank's late answer to a debit."""
    card = by_name(box.store.hidden(intent["id"])["card"])
    charge = box.store.need("charge", intent["latest_charge"])
    if card is not None and card.outcome == "debits":
        return _succeed(box, intent, charge)
    charge |= {"status": "failed", "failure_code": "insufficient_funds"}
    charge["failure_message"] = "The customer's account has insufficient funds to cover this payment."
    charge["outcome"] = objects.outcome("issuer_declined", charge["failure_message"], None)
    box.store.save(charge)
    box.fact("charge.failed", charge=charge["id"], payment_intent=intent["id"], amount=charge["amount"])
    box.emit("charge.failed", charge)
    error: Obj = {
        "charge": charge["id"],
        "code": "payment_intent_payment_attempt_failed",
        "message": charge["failure_message"],
        "payment_method": box.store.need("payment_method", intent["payment_method"]),
        "type": "invalid_request_error",
    }
    intent["processing"] = None
    return _back_to_start(box, intent, error)


def cancel(box: Sandbox, intent: Obj, reason: str | None) -> Obj:
    """Cancel an intent on which no money hangs."""
    intent |= {
        "status": "canceled",
        "canceled_at": box.now(),
        "cancellation_reason": reason,
        "next_action": None,
    }
    box.store.save(intent)
    box.fact("payment_intent.canceled", payment_intent=intent["id"])
    box.emit("payment_intent.canceled", intent)
    return intent


def decline(box: Sandbox, intent: Obj, card: Card) -> Obj:
    """A card that is refused leaves a failed charge and an error on the intent."""
    charge = _charge(box, intent, "failed")
    charge |= {"failure_code": card.code, "failure_message": card.message}
    charge["outcome"] = objects.outcome("issuer_declined", card.message or "", card.decline_code)
    box.store.save(charge)
    box.fact("charge.failed", charge=charge["id"], payment_intent=intent["id"], amount=charge["amount"])
    box.emit("charge.failed", charge)
    error: Obj = {
        "charge": charge["id"],
        "code": card.code,
        "decline_code": card.decline_code,
        "doc_url": "https://docs.stripe.com/error-codes/card-declined",
        "message": card.message,
        "payment_method": box.store.need("payment_method", intent["payment_method"]),
        "type": "card_error",
    }
    return _back_to_start(box, intent, error)


def _charge(box: Sandbox, intent: Obj, status: str) -> Obj:
    method = box.store.need("payment_method", intent["payment_method"])
    charge = box.store.insert("charge", objects.charge(box.now(), intent, method, status))
    intent["latest_charge"] = charge["id"]
    return charge


def _start_debit(box: Sandbox, intent: Obj) -> Obj:
    charge = _charge(box, intent, "pending")
    intent["status"] = "processing"
    box.store.save(intent)
    box.emit("charge.pending", charge)
    box.emit("payment_intent.processing", intent)
    box.later(box.settings.settle_seconds, "settle_debit", intent["id"])
    return intent


def _succeed(box: Sandbox, intent: Obj, charge: Obj) -> Obj:
    is_card = charge["payment_method_details"]["type"] == "card"
    fee = money.fee(charge["amount"])
    card = by_name(box.store.hidden(intent["id"])["card"])
    at_once = card is not None and card.later == "available_at_once"
    entry = balance.transaction(
        box.now(),
        charge,
        "charge" if is_card else "payment",
        charge["amount"],
        fee=fee,
        after=0 if at_once else box.settings.available_after_seconds,
    )
    balance.move(box, entry)
    charge |= {"status": "succeeded", "paid": True, "captured": True, "balance_transaction": entry["id"]}
    charge["amount_captured"] = charge["amount"]
    box.store.save(charge)
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "processing": None}
    box.store.save(intent)
    box.fact(
        "charge.succeeded",
        charge=charge["id"],
        payment_intent=intent["id"],
        session=box.store.hidden(intent["id"]).get("session"),
        customer=intent["customer"],
        amount=charge["amount"],
        currency=charge["currency"],
        fee=fee,
        metadata=intent["metadata"],
    )
    box.emit("charge.succeeded", charge)
    if intent["transfer_data"]:
        charge = transfers.route(box, intent, charge, entry["available_on"] - box.now())
    box.emit("payment_intent.succeeded", intent)
    later = _LATER.get(card.later) if card else None
    if later:
        box.later(box.settings.settle_seconds, later, charge["id"])
    return intent


def _back_to_start(box: Sandbox, intent: Obj, error: Obj) -> Obj:
    intent |= {"status": "requires_payment_method", "last_payment_error": error, "payment_method": None}
    intent["next_action"] = None
    box.store.save(intent)
    box.emit("payment_intent.payment_failed", intent)
    return intent


def create_intent(box: Sandbox, fields: Obj, session: str | None = None) -> Obj:
    """A new intent with these fields over the defaults."""
    intent_id = ids.new_id("pi")
    intent = objects.payment_intent(box.now(), intent_id) | fields
    box.store.insert("payment_intent", intent, {"session": session} if session else None)
    box.emit("payment_intent.created", intent)
    return intent
