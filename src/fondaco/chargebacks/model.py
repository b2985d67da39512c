"""Chargebacks: rows, the machine, and what can be refused."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Problem

OPEN = ("WARNING_NEEDS_RESPONSE", "WARNING_UNDER_REVIEW", "NEEDS_RESPONSE", "UNDER_REVIEW")
ENDED = ("WARNING_CLOSED", "WON", "LOST", "PREVENTED")
STATES = (*OPEN, *ENDED)

CHARGEBACK = Machine(
    "chargeback",
    born=STATES,  # the first we hear of one may be its end
    ends=ENDED,
    moves=(
        Move(
            "WARNING_NEEDS_RESPONSE",
            "WARNING_UNDER_REVIEW",
            "webhook",
            "an inquiry was answered; no money moved",
        ),
        Move("WARNING_NEEDS_RESPONSE", "WARNING_CLOSED", "webhook", "the inquiry ended; the wallet is free"),
        Move("WARNING_UNDER_REVIEW", "WARNING_CLOSED", "webhook", "the inquiry ended; the wallet is free"),
        Move("WARNING_NEEDS_RESPONSE", "NEEDS_RESPONSE", "webhook", "escalated; the network takes the money"),
        Move("WARNING_UNDER_REVIEW", "NEEDS_RESPONSE", "webhook", "escalated; the network takes the money"),
        Move("WARNING_NEEDS_RESPONSE", "LOST", "webhook", "escalated and lost before we heard of it"),
        Move("WARNING_UNDER_REVIEW", "LOST", "webhook", "escalated and lost before we heard of it"),
        Move("WARNING_NEEDS_RESPONSE", "WON", "webhook", "escalated and won before we heard of it"),
        Move("WARNING_UNDER_REVIEW", "WON", "webhook", "escalated and won before we heard of it"),
        Move("WARNING_NEEDS_RESPONSE", "UNDER_REVIEW", "webhook", "escalated and answered"),
        Move("WARNING_UNDER_REVIEW", "UNDER_REVIEW", "webhook", "escalated and answered"),
        Move("NEEDS_RESPONSE", "UNDER_REVIEW", "webhook", "evidence is with the bank"),
        Move("NEEDS_RESPONSE", "WON", "webhook", "the money came back"),
        Move(
            "NEEDS_RESPONSE",
            "LOST",
            "webhook",
            "the money is gone; the buyer owes what was not held",
        ),
        Move("NEEDS_RESPONSE", "PREVENTED", "webhook", "withdrawn by the network"),
        Move("UNDER_REVIEW", "WON", "webhook", "the money came back"),
        Move(
            "UNDER_REVIEW",
            "LOST",
            "webhook",
            "the money is gone; the buyer owes what was not held",
        ),
        Move("UNDER_REVIEW", "PREVENTED", "webhook", "withdrawn by the network"),
        Move("LOST", "WON", "webhook", "reversed after it was lost"),
    ),
)


EVIDENCE_STATES = ("DRAFT", "CONFIRMED", "SENDING", "UNKNOWN", "SENT", "REFUSED", "CLOSED")
EVIDENCE = Machine(
    "chargeback_evidence",
    born=("DRAFT",),
    ends=("SENT", "REFUSED", "CLOSED"),
    moves=(
        Move("DRAFT", "CONFIRMED", "finance", "somebody read it; it is sent at once"),
        Move("DRAFT", "SENDING", "sweeper", "nobody confirmed it, and its time is nearly over"),
        Move("DRAFT", "CLOSED", "system", "the bank decided, or its time was over, before it was sent"),
        Move("CONFIRMED", "SENDING", "worker", "what is sent is written down; the call is about to start"),
        Move("CONFIRMED", "CLOSED", "system", "the bank decided, or its time was over, before it was sent"),
        Move("SENDING", "SENT", "worker", "the provider has it"),
        Move("SENDING", "REFUSED", "worker", "the provider would not take it"),
        Move("SENDING", "UNKNOWN", "worker, sweeper", "no answer: ask before anything is sent again"),
        Move("UNKNOWN", "SENT", "sweeper", "the provider counts it"),
        Move("UNKNOWN", "REFUSED", "sweeper", "it never came, and its time is over"),
        Move("UNKNOWN", "SENDING", "sweeper", "provably absent: the same again"),
    ),
)
REASONS: dict[str, str] = {
    "bank_cannot_process": "The bank could not process the payment",
    "credit_not_processed": "The buyer says that money back never came",
    "customer_initiated": "The buyer asked the bank for the money back",
    "debit_not_authorized": "The buyer says that the debit was not allowed",
    "duplicate": "The buyer says that they paid twice",
    "fraudulent": "The buyer says that it was not them who paid",
    "general": "No reason was given",
    "incorrect_account_details": "The account's details are wrong",
    "insufficient_funds": "The account had too little money",
    "noncompliant": "The payment broke a rule of the card network",
    "product_not_received": "The buyer says that nothing arrived",
    "product_unacceptable": "The buyer says that it was not as described",
    "subscription_canceled": "The buyer says that it was cancelled",
    "unrecognized": "The buyer does not know the payment",
}


def reason_words(code: str) -> str:
    """The network's reason in words."""
    return REASONS.get(code) or code.replace("_", " ").capitalize()


class EvidenceMoved(Problem):
    """The evidence was sent, or the bank decided, meanwhile. Look at it again."""

    status = 409
    code = "evidence_moved"


class WindowOver(Problem):
    """The time to add something is over, or it was sent already."""

    status = 409
    code = "window_over"


class NothingOwed(Problem):
    """Nothing is owed of this chargeback any more."""

    status = 409
    code = "nothing_owed"


class StillAtStake(Problem):
    """This wallet cannot be let go: a chargeback is still open, or something is still owed of it."""

    status = 409
    code = "still_at_stake"


class Chargeback(msgspec.Struct, frozen=True, kw_only=True):
    """A card network's dispute of a funding. Amounts in minor units."""

    id: UUID
    provider_id: str
    funding_id: UUID
    user_id: UUID
    amount: int
    currency: str
    reason: str
    state: str
    provider_status: Annotated[str, Meta(description="The provider's own word, as last told.")]
    due_by: Annotated[datetime | None, Meta(description="Until then evidence counts.")]
    opened_at: datetime
    ended_at: datetime | None
    taken: Annotated[int, Meta(description="What the network has of our money.")]
    held: Annotated[int, Meta(description="What is held of the buyer's wallet for it.")]
    owed: Annotated[int, Meta(description="What the buyer still owes of a lost one.")]
    written_off: int
    repaid: Annotated[int, Meta(description="What the buyer paid back of a lost one.")]
    borne: Annotated[int, Meta(description="What sellers bore of it, where their terms say so.")]
    cleared_at: Annotated[
        datetime | None, Meta(description="When the wallet was let go although it was lost.")
    ]
    version: int
