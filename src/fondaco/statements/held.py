"""Why is this money held? Each cent of a store's balance with the reason and until when."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.checking import snapshot
from fondaco.core.db import Connection, Database, Record, Scope
from fondaco.core.viewer import Viewer
from fondaco.settings import Settings

SHOWN = 100  # parts told one by one in a bucket; the rest is one part

WORDS = {
    "protection": "Buyer protection",
    "case": "A case is open",
    "maturing": "Released, not available yet",
    "payable": "Waits for the next payout",
    "reserve": "Kept in reserve",
    "payout": "In a payout under way",
    "debt": "Owed after refunds; taken from sales to come",
    "other": "Corrections, goodwill, money returned",
}
"""The reasons, in words."""
BUCKETS = {
    "held": "Held",
    "pending": "Pending",
    "available": "Available",
    "reserve": "Reserve",
    "in_flight": "On its way",
    "debt": "Owed",
}
"""Where money of a store stands, in words."""


class HeldPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a balance. `amount` in minor units, below zero for what is owed."""

    bucket: str
    reason: str
    amount: int
    until: Annotated[datetime | None, Meta(description="When it moves on by itself, as things stand.")]
    what: Annotated[str, Meta(description="The order's number and what was sold, or the payout.")]
    order_id: UUID | None = None
    payout_id: UUID | None = None


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """A store's balance in one currency and why it stands there: the parts of a bucket sum to it."""

    currency: str
    total: int
    parts: list[HeldPart]


_PART = """l.total - l.commission - l.tax - l.commission_tax
  - (l.refunded - l.refunded_commission - l.refunded_tax - l.refunded_commission_tax)"""
"""What the seller has of a line after refunds, as orders.seller_part says."""
_HELD = f"""SELECT l.order_id, o.number, l.terms->>'title' AS title, {_PART} AS part,
    CASE WHEN l.escrow_state = 'HELD' THEN l.release_at END AS until,
    CASE WHEN l.escrow_state = 'FROZEN' THEN 'case' ELSE 'protection' END AS reason
  FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
  WHERE l.seller_id = $1 AND l.currency = $2 AND l.escrow_state IN ('HELD', 'FROZEN')
  ORDER BY l.release_at NULLS LAST, l.id"""
_PENDING = f"""SELECT l.order_id, o.number, l.terms->>'title' AS title, {_PART} AS part,
    l.matures_at AS until, 'maturing' AS reason
  FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
  WHERE l.seller_id = $1 AND l.currency = $2 AND l.escrow_state IN ('RELEASED', 'SPLIT')
    AND l.matured_at IS NULL
  ORDER BY l.matures_at, l.id"""
_AVAILABLE = """SELECT l.order_id, o.number, l.terms->>'title' AS title, p.net - p.paid AS part,
    NULL::timestamptz AS until, 'payable' AS reason
  FROM payouts.payable p JOIN orders.order_line l ON l.id = p.line_id
  JOIN orders.orders o ON o.id = l.order_id
  WHERE p.seller_id = $1 AND p.currency = $2 AND p.paid < p.net ORDER BY p.matured_at, p.line_id"""
_RESERVE = """SELECT NULL::uuid AS order_id, '' AS number,
    'Part of what matured on ' || r.held_at::date AS title, r.amount AS part,
    r.held_at + $3::interval AS until, 'reserve' AS reason
  FROM payouts.reserve r WHERE r.seller_id = $1 AND r.currency = $2 AND r.freed_at IS NULL
    AND $3::interval IS NOT NULL ORDER BY r.held_at DESC, r.id"""


async def explained(db: Database, settings: Settings, viewer: Viewer) -> list[Explained]:
    """The store's balance per currency, every cent of it explained."""
    return await _explained(db, settings, viewer.as_seller, viewer.seller())


async def explained_for_staff(
    db: Database, settings: Settings, viewer: Viewer, seller_id: UUID
) -> list[Explained]:
    """The same of any store, for staff."""
    return await _explained(db, settings, viewer.as_staff, seller_id)


