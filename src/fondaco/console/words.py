"""Events and journals in words, with the icon and tone they are shown with."""

import re
from datetime import datetime
from typing import Any, NamedTuple

from fondaco import cases, chargebacks, refunds
from fondaco.core.money import Money


class Told(NamedTuple):
    """How an event is told."""

    icon: str
    tone: str
    words: str


EVENTS: dict[str, Told] = {
    "approval.approved": Told("shield-check", "good", "Approved by a second person, and done"),
    "approval.asked": Told("users", "wait", "Asked for a second person's approval"),
    "approval.expired": Told("clock", "quiet", "Nobody approved it in time"),
    "approval.refused": Told("circle-x", "bad", "Refused by a second person"),
    "approval.withdrawn": Told("undo-2", "quiet", "Request for approval taken back"),
    "api_key.created": Told("key-round", "new", "API key made"),
    "api_key.revoked": Told("key-round", "quiet", "API key revoked"),
    "batch.closed": Told("package-check", "good", "Keys imported"),
    "batch.failed": Told("package-x", "bad", "Import of keys failed"),
    "batch.received": Told("package-plus", "new", "Keys handed in"),
    "content.opened": Told("eye", "quiet", "Article's content opened by its seller"),
    "content.saved": Told("pencil", "quiet", "Article's content saved"),
    "copies.set": Told("layers", "quiet", "Number of copies for sale set"),
    "break.explained": Told("circle-check", "quiet", "Difference to the provider explained"),
    "break.opened": Told("circle-alert", "bad", "Our books and the provider differ; payouts stop"),
    "break.reopened": Told("rotate-ccw", "wait", "Explanation of a difference taken back"),
    "break.resolved": Told("circle-check", "good", "Difference to the provider is gone"),
    "break.taken": Told("user-round-check", "busy", "Somebody looks into a difference"),
    "case.accepted": Told("circle-check", "good", "Case settled: the seller's offer was accepted"),
    "case.answered": Told("mail", "busy", "Case: the asked party answered"),
    "case.appealed": Told("flag", "wait", "Case: a party appealed"),
    "case.asked": Told("circle-alert", "wait", "Case: a party was asked"),
    "case.closed": Told("circle-check", "quiet", "Case closed"),
    "case.decided": Told("scale", "good", "Case decided"),
    "case.declined": Told("circle-x", "quiet", "Case: the offer was declined"),
    "case.file_added": Told("file-text", "quiet", "Case: file added"),
    "case.noted": Told("pencil", "quiet", "Case: note for the staff"),
    "case.offered": Told("tag", "new", "Case: the seller offered to settle"),
    "case.offer_taken_back": Told("undo-2", "quiet", "Case: the offer was taken back"),
    "case.opened": Told("flag", "bad", "Case opened; the money is frozen"),
    "case.overdue": Told("clock", "bad", "Case past the desk's time"),
    "case.taken": Told("user-round-check", "busy", "Case under review"),
    "case.unanswered": Told("clock", "wait", "Case: no answer in time"),
    "case.withdrawn": Told("undo-2", "quiet", "Case withdrawn"),
    "case.written": Told("mail", "quiet", "Case: message"),
    "chargeback.cleared": Told("lock-open", "good", "Wallet let go although a chargeback was lost"),
    "chargeback.evidence_confirmed": Told("user-round-check", "busy", "Evidence confirmed by finance"),
    "chargeback.evidence_drafted": Told("pencil", "new", "Evidence drafted; sellers may add to it"),
    "chargeback.evidence_refused": Told("circle-x", "bad", "Evidence not taken by the provider"),
    "chargeback.evidence_sent": Told("send", "good", "Evidence sent to the bank"),
    "chargeback.lost": Told("circle-x", "bad", "Chargeback lost"),
    "chargeback.needs_response": Told("shield-x", "bad", "Enquiry became a chargeback"),
    "chargeback.opened": Told("shield-x", "bad", "The buyer's bank disputes the payment"),
    "chargeback.prevented": Told("circle-check", "good", "Chargeback withdrawn by the network"),
    "chargeback.repaid": Told("badge-check", "good", "Owed money paid back from the wallet"),
    "chargeback.reversed": Told("undo-2", "good", "A lost chargeback came back after all"),
    "chargeback.statement_added": Told("mail", "quiet", "A seller added to the evidence"),
    "chargeback.under_review": Told("clock", "busy", "The bank looks at the evidence"),
    "chargeback.warning_closed": Told("circle-check", "good", "Enquiry closed"),
    "chargeback.warning_under_review": Told("clock", "busy", "The bank looks at the answer"),
    "chargeback.won": Told("circle-check", "good", "Chargeback won"),
    "chargeback.words_written": Told("pencil", "quiet", "Finance added to the evidence"),
    "chargeback.written_off": Told("scale", "wait", "Owed money written off, by two people"),
    "checks.failed": Told("circle-alert", "bad", "A check found something that is not as it must be"),
    "checks.recovered": Told("circle-check", "good", "What a check had found is gone"),
    "credit.due_soon": Told("clock", "wait", "Buyer reminded of what is owed"),
    "credit.overdue": Told("circle-alert", "bad", "What is owed is overdue; the buyer is told"),
    "credit.paid": Told("badge-check", "good", "Owed money paid from the wallet"),
    "credit.policy_ended": Told("circle-x", "wait", "No more credit is given"),
    "credit.policy_set": Told("percent", "wait", "New terms of credit"),
    "credit.refunded": Told("undo-2", "good", "A refund paid what was owed"),
    "credit.taken": Told("clock", "new", "Bought on credit"),
    "credit.written_off": Told("scale", "bad", "Owed money given up; what was not opened is taken back"),
    "event.dead": Told("skull", "bad", "Gave up on an event of the provider"),
    "event.replayed": Told("rotate-ccw", "busy", "Event of the provider handled again by hand"),
    "funding.warned": Told("circle-alert", "bad", "The card network warns that this may be fraud"),
    "funding.canceled": Told("circle-x", "quiet", "Payment given up"),
    "funding.expired": Told("clock", "quiet", "Payment page ran out"),
    "funding.failed": Told("circle-alert", "bad", "Payment failed"),
    "funding.started": Told("credit-card", "new", "Payment started"),
    "funding.succeeded": Told("badge-check", "good", "Money arrived"),
    "funding.unmatched": Told("circle-alert", "bad", "Money that matches nothing; it is in suspense"),
    "journal.reversed": Told("undo-2", "wait", "Journal undone by its mirror, by two people"),
    "line.bad_code": Told("key-round", "bad", "Buyer says a key does not work"),
    "line.bad_code_answered": Told("key-round", "quiet", "Report about a key ended"),
    "line.chargeback_share": Told("scale", "bad", "Store bore its share of a lost chargeback"),
    "line.chargeback_share_back": Told("undo-2", "good", "Store got its share of a chargeback back"),
    "line.frozen": Told("snowflake", "wait", "Money frozen by a case"),
    "line.refunded": Told("undo-2", "good", "Money given back to the buyer"),
    "line.replaced": Told("rotate-ccw", "good", "Bad key replaced by another one"),
    "line.thawed": Told("lock-open", "quiet", "Money no longer frozen"),
    "line.matured": Told("calendar-check", "good", "Seller's money payable"),
    "line.released": Told("lock-open", "good", "Protection ended; money released to the seller"),
    "listing.archived": Told("archive", "quiet", "Listing archived"),
    "listing.changed": Told("pencil", "quiet", "Listing edited"),
    "listing.created": Told("tag", "new", "Listing created"),
    "listing.paused": Told("circle-pause", "wait", "Listing paused"),
    "listing.price_changed": Told("badge-euro", "quiet", "Price changed"),
    "listing.published": Told("tag", "good", "Listing published"),
    "mail.sent_again": Told("mail", "busy", "Mail sent again by hand"),
    "mail.undeliverable": Told("mail-x", "bad", "Mail could not be delivered"),
    "order.cancelled": Told("circle-x", "quiet", "Order cancelled"),
    "order.completed": Told("circle-check", "good", "Order completed"),
    "order.delivered": Told("package-check", "good", "Paid and delivered"),
    "order.expired": Told("clock", "quiet", "Order expired unpaid"),
    "order.refunded": Told("undo-2", "quiet", "Order given back in full"),
    "order.placed": Told("shopping-cart", "new", "Order placed"),
    "paper.issued": Told("file-text", "quiet", "Paper issued"),
    "payout.bank_failed": Told("landmark", "bad", "The seller's bank refused the payout"),
    "payout.cancelled": Told("circle-x", "quiet", "Payout cancelled; the money is payable again"),
    "payout.created": Told("banknote", "new", "Payout decided, money set aside"),
    "payout.failed": Told("circle-alert", "bad", "Payout failed; the money is payable again"),
    "payout.held": Told("circle-pause", "wait", "Payout on hold"),
    "payout.let_go": Told("circle-play", "busy", "Payout let go"),
    "payout.not_taken_back": Told("circle-alert", "bad", "The provider could not take the transfer back"),
    "payout.paid": Told("landmark", "good", "The seller's bank has the payout"),
    "payout.reversed": Told("undo-2", "wait", "Transfer taken back; the money is payable again"),
    "payout.second_taken_back": Told("undo-2", "good", "The transfer that was one too many is taken back"),
    "payout.second_transfer": Told("circle-alert", "bad", "Two transfers for one payout"),
    "payout.sent": Told("banknote", "good", "Payout sent to the seller's account"),
    "payout.taking_back": Told("undo-2", "busy", "Transfer is to be taken back"),
    "payout.withheld": Told("circle-pause", "wait", "Not paid by the daily run"),
    "payout_account.active": Told("landmark", "good", "Payout account complete"),
    "payout_account.begun": Told("landmark", "new", "Payout account begun"),
    "payout_account.closed": Told("landmark", "bad", "Payout account closed"),
    "payout_account.pending": Told("landmark", "wait", "Payout account made, not complete"),
    "payout_account.restricted": Told("landmark", "bad", "Payout account restricted by the provider"),
    "payouts.run_started": Told("play", "busy", "Payout run started"),
    "seller.debt_netted": Told("scale", "quiet", "Debt set against the balance"),
    "seller.reserve_freed": Told("lock-open", "good", "Reserve freed"),
    "money.adjustment_made": Told("scale", "wait", "Balance adjusted by the marketplace"),
    "money.forfeit_made": Told("shield-x", "bad", "Money of a banned store forfeited"),
    "money.goodwill_paid": Told("badge-check", "wait", "Goodwill paid by the marketplace"),
    "reconciliation.broken_off": Told("circle-alert", "bad", "Reconciliation broken off"),
    "reconciliation.done": Told("scale", "good", "Reconciled with the provider"),
    "reconciliation.started": Told("play", "busy", "Reconciliation started"),
    "refund.failed": Told("circle-alert", "bad", "Refund failed; the money is back in the wallet"),
    "refund.requested": Told("undo-2", "new", "Refund requested"),
    "refund.succeeded": Told("undo-2", "good", "Refund arrived"),
    "secret.looked_up": Told("scan-search", "quiet", "Key looked up by its fingerprint"),
    "secret.revealed": Told("eye", "quiet", "Key revealed"),
    "device.seen": Told("eye", "quiet", "Seen with a browser"),
    "session.failed": Told("log-in", "wait", "Sign-in failed"),
    "session.second_factor_passed": Told("shield-check", "quiet", "Second factor passed"),
    "session.started": Told("log-in", "quiet", "Signed in"),
    "staff.role_given": Told("shield-check", "wait", "Staff role changed"),
    "batch.looked_at": Told("eye", "quiet", "Keys of a store at risk were looked at"),
    "risk.appeal_added": Told("mail", "quiet", "Said more in an appeal"),
    "risk.appeal_asked": Told("mail", "quiet", "Asked back in an appeal"),
    "risk.appeal_decided": Told("scale", "quiet", "Appeal about a standing answered"),
    "risk.appealed": Told("flag", "wait", "Appeal about a standing"),
    "risk.blocked": Told("shield-x", "wait", "Mail domain or card blocked"),
    "risk.tier_changed": Told("shield-check", "wait", "Risk tier changed"),
    "risk.unblocked": Told("shield-check", "quiet", "Mail domain or card no longer blocked"),
    "store.shown_again": Told("store", "good", "Store shown again: its tier is lower"),
    "store.suspended": Told("store", "bad", "Store hidden by its risk tier"),
    "store.changed": Told("store", "quiet", "Store edited"),
    "store.funding_set": Told("credit-card", "wait", "How a store is paid was set"),
    "direct.taking_back": Told("undo-2", "wait", "To be taken back from the store's own account"),
    "direct.taken_back": Told("undo-2", "good", "Taken back from the store's own account"),
    "direct.owed": Told("circle-alert", "bad", "The store's own account has too little: the store owes it"),
    "store.release_set": Told("clock", "wait", "When a store is paid was set"),
    "store.opened": Told("store", "new", "Store opened"),
    "suspense.settled": Told("circle-check", "good", "Money left suspense"),
    "sweep.booked": Told("landmark", "good", "Paid out to the marketplace's own bank"),
    "sweep.returned": Told("landmark", "bad", "The marketplace's own bank sent a payout back"),
    "team.member_added": Told("users", "new", "Joined a store's team"),
    "team.member_removed": Told("users", "quiet", "Left a store's team"),
    "team.role_changed": Told("users", "quiet", "Role in a store's team changed"),
    "unit.withdrawn": Told("package-minus", "quiet", "Keys taken out of sale"),
    "user.closed": Told("user-round-x", "bad", "Account closed"),
    "user.opened": Told("user-round-check", "good", "Account opened again"),
    "user.password_changed": Told("key-round", "wait", "Password changed"),
    "user.reset_asked": Told("key-round", "quiet", "New password asked for"),
    "user.second_factor_on": Told("shield-check", "good", "Second factor set up"),
    "user.second_factor_off": Told("shield-x", "wait", "Second factor removed"),
    "user.sign_up_repeated": Told("user-round-plus", "quiet", "Somebody signed up with this address again"),
    "user.signed_up": Told("user-round-plus", "new", "Account opened"),
    "user.verification_asked": Told("mail", "quiet", "Link to prove the address asked for"),
    "user.verified": Told("user-round-check", "good", "Address proved"),
    "wallet.at_risk": Told("snowflake", "bad", "Wallet blocked while a payment is disputed"),
    "wallet.freed": Told("lock-open", "good", "Wallet can be used again"),
    "wallet.locked": Told("lock", "bad", "Wallet locked until what is owed is paid"),
}

