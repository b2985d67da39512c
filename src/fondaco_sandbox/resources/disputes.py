"""Disputes: opened by a test card after its payment, lost when nobody answers in time."""

from fondaco_sandbox import balance, ids, money
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.call import Call
from fondaco_sandbox.store import Obj
from fondaco_sandbox.views import page

ANSWER_WITHIN = 9 * 86_400
_EVIDENCE = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
)


def retrieve(call: Call) -> Obj:
    return call.object("dispute")


def list_(call: Call) -> Obj:
    return page(call, "dispute", "/v1/disputes", {"charge": "charge", "payment_intent": "payment_intent"})


def open_later(box: Sandbox, charge: Obj) -> None:
    """The cardholder disputes what was not refunded; the money and a fee leave the balance at once."""
    amount: int = charge["amount"] - charge["amount_refunded"]
    if amount < 1 or charge["disputed"]:
        return
    dispute = _new(box, charge, amount)
    box.store.insert("dispute", dispute)
    charge["disputed"] = True
    box.store.save(charge)
    box.emit("charge.dispute.created", dispute)
    entry = balance.transaction(box.now(), dispute, "adjustment", -amount, fee=money.DISPUTE_FEE)
    entry["description"] = f"Chargeback withdrawal for {charge['id']}"
    balance.move(box, entry)
    dispute["balance_transactions"] = [entry]
    box.store.save(dispute)
    _write_down(box, "dispute.created", dispute)
    box.emit("charge.dispute.funds_withdrawn", dispute)
    box.later(ANSWER_WITHIN, "lose_dispute", dispute["id"])


def lose_later(box: Sandbox, dispute: Obj) -> None:
    """Nobody answered in time."""
    if dispute["status"] != "needs_response":
        return
    dispute["status"] = "lost"
    dispute["evidence_details"] |= {"past_due": True}
    box.store.save(dispute)
    _write_down(box, "dispute.lost", dispute)
    box.emit("charge.dispute.closed", dispute, {"status": "needs_response"})


def _new(box: Sandbox, charge: Obj, amount: int) -> Obj:
    brand: str = charge["payment_method_details"]["card"]["brand"]
    return {
        "id": ids.new_id("du"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": box.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": box.now() + ANSWER_WITHIN,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": brand,
                "case_type": "chargeback",
                "network": brand,
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": "fraudulent",
        "status": "needs_response",
    }


def _write_down(box: Sandbox, name: str, dispute: Obj) -> None:
    box.fact(
        name,
        dispute=dispute["id"],
        charge=dispute["charge"],
        payment_intent=dispute["payment_intent"],
        amount=dispute["amount"],
        currency=dispute["currency"],
        fee=money.DISPUTE_FEE,
    )
