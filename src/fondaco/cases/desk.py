"""What the staff do with a case. Its life is support's, its money is finance's; nobody works on their own."""

from collections.abc import Mapping
from uuid import UUID

from fondaco import risk
from fondaco.cases import settling
from fondaco.cases.model import ANSWER, APPEAL, REVIEW, Acting, required, said
from fondaco.cases.moving import locked, say, step, tell
from fondaco.cases.settling import To
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.money import Money
from fondaco.core.problem import Invalid
from fondaco.core.viewer import Viewer

DECISIONS = ("SELLER", "BUYER", "SPLIT")


async def take(db: Database, viewer: Viewer, case_id: UUID, *, version: int | None = None) -> None:
    """Work on a case: an open one is under review from now on. Raises NotFound, CaseMoved, CaseNotNow,
    OwnCase."""
    by = Acting("staff", viewer)

    async def work(conn: Connection) -> None:
        case = await locked(conn, case_id, by, version)
        required("take", by, case)
        if case["state"] == "OPEN":
            due = (await conn.fetchval("SELECT now()")) + REVIEW
            await step(
                conn,
                case,
                "taken",
                "staff",
                viewer.actor,
                state="UNDER_REVIEW",
                deadline=due,
                taken_by=viewer.user(),
            )
        elif case["taken_by"] != viewer.user():
            await step(conn, case, "taken", "staff", viewer.actor, taken_by=viewer.user())

    await db.run(SYSTEM, work)


async def ask(
    db: Database, viewer: Viewer, case_id: UUID, *, party: str, text: str, version: int | None = None
) -> None:
    """Ask the buyer or the seller; they have 72 hours. Raises NotFound, Invalid, CaseMoved, CaseNotNow,
    OwnCase."""
    body, by = said(text), Acting("staff", viewer)
    if party not in ("buyer", "seller"):
        raise Invalid(fields={"party": "Choose whom to ask."})

    async def work(conn: Connection) -> None:
        case = await locked(conn, case_id, by, version)
        required("ask", by, case)
        due = (await conn.fetchval("SELECT now()")) + ANSWER
        await say(conn, case_id, by, "question", body)
        await step(
            conn,
            case,
            "asked",
            "staff",
            viewer.actor,
            state="NEEDS_RESPONSE",
            asked=party,
            deadline=due,
            data={"asked": party},
            taken_by=case["taken_by"] or viewer.user(),
        )

    await db.run(SYSTEM, work)


async def decide(
    db: Database,
    viewer: Viewer,
    case_id: UUID,
    *,
    outcome: str,
    text: str,
    amounts: Mapping[UUID, int] | None = None,
    to: To = "wallet",
    version: int | None = None,
) -> None:
    """Decide the case; its money moves in the same transaction.

    SELLER: what is frozen goes to the seller. BUYER: everything goes back. SPLIT: `amounts` (minor units per
    line) go back, the rest to the seller. `to`: the buyer's wallet, or on to where it was paid from. Raises
    NotFound, Invalid, CaseMoved, CaseNotNow, OwnCase.
    """
    body, by = said(text), Acting("staff", viewer)
    if outcome not in DECISIONS:
        raise Invalid(fields={"outcome": "Choose how it is decided."})
    if to not in ("wallet", "source"):
        raise Invalid(fields={"to": "Choose where the money goes."})

    async def work(conn: Connection) -> None:
        case = await locked(conn, case_id, by, version)
        required("decide", by, case)
        lines = await settling.lines_of(conn, case_id)
        chosen = _amounts(case, lines, outcome, amounts or {})
        await say(conn, case_id, by, "decision", body)
        await carry_out(conn, case, outcome, chosen, to=to, party="staff", viewer=viewer)

    await db.run(SYSTEM, work)


def _amounts(case: Record, lines: list[Record], outcome: str, asked: Mapping[UUID, int]) -> dict[UUID, int]:
    """What each line gives back. Raises Invalid."""
    remaining: dict[UUID, int] = {line["line_id"]: line["remaining"] for line in lines}
    if outcome == "SELLER":
        return dict.fromkeys(remaining, 0)
    if outcome == "BUYER":
        return remaining
    if not asked.keys() <= remaining.keys():
        raise Invalid(fields={"amounts": "One of these lines is not in this case."})
    chosen = {line: asked.get(line, 0) for line in remaining}
    for line, amount in chosen.items():
        if not 0 <= amount <= remaining[line]:
            most = Money(remaining[line], case["currency"]).words()
            raise Invalid(fields={"amounts": f"From 0 to {most} a line."})
    if not 0 < sum(chosen.values()) < sum(remaining.values()):
        raise Invalid(
            fields={"amounts": "Shared means that both get something. Else decide for one of them."}
        )
    return chosen


async def carry_out(
    conn: Connection,
    case: Record,
    outcome: str,
    amounts: Mapping[UUID, int],
    *,
    to: To,
    party: str,
    viewer: Viewer | None,
) -> None:
    """The decision with its one effect on the money. Without `viewer` the clock decides."""
    actor = viewer.actor if viewer else "system"
    at = await conn.fetchval("SELECT now()")
    why = f"Case {case['number']} was decided"
    total = await settling.give_back(conn, case, amounts, to=to, why=why, actor=actor)
    await settling.let_go(conn, case, actor)
    await conn.execute(
        "UPDATE cases.offer SET ended_at = now(), ending = 'LAPSED' WHERE case_id = $1 AND ended_at IS NULL",
        case["id"],
    )
    if outcome == "SELLER":
        await risk.signal(conn, f"user:{case['buyer_id']}", "case.groundless", f"case:{case['id']}")
    if outcome == "BUYER":
        await risk.signal(conn, f"seller:{case['seller_id']}", "case.lost", f"case:{case['id']}")
    await step(
        conn,
        case,
        "decided",
        "staff" if party == "staff" else "system",
        actor,
        state="WON" if outcome == "SELLER" else "LOST",
        deadline=at + APPEAL,
        data={"outcome": outcome, "amount": total, "currency": case["currency"]},
        outcome=outcome,
        decided_at=at,
        decided_by=viewer.user() if viewer else None,
    )


async def close(
    db: Database, viewer: Viewer, case_id: UUID, *, text: str, version: int | None = None
) -> None:
    """Close a decided case before its clock does, or answer an appeal. Raises NotFound, Invalid, CaseMoved,
    CaseNotNow, OwnCase."""
    body, by = said(text), Acting("staff", viewer)

    async def work(conn: Connection) -> None:
        case = await locked(conn, case_id, by, version)
        required("close", by, case)
        at = await conn.fetchval("SELECT now()")
        await say(conn, case_id, by, "message", body)
        await step(
            conn,
            case,
            "closed",
            "staff",
            viewer.actor,
            state="CLOSED",
            deadline=None,
            outcome=case["outcome"],
            closed_at=at,
        )

    await db.run(SYSTEM, work)


async def note(db: Database, viewer: Viewer, case_id: UUID, text: str) -> UUID:
    """Write down something for the staff alone; returns the message's id. Raises NotFound, Invalid,
    OwnCase."""
    body, by = said(text), Acting("staff", viewer)

    async def work(conn: Connection) -> UUID:
        case = await locked(conn, case_id, by)
        required("note", by, case)
        message_id = await say(conn, case_id, by, "note", body, internal=True)
        await tell(conn, case, "noted", "staff", viewer.actor)
        return message_id

    return await db.run(SYSTEM, work)
