"""Payouts: rows, machines, words, and what can be refused."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.machine import Machine, Move
from fondaco.core.problem import Problem

PAYOUT_ACCOUNT = Machine(
    "payout_account",
    born=("NONE",),
    ends=("CLOSED",),
    moves=(
        Move("NONE", "PENDING", "system", "the provider made the account; its owner must answer questions"),
        Move("NONE", "CLOSED", "system", "the provider refused to make it; another try makes another"),
        Move("PENDING", "ACTIVE", "provider", "read from the fetched account: it can be paid"),
        Move("PENDING", "RESTRICTED", "provider", "answers are overdue or were refused"),
        Move(
            "ACTIVE",
            "RESTRICTED",
            "provider",
            "answers are overdue, or transfers are switched off: payouts wait",
        ),
        Move("RESTRICTED", "ACTIVE", "provider", "what was asked is answered"),
        Move("RESTRICTED", "PENDING", "provider", "answered; being looked at"),
        Move("PENDING", "CLOSED", "provider", "closed, or the marketplace was disconnected"),
        Move("ACTIVE", "CLOSED", "provider", "closed, or the marketplace was disconnected"),
        Move("RESTRICTED", "CLOSED", "provider", "closed, or the marketplace was disconnected"),
    ),
)

PAYOUT = Machine(
    "payout",
    born=("CREATED",),
    ends=("PAID", "CANCELLED", "FAILED", "REVERSED"),
    moves=(
        Move("CREATED", "HELD", "system, finance", "a gate closed, or somebody wants to look"),
        Move(
            "HELD",
            "CREATED",
            "system, finance",
            "the gate is open again; what a person held a person lets go",
        ),
        Move("CREATED", "CANCELLED", "finance, system", "before any call; the money is payable again"),
        Move("HELD", "CANCELLED", "finance, system", "before any call; the money is payable again"),
        Move("CREATED", "SENDING", "worker", "claimed with a lease; the attempt is written before the call"),
        Move("SENDING", "SENT", "worker", "the provider made the transfer"),
        Move("SENDING", "FAILED", "worker", "refused for good; the money is payable again"),
        Move("SENDING", "UNKNOWN", "worker, sweeper", "no answer, or the sender is gone"),
        Move("UNKNOWN", "SENT", "sweeper, provider", "found among the provider's transfers"),
        Move("UNKNOWN", "SENDING", "sweeper", "certainly not there and nobody at it: sent again"),
        Move("UNKNOWN", "FAILED", "sweeper", "certainly not there, and a gate closed meanwhile"),
        Move("SENT", "PAID", "provider", "the bank has it"),
        Move(
            "SENT",
            "BANK_FAILED",
            "provider",
            "the bank refused; the money is in the seller's provider account",
        ),
        Move("BANK_FAILED", "PAID", "provider", "tried again by the provider"),
        Move("PAID", "BANK_FAILED", "provider", "the bank returned it days later"),
        Move("SENT", "REVERSED", "finance, provider", "taken back whole"),
        Move("BANK_FAILED", "REVERSED", "finance, provider", "taken back whole"),
        Move("PAID", "REVERSED", "finance, provider", "taken back whole"),
    ),
)

TRANSFER_REVERSAL = Machine(
    "transfer_reversal",
    born=("REQUESTED",),
    ends=("DONE", "FAILED"),
    moves=(
        Move("REQUESTED", "SENDING", "worker", "written down, then asked for"),
        Move("SENDING", "DONE", "worker", "the provider took it back"),
        Move("SENDING", "FAILED", "worker", "refused for good"),
        Move("SENDING", "UNKNOWN", "worker, sweeper", "no answer"),
        Move("UNKNOWN", "SENDING", "sweeper", "asked again under the same key"),
        Move("UNKNOWN", "DONE", "provider", "found at the transfer"),
    ),
)

PAYOUT_STATES = (
    "CREATED",
    "HELD",
    "SENDING",
    "UNKNOWN",
    "SENT",
    "PAID",
    "BANK_FAILED",
    "FAILED",
    "CANCELLED",
    "REVERSED",
)

# Why somebody is not paid now: in words for the seller, and what they can do.
GATES: Mapping[str, tuple[str, str]] = {
    "store_suspended": ("Your store is suspended.", "Write to us; the money stays yours."),
    "store_closed": ("Your store is closed.", "Write to us; we pay out what is left."),
    "account_none": ("You have not set up where the money goes.", "Set up your payout account."),
    "account_pending": ("Your payout account is not complete yet.", "Answer what is still asked for."),
    "account_restricted": (
        "The payment provider restricted your payout account.",
        "Answer what is overdue; payouts go on by themselves then.",
    ),
    "risk": ("Payouts of your store are held while a risk is looked into.", "See your standing, or appeal."),
    "debt": (
        "You owe for refunds of money that was paid out already.",
        "Your next sales are set against it; nothing to do.",
    ),
    "blocked": ("Your money cannot be moved right now.", "Write to us; the money stays yours."),
    "stopped": ("All payouts are stopped while our books are checked.", "Nothing to do; we are at it."),
    "below_minimum": ("It is less than the least we pay out.", "It goes out once it is enough."),
    "nothing": ("Nothing is available yet.", "Sales become available after release and maturity."),
}

# The provider's refusals of a transfer, in words a seller can act on.
REFUSALS: Mapping[str, str] = {
    "balance_insufficient": "The marketplace's balance at the payment provider was not enough just then. "
    "The money is back in your balance and goes out with the next payout.",
    "insufficient_capabilities_for_transfer": "Your payout account may not receive money yet. "
    "Open it, answer what is asked, and the next payout goes out.",
    "account_invalid": "The payment provider no longer knows your payout account. Set it up again.",
    "resource_missing": "The payment provider no longer knows your payout account. Set it up again.",
    "transfers_not_allowed": "Your payout account may not receive money from us. Open it to see why.",
    "account_closed": "Your payout account is closed. Set up another one.",
    "currency_not_supported": "Your payout account cannot take this currency. Add a bank account that can.",
    "amount_too_small": "The amount is too small for the payment provider. It goes out with later sales.",
}
_REFUSED = (
    "The payment provider refused the payout. The money is back in your balance; "
    "write to us if it happens again."
)


def refusal_words(code: str) -> str:
    """What a seller reads about a refusal of the provider."""
    return REFUSALS.get(code, _REFUSED)


def gate_words(code: str) -> tuple[str, str]:
    """Why somebody is not paid now, and what to do."""
    return GATES.get(code, (f"{code.replace('_', ' ').capitalize()}.", "Write to us."))


class PayoutsClosed(Problem):
    """Nothing can be paid out now."""

    status = 409
    code = "payouts_closed"

    def __init__(self, reasons: list[str]) -> None:
        words = " ".join(" ".join(gate_words(code)) for code in reasons)
        super().__init__(words or None, reasons=reasons)
        self.reasons = reasons


class NotEnough(Problem):
    """That is more than is available for a payout."""

    status = 409
    code = "not_enough_available"


class TooLittle(Problem):
    """That is less than the least we pay out."""

    status = 409
    code = "below_minimum"


class NotNow(Problem):
    """The payout is no longer where this could be done; look at it again."""

    status = 409
    code = "payout_moved_on"


class ProviderAway(Problem):
    """The payment provider does not answer right now. Nothing is lost; please try again in a minute."""

    status = 503
    code = "provider_away"


Minor = Annotated[int, Meta(description="Minor units of `currency`.")]


class PayoutAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Where a seller's money goes: their account at the payment provider, as last fetched."""

    state: Annotated[str, Meta(description="NONE, PENDING, ACTIVE, RESTRICTED or CLOSED.")]
    provider_id: str | None
    country: str
    currently_due: Annotated[list[str], Meta(description="What the provider still asks for.")]
    past_due: Annotated[list[str], Meta(description="What it asked for and is overdue.")]
    disabled_reason: str | None
    checked_at: datetime | None


