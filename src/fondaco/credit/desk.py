"""What finance sees: who owes what since when, how much all owe together, how old it is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core import counting
from fondaco.core.db import Database, Record
from fondaco.core.pagination import Cursors
from fondaco.core.viewer import Viewer

STATES: tuple[str, ...] = ("OWED", "PAID", "WRITTEN_OFF")
AGES: tuple[str, ...] = (
    "Up to 7 days",
    "8 to 14 days",
    "15 to 30 days",
    "31 to 60 days",
    "More than 60 days",
)
_AGE = """CASE WHEN c.taken_at > now() - interval '7 days' THEN 0 WHEN c.taken_at > now() - interval '14 days'
  THEN 1 WHEN c.taken_at > now() - interval '30 days' THEN 2 WHEN c.taken_at > now() - interval '60 days'
  THEN 3 ELSE 4 END"""
_NEWEST = Keyset("credits", (("taken_at", "c.taken_at", "timestamptz"), ("group_id", "c.group_id", "uuid")))
_SEARCH = "($1::text IS NULL OR u.email ILIKE $1 OR g.number ILIKE $1)"


class CreditRow(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase on credit in the desk's list. Amounts in minor units of `currency`."""

    group_id: UUID
    number: str
    user_id: UUID
    buyer: Annotated[str, Meta(description="The buyer's address.")]
    state: str
    amount: int
    owed: int
    written_off: int
    currency: str
    taken_at: datetime
    due_at: datetime
    overdue: bool


class CreditPage(msgspec.Struct, frozen=True):
    """One page of purchases on credit with counts per state."""

    items: list[CreditRow]
    next: str | None
    previous: str | None
    states: Annotated[dict[str, int], Meta(description="How many are in each state, for the same search.")]


class CreditSum(msgspec.Struct, frozen=True, kw_only=True):
    """What all buyers owe in one currency, minor units."""

    currency: str
    owed: int
    overdue: int
    buyers: Annotated[int, Meta(description="How many owe something.")]
    total_cap: Annotated[int | None, Meta(description="What may be owed at most; null: no credit now.")]
    written_off: Annotated[int, Meta(description="Given up, less what came back by refunds.")]
    ages: Annotated[list[int], Meta(description="What is owed since up to 7, 14, 30, 60 and more days.")]


async def list_credits(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> CreditPage:
    """Purchases on credit, newest first. `q`: part of the buyer's address or of the purchase's number. For
    staff."""
    args: list[Any] = [_pattern(q), list(states) or None]
    start = _NEWEST.start(cursors, cursor, args)
    source = """credit.credit c JOIN identity.users u ON u.id = c.user_id
      JOIN orders.order_group g ON g.id = c.group_id"""
    async with db.transaction(viewer.as_staff) as conn:
        counts = await conn.fetch(
            counting.by_state(STATES, "c.state", f"SELECT 1 FROM {source} WHERE {_SEARCH}"), args[0]
        )
        rows = await conn.fetch(
            f"""SELECT c.*, g.number, u.email AS buyer, c.state = 'OWED' AND c.due_at <= now() AS overdue
                FROM {source} WHERE {_SEARCH} AND ($2::text[] IS NULL OR c.state = ANY ($2)){start.condition}
                ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
            *args,
        )
    page = start.page(rows, limit, _row)
    return CreditPage(list(page.items), page.next, page.previous, {r["state"]: r["n"] for r in counts})


def _row(row: Record) -> CreditRow:
    return msgspec.convert({n: row[n] for n in CreditRow.__struct_fields__}, CreditRow)


def _pattern(q: str) -> str | None:
    text = q.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{text}%" if text else None


async def credit_sums(db: Database, viewer: Viewer) -> list[CreditSum]:
    """What all buyers owe, by currency, with its age. For staff."""
    rows = await db.fetch(
        viewer.as_staff,
        f"""WITH aged AS (
              SELECT c.currency, {_AGE} AS age, sum(c.owed)::bigint AS owed,
                sum(c.owed) FILTER (WHERE c.due_at <= now())::bigint AS overdue
              FROM credit.credit c WHERE c.state = 'OWED' GROUP BY 1, 2)
            SELECT coalesce(t.currency, p.currency)::text AS currency, coalesce(t.owed, 0) AS owed,
              p.total_cap,
              coalesce((SELECT sum(a.overdue) FROM aged a WHERE a.currency = t.currency), 0)::bigint
                AS overdue,
              (SELECT count(*) FROM credit.buyer b WHERE b.currency = t.currency AND b.owed > 0) AS buyers,
              coalesce((SELECT sum(b.lost) FROM credit.buyer b
                        WHERE b.currency = t.currency), 0)::bigint AS written_off,
              ARRAY(SELECT coalesce((SELECT a.owed FROM aged a
                                     WHERE a.currency = t.currency AND a.age = n), 0)
                    FROM generate_series(0, 4) n ORDER BY n)::bigint[] AS ages
            FROM credit.total t
            FULL JOIN (SELECT * FROM credit.policy WHERE ended_at IS NULL) p ON p.currency = t.currency
            ORDER BY 1""",
    )
    return [msgspec.convert(dict(r), CreditSum) for r in rows]
