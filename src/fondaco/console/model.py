"""What the desks read: rows put together from several modules. No secret is in any of them."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.viewer import Viewer
from fondaco.identity.permissions import PERMISSIONS

MinorUnits = Annotated[int, Meta(description="Minor units of `currency`.")]


def may(viewer: Viewer, permission: str) -> bool:
    """Whether the table gives this viewer that permission: for buttons, links and results not shown to
    others. The route's guard decides."""
    return bool(viewer.roles & PERMISSIONS[permission])


class Named(msgspec.Struct, frozen=True):
    """A thing in words: "ORD-7K3Q-9XMA-2D4T", an address, a title; and its page in the console ("": none)."""

    words: str
    href: str = ""


class Leg(msgspec.Struct, frozen=True):
    """One line of a journal in words: debit above zero, credit below."""

    account_id: int
    kind: str
    owner: str
    amount: MinorUnits
    currency: str


class TimelineItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to an order."""

    at: datetime
    source: Annotated[
        str,
        Meta(
            description="order, funding, provider, journal, stock, entitlement, reveal, mail, refund, audit."
        ),
    ]
    icon: str
    tone: Annotated[str, Meta(description="good, wait, bad, busy, new or quiet.")]
    words: str
    who: str = ""
    detail: str = ""
    state: Annotated[str, Meta(description="Of the row it speaks of; empty when it has none.")] = ""
    machine: str = ""
    href: Annotated[str, Meta(description="Its page; empty when the viewer has none to open.")] = ""
    legs: list[Leg] = []


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the search found."""

    kind: Annotated[
        str,
        Meta(
            description="order, case, person, store, listing, key, funding, refund, event, mail or journal."
        ),
    ]
    title: str
    note: str
    href: str
    at: datetime | None = None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Work that waits: how much, since (or until) when, and where."""

    key: str
    label: str
    count: int
    unit: Annotated[str, Meta(description="What is counted; a currency when `count` is money.")]
    oldest: Annotated[datetime | None, Meta(description="How long the oldest has been waiting.")]
    due: Annotated[datetime | None, Meta(description="When the next of them runs out.")] = None
    tone: str
    href: str


class DayFigures(msgspec.Struct, frozen=True):
    """Orders paid on one day (UTC) and their sum."""

    day: date
    orders: int
    total: MinorUnits


class Latency(msgspec.Struct, frozen=True):
    """From the moment the provider's word arrived to the delivery, of card purchases; milliseconds."""

    orders: int
    p50_ms: int
    p95_ms: int


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One order in the desk's list."""

    id: UUID
    number: str
    group_number: str
    state: str
    buyer_id: UUID
    buyer: str
    buyer_email: str
    seller_id: UUID
    seller: str
    pay_with: str
    units: int
    title: Annotated[str, Meta(description="Of its first line.")]
    lines: int
    total: MinorUnits
    currency: str
    created_at: datetime
    expires_at: datetime | None


class OrderPage(msgspec.Struct, frozen=True):
    """One page of orders with counts per state."""

    items: list[OrderRow]
    next: str | None
    previous: str | None
    states: Annotated[dict[str, int], Meta(description="How many are in each state, for the same search.")]


class PersonRow(msgspec.Struct, frozen=True, kw_only=True):
    """One user in the desk's list."""

    id: UUID
    email: str
    name: str
    country: str | None
    verified: bool
    staff_role: str | None
    stores: int
    closed_at: datetime | None
    created_at: datetime


class Membership(msgspec.Struct, frozen=True):
    """A place in a store's team."""

    seller_id: UUID
    store: str
    role: str


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A user with what hangs on them."""

    row: PersonRow
    second_factor: bool
    sessions: int
    last_seen_at: datetime | None
    memberships: list[Membership]
    wallet: MinorUnits
    currency: str
    wallet_account: int | None
    orders: int
    spent: MinorUnits


class SellerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One store in the desk's list."""

    id: UUID
    slug: str
    name: str
    state: str
    country: str
    support_email: str
    commission_bps: int | None
    listings: Annotated[int, Meta(description="On sale.")]
    orders: Annotated[int, Meta(description="Paid, in the last 30 days.")]
    created_at: datetime


class ListingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One listing in the desk's list."""

    id: UUID
    slug: str
    title: str
    seller_id: UUID
    seller: str
    platform: str
    region: str
    price: MinorUnits
    currency: str
    state: str
    in_stock: bool
    sold: int
    created_at: datetime


class FundingRow(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way in, in the desk's list."""

    id: UUID
    user_id: UUID
    email: str
    purpose: str
    group_id: UUID | None
    group_number: str | None
    amount: MinorUnits
    currency: str
    state: str
    refunded: int
    refund_pending: int
    failure: str | None
    created_at: datetime


class RefundRow(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back, in the desk's list."""

    id: UUID
    funding_id: UUID
    user_id: UUID
    email: str
    amount: MinorUnits
    currency: str
    reason: str
    state: str
    provider_id: str | None
    attempt: int
    failure: str | None
    created_at: datetime
    done_at: datetime | None


class AccountLine(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an account with the whole account's balance after it. `amount` is on the account's normal
    side: above zero when the balance grew."""

    journal_id: int
    kind: str
    ref: str
    actor: str
    posted_at: datetime
    amount: MinorUnits
    running: MinorUnits
    slot: int


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A signed block of audit events."""

    number: int
    first_id: int
    last_id: int
    events: int
    hash: Annotated[str, Meta(description="Hexadecimal.")]
    key_id: str
    sealed_at: datetime
