"""Refunds: whole, partial, pending, and those that fail after they seemed done."""

from fondaco_sandbox import balance, disputes, ids, money, transfers
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.cards import by_name
from fondaco_sandbox.errors import ApiError, invalid, missing, no_such, unsupported
from fondaco_sandbox.params import metadata
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import page

_CREATE = (
    "amount",
    "charge",
    "instructions_email",
    "metadata",
    "payment_intent",
    "reason",
    "refund_application_fee",
    "reverse_transfer",
)
REASONS = (
    "declined",
    "expired_or_canceled_card",
    "insufficient_funds",
    "lost_or_stolen_card",
    "merchant_request",
    "unknown",
)
"""Why a refund fails."""
_ENDS: dict[str, tuple[str, ...]] = {
    "pending": ("succeeded", "failed", "canceled", "requires_action"),
    "requires_action": ("pending", "succeeded", "failed", "canceled"),
    "succeeded": ("failed",),
}
"""What can become of a refund; one that succeeded can still fail much later."""


def create(call: Call) -> Obj:
    call.only(*_CREATE)
    box, params = call.box, call.params
    charge = _charge(call)
    amount = _amount(charge, params.get("amount"))
    fate = _fate(call, charge)
    refund = box.store.insert("refund", _new(call, charge, amount, fate))
    _take_back(call, charge, refund)
    is_card = charge["payment_method_details"]["type"] == "card"
    kind = "refund" if is_card else "payment_refund"
    entry = balance.transaction(box.now(), refund, kind, -amount)
    entry["description"] = f"REFUND FOR {'CHARGE' if is_card else 'PAYMENT'}"
    refund["balance_transaction"] = balance.move(box, entry)["id"]
    box.store.save(refund)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    box.store.save(charge)
    _write_down(box, "refund.created", refund)
    box.emit("refund.created", refund)
    previous: Obj = {"amount_refunded": charge["amount_refunded"] - amount}
    box.emit("charge.refunded", charge, previous | ({"refunded": False} if charge["refunded"] else {}))
    disputes.refunded(box, charge)
    action = {"refund_fails": "fail_refund", "refund_pending": "finish_refund"}.get(fate, "")
    if action and refund["status"] != "requires_action":
        box.later(box.settings.settle_seconds, action, refund["id"])
        box.on_work()
    return refund


