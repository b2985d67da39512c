"""Stores and listings as the desks see them, and pausing a listing for a reason."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from fondaco.audit import record
from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.console.model import ListingRow, SellerRow
from fondaco.core import counting
from fondaco.core.db import Connection, Database, Record
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.reads import pattern

SELLER_STATES = ("OPEN", "SUSPENDED", "CLOSED")
LISTING_STATES = ("PUBLISHED", "PAUSED", "DRAFT", "ARCHIVED")
_SELLERS = Keyset("console-sellers", (("created_at", "s.created_at", "timestamptz"), ("id", "s.id", "uuid")))
_LISTINGS = Keyset(
    "console-listings", (("created_at", "l.created_at", "timestamptz"), ("id", "l.id", "uuid"))
)
_LISTING = """SELECT l.id, l.slug, l.title, l.seller_id, s.name AS seller, l.platform, l.region, l.price,
  l.currency, l.state, l.in_stock, l.sold, l.created_at
  FROM catalog.listing l JOIN sellers.seller s ON s.id = l.seller_id"""


async def list_sellers(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[SellerRow]:
    """Stores, newest first. `q`: part of a name, address (slug) or support address."""
    args: list[Any] = [pattern(q), list(states) or None]
    start = _SELLERS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT s.id, s.slug, s.name, s.state, s.country, s.support_email, s.commission_bps, s.created_at,
              (SELECT count(*) FROM (SELECT 1 FROM catalog.listing l
                 WHERE l.seller_id = s.id AND l.state = 'PUBLISHED' LIMIT {counting.MOST}) t)::int
                AS listings,
              (SELECT count(*) FROM (SELECT 1 FROM orders.orders o WHERE o.seller_id = s.id
                 AND o.paid_at IS NOT NULL AND o.created_at > now() - interval '30 days'
                 ORDER BY o.created_at DESC, o.id DESC LIMIT {counting.MOST}) t)::int AS orders
            FROM sellers.seller s
            WHERE ($1 = '' OR s.name ILIKE $1 OR s.slug ILIKE $1 OR s.support_email ILIKE $1)
              AND ($2::text[] IS NULL OR s.state = ANY ($2)){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), SellerRow))


async def store_names(db: Database, viewer: Viewer, limit: int = 50) -> list[tuple[UUID, str]]:
    """The stores that sell most of their best twenty listings, by name: what lists can be narrowed to."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT id, name FROM (
             SELECT s.id, s.name, (SELECT coalesce(sum(t.sold), 0) FROM (
                 SELECT l.sold FROM catalog.listing l WHERE l.seller_id = s.id AND l.state = 'PUBLISHED'
                 ORDER BY l.sold DESC, l.id DESC LIMIT 20) t) AS sold
             FROM sellers.seller s ORDER BY sold DESC, s.id LIMIT $1) best ORDER BY name, id""",
        limit,
    )
    return [(r["id"], r["name"]) for r in rows]


async def list_listings(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    sellers: Sequence[UUID] = (),
    listing_id: UUID | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[ListingRow]:
    """Listings of all stores, newest first. `q`: part of a title or a whole slug."""
    args: list[Any] = [pattern(q), list(states) or None, list(sellers) or None, listing_id]
    start = _LISTINGS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""{_LISTING} WHERE ($1 = '' OR l.title ILIKE $1 OR l.slug ILIKE $1)
              AND ($2::text[] IS NULL OR l.state = ANY ($2))
              AND ($3::uuid[] IS NULL OR l.seller_id = ANY ($3))
              AND ($4::uuid IS NULL OR l.id = $4){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, _row)


async def listing_row(db: Database, viewer: Viewer, listing_id: UUID) -> ListingRow:
    """One listing; raises NotFound."""
    row = await db.fetchrow(viewer.as_staff, f"{_LISTING} WHERE l.id = $1", listing_id)
    if row is None:
        raise NotFound()
    return _row(row)


async def pause_listing(db: Database, viewer: Viewer, listing_id: UUID, *, because: str) -> ListingRow:
    """Hide a store's listing from buyers; open orders go on. The reason is kept in the audit log.

    Raises NotFound, Invalid (field because), Conflict when it is not on sale. Pausing twice changes nothing.
    """
    reason = because.strip()
    if not 3 <= len(reason) <= 200 or "\x00" in reason:
        raise Invalid(fields={"because": "Say why in 3 to 200 characters; it is kept in the audit log."})

    async def work(conn: Connection) -> None:
        state = await conn.fetchval("SELECT state FROM catalog.listing WHERE id = $1 FOR UPDATE", listing_id)
        if state is None:
            raise NotFound()
        if state == "PAUSED":
            return
        if state != "PUBLISHED":
            raise Conflict("Only a listing that is on sale can be paused.")
        await conn.execute(
            "UPDATE catalog.listing SET state = 'PAUSED', version = version + 1 WHERE id = $1", listing_id
        )
        data = {"from": state, "because": reason, "by": "staff"}
        await record(conn, "listing.paused", f"listing:{listing_id}", viewer.actor, data)

    await db.run(viewer.as_staff, work)
    return await listing_row(db, viewer, listing_id)


def _row(row: Record) -> ListingRow:
    return msgspec.convert(dict(row), ListingRow)
