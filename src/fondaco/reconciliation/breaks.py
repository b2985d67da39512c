"""What differs: found anew by each run, kept from when it was first seen until it is gone."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import structlog

from fondaco import audit
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.identity.fields import read_text
from fondaco.reconciliation.model import BreakChanged

log = structlog.get_logger()
GRACE = timedelta(minutes=15)  # what is younger may still be on its way to the other side
MOST = 10_000  # breaks noted by one run; more than that is one big one

_FOUND = """
  SELECT CASE WHEN EXISTS (
      SELECT 1 FROM unnest(reconciliation.keys(m.type, m.id, m.source_id, m.intent_id, m.amount)) k
      JOIN ledger.journal j ON j.idem = k) THEN 'other_amount' ELSE 'missing_here' END AS class,
    'movement:' || m.id AS place, m.id AS movement_id, NULL::bigint AS journal_id, m.currency,
    (CASE WHEN m.journal_id IS NULL THEN m.amount ELSE 0 END
     - CASE WHEN m.fee_journal_id IS NULL THEN m.fee ELSE 0 END)::bigint AS amount,
    m.type || ' ' || coalesce(m.source_id, m.id) || CASE WHEN m.journal_id IS NULL AND m.amount <> 0
      THEN '' ELSE ', its fee' END AS words
  FROM reconciliation.movement m
  WHERE (m.amount <> 0 AND m.journal_id IS NULL OR m.fee <> 0 AND m.fee_journal_id IS NULL)
    AND m.made_at < clock_timestamp() - $1::interval
  UNION ALL
  SELECT 'missing_there', 'journal:' || j.id, NULL, j.id, e.currency, -sum(e.amount)::bigint,
    j.kind || ' ' || j.idem
  FROM ledger.journal j JOIN ledger.entry e ON e.journal_id = j.id
  JOIN ledger.account a ON a.id = e.account_id AND a.kind = 'psp_clearing'
  WHERE j.posted_at >= $2 AND j.posted_at < least($3::timestamptz, clock_timestamp() - $1::interval)
    AND NOT EXISTS (SELECT 1 FROM reconciliation.movement m WHERE m.journal_id = j.id)
    AND NOT EXISTS (SELECT 1 FROM reconciliation.movement m WHERE m.fee_journal_id = j.id)
  GROUP BY j.id, e.currency HAVING sum(e.amount) <> 0
  UNION ALL
  SELECT 'missing_there', b.place, NULL, b.journal_id, b.currency, b.amount, b.words
  FROM reconciliation.break b JOIN ledger.journal j ON j.id = b.journal_id
  WHERE b.class = 'missing_there' AND b.state <> 'RESOLVED' AND NOT (j.posted_at >= $2 AND j.posted_at < $3)
    AND NOT EXISTS (SELECT 1 FROM reconciliation.movement m WHERE m.journal_id = j.id)
    AND NOT EXISTS (SELECT 1 FROM reconciliation.movement m WHERE m.fee_journal_id = j.id)
  UNION ALL
  SELECT 'balance', 'balance:' || t.currency, NULL, NULL, t.currency, t.amount,
    'the balance the provider tells is not the sum of its movements'
  FROM unnest($4::text[], $5::bigint[]) t(currency, amount)