class Gate(msgspec.Struct, frozen=True):
    """Why money waits, and what to do."""

    code: str
    words: str
    help: str


def gate(code: str) -> Gate:
    return Gate(code, *gate_words(code))


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """One payout. `failure`: in words, when it failed or the bank refused."""

    id: UUID
    seller_id: UUID
    amount: Minor
    currency: str
    kind: Annotated[str, Meta(description="daily or withdrawal.")]
    batch_date: date
    state: str
    destination: str
    held_because: str | None
    failure: str | None
    reversed: Annotated[int, Meta(description="Taken back of it, minor units.")]
    created_at: datetime
    sent_at: datetime | None
    paid_at: datetime | None
    done_at: datetime | None


class PayoutItem(msgspec.Struct, frozen=True, kw_only=True):
    """What a payout pays: an order line, or (without one) corrections, goodwill and freed reserves."""

    line_id: UUID | None
    order_id: UUID | None
    order_number: str | None
    title: str | None
    amount: Minor
    returned: Annotated[int, Meta(description="Given back of it, to be paid again; minor units.")]


class PayoutDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A payout with what it pays; at most 1000 items are shown, `items_total` says how many there are."""

    payout: Payout
    items: list[PayoutItem]
    items_total: int


class PayoutPage(msgspec.Struct, frozen=True):
    """One page of payouts, newest first."""

    items: list[Payout]
    next: str | None
    previous: str | None


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """All of a seller's money in one currency, minor units: where it is and what it waits for."""

    currency: str
    held: Annotated[int, Meta(description="Under buyer protection.")]
    frozen: Annotated[int, Meta(description="Frozen while a case is open.")]
    pending: Annotated[int, Meta(description="Released, maturing.")]
    available: Annotated[int, Meta(description="Payable.")]
    reserve: Annotated[int, Meta(description="Kept back for a time, by risk tier.")]
    in_flight: Annotated[int, Meta(description="In payouts under way.")]
    paid_out: Annotated[int, Meta(description="Paid out so far, less what was taken back.")]
    debt: Annotated[int, Meta(description="Owed to the marketplace; set against the next sales.")]
    gates: Annotated[list[Gate], Meta(description="Why nothing of `available` goes out now; empty: it does.")]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A seller's account, money and next payout."""

    account: PayoutAccount
    buckets: list[Bucket]
    next_run: datetime
    minimum: int


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do for one seller and currency: `gates` empty: pay `amount`."""

    seller_id: UUID
    store: str
    amount: Minor
    currency: str
    gates: list[Gate]


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a day's run is."""

    batch_date: date
    asked_by: str
    started_at: datetime
    ended_at: datetime | None
    accounts: int
    looked: int
    created: int
    held: int
