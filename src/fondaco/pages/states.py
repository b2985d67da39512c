"""What people read for each state: one table of words and tones, used by pages, mails and receipts.

A tone is the colour of the mark beside the word: `wait` (amber: something has to happen yet),
`busy` (blue: it is happening now), `good` (green: done as hoped), `bad` (red: failed or needs a
person), `quiet` (grey: over, nothing owed), `new` (violet: fresh, untouched).
The word always stands beside the mark, so colour alone never carries the meaning.
"""

from typing import Literal, NamedTuple

Tone = Literal["wait", "busy", "good", "bad", "quiet", "new"]


class StateMark(NamedTuple):
    """A tone and the words a customer understands."""

    tone: Tone
    words: str


# Words that hold for a state whatever machine it belongs to.
_COMMON: dict[str, StateMark] = {
    "PENDING_PAYMENT": StateMark("wait", "Waiting for payment"),
    "PAID": StateMark("busy", "Paid"),
    "FULFILLING": StateMark("busy", "Being delivered"),
    "DELIVERED": StateMark("good", "Delivered"),
    "PARTIALLY_DELIVERED": StateMark("wait", "Partly delivered"),
    "COMPLETED": StateMark("good", "Completed"),
    "EXPIRED": StateMark("quiet", "Expired"),
    "CANCELLED": StateMark("quiet", "Cancelled"),
    "CANCELED": StateMark("quiet", "Cancelled"),
    "REFUNDED": StateMark("quiet", "Refunded"),
    "PARTIALLY_REFUNDED": StateMark("quiet", "Partly refunded"),
    "NEEDS_ATTENTION": StateMark("bad", "Needs attention"),
    "WAITING": StateMark("wait", "Waiting for stock"),
    "RESERVED": StateMark("wait", "Reserved"),
    "ASSIGNED": StateMark("busy", "Being delivered"),
    "REPLACED": StateMark("busy", "Being replaced"),
    "CREATED": StateMark("new", "Started"),
    "REQUESTED": StateMark("new", "Requested"),
    "SENDING": StateMark("busy", "Being sent"),
    "SENT": StateMark("busy", "Sent"),
    "PENDING": StateMark("wait", "Pending"),
    "PROCESSING": StateMark("busy", "In progress"),
    "CAPTURED": StateMark("good", "Kept here, no mail server"),
    "SUCCEEDED": StateMark("good", "Succeeded"),
    "SUCCEEDED_FINAL": StateMark("good", "Arrived"),
    "FAILED": StateMark("bad", "Failed"),
    "UNKNOWN": StateMark("wait", "Being checked"),
    "DISPUTED": StateMark("bad", "Disputed"),
    "CHARGED_BACK": StateMark("bad", "Charged back"),
    "IMPORTED": StateMark("new", "Imported"),
    "QUARANTINED": StateMark("wait", "Being checked"),
    "AVAILABLE": StateMark("good", "In stock"),
    "SOLD": StateMark("busy", "Sold"),
    "CONSUMED": StateMark("quiet", "Revealed"),
    "INVALID": StateMark("bad", "Not valid"),
    "WITHDRAWN": StateMark("quiet", "Withdrawn"),
    "EMPTY": StateMark("quiet", "Nothing held"),
    "HELD": StateMark("wait", "Protected"),
    "FROZEN": StateMark("bad", "Frozen by a case"),
    "RELEASED": StateMark("good", "Released to the seller"),
    "SPLIT": StateMark("quiet", "Split"),
    "OPEN": StateMark("wait", "Open"),
    "GRANTED": StateMark("good", "Granted"),
    "UNDER_REVIEW": StateMark("busy", "Under review"),
    "NEEDS_RESPONSE": StateMark("bad", "Needs an answer"),
    "WARNING_NEEDS_RESPONSE": StateMark("bad", "Enquiry needs an answer"),
    "WARNING_UNDER_REVIEW": StateMark("busy", "Enquiry under review"),
    "WARNING_CLOSED": StateMark("quiet", "Enquiry closed"),
    "PREVENTED": StateMark("good", "Prevented"),
    "WON": StateMark("good", "Won"),
    "LOST": StateMark("bad", "Lost"),
    "CLOSED": StateMark("quiet", "Closed"),
    "NORMAL": StateMark("good", "Normal"),
    "WARNING": StateMark("wait", "Warned"),
    "AT_RISK": StateMark("bad", "At risk"),
    "RESTRICTED": StateMark("bad", "Restricted"),
    "BANNED": StateMark("bad", "Banned"),
    "OK": StateMark("good", "In order"),
    "WALLET_AT_RISK": StateMark("bad", "Wallet at risk"),
    "LOCKED": StateMark("bad", "Locked"),
    "BANK_FAILED": StateMark("bad", "Refused by the bank"),
    "REVERSED": StateMark("quiet", "Reversed"),
    "RECEIVED": StateMark("new", "Received"),
    "PROCESSED": StateMark("good", "Handled"),
    "IGNORED": StateMark("quiet", "Not for us"),
    "DEFERRED": StateMark("wait", "Waits for another event"),
    "DEAD": StateMark("bad", "Gave up"),
    "APPLIED": StateMark("new", "Applied"),
    "EMAIL_VERIFIED": StateMark("busy", "Address verified"),
    "KYC_PENDING": StateMark("wait", "Identity being checked"),
    "ACTIVE": StateMark("good", "Active"),
    "SUSPENDED": StateMark("bad", "Suspended"),
    "OFFBOARDING": StateMark("wait", "Leaving"),
    "REJECTED": StateMark("bad", "Rejected"),
    "DRAFT": StateMark("new", "Draft"),
    "PUBLISHED": StateMark("good", "On sale"),
    "PAUSED": StateMark("wait", "Paused"),
    "ARCHIVED": StateMark("quiet", "Archived"),
    "HIDDEN": StateMark("quiet", "Hidden"),
    "SOLD_OUT": StateMark("bad", "Sold out"),
    "LOW_STOCK": StateMark("wait", "Only a few left"),
    "CHECKING": StateMark("busy", "Checking lines"),
    "COMMITTED": StateMark("good", "Imported"),
    "REVOKED": StateMark("quiet", "Revoked"),
    "REVEALED": StateMark("quiet", "Revealed"),
    "QUEUED": StateMark("wait", "Queued"),
    "DOING": StateMark("busy", "Running"),
    "BALANCED": StateMark("good", "Balanced"),
    "UNBALANCED": StateMark("bad", "Does not balance"),
    "VERIFIED": StateMark("good", "Verified"),
    "UNVERIFIED": StateMark("wait", "Not verified"),
}

