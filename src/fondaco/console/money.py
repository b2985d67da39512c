"""Fundings and refunds as the desks list them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.console.model import FundingRow, RefundRow
from fondaco.core.db import Database
from fondaco.core.pagination import Cursors, Page
from fondaco.core.viewer import Viewer
from fondaco.orders.reads import pattern

FUNDING_STATES = (
    *("CREATED", "PROCESSING", "SUCCEEDED", "FAILED", "EXPIRED", "CANCELED", "PARTIALLY_REFUNDED"),
    *("REFUNDED", "DISPUTED", "CHARGED_BACK"),
)
REFUND_STATES = ("REQUESTED", "SENDING", "UNKNOWN", "PENDING", "SUCCEEDED", "FAILED", "CANCELED")
PURPOSES = {"top_up": "Wallet top-up", "order": "Card payment"}
_FUNDINGS = Keyset(
    "console-fundings", (("created_at", "f.created_at", "timestamptz"), ("id", "f.id", "uuid"))
)
_REFUNDS = Keyset("console-refunds", (("created_at", "r.created_at", "timestamptz"), ("id", "r.id", "uuid")))


async def list_fundings(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    purposes: Sequence[str] = (),
    user_id: UUID | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[FundingRow]:
    """Money on its way in, newest first. `q`: part of an address or purchase number, or a provider's id."""
    args: list[Any] = [pattern(q), q.strip(), list(states) or None, list(purposes) or None, user_id]
    start = _FUNDINGS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT f.id, f.user_id, u.email, f.purpose, f.group_id, g.number AS group_number, f.amount,
              f.currency, f.state, f.refunded, f.refund_pending, f.failure, f.created_at
            FROM wallets.funding f JOIN identity.users u ON u.id = f.user_id
            LEFT JOIN orders.order_group g ON g.id = f.group_id
            WHERE ($1 = '' OR u.email ILIKE $1 OR g.number ILIKE $1 OR f.session_id = $2 OR f.intent_id = $2
                   OR f.charge_id = $2)
              AND ($3::text[] IS NULL OR f.state = ANY ($3)) AND ($4::text[] IS NULL OR f.purpose = ANY ($4))
              AND ($5::uuid IS NULL OR f.user_id = $5){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), FundingRow))


async def list_refunds(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    states: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[RefundRow]:
    """Money on its way back, newest first. `q`: part of an address or reason, or a provider's id."""
    args: list[Any] = [pattern(q), q.strip(), list(states) or None]
    start = _REFUNDS.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT r.id, r.funding_id, r.user_id, u.email, r.amount, r.currency, r.reason, r.state,
              r.provider_id, r.attempt, r.failure, r.created_at, r.done_at
            FROM wallets.refund r JOIN identity.users u ON u.id = r.user_id
            WHERE ($1 = '' OR u.email ILIKE $1 OR r.reason ILIKE $1 OR r.provider_id = $2)
              AND ($3::text[] IS NULL OR r.state = ANY ($3)){start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, lambda r: msgspec.convert(dict(r), RefundRow))
