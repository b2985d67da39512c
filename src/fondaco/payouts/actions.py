"""What people do with payouts: a seller withdraws; finance holds, lets go, cancels, takes back."""

from typing import Any
from uuid import UUID

import structlog

from fondaco import audit
from fondaco.core.db import SYSTEM, Connection, Database, Record
from fondaco.core.problem import Conflict, Invalid, NotFound
from fondaco.core.queue import defer
from fondaco.core.viewer import Viewer
from fondaco.payouts.model import NotEnough, NotNow, PayoutsClosed, TooLittle
from fondaco.payouts.sending import hold as put_on_hold
from fondaco.settings import Settings

log = structlog.get_logger()
_MOST = 2**53


async def withdraw(
    db: Database,
    settings: Settings,
    viewer: Viewer,
    payout_id: UUID,
    *,
    amount: int | None,
    currency: str,
) -> UUID:
    """Pay out `amount` minor units of what is available (None: all of it), the oldest sales first; returns
    the payout's id. `payout_id` is the caller's own new id: asked again with it, nothing more happens.

    Raises PayoutsClosed with the reasons, NotEnough, TooLittle, Invalid (field amount).
    """
    if amount is not None and not 0 < amount < _MOST:
        raise Invalid(fields={"amount": "Must be more than nothing."})

    async def work(conn: Connection) -> Record:
        found = await conn.fetchrow(
            "SELECT * FROM payouts.intend($1, $2, $3, $4, $5, $6)",
            payout_id,
            viewer.seller(),
            currency,
            amount,
            settings.payout_min,
            viewer.actor,
        )
        assert found
        if found["verdict"] == "created":
            await defer(conn, "payouts.send", {"payout_id": str(payout_id)})
        return found

    found = await db.run(SYSTEM, work)
    match found["verdict"]:
        case "created" | "same":
            return payout_id
        case "closed":
            raise PayoutsClosed(list(found["reasons"]))
        case "insufficient":
            raise NotEnough(available=found["available"])
        case "below_minimum":
            raise TooLittle(minimum=settings.payout_min)
        case _:
            raise Conflict("This request was made before with another amount.")


def read_reason(because: str) -> str:
    """Why, in 3 to 200 characters. Raises Invalid (field because)."""
    words = " ".join(because.split())
    if not 3 <= len(words) <= 200 or not words.isprintable():
        raise Invalid(fields={"because": "Say why in 3 to 200 characters."})
    return words


async def hold(db: Database, viewer: Viewer, payout_id: UUID, because: str) -> None:
    """Keep a payout from leaving until a person lets it go. Raises NotFound, NotNow, Invalid."""
    words = read_reason(because)

    async def work(conn: Connection) -> None:
        row = await _lock(conn, payout_id)
        if row["state"] == "HELD" and row["held_by"] == "system":
            await conn.execute(
                "UPDATE payouts.payout SET held_by = $2, held_because = $3 WHERE id = $1",
                payout_id,
                viewer.actor,
                words,
            )
            await _tell(conn, row, "payout.held", viewer.actor, because=words)
        elif row["state"] == "CREATED":
            await put_on_hold(conn, row, viewer.actor, words)
        else:
            raise NotNow()

    await db.run(viewer.as_staff, work)


async def let_go(db: Database, viewer: Viewer, payout_id: UUID, because: str) -> None:
    """Let a held payout go; it leaves as soon as its gates are open. Raises NotFound, NotNow, Invalid."""
    words = read_reason(because)

    async def work(conn: Connection) -> None:
        row = await _lock(conn, payout_id)
        if row["state"] != "HELD":
            raise NotNow()
        await conn.execute(
            """UPDATE payouts.payout SET state = 'CREATED', held_by = NULL, held_because = NULL
               WHERE id = $1""",
            payout_id,
        )
        await _tell(conn, row, "payout.let_go", viewer.actor, because=words)
        await defer(conn, "payouts.send", {"payout_id": str(payout_id)})

    await db.run(viewer.as_staff, work)


async def cancel(db: Database, viewer: Viewer, payout_id: UUID, because: str) -> None:
    """Give a payout back that was never sent; its money is payable again. Raises NotFound, NotNow,
    Invalid."""
    words = read_reason(because)

    async def work(conn: Connection) -> None:
        row = await _lock(conn, payout_id)
        if row["state"] not in ("CREATED", "HELD"):
            raise NotNow()
        await conn.execute(
            "SELECT payouts.give_back($1, 'CANCELLED', 'by_hand', $2, $3)", payout_id, words, viewer.actor
        )

    await db.run(viewer.as_staff, work)


async def _lock(conn: Connection, payout_id: UUID) -> Record:
    row = await conn.fetchrow("SELECT * FROM payouts.payout WHERE id = $1 FOR UPDATE", payout_id)
    if row is None:
        raise NotFound()
    return row


async def _tell(conn: Connection, row: Record, kind: str, actor: str, **more: Any) -> None:
    data = {"seller_id": str(row["seller_id"]), "amount": row["amount"], "currency": row["currency"]}
    await audit.record(conn, kind, f"payout:{row['id']}", actor, {**data, **more})
