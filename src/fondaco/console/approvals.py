"""Acts that wait for, or got, a second person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.core.db import Database
from fondaco.core.pagination import Cursors, Page
from fondaco.core.viewer import Viewer
from fondaco.orders.reads import pattern

_OLDEST = Keyset(
    "console-approvals", (("asked_at", "r.asked_at", "timestamptz"), ("id", "r.id", "uuid")), down=False
)
_NEWEST = Keyset("console-approvals-new", (("asked_at", "r.asked_at", "timestamptz"), ("id", "r.id", "uuid")))


class ApprovalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `words`: what happens when it is approved; `asker` and `decider` are addresses."""

    id: UUID
    kind: str
    ref: str
    words: str
    reason: str
    state: str
    asker: str | None
    decider: str | None
    asked_at: datetime
    expires_at: datetime
    decided_at: datetime | None


async def list_approvals(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = ("OPEN",),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[ApprovalRow]:
    """Requests in these states: the open ones by age, oldest first; others newest first. `q`: part of what
    will happen, of the reason or of the asker's address."""
    args: list[Any] = [pattern(q), list(states)]
    order = _OLDEST if tuple(states) == ("OPEN",) else _NEWEST
    start = order.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT r.id, r.kind, r.ref, r.words, r.reason, r.state, a.email AS asker, d.email AS decider,
              r.asked_at, r.expires_at, r.decided_at
            FROM approvals.request r LEFT JOIN identity.users a ON a.id = r.asked_by
            LEFT JOIN identity.users d ON d.id = r.decided_by
            WHERE ($1 = '' OR r.words ILIKE $1 OR r.reason ILIKE $1 OR a.email ILIKE $1)
              AND r.state = ANY ($2){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), ApprovalRow))
