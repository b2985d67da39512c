"""Chargebacks: disputes of card networks and their early warnings.

They attach to a funding, never to an order: the buyer's wallet is at risk, the seller of what was delivered
is untouched.
"""

from fondaco.chargebacks.model import CHARGEBACK, ENDED, OPEN, STATES, Chargeback
from fondaco.chargebacks.noting import hold_more, note_dispute, refresh_standing

__all__ = [
    "CHARGEBACK",
    "ENDED",
    "OPEN",
    "STATES",
    "Chargeback",
    "hold_more",
    "note_dispute",
    "refresh_standing",
]
