"""Delivery: what a buyer reads of the delivered things."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

REVEALS_PER_MINUTE = 30


class Entitlement(msgspec.Struct, frozen=True, kw_only=True):
    """The right to one delivered thing. Its secret is shown by a reveal only."""

    id: UUID
    kind: Annotated[str, Meta(description="stocked_secret (a key of one's own) or article.")]
    order_id: UUID
    line_id: UUID
    listing_id: UUID
    title: str
    platform: str
    region: str
    seller: str
    seller_slug: str
    slug: Annotated[str, Meta(description="Of the listing's page.")]
    cover: str | None
    delivered_at: datetime
    revealed_at: Annotated[datetime | None, Meta(description="When its secret was shown first.")]
    revoked_at: datetime | None


class Reveal(msgspec.Struct, frozen=True, kw_only=True):
    """One time the secret was shown."""

    at: datetime
    ip: str
    user_agent: str
    content_version: Annotated[int | None, Meta(description="Of an article: which version was shown.")]


class EntitlementPage(msgspec.Struct, frozen=True, kw_only=True):
    """An entitlement with all there is to know about it, except its secret."""

    entitlement: Entitlement
    order_number: str
    edition: str
    activation: Annotated[str, Meta(description="Markdown: how to redeem it, as it was when it was bought.")]
    release_at: datetime | None
    escrow_state: str
    reveals: list[Reveal]
    replaced_by: Annotated[UUID | None, Meta(description="The key that was given for it, if it was bad.")]
    bought_version: Annotated[int | None, Meta(description="Of an article: the content when it was bought.")]
    newest_version: Annotated[int | None, Meta(description="Of an article: the content now.")]


class LibraryPage(msgspec.Struct, frozen=True):
    """One page of a library with counts: `new` (never revealed) and `revealed`."""

    items: list[Entitlement]
    next: str | None
    previous: str | None
    states: dict[str, int]
