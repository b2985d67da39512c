"""Refunds: money of order lines going back to the buyer, whole or in part, before and after release.

One verb, `refund_line`, for buyers, sellers, desks, cases and chargebacks. A line never gives back more than
it cost; what the seller, the commission and the tax give back sums to it, to the cent, over any number of
parts. Each refund has its journal. What was delivered is taken back with the last of the money; what nobody
had opened is for sale again.
"""

from fondaco.refunds.actions import refund_by_seller, refund_by_staff, refund_line
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

__all__ = [
    "REASONS",
    "AlreadyRevealed",
    "FrozenByCase",
    "LineRefund",
    "NoSource",
    "NotRefundable",
    "NotReplaceable",
    "RefundAboveRest",
    "RefundWindowOver",
    "refund_by_seller",
    "refund_by_staff",
    "refund_line",
]
