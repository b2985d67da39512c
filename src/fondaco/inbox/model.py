"""Events from providers: rows and their machine."""

from datetime import datetime

import msgspec

from fondaco.core.machine import Machine, Move

INBOX_EVENT = Machine(
    "inbox_event",
    born=("RECEIVED", "IGNORED"),  # IGNORED: at the door, what can have no effect
    ends=("PROCESSED", "IGNORED"),
    moves=(
        Move("RECEIVED", "PROCESSED", "worker", "its effects and this change are one transaction"),
        Move("RECEIVED", "IGNORED", "worker", "not ours, not of use, or of another mode"),
        Move("RECEIVED", "DEFERRED", "worker", "what it speaks of is not known yet"),
        Move("RECEIVED", "FAILED", "worker", "tried and failed; will be tried again"),
        Move("DEFERRED", "PROCESSED", "worker", "later try"),
        Move("DEFERRED", "IGNORED", "worker", "later try"),
        Move("DEFERRED", "FAILED", "worker", "later try"),
        Move("DEFERRED", "DEAD", "worker", "tries used up; somebody is told"),
        Move("FAILED", "PROCESSED", "worker", "later try"),
        Move("FAILED", "IGNORED", "worker", "later try"),
        Move("FAILED", "DEFERRED", "worker", "later try"),
        Move("FAILED", "DEAD", "worker", "tries used up; somebody is told"),
        Move("DEAD", "RECEIVED", "ops", "replayed by hand, audited"),
        Move("IGNORED", "RECEIVED", "worker", "an older version knew no effect of its type; this one does"),
    ),
)

CHANNEL = "inbox"  # notified by every transaction that leaves an event to be handled
SESSION_TYPES = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
)
REFUND_TYPES = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
TRANSFER_TYPES = ("transfer.created", "transfer.updated", "transfer.reversed")
ACCOUNT_TYPES = (  # of sellers' own accounts; the provider lists them for each account alone
    "account.updated",
    "account.application.deauthorized",
    "capability.updated",
    "payout.paid",
    "payout.failed",
)
DISPUTE_TYPES = (
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)
WARNING_TYPES = ("radar.early_fraud_warning.created", "radar.early_fraud_warning.updated")
TYPES = frozenset(
    (
        *SESSION_TYPES,
        "payment_intent.succeeded",
        "charge.updated",
        *REFUND_TYPES,
        *DISPUTE_TYPES,
        *WARNING_TYPES,
        *TRANSFER_TYPES,
        *ACCOUNT_TYPES,
    )
)
"""The types of events that can have an effect here."""
NO_EFFECT = "Events of this type have no effect."


def of_no_interest(kind: str, account: str, *, livemode: bool, own_mode: bool) -> str | None:
    """Why an event can have no effect, whatever it speaks of; None when it may have one."""
    if livemode != own_mode:
        return "It is of the other mode: test events mean nothing here, or live ones."
    if account and kind not in ACCOUNT_TYPES:
        return "It is of another account."
    return None if kind in TYPES else NO_EFFECT


class InboxEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it arrived, and what became of it."""

    id: int
    provider: str
    event_id: str
    type: str
    object_id: str
    livemode: bool
    source: str
    """'webhook', or 'backfill' when its delivery never came."""
    state: str
    attempts: int
    failure: str | None
    object_created: datetime
    received_at: datetime
    next_at: datetime
    handled_at: datetime | None
