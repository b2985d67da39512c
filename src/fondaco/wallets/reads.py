"""What people read of fundings, refunds and wallets. The viewer is in the WHERE clause."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from fondaco.core.db import Database, Record, Scope
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.ledger import statement, wallet_of
from fondaco.wallets.model import Funding, Refund

COLUMNS = """id, user_id, purpose, group_id, amount, currency, state, session_id, session_url, intent_id,
  charge_id, refunded, refund_pending, failure, created_at, expires_at, succeeded_at"""
_REFUND = """id, funding_id, user_id, amount, currency, reason, state, provider_id, attempt, failure,
  created_at, done_at"""


class WalletEntry(msgspec.Struct, frozen=True):
    """One move of a wallet: `amount` above zero came in, below went out; minor units."""

    number: int
    """Counts the wallet's moves from 1."""
    journal_id: int
    kind: str
    """top_up, purchase, refund_line, refund_intent, refund_failed, refund_late_failure, reversal."""
    ref: str
    """What it was for: 'funding:<id>', 'order:<id>', 'refund:<id>'."""
    amount: int
    balance_after: int
    at: datetime


def _one(row: Record | None) -> Funding:
    if row is None:
        raise NotFound()
    return msgspec.convert(dict(row), Funding)


async def read_funding(db: Database, scope: Scope, funding_id: UUID) -> Funding:
    """A funding in this scope; raises NotFound."""
    return _one(await db.fetchrow(scope, f"SELECT {COLUMNS} FROM wallets.funding WHERE id = $1", funding_id))


async def own_funding(db: Database, viewer: Viewer, funding_id: UUID) -> Funding:
    """The viewer's own funding; raises NotFound."""
    sql = f"SELECT {COLUMNS} FROM wallets.funding WHERE id = $1 AND user_id = $2"
    return _one(await db.fetchrow(viewer.as_user, sql, funding_id, viewer.user()))


async def own_fundings(db: Database, viewer: Viewer, ids: Sequence[UUID]) -> dict[UUID, Funding]:
    """Those of these fundings that are the viewer's, by id."""
    rows = await db.fetch(
        viewer.as_user,
        f"SELECT {COLUMNS} FROM wallets.funding WHERE id = ANY ($1) AND user_id = $2",
        list(ids),
        viewer.user(),
    )
    return {r["id"]: _one(r) for r in rows}


async def own_top_ups(
    db: Database, viewer: Viewer, *, before: tuple[datetime, UUID] | None = None, limit: int = 50
) -> list[Funding]:
    """The viewer's wallet top-ups, newest first; `before`: created_at and id the last page ended with."""
    return await list_fundings(
        db, viewer.as_user, user_id=viewer.user(), purpose="top_up", before=before, limit=limit
    )


async def list_fundings(
    db: Database,
    scope: Scope,
    *,
    user_id: UUID | None = None,
    purpose: str | None = None,
    states: Sequence[str] | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[Funding]:
    """Fundings in this scope, newest first."""
    rows = await db.fetch(
        scope,
        f"""SELECT {COLUMNS} FROM wallets.funding
            WHERE ($1::uuid IS NULL OR user_id = $1) AND ($2::text IS NULL OR purpose = $2)
              AND ($3::text[] IS NULL OR state = ANY ($3))
              AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5))
            ORDER BY created_at DESC, id DESC LIMIT $6""",
        user_id,
        purpose,
        list(states) if states else None,
        *(before or (None, None)),
        limit,
    )
    return msgspec.convert([dict(r) for r in rows], list[Funding])


async def fundings_of_group(db: Database, scope: Scope, group_id: UUID) -> list[Funding]:
    """The card payments of an order group, oldest first."""
    rows = await db.fetch(
        scope,
        f"SELECT {COLUMNS} FROM wallets.funding WHERE group_id = $1 ORDER BY created_at, id",
        group_id,
    )
    return msgspec.convert([dict(r) for r in rows], list[Funding])


async def refunds_of(db: Database, scope: Scope, funding_id: UUID) -> list[Refund]:
    """The refunds of a funding, oldest first."""
    rows = await db.fetch(
        scope,
        f"SELECT {_REFUND} FROM wallets.refund WHERE funding_id = $1 ORDER BY created_at, id",
        funding_id,
    )
    return msgspec.convert([dict(r) for r in rows], list[Refund])


async def list_refunds(
    db: Database,
    scope: Scope,
    *,
    states: Sequence[str] | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[Refund]:
    """Refunds in this scope, newest first."""
    rows = await db.fetch(
        scope,
        f"""SELECT {_REFUND} FROM wallets.refund
            WHERE ($1::text[] IS NULL OR state = ANY ($1))
              AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
            ORDER BY created_at DESC, id DESC LIMIT $4""",
        list(states) if states else None,
        *(before or (None, None)),
        limit,
    )
    return msgspec.convert([dict(r) for r in rows], list[Refund])


async def wallet_entries(
    db: Database, viewer: Viewer, currency: str, *, before: int | None = None, limit: int = 50
) -> list[WalletEntry]:
    """The moves of the viewer's own wallet, newest first; `before`: the number the last page ended with."""
    lines = await statement(
        db, viewer.as_user, wallet_of(viewer.user(), currency), before=before, limit=limit
    )
    return [
        WalletEntry(e.version, e.journal_id, e.kind, e.ref, e.amount, e.balance_after, e.posted_at)
        for e in lines
    ]


def cursor_of(found: Funding | Refund) -> list[Any]:
    """Where a page of fundings or refunds ended."""
    return [found.created_at.isoformat(), str(found.id)]


def place_of(cursor: Sequence[Any]) -> tuple[datetime, UUID]:
    """The reverse of `cursor_of`."""
    return datetime.fromisoformat(cursor[0]), UUID(cursor[1])
