"""What a seller reads of payouts: where every cent is, what waits for what, which payout paid which line."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core.db import Connection, Database, Record, Scope
from fondaco.core.pagination import Cursors
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.payouts.accounts import my_account
from fondaco.payouts.batch import next_run
from fondaco.payouts.model import Bucket, Payout, PayoutDetail, PayoutItem, PayoutPage, Standing, gate
from fondaco.settings import Settings

COLUMNS = """p.id, p.seller_id, p.amount, p.currency, p.kind, p.batch_date, p.state, p.destination,
  p.held_because,
  p.failure, p.reversed, p.created_at, p.sent_at, p.paid_at, p.done_at"""
MOST_ITEMS = 1000
_NEWEST = Keyset("seller-payouts", (("created_at", "p.created_at", "timestamptz"), ("id", "p.id", "uuid")))


def payout_of(row: Record) -> Payout:
    return msgspec.convert({n: row[n] for n in Payout.__struct_fields__}, Payout)


async def my_payouts(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    states: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> PayoutPage:
    """The store's payouts, newest first."""
    args: list[Any] = [viewer.seller(), list(states) or None]
    start = _NEWEST.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_seller,
        f"""SELECT {COLUMNS} FROM payouts.payout p
            WHERE p.seller_id = $1 AND ($2::text[] IS NULL OR p.state = ANY ($2)) {start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    page = start.page(rows, limit, payout_of)
    return PayoutPage(list(page.items), page.next, page.previous)


async def my_payout(db: Database, viewer: Viewer, payout_id: UUID) -> PayoutDetail:
    """One of the store's payouts with what it pays. Raises NotFound."""
    return await detail(db, viewer.as_seller, payout_id, viewer.seller())


async def detail(db: Database, scope: Scope, payout_id: UUID, seller_id: UUID | None) -> PayoutDetail:
    async with db.transaction(scope) as conn:
        row = await conn.fetchrow(
            f"""SELECT {COLUMNS} FROM payouts.payout p
                WHERE p.id = $1 AND ($2::uuid IS NULL OR p.seller_id = $2)""",
            payout_id,
            seller_id,
        )
        if row is None:
            raise NotFound()
        total = await conn.fetchval("SELECT count(*) FROM payouts.item WHERE payout_id = $1", payout_id)
        return PayoutDetail(payout=payout_of(row), items=await _items(conn, payout_id), items_total=total)


async def _items(conn: Connection, payout_id: UUID) -> list[PayoutItem]:
    rows = await conn.fetch(
        f"""SELECT i.line_id, l.order_id, o.number AS order_number, l.terms->>'title' AS title, i.amount,
             i.returned
            FROM payouts.item i LEFT JOIN payouts.payable y ON y.line_id = i.line_id
            LEFT JOIN orders.order_line l ON l.id = i.line_id LEFT JOIN orders.orders o ON o.id = l.order_id
            WHERE i.payout_id = $1 ORDER BY y.matured_at NULLS LAST, i.line_id LIMIT {MOST_ITEMS}""",
        payout_id,
    )
    return [PayoutItem(**dict(row)) for row in rows]


async def standing(db: Database, settings: Settings, viewer: Viewer) -> Standing:
    """The store's payout account, its money in every bucket, and when the next payout is made."""
    seller_id = viewer.seller()
    async with db.transaction(viewer.as_seller) as conn:
        buckets = await _buckets(conn, seller_id, settings)
    return Standing(
        account=await my_account(db, viewer),
        buckets=buckets,
        next_run=await next_run(db, settings),
        minimum=settings.payout_min,
    )


async def _buckets(conn: Connection, seller_id: UUID, settings: Settings) -> list[Bucket]:
    rows = await conn.fetch(
        """SELECT currency::text AS currency, CASE kind WHEN 'seller_receivable' THEN 'debt'
               ELSE substr(kind, 8) END AS bucket, amount
           FROM ledger.account_balance WHERE owner = 'seller:' || $1::uuid
             AND kind IN ('seller_pending', 'seller_available', 'seller_reserve', 'seller_receivable')
           UNION ALL
           SELECT l.currency::text, CASE l.escrow_state WHEN 'FROZEN' THEN 'frozen' ELSE 'held' END,
             sum(orders_part)::bigint
           FROM (SELECT currency, escrow_state, total - commission - tax - commission_tax
             - (refunded - refunded_commission - refunded_tax - refunded_commission_tax) AS orders_part
                 FROM orders.order_line WHERE seller_id = $1 AND escrow_state IN ('HELD', 'FROZEN')) l
           GROUP BY 1, 2
           UNION ALL
           SELECT currency::text, 'in_flight', sum(amount)::bigint FROM payouts.payout
           WHERE seller_id = $1 AND state IN ('CREATED', 'HELD', 'SENDING', 'UNKNOWN') GROUP BY 1
           UNION ALL
           SELECT currency::text, 'paid_out', sum(amount - reversed)::bigint FROM payouts.payout
           WHERE seller_id = $1 AND state IN ('SENT', 'PAID', 'BANK_FAILED') GROUP BY 1""",
        seller_id,
    )
    sums: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        sums[row["currency"]][row["bucket"]] = row["amount"]
    return [await _bucket(conn, seller_id, c, amounts, settings) for c, amounts in sorted(sums.items())]


async def _bucket(
    conn: Connection, seller_id: UUID, currency: str, amounts: dict[str, int], settings: Settings
) -> Bucket:
    names = ("held", "frozen", "pending", "available", "reserve", "in_flight", "paid_out", "debt")
    found = {name: amounts.get(name, 0) for name in names}
    codes = list(await conn.fetchval("SELECT payouts.gates($1, $2)", seller_id, currency))
    payable = found["available"] - found["debt"]
    if payable >= 0 and "debt" in codes:
        codes.remove("debt")  # it is set against what is available, and the rest is paid
    if payable <= 0:
        codes.append("nothing")
    elif payable < settings.payout_min:
        codes.append("below_minimum")
    return Bucket(currency=currency, gates=[gate(code) for code in codes], **found)


async def payouts_of_orders(db: Database, scope: Scope, order_ids: Sequence[UUID]) -> list[UUID]:
    """The payouts that pay lines of these orders."""
    rows = await db.fetch(
        scope,
        """SELECT DISTINCT i.payout_id FROM orders.order_line l JOIN payouts.item i ON i.line_id = l.id
           WHERE l.order_id = ANY ($1) ORDER BY 1 LIMIT 50""",
        list(order_ids),
    )
    return [row["payout_id"] for row in rows]