JOURNALS: dict[str, str] = {
    "top_up": "Money into the wallet",
    "provider_fee": "The provider's fee",
    "suspense": "Money into suspense",
    "purchase": "Purchase: from the wallet into escrow",
    "release": "Release: from escrow to seller and marketplace",
    "mature": "Seller's money becomes payable",
    "refund_line": "Line refunded: from escrow back to the wallet",
    "refund_intent": "Refund on its way: out of the wallet",
    "refund_done": "Refund done",
    "refund_failed": "Refund failed: back into the wallet",
    "refund_late_failure": "Refund returned by the bank: back into the wallet",
    "promo_grant": "Credit given",
    "goodwill": "Goodwill",
    "adjustment": "Adjustment",
    "forfeit": "Forfeit of a banned store's money",
    "suspense_resolved": "Money leaves suspense",
    "credit_sale": "Delivered on credit: owed by the buyer, into escrow",
    "credit_paid": "Credit paid from the wallet",
    "credit_loss": "Credit written off",
    "reserve_free": "Reserve freed to the seller",
    "refund_released": "Refund after release: from seller and marketplace to the wallet",
    "netting": "Seller's debt paid from what is payable",
    "debt_written_off": "Seller's debt written off",
    "chargeback_opened": "Chargeback: money taken by the card network",
    "chargeback_hold": "Wallet held for a chargeback",
    "chargeback_unhold": "Wallet's hold ended",
    "chargeback_fee": "The provider's fee for a chargeback",
    "chargeback_fee_back": "Chargeback fee returned",
    "chargeback_won": "Chargeback won: money returned",
    "chargeback_lost": "Chargeback lost: owed by the buyer",
    "chargeback_reversed": "Chargeback reversed after it was lost",
    "chargeback_written_off": "Lost chargeback written off",
    "chargeback_repaid": "Buyer repaid a lost chargeback",
    "liability": "Seller's share of a lost chargeback",
    "liability_back": "Seller's share of a chargeback returned",
    "payout_intent": "Payout intended: out of what is payable",
    "payout_sent": "Payout sent to the seller's account",
    "payout_failed": "Payout refused: payable again",
    "payout_cancelled": "Payout cancelled: payable again",
    "payout_reversed": "Payout reversed",
    "destination_charge": "Charge for a seller's own account",
    "destination_transfer": "Passed on to the seller's own account",
    "destination_refund": "Refund of a charge for a seller's own account",
    "destination_reversed": "Taken back from the seller's own account",
    "destination_returned": "Reversed chargeback, the store's part",
    "destination_debt": "Refund the seller's own account could not pay",
    "exchange": "Exchange of currencies",
    "tax_remitted": "Tax remitted",
    "sweep": "Moved between the provider and the bank",
    "reversal": "Reversal",
}

