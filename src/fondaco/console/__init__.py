"""Console: what the desks of the house read across all modules, and the few acts that belong to none.

`timeline` tells the one story of an order; `find` finds by anything a person has in hand; `queues` says what
waits, with clocks. Everything is for staff (the route's permission decides, `may` hides what a role may not
open) and nothing here ever holds a secret.
"""

from fondaco.console.books import account_lines, end_of_day, list_accounts, trial_csv
from fondaco.console.finding import find
from fondaco.console.log import list_arrived, list_audit, list_blocks, list_mails
from fondaco.console.model import (
    AccountLine,
    Block,
    DayFigures,
    Found,
    FundingRow,
    Latency,
    ListingRow,
    Named,
    OrderPage,
    OrderRow,
    Person,
    PersonRow,
    Queue,
    RefundRow,
    SellerRow,
    TimelineItem,
    may,
)
from fondaco.console.money import list_fundings, list_refunds
from fondaco.console.names import named, names_of
from fondaco.console.orders import list_orders
from fondaco.console.people import list_people, person, person_row
from fondaco.console.queues import delivery_latency, paid_per_day, queues
from fondaco.console.stores import list_listings, list_sellers, listing_row, pause_listing, store_names
from fondaco.console.timeline import funding_timeline, payout_timeline, timeline, timeline_of

__all__ = [
    "AccountLine",
    "Block",
    "DayFigures",
    "Found",
    "FundingRow",
    "Latency",
    "ListingRow",
    "Named",
    "OrderPage",
    "OrderRow",
    "Person",
    "PersonRow",
    "Queue",
    "RefundRow",
    "SellerRow",
    "TimelineItem",
    "account_lines",
    "delivery_latency",
    "end_of_day",
    "find",
    "funding_timeline",
    "list_accounts",
    "list_arrived",
    "list_audit",
    "list_blocks",
    "list_fundings",
    "list_listings",
    "list_mails",
    "list_orders",
    "list_people",
    "list_refunds",
    "list_sellers",
    "listing_row",
    "may",
    "named",
    "names_of",
    "paid_per_day",
    "pause_listing",
    "payout_timeline",
    "person",
    "person_row",
    "queues",
    "store_names",
    "timeline",
    "timeline_of",
    "trial_csv",
]
