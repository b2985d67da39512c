"""Ledger: names of accounts, rows people read, and what can be refused."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from fondaco.core.problem import Problem


@dataclass(frozen=True, slots=True)
class AccountRef:
    """Names an account: kind from the chart, owner such as 'user:<id>', currency (ISO 4217)."""

    kind: str
    owner: str
    currency: str


def platform(kind: str, currency: str) -> AccountRef:
    """An account of the marketplace itself: psp_clearing, suspense, commission, tax_payable, psp_fees."""
    return AccountRef(kind, "platform", currency)


def wallet_of(user_id: UUID, currency: str) -> AccountRef:
    """What a user can spend."""
    return AccountRef("wallet", f"user:{user_id}", currency)


def escrow_of(line_id: UUID, currency: str) -> AccountRef:
    """The held money of one order line."""
    return AccountRef("escrow", f"line:{line_id}", currency)


def seller_pending_of(seller_id: UUID, currency: str) -> AccountRef:
    """Released to a seller, maturing."""
    return AccountRef("seller_pending", f"seller:{seller_id}", currency)


def seller_available_of(seller_id: UUID, currency: str) -> AccountRef:
    """Payable to a seller."""
    return AccountRef("seller_available", f"seller:{seller_id}", currency)


def refund_in_flight_of(refund_id: UUID, currency: str) -> AccountRef:
    """A refund to its source whose outcome is open."""
    return AccountRef("refund_in_flight", f"refund:{refund_id}", currency)


def wallet_hold_of(user_id: UUID, currency: str) -> AccountRef:
    """The part of a user's wallet that waits for a chargeback's outcome."""
    return AccountRef("wallet_hold", f"user:{user_id}", currency)


def promo_credit_of(user_id: UUID, currency: str) -> AccountRef:
    """Credit given to a user; it buys goods and is never paid out."""
    return AccountRef("promo_credit", f"user:{user_id}", currency)


def credit_out_of(user_id: UUID, currency: str) -> AccountRef:
    """What a buyer owes for goods delivered on credit."""
    return AccountRef("credit_out", f"user:{user_id}", currency)


def buyer_receivable_of(user_id: UUID, currency: str) -> AccountRef:
    """What a buyer owes after a lost chargeback."""
    return AccountRef("buyer_receivable", f"user:{user_id}", currency)


def seller_reserve_of(seller_id: UUID, currency: str) -> AccountRef:
    """Kept back from a seller for a time."""
    return AccountRef("seller_reserve", f"seller:{seller_id}", currency)


def seller_receivable_of(seller_id: UUID, currency: str) -> AccountRef:
    """What a seller owes the marketplace."""
    return AccountRef("seller_receivable", f"seller:{seller_id}", currency)


def dest_clearing_of(seller_id: UUID, currency: str) -> AccountRef:
    """Money of a seller's own account passing through."""
    return AccountRef("dest_clearing", f"seller:{seller_id}", currency)


def payout_in_flight_of(payout_id: UUID, currency: str) -> AccountRef:
    """A payout whose outcome is open."""
    return AccountRef("payout_in_flight", f"payout:{payout_id}", currency)


def chargeback_held_of(chargeback_id: UUID, currency: str) -> AccountRef:
    """What the card network took for one chargeback."""
    return AccountRef("chargeback_held", f"chargeback:{chargeback_id}", currency)


class InsufficientFunds(Problem):
    """There is not enough money for this. Nothing was charged."""

    status = 409
    code = "insufficient_funds"


class LedgerKeyReused(Problem):
    """This was booked before with other amounts. Nothing was booked again."""

    status = 409
    code = "ledger_key_reused"


class LedgerAccount(msgspec.Struct, frozen=True):
    """An account with its balance on its normal side, in minor units; `entries` counts its lines."""

    id: int
    kind: str
    owner: str
    currency: str
    amount: int
    entries: int
    frozen: bool
    side: str
    """'debit' (assets, costs) or 'credit' (what is owed, income)."""
    meaning: str


class EntryRow(msgspec.Struct, frozen=True):
    """One line of a journal: debit above zero, credit below, minor units."""

    account_id: int
    kind: str
    owner: str
    currency: str
    amount: int
    balance_after: int


class Journal(msgspec.Struct, frozen=True):
    """One balanced, immutable posting."""

    id: int
    kind: str
    key: str
    """What makes it happen once."""
    ref: str
    actor: str
    reverses: int | None
    reversed_by: int | None
    posted_at: datetime
    entries: list[EntryRow]


class StatementLine(msgspec.Struct, frozen=True):
    """One entry of one account, with the journal it belongs to. `amount` is on the account's normal side:
    above zero when the balance grew. `balance_after` is that of its slot; most accounts have one."""

    journal_id: int
    kind: str
    ref: str
    actor: str
    posted_at: datetime
    amount: int
    balance_after: int
    version: int
    slot: int


class TrialLine(msgspec.Struct, frozen=True):
    """Sums of one kind of account in one currency, minor units; all debits equal all credits."""

    kind: str
    meaning: str
    currency: str
    accounts: int
    debit: int
    credit: int
    balance: int
    """On the kind's normal side."""
    side: str
