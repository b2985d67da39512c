"""The desk's list of orders."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.console.model import OrderPage, OrderRow
from fondaco.core import counting
from fondaco.core.clock import now
from fondaco.core.db import Database, Record
from fondaco.core.pagination import Cursors
from fondaco.core.viewer import Viewer
from fondaco.orders.reads import pattern

ORDER_STATES = ("PENDING_PAYMENT", "DELIVERED", "COMPLETED", "EXPIRED", "CANCELLED", "REFUNDED")
SORTS = {"new": "Newest first", "old": "Oldest first", "total": "Highest total first"}
PERIODS = {"today": "Today", "7d": "Last 7 days", "30d": "Last 30 days", "90d": "Last 90 days"}
_DAYS = {"today": 0, "7d": 6, "30d": 29, "90d": 89}
_MADE = (("created_at", "o.created_at", "timestamptz"), ("id", "o.id", "uuid"))
_ORDERS = {
    "new": Keyset("console-orders-new", _MADE),
    "old": Keyset("console-orders-old", _MADE, down=False),
    "total": Keyset("console-orders-total", (("total", "o.total", "bigint"), ("id", "o.id", "uuid"))),
}
_WHERE = """($1 = '' OR o.number ILIKE $1
    OR EXISTS (SELECT 1 FROM orders.order_group x WHERE x.id = o.group_id AND x.number ILIKE $1)
    OR EXISTS (SELECT 1 FROM identity.users x WHERE x.id = o.buyer_id AND x.email ILIKE $1)
    OR EXISTS (SELECT 1 FROM orders.order_line x WHERE x.order_id = o.id AND x.terms->>'title' ILIKE $1))
  AND ($2::uuid[] IS NULL OR o.seller_id = ANY ($2))
  AND ($3::timestamptz IS NULL OR o.created_at >= $3) AND ($4::timestamptz IS NULL OR o.created_at < $4)
  AND ($5::uuid IS NULL OR o.buyer_id = $5)"""
_FROM = """FROM orders.orders o JOIN orders.order_group g ON g.id = o.group_id
  JOIN identity.users u ON u.id = o.buyer_id JOIN sellers.seller s ON s.id = o.seller_id"""


def period(text: str) -> tuple[datetime, datetime] | None:
    """From and up to (UTC) of a key of PERIODS or of a day such as 2030-01-31; None when it is neither."""
    today = now().date()
    if text in _DAYS:
        first, last = today - timedelta(days=_DAYS[text]), today
    else:
        try:
            first = last = date.fromisoformat(text)
        except ValueError:
            return None
    if last.year == date.max.year:
        return None  # its end cannot be written
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return start, start + (last - first) + timedelta(days=1)


async def list_orders(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    sellers: Sequence[UUID] = (),
    buyer_id: UUID | None = None,
    when: str = "",
    sort: str = "new",
    limit: int = 50,
    cursor: str | None = None,
) -> OrderPage:
    """Orders of the whole marketplace. `q`: part of a number, an address or a title; `when`: see `period`.

    Raises Invalid, BadCursor.
    """
    span = period(when) or (None, None)
    args: list[Any] = [pattern(q), list(sellers) or None, *span, buyer_id, list(states) or None]
    start = _ORDERS[sort if sort in _ORDERS else "new"].start(cursors, cursor, args)
    counted = f"FROM orders.orders o WHERE {_WHERE}"
    async with db.transaction(viewer.as_staff) as conn:
        counts = await conn.fetch(
            counting.among_newest(f"SELECT o.state {counted}", "o.created_at DESC, o.id DESC")
            if buyer_id
            else counting.by_state(ORDER_STATES, "o.state", f"SELECT 1 {counted}"),
            *args[:5],
        )
        rows = await conn.fetch(
            f"""SELECT o.id, o.number, g.number AS group_number, o.state, o.buyer_id, u.name AS buyer,
                  u.email AS buyer_email, o.seller_id, s.name AS seller, g.funding_policy AS pay_with,
                  o.total, o.currency, o.created_at, o.expires_at, i.units, i.lines, i.title
                {_FROM} CROSS JOIN LATERAL (
                  SELECT sum(l.quantity)::int AS units, count(*)::int AS lines,
                    (array_agg(l.terms->>'title' ORDER BY l.id))[1] AS title
                  FROM orders.order_line l WHERE l.order_id = o.id) i
                WHERE {_WHERE} AND ($6::text[] IS NULL OR o.state = ANY ($6)){start.condition}
                ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
            *args,
        )
    page = start.page(rows, limit, _row)
    return OrderPage(list(page.items), page.next, page.previous, {r["state"]: r["n"] for r in counts})


def _row(row: Record) -> OrderRow:
    return msgspec.convert(dict(row), OrderRow)
