"""Destination: stores that are paid at the sale, to their own account, our share taken in the same flow.

The owner asks for it and finance approves, or an administrator sets it. Each decision is a version, and a
sale keeps the version, the account and the amount it was placed with. What a buyer gets back is sent to their
card; the seller's part of it is taken back from the seller's account, and what cannot be taken back the
seller owes.
"""

from fondaco.destination.giving_back import give_back, take_back
from fondaco.destination.model import FUNDING_POLICIES, AccountNotReady, FundingPolicy, SameAlready
from fondaco.destination.policies import ask_for, own_policy, set_policy, store_policy
from fondaco.destination.reversing import send_reversal, sweep_reversals

__all__ = [
    "FUNDING_POLICIES",
    "AccountNotReady",
    "FundingPolicy",
    "SameAlready",
    "ask_for",
    "give_back",
    "own_policy",
    "send_reversal",
    "set_policy",
    "store_policy",
    "sweep_reversals",
    "take_back",
]
