"""What a seller reads: its orders, its sales per day, its money."""

import base64
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core import counting
from fondaco.core.clock import now
from fondaco.core.db import Connection, Database, Record
from fondaco.core.pagination import Cursors
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.policies import liability_words, refund_words, release_words
from fondaco.orders.reads import STATES, MinorUnits, pattern

_NEWEST = Keyset("seller-orders", (("created_at", "o.created_at", "timestamptz"), ("id", "o.id", "uuid")))
MAX_DAYS = 366


class SellerOrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """One listing sold, with what becomes of its money."""

    id: UUID
    listing_id: UUID
    title: str
    kind: Annotated[str, Meta(description="stocked_secret (keys) or article.")]
    platform: str
    region: str
    edition: str
    quantity: int
    unit_price: MinorUnits
    total: MinorUnits
    commission: Annotated[int, Meta(description="The marketplace's share, minor units.")]
    tax_on_commission: Annotated[
        int, Meta(description="Tax on that share, minor units, less what refunds gave back of it.")
    ]
    net: Annotated[int, Meta(description="What the seller gets, minor units.")]
    refunded: Annotated[int, Meta(description="What went back to the buyer, minor units.")]
    currency: str
    delivery_state: str
    escrow_state: str
    revealed: Annotated[int, Meta(description="How many of the delivered units the buyer has revealed.")]
    release_at: datetime | None
    released_at: datetime | None
    matures_at: datetime | None
    matured_at: datetime | None
    buyer_terms: Annotated[
        str, Meta(description="What the buyer was told about when you are paid, and about giving back.")
    ]
    store_terms: Annotated[str, Meta(description="What the store was told about who bears a chargeback.")]


class SellerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as its seller sees it. It never holds a code."""

    id: UUID
    number: str
    state: str
    buyer: Annotated[
        str,
        Meta(description="The buyer as this store knows them: a number, the same in each of their orders."),
    ]
    total: MinorUnits
    net: Annotated[int, Meta(description="What the seller gets, minor units.")]
    currency: str
    created_at: datetime
    paid_at: datetime | None
    completed_at: datetime | None
    closed_because: str | None
    lines: list[SellerOrderLine]


class SellerOrderPage(msgspec.Struct, frozen=True):
    """One page of a seller's orders with counts per state."""

    items: list[SellerOrder]
    next: str | None
    previous: str | None
    states: Annotated[dict[str, int], Meta(description="How many are in each state, for the same search.")]


class SalesDay(msgspec.Struct, frozen=True, kw_only=True):
    """What was delivered on one day (UTC) in one currency."""

    day: date
    orders: int
    units: int
    gross: MinorUnits
    commission: MinorUnits
    net: MinorUnits
    currency: str


class SellerBalance(msgspec.Struct, frozen=True, kw_only=True):
    """A seller's money in one currency, minor units."""

    currency: str
    held: Annotated[int, Meta(description="Under buyer protection: the seller's part of lines not released.")]
    pending: Annotated[int, Meta(description="Released, not yet payable.")]
    available: Annotated[int, Meta(description="Payable.")]


_COLUMNS = """o.id, o.number, o.state, o.total, o.currency, o.created_at, o.paid_at, o.completed_at,
  o.closed_because, o.buyer_id"""
_FROM = "FROM orders.orders o"
_SEARCH = """o.seller_id = $1 AND ($2 = '' OR o.number ILIKE $2 OR EXISTS (
  SELECT 1 FROM orders.order_line l WHERE l.order_id = o.id AND l.terms->>'title' ILIKE $2))"""


