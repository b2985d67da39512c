"""What buyer and seller do with a case: write, answer, withdraw, offer, accept, appeal."""

from uuid import UUID

from fondaco import risk
from fondaco.cases import settling
from fondaco.cases.model import REVIEW, Acting, CaseNotNow, may_appeal, required, said
from fondaco.cases.moving import locked, say, step, tell
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.ids import uuid7
from fondaco.core.money import Money
from fondaco.core.problem import Invalid
from fondaco.core.viewer import Viewer

KINDS = ("REFUND", "REPLACEMENT")


async def write(db: Database, by: Acting, case_id: UUID, text: str) -> UUID:
    """Say something in the thread; the case stays where it is. Returns the message's id.

    Raises NotFound, Invalid, CaseNotNow, OwnCase.
    """
    body = said(text)

    async def work(conn: Connection) -> UUID:
        case = await locked(conn, case_id, by)
        required("write", by, case)
        message_id = await say(conn, case_id, by, "message", body)
        await tell(conn, case, "written", by.side, by.viewer.actor, message_id=message_id)
        return message_id

    return await db.run(SYSTEM, work)


async def answer(db: Database, by: Acting, case_id: UUID, text: str, *, version: int | None = None) -> None:
    """The asked party answers; the case is under review again. Raises NotFound, CaseMoved, CaseNotNow."""
    body = said(text)

    async def work(conn: Connection) -> None:
        case = await locked(conn, case_id, by, version)
        required("answer", by, case)
        await say(conn, case_id, by, "answer", body)
        due = (await conn.fetchval("SELECT now()")) + REVIEW
        await step(conn, case, "answered", by.side, by.viewer.actor, state="UNDER_REVIEW", deadline=due)

    await db.run(SYSTEM, work)


async def withdraw(db: Database, viewer: Viewer, case_id: UUID, *, version: int | None = None) -> None:
    """The buyer gives the case up: what was frozen is under protection again. Raises NotFound, CaseMoved,
    CaseNotNow."""
    by = Acting("buyer", viewer)

    async def work(conn: Connection) -> None:
        case = await locked(conn, case_id, by, version)
        required("withdraw", by, case)
        await settling.thaw(conn, case, viewer.actor)
        await _end_offer(conn, case, "LAPSED")
        await _close(conn, case, "withdrawn", by, outcome="WITHDRAWN")
        await risk.signal(conn, f"user:{case['buyer_id']}", "case.withdrawn", f"case:{case_id}")

    await db.run(SYSTEM, work)


async def _close(
    conn: Connection, case: Record, kind: str, by: Acting, *, outcome: str, amount: int = 0
) -> None:
    """The buyer's end of a case. What it gave back is already written down."""
    at = await conn.fetchval("SELECT now()")
    data = {"amount": amount, "currency": case["currency"]} if amount else {}
    await step(
        conn,
        case,
        kind,
        by.side,
        by.viewer.actor,
        state="CLOSED",
        deadline=None,
        data=data,
        outcome=outcome,
        closed_at=at,
    )


async def _end_offer(conn: Connection, case: Record, ending: str) -> Record | None:
    """Ends the open offer, if there is one, and gives it."""
    return await conn.fetchrow(
        """UPDATE cases.offer SET ended_at = now(), ending = $2 WHERE case_id = $1 AND ended_at IS NULL
           RETURNING *""",
        case["id"],
        ending,
    )


async def offer(
    db: Database, viewer: Viewer, case_id: UUID, *, kind: str = "REFUND", amount: int = 0, text: str
) -> UUID:
    """The seller offers to give `amount` (minor units) back, or to replace what does not work. An offer made
    before is taken back by it. Raises NotFound, Invalid, CaseNotNow. Returns the offer's id."""
    body, by = said(text), Acting("seller", viewer)
    if kind not in KINDS:
        raise Invalid(fields={"kind": "Choose what you offer."})

    async def work(conn: Connection) -> UUID:
        case = await locked(conn, case_id, by)
        required("offer", by, case)
        most = sum(line["remaining"] for line in await settling.lines_of(conn, case_id))
        if kind == "REFUND" and not 1 <= amount <= most:
            whole = Money(most, case["currency"]).words()
            raise Invalid(fields={"amount": f"From the smallest coin up to {whole}."})
        if kind == "REPLACEMENT" and not await settling.keys_of(conn, case_id):
            raise Invalid(fields={"kind": "There is no key in this case that could be replaced."})
        await _end_offer(conn, case, "TAKEN_BACK")
        offer_id = uuid7()
        await conn.execute(
            "INSERT INTO cases.offer (id, case_id, kind, amount) VALUES ($1, $2, $3, $4)",
            offer_id,
            case_id,
            kind,
            amount if kind == "REFUND" else 0,
        )
        await say(conn, case_id, by, "offer", body)
        data = {"offer_id": offer_id, "offers": kind.lower()}
        if kind == "REFUND":
            data |= {"amount": amount, "currency": case["currency"]}
        await step(conn, case, "offered", by.side, viewer.actor, data=data)
        return offer_id

    return await db.run(SYSTEM, work)


