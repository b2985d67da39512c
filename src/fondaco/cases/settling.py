"""What a case does with money: give back, let go, thaw. Always inside the transaction of the step."""

from collections.abc import Mapping
from typing import Literal
from uuid import UUID

from fondaco import orders, refunds
from fondaco.cases.model import CaseNotNow
from fondaco.core.db import Connection, Record
from fondaco.core.ids import uuid7
from fondaco.core.money import share

To = Literal["wallet", "source"]


async def lines_of(conn: Connection, case_id: UUID) -> list[Record]:
    """The lines of a case with their money as it stands."""
    return await conn.fetch(
        """SELECT k.line_id, k.frozen, k.at_stake, k.refund, l.total - l.refunded AS remaining,
             l.escrow_state, l.terms->>'title' AS title, l.quantity
           FROM cases.case_line k JOIN orders.order_line l ON l.id = k.line_id
           WHERE k.case_id = $1 ORDER BY k.line_id""",
        case_id,
    )


def spread(amount: int, lines: list[Record]) -> dict[UUID, int]:
    """A sum over the lines by what each still holds, in whole minor units; the parts sum to it."""
    parts = share(amount, [line["remaining"] for line in lines])
    return {line["line_id"]: part for line, part in zip(lines, parts, strict=True)}


async def give_back(
    conn: Connection, case: Record, amounts: Mapping[UUID, int], *, to: To, why: str, actor: str
) -> int:
    """Refund these amounts (minor units, per line) in the name of the case; returns their sum."""
    for line in await lines_of(conn, case["id"]):
        amount = amounts.get(line["line_id"], 0)
        refund_id = None
        if amount:
            refund_id = await refunds.refund_line(
                conn,
                line["line_id"],
                None if amount == line["remaining"] else amount,
                to=to,
                reason="case",
                why=why,
                actor=actor,
                case_id=case["id"],
                even_frozen=True,
            )
        await conn.execute(
            "UPDATE cases.case_line SET refund = $3, refund_id = $4 WHERE case_id = $1 AND line_id = $2",
            case["id"],
            line["line_id"],
            amount,
            refund_id,
        )
    return sum(amounts.values())


async def let_go(conn: Connection, case: Record, actor: str) -> None:
    """What is still frozen of the case's lines goes to the seller."""
    frozen = [x["line_id"] for x in await lines_of(conn, case["id"]) if x["escrow_state"] == "FROZEN"]
    if frozen:
        await orders.release_lines(conn, frozen, actor)


async def thaw(conn: Connection, case: Record, actor: str) -> None:
    """What is still frozen of the case's lines is under protection again, as before."""
    frozen = [x["line_id"] for x in await lines_of(conn, case["id"]) if x["escrow_state"] == "FROZEN"]
    if frozen:
        await orders.thaw(conn, frozen, actor)


async def keys_of(conn: Connection, case_id: UUID) -> list[UUID]:
    """The entitlements a replacement is about: the revealed keys, or all of them when none was revealed."""
    rows = await conn.fetch(
        """SELECT e.id, e.revealed_at IS NOT NULL AS revealed FROM cases.case_line k
           JOIN delivery.entitlement e ON e.line_id = k.line_id
           WHERE k.case_id = $1 AND e.unit_id IS NOT NULL AND e.revoked_at IS NULL ORDER BY e.id""",
        case_id,
    )
    return [row["id"] for row in rows if row["revealed"]] or [row["id"] for row in rows]


async def replace(conn: Connection, case: Record, actor: str) -> None:
    """Another key for each that the case is about; the case is closed already. Raises CaseNotNow when there
    are not enough in stock."""
    why = f"The seller's offer in case {case['number']}, accepted"
    for key in await keys_of(conn, case["id"]):
        verdict = await conn.fetchval(
            "SELECT refunds.replace_unit($1, $2, $3, $4, $5)", uuid7(), key, uuid7(), why, actor
        )
        if verdict != "replaced":
            raise CaseNotNow("The seller has no other one left now, so nothing was done. The case goes on.")
