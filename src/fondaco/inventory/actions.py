"""A seller's verbs on its stock: handing in, looking, taking out. None of them gives a key back."""

import asyncio
import csv
import io
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fondaco.audit import record
from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core import counting
from fondaco.core.db import Connection, Database, Record, throttle
from fondaco.core.ids import uuid7
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import Conflict, Invalid, NotFound, TooMany
from fondaco.core.queue import defer
from fondaco.core.viewer import Viewer
from fondaco.inventory.lines import read_lines
from fondaco.inventory.model import (
    SOURCES,
    Batch,
    BatchProblem,
    LowStock,
    StockCounts,
    upload_binding,
)
from fondaco.vault import Vault

IMPORT_TASK = "inventory.import_batch"
_UPLOADS, _WINDOW_S = 300, 600  # per store
_COLUMNS = """b.id, b.listing_id, l.title AS listing_title, b.source, b.state, b.lines, b.done, b.imported,
  b.malformed, b.repeated, b.known_elsewhere, b.failure, b.created_at, b.closed_at"""
_FROM = "FROM inventory.stock_batch b JOIN catalog.listing l ON l.id = b.listing_id"
_NEWEST = Keyset("batches", (("created_at", "b.created_at", "timestamptz"), ("id", "b.id", "uuid")))
_BY_LINE = Keyset("batch-problems", (("line", "p.line", "int"),), down=False)
_WORDS = {
    "malformed": "Not in the listing's key format",
    "repeated": "Twice in this upload, or already in your stock",
}


class _TakenBefore(Exception):
    """This batch is there."""


async def receive(
    db: Database,
    vault: Vault,
    viewer: Viewer,
    listing_id: UUID,
    *,
    source: str,
    content: str | bytes,
    batch_id: UUID | None = None,
) -> Batch:
    """Take an upload of keys (`source` paste, csv or api); a worker imports it whole or not at all.
    `batch_id`: the caller's own new id; asked again with it, nothing more happens.

    At most 20 MB and 200,000 keys. Kept sealed until it is imported. Raises Invalid (field `keys`),
    NotFound, Conflict for an archived listing, TooMany.
    """
    if source not in SOURCES:
        raise Invalid(fields={"source": f"Must be one of: {', '.join(SOURCES)}."})
    raw = _bytes(content)
    lines = len(await asyncio.to_thread(read_lines, raw, source))
    batch_id = batch_id or uuid7()
    try:
        return await _receive(db, vault, viewer, listing_id, source, raw, lines, batch_id)
    except _TakenBefore:
        found = await batch(db, viewer, batch_id)
        if found.listing_id != listing_id:
            raise Conflict("This was sent before, for another listing.") from None
        return found


async def _receive(  # noqa: PLR0917 - in the order they are written
    db: Database, vault: Vault, viewer: Viewer, listing_id: UUID, source: str, raw: bytes, lines: int,
    batch_id: UUID,
) -> Batch:  # fmt: skip
    async with db.transaction(viewer.as_seller) as conn:
        if wait := await throttle(conn, f"stock:{viewer.seller()}", _UPLOADS, _WINDOW_S):
            raise TooMany(retry_after=wait)
        kind, state = await _listing(conn, viewer, listing_id)
        if state == "ARCHIVED":
            raise Conflict("This listing is archived. Duplicate it to sell it again.")
        if kind != "stocked_secret":
            raise Conflict("An article has no keys: write its content and say how many copies are for sale.")
        upload_key = await vault.new_key(conn, "upload")
        unit_key = await vault.new_key(conn, "stock")
        made: str = await conn.execute(
            """INSERT INTO inventory.stock_batch (id, seller_id, listing_id, source, state, upload_key,
                 upload, unit_key, lines, created_by)
               VALUES ($1, $2, $3, $4, 'RECEIVED', $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING""",
            batch_id,
            viewer.seller(),
            listing_id,
            source,
            upload_key.id,
            vault.seal(upload_key, raw, upload_binding(batch_id)),
            unit_key.id,
            lines,
            viewer.actor,
        )
        if made == "INSERT 0 0":
            raise _TakenBefore
        await record(
            conn,
            "batch.received",
            f"batch:{batch_id}",
            viewer.actor,
            {"listing_id": str(listing_id), "lines": lines, "source": source},
        )
        await enqueue(conn, batch_id, viewer.seller())
        return await _batch(conn, viewer, batch_id)