ACCOUNTS: dict[str, str] = {
    "psp_clearing": "Payment provider",
    "wallet": "Wallet",
    "escrow": "Escrow",
    "seller_pending": "Seller, maturing",
    "seller_available": "Seller, payable",
    "refund_in_flight": "Refund in flight",
    "suspense": "Suspense",
    "commission": "Commission",
    "tax_payable": "Tax payable",
    "wallet_hold": "Wallet, held",
    "promo_credit": "Credit given",
    "credit_out": "Owed for goods on credit",
    "seller_reserve": "Seller, reserve",
    "seller_receivable": "Owed by the seller",
    "buyer_receivable": "Owed by the buyer",
    "payout_in_flight": "Payout in flight",
    "chargeback_held": "Held by the card network",
    "dest_clearing": "Passing to a seller's own account",
    "other_income": "Other income",
    "chargeback_fees": "Chargeback fees",
    "chargeback_loss": "Chargeback losses",
    "bad_debt": "Bad debt",
    "promo_expense": "Credit given away",
    "goodwill": "Goodwill",
    "fx": "Exchange",
    "bank": "Bank",
    "psp_fees": "Provider's fees",
}

TEMPLATES: dict[str, str] = {
    "approval_asked": "Approval asked for, to staff",
    "approval_decided": "Approval decided, to who asked",
    "bad_key_answered": "Report about a key answered, to the buyer",
    "bad_key_reported": "Key reported, to the store",
    "line_refunded": "Money of a line given back, to the buyer",
    "money_adjusted": "Balance adjusted, to whom it belongs",
    "sale_refunded": "Money of a sale given back, to the store",
    "account_exists": "Somebody signed up with your address",
    "books_differ": "Books and provider differ, to finance",
    "case_turn": "A case went on",
    "chargeback_turn": "Chargeback: wallet blocked, evidence wanted, share borne",
    "checks_failed": "A check failed, to the operator",
    "checks_well": "All is well again, to the operator",
    "credit_turn": "Credit: soon due, overdue, paid, given up",
    "import_closed": "Keys imported",
    "import_failed": "Import failed",
    "new_order": "New order, to the store",
    "order_delivered": "Delivered, to the buyer",
    "order_expired": "Order expired",
    "password_changed": "Password changed",
    "payout_failed": "Payout failed or cancelled, to the store",
    "payout_sent": "Payout sent, to the store",
    "payout_waits": "Payout waits, to the store",
    "refund_succeeded": "Refund arrived",
    "reset_password": "New password",
    "statement_ready": "Statement of a month, to the store",
    "top_up_received": "Top-up received",
    "verify_address": "Prove your address",
}


