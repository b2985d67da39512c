"""What the desk reads: runs, breaks, reports."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core.db import Database, Record, Scope
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.reconciliation.model import Break, NoReport, Run, Standing

_RUNS = Keyset("reconciliation-runs", (("id", "r.id", "bigint"),))
_RUN = """r.id, r.asked_by, r.state, r.since, r.until, r.started_at, r.ended_at, r.doing, r.seen,
  r.matched, r.breaks"""
_BREAKS = Keyset("reconciliation-breaks", (("id", "b.id", "bigint"),), down=False)
_BREAK = """b.id, b.class, b.place, b.movement_id, b.journal_id, b.currency::text, b.amount, b.words, b.state,
  b.owner_id, b.reason, b.decided_by, b.opened_at, b.ended_at, b.version"""


async def list_runs(
    db: Database, viewer: Viewer, cursors: Cursors, *, limit: int = 25, cursor: str | None = None
) -> Page[Run]:
    """Runs, newest first. For staff."""
    args: list[Any] = []
    start = _RUNS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT {_RUN} FROM reconciliation.run r WHERE true {start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), Run))


async def list_breaks(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    states: Sequence[str] = (),
    classes: Sequence[str] = (),
    owner_id: UUID | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Break]:
    """Breaks, oldest first. For staff."""
    args: list[Any] = [list(states) or None, list(classes) or None, owner_id]
    start = _BREAKS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT {_BREAK} FROM reconciliation.break b
            WHERE ($1::text[] IS NULL OR b.state = ANY ($1)) AND ($2::text[] IS NULL OR b.class = ANY ($2))
              AND ($3::uuid IS NULL OR b.owner_id = $3) {start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, _break)


async def read_break(db: Database, viewer: Viewer, break_id: int) -> Break:
    """One break. For staff. Raises NotFound."""
    row = await db.fetchrow(
        viewer.as_staff, f"SELECT {_BREAK} FROM reconciliation.break b WHERE b.id = $1", break_id
    )
    if row is None:
        raise NotFound()
    return _break(row)


async def read_run(db: Database, viewer: Viewer, run_id: int) -> Run:
    """One run. For staff. Raises NotFound."""
    row = await db.fetchrow(
        viewer.as_staff, f"SELECT {_RUN} FROM reconciliation.run r WHERE r.id = $1", run_id
    )
    if row is None:
        raise NotFound()
    return msgspec.convert(dict(row), Run)


async def read_report(db: Database, viewer: Viewer, run_id: int) -> tuple[str, bytes, str]:
    """The report of a finished run, its signature and the name of the key. For staff. Raises NotFound,
    NoReport."""
    row = await db.fetchrow(
        viewer.as_staff, "SELECT report, signature, key_id FROM reconciliation.run WHERE id = $1", run_id
    )
    if row is None:
        raise NotFound()
    if row["report"] is None:
        raise NoReport()
    return row["report"], row["signature"], row["key_id"]


async def money_by_day(
    db: Database, viewer: Viewer, currency: str, kinds: Sequence[str], days: int = 30
) -> list[tuple[datetime, dict[str, int]]]:
    """What stood on accounts of these kinds at the end of each day's last run, oldest first: minor units on
    the normal side. For staff."""
    rows = await db.fetch(
        viewer.as_staff,
        """SELECT DISTINCT ON (date_trunc('day', ended_at, 'UTC')) ended_at,
             report::jsonb -> 'money' -> $1 AS money
           FROM reconciliation.run WHERE state = 'DONE' AND ended_at > now() - make_interval(days => $2)
           ORDER BY date_trunc('day', ended_at, 'UTC'), id DESC""",
        currency,
        days,
    )
    found: list[tuple[datetime, dict[str, int]]] = []
    for row in rows:
        money: dict[str, int] = row["money"] or {}
        found.append((row["ended_at"], {kind: money.get(kind, 0) for kind in kinds}))
    return found


async def break_ages(db: Database, viewer: Viewer) -> list[tuple[str, int]]:
    """How many unexplained breaks there are by age. For staff."""
    row = await db.fetchrow(
        viewer.as_staff,
        """SELECT count(*) FILTER (WHERE age < interval '1 day') AS fresh,
             count(*) FILTER (WHERE age >= interval '1 day' AND age < interval '3 days') AS days,
             count(*) FILTER (WHERE age >= interval '3 days' AND age < interval '7 days') AS week,
             count(*) FILTER (WHERE age >= interval '7 days') AS old
           FROM (SELECT now() - opened_at AS age FROM reconciliation.break WHERE state = 'OPEN') b""",
    )
    assert row
    words = ("Under a day", "1 to 3 days", "3 to 7 days", "Over a week")
    return list(zip(words, (int(n) for n in row.values()), strict=True))


async def count_open(db: Database, viewer: Viewer) -> int:
    """How many breaks nobody has explained. For staff."""
    n: int = await db.fetchval(
        viewer.as_staff, "SELECT count(*) FROM reconciliation.break WHERE state = 'OPEN'"
    )
    return n


async def standing(db: Database, scope: Scope) -> Standing:
    """What monitors and the doctor read: breaks nobody has explained, the newest finished run, suspense."""
    row = await db.fetchrow(
        scope,
        """SELECT (SELECT count(*) FROM reconciliation.break WHERE state = 'OPEN') AS open,
             (SELECT opened_at FROM reconciliation.break WHERE state = 'OPEN'
              ORDER BY opened_at, id LIMIT 1) AS oldest_at,
             (SELECT ended_at FROM reconciliation.run WHERE state = 'DONE'
              ORDER BY id DESC LIMIT 1) AS done_at,
             (SELECT coalesce(json_object_agg(currency, amount), '{}')::text FROM (
                SELECT a.currency, sum(b.amount)::bigint AS amount FROM ledger.account a
                JOIN ledger.balance b ON b.account_id = a.id WHERE a.kind = 'suspense'
                GROUP BY a.currency) s) AS suspense""",
    )
    assert row
    held = msgspec.json.decode(row["suspense"], type=dict[str, int])
    return Standing(open=row["open"], oldest_at=row["oldest_at"], done_at=row["done_at"], suspense=held)


def _break(row: Record) -> Break:
    return msgspec.convert(dict(row), Break)
