"""What finance reads of payouts: the preview of a run, the queue, one payout with its attempts, ages."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core.db import Database, Record
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.payouts.model import Due, Payout, PayoutDetail, gate
from fondaco.payouts.reads import COLUMNS, detail, payout_of
from fondaco.settings import Settings

OPEN = ("CREATED", "HELD", "SENDING", "UNKNOWN")
_NEWEST = Keyset("desk-payouts", (("created_at", "p.created_at", "timestamptz"), ("id", "p.id", "uuid")))
_OLDEST_FIRST = (
    """CASE p.state WHEN 'UNKNOWN' THEN 0 WHEN 'HELD' THEN 1 WHEN 'SENDING' THEN 2 ELSE 3 END, p.created_at"""
)


class DeskPayout(msgspec.Struct, frozen=True, kw_only=True):
    """A payout as the desk lists it. `due`: by when it should have left."""

    payout: Payout
    store: str
    attempt: int
    held_by: str | None
    transfer_id: str | None
    second_id: str | None
    due: datetime


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One call to the provider: its number and key, and when it was begun."""

    no: int
    key: str
    started_at: datetime


class Reversal(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer taken back, wholly or in part; minor units."""

    id: UUID
    transfer_id: str
    amount: int
    reason: str
    state: str
    failure: str | None
    created_at: datetime


class DeskDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one payout."""

    row: DeskPayout
    detail: PayoutDetail
    gates: dict[str, Any]
    attempts: list[Attempt]
    reversals: list[Reversal]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How many payouts of a currency are in a state, and their sum in minor units."""

    state: str
    currency: str
    count: int
    amount: int


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do now, the largest amounts first; at most `shown` of each kind, sums over all."""

    pay: list[Due]
    hold: list[Due]
    sums: list[tuple[str, int, int, int, int]]
    """Currency; payouts and their sum; sellers not paid and their sum (minor units)."""


_DESK = f"""{COLUMNS}, s.name AS store, p.attempt, p.held_by, p.transfer_id, p.second_id,
  p.created_at + interval '1 hour' AS due"""


def _row(row: Record) -> DeskPayout:
    own = ("store", "attempt", "held_by", "transfer_id", "second_id", "due")
    return DeskPayout(payout=payout_of(row), **{name: row[name] for name in own})


async def list_payouts(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    kinds: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[DeskPayout]:
    """All payouts, newest first. `q`: part of a store's name, or an id (payout, transfer, account)."""
    like = f"%{q.strip()}%" if q.strip() else ""
    args: list[Any] = [like, q.strip(), list(states) or None, list(kinds) or None]
    start = _NEWEST.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT {_DESK} FROM payouts.payout p JOIN sellers.seller s ON s.id = p.seller_id
            WHERE ($1 = '' OR s.name ILIKE $1 OR p.id::text = $2 OR p.transfer_id = $2 OR p.destination = $2)
              AND ($3::text[] IS NULL OR p.state = ANY ($3)) AND ($4::text[] IS NULL OR p.kind = ANY ($4))
              {start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, _row)


async def waiting(db: Database, viewer: Viewer, limit: int = 50) -> list[DeskPayout]:
    """Payouts that have not left: without an answer first, then held, then by age."""
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT {_DESK} FROM payouts.payout p JOIN sellers.seller s ON s.id = p.seller_id
            WHERE p.state IN ('CREATED', 'HELD', 'SENDING', 'UNKNOWN') ORDER BY {_OLDEST_FIRST} LIMIT
              {limit}""",
    )
    return [_row(row) for row in rows]


async def read_payout(db: Database, viewer: Viewer, payout_id: UUID) -> DeskDetail:
    """One payout with its lines, calls and reversals. Raises NotFound."""
    scope = viewer.as_staff
    row = await db.fetchrow(
        scope,
        f"""SELECT {_DESK}, p.gates FROM payouts.payout p JOIN sellers.seller s ON s.id = p.seller_id
            WHERE p.id = $1""",
        payout_id,
    )
    if row is None:
        raise NotFound()
    attempts = await db.fetch(
        scope, "SELECT no, key, started_at FROM payouts.attempt WHERE payout_id = $1 ORDER BY no", payout_id
    )
    reversals = await db.fetch(
        scope,
        """SELECT id, transfer_id, amount, reason, state, failure, created_at FROM payouts.reversal
           WHERE payout_id = $1 ORDER BY id""",
        payout_id,
    )
    return DeskDetail(
        row=_row(row),
        detail=await detail(db, scope, payout_id, None),
        gates=row["gates"],
        attempts=[Attempt(**dict(r)) for r in attempts],
        reversals=[Reversal(**dict(r)) for r in reversals],
    )


async def figures(db: Database, viewer: Viewer, days: int = 30) -> list[Figures]:
    """Counts and sums by state and currency: everything open, and what ended in the last `days` days."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT state, currency::text AS currency, count(*) AS count, sum(amount)::bigint AS amount
           FROM payouts.payout WHERE created_at > now() - make_interval(days => $1)
             OR state IN ('CREATED', 'HELD', 'SENDING', 'UNKNOWN') GROUP BY 1, 2 ORDER BY 2, 1""",
        days,
    )
    return [Figures(**dict(row)) for row in rows]


async def ages(db: Database, viewer: Viewer) -> list[tuple[str, int]]:
    """How long payouts that have not left have been waiting: words and how many, youngest first."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT b.n, b.words, count(p.id) AS count FROM (VALUES
             (0, 'To 1 h', interval '0', interval '1 hour'), (1, '1 to 6 h', '1 hour', '6 hours'),
             (2, '6 to 24 h', '6 hours', '1 day'), (3, '1 to 3 d', '1 day', '3 days'),
             (4, 'Over 3 d', '3 days', '1000 years')) b(n, words, least, most)
           LEFT JOIN payouts.payout p ON p.state IN ('CREATED', 'HELD', 'SENDING', 'UNKNOWN')
             AND now() - p.created_at >= b.least::interval AND now() - p.created_at < b.most::interval
           GROUP BY b.n, b.words ORDER BY b.n""",
    )
    return [(row["words"], row["count"]) for row in rows]


async def preview(db: Database, settings: Settings, viewer: Viewer, day: date, shown: int = 50) -> Preview:
    """Who gets what, who is not paid and why, if the run of `day` began now."""
    rows = await db.fetch(
        viewer.as_staff,
        """WITH due AS MATERIALIZED (
             SELECT d.seller_id, d.currency, greatest(0, d.amount - d.debt) AS amount,
                 CASE WHEN d.debt > d.amount THEN payouts.gates(d.seller_id, d.currency)
                   ELSE array_remove(payouts.gates(d.seller_id, d.currency), 'debt') END
                 || CASE WHEN d.amount - d.debt < $2 THEN ARRAY['below_minimum'] ELSE '{}' END AS reasons
             FROM (SELECT substr(a.owner, 8)::uuid AS seller_id, a.currency::text AS currency, b.amount,
                     payouts.balance_of('seller_receivable', substr(a.owner, 8)::uuid, a.currency) AS debt
                   FROM ledger.account a JOIN ledger.balance b ON b.account_id = a.id
                   WHERE a.kind = 'seller_available' AND b.amount > 0) d
             WHERE NOT EXISTS (SELECT 1 FROM payouts.payout p WHERE p.seller_id = d.seller_id
               AND p.currency = d.currency::char(3) AND p.batch_date = $1 AND p.kind = 'daily')),
           ranked AS (
             SELECT d.*, row_number() OVER (PARTITION BY d.reasons = '{}' ORDER BY d.amount DESC,
               d.seller_id) AS place,
               count(*) OVER (PARTITION BY d.reasons = '{}', d.currency) AS n,
               sum(d.amount) OVER (PARTITION BY d.reasons = '{}', d.currency)::bigint AS total
             FROM due d)
           SELECT r.*, s.name AS store FROM ranked r JOIN sellers.seller s ON s.id = r.seller_id
           WHERE r.place <= $3 ORDER BY r.place""",
        day,
        settings.payout_min,
        shown,
    )
    pay = [_due(row) for row in rows if not row["reasons"]]
    kept = [_due(row) for row in rows if row["reasons"]]
    return Preview(pay=pay, hold=kept, sums=_sums(rows))


def _due(row: Record) -> Due:
    return Due(
        seller_id=row["seller_id"],
        store=row["store"],
        amount=row["amount"],
        currency=row["currency"],
        gates=[gate(code) for code in row["reasons"]],
    )


def _sums(rows: Sequence[Record]) -> list[tuple[str, int, int, int, int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        counts = found.setdefault(row["currency"], [0, 0, 0, 0])
        at = 2 if row["reasons"] else 0
        counts[at : at + 2] = [row["n"], row["total"]]
    return [(c, *counts) for c, counts in sorted(found.items())]  # type: ignore[misc]


async def withheld(db: Database, viewer: Viewer, day: date, limit: int = 100) -> list[Due]:
    """Whom the run of `day` did not pay and why, the largest amounts first."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT w.seller_id, s.name AS store, w.amount, w.currency::text AS currency, w.reasons
           FROM payouts.withheld w JOIN sellers.seller s ON s.id = w.seller_id
           WHERE w.batch_date = $1 ORDER BY w.amount DESC LIMIT $2""",
        day,
        limit,
    )
    return [_due(row) for row in rows]
