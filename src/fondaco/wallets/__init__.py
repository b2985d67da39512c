"""Wallets: fundings that bring money in, refunds to where it came from.

What a wallet holds is the ledger's business. A funding's money is booked once, when the provider says it is
paid and everything it says equals our row; a refund gives money back once, through lost answers.
"""

from fondaco.wallets.fundings import close_funding, open_session, start_order_funding, start_top_up
from fondaco.wallets.gate import PAID, note_unpaid, settle
from fondaco.wallets.model import (
    Funding,
    PaymentRefused,
    PaymentUnavailable,
    Refund,
    RefundTooLarge,
    Route,
    Settled,
    WalletAtRisk,
)
from fondaco.wallets.reads import (
    WalletEntry,
    cursor_of,
    fundings_of_group,
    list_fundings,
    list_refunds,
    own_funding,
    own_fundings,
    own_top_ups,
    place_of,
    read_funding,
    refunds_of,
    wallet_entries,
)
from fondaco.wallets.refunds import note_refund, request_refund, resolve_refund, send_refund, sweep_refunds
from fondaco.wallets.standing import is_blocked, own_standing, stand

__all__ = [
    "PAID",
    "Funding",
    "PaymentRefused",
    "PaymentUnavailable",
    "Refund",
    "RefundTooLarge",
    "Route",
    "Settled",
    "WalletAtRisk",
    "WalletEntry",
    "close_funding",
    "cursor_of",
    "fundings_of_group",
    "is_blocked",
    "list_fundings",
    "list_refunds",
    "note_refund",
    "note_unpaid",
    "open_session",
    "own_funding",
    "own_fundings",
    "own_standing",
    "own_top_ups",
    "place_of",
    "read_funding",
    "refunds_of",
    "request_refund",
    "resolve_refund",
    "send_refund",
    "settle",
    "stand",
    "start_order_funding",
    "start_top_up",
    "sweep_refunds",
    "wallet_entries",
]
