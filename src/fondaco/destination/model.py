"""How a store is paid, and money taken back from its own account: rows, errors and the machine."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Problem

DIRECT_REVERSAL = Machine(
    "direct_reversal",
    born=("REQUESTED",),
    ends=("DONE", "OWED"),
    moves=(
        Move("REQUESTED", "SENDING", "worker", "written down, then asked for"),
        Move("SENDING", "DONE", "worker", "the provider took it back"),
        Move("SENDING", "OWED", "worker", "the account has too little: the seller owes it"),
        Move("SENDING", "UNKNOWN", "worker, sweeper", "no answer"),
        Move("UNKNOWN", "SENDING", "sweeper", "not found at the transfer: asked for again"),
    ),
)

FUNDING_POLICIES: Mapping[str, str] = {
    "standard": "Buyers are protected: their money is held here, released to the store, and paid out.",
    "destination": "Buyers pay the store's own account by card. Nothing is held, and nothing is paid out.",
}
"""How a store can be paid, in words."""


class FundingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a store is paid now."""

    policy: Annotated[str, Meta(description="`standard` or `destination`.")]
    version: Annotated[int, Meta(description="Counts the decisions; 0: none was ever made.")]
    decided_at: datetime | None
    asked_for: Annotated[str, Meta(description="What the owner asked for and nobody decided; or empty.")]
    account_ready: Annotated[bool, Meta(description="Whether the store has an account that can be paid.")]


class AccountNotReady(Problem):
    """To be paid at the sale the store needs a complete payout account. Set it up first."""

    status = 409
    code = "account_not_ready"


class SameAlready(Problem):
    """The store is paid like this already."""

    status = 409
    code = "same_already"
