"""Chargebacks: rows, the machine, and what can be refused."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.machine import Machine, Move

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
    provider_state: Annotated[str, Meta(description="The provider's own word, as last told.")]
    due_by: Annotated[datetime | None, Meta(description="Until then evidence counts.")]
    opened_at: datetime
    ended_at: datetime | None
    taken: Annotated[int, Meta(description="What the network has of our money.")]
    held: Annotated[int, Meta(description="What is held of the buyer's wallet for it.")]
    owed: Annotated[int, Meta(description="What the buyer still owes of a lost one.")]
    written_off: int
    version: int
