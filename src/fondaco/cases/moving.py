"""One step of a case: the row locked, its new state, its event and the audit's, in one transaction."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fondaco import audit
from fondaco.cases.model import Acting, CaseMoved, OwnCase, Party
from fondaco.core.db import Connection, Record
from fondaco.core.ids import uuid7
from fondaco.core.problem import NotFound

_SAME: Any = object()


async def locked(conn: Connection, case_id: UUID, by: Acting, version: int | None = None) -> Record:
    """The case as that side may see it, locked. `version`: as they saw it. Raises NotFound, CaseMoved, and
    OwnCase for staff who are a party."""
    clause, whose = by.clause()
    case = await conn.fetchrow(
        f"SELECT c.* FROM cases.case c WHERE c.id = $1 AND {clause} FOR UPDATE", case_id, whose
    )
    if case is None:
        raise NotFound()
    if by.side == "staff":
        await refuse_own(conn, case, by)
    if version is not None and version != case["version"]:
        raise CaseMoved()
    return case


async def refuse_own(conn: Connection, case: Record, by: Acting) -> None:
    """Raises OwnCase when this person of the staff bought it, or works in the store."""
    mine = await conn.fetchval(
        """SELECT $1::uuid = $2::uuid OR EXISTS (SELECT 1 FROM identity.membership m
           WHERE m.user_id = $1 AND m.seller_id = $3)""",
        by.viewer.user(),
        case["buyer_id"],
        case["seller_id"],
    )
    if mine:
        raise OwnCase()


async def step(
    conn: Connection,
    case: Record,
    kind: str,
    party: Party,
    actor: str,
    *,
    state: str | None = None,
    asked: str | None = None,
    deadline: datetime | None = _SAME,
    data: dict[str, Any] | None = None,
    **sets: Any,
) -> int:
    """Write the step `kind`; returns the new version. Without `state` the case stays where it is, with the
    deadline and the asked party it has. `sets`: further columns of the case."""
    target = state or case["state"]
    if state is None:
        asked = case["asked_party"]
    due = case["deadline"] if deadline is _SAME else deadline
    version = int(case["version"]) + 1
    columns = {"state": target, "asked_party": asked, "deadline": due, "version": version, **sets}
    places = ", ".join(f"{name} = ${n}" for n, name in enumerate(columns, start=2))
    await conn.execute(f"UPDATE cases.case SET {places} WHERE id = $1", case["id"], *columns.values())
    await write_event(
        conn,
        case,
        kind,
        party,
        actor,
        version=version,
        source=case["state"],
        target=target,
        deadline=due,
        data=data or {},
    )
    return version


async def write_event(
    conn: Connection,
    case: Any,
    kind: str,
    party: Party,
    actor: str,
    *,
    version: int,
    source: str,
    target: str,
    deadline: datetime | None,
    data: dict[str, Any],
) -> None:
    """The event of a step, and the audit's about the case. `data` holds nothing anybody wrote."""
    await conn.execute(
        """INSERT INTO cases.event (case_id, version, kind, party, actor, source, target, deadline, data)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        case["id"],
        version,
        kind,
        party,
        actor,
        source,
        target,
        deadline,
        data,
    )
    await tell(conn, case, kind, party, actor, step=version, **data)


async def tell(conn: Connection, case: Any, kind: str, party: Party, actor: str, **data: Any) -> None:
    """The audit's event about a case."""
    about = {
        "order_id": case["order_id"],
        "buyer_id": case["buyer_id"],
        "seller_id": case["seller_id"],
        "party": party,
    }
    await audit.record(conn, f"case.{kind}", f"case:{case['id']}", actor, {**about, **data})


async def say(
    conn: Connection, case_id: UUID, by: Acting, kind: str, body: str, *, internal: bool = False
) -> UUID:
    """Write a message of the thread; returns its id."""
    message_id = uuid7()
    await conn.execute(
        """INSERT INTO cases.message (id, case_id, party, author_id, kind, body, internal)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        message_id,
        case_id,
        by.side,
        by.viewer.user_id,
        kind,
        body,
        internal,
    )
    return message_id