# Where one state means different things to people on two machines: (machine, state).
_BY_MACHINE: dict[tuple[str, str], StateMark] = {
    ("escrow", "HELD"): StateMark("wait", "In buyer protection"),
    ("escrow", "DIRECT"): StateMark("quiet", "Paid to the store"),
    ("escrow", "REFUNDED"): StateMark("quiet", "Returned to the buyer"),
    ("payout", "CREATED"): StateMark("new", "About to leave"),
    ("payout", "HELD"): StateMark("wait", "On hold"),
    ("payout_account", "NONE"): StateMark("new", "Not set up"),
    ("payout_account", "PENDING"): StateMark("wait", "Not complete yet"),
    ("transfer_reversal", "DONE"): StateMark("good", "Taken back"),
    ("payout", "PAID"): StateMark("good", "Paid out"),
    ("payout", "SENT"): StateMark("busy", "On its way to the bank"),
    ("line", "RESERVED"): StateMark("wait", "Kept for you"),
    ("stock_unit", "RESERVED"): StateMark("wait", "In a checkout"),
    ("stock_unit", "AVAILABLE"): StateMark("good", "Available"),
    ("stock_unit", "WITHDRAWN"): StateMark("quiet", "Taken out"),
    ("payment", "SUCCEEDED"): StateMark("good", "Paid"),
    ("payment", "PROCESSING"): StateMark("wait", "Waiting for payment"),
    ("payment", "FAILED"): StateMark("bad", "Payment failed"),
    ("funding", "CREATED"): StateMark("new", "Waiting for payment"),
    ("funding", "PROCESSING"): StateMark("wait", "Waiting for payment"),
    ("funding", "SUCCEEDED"): StateMark("good", "Money arrived"),
    ("funding", "FAILED"): StateMark("bad", "Payment failed"),
    ("refund", "SUCCEEDED"): StateMark("good", "Refunded"),
    ("refund", "PENDING"): StateMark("wait", "Bank is confirming"),
    ("bad_key", "OPEN"): StateMark("wait", "Waits for the seller"),
    ("bad_key", "REPLACED"): StateMark("good", "Replaced"),
    ("bad_key", "REFUNDED"): StateMark("good", "Money given back"),
    ("bad_key", "REFUSED"): StateMark("bad", "Refused by the seller"),
    ("bad_key", "WITHDRAWN"): StateMark("quiet", "Taken back"),
    ("escrow", "SPLIT"): StateMark("quiet", "Partly returned, the rest released"),
    ("credit", "OWED"): StateMark("wait", "To be paid"),
    ("credit", "PAID"): StateMark("good", "Paid"),
    ("credit", "WRITTEN_OFF"): StateMark("bad", "Given up"),
    ("chargeback", "NEEDS_RESPONSE"): StateMark("bad", "Needs evidence"),
    ("chargeback", "UNDER_REVIEW"): StateMark("busy", "With the bank"),
    ("chargeback", "PREVENTED"): StateMark("good", "Withdrawn by the network"),
    ("chargeback_evidence", "DRAFT"): StateMark("wait", "Draft"),
    ("chargeback_evidence", "CONFIRMED"): StateMark("busy", "Confirmed"),
    ("chargeback_evidence", "SENT"): StateMark("good", "With the bank"),
    ("chargeback_evidence", "REFUSED"): StateMark("bad", "Refused by the provider"),
    ("chargeback_evidence", "CLOSED"): StateMark("quiet", "Not sent"),
    ("break", "OPEN"): StateMark("bad", "Unexplained"),
    ("break", "EXPLAINED"): StateMark("quiet", "Explained"),
    ("break", "RESOLVED"): StateMark("good", "Gone"),
    ("reconciliation_run", "RUNNING"): StateMark("busy", "Under way"),
    ("reconciliation_run", "DONE"): StateMark("good", "Done"),
    ("reconciliation_run", "BROKEN_OFF"): StateMark("bad", "Broken off"),
    ("approval", "OPEN"): StateMark("wait", "Waits for a second person"),
    ("approval", "APPROVED"): StateMark("good", "Approved and done"),
    ("approval", "REFUSED"): StateMark("bad", "Refused"),
    ("risk_appeal", "REFUSED"): StateMark("bad", "Refused"),
    ("approval", "WITHDRAWN"): StateMark("quiet", "Taken back"),
    ("approval", "EXPIRED"): StateMark("quiet", "Nobody decided in time"),
    ("case", "WON"): StateMark("quiet", "Decided for the seller"),
    ("case", "LOST"): StateMark("quiet", "Decided for the buyer"),
    ("job", "FAILED"): StateMark("bad", "Failed, will not run again"),
    ("mail", "SENT"): StateMark("good", "Sent"),
    ("seller", "OPEN"): StateMark("good", "Open"),
    ("seller", "CLOSED"): StateMark("quiet", "Closed"),
    ("user", "ACTIVE"): StateMark("good", "Active"),
}

KNOWN_STATES: tuple[str, ...] = tuple(_COMMON)


def state_mark(state: str, machine: str | None = None) -> StateMark:
    """The tone and words for a state; `machine` picks words where they differ (see the table).

    A state not in the table still reads well: "SOME_STATE" becomes a grey "Some state".
    """
    key = state.upper()
    if machine is not None and (found := _BY_MACHINE.get((machine, key))):
        return found
    return _COMMON.get(key) or StateMark("quiet", key.replace("_", " ").capitalize())
