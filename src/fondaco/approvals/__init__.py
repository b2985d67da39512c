"""Approvals: acts that need two people. One asks, another decides, and the act happens with the decision.

A module registers its act with `verb`; `ask` keeps what shall happen, in words and as data that never
changes; `decide` does it in the transaction of the decision. Who asked never decides: the database refuses.
One request of a kind waits for a thing at a time; after seven days it is over.
"""

from fondaco.approvals.actions import ask, decide, may_decide, read, said, verb, waiting, withdraw
from fondaco.approvals.model import STATES, AlreadyAsked, AlreadyDecided, OwnRequest, Request

__all__ = [
    "STATES",
    "AlreadyAsked",
    "AlreadyDecided",
    "OwnRequest",
    "Request",
    "ask",
    "decide",
    "may_decide",
    "read",
    "said",
    "verb",
    "waiting",
    "withdraw",
]
