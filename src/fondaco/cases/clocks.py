"""The clocks of cases: what happens when nobody does anything. The database's time decides."""

from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from fondaco import risk
from fondaco.cases import settling
from fondaco.cases.desk import carry_out
from fondaco.cases.model import REMIND, REVIEW
from fondaco.cases.moving import step
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.problem import Problem

log = structlog.get_logger()


async def sweep(db: Database) -> int:
    """Let every deadline that is over have its outcome, each case in a transaction of its own; returns how
    many. A case whose money cannot be moved now is told, and holds up no other."""
    done, left = 0, list[UUID]()
    while True:
        case_id = await db.fetchval(
            SYSTEM,
            """SELECT id FROM cases.case WHERE deadline <= now() AND id <> ALL ($1)
               ORDER BY deadline, id LIMIT 1""",
            left,
        )
        if case_id is None:
            return done
        try:
            done += await db.run(SYSTEM, lambda conn, due=case_id: _one(conn, due))
        except (Problem, asyncpg.IntegrityConstraintViolationError) as error:
            log.error("case_clock", case_id=str(case_id), error=type(error).__name__)
        left.append(case_id)


async def _one(conn: Connection, case_id: UUID) -> int:
    case = await conn.fetchrow(
        "SELECT *, now() AS at FROM cases.case WHERE id = $1 AND deadline <= now() FOR UPDATE", case_id
    )
    if case is None:
        return 0
    at: datetime = case["at"]
    if case["state"] == "OPEN":
        await step(conn, case, "taken", "system", "system", state="UNDER_REVIEW", deadline=at + REVIEW)
    elif case["state"] == "UNDER_REVIEW" or case["appeal_by"]:
        await step(conn, case, "overdue", "system", "system", deadline=at + REMIND)
    elif case["state"] == "NEEDS_RESPONSE":
        await _silent(conn, case, at)
    else:
        await step(
            conn,
            case,
            "closed",
            "system",
            "system",
            state="CLOSED",
            deadline=None,
            outcome=case["outcome"],
            closed_at=at,
        )
    return 1


async def _silent(conn: Connection, case: Record, at: datetime) -> None:
    """The asked party did not answer: a seller loses, of a buyer the case goes on without their answer."""
    if case["asked_party"] == "seller":
        await risk.signal(conn, f"seller:{case['seller_id']}", "case.silent", f"case:{case['id']}")
        lines = await settling.lines_of(conn, case["id"])
        amounts = {line["line_id"]: line["remaining"] for line in lines}
        await carry_out(conn, case, "BUYER", amounts, to="wallet", party="system", viewer=None)
    else:
        data = {"asked": "buyer"}
        due = at + REVIEW
        await step(
            conn, case, "unanswered", "system", "system", state="UNDER_REVIEW", deadline=due, data=data
        )