def _bytes(content: str | bytes) -> bytes:
    try:
        return content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as error:
        raise Invalid(fields={"keys": "Contains signs that are no text."}) from error


async def enqueue(conn: Connection, batch_id: UUID, seller_id: UUID) -> None:
    """Ask a worker to import a batch; one store's batches are imported one after another."""
    await defer(
        conn,
        IMPORT_TASK,
        {"batch": str(batch_id)},
        lock=f"import:{seller_id}",
        queueing_lock=f"import:{batch_id}",
    )


async def _listing(conn: Connection, viewer: Viewer, listing_id: UUID) -> tuple[str, str]:
    """Kind and state of a listing of the viewer's store; raises NotFound."""
    row = await conn.fetchrow(
        "SELECT kind, state FROM catalog.listing WHERE id = $1 AND seller_id = $2",
        listing_id,
        viewer.seller(),
    )
    if row is None:
        raise NotFound()
    return row["kind"], row["state"]


async def _batch(conn: Connection, viewer: Viewer, batch_id: UUID) -> Batch:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} {_FROM} WHERE b.id = $1 AND b.seller_id = $2", batch_id, viewer.seller()
    )
    if row is None:
        raise NotFound()
    return _batch_row(row)


def _batch_row(row: Record) -> Batch:
    return Batch(**{name: row[name] for name in Batch.__struct_fields__})


async def batch(db: Database, viewer: Viewer, batch_id: UUID) -> Batch:
    """One batch of the viewer's store with its report so far; raises NotFound."""
    async with db.transaction(viewer.as_seller) as conn:
        return await _batch(conn, viewer, batch_id)


async def batches(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    listing_id: UUID | None = None,
    states: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Batch]:
    """The store's batches, newest first."""
    args: list[Any] = [viewer.seller(), listing_id, list(states) or None]
    start = _NEWEST.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_seller,
        f"""SELECT {_COLUMNS} {_FROM} WHERE b.seller_id = $1 AND ($2::uuid IS NULL OR b.listing_id = $2)
              AND ($3::text[] IS NULL OR b.state = ANY($3)){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, _batch_row)


async def batch_problems(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    batch_id: UUID,
    *,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[BatchProblem]:
    """Lines that were not imported, in order (the first 10,000 are kept); raises NotFound."""
    args: list[Any] = [batch_id, viewer.seller()]
    start = _BY_LINE.start(cursors, cursor, args)
    async with db.transaction(viewer.as_seller) as conn:
        await _batch(conn, viewer, batch_id)
        rows = await conn.fetch(
            f"""SELECT p.line, p.problem, p.mask FROM inventory.batch_problem p
                WHERE p.batch_id = $1 AND p.seller_id = $2{start.condition}
                ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
            *args,
        )
    return start.page(rows, limit, lambda r: BatchProblem(r["line"], r["problem"], r["mask"]))


async def problems_csv(db: Database, viewer: Viewer, batch_id: UUID) -> bytes:
    """The problem lines as a CSV file (UTF-8 with mark, safe to open in a spreadsheet); raises NotFound."""
    async with db.transaction(viewer.as_seller) as conn:
        await _batch(conn, viewer, batch_id)
        rows = await conn.fetch(
            """SELECT line, problem, mask FROM inventory.batch_problem
               WHERE batch_id = $1 AND seller_id = $2 ORDER BY line""",
            batch_id,
            viewer.seller(),
        )
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["line", "problem", "key"])
    table.writerows([r["line"], _WORDS[r["problem"]], csv_cell(r["mask"])] for r in rows)
    return out.getvalue().encode("utf-8-sig")


