"""Importing a batch in a worker: every good line goes into stock in one transaction, or none does.

Lines are checked, fingerprinted and sealed first, outside any transaction. Then one transaction inserts
them in the order of their fingerprints (so that two imports of the same keys wait for each other and never
deadlock), and closes the batch. Whatever happens before its commit leaves nothing behind.
"""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import structlog

from fondaco import risk
from fondaco.audit import record
from fondaco.core import failpoints
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.problem import Unavailable
from fondaco.inventory.lines import looks_like_a_key, mask, pattern, read_lines
from fondaco.inventory.model import unit_binding, upload_binding
from fondaco.vault import DataKey, Vault, VaultSealBroken

TRIES = 5
CHUNK = 2_000
KEPT_PROBLEMS = 10_000
_GAVE_UP = "The import did not finish in five tries. Nothing was imported; hand the keys in again."
_BROKEN = "The stored upload cannot be opened. Nothing was imported; hand the keys in again."
log = structlog.get_logger()


@dataclass(slots=True)
class _Unit:
    """A good line on its way into stock."""

    fingerprint: bytes
    id: UUID
    sealed: bytes
    line: int
    mask: str


@dataclass(slots=True)
class _Report:
    """What became of the lines."""

    imported: int = 0
    malformed: int = 0
    repeated: int = 0
    known_elsewhere: int = 0
    problems: list[tuple[int, str, str]] = field(default_factory=list[tuple[int, str, str]])

    def malformed_line(self, line: int, shown: str) -> None:
        self.malformed += 1
        self.problems.append((line, "malformed", shown))

    def repeated_line(self, line: int, shown: str) -> None:
        self.repeated += 1
        self.problems.append((line, "repeated", shown))


@dataclass(slots=True)
class _Check:
    """Sorts lines into units, sealed at once, and problems."""

    vault: Vault
    key: DataKey
    expected: re.Pattern[str] | None
    units: dict[bytes, _Unit] = field(default_factory=dict[bytes, _Unit])
    report: _Report = field(default_factory=_Report)

    def take(self, lines: Sequence[tuple[int, str]]) -> None:
        """Runs beside the event loop."""
        for number, text in lines:
            if not looks_like_a_key(text, self.expected):
                self.report.malformed_line(number, mask(text))
                continue
            fingerprint = self.vault.fingerprint(text)
            if fingerprint in self.units:
                self.report.repeated_line(number, mask(text))
                continue
            unit_id = uuid4()
            sealed = self.vault.seal(self.key, text.encode(), unit_binding(unit_id))
            self.units[fingerprint] = _Unit(fingerprint, unit_id, sealed, number, mask(text))


async def import_batch(db: Database, vault: Vault, batch_id: UUID) -> None:
    """Import a batch that is RECEIVED or IMPORTING; any other is left as it is.

    Raises what went wrong while tries are left, so that the queue runs it again; then closes it as FAILED.
    """
    claimed = await _claim(db, batch_id)
    if claimed is None:
        return
    try:
        if failpoints.armed:
            await failpoints.reached("stock.import.after_claim")
        await _import(db, vault, claimed)
    except VaultSealBroken:
        await _fail(db, batch_id, _BROKEN)
    except Exception as error:
        if claimed["attempts"] < TRIES:
            raise
        log.error("import_gave_up", batch=str(batch_id), error=type(error).__name__)
        await _fail(db, batch_id, _GAVE_UP)


async def _claim(db: Database, batch_id: UUID) -> Record | None:
    """Mark the batch as being imported; None when there is nothing to do."""
    async with db.transaction(SYSTEM) as conn:
        found = await conn.fetchrow(
            """UPDATE inventory.stock_batch b SET state = 'IMPORTING', attempts = b.attempts + 1, done = 0,
                 touched_at = now()
               FROM catalog.listing l WHERE l.id = b.listing_id AND b.id = $1
                 AND b.state IN ('RECEIVED', 'IMPORTING') AND b.attempts < $2
               RETURNING b.id, b.seller_id, b.listing_id, b.source, b.upload_key, b.upload, b.unit_key,
                 b.lines, b.attempts, b.created_by, l.key_format""",
            batch_id,
            TRIES,
        )
    if found is None:
        await _fail(db, batch_id, _GAVE_UP)  # only when it is still open: every try was cut off
    return found


async def _fail(db: Database, batch_id: UUID, words: str) -> None:
    """Close the batch as failed, if it is open; the upload is wiped."""
    async with db.transaction(SYSTEM) as conn:
        row = await conn.fetchrow(
            """UPDATE inventory.stock_batch SET state = 'FAILED', failure = $2, upload = NULL,
                 upload_key = NULL, closed_at = clock_timestamp()
               WHERE id = $1 AND state IN ('RECEIVED', 'IMPORTING')
               RETURNING seller_id, listing_id, created_by""",
            batch_id,
            words,
        )
        if row:
            await record(
                conn,
                "batch.failed",
                f"batch:{batch_id}",
                "system",
                {
                    "seller_id": str(row["seller_id"]),
                    "listing_id": str(row["listing_id"]),
                    "created_by": row["created_by"],
                    "reason": words,
                },
            )