async def take_back_offer(db: Database, viewer: Viewer, case_id: UUID) -> None:
    """The seller takes the open offer back. Raises NotFound, CaseNotNow."""
    await _end(db, Acting("seller", viewer), case_id, "take_back", "TAKEN_BACK")


async def decline_offer(db: Database, viewer: Viewer, case_id: UUID) -> None:
    """The buyer declines the open offer; the case goes on. Raises NotFound, CaseNotNow."""
    await _end(db, Acting("buyer", viewer), case_id, "decline", "DECLINED")


async def _end(db: Database, by: Acting, case_id: UUID, act: str, ending: str) -> None:
    kind = {"TAKEN_BACK": "offer_taken_back", "DECLINED": "declined"}[ending]

    async def work(conn: Connection) -> None:
        case = await locked(conn, case_id, by)
        required(act, by, case)
        found = await _end_offer(conn, case, ending)
        if found is None:
            raise CaseNotNow("There is no open offer.")
        await step(conn, case, kind, by.side, by.viewer.actor, data={"offer_id": found["id"]})

    await db.run(SYSTEM, work)


async def accept_offer(
    db: Database, viewer: Viewer, case_id: UUID, *, offer_id: UUID | None = None, version: int | None = None
) -> None:
    """The buyer accepts the open offer (`offer_id`: the one they saw): the money is given back, the rest is
    under protection again, and the case is closed. Raises NotFound, CaseMoved, CaseNotNow."""
    by = Acting("buyer", viewer)

    async def work(conn: Connection) -> None:
        case = await locked(conn, case_id, by, version)
        required("accept", by, case)
        found = await _end_offer(conn, case, "ACCEPTED")
        if found is None or offer_id not in (None, found["id"]):
            raise CaseNotNow("That offer does not stand any more.")
        if found["kind"] == "REFUND":
            await _settle(conn, case, by, found["amount"])
        else:
            await settling.thaw(conn, case, viewer.actor)
            await _close(conn, case, "accepted", by, outcome="WITHDRAWN")
            await settling.replace(conn, case, viewer.actor)

    await db.run(SYSTEM, work)


async def _settle(conn: Connection, case: Record, by: Acting, offered: int) -> None:
    """The offered sum goes back, what is left is protected as before, and the case is closed."""
    lines = await settling.lines_of(conn, case["id"])
    most = sum(line["remaining"] for line in lines)
    amount = min(offered, most)
    if not amount:
        raise CaseNotNow("Nothing is left to give back.")
    why = f"The seller's offer in case {case['number']}, accepted"
    amounts = settling.spread(amount, lines)
    await settling.give_back(conn, case, amounts, to="wallet", why=why, actor=by.viewer.actor)
    await settling.thaw(conn, case, by.viewer.actor)
    outcome = "BUYER" if amount == most else "SPLIT"
    await _close(conn, case, "accepted", by, outcome=outcome, amount=amount)


async def appeal(db: Database, by: Acting, case_id: UUID, text: str) -> None:
    """The party the decision went against asks to look at it again: a person of the staff answers before the
    case is closed. Raises NotFound, Invalid, CaseNotNow."""
    body = said(text)

    async def work(conn: Connection) -> None:
        case = await locked(conn, case_id, by)
        required("appeal", by, case)
        if not may_appeal(by.side, case["outcome"], case["appeal_by"]):
            raise CaseNotNow(
                "There is an appeal already." if case["appeal_by"] else "The decision was in your favour."
            )
        due = (await conn.fetchval("SELECT now()")) + REVIEW
        await say(conn, case_id, by, "appeal", body)
        await step(
            conn,
            case,
            "appealed",
            by.side,
            by.viewer.actor,
            deadline=max(due, case["deadline"]),
            appeal_by=by.side,
        )

    await db.run(SYSTEM, work)
