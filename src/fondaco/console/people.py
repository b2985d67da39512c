"""People as the desks see them: users, what they bought and hold, their roles."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from fondaco.catalog.keyset import Keyset, checked_limit
from fondaco.console.model import Membership, Person, PersonRow
from fondaco.core.db import Connection, Database, Record
from fondaco.core.pagination import Cursors, Page
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.orders.reads import pattern

PERSON_STATES = {"verified": "Address proved", "unverified": "Not proved yet", "closed": "Closed"}
_NEWEST = Keyset("console-people", (("created_at", "u.created_at", "timestamptz"), ("id", "u.id", "uuid")))
_COLUMNS = """u.id, u.email, u.name, u.country, u.email_verified_at IS NOT NULL AS verified, u.staff_role,
  (SELECT count(*) FROM identity.membership m WHERE m.user_id = u.id)::int AS stores,
  u.banned_at AS closed_at, u.created_at"""
_ONE = f"SELECT {_COLUMNS}, u.totp_confirmed_at IS NOT NULL AS second_factor FROM identity.users u"


async def list_people(
    db: Database,
    viewer: Viewer,
    cursors: Cursors,
    *,
    q: str = "",
    roles: Sequence[str] = (),
    states: Sequence[str] = (),
    limit: int = 50,
    cursor: str | None = None,
) -> Page[PersonRow]:
    """Users, newest first. `q`: part of an address or name; `roles`: staff roles or 'seller'; `states`: of
    PERSON_STATES. Raises Invalid, BadCursor."""
    args: list[Any] = [pattern(q), list(roles) or None, list(states) or None]
    start = _NEWEST.start(cursors, cursor, args)
    rows = await db.fetch(
        viewer.as_staff,
        f"""SELECT {_COLUMNS} FROM identity.users u
            WHERE ($1 = '' OR u.email ILIKE $1 OR u.name ILIKE $1)
              AND ($2::text[] IS NULL OR u.staff_role = ANY ($2) OR ('seller' = ANY ($2) AND EXISTS (
                SELECT 1 FROM identity.membership m WHERE m.user_id = u.id)))
              AND ($3::text[] IS NULL OR CASE WHEN u.banned_at IS NOT NULL THEN 'closed'
                WHEN u.email_verified_at IS NULL THEN 'unverified' ELSE 'verified' END = ANY ($3))
              {start.condition}
            ORDER BY {start.order} LIMIT {checked_limit(limit) + 1}""",
        *args,
    )
    return start.page(rows, limit, _row)


async def person_row(db: Database, viewer: Viewer, user_id: UUID) -> tuple[PersonRow, bool]:
    """One user, and whether they have a second factor; raises NotFound."""
    row = await db.fetchrow(viewer.as_staff, f"{_ONE} WHERE u.id = $1", user_id)
    if row is None:
        raise NotFound()
    return _row(row), row["second_factor"]


async def person(db: Database, viewer: Viewer, user_id: UUID, currency: str) -> Person:
    """One user with sessions, stores, wallet (in `currency`) and purchases; raises NotFound."""
    async with db.transaction(viewer.as_staff) as conn:
        row = await conn.fetchrow(f"{_ONE} WHERE u.id = $1", user_id)
        if row is None:
            raise NotFound()
        sessions = await conn.fetchrow(
            """SELECT count(*)::int AS n, max(last_seen_at) AS seen FROM identity.sessions
               WHERE user_id = $1 AND expires_at > now() AND last_seen_at > now() - interval '24 hours'""",
            user_id,
        )
        teams = await conn.fetch(
            """SELECT m.seller_id, s.name AS store, m.role FROM identity.membership m
               JOIN sellers.seller s ON s.id = m.seller_id WHERE m.user_id = $1 ORDER BY s.name""",
            user_id,
        )
        money = await _money(conn, user_id, currency)
    assert sessions
    return Person(
        row=_row(row),
        second_factor=row["second_factor"],
        sessions=sessions["n"],
        last_seen_at=sessions["seen"],
        memberships=[msgspec.convert(dict(t), Membership) for t in teams],
        wallet=money["wallet"],
        currency=currency,
        wallet_account=money["account"],
        orders=money["orders"],
        spent=money["spent"],
    )


async def _money(conn: Connection, user_id: UUID, currency: str) -> Record:
    row = await conn.fetchrow(
        """SELECT w.account, coalesce(w.amount, 0)::bigint AS wallet, b.orders, b.spent
           FROM (SELECT count(*)::int AS orders,
                   coalesce(sum(total) FILTER (WHERE paid_at IS NOT NULL), 0)::bigint AS spent
                 FROM orders.orders WHERE buyer_id = $1 AND currency = $2) b
           LEFT JOIN (SELECT a.id AS account, sum(l.amount) AS amount FROM ledger.account a
                      JOIN ledger.balance l ON l.account_id = a.id
                      WHERE a.kind = 'wallet' AND a.owner = 'user:' || $1::uuid AND a.currency = $2
                      GROUP BY a.id) w ON true""",
        user_id,
        currency,
    )
    assert row
    return row


def _row(row: Record) -> PersonRow:
    return msgspec.convert({name: row[name] for name in PersonRow.__struct_fields__}, PersonRow)