"""


async def note_breaks(conn: Connection, run: Record, off: Mapping[str, int]) -> None:
    """Open what differs now, end what is gone, and tell it, in the caller's transaction. `off`: by how much
    balances differ from the sum of their movements. What is younger than GRACE is left for the next run."""
    currencies = sorted(off)
    found = await conn.fetch(
        f"SELECT * FROM ({_FOUND}) f ORDER BY place LIMIT {MOST}",
        GRACE,
        run["since"],
        run["until"],
        currencies,
        [off[c] for c in currencies],
    )
    changed = await conn.fetch(
        """INSERT INTO reconciliation.break AS b (class, place, movement_id, journal_id, currency, amount,
             words, state, last_run)
           SELECT f.class, f.place, f.movement_id, f.journal_id, f.currency, f.amount, f.words, 'OPEN', $8
           FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[])
             f(class, place, movement_id, journal_id, currency, amount, words)
           ON CONFLICT (place) DO UPDATE SET class = excluded.class, amount = excluded.amount,
             words = excluded.words, last_run = excluded.last_run, version = b.version + 1, ended_at = NULL,
             state = CASE WHEN b.state = 'EXPLAINED' AND b.amount = excluded.amount THEN 'EXPLAINED'
                     ELSE 'OPEN' END,
             opened_at = CASE WHEN b.state = 'RESOLVED' THEN now() ELSE b.opened_at END
           RETURNING b.id, b.state, b.version, b.class, b.currency, b.amount""",
        [r["class"] for r in found],
        [r["place"] for r in found],
        [r["movement_id"] for r in found],
        [r["journal_id"] for r in found],
        [r["currency"] for r in found],
        [r["amount"] for r in found],
        [r["words"] for r in found],
        run["id"],
    )
    for row in changed:
        if row["version"] == 1:
            data = {"class": row["class"], "amount": row["amount"], "currency": row["currency"]}
            await audit.record(conn, "break.opened", f"break:{row['id']}", "system", data)
    gone = await conn.fetch(
        """UPDATE reconciliation.break SET state = 'RESOLVED', ended_at = now(), version = version + 1,
             last_run = $1
           WHERE state <> 'RESOLVED' AND last_run < $1 RETURNING id""",
        run["id"],
    )
    for row in gone:
        await audit.record(conn, "break.resolved", f"break:{row['id']}", "system", {})


async def explain(db: Database, viewer: Viewer, break_id: int, version: int, reason: str) -> None:
    """Say why a break is all right; payouts go on once every break is. Raises NotFound, BreakChanged,
    Invalid."""
    faults: dict[str, str] = {}
    words = read_text(faults, "reason", reason, 2000)
    if not words.strip():
        faults.setdefault("reason", "Say why this difference is all right.")
    if faults:
        raise Invalid(fields=faults)
    await _decide(db, viewer, break_id, version, state="EXPLAINED", reason=words.strip())


async def reopen(db: Database, viewer: Viewer, break_id: int, version: int) -> None:
    """The explanation was none. Raises NotFound, BreakChanged."""
    await _decide(db, viewer, break_id, version, state="OPEN", reason=None)


async def _decide(
    db: Database, viewer: Viewer, break_id: int, version: int, *, state: str, reason: str | None
) -> None:
    async def work(conn: Connection) -> None:
        row = await conn.fetchrow(
            "SELECT state, version FROM reconciliation.break WHERE id = $1 FOR UPDATE", break_id
        )
        if row is None:
            raise NotFound()
        source = "OPEN" if state == "EXPLAINED" else "EXPLAINED"
        if (row["state"], row["version"]) != (source, version):
            raise BreakChanged()
        await conn.execute(
            """UPDATE reconciliation.break SET state = $2, reason = $3, decided_by = $4, version = version + 1
               WHERE id = $1""",
            break_id,
            state,
            reason,
            viewer.user(),
        )
        kind = "break.explained" if state == "EXPLAINED" else "break.reopened"
        data = {"reason": reason} if reason else {}
        await audit.record(conn, kind, f"break:{break_id}", viewer.actor, data)

    await db.run(viewer.as_staff, work)


async def take(db: Database, viewer: Viewer, break_id: int, owner_id: UUID | None) -> None:
    """Who looks into it; None: nobody. Raises NotFound."""

    async def work(conn: Connection) -> None:
        done = await conn.fetchval(
            "UPDATE reconciliation.break SET owner_id = $2 WHERE id = $1 RETURNING id", break_id, owner_id
        )
        if done is None:
            raise NotFound()
        data = {"owner": str(owner_id) if owner_id else None}
        await audit.record(conn, "break.taken", f"break:{break_id}", viewer.actor, data)

    await db.run(viewer.as_staff, work)


async def open_breaks(db: Database) -> int:
    """How many differences nobody has explained."""
    n: int = await db.fetchval(SYSTEM, "SELECT count(*) FROM reconciliation.break WHERE state = 'OPEN'")
    return n
