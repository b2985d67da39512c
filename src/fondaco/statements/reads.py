"""What people read of papers: their own, a store's, and for staff everybody's."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core.db import Connection, Database, Record, Scope
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.statements.issuing import read
from fondaco.statements.model import Paper, PaperRow

_NEWEST = Keyset("papers", (("issued_at", "p.issued_at", "timestamptz"), ("id", "p.id", "uuid")))
_COLUMNS = "p.id, p.kind, p.number, p.ref, p.order_id, p.currency, p.total, p.period, p.issued_at"


async def _page(
    db: Database,
    scope: Scope,
    cursors: Cursors,
    owner: tuple[str, UUID] | None,
    *,
    q: str,
    kinds: Sequence[str],
    limit: int,
    cursor: str | None,
) -> Page[PaperRow]:
    args: list[Any] = [owner[1] if owner else None, list(kinds) or None, q.strip().upper()[:40]]
    whose = f"p.{owner[0]} = $1" if owner else "$1::uuid IS NULL"
    start = _NEWEST.start(cursors, cursor, args)
    rows = await db.fetch(
        scope,
        f"""SELECT {_COLUMNS} FROM statements.paper p
            WHERE {whose} AND ($2::text[] IS NULL OR p.kind = ANY ($2)) AND ($3 = '' OR p.number = $3)
              {start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), PaperRow))


async def own_papers(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    kinds: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[PaperRow]:
    """The buyer's papers, newest first. `q`: a whole number."""
    owner = ("buyer_id", viewer.user())
    return await _page(db, viewer.as_user, cursors, owner, q=q, kinds=kinds, limit=limit, cursor=cursor)


async def store_papers(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    kinds: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[PaperRow]:
    """The store's papers, newest first. `q`: a whole number."""
    owner = ("seller_id", viewer.seller())
    return await _page(db, viewer.as_seller, cursors, owner, q=q, kinds=kinds, limit=limit, cursor=cursor)


async def all_papers(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    kinds: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[PaperRow]:
    """Everybody's papers, newest first, for staff. `q`: a whole number."""
    return await _page(db, viewer.as_staff, cursors, None, q=q, kinds=kinds, limit=limit, cursor=cursor)


async def own_paper(db: Database, viewer: Viewer, paper_id: UUID) -> Paper:
    """One of the buyer's papers. Raises NotFound."""
    return await _paper(db, viewer.as_user, "p.id = $1 AND p.buyer_id = $2", paper_id, viewer.user())


async def store_paper(db: Database, viewer: Viewer, paper_id: UUID) -> Paper:
    """One of the store's papers. Raises NotFound."""
    return await _paper(db, viewer.as_seller, "p.id = $1 AND p.seller_id = $2", paper_id, viewer.seller())


async def any_paper(db: Database, viewer: Viewer, paper_id: UUID) -> Paper:
    """Any paper, for staff. Raises NotFound."""
    return await _paper(db, viewer.as_staff, "p.id = $1", paper_id)


async def _paper(db: Database, scope: Scope, where: str, *args: Any) -> Paper:
    row = await db.fetchrow(
        scope, f"SELECT {_COLUMNS}, p.content, p.hash FROM statements.paper p WHERE {where}", *args
    )
    if row is None:
        raise NotFound()
    return _read(row)


def _read(row: Record) -> Paper:
    known = {k: row[k] for k in ("id", "kind", "number", "ref", "currency", "total", "issued_at")}
    return Paper(**known, sha256=row["hash"].hex(), content=read(row["content"]))


async def papers_of_order(db: Database, viewer: Viewer, order_id: UUID) -> list[PaperRow]:
    """The buyer's papers about one order, oldest first."""
    rows = await db.fetch(
        viewer.as_user,
        f"""SELECT {_COLUMNS} FROM statements.paper p WHERE p.buyer_id = $1 AND p.order_id = $2
            ORDER BY p.issued_at, p.id LIMIT 100""",
        viewer.user(),
        order_id,
    )
    return msgspec.convert([dict(r) for r in rows], list[PaperRow])


async def wrong_papers(conn: Connection, after: UUID | None, limit: int) -> tuple[list[str], UUID | None]:
    """Of the next `limit` papers in order of their ids those whose content, hash and row do not agree, in
    words; and the last id looked at (None: no more)."""
    rows = await conn.fetch(
        f"""SELECT {_COLUMNS}, p.content, p.hash = sha256(convert_to(p.content, 'UTF8')) AS whole
            FROM statements.paper p WHERE $1::uuid IS NULL OR p.id > $1 ORDER BY p.id LIMIT $2""",
        after,
        limit,
    )
    faults: list[str] = []
    for row in rows:
        content = read(row["content"])
        same = (content.number, content.kind, content.currency) == (
            row["number"],
            row["kind"],
            row["currency"],
        )
        if not (
            row["whole"] and same and content.adds_up() and content.totals[-1].amounts[-1] == row["total"]
        ):
            faults.append(f"Paper {row['number']} is not what was issued.")
    return faults, rows[-1]["id"] if rows else None
