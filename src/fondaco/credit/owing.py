"""What a buyer may have on credit, what they owe, and paying it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from fondaco.core.db import Connection, Database, Scope
from fondaco.core.viewer import Viewer
from fondaco.credit.model import NoCreditOwed, NothingToPayWith

MinorUnits = Annotated[int, Meta(description="Minor units of `currency`.")]


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """One purchase on credit."""

    group_id: UUID
    number: Annotated[str, Meta(description="Of the purchase.")]
    state: Annotated[str, Meta(description="OWED, PAID or WRITTEN_OFF.")]
    amount: MinorUnits
    paid: Annotated[int, Meta(description="From the wallet.")]
    refunded: Annotated[int, Meta(description="By refunds, which pay what is owed first.")]
    written_off: int
    owed: Annotated[int, Meta(description="What is left to pay.")]
    currency: str
    taken_at: datetime
    due_at: datetime
    overdue: bool


class Owing(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody owes, and 50 of their purchases on credit: the owed ones first, the soonest due first."""

    owed: Annotated[dict[str, int], Meta(description="Minor units by currency; empty: nothing.")]
    due_at: Annotated[datetime | None, Meta(description="When the first of it is due.")]
    overdue: bool
    credits: list[Credit]


class Offer(msgspec.Struct, frozen=True):
    """Credit that may be had: what is bought now is due then."""

    due_at: datetime
    owed: Annotated[int, Meta(description="What is owed already, minor units.")]


_CREDIT = """SELECT c.group_id, g.number, c.state, c.amount, c.paid, c.refunded, c.written_off, c.owed,
    c.currency::text, c.taken_at, c.due_at, c.state = 'OWED' AND c.due_at <= now() AS overdue
  FROM credit.credit c JOIN orders.order_group g ON g.id = c.group_id"""


async def own_credit(db: Database, viewer: Viewer) -> Owing:
    """What the viewer owes."""
    rows = await db.fetch(
        viewer.as_user,
        f"""SELECT t.*, sum(t.owed) OVER (PARTITION BY t.currency)::bigint AS all_owed FROM ({_CREDIT}
            WHERE c.user_id = $1) t
            ORDER BY t.owed > 0 DESC, CASE WHEN t.owed > 0 THEN t.due_at END, t.taken_at DESC, t.group_id
            LIMIT 50""",
        viewer.user(),
    )
    credits = [msgspec.convert(dict(r), Credit) for r in rows]
    return Owing(
        owed={r["currency"]: r["all_owed"] for r in rows if r["all_owed"]},
        due_at=min((c.due_at for c in credits if c.owed), default=None),
        overdue=any(c.overdue for c in credits),
        credits=credits,
    )


async def credit_of(db: Database, scope: Scope, group_ids: Sequence[UUID]) -> dict[UUID, Credit]:
    """The credit these purchases were made on, as far as `scope` may see it."""
    rows = await db.fetch(scope, f"{_CREDIT} WHERE c.group_id = ANY ($1)", list(group_ids))
    return {r["group_id"]: msgspec.convert(dict(r), Credit) for r in rows}


async def offer(db: Database, viewer: Viewer, currency: str, amount: int) -> Offer | None:
    """Whether the viewer may buy for `amount` minor units on credit; None when not."""
    row = await db.fetchrow(
        viewer.as_user, "SELECT * FROM credit.offer($1, $2, $3)", viewer.user(), currency, amount
    )
    return Offer(row["due_at"], row["owed"]) if row else None


async def settle(conn: Connection, user_id: UUID, currency: str, actor: str = "system") -> int:
    """What the wallet holds pays what its owner owes, in the caller's transaction; answers how much, in minor
    units. To be called where money reached a wallet. Nothing moves from a blocked wallet."""
    paid: int = await conn.fetchval("SELECT credit.settle($1, $2, $3)", user_id, currency, actor)
    return paid


async def pay_now(db: Database, viewer: Viewer) -> Owing:
    """The viewer's wallet pays what they owe as far as it goes; answers what is still owed. Raises
    NoCreditOwed, NothingToPayWith."""
    before = await own_credit(db, viewer)
    if not before.owed:
        raise NoCreditOwed()

    async def work(conn: Connection) -> int:
        return sum([await settle(conn, viewer.user(), c, viewer.actor) for c in sorted(before.owed)])

    if not await db.run(viewer.as_user, work):
        raise NothingToPayWith()
    return await own_credit(db, viewer)
