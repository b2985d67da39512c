"""What buyers, sellers and desks read of refunds and of keys that do not work."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core.db import Database, Scope
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.refunds.model import LineRefund


class BadKey(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer says that a key does not work."""

    id: UUID
    entitlement_id: UUID
    line_id: UUID
    order_id: UUID
    title: str
    why: Annotated[str, Meta(description="In the buyer's words.")]
    state: Annotated[str, Meta(description="OPEN, REPLACED, REFUNDED, REFUSED or WITHDRAWN.")]
    created_at: datetime
    due_at: Annotated[datetime, Meta(description="Until when the seller answers; then it is refunded.")]
    ended_at: datetime | None
    answer: Annotated[str | None, Meta(description="In the seller's words.")]


_NEWEST = Keyset("bad_keys", (("created_at", "b.created_at", "timestamptz"), ("id", "b.id", "uuid")))
_REFUNDS = """SELECT r.id, r.line_id, r.order_id, r.amount, r.commission, r.tax, r.currency, r.after_release,
  r.destination, r.reason, r.why, r.created_at, w.state AS source_state
  FROM refunds.refund r LEFT JOIN wallets.refund w ON w.id = r.source_refund"""
_REPORTS = """SELECT b.id, b.entitlement_id, b.line_id, b.order_id, l.terms->>'title' AS title, b.why,
  b.state, b.created_at, b.due_at, b.ended_at, b.answer
  FROM refunds.report b JOIN orders.order_line l ON l.id = b.line_id"""


async def refunds_of(db: Database, scope: Scope, order_ids: Sequence[UUID]) -> list[LineRefund]:
    """Refunds of lines of these orders as `scope` may see them, oldest first."""
    rows = await db.fetch(
        scope, f"{_REFUNDS} WHERE r.order_id = ANY ($1) ORDER BY r.created_at, r.id", list(order_ids)
    )
    return [msgspec.convert(dict(row), LineRefund) for row in rows]


async def refund_of(db: Database, scope: Scope, refund_id: UUID) -> LineRefund:
    """One refund as `scope` may see it. Raises NotFound."""
    row = await db.fetchrow(scope, f"{_REFUNDS} WHERE r.id = $1", refund_id)
    if row is None:
        raise NotFound()
    return msgspec.convert(dict(row), LineRefund)


async def own_refunds(db: Database, viewer: Viewer, order_id: UUID) -> list[LineRefund]:
    """What came back of the viewer's order (or of all orders of a purchase). Raises NotFound."""
    rows = await db.fetch(
        viewer.as_user,
        "SELECT id FROM orders.orders WHERE (id = $1 OR group_id = $1) AND buyer_id = $2",
        order_id,
        viewer.user(),
    )
    if not rows:
        raise NotFound()
    return await refunds_of(db, viewer.as_user, [r["id"] for r in rows])


async def sale_refunds(db: Database, viewer: Viewer, order_id: UUID) -> list[LineRefund]:
    """What was given back of one of the store's orders. Raises NotFound."""
    await _own_sale(db, viewer, order_id)
    return await refunds_of(db, viewer.as_seller, [order_id])


async def sale_bad_keys(db: Database, viewer: Viewer, order_id: UUID) -> list[BadKey]:
    """Keys of one of the store's orders that its buyer says do not work. Raises NotFound."""
    await _own_sale(db, viewer, order_id)
    return await bad_keys_of(db, viewer.as_seller, [order_id])


async def _own_sale(db: Database, viewer: Viewer, order_id: UUID) -> None:
    known = await db.fetchval(
        viewer.as_seller,
        "SELECT 1 FROM orders.orders WHERE id = $1 AND seller_id = $2",
        order_id,
        viewer.seller(),
    )
    if known is None:
        raise NotFound()


async def bad_keys_of(db: Database, scope: Scope, order_ids: Sequence[UUID]) -> list[BadKey]:
    """Reports about keys of these orders as `scope` may see them, oldest first."""
    rows = await db.fetch(
        scope, f"{_REPORTS} WHERE b.order_id = ANY ($1) ORDER BY b.created_at, b.id", list(order_ids)
    )
    return [msgspec.convert(dict(row), BadKey) for row in rows]


async def store_bad_keys(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    states: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[BadKey]:
    """What buyers reported to the store, newest first. Raises Invalid, BadCursor."""
    args: list[object] = [viewer.seller(), list(states) or None]
    start = _NEWEST.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_seller,
        f"""{_REPORTS} WHERE b.seller_id = $1 AND ($2::text[] IS NULL OR b.state = ANY ($2))
              {start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), BadKey))


async def bad_key_of(db: Database, viewer: Viewer, entitlement_id: UUID) -> BadKey | None:
    """The viewer's own report about a key, if there is one."""
    row = await db.fetchrow(
        viewer.as_user,
        f"{_REPORTS} WHERE b.entitlement_id = $1 AND b.buyer_id = $2",
        entitlement_id,
        viewer.user(),
    )
    return msgspec.convert(dict(row), BadKey) if row else None


async def bad_key(db: Database, scope: Scope, report_id: UUID) -> BadKey:
    """One report as `scope` may see it. Raises NotFound."""
    row = await db.fetchrow(scope, f"{_REPORTS} WHERE b.id = $1", report_id)
    if row is None:
        raise NotFound()
    return msgspec.convert(dict(row), BadKey)
