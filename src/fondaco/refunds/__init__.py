"""Refunds: money of order lines going back to the buyer, whole or in part, before and after release.

One verb, `refund_line`, for buyers, sellers, desks, cases and chargebacks. A line never gives back more than
it cost; what the seller, the commission and the tax give back sums to it, to the cent, over any number of
parts. Each refund has its journal. What was delivered is taken back with the last of the money; what nobody
had opened is for sale again.
"""

from fondaco.refunds.actions import refund_by_seller, refund_by_staff, refund_line
from fondaco.refunds.adjusting import ask_reversal, pay_goodwill, reversible
from fondaco.refunds.asking import Return, give_back, report_bad_key, returnable
from fondaco.refunds.balances import Adjustment, Change, adjust, adjustments, find_party, forfeit
from fondaco.refunds.model import (
    REASONS,
    AlreadyRevealed,
    FrozenByCase,
    LineRefund,
    NoSource,
    NotRefundable,
    NotReplaceable,
    RefundAboveRest,
    RefundWindowOver,
)
from fondaco.refunds.reads import (
    BadKey,
    bad_key,
    bad_key_of,
    bad_keys_of,
    own_refunds,
    refund_of,
    refunds_of,
    sale_bad_keys,
    sale_refunds,
    store_bad_keys,
)
from fondaco.refunds.replacing import answer_report, refund_unit, replace, withdraw_report

__all__ = [
    "REASONS",
    "Adjustment",
    "AlreadyRevealed",
    "BadKey",
    "Change",
    "FrozenByCase",
    "LineRefund",
    "NoSource",
    "NotRefundable",
    "NotReplaceable",
    "RefundAboveRest",
    "RefundWindowOver",
    "Return",
    "adjust",
    "adjustments",
    "answer_report",
    "ask_reversal",
    "bad_key",
    "bad_key_of",
    "bad_keys_of",
    "find_party",
    "forfeit",
    "give_back",
    "own_refunds",
    "pay_goodwill",
    "refund_by_seller",
    "refund_by_staff",
    "refund_line",
    "refund_of",
    "refund_unit",
    "refunds_of",
    "replace",
    "report_bad_key",
    "returnable",
    "reversible",
    "sale_bad_keys",
    "sale_refunds",
    "store_bad_keys",
    "withdraw_report",
]
