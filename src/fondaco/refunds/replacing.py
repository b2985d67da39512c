"""A key that does not work: another one for it, its money back, or why neither."""

from typing import Literal
from uuid import UUID

import structlog

from fondaco import approvals, audit
from fondaco.core.db import SYSTEM, Connection, Database, Record, Scope
from fondaco.core.ids import uuid7
from fondaco.core.problem import NotFound, Problem
from fondaco.core.viewer import Viewer
from fondaco.orders.model import SoldOut
from fondaco.refunds.actions import refund_line
from fondaco.refunds.model import FrozenByCase, NotReplaceable, ReportClosed

log = structlog.get_logger()
Answer = Literal["replace", "refund", "refuse"]
REPORTED = "The buyer reported that it does not work"
SILENT = "The seller did not answer in time"


async def replace(conn: Connection, entitlement_id: UUID, *, why: str, actor: str) -> UUID:
    """Give the buyer another unit of the same listing for a bad one, which is never sold again; returns the
    new entitlement's id. Its reveal is the buyer's. One transaction with the caller (SYSTEM).

    Raises NotFound, NotReplaceable, FrozenByCase, SoldOut.
    """
    good = uuid7()
    verdict = await conn.fetchval(
        "SELECT refunds.replace_unit($1, $2, $3, $4, $5)", uuid7(), entitlement_id, good, why, actor
    )
    if verdict == "replaced":
        return good
    if verdict == "not_found":
        raise NotFound()
    if verdict == "frozen":
        raise FrozenByCase()
    if verdict == "sold_out":
        raise SoldOut("There is no other key of this listing in stock. Give the money back instead.")
    raise NotReplaceable()


async def refund_unit(conn: Connection, entitlement_id: UUID, *, why: str, actor: str) -> UUID:
    """Give back the money of one bad key: its share of what is left of its line. Returns the refund's id.

    One transaction with the caller (SYSTEM). Raises NotFound, NotRefundable, FrozenByCase.
    """
    row = await conn.fetchrow(
        """SELECT l.id, l.unit_price, l.total - l.refunded AS remaining,
             (SELECT count(*) FROM delivery.entitlement o
              WHERE o.line_id = l.id AND o.revoked_at IS NULL) AS there
           FROM delivery.entitlement e JOIN orders.order_line l ON l.id = e.line_id WHERE e.id = $1""",
        entitlement_id,
    )
    if row is None:
        raise NotFound()
    amount = None if row["there"] <= 1 else min(row["unit_price"], row["remaining"])
    return await refund_line(
        conn, row["id"], amount, reason="bad_code", why=why, actor=actor, entitlements=[entitlement_id]
    )


async def answer_report(
    db: Database, viewer: Viewer, scope: Scope, report_id: UUID, *, answer: Answer, words: str = ""
) -> None:
    """The seller (or a desk, by `scope`) answers a buyer's report: replaces the key, gives its money back, or
    refuses with words the buyer reads.

    Raises NotFound, ReportClosed, Invalid, and what `replace` and `refund_line` raise.
    """
    said = approvals.said(words, "answer", least=3 if answer == "refuse" else 0)
    if await db.fetchval(scope, "SELECT 1 FROM refunds.report WHERE id = $1", report_id) is None:
        raise NotFound()

    async def work(conn: Connection) -> None:
        report = await _open(conn, report_id)
        if answer == "replace":
            await replace(conn, report["entitlement_id"], why=report["why"], actor=viewer.actor)
        elif answer == "refund":
            await refund_unit(conn, report["entitlement_id"], why=REPORTED, actor=viewer.actor)
        state = {"replace": "REPLACED", "refund": "REFUNDED", "refuse": "REFUSED"}[answer]
        await _end(conn, report, state, viewer.actor, said)

    await db.run(SYSTEM, work)


async def withdraw_report(db: Database, viewer: Viewer, report_id: UUID) -> None:
    """The buyer says that the key works after all. Raises NotFound, ReportClosed."""
    own = await db.fetchval(
        viewer.as_user,
        "SELECT 1 FROM refunds.report WHERE id = $1 AND buyer_id = $2",
        report_id,
        viewer.user(),
    )
    if own is None:
        raise NotFound()

    async def work(conn: Connection) -> None:
        await _end(conn, await _open(conn, report_id), "WITHDRAWN", viewer.actor, "")

    await db.run(SYSTEM, work)


async def answer_for_the_silent(db: Database) -> int:
    """Give the money back of reports nobody answered in time; returns how many. One that a case holds up
    waits for the case's end; one whose money went back otherwise is closed."""
    due = await db.fetch(
        SYSTEM,
        "SELECT id FROM refunds.report WHERE state = 'OPEN' AND due_at <= now() ORDER BY due_at LIMIT 100",
    )
    for row in due:
        try:
            await _answer_for_the_silent(db, row["id"])
        except FrozenByCase:
            continue
        except Problem as problem:
            log.error("report.not_answered", report=str(row["id"]), why=problem.code)
    return len(due)


async def _answer_for_the_silent(db: Database, report_id: UUID) -> None:
    async def work(conn: Connection) -> None:
        report = await _open(conn, report_id)
        there = await conn.fetchval(
            """SELECT 1 FROM delivery.entitlement e JOIN orders.order_line l ON l.id = e.line_id
               WHERE e.id = $1 AND e.revoked_at IS NULL AND l.refunded < l.total""",
            report["entitlement_id"],
        )
        if there:
            await refund_unit(conn, report["entitlement_id"], why=SILENT, actor="system")
        await _end(conn, report, "REFUNDED" if there else "WITHDRAWN", "system", SILENT if there else "")

    try:
        await db.run(SYSTEM, work)
    except ReportClosed:
        return


async def _open(conn: Connection, report_id: UUID) -> Record:
    row = await conn.fetchrow("SELECT * FROM refunds.report WHERE id = $1 FOR UPDATE", report_id)
    if row is None:
        raise NotFound()
    if row["state"] != "OPEN":
        raise ReportClosed()
    return row


async def _end(conn: Connection, report: Record, state: str, actor: str, answer: str) -> None:
    await conn.execute(
        "UPDATE refunds.report SET state = $2, ended_at = now(), ended_by = $3, answer = $4 WHERE id = $1",
        report["id"],
        state,
        actor,
        answer or None,
    )
    data = {
        "line_id": str(report["line_id"]),
        "report_id": str(report["id"]),
        "buyer_id": str(report["buyer_id"]),
        "seller_id": str(report["seller_id"]),
        "outcome": state.lower(),
    }
    await audit.record(conn, "line.bad_code_answered", f"order:{report['order_id']}", actor, data)
