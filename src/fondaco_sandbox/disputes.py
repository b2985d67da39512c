"""Disputes and early fraud warnings: what card issuers bring about, and what comes of it.

Opening a dispute takes the money and a fee at once; an inquiry only asks. A closed dispute that was lost can
still be turned round later. The functions here never refuse: that is done by who calls.
"""

from fondaco_sandbox import balance, ids, money
from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.store import Obj

DAY = 86_400
ANSWER_WITHIN = 9 * DAY
DECIDED_WITHIN = 60 * DAY
INQUIRY_CLOSES_AFTER = 120 * DAY
REASONS = {
    "bank_cannot_process": "",
    "credit_not_processed": "13.7",
    "customer_initiated": "",
    "duplicate": "12.6.1",
    "fraudulent": "10.4",
    "general": "",
    "product_not_received": "13.1",
    "product_unacceptable": "13.3",
    "subscription_canceled": "13.2",
    "unrecognized": "",
}
"""Why a cardholder disputes, and the network's code for it."""
FRAUD_TYPES = (
    "misc",
    "card_never_received",
    "fraudulent_card_application",
    "made_with_counterfeit_card",
    "made_with_lost_card",
    "made_with_stolen_card",
    "unauthorized_use_of_card",
)
FILE_FIELDS = (
    "cancellation_policy",
    "customer_communication",
    "customer_signature",
    "duplicate_charge_documentation",
    "receipt",
    "refund_policy",
    "service_documentation",
    "shipping_documentation",
    "uncategorized_file",
)
EVIDENCE = (
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
INQUIRIES = ("warning_needs_response", "warning_under_review", "warning_closed")
OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
VERDICTS = {"winning_evidence": "won", "losing_evidence": "lost", "escalate_inquiry_evidence": "escalated"}
"""Words in the evidence that decide a test dispute."""


def disputable(box: Sandbox, charge: Obj) -> int:
    """What of a charge can still be disputed: paid, not refunded, not taken by another dispute."""
    if charge["status"] != "succeeded" or charge["payment_method_details"]["type"] != "card":
        return 0
    taken = sum(
        each["amount"]
        for each in box.store.where("dispute", "charge", charge["id"])
        if each["status"] not in ("won", "prevented", "warning_closed")
    )
    return charge["amount"] - charge["amount_refunded"] - taken


def bars_refunds(box: Sandbox, charge: Obj) -> bool:
    """Whether the charge has been charged back: inquiries and disputes that were won do not count."""
    return any(
        each["status"] not in (*INQUIRIES, "won", "prevented")
        for each in box.store.where("dispute", "charge", charge["id"])
    )


def start(
    box: Sandbox,
    charge: Obj,
    amount: int,
    reason: str = "fraudulent",
    *,
    inquiry: bool = False,
    answer_within: int = ANSWER_WITHIN,
) -> Obj:
    """The cardholder disputes an amount that is `disputable`, or (an inquiry) the bank only asks."""
    dispute = _new(box, charge, amount, reason, box.now() + answer_within, inquiry=inquiry)
    box.store.insert("dispute", dispute)
    charge["disputed"] = True
    box.store.save(charge)
    box.emit("charge.dispute.created", dispute)
    if inquiry:
        box.later(INQUIRY_CLOSES_AFTER, "close_inquiry", dispute["id"])
    else:
        withdraw(box, dispute)
    _write_down(box, "dispute.created", dispute)
    box.later(answer_within, "lose_dispute", dispute["id"])
    box.on_work()
    calm_warnings(box, charge)
    return dispute


def withdraw(box: Sandbox, dispute: Obj) -> None:
    """The money and the fee leave the balance."""
    entry = balance.transaction(box.now(), dispute, "adjustment", -dispute["amount"], fee=money.DISPUTE_FEE)
    entry["description"] = f"Chargeback withdrawal for {dispute['charge']}"
    dispute["balance_transactions"].append(balance.move(box, entry))
    box.store.save(dispute)
    _write_down(box, "dispute.funds_withdrawn", dispute)
    box.emit("charge.dispute.funds_withdrawn", dispute)


def reinstate(box: Sandbox, dispute: Obj, *, return_fee: bool) -> None:
    """The money comes back; the fee only with `return_fee`."""
    fee = -money.DISPUTE_FEE if return_fee else 0
    entry = balance.transaction(box.now(), dispute, "adjustment", dispute["amount"], fee=fee)
    entry |= {
        "description": f"Chargeback reversal for {dispute['charge']}",
        "reporting_category": "dispute_reversal",
    }
    dispute["balance_transactions"].append(balance.move(box, entry))
    box.store.save(dispute)
    _write_down(box, "dispute.funds_reinstated", dispute, fee=fee)
    box.emit("charge.dispute.funds_reinstated", dispute)


def submitted(box: Sandbox, dispute: Obj) -> None:
    """The evidence is with the bank. Certain words in it decide soon; else the bank takes its time."""
    before = dispute["status"]
    inquiry = before in INQUIRIES
    dispute["status"] = "warning_under_review" if inquiry else "under_review"
    dispute["evidence_details"] |= {"submission_count": 1, "submission_method": "manual"}
    box.store.save(dispute)
    _write_down(box, "dispute.submitted", dispute)
    box.emit("charge.dispute.updated", dispute, {"status": before})
    said = " ".join(str(value) for value in dispute["evidence"].values() if isinstance(value, str))
    verdict = next((meant for word, meant in VERDICTS.items() if word in said), None)
    if verdict:
        box.store.hide(dispute["id"], verdict=verdict)
        box.later(box.settings.settle_seconds, "decide_dispute", dispute["id"])
    elif not inquiry:
        box.later(DECIDED_WITHIN, "decide_dispute", dispute["id"])
    box.on_work()


def resolve(box: Sandbox, dispute: Obj, outcome: str, *, return_fee: bool = False) -> Obj:
    """Bring a dispute to an end or to its next stage.

    `outcome`: won (also after lost: late), lost, prevented, escalated (an inquiry becomes a dispute) or
    warning_closed. The caller has checked that it can be (`can_become`).
    """
    before = dispute["status"]
    if outcome == "escalated":
        _escalate(box, dispute)
        return dispute
    dispute |= {"status": outcome, "is_charge_refundable": False}
    if before == "needs_response" and box.now() >= dispute["evidence_details"]["due_by"]:
        dispute["evidence_details"] |= {"past_due": True}
    box.store.save(dispute)
    _write_down(box, f"dispute.{outcome}", dispute)
    late = before == "lost"
    box.emit("charge.dispute.updated" if late else "charge.dispute.closed", dispute, {"status": before})
    if outcome in ("won", "prevented") and held(dispute):
        reinstate(box, dispute, return_fee=return_fee)
    return dispute


def held(dispute: Obj) -> int:
    """What a dispute has taken and not given back, without the fee."""
    return -sum(entry["amount"] for entry in dispute["balance_transactions"])


def can_become(dispute: Obj) -> tuple[str, ...]:
    """The outcomes that are possible from the dispute's state."""
    ways = {
        "needs_response": ("won", "lost", "prevented"),
        "under_review": ("won", "lost"),
        "lost": ("won",),
        "warning_needs_response": ("escalated", "warning_closed", "prevented"),
        "warning_under_review": ("escalated", "warning_closed", "prevented"),
    }
    return ways.get(dispute["status"], ())


def _escalate(box: Sandbox, dispute: Obj) -> None:
    before = dispute["status"]
    dispute |= {"status": "needs_response", "is_charge_refundable": False}
    dispute["payment_method_details"]["card"]["case_type"] = "chargeback"
    due_by = box.now() + ANSWER_WITHIN
    dispute["evidence_details"] |= {
        "due_by": due_by,
        "submission_count": 0,
        "submission_method": "not_submitted",
    }
    box.store.hide(dispute["id"], verdict=None)
    box.store.save(dispute)
    _write_down(box, "dispute.escalated", dispute)
    box.emit("charge.dispute.updated", dispute, {"status": before})
    withdraw(box, dispute)
    box.later(ANSWER_WITHIN, "lose_dispute", dispute["id"])
    box.on_work()


# What the clock brings


def open_later(box: Sandbox, charge: Obj) -> None:
    _start_if_any(box, charge, disputable(box, charge))


def open_not_received(box: Sandbox, charge: Obj) -> None:
    _start_if_any(box, charge, disputable(box, charge), "product_not_received")


def open_twice(box: Sandbox, charge: Obj) -> None:
    whole = disputable(box, charge)
    _start_if_any(box, charge, whole // 2)
    _start_if_any(box, charge, whole - whole // 2, "product_unacceptable")


def inquire_later(box: Sandbox, charge: Obj) -> None:
    if disputable(box, charge) > 0:
        start(box, charge, disputable(box, charge), inquiry=True)


def _start_if_any(box: Sandbox, charge: Obj, amount: int, reason: str = "fraudulent") -> None:
    if amount > 0:
        start(box, charge, amount, reason)


def lose_later(box: Sandbox, dispute: Obj) -> None:
    """Nobody answered in time."""
    if dispute["status"] == "needs_response" and box.now() >= dispute["evidence_details"]["due_by"]:
        resolve(box, dispute, "lost")


def decide_later(box: Sandbox, dispute: Obj) -> None:
    """The bank decides by what the evidence said; without a word it is lost."""
    verdict = box.store.hidden(dispute["id"]).get("verdict") or "lost"
    if dispute["status"] == "warning_under_review" and verdict != "escalated":
        verdict = "warning_closed"
    if dispute["status"] in OPEN and verdict in can_become(dispute):
        resolve(box, dispute, verdict)


def close_inquiry_later(box: Sandbox, dispute: Obj) -> None:
    """An inquiry that did not become a dispute."""
    if dispute["status"] in ("warning_needs_response", "warning_under_review"):
        resolve(box, dispute, "warning_closed")


# Early fraud warnings


def warn(box: Sandbox, charge: Obj, fraud_type: str = "made_with_stolen_card") -> Obj:
    """The issuer's early word that a payment may be fraud."""
    warning: Obj = {
        "id": ids.new_id("issfr"),
        "object": "radar.early_fraud_warning",
        "actionable": not charge["refunded"] and not charge["disputed"],
        "charge": charge["id"],
        "created": box.now(),
        "fraud_type": fraud_type,
        "livemode": False,
        "payment_intent": charge["payment_intent"],
    }
    box.store.insert("radar.early_fraud_warning", warning)
    told = {name: warning[name] for name in ("charge", "payment_intent", "fraud_type", "actionable")}
    box.fact("warning.created", warning=warning["id"], amount=charge["amount"], **told)
    box.emit("radar.early_fraud_warning.created", warning)
    return warning


def warn_later(box: Sandbox, charge: Obj) -> None:
    warn(box, charge)


def refunded(box: Sandbox, charge: Obj) -> None:
    """A charge was refunded: when wholly, inquiries about it close and warnings need no action any more."""
    if not charge["refunded"]:
        return
    for dispute in box.store.where("dispute", "charge", charge["id"]):
        if dispute["status"] in ("warning_needs_response", "warning_under_review"):
            resolve(box, dispute, "warning_closed")
    calm_warnings(box, charge)


def calm_warnings(box: Sandbox, charge: Obj) -> None:
    """Nothing is left to do about a charge that was refunded or disputed."""
    for warning in box.store.where("radar.early_fraud_warning", "charge", charge["id"]):
        if warning["actionable"]:
            warning["actionable"] = False
            box.store.save(warning)
            box.emit("radar.early_fraud_warning.updated", warning, {"actionable": True})


def _new(box: Sandbox, charge: Obj, amount: int, reason: str, due_by: int, *, inquiry: bool) -> Obj:
    brand: str = charge["payment_method_details"]["card"]["brand"]
    card: Obj = {"brand": brand, "network": brand, "network_reason_code": REASONS[reason] or None}
    return {
        "id": ids.new_id("du"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": box.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": due_by,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {**card, "case_type": "inquiry" if inquiry else "chargeback"},
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }


def _write_down(box: Sandbox, name: str, dispute: Obj, **more: object) -> None:
    fee = money.DISPUTE_FEE if held(dispute) else 0
    names = ("charge", "payment_intent", "amount", "currency", "status", "reason")
    told: Obj = {"dispute": dispute["id"], "fee": fee, **{each: dispute[each] for each in names}}
    box.fact(name, **(told | more))