def csv_cell(text: str) -> str:
    """A text cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


async def withdraw(db: Database, viewer: Viewer, listing_id: UUID, n: int | None = None) -> int:
    """Take free units out of sale for good, the latest handed in first; None: all. Returns how many.

    Units in a checkout stay. Raises Invalid, NotFound, Conflict for an article, whose number is set instead.
    """
    if n is not None and (isinstance(n, bool) or not 1 <= n <= 2_000_000):
        raise Invalid(fields={"n": "Must be a whole number from 1."})
    async with db.transaction(viewer.as_seller) as conn:
        kind, _ = await _listing(conn, viewer, listing_id)
        if kind != "stocked_secret":
            raise Conflict("An article has no keys: set how many copies are for sale instead.")
        count: int = await conn.fetchval(
            """WITH gone AS (UPDATE inventory.stock_unit SET state = 'WITHDRAWN' WHERE id IN (
                 SELECT u.id FROM inventory.stock_unit u JOIN inventory.stock_batch b ON b.id = u.batch_id
                 WHERE u.listing_id = $1 AND u.seller_id = $2 AND u.state = 'AVAILABLE'
                 ORDER BY b.created_at DESC, b.id DESC, u.id LIMIT $3 FOR UPDATE OF u SKIP LOCKED)
               RETURNING 1) SELECT count(*) FROM gone""",
            listing_id,
            viewer.seller(),
            n,
        )
        if count:
            await record(conn, "unit.withdrawn", f"listing:{listing_id}", viewer.actor, {"count": count})
            await conn.execute("SELECT inventory.refresh_in_stock($1)", listing_id)
        return count


async def stock_counts(db: Database, viewer: Viewer, listing_id: UUID) -> StockCounts:
    """A listing's units by state, or an article's copies; raises NotFound."""
    async with db.transaction(viewer.as_seller) as conn:
        await _listing(conn, viewer, listing_id)
        rows = await conn.fetch(
            """SELECT state, count(*) AS n FROM inventory.stock_unit
               WHERE listing_id = $1 AND seller_id = $2 GROUP BY state
               UNION ALL SELECT k.state, k.n FROM inventory.counted c, LATERAL (VALUES
                 ('AVAILABLE', c.on_hand::bigint), ('SOLD', c.sold::bigint),
                 ('RESERVED', (SELECT coalesce(sum(h.quantity), 0) FROM inventory.hold h
                               WHERE h.listing_id = c.listing_id))) k (state, n)
               WHERE c.listing_id = $1 AND c.seller_id = $2""",
            listing_id,
            viewer.seller(),
        )
    found = {r["state"]: r["n"] for r in rows}
    return StockCounts(*(found.get(n.upper(), 0) for n in StockCounts.__struct_fields__))


async def available(db: Database, viewer: Viewer, listing_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Free units or copies per listing of the viewer's store, for its lists."""
    rows = await db.fetch(
        viewer.as_seller,
        """SELECT listing_id, count(*) AS n FROM inventory.stock_unit
           WHERE listing_id = ANY($1) AND seller_id = $2 AND state = 'AVAILABLE' GROUP BY listing_id
           UNION ALL SELECT listing_id, on_hand FROM inventory.counted
           WHERE listing_id = ANY($1) AND seller_id = $2""",
        list(listing_ids),
        viewer.seller(),
    )
    found = {r["listing_id"]: r["n"] for r in rows}
    return {i: found.get(i, 0) for i in listing_ids}


async def low_stock(db: Database, viewer: Viewer, *, below: int = 10, limit: int = 50) -> list[LowStock]:
    """The store's listings on sale with fewer than `below` free units or copies, the emptiest first.

    Looked at are its `counting.MOST` best sold."""
    rows = await db.fetch(
        viewer.as_seller,
        f"""SELECT l.id, l.title, u.n FROM (
             SELECT l.id, l.title FROM catalog.listing l WHERE l.seller_id = $1 AND l.state = 'PUBLISHED'
             ORDER BY l.sold DESC, l.id DESC LIMIT {counting.MOST}) l, LATERAL (
             SELECT coalesce((SELECT c.on_hand FROM inventory.counted c WHERE c.listing_id = l.id),
               (SELECT count(*)::int FROM (SELECT 1 FROM inventory.stock_unit u WHERE u.listing_id = l.id
                  AND u.seller_id = $1 AND u.state = 'AVAILABLE' LIMIT $2) few)) AS n) u
           WHERE u.n < $2 ORDER BY u.n, l.title, l.id LIMIT $3""",
        viewer.seller(),
        below,
        limit,
    )
    return [LowStock(r["id"], r["title"], r["n"]) for r in rows]
