"""Chargebacks: disputes of card networks and their early warnings.

They attach to a funding, never to an order: the buyer's wallet is at risk, the seller of what was delivered
is untouched, unless the terms of the sale said otherwise.
"""

from fondaco.chargebacks.debts import ask_write_off, clear, repay
from fondaco.chargebacks.evidence import add_statement, confirm, write_words
from fondaco.chargebacks.model import (
    CHARGEBACK,
    ENDED,
    EVIDENCE,
    EVIDENCE_STATES,
    OPEN,
    REASONS,
    STATES,
    Chargeback,
    reason_words,
)
from fondaco.chargebacks.noting import hold_more, note_dispute
from fondaco.chargebacks.reads import (
    BlockingWarning,
    ChargebackDetail,
    ChargebackPage,
    ChargebackRow,
    Outcomes,
    SaleChargeback,
    WalletBlock,
    blocking_warnings,
    chargebacks_of_funding,
    list_chargebacks,
    outcomes,
    own_block,
    read_chargeback,
    sale_chargeback,
    sale_chargebacks,
)
from fondaco.chargebacks.sending import resolve_evidence, send_evidence
from fondaco.chargebacks.standing import refresh_standing
from fondaco.chargebacks.sweeping import ask, sweep
from fondaco.chargebacks.warned import answer_warning, note_warning

__all__ = [
    "CHARGEBACK",
    "ENDED",
    "EVIDENCE",
    "EVIDENCE_STATES",
    "OPEN",
    "REASONS",
    "STATES",
    "BlockingWarning",
    "Chargeback",
    "ChargebackDetail",
    "ChargebackPage",
    "ChargebackRow",
    "Outcomes",
    "SaleChargeback",
    "WalletBlock",
    "add_statement",
    "answer_warning",
    "ask",
    "ask_write_off",
    "blocking_warnings",
    "chargebacks_of_funding",
    "clear",
    "confirm",
    "hold_more",
    "list_chargebacks",
    "note_dispute",
    "note_warning",
    "outcomes",
    "own_block",
    "read_chargeback",
    "reason_words",
    "refresh_standing",
    "repay",
    "resolve_evidence",
    "sale_chargeback",
    "sale_chargebacks",
    "send_evidence",
    "sweep",
    "write_words",
]
