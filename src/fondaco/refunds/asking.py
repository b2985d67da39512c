"""What a buyer does by themselves: giving back what was not opened, and saying that a key does not work."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fondaco import approvals, audit, orders
from fondaco.core.clock import now
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.problem import NotFound
from fondaco.core.viewer import Viewer
from fondaco.refunds.actions import refund_line
from fondaco.refunds.model import (
    AlreadyReported,
    AlreadyRevealed,
    FrozenByCase,
    NotRefundable,
    NotReplaceable,
    NotRevealed,
    RefundWindowOver,
    ReportWindowOver,
)
from fondaco.settings import Settings


@dataclass(frozen=True, slots=True)
class Return:
    """What a buyer could give back of a line now: how many of its units, and the money (minor units)."""

    line_id: UUID
    order_id: UUID
    group_id: UUID
    title: str
    units: int
    of: int
    amount: int
    currency: str
    entitlements: tuple[UUID, ...]


async def returnable(db: Database, viewer: Viewer, line_id: UUID) -> Return:
    """What the viewer can give back by themselves of a line of theirs: all units nobody has opened.

    Raises NotFound, RefundWindowOver, FrozenByCase, NotRefundable, AlreadyRevealed.
    """
    async with db.transaction(viewer.as_user) as conn:
        line = await conn.fetchrow(
            """SELECT l.*, o.group_id FROM orders.order_line l JOIN orders.orders o ON o.id = l.order_id
               WHERE l.id = $1 AND l.buyer_id = $2""",
            line_id,
            viewer.user(),
        )
        if line is None:
            raise NotFound()
        things = await conn.fetch(
            "SELECT id, revealed_at FROM delivery.entitlement WHERE line_id = $1 AND revoked_at IS NULL "
            "ORDER BY id",
            line_id,
        )
    until = orders.refund_until(line["terms"], line["delivered_at"])
    if line["escrow_state"] == "FROZEN":
        raise FrozenByCase()
    if line["delivery_state"] != "DELIVERED":
        raise NotRefundable()
    if line["escrow_state"] != "HELD" or until is None or until <= now():
        raise RefundWindowOver()
    unseen = tuple(t["id"] for t in things if t["revealed_at"] is None)
    if not unseen:
        raise AlreadyRevealed()
    return _offer(line, unseen, len(things))


def _offer(line: Record, unseen: tuple[UUID, ...], there: int) -> Return:
    left = line["total"] - line["refunded"]
    amount = left if len(unseen) == there else min(left, line["unit_price"] * len(unseen))
    return Return(
        line_id=line["id"],
        order_id=line["order_id"],
        group_id=line["group_id"],
        title=line["terms"]["title"],
        units=len(unseen),
        of=there,
        amount=amount,
        currency=line["currency"],
        entitlements=unseen,
    )


async def give_back(db: Database, viewer: Viewer, line_id: UUID) -> Return:
    """The viewer gives back what they have not opened of a line; the money is in their wallet at once.

    Raises what `returnable` and `refund_line` raise. A key opened at the same moment stays theirs.
    """
    offer = await returnable(db, viewer, line_id)

    async def work(conn: Connection) -> None:
        await refund_line(
            conn,
            line_id,
            offer.amount,
            reason="changed_mind",
            why="Given back unopened",
            actor=viewer.actor,
            entitlements=offer.entitlements,
            unseen=True,
        )

    await db.run(SYSTEM, work)
    return offer


async def report_bad_key(
    db: Database, viewer: Viewer, settings: Settings, entitlement_id: UUID, why: str
) -> UUID:
    """The viewer says that a key of theirs does not work; returns the report's id.

    The seller replaces it, gives the money back or says why not within `report_hours`; who says nothing gives
    the money back. Raises NotFound, Invalid, NotReplaceable, NotRevealed, ReportWindowOver, AlreadyReported,
    FrozenByCase.
    """
    words = approvals.said(why, "why", least=3)

    async def work(conn: Connection) -> UUID:
        one = await conn.fetchrow(
            """SELECT e.*, l.delivered_at AS bought_at, l.escrow_state, l.delivery_state
               FROM delivery.entitlement e JOIN orders.order_line l ON l.id = e.line_id
               WHERE e.id = $1 AND e.buyer_id = $2""",
            entitlement_id,
            viewer.user(),
        )
        if one is None:
            raise NotFound()
        _may_report(one, settings)
        report_id = uuid7()
        made = await conn.execute(
            """INSERT INTO refunds.report (id, entitlement_id, line_id, order_id, buyer_id, seller_id, why,
                 state, due_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 'OPEN', now() + make_interval(hours => $8))
               ON CONFLICT (entitlement_id) DO NOTHING""",
            report_id,
            entitlement_id,
            one["line_id"],
            one["order_id"],
            viewer.user(),
            one["seller_id"],
            words,
            settings.report_hours,
        )
        if made == "INSERT 0 0":
            raise AlreadyReported()
        data = {
            "line_id": str(one["line_id"]),
            "report_id": str(report_id),
            "entitlement_id": str(entitlement_id),
            "buyer_id": str(viewer.user()),
            "seller_id": str(one["seller_id"]),
        }
        await audit.record(conn, "line.bad_code", f"order:{one['order_id']}", viewer.actor, data)
        return report_id

    return await db.run(viewer.as_user, work)


def _may_report(one: Record, settings: Settings) -> None:
    if one["unit_id"] is None or one["revoked_at"] or one["delivery_state"] != "DELIVERED":
        raise NotReplaceable()
    if one["escrow_state"] == "FROZEN":
        raise FrozenByCase()
    if one["revealed_at"] is None:
        raise NotRevealed()
    if one["delivered_at"] + timedelta(days=settings.replacement_days) <= now():
        raise ReportWindowOver()
