"""Opening a case: what may be disputed, the evidence kept, the money frozen, in one transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from fondaco import orders, risk
from fondaco.cases.evidence import snapshot
from fondaco.cases.model import (
    OPEN_STATES,
    PICK_UP,
    REASONS,
    WISHES,
    Acting,
    CaseNotNow,
    CaseOpen,
    CaseTooLate,
    said,
)
from fondaco.cases.moving import say, write_event
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import number, uuid7
from fondaco.core.problem import Invalid, NotFound
from fondaco.core.viewer import Viewer
from fondaco.settings import Settings


async def open_case(
    db: Database,
    settings: Settings,
    viewer: Viewer,
    order_id: UUID,
    *,
    reason: str,
    text: str,
    wish: str = "REFUND",
    line_ids: Sequence[UUID] | None = None,
) -> UUID:
    """The buyer opens a case about an order of theirs, or about some of its lines; returns the case's id.

    Money in escrow is frozen; money released up to `case_days` ago can be disputed too. Raises NotFound,
    Invalid, CaseOpen, CaseTooLate, CaseNotNow, risk.TierForbids.
    """
    body = said(text)
    if reason not in REASONS:
        raise Invalid(fields={"reason": "Choose what is wrong."})
    if wish not in WISHES:
        raise Invalid(fields={"wish": "Choose what you would like."})
    window = timedelta(days=settings.case_days)

    async def work(conn: Connection) -> UUID:
        await conn.execute("SELECT pg_advisory_xact_lock(hashtext('cases.buyer:' || $1))", str(viewer.user()))
        await _standing(conn, viewer)
        lines = await _lines(conn, viewer, order_id, line_ids)
        snapshot_id = await snapshot(conn, line_ids=[line["id"] for line in lines])
        if held := [line["id"] for line in lines if line["escrow_state"] == "HELD"]:
            await orders.freeze(conn, held, viewer.actor)
        now = [await _as_it_is(conn, line["id"], window) for line in lines]
        return await _write(conn, viewer, now, snapshot_id, reason=reason, wish=wish, body=body)

    try:
        return await db.run(SYSTEM, work)
    except asyncpg.UniqueViolationError as error:
        if "case_line_open" in str(error):
            raise CaseOpen() from error
        raise


async def _standing(conn: Connection, viewer: Viewer) -> None:
    """Raises TierForbids when the buyer has as many open cases as their standing allows."""
    allowed = risk.limits("user", await risk.tier(conn, f"user:{viewer.user()}")).open_cases
    if allowed is None:
        return
    n = await conn.fetchval(
        "SELECT count(*) FROM cases.case WHERE buyer_id = $1 AND state = ANY ($2)",
        viewer.user(),
        list(OPEN_STATES),
    )
    if n >= allowed:
        raise risk.TierForbids()


async def _lines(
    conn: Connection, viewer: Viewer, order_id: UUID, wanted: Sequence[UUID] | None
) -> list[Record]:
    """The lines of the buyer's order a case may be opened about."""
    rows = await conn.fetch(
        """SELECT l.*, (SELECT max(CASE WHEN k.open THEN 2 WHEN c.decided_at IS NULL THEN 0 ELSE 1 END)
             FROM cases.case_line k JOIN cases.case c ON c.id = k.case_id WHERE k.line_id = l.id) AS before
           FROM orders.order_line l WHERE l.order_id = $1 AND l.buyer_id = $2 ORDER BY l.id""",
        order_id,
        viewer.user(),
    )
    if not rows:
        raise NotFound()
    asked = set(wanted) if wanted else {row["id"] for row in rows}
    if not asked <= {row["id"] for row in rows}:
        raise NotFound()
    chosen = [row for row in rows if row["id"] in asked and row["delivery_state"] == "DELIVERED"]
    if not chosen or (wanted and len(chosen) < len(asked)):
        raise CaseNotNow("A case is about something that was delivered to you.")
    fit = [row for row in chosen if row["before"] is None or row["before"] == 0]
    if len(fit) < len(chosen) and (wanted or not fit):
        if any(row["before"] == 2 for row in chosen):
            raise CaseOpen()
        raise CaseNotNow("There was a case about this already, and it was decided.")
    fit = [row for row in fit if row["refunded"] < row["total"]]
    if not fit or (wanted and len(fit) < len(asked)):
        raise CaseNotNow("The money for this was given back already.")
    return fit


async def _as_it_is(conn: Connection, line_id: UUID, window: timedelta) -> Record:
    """The line after the freeze: its money is frozen, or went to the store not too long ago."""
    row = await conn.fetchrow(
        """SELECT l.*, coalesce(l.released_at, l.delivered_at) > now() - $2::interval
             AND (l.released_at IS NOT NULL OR l.escrow_state = 'DIRECT') AS lately
           FROM orders.order_line l WHERE l.id = $1""",
        line_id,
        window,
    )
    assert row
    if row["escrow_state"] == "FROZEN" or row["lately"]:
        return row
    if gone := row["delivered_at"] if row["escrow_state"] == "DIRECT" else row["released_at"]:
        raise CaseTooLate(
            f"The money for this went to the seller on {gone:%Y-%m-%d}, and a case could be "
            f"opened for {window.days} days after that."
        )
    raise CaseNotNow("The money for this is not in escrow.")


async def _write(
    conn: Connection,
    viewer: Viewer,
    lines: Sequence[Record],
    snapshot_id: UUID,
    *,
    reason: str,
    wish: str,
    body: str,
) -> UUID:
    first = lines[0]
    case: dict[str, Any] = {
        "id": uuid7(),
        "number": number("CAS"),
        "order_id": first["order_id"],
        "buyer_id": first["buyer_id"],
        "seller_id": first["seller_id"],
    }
    due = (await conn.fetchval("SELECT now()")) + PICK_UP
    await conn.execute(
        """INSERT INTO cases.case (id, number, order_id, buyer_id, seller_id, reason, wish, currency,
             snapshot_id, state, deadline) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'OPEN', $10)""",
        *case.values(),
        reason,
        wish,
        first["currency"],
        snapshot_id,
        due,
    )
    await conn.executemany(
        """INSERT INTO cases.case_line (case_id, line_id, buyer_id, seller_id, frozen, at_stake)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        [
            (
                case["id"],
                x["id"],
                x["buyer_id"],
                x["seller_id"],
                x["escrow_state"] == "FROZEN",
                x["total"] - x["refunded"],
            )
            for x in lines
        ],
    )
    seal = await conn.fetchval("SELECT encode(hash, 'hex') FROM cases.snapshot WHERE id = $1", snapshot_id)
    data = {"reason": reason, "snapshot": seal}
    await write_event(
        conn,
        case,
        "opened",
        "buyer",
        viewer.actor,
        version=1,
        source="",
        target="OPEN",
        deadline=due,
        data=data,
    )
    await say(conn, case["id"], Acting("buyer", viewer), "opening", body)
    return case["id"]
