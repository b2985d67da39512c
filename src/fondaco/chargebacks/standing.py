"""How a buyer's wallets stand after their chargebacks and warnings, and how each step is booked and told."""

from collections.abc import Sequence
from uuid import UUID

from fondaco import audit, wallets
from fondaco.chargebacks.model import OPEN
from fondaco.core.db import Connection, Record
from fondaco.ledger import AccountRef, post


async def standing(conn: Connection, user_id: UUID) -> str:
    """How they should stand: OK, WALLET_AT_RISK or LOCKED."""
    row = await conn.fetchrow(
        """SELECT bool_or(state = ANY ($2)) AS open, bool_or(owed > 0) AS owes,
             bool_or(state = 'LOST' AND cleared_at IS NULL) AS lost,
             EXISTS (SELECT 1 FROM chargebacks.warning w WHERE w.user_id = $1 AND w.blocks) AS warned
           FROM chargebacks.chargeback WHERE user_id = $1""",
        user_id,
        list(OPEN),
    )
    assert row
    if row["owes"]:
        return "LOCKED"
    return "WALLET_AT_RISK" if row["open"] or row["lost"] or row["warned"] else "OK"


async def refresh_standing(conn: Connection, user_id: UUID, actor: str = "stripe") -> str:
    """The buyer's wallets stand as their chargebacks say; told when that is another way than before. Answers
    how they stand."""
    wanted = await standing(conn, user_id)
    before = await wallets.stand(conn, user_id, wanted)
    if before != wanted:
        kind = {"OK": "wallet.freed", "LOCKED": "wallet.locked"}.get(wanted, "wallet.at_risk")
        data = {"user_id": str(user_id), "before": before}
        await audit.record(conn, kind, f"user:{user_id}", actor, data)
    return wanted


async def post_one(  # noqa: PLR0917 - in the order they are read
    conn: Connection,
    kind: str,
    key: str,
    row: Record,
    legs: Sequence[tuple[AccountRef, int]],
    actor: str = "stripe",
) -> None:
    """One journal of a chargeback, filed under its payment."""
    await post(conn, kind, idem=key, ref=f"funding:{row['funding_id']}", actor=actor, legs=legs)


async def tell(conn: Connection, row: Record, kind: str, actor: str = "stripe", **more: object) -> None:
    """A step of a chargeback in the audit log."""
    data = {
        "user_id": str(row["user_id"]),
        "funding_id": str(row["funding_id"]),
        "amount": row["amount"],
        "currency": row["currency"],
        "reason": row["reason"],
    }
    await audit.record(conn, kind, f"chargeback:{row['id']}", actor, data | more)