def told(kind: str) -> Told:
    """How an event of this kind is told; a kind without words reads as its name."""
    return EVENTS.get(kind) or Told("circle", "quiet", plain(kind.replace(".", " ")))


def plain(name: str) -> str:
    """ "refund_in_flight" as "Refund in flight"."""
    return name.replace("_", " ").capitalize()


_TOLD_ELSEWHERE = (
    "snapshot",
    "offer_id",
    "file_id",
    "message_id",
    "step",
    "group_id",
    "buyer_id",
    "seller_id",
    "line_id",
    "order_id",
    "user_id",
    "mail_id",
    "approval_id",
    "funding_id",
    "chargeback_id",
    "stores",
    "sha256",
    "report_id",
    "refund_id",
    "entitlement_id",
    "bad_id",
    "currency",
)


_AMOUNTS = (
    *("amount", "total", "price", "owed", "borne", "held", "taken", "repaid"),
    *("still_owed", "order_max", "cap", "cap_warning", "total_cap"),
)
_BY_THEMSELVES = (
    "amount",
    "total",
    "reason",
    "purpose",
    "kind",
    "state",
    "stage",
    "why",
    "because",
    "transfer",
)
_VALUES = {
    "top_up": "for the wallet",
    "order": "for an order",
    "chargeback": "to the chargeback",
    "warning": "to the enquiry",
    "daily": "daily payout",
    "withdrawal": "withdrawal",
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")
_CODE = re.compile(r"[A-Z]{2,}(_[A-Z]+)*|[a-z]+(_[a-z]+)+")


def facts(data: dict[str, Any]) -> str:
    """An event's facts on one line, in words, without the ids that are told elsewhere. Whole amounts become
    money in the event's own currency, moments days and minutes (UTC), codes their words."""
    currency = data.get("currency")
    parts: list[str] = []
    for key, value in data.items():
        if key in _TOLD_ELSEWHERE or value in (None, "", False, [], {}):
            continue
        if currency and key in _AMOUNTS and isinstance(value, int):
            words = Money(value, str(currency)).words()
        else:
            words = _worded(key, value)
        parts.append(words if key in _BY_THEMSELVES else f"{key.replace('_', ' ')}: {words}")
    return ", ".join(parts)


def _worded(key: str, value: Any) -> str:
    if value is True:
        return "yes"
    if isinstance(value, list):
        return ", ".join(_worded(key, each) for each in value)  # pyright: ignore[reportUnknownVariableType]
    text = str(value)
    if key == "reason":
        return _reason(text)
    if key == "card":
        return f"known as {text[:8]}"
    if _MOMENT.fullmatch(text):
        return _day(text)
    return _VALUES.get(text) or (plain(text).lower() if _CODE.fullmatch(text) else text)


def _reason(code: str) -> str:
    """Why money goes back, in the words of the place that knows the code."""
    words = refunds.REASONS.get(code) or cases.REASONS.get(code)
    if words is None and code.replace("_", "").isalpha():
        words = chargebacks.reason_words(code)
    return words[:1].lower() + words[1:] if words else code


def _day(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    day = f"{moment.day} {moment:%b %Y}"
    return day if len(text) == len("2026-11-21") else f"{day}, {moment:%H:%M} UTC"