async def _explained(db: Database, settings: Settings, scope: Scope, seller_id: UUID) -> list[Explained]:
    async with snapshot(db, scope) as conn:
        sums: dict[str, dict[str, int]] = {}
        for row in await conn.fetch(
            f"""SELECT currency::text AS currency, substr(kind, 8) AS bucket, amount
               FROM ledger.account_balance WHERE owner = $1 AND amount <> 0
                 AND kind IN ('seller_pending', 'seller_available', 'seller_reserve', 'seller_receivable')
               UNION ALL
               SELECT l.currency::text, 'held', sum({_PART})::bigint FROM orders.order_line l
               WHERE l.seller_id = $2 AND l.escrow_state IN ('HELD', 'FROZEN') GROUP BY 1""",
            f"seller:{seller_id}",
            seller_id,
        ):
            sums.setdefault(row["currency"], {})[row["bucket"]] = row["amount"]
        for row in await conn.fetch(
            """SELECT DISTINCT currency::text AS currency FROM payouts.payout WHERE seller_id = $1
               AND state IN ('CREATED', 'HELD', 'SENDING', 'UNKNOWN')""",
            seller_id,
        ):
            sums.setdefault(row["currency"], {})
        return [await _currency(conn, settings, seller_id, c, found) for c, found in sorted(sums.items())]


async def _currency(
    conn: Connection, settings: Settings, seller_id: UUID, currency: str, found: dict[str, int]
) -> Explained:
    reserve = timedelta(days=settings.reserve_days)
    parts: list[HeldPart] = []
    for bucket, sql, more in (
        ("held", _HELD, ()),
        ("pending", _PENDING, ()),
        ("available", _AVAILABLE, ()),
        ("reserve", _RESERVE, (reserve,)),
    ):
        rows = await conn.fetch(f"{sql} LIMIT {SHOWN + 1}", seller_id, currency, *more)
        parts += _shared(bucket, found.get(bucket, 0), rows)
    parts += [_in_flight(row) for row in await _payouts(conn, seller_id, currency)]
    if owed := found.get("receivable", 0):
        parts.append(HeldPart(bucket="debt", reason="debt", amount=-owed, until=None, what=""))
    return Explained(currency=currency, total=sum(p.amount for p in parts), parts=parts)


def _shared(bucket: str, balance: int, rows: Sequence[Record]) -> list[HeldPart]:
    """The balance shared out to its rows in their order, as it will move on; what is left is the rest."""
    parts: list[HeldPart] = []
    left = balance
    for row in rows[:SHOWN]:
        amount = min(row["part"], left)
        if amount > 0:
            what = " · ".join(p for p in (row["number"], row["title"]) if p)
            parts.append(
                HeldPart(
                    bucket=bucket,
                    reason=row["reason"],
                    amount=amount,
                    until=row["until"],
                    what=what,
                    order_id=row["order_id"],
                )
            )
            left -= amount
    if left:
        more = len(rows) > SHOWN
        reason = rows[-1]["reason"] if more else "other"
        what = "All others" if more else ""
        parts.append(HeldPart(bucket=bucket, reason=reason, amount=left, until=None, what=what))
    return parts


async def _payouts(conn: Connection, seller_id: UUID, currency: str) -> list[Record]:
    return await conn.fetch(
        """SELECT p.id, p.amount, p.created_at FROM payouts.payout p
           WHERE p.seller_id = $1 AND p.currency = $2 AND p.state IN ('CREATED', 'HELD', 'SENDING', 'UNKNOWN')
           ORDER BY p.created_at, p.id""",
        seller_id,
        currency,
    )


def _in_flight(row: Record) -> HeldPart:
    known: dict[str, Any] = {"amount": row["amount"], "payout_id": row["id"]}
    what = f"Payout of {row['created_at']:%Y-%m-%d}"
    return HeldPart(bucket="in_flight", reason="payout", until=None, what=what, **known)