async def seller_orders(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    listing_id: UUID | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> SellerOrderPage:
    """The store's orders, newest first. `q`: part of a number or of a title."""
    args: list[Any] = [viewer.seller(), pattern(q), list(states) or None, listing_id]
    start = _NEWEST.start(cursors, cursor, args)
    async with db.transaction(viewer.as_seller) as conn:
        counts = await conn.fetch(
            counting.by_state(STATES, "o.state", f"SELECT 1 {_FROM} WHERE {_SEARCH}"), *args[:2]
        )
        rows = await conn.fetch(
            f"""SELECT {_COLUMNS} {_FROM} WHERE {_SEARCH}
                  AND ($3::text[] IS NULL OR o.state = ANY ($3))
                  AND ($4::uuid IS NULL OR EXISTS (
                    SELECT 1 FROM orders.order_line l WHERE l.order_id = o.id AND l.listing_id = $4))
                  {start.condition}
                ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
            *args,
        )
        lines = await _lines(conn, [r["id"] for r in rows])
    page = start.page(rows, limit, lambda r: _order(viewer.seller(), r, lines[r["id"]]))
    return SellerOrderPage(list(page.items), page.next, page.previous, {r["state"]: r["n"] for r in counts})


async def seller_order(db: Database, viewer: Viewer, order_id: UUID) -> SellerOrder:
    """One of the store's orders. Raises NotFound."""
    async with db.transaction(viewer.as_seller) as conn:
        row = await conn.fetchrow(
            f"SELECT {_COLUMNS} {_FROM} WHERE o.seller_id = $1 AND o.id = $2", viewer.seller(), order_id
        )
        if row is None:
            raise NotFound()
        return _order(viewer.seller(), row, (await _lines(conn, [order_id]))[order_id])


async def seller_sales(
    db: Database, viewer: Viewer, *, days: int = 30, currency: str = "EUR"
) -> list[SalesDay]:
    """Sales of the last `days` days (today included), oldest first; days without a sale count 0.

    A store that sells in several currencies gets a row per day and currency; one that sold nothing yet gets
    rows in `currency`.
    """
    if not 1 <= days <= MAX_DAYS:
        raise Invalid(fields={"days": f"Must be from 1 to {MAX_DAYS}."})
    today = now().date()
    first = today - timedelta(days=days - 1)
    rows = await db.fetch(
        viewer.as_seller,
        """SELECT (delivered_at AT TIME ZONE 'UTC')::date AS day, currency,
             count(DISTINCT order_id) AS orders, sum(quantity)::bigint AS units,
             sum(total - refunded)::bigint AS gross,
             sum(commission - refunded_commission)::bigint AS commission,
             sum(total - refunded - commission + refunded_commission - tax + refunded_tax
               - commission_tax + refunded_commission_tax)::bigint AS net
           FROM orders.order_line
           WHERE seller_id = $1 AND delivered_at >= $2::date::timestamp AT TIME ZONE 'UTC'
             AND delivery_state = 'DELIVERED'
           GROUP BY 1, 2""",
        viewer.seller(),
        first,
    )
    found = {(r["day"], r["currency"]): msgspec.convert(dict(r), SalesDay) for r in rows}
    currencies = sorted({c for _, c in found}) or [currency]
    every = [first + timedelta(days=i) for i in range(days)]
    return [
        found.get((day, c)) or SalesDay(day=day, orders=0, units=0, gross=0, commission=0, net=0, currency=c)
        for day in every
        for c in currencies
    ]


async def seller_balance(db: Database, viewer: Viewer) -> list[SellerBalance]:
    """The store's money per currency, as the ledger has it."""
    seller_id = viewer.seller()
    async with db.transaction(viewer.as_seller) as conn:
        accounts = await conn.fetch(
            """SELECT kind, currency, amount FROM ledger.account_balance
               WHERE owner = $1 AND kind IN ('seller_pending', 'seller_available')""",
            f"seller:{seller_id}",
        )
        held = await conn.fetch(
            """SELECT l.currency, sum(b.amount - l.commission + l.refunded_commission - l.tax
                 + l.refunded_tax - l.commission_tax + l.refunded_commission_tax)::bigint AS amount
               FROM orders.order_line l
               JOIN ledger.account a ON a.kind = 'escrow' AND a.owner = 'line:' || l.id
                 AND a.currency = l.currency
               JOIN ledger.balance b ON b.account_id = a.id
               WHERE l.seller_id = $1 AND l.escrow_state IN ('HELD', 'FROZEN') GROUP BY 1""",
            seller_id,
        )
    sums: dict[str, dict[str, int]] = defaultdict(lambda: {"held": 0, "pending": 0, "available": 0})
    for row in accounts:
        sums[row["currency"]][row["kind"].removeprefix("seller_")] = row["amount"]
    for row in held:
        sums[row["currency"]]["held"] = row["amount"]
    return [SellerBalance(currency=c, **amounts) for c, amounts in sorted(sums.items())]


async def _lines(conn: Connection, order_ids: Sequence[UUID]) -> dict[UUID, list[SellerOrderLine]]:
    rows = await conn.fetch(
        """SELECT l.*, l.total - l.refunded - l.commission + l.refunded_commission - l.tax
             + l.refunded_tax - l.commission_tax + l.refunded_commission_tax AS net,
             l.commission_tax - l.refunded_commission_tax AS tax_on_commission,
             (SELECT count(*) FROM delivery.entitlement e
             WHERE e.line_id = l.id AND e.revealed_at IS NOT NULL) AS revealed
           FROM orders.order_line l WHERE l.order_id = ANY ($1) ORDER BY l.id""",
        order_ids,
    )
    found: dict[UUID, list[SellerOrderLine]] = defaultdict(list)
    for row in rows:
        terms = {k: row["terms"].get(k, "") for k in ("title", "platform", "region", "edition")}
        terms["kind"] = row["terms"].get("kind", "stocked_secret")
        terms["buyer_terms"] = f"{release_words(row['terms'])} {refund_words(row['terms'])}".strip()
        terms["store_terms"] = liability_words(row["terms"])
        found[row["order_id"]].append(msgspec.convert({**dict(row), **terms}, SellerOrderLine))
    return found


def _order(seller_id: UUID, row: Record, lines: list[SellerOrderLine]) -> SellerOrder:
    net = sum(line.net for line in lines)
    buyer = _buyer_number(seller_id, row["buyer_id"])
    return msgspec.convert({**dict(row), "net": net, "lines": lines, "buyer": buyer}, SellerOrder)


def _buyer_number(seller_id: UUID, buyer_id: UUID) -> str:
    """Two stores cannot tell by it that they have the same buyer."""
    digest = hashlib.sha256(seller_id.bytes + buyer_id.bytes).digest()
    return f"B-{base64.b32encode(digest)[:8].decode()}"


async def seller_order_numbers(db: Database, viewer: Viewer, order_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Numbers of the store's orders among these ids."""
    rows = await db.fetch(
        viewer.as_seller,
        "SELECT id, number FROM orders.orders WHERE seller_id = $1 AND id = ANY ($2)",
        viewer.seller(),
        list(order_ids),
    )
    return {row["id"]: row["number"] for row in rows}
