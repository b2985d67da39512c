"""Ledger: accounts, journals, entries; one verb, post. Nothing else moves money.

Amounts are integer minor units, debit above zero, credit below. A journal sums to zero in each currency, is
never changed, and happens once per key for ever. A balance with a floor cannot pass it. PostgreSQL refuses
everything else, also to the owner of the tables; `verify` recomputes all of it.
"""

from fondaco.ledger.actions import (
    balance,
    open_account,
    post,
    post_alike,
    wallet_balance,
)
from fondaco.ledger.model import (
    AccountRef,
    EntryRow,
    InsufficientFunds,
    Journal,
    LedgerAccount,
    LedgerKeyReused,
    StatementLine,
    TrialLine,
    escrow_of,
    platform,
    refund_in_flight_of,
    seller_available_of,
    seller_pending_of,
    wallet_of,
)
from fondaco.ledger.reads import (
    account,
    accounts,
    closing_balances,
    entries_of,
    journal,
    journals_of,
    statement,
    trial_balance,
)
from fondaco.ledger.verify import Fault, examine, verify

__all__ = [
    "AccountRef",
    "EntryRow",
    "Fault",
    "InsufficientFunds",
    "Journal",
    "LedgerAccount",
    "LedgerKeyReused",
    "StatementLine",
    "TrialLine",
    "account",
    "accounts",
    "balance",
    "closing_balances",
    "entries_of",
    "escrow_of",
    "examine",
    "journal",
    "journals_of",
    "open_account",
    "platform",
    "post",
    "post_alike",
    "refund_in_flight_of",
    "seller_available_of",
    "seller_pending_of",
    "statement",
    "trial_balance",
    "verify",
    "wallet_balance",
    "wallet_of",
]
