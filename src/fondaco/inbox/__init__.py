"""Inbox: what arrives unasked, kept once, handled once; backfill and sweepers.

A delivery is verified, kept and queued in one transaction. Handling asks the provider what is true, then
applies everything the event causes together with its own end. What never arrives is found by asking.
"""

from fondaco.inbox.door import receive
from fondaco.inbox.draining import drain
from fondaco.inbox.handling import handle_event, replay, sweep_events
from fondaco.inbox.missed import backfill, sweep_fundings
from fondaco.inbox.model import InboxEvent
from fondaco.inbox.reads import Refusals, count_states, events_about, list_events, read_event, refusals
from fondaco.inbox.settle import check_funding, check_own_funding, settle_facts, settle_funding

__all__ = [
    "InboxEvent",
    "Refusals",
    "backfill",
    "check_funding",
    "check_own_funding",
    "count_states",
    "drain",
    "events_about",
    "handle_event",
    "list_events",
    "read_event",
    "receive",
    "refusals",
    "replay",
    "settle_facts",
    "settle_funding",
    "sweep_events",
    "sweep_fundings",
]