def _charge(call: Call) -> Obj:
    params = call.params
    if "charge" in params and "payment_intent" in params:
        raise invalid("You may only specify one of these parameters: charge, payment_intent.", "charge")
    charge = call.named("charge", "charge")
    intent = call.named("payment_intent", "payment_intent")
    if intent is not None:
        if intent["status"] != "succeeded":
            raise ApiError(
                400,
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                param="payment_intent",
            )
        charge = call.box.store.need("charge", intent["latest_charge"])
    if charge is None:
        raise missing("charge")
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} has not succeeded; it cannot be refunded.", "charge")
    if disputes.bars_refunds(call.box, charge):
        raise ApiError(
            400,
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    return charge


def _amount(charge: Obj, wanted: int | None) -> int:
    left: int = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise ApiError(
            400,
            f"Charge {charge['id']} has already been refunded.",
            code="charge_already_refunded",
            param="charge",
        )
    if wanted is None:
        return left
    if wanted < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if wanted > left:
        asked, rest = money.shown(wanted, charge["currency"]), money.shown(left, charge["currency"])
        raise invalid(
            f"Refund amount ({asked}) is greater than unrefunded amount on charge ({rest})", "amount"
        )
    return wanted


def _later(box: Sandbox, charge: Obj) -> str:
    """What the card does to refunds."""
    card = by_name(box.store.hidden(charge["payment_intent"])["card"])
    return card.later if card else ""


def _fate(call: Call, charge: Obj) -> str:
    """What becomes of a new refund: by a fault that was asked for, else by the card."""
    faults, path = call.box.faults, "/v1/refunds"
    if faults.take("refund_pends", path):
        return "refund_pending"
    return "refund_fails" if faults.take("refund_fails", path) else _later(call.box, charge)


def _take_back(call: Call, charge: Obj, refund: Obj) -> None:
    """For a destination charge, as asked: the same part of the transfer and of the fee goes back."""
    box, params = call.box, call.params
    if not params.get("reverse_transfer"):
        if params.get("refund_application_fee"):
            raise unsupported("refund_application_fee without reverse_transfer", "refund_application_fee")
        return
    transfer_id = charge.get("transfer")
    if not transfer_id:
        raise invalid("This charge has no transfer to reverse.", "reverse_transfer")
    fee = 0
    if params.get("refund_application_fee"):
        if not charge["application_fee"]:
            raise invalid("This charge has no application fee.", "refund_application_fee")
        taken = box.store.need("application_fee", charge["application_fee"])
        fee = transfers.share(taken, charge, refund, "amount_refunded")
    transfer = box.store.need("transfer", transfer_id)
    back = transfers.share(transfer, charge, refund, "amount_reversed")
    reversal = transfers.reverse(box, transfer, back, {"source_refund": refund["id"]}, fee=fee)
    refund["transfer_reversal"] = reversal["id"]
    if fee > 0:
        transfers.give_fee_back(box, charge, fee)


def _new(call: Call, charge: Obj, amount: int, fate: str) -> Obj:
    params = call.params
    details = charge["payment_method_details"]
    kind: str = details["type"]
    status = "succeeded"
    if kind != "card" and "instructions_email" in params:
        status = "requires_action"
    elif fate == "refund_pending":
        status = "pending"
    refund: Obj = {
        "id": ids.new_id("re" if kind == "card" else "pyr"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": call.box.now(),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": _destination(kind),
        "metadata": metadata(params.get("metadata")),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }
    if "instructions_email" in params:
        refund["instructions_email"] = params["instructions_email"]
    if status == "pending":
        refund["pending_reason"] = "processing"
    return refund


def _destination(method_type: str) -> Obj:
    """Where the money goes back to."""
    if method_type != "card":
        kind = {"sepa_debit": "eu_bank_transfer"}.get(method_type, "us_bank_transfer")
        return {"type": kind, kind: {"reference": None, "reference_status": "pending"}}
    card: Obj = {
        "reference": None,
        "reference_status": "pending",
        "reference_type": "acquirer_reference_number",
    }
    return {"type": "card", "card": card | {"type": "refund"}}


def retrieve(call: Call) -> Obj:
    return call.object("refund")


def update(call: Call) -> Obj:
    refund = call.object("refund")
    if "metadata" in call.params:
        before = refund["metadata"]
        refund["metadata"] = metadata(call.params["metadata"], before)
        call.box.store.save(refund)
        _tell_updated(call.box, refund, {"metadata": before})
    return refund


def list_(call: Call) -> Obj:
    filters = {"charge": "charge", "payment_intent": "payment_intent"}
    for name in filters:
        if name in call.params and call.box.store.get(name, call.params[name]) is None:
            raise no_such(name, call.params[name], name)
    return page(call, "refund", "/v1/refunds", filters)


def cancel(call: Call) -> Obj:
    refund = call.object("refund")
    if refund["status"] != "requires_action":
        raise invalid(
            f"You cannot cancel this refund because it has a status of {refund['status']}. Only a refund "
            "with the status requires_action may be canceled."
        )
    return _give_back(call.box, refund, "canceled", "merchant_request")


def fail_later(box: Sandbox, refund: Obj) -> None:
    """A refund that seemed done comes back: the money returns to the balance."""
    if refund["status"] in ("succeeded", "pending"):
        _give_back(box, refund, "failed", "expired_or_canceled_card")


def finish_later(box: Sandbox, refund: Obj) -> None:
    """A pending refund is done."""
    if refund["status"] != "pending":
        return
    become(box, refund, "succeeded", "")


def can_become(refund: Obj) -> tuple[str, ...]:
    """The states that are possible from the refund's state."""
    return _ENDS.get(refund["status"], ())


def become(box: Sandbox, refund: Obj, status: str, reason: str) -> Obj:
    """Bring a refund into a state that it `can_become`; `reason` says why it failed."""
    if status in ("failed", "canceled"):
        return _give_back(box, refund, status, reason)
    before = refund["status"]
    refund["status"] = status
    refund.pop("pending_reason", None)
    if status == "pending":
        refund["pending_reason"] = "processing"
    box.store.save(refund)
    _write_down(box, f"refund.{status}", refund)
    _tell_updated(box, refund, {"status": before})
    return refund


def _give_back(box: Sandbox, refund: Obj, status: str, reason: str) -> Obj:
    charge = box.store.need("charge", refund["charge"])
    is_card = charge["payment_method_details"]["type"] == "card"
    kind = "refund_failure" if is_card else "payment_failure_refund"
    entry = balance.transaction(box.now(), refund, kind, refund["amount"])
    entry["description"] = "REFUND FAILURE"
    before = refund["status"]
    refund |= {"status": status, "failure_reason": reason}
    refund["failure_balance_transaction"] = balance.move(box, entry)["id"]
    refund.pop("pending_reason", None)
    box.store.save(refund)
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    box.store.save(charge)
    _write_down(box, f"refund.{status}", refund)
    if status == "failed":
        box.emit("refund.failed", refund)
    _tell_updated(box, refund, {"status": before})
    return refund


def _tell_updated(box: Sandbox, refund: Obj, previous: Obj) -> None:
    box.emit("refund.updated", refund, previous)
    box.emit("charge.refund.updated", refund, previous)


def _write_down(box: Sandbox, name: str, refund: Obj) -> None:
    box.fact(
        name,
        refund=refund["id"],
        charge=refund["charge"],
        payment_intent=refund["payment_intent"],
        status=refund["status"],
        amount=refund["amount"],
        currency=refund["currency"],
        metadata=refund["metadata"],
    )