async def _import(db: Database, vault: Vault, batch: Record) -> None:
    async with db.transaction(SYSTEM) as conn:
        upload_key = await vault.key(conn, batch["upload_key"])
        unit_key = await vault.key(conn, batch["unit_key"])
    lines = await asyncio.to_thread(_open_upload, vault, upload_key, batch)
    check = _Check(vault, unit_key, pattern(batch["key_format"]))
    for begin in range(0, len(lines), CHUNK):
        chunk = lines[begin : begin + CHUNK]
        await asyncio.to_thread(check.take, chunk)
        await _progress(db, batch, (begin + len(chunk)) // 2)  # the other half is putting them into stock
    del lines
    ordered = sorted(check.units.values(), key=lambda unit: unit.fingerprint)
    check.units.clear()
    async with db.transaction(SYSTEM) as conn:
        # Waiting for another import of the same keys is right; it may take as long as that one does.
        await conn.execute("SET LOCAL lock_timeout = '120s'; SET LOCAL statement_timeout = '180s'")
        if await _is_mine(conn, batch["id"]):
            await _store(db, conn, batch, ordered, check.report)


def _open_upload(vault: Vault, key: DataKey, batch: Record) -> list[tuple[int, str]]:
    secret = vault.unseal(key, batch["upload"], upload_binding(batch["id"]))
    return read_lines(secret.reveal(), batch["source"])


async def _progress(db: Database, batch: Record, done: int) -> None:
    """Tell how far it is, on a connection of its own. Nothing depends on it."""
    with contextlib.suppress(Unavailable):
        await db.execute(
            SYSTEM,
            """UPDATE inventory.stock_batch SET done = $2, touched_at = now()
               WHERE id = $1 AND state = 'IMPORTING'""",
            batch["id"],
            done,
        )


async def _is_mine(conn: Connection, batch_id: UUID) -> bool:
    """Whether this transaction may store the batch: nobody else is at it, and it is not done."""
    if not await conn.fetchval(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('import:' || $1, 0))", str(batch_id)
    ):
        return False
    state = await conn.fetchval("SELECT state FROM inventory.stock_batch WHERE id = $1", batch_id)
    return state == "IMPORTING"


async def _store(
    db: Database, conn: Connection, batch: Record, units: Sequence[_Unit], report: _Report
) -> None:
    state = "AVAILABLE"
    if risk.limits("seller", await risk.tier(conn, f"seller:{batch['seller_id']}")).quarantine:
        state = "QUARANTINED"
    for begin in range(0, len(units), CHUNK):
        chunk = units[begin : begin + CHUNK]
        await _insert(conn, batch, chunk, report, state)
        if failpoints.armed:
            await failpoints.reached("stock.import.mid_batch", conn)
        share = (begin + len(chunk)) * batch["lines"] // (2 * len(units))
        await _progress(db, batch, batch["lines"] // 2 + share)
    kept = sorted(report.problems)[:KEPT_PROBLEMS]
    await conn.execute(
        """INSERT INTO inventory.batch_problem (batch_id, seller_id, line, problem, mask)
           SELECT $1, $2, * FROM unnest($3::int[], $4::text[], $5::text[])""",
        batch["id"],
        batch["seller_id"],
        *([p[i] for p in kept] for i in range(3)),
    )
    await _close(conn, batch, report)


async def _insert(
    conn: Connection, batch: Record, units: Sequence[_Unit], report: _Report, state: str
) -> None:
    """Put units into stock; those whose fingerprint is taken are told apart by whose it is."""
    rows = await conn.fetch(
        """INSERT INTO inventory.stock_unit
             (id, seller_id, listing_id, batch_id, state, fingerprint, key_id, sealed)
           SELECT u.id, $1, $2, $3, $8, u.fingerprint, $4, u.sealed
           FROM unnest($5::uuid[], $6::bytea[], $7::bytea[]) AS u(id, fingerprint, sealed)
           ON CONFLICT (fingerprint) DO NOTHING RETURNING id""",
        batch["seller_id"],
        batch["listing_id"],
        batch["id"],
        batch["unit_key"],
        [u.id for u in units],
        [u.fingerprint for u in units],
        [u.sealed for u in units],
        state,
    )
    report.imported += len(rows)
    if len(rows) == len(units):
        return
    stored = {row["id"] for row in rows}
    taken = {u.fingerprint: u for u in units if u.id not in stored}
    own = await conn.fetch(
        "SELECT fingerprint FROM inventory.stock_unit WHERE fingerprint = ANY($1) AND seller_id = $2",
        list(taken),
        batch["seller_id"],
    )
    for row in own:
        unit = taken.pop(row["fingerprint"])
        report.repeated_line(unit.line, unit.mask)
    report.known_elsewhere += len(taken)


async def _close(conn: Connection, batch: Record, report: _Report) -> None:
    if report.imported:
        await conn.execute("SELECT inventory.refresh_in_stock($1)", batch["listing_id"])
    counts = {
        "imported": report.imported,
        "malformed": report.malformed,
        "repeated": report.repeated,
        "known_elsewhere": report.known_elsewhere,
    }
    await conn.execute(
        """UPDATE inventory.stock_batch SET state = 'CLOSED', done = lines, imported = $2, malformed = $3,
             repeated = $4, known_elsewhere = $5, upload = NULL, upload_key = NULL,
             closed_at = clock_timestamp()
           WHERE id = $1""",
        batch["id"],
        *counts.values(),
    )
    await record(
        conn,
        "batch.closed",
        f"batch:{batch['id']}",
        "system",
        {
            "seller_id": str(batch["seller_id"]),
            "listing_id": str(batch["listing_id"]),
            "created_by": batch["created_by"],
            **counts,
        },
    )
